//! What a state found and what it would do about it: [`Plan`], [`Changes`], [`Outcome`].

use std::fmt;
use std::ops::{Deref, DerefMut};

use salt_proto::{Map, Value};

use crate::context::Context;
use crate::registry::CallError;
use crate::system::{Places, Steady};

/// What differs, in the shape Salt reports it: an ordered mapping.
///
/// ```
/// use salt_state::Changes;
///
/// let changes = Changes::none().with("diff", "New file").old_new("mode", "0600", "0644");
///
/// assert_eq!(changes.len(), 2);
/// assert!(Changes::none().is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes(Map);

impl Changes {
    /// Nothing differs.
    pub fn none() -> Self {
        Self::default()
    }

    /// One entry.
    pub fn of(key: &str, value: impl Into<Value>) -> Self {
        Self::none().with(key, value)
    }

    /// Adds an entry.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key, value);
        self
    }

    /// Adds an entry of the form `{old: …, new: …}`.
    #[must_use]
    pub fn old_new(self, key: &str, old: impl Into<Value>, new: impl Into<Value>) -> Self {
        self.with(key, Map::from([("old", old.into()), ("new", new.into())]))
    }

    /// The mapping itself.
    pub fn into_map(self) -> Map {
        self.0
    }
}

impl Deref for Changes {
    type Target = Map;

    fn deref(&self) -> &Map {
        &self.0
    }
}

impl DerefMut for Changes {
    fn deref_mut(&mut self) -> &mut Map {
        &mut self.0
    }
}

impl From<Map> for Changes {
    fn from(map: Map) -> Self {
        Self(map)
    }
}

impl From<Changes> for Value {
    fn from(changes: Changes) -> Self {
        Self::Map(changes.0)
    }
}

/// What applying a plan came to, where it differs from what was planned.
///
/// `()` is "as planned", so a closure that has nothing to correct returns `Ok(())`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    pub(crate) comment: Option<Value>,
    pub(crate) changes: Option<Changes>,
    pub(crate) result: Option<Option<bool>>,
    pub(crate) extra: Map,
    pub(crate) warnings: Vec<String>,
    pub(crate) raw: Option<Value>,
}

impl Done {
    /// It went as planned.
    pub fn as_planned() -> Self {
        Self::default()
    }

    /// It was done, and this is what to say about it.
    pub fn with_comment(comment: impl Into<Value>) -> Self {
        Self::default().comment(comment)
    }

    /// It could not be done. Changes are none unless [`Done::changes`] states them.
    pub fn failed(comment: impl Into<Value>) -> Self {
        Self {
            result: Some(Some(false)),
            changes: Some(Changes::none()),
            ..Self::with_comment(comment)
        }
    }

    /// The function's return as it is, for those that are not written here (a bridge to
    /// Python). The engine checks its shape as Salt does.
    pub fn raw(value: impl Into<Value>) -> Self {
        Self {
            raw: Some(value.into()),
            ..Self::default()
        }
    }

    /// Corrects the comment.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<Value>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// Corrects the changes.
    #[must_use]
    pub fn changes(mut self, changes: impl Into<Changes>) -> Self {
        self.changes = Some(changes.into());
        self
    }

    /// Corrects the result.
    #[must_use]
    pub fn result(mut self, result: impl Into<Option<bool>>) -> Self {
        self.result = Some(result.into());
        self
    }

    /// Adds a member of the entry (`pid`, `retcode`, …).
    #[must_use]
    pub fn extra(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key, value);
        self
    }

    /// Adds a warning.
    #[must_use]
    pub fn warning(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }
}

impl From<()> for Done {
    fn from((): ()) -> Self {
        Self::as_planned()
    }
}

/// What carries a plan out.
pub type Apply = Box<dyn FnOnce(&Context<'_>) -> Result<Done, CallError> + Send>;

/// What a state found, and how it would be made right.
///
/// The engine decides whether a plan is carried out. In test mode a plan with something
/// to do has the result `None`, its predicted changes and its test comment.
///
/// Comments are texts, or lists of texts that are joined by line breaks.
///
/// ```
/// use std::path::Path;
/// use salt_state::{Changes, Plan, WriteOptions};
///
/// let path = Path::new("/etc/motd");
/// let plan = Plan::change(
///     "The file was written",
///     Changes::of("diff", "New file"),
///     move |context| Ok(context.system.write(path, b"hello\n", &WriteOptions::new())?),
/// )
/// .when_testing("The file would be written");
/// assert!(plan.is_change());
/// ```
#[must_use]
pub struct Plan {
    /// The result without anything left to do: of [`Plan::unchanged`] true, of
    /// [`Plan::fail`] false. For a change: the result once it is carried out.
    pub result: Option<bool>,
    /// The comment once everything is done.
    pub comment: Value,
    /// The changes that there will have been, exactly.
    pub changes: Changes,
    /// The comment in test mode; default: `comment`.
    pub test_comment: Option<Value>,
    /// What test mode shows as changes where that is less than `changes`.
    pub test_changes: Option<Changes>,
    /// The result in test mode; default: `None` for a change, else `result`.
    pub test_result: Option<Option<bool>>,
    /// Texts for the entry's `warnings`.
    pub warnings: Vec<String>,
    /// Further members of the entry (`skip_watch`, `pchanges`, …), in both modes.
    pub extra: Map,
    /// A return as it is; see [`Plan::raw`].
    pub raw: Option<Value>,
    /// What carries it out; `None` when there is nothing to do.
    pub apply: Option<Apply>,
    /// Where the paths led that the check looked at.
    pub(crate) places: Option<Places>,
    /// What a rehearsal does instead of that.
    instead: Option<Apply>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("result", &self.result)
            .field("comment", &self.comment)
            .field("changes", &self.changes)
            .field("applies", &self.apply.is_some())
            .finish_non_exhaustive()
    }
}

impl Plan {
    /// A settled answer, the same in test mode.
    pub fn answer(
        result: impl Into<Option<bool>>,
        comment: impl Into<Value>,
        changes: impl Into<Changes>,
    ) -> Self {
        Self {
            result: result.into(),
            comment: comment.into(),
            changes: changes.into(),
            test_comment: None,
            test_changes: None,
            test_result: None,
            warnings: Vec::new(),
            extra: Map::new(),
            raw: None,
            apply: None,
            places: None,
            instead: None,
        }
    }

    /// Everything is as it should be.
    pub fn unchanged(comment: impl Into<Value>) -> Self {
        Self::answer(true, comment, Changes::none())
    }

    /// It cannot be done.
    pub fn fail(comment: impl Into<Value>) -> Self {
        Self::answer(false, comment, Changes::none())
    }

    /// Something has to be done: what to say when it is done, what will have changed, and
    /// how. The closure may correct comment, changes and result ([`Done`]); an error of
    /// it is reported as an exception in the state, so foreseen failures are
    /// [`Done::failed`].
    pub fn change<D: Into<Done>>(
        comment: impl Into<Value>,
        changes: impl Into<Changes>,
        apply: impl FnOnce(&Context<'_>) -> Result<D, CallError> + Send + 'static,
    ) -> Self {
        Self {
            apply: Some(Box::new(move |context| apply(context).map(Into::into))),
            ..Self::answer(true, comment, changes)
        }
    }

    /// A return as it is, for functions that are not written here. Shown in both modes.
    pub fn raw(value: impl Into<Value>) -> Self {
        Self {
            raw: Some(value.into()),
            ..Self::unchanged("")
        }
    }

    /// The comment in test mode.
    pub fn when_testing(mut self, comment: impl Into<Value>) -> Self {
        self.test_comment = Some(comment.into());
        self
    }

    /// The changes that test mode shows, where Salt's dry run shows others than there
    /// will be.
    pub fn test_changes(mut self, changes: impl Into<Changes>) -> Self {
        self.test_changes = Some(changes.into());
        self
    }

    /// The result in test mode.
    pub fn test_result(mut self, result: impl Into<Option<bool>>) -> Self {
        self.test_result = Some(result.into());
        self
    }

    /// Adds a warning.
    pub fn warning(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }

    /// Adds a member of the entry.
    pub fn extra(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key, value);
        self
    }

    /// What is done instead when the change is tried out on a
    /// [`Rehearsal`](crate::Rehearsal), where commands do not run: what they would leave in
    /// files.
    pub fn when_rehearsing(
        mut self,
        leave: impl FnOnce(&Context<'_>) -> Result<(), CallError> + Send + 'static,
    ) -> Self {
        self.instead = Some(Box::new(move |context| leave(context).map(Into::into)));
        self
    }

    /// What [`Plan::when_rehearsing`] stated.
    pub(crate) fn instead(&mut self) -> Option<Apply> {
        self.instead.take()
    }

    /// A change of something it watches does not call `mod_watch`.
    pub fn skip_watch(self) -> Self {
        self.extra("skip_watch", true)
    }

    /// Whether there is something to do.
    pub fn is_change(&self) -> bool {
        self.apply.is_some()
    }

    /// What a dry run reports.
    pub fn predicted(self) -> Outcome {
        let change = self.is_change();
        let result = if change { None } else { self.result };
        Outcome {
            result: self.test_result.unwrap_or(result),
            changes: self.test_changes.unwrap_or(self.changes),
            comment: self.test_comment.unwrap_or(self.comment),
            warnings: self.warnings,
            extra: self.extra,
            raw: self.raw,
        }
    }

    /// What would be reported if it were carried out, with nothing left out; for what
    /// cannot be foreseen, what a dry run reports.
    pub fn exactly(mut self) -> Outcome {
        if !self.changes.is_empty() {
            self.test_changes = None;
        }
        self.predicted()
    }

    /// Carries it out.
    ///
    /// # Errors
    ///
    /// What the closure reports.
    pub fn carry_out(self, context: &Context<'_>) -> Result<Outcome, CallError> {
        let mut outcome = Outcome {
            result: self.result,
            changes: self.changes,
            comment: self.comment,
            warnings: self.warnings,
            extra: self.extra,
            raw: self.raw,
        };
        if let Some(apply) = self.apply {
            let done = match self.places {
                None => apply(context)?,
                Some(places) => {
                    let steady = Steady::new(context.system, places);
                    context.through(&steady, apply)?
                }
            };
            if let Some(result) = done.result {
                outcome.result = result;
            }
            if let Some(changes) = done.changes {
                outcome.changes = changes;
            }
            if let Some(comment) = done.comment {
                outcome.comment = comment;
            }
            outcome.warnings.extend(done.warnings);
            outcome.extra.extend(done.extra);
            outcome.raw = done.raw.or(outcome.raw);
        }
        Ok(outcome)
    }
}

/// What a state function returned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// `Some(true)`: all is well. `Some(false)`: it failed. `None`: it would change.
    pub result: Option<bool>,
    /// What changed or would change.
    pub changes: Changes,
    /// A text, or a list of texts.
    pub comment: Value,
    /// What the user should know beside.
    pub warnings: Vec<String>,
    /// Further members of the entry.
    pub extra: Map,
    /// The return itself where it came from elsewhere.
    pub raw: Option<Value>,
}

impl Outcome {
    /// The mapping that a function of Salt returns.
    pub fn into_value(self, name: &Value) -> Value {
        if let Some(raw) = self.raw {
            return raw;
        }
        let mut entry = Map::new();
        entry.insert("name", name.clone());
        entry.insert("changes", self.changes);
        entry.insert("result", Value::from(self.result));
        entry.insert("comment", self.comment);
        if !self.warnings.is_empty() {
            entry.insert("warnings", self.warnings.into_iter().collect::<Value>());
        }
        entry.extend(self.extra);
        entry.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::registry::Registry;
    use crate::system::FakeSystem;

    fn change() -> Plan {
        Plan::change("done", Changes::of("a", 1), |_| {
            Ok(Done::with_comment("done twice").changes(Changes::of("a", 2)))
        })
        .when_testing("to do")
    }

    #[test]
    fn a_dry_run_predicts_and_does_nothing() {
        let outcome = change().predicted();

        assert_eq!(outcome.result, None);
        assert_eq!(outcome.comment, "to do".into());
        assert_eq!(outcome.changes, Changes::of("a", 1));
    }

    #[test]
    fn what_is_carried_out_may_correct_the_plan() {
        let registry = Registry::new();
        let (machine, minion) = (FakeSystem::new(), MinionData::default());
        let context = Context::new(&registry, &machine, &minion);

        let outcome = change().carry_out(&context).unwrap();

        assert_eq!(outcome.result, Some(true));
        assert_eq!(outcome.comment, "done twice".into());
        assert_eq!(outcome.changes, Changes::of("a", 2));
    }
}
