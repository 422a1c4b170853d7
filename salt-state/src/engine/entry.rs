//! The entry of a chunk in the returned mapping: its members, and what Salt refuses.

use std::time::{Duration, SystemTime};

use salt_proto::{Map, Value};

use crate::registry::CallError;
use crate::system::Observe;
use crate::zone::Zone;
use crate::{data, python};

/// A return that has not the shape it must have.
#[derive(Debug, PartialEq)]
pub(super) enum Malformed {
    /// It is no mapping; the run goes on without counting the call.
    NotAMapping,
    /// Something in it has the wrong type; the run goes on.
    Wrong(String),
}

impl Malformed {
    /// The entry given in its place.
    pub(super) fn entry(&self) -> Map {
        let text = match self {
            Self::NotAMapping => "Malformed state return. Data must be a dictionary type.",
            Self::Wrong(text) => text,
        };
        let mut entry = Map::new();
        entry.insert("result", false);
        entry.insert("name", "later");
        entry.insert("changes", Map::new());
        entry.insert(
            "comment",
            format!("An exception occurred in this state: {text}"),
        );
        entry
    }
}

/// Looks at what has to be there before anything else does.
///
/// # Errors
///
/// `KeyError`, which ends the run as in Salt.
pub(super) fn require_members(entry: &Map) -> Result<(), CallError> {
    for key in ["comment", "result", "changes"] {
        if !entry.contains_key(key) {
            return Err(CallError::exception("KeyError", python::repr_str(key)));
        }
    }
    Ok(())
}

/// Makes text of comments and a truth of the result.
pub(super) fn unify(entry: &mut Map) -> Result<(), Malformed> {
    if !matches!(entry.get("changes"), Some(Value::Map(_))) {
        return Err(Malformed::Wrong(
            "'Changes' should be a dictionary.".to_owned(),
        ));
    }
    if !entry.contains_key("name") {
        return Err(Malformed::Wrong(
            "The following keys were not present in the state return: name.".to_owned(),
        ));
    }
    if let Some(comment) = entry.get_mut("comment")
        && let Value::List(lines) = comment
    {
        if let Some(odd) = lines
            .iter()
            .find(|line| !matches!(line, Value::Str(_) | Value::Bytes(_)))
        {
            return Err(Malformed::Wrong(format!(
                "expected str, bytes, or bytearray not <class '{}'>",
                odd.type_name()
            )));
        }
        let lines: Vec<String> = lines.iter().map(python::str).collect();
        *comment = lines.join("\n").into();
    }
    if let Some(result) = entry.get_mut("result")
        && !result.is_null()
    {
        *result = Value::Bool(result.is_true());
    }
    Ok(())
}

/// Hides everything that could be secret (`no_log`).
pub(super) fn hide(entry: &mut Map) {
    for key in ["name", "comment", "changes"] {
        if let Some(value) = entry.get_mut(key) {
            *value = data::mask(value);
        }
    }
}

/// When a call began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began(SystemTime);

impl Began {
    pub(super) fn now(system: &dyn Observe) -> Self {
        Self(system.now())
    }

    pub(super) fn at(self) -> SystemTime {
        self.0
    }

    /// Writes `start_time` (local, `HH:MM:SS.ffffff`) and `duration` (milliseconds).
    pub(super) fn note(self, entry: &mut Map, zone: &Zone, system: &dyn Observe, more: Duration) {
        entry.insert("start_time", clock(self.0, zone));
        entry.insert("duration", self.duration(system, more));
    }

    fn duration(self, system: &dyn Observe, more: Duration) -> f64 {
        let took = system.now().duration_since(self.0).unwrap_or_default() + more;
        #[expect(clippy::cast_precision_loss, reason = "a run does not last that long")]
        let millis = took.as_micros() as f64 / 1000.0;
        millis
    }
}

fn clock(at: SystemTime, zone: &Zone) -> String {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    let (offset, _) = zone.offset(seconds);
    let of_day = seconds.saturating_add(i64::from(offset)).rem_euclid(86_400);
    format!(
        "{:02}:{:02}:{:02}.{:06}",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        since.subsec_micros()
    )
}

/// Whether an entry says failure, success or neither.
pub(super) fn result_of(entry: &Map) -> Option<bool> {
    match entry.get("result") {
        None | Some(Value::Null) => None,
        Some(result) => Some(result.is_true()),
    }
}

/// Whether an entry reports changes.
pub(super) fn has_changes(entry: &Map) -> bool {
    entry.get("changes").is_some_and(Value::is_true)
}
