//! Requests in the clear: sign-in, and the master's own command line.

use super::operator::Operator;
use super::{MasterCore, Refusal, RequestStep, reply};
use crate::message::ClearCommand;
use crate::msgpack::{self, Dialect};
use crate::{Jid, Map, MinionId, Value};

/// Something an operator asks for, with the proof that it is one (Z-01).
#[derive(Debug)]
#[non_exhaustive]
pub struct Operation {
    /// Who asks.
    pub operator: Operator,
    /// What for.
    pub kind: OperationKind,
    /// The load, without the key.
    pub load: Map,
}

/// What operators can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// Publish a job.
    Publish,
    /// Start a runner.
    Runner,
    /// Call a wheel function and wait for it.
    Wheel,
}

impl Operation {
    /// The bytes of the reply.
    pub fn reply(&self, value: &Value) -> Vec<u8> {
        let mut body = Vec::new();
        msgpack::encode(value, Dialect::Raw, &mut body);
        body
    }
}

impl MasterCore {
    /// The allow-list of K-01. Everything else is answered with an empty map.
    pub(super) fn handle_clear(
        &mut self,
        load: Map,
        may_be: &dyn Fn(&MinionId) -> bool,
        unix_time: u64,
    ) -> RequestStep {
        match load.get("id") {
            None => {}
            Some(Value::Str(id)) if id.contains('\0') => {
                let text = "bad load: id contains a null byte";
                return self.refuse_with(None, Refusal::Load, text);
            }
            Some(Value::Str(_)) => {}
            Some(other) => {
                let text = format!("bad load: id {} is not a string", python_str(other));
                return self.refuse_with(None, Refusal::Load, &text);
            }
        }
        match load.str("cmd").and_then(ClearCommand::from_name) {
            None => reply(&Map::new().into()),
            Some(ClearCommand::Auth) => self.handle_auth(load, may_be, unix_time),
            Some(ClearCommand::Ping) => reply(&load.into()),
            Some(ClearCommand::Publish) => self.handle_operation(OperationKind::Publish, load),
            Some(ClearCommand::Runner) => self.handle_operation(OperationKind::Runner, load),
            Some(ClearCommand::Wheel) => self.handle_operation(OperationKind::Wheel, load),
            // There is no external authentication here, so no token exists:
            // these are the answers of a stock master to unknown ones.
            Some(ClearCommand::MkToken) => reply(&"".into()),
            Some(ClearCommand::GetToken) if load.contains_key("token") => reply(&Map::new().into()),
            Some(ClearCommand::GetToken) => reply(&false.into()),
        }
    }

    fn handle_operation(&mut self, kind: OperationKind, mut load: Map) -> RequestStep {
        let Some(operator) = self.operators.prove(&load) else {
            self.note(None, Refusal::NoOperator);
            return reply(&denied(kind, &load));
        };
        load.remove("key");
        // What is authorised is what is executed: a publish that could be read
        // in two ways is none (Z-03).
        if kind == OperationKind::Publish && !is_publish(&load) {
            self.note(None, Refusal::Load);
            return reply(&"Some exception handling minion payload".into());
        }
        RequestStep::Operate(Box::new(Operation {
            operator,
            kind,
            load,
        }))
    }
}

/// Has all that stock masters cannot do without, and no job id that is none (P-02).
fn is_publish(load: &Map) -> bool {
    let has_jid = match load.get("jid") {
        None | Some(Value::Null) => true,
        Some(Value::Str(jid)) => jid.is_empty() || jid.parse::<Jid>().is_ok(),
        Some(_) => false,
    };
    has_jid
        && ["fun", "tgt", "tgt_type"]
            .iter()
            .all(|key| load.contains_key(key))
}

/// The refusals of stock masters, by which the command line tells them apart.
fn denied(kind: OperationKind, load: &Map) -> Value {
    let (name, message) = match kind {
        OperationKind::Publish => (
            "AuthenticationError",
            "Authentication error occurred.".to_owned(),
        ),
        OperationKind::Runner | OperationKind::Wheel => {
            let (name, way) = if load.contains_key("token") {
                ("TokenAuthenticationError", "token")
            } else if load.contains_key("eauth") {
                ("EauthAuthenticationError", "eauth")
            } else {
                ("UserAuthenticationError", "user")
            };
            let message = format!("Authentication failure of type \"{way}\" occurred");
            (name, message)
        }
    };
    let error = Map::from([("name", Value::from(name)), ("message", message.into())]);
    Map::from([("error", error)]).into()
}

/// How Python shows a scalar that should have been an id; nothing else is worth showing.
fn python_str(value: &Value) -> String {
    match value {
        Value::Int(n) => n.to_string(),
        Value::UInt(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Null => "None".into(),
        other => other.type_name().into(),
    }
}
