//! What a missing name or attribute gives.

use super::{Value, repr_str};
use crate::jinja::{Error, Kind, Result, UndefinedKind};

/// A value that is not there, and why.
pub struct Undefined {
    kind: UndefinedKind,
    reason: Reason,
}

enum Reason {
    Hint(String),
    Name(Value),
    Member { of: Value, name: Value },
    Unsafe(String),
}

impl Undefined {
    /// A missing variable.
    pub fn name(kind: UndefinedKind, name: &str) -> Self {
        let reason = Reason::Name(Value::text(name));
        Self { kind, reason }
    }

    /// A missing attribute or item of a value.
    pub fn member(kind: UndefinedKind, of: Value, name: Value) -> Self {
        let reason = Reason::Member { of, name };
        Self { kind, reason }
    }

    /// Something missing that a sentence explains.
    pub fn hint(kind: UndefinedKind, hint: impl Into<String>) -> Self {
        let reason = Reason::Hint(hint.into());
        Self { kind, reason }
    }

    /// An attribute the sandbox keeps from templates.
    pub(crate) fn forbidden(kind: UndefinedKind, message: String) -> Self {
        let reason = Reason::Unsafe(message);
        Self { kind, reason }
    }

    /// Which undefined this is.
    pub fn kind(&self) -> UndefinedKind {
        self.kind
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.kind {
            UndefinedKind::Default => "Undefined",
            UndefinedKind::Strict => "StrictUndefined",
            UndefinedKind::Chainable => "ChainableUndefined",
            UndefinedKind::Debug => "DebugUndefined",
        }
    }

    /// What is missing, in Jinja's words.
    pub fn message(&self) -> String {
        match &self.reason {
            Reason::Hint(text) | Reason::Unsafe(text) => text.clone(),
            Reason::Name(name) => match name {
                Value::Str(name) => format!("{} is undefined", repr_str(name)),
                other => format!("{other:?} is undefined"),
            },
            Reason::Member { of, name } => match name {
                Value::Str(name) => format!(
                    "{} has no attribute {}",
                    repr_str(&object_type_repr(of)),
                    repr_str(name)
                ),
                other => format!("{} has no element {other:?}", object_type_repr(of)),
            },
        }
    }

    /// The error that using this value gives.
    pub fn error(&self) -> Error {
        let kind = match self.reason {
            Reason::Unsafe(_) => Kind::Security,
            _ => Kind::Undefined,
        };
        Error::new(kind, self.message())
    }

    /// Fails when the kind is strict.
    pub(crate) fn check_lenient(&self) -> Result<()> {
        match self.kind {
            UndefinedKind::Strict => Err(self.error()),
            _ => Ok(()),
        }
    }

    pub(crate) fn check_hash(&self) -> Result<()> {
        self.check_lenient()
    }

    pub(crate) fn is_true(&self) -> Result<bool> {
        self.check_lenient().map(|()| false)
    }

    pub(crate) fn str(&self) -> Result<String> {
        match self.kind {
            UndefinedKind::Strict => Err(self.error()),
            UndefinedKind::Default | UndefinedKind::Chainable => Ok(String::new()),
            UndefinedKind::Debug => Ok(match &self.reason {
                Reason::Hint(text) | Reason::Unsafe(text) => {
                    format!("{{{{ undefined value printed: {text} }}}}")
                }
                Reason::Name(name) => format!("{{{{ {} }}}}", name.str()?),
                Reason::Member { of, name } => format!(
                    "{{{{ no such element: {}[{}] }}}}",
                    object_type_repr(of),
                    name.repr()?
                ),
            }),
        }
    }

    pub(super) fn release(&mut self, out: &mut Vec<Value>) {
        if let Reason::Member { of, .. } = &mut self.reason {
            out.push(std::mem::take(of));
        }
    }
}

/// How Jinja names the kind of a value in messages: `dict object`, `None`.
pub(crate) fn object_type_repr(value: &Value) -> String {
    match value {
        Value::None => "None".to_owned(),
        Value::Undefined(undefined) => {
            format!("jinja2.runtime.{} object", undefined.type_name())
        }
        Value::Str(text) if text.is_markup() => "markupsafe.Markup object".to_owned(),
        Value::Dict(dict) if dict.class() == super::DictClass::Ordered => {
            "collections.OrderedDict object".to_owned()
        }
        Value::Dict(dict) if dict.class() == super::DictClass::Namespaced => {
            "salt.utils.context.NamespacedDictWrapper object".to_owned()
        }
        Value::Object(object) => object.type_repr(),
        other => format!("{} object", other.type_name()),
    }
}
