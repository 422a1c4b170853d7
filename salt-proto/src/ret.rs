//! What a minion sends back.

use crate::id::MinionId;
use crate::jid::Jid;
use crate::job::Functions;
use crate::message::LoadError;
use crate::message::field;
use crate::msgpack::{self, Dialect};
use crate::value::{Map, Value};

/// The result of a job on one minion.
#[derive(Clone, Debug, PartialEq)]
pub struct Return {
    /// The minion.
    pub id: MinionId,
    /// The job; `None` is Salt's `req`: the master assigns an id (`salt-call`).
    pub jid: Option<Jid>,
    /// What was called.
    pub function: Functions,
    /// The arguments it was called with, as they were published: a list, or for
    /// several functions a list of lists.
    pub args: Value,
    /// The result. Of several functions: a map by function name.
    pub value: Value,
    /// The exit code, an integer. Of several functions: a map by function name.
    pub retcode: Value,
    /// Whether it went well, a boolean. Of several functions: a map by function
    /// name. Absent in what `salt-call` sends.
    pub success: Option<Value>,
    /// The outputter the result wants: `nested`, `highstate`, …
    pub out: Option<String>,
    /// Who published the job.
    pub user: Option<String>,
    /// Every other key, as it came: `metadata`, `master_id`, `_stamp`, `ts`, …
    pub extra: Map,
}

impl Return {
    /// A result that went well.
    ///
    /// As in Salt, a map whose `result` or `success` is false has exit code 1.
    pub fn new(
        id: MinionId,
        jid: impl Into<Option<Jid>>,
        function: Functions,
        value: impl Into<Value>,
    ) -> Self {
        let value = value.into();
        let retcode = implied_retcode(&value);
        Self {
            id,
            jid: jid.into(),
            function,
            args: Value::List(Vec::new()),
            value,
            retcode: Value::Int(retcode),
            success: Some(Value::Bool(retcode == 0)),
            out: None,
            user: None,
            extra: Map::new(),
        }
    }

    /// The same with another exit code, as a function sets it besides its result.
    #[must_use]
    pub fn with_retcode(mut self, retcode: i64) -> Self {
        self.retcode = Value::Int(retcode);
        self.success = Some(Value::Bool(retcode == 0));
        self
    }

    /// The same with the outputter the result wants.
    #[must_use]
    pub fn with_out(mut self, out: impl Into<String>) -> Self {
        self.out = Some(out.into());
        self
    }

    /// The exit code as one number: of several functions the greatest.
    pub fn exit_code(&self) -> i64 {
        match &self.retcode {
            Value::Map(codes) => codes.values().filter_map(Value::as_int).max().unwrap_or(0),
            Value::List(codes) => codes.iter().filter_map(Value::as_int).max().unwrap_or(0),
            code => code.as_int().unwrap_or(0),
        }
    }

    /// Whether everything went well.
    pub fn is_success(&self) -> bool {
        self.exit_code() == 0
            && match &self.success {
                Some(Value::Map(each)) => each.values().all(Value::is_true),
                Some(Value::List(each)) => each.iter().all(Value::is_true),
                Some(one) => one.is_true(),
                None => true,
            }
    }

    /// Whether this says the same as `other`; time stamps and the like aside.
    pub fn same_outcome(&self, other: &Self) -> bool {
        (
            &self.id,
            &self.jid,
            &self.function,
            &self.value,
            &self.retcode,
            &self.success,
        ) == (
            &other.id,
            &other.jid,
            &other.function,
            &other.value,
            &other.retcode,
            &other.success,
        )
    }

    /// Reads the load of a `_return`; `nonce`, `tok` and `sig` end up in `extra`.
    ///
    /// # Errors
    ///
    /// If `id`, `jid`, `fun` or `return` are missing or of a wrong type.
    pub fn from_map(map: Map) -> Result<Self, LoadError> {
        let (mut id, mut jid, mut function, mut args, mut value) = (None, None, None, None, None);
        let (mut retcode, mut success, mut out, mut user) = (None, None, None, None);
        let mut extra = Map::new();
        for (key, field) in map {
            let Some(name) = key.as_str() else {
                extra.insert(key, field);
                continue;
            };
            match name {
                "cmd" => {}
                "id" => id = Some(field),
                "jid" => jid = Some(field),
                "fun" => function = Some(field),
                "fun_args" => args = Some(field),
                "return" => value = Some(field),
                "retcode" => retcode = Some(field),
                "success" => success = Some(field),
                "out" if field.as_str().is_some() => out = field::text(field),
                "user" if field.as_str().is_some() => user = field::text(field),
                _ => {
                    extra.insert(key, field);
                }
            }
        }
        let refused = |field| LoadError::Field {
            command: "_return",
            field,
        };
        Ok(Self {
            id: id
                .as_ref()
                .and_then(|id| MinionId::try_from(id).ok())
                .ok_or_else(|| refused("id"))?,
            jid: match jid
                .as_ref()
                .and_then(Value::as_str)
                .ok_or_else(|| refused("jid"))?
            {
                "req" => None,
                jid => Some(jid.parse().map_err(|_| refused("jid"))?),
            },
            function: function
                .and_then(Functions::from_value)
                .ok_or_else(|| refused("fun"))?,
            args: args.unwrap_or_else(|| Value::List(Vec::new())),
            value: value.ok_or_else(|| refused("return"))?,
            retcode: retcode.unwrap_or(Value::Int(0)),
            success,
            out,
            user,
            extra,
        })
    }

    /// The load of a `_return`, in the order stock minions write its keys.
    pub fn to_map(&self) -> Map {
        let mut map = Map::with_capacity(10 + self.extra.len());
        map.insert("cmd", "_return");
        map.insert("id", &self.id);
        if let Some(success) = &self.success {
            map.insert("success", success.clone());
        }
        map.insert("return", self.value.clone());
        map.insert("retcode", self.retcode.clone());
        if let Some(out) = &self.out {
            map.insert("out", out);
        }
        match &self.jid {
            Some(jid) => map.insert("jid", jid),
            None => map.insert("jid", "req"),
        };
        map.insert("fun", self.function.to_value());
        map.insert("fun_args", self.args.clone());
        if let Some(user) = &self.user {
            map.insert("user", user);
        }
        for (key, value) in &self.extra {
            map.insert(key.clone(), value.clone());
        }
        map
    }
}

/// The exit code a result stands for when the function set none.
pub(crate) fn implied_retcode(value: &Value) -> i64 {
    let failed = |key| value.get(key).is_some_and(|flag| !flag.is_true());
    i64::from(failed("result") || failed("success"))
}

/// What the signature of a return (or any signed minion load) covers: the load
/// without `sig`, `nonce` and `tok`, in the order it was sent, in the bin dialect.
///
/// The order is that of `load`, so a master must pass the map as it was decoded.
pub fn signed_bytes(load: &Map) -> Vec<u8> {
    let unsigned = |key: &Value| !matches!(key.as_str(), Some("sig" | "nonce" | "tok"));
    let mut bytes = Vec::with_capacity(256);
    msgpack::encode_selected(load, unsigned, Dialect::Bin, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ret(value: impl Into<Value>) -> Return {
        let id = MinionId::parse("web1").unwrap();
        Return::new(
            id,
            Jid::from_unix_micros(0),
            Functions::from("test.ping"),
            value,
        )
    }

    #[test]
    fn a_map_that_says_false_has_exit_code_1() {
        assert_eq!(ret(Map::from([("result", false)])).exit_code(), 1);
        assert_eq!(ret(Map::from([("success", Value::Null)])).exit_code(), 1);
        assert_eq!(ret(Map::from([("result", true)])).exit_code(), 0);
        assert_eq!(ret(false).exit_code(), 0);
    }

    #[test]
    fn a_return_survives_the_wire_with_keys_nobody_knows() {
        let mut sent = ret(vec![Value::Null, "x".into()])
            .with_retcode(3)
            .with_out("nested");
        sent.user = Some("root".into());
        sent.extra.insert("traceparent", "00-1");
        assert_eq!(Return::from_map(sent.to_map()).unwrap(), sent);
        assert!(!sent.is_success());

        sent.jid = None;
        assert_eq!(sent.to_map().str("jid"), Some("req"));
        assert_eq!(Return::from_map(sent.to_map()).unwrap(), sent);
    }

    // K-02, P-02
    #[test]
    fn a_return_with_a_path_for_an_id_or_jid_is_refused() {
        for (key, value) in [("id", "../x"), ("jid", "../x"), ("jid", "")] {
            let mut map = ret(1).to_map();
            map.insert(key, value);
            assert!(Return::from_map(map).is_err(), "{key}={value:?}");
        }
    }

    #[test]
    fn the_signature_covers_the_fields_in_the_order_they_were_sent() {
        let load = Map::from([
            ("b", Value::Int(1)),
            ("tok", Value::Int(2)),
            ("a", Value::Bytes(vec![0xff])),
            ("sig", "x".into()),
        ]);
        assert_eq!(signed_bytes(&load), b"\x82\xa1b\x01\xa1a\xc4\x01\xff");
    }
}
