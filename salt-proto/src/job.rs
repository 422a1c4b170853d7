//! A published command as a minion sees it.

use std::fmt;

use crate::id::MinionId;
use crate::jid::Jid;
use crate::message::{LoadError, field};
use crate::ret::Return;
use crate::target::Target;
use crate::value::{Map, Value};

/// One function or several, called by one job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Functions {
    /// The usual case.
    One(String),
    /// A compound job: each with its own arguments.
    Several(Vec<String>),
}

impl Functions {
    /// The name of the only function, or of the first of several.
    pub fn as_str(&self) -> &str {
        match self {
            Self::One(name) => name,
            Self::Several(names) => names.first().map_or("", String::as_str),
        }
    }

    /// The names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }

    /// Reads text, or a list of texts.
    pub fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Str(name) => Some(Self::One(name)),
            Value::List(names) => names
                .into_iter()
                .map(field::text)
                .collect::<Option<_>>()
                .map(Self::Several),
            _ => None,
        }
    }

    /// Text, or a list of texts.
    pub fn to_value(&self) -> Value {
        match self {
            Self::One(name) => name.into(),
            Self::Several(names) => names.iter().collect(),
        }
    }
}

impl From<&str> for Functions {
    fn from(name: &str) -> Self {
        Self::One(name.to_owned())
    }
}

impl From<String> for Functions {
    fn from(name: String) -> Self {
        Self::One(name)
    }
}

impl From<Vec<String>> for Functions {
    fn from(names: Vec<String>) -> Self {
        Self::Several(names)
    }
}

impl fmt::Display for Functions {
    /// The names joined by commas, as on Salt's command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.names().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// A published job.
///
/// ```
/// use salt_proto::{Jid, Job, Target};
///
/// let job = Job::new(Jid::from_unix_micros(0), "test.echo", vec!["hi".into()], Target::glob("*"));
/// let ret = match job.function.as_str() {
///     "test.echo" => job.ok(job.args[0].clone()),
///     _ => job.unknown_function(),
/// };
/// assert_eq!(ret.value, "hi".into());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The job id.
    pub jid: Jid,
    /// What to call.
    pub function: Functions,
    /// The positional arguments. Of several functions: one list for each, whose
    /// keyword arguments are still inside; see [`calls`](Self::calls).
    pub args: Vec<Value>,
    /// The keyword arguments of a single function.
    pub kwargs: Map,
    /// Who is meant.
    pub target: Target,
    /// The returners to send results to besides the master, comma-separated.
    pub ret: String,
    /// Who published: a user name of the master's host, `sudo_<name>`, or empty.
    pub user: String,
    /// The position of this publish under its publish key; the machine that
    /// opened the publish has checked it.
    pub serial: Option<u64>,
    /// What the publisher wants to find again in the returns.
    pub metadata: Option<Value>,
    /// The minion that runs the job. Empty on the master's side and until the
    /// minion's machine has filled it in; returns are made for this id.
    pub minion: Option<MinionId>,
    /// Every other key, as it came: `to`, `id`, `master_id`, `module_executors`, …
    pub extra: Map,
}

/// One call of a job, with its arguments split.
#[derive(Clone, Debug, PartialEq)]
pub struct Call<'a> {
    /// The function.
    pub function: &'a str,
    /// Its positional arguments.
    pub args: Vec<Value>,
    /// Its keyword arguments.
    pub kwargs: Map,
}

const KWARG: &str = "__kwarg__";

impl Job {
    /// A job with nothing but the necessary.
    pub fn new(jid: Jid, function: impl Into<Functions>, args: Vec<Value>, target: Target) -> Self {
        Self {
            jid,
            function: function.into(),
            args,
            kwargs: Map::new(),
            target,
            ret: String::new(),
            user: String::new(),
            serial: None,
            metadata: None,
            minion: None,
            extra: Map::new(),
        }
    }

    /// Reads the map inside a publish.
    ///
    /// # Errors
    ///
    /// If `fun`, `arg`, `jid` or `tgt` are missing or of a wrong type, or the
    /// target can match nobody. Minions ignore such publishes.
    pub fn from_map(map: Map) -> Result<Self, LoadError> {
        const COMMAND: &str = "job";
        let (mut jid, mut function, mut arg, mut tgt, mut tgt_type) =
            (None, None, None, None, None);
        let (mut ret, mut user, mut delimiter) = (None, None, None);
        let (mut serial, mut metadata, mut extra) = (None, None, Map::new());
        for (key, value) in map {
            match key.as_str() {
                Some("jid") => jid = Some(value),
                Some("fun") => function = Some(value),
                Some("arg") => arg = Some(value),
                Some("tgt") => tgt = Some(value),
                Some("tgt_type") => tgt_type = Some(value),
                Some("ret") if value.as_str().is_some() => ret = field::text(value),
                Some("user") if value.as_str().is_some() => user = field::text(value),
                Some("delimiter") => delimiter = Some(value),
                Some("serial") => serial = Some(value),
                Some("metadata") => metadata = Some(value),
                _ => {
                    extra.insert(key, value);
                }
            }
        }
        let refused = |field| LoadError::Field {
            command: COMMAND,
            field,
        };
        let function = function
            .and_then(Functions::from_value)
            .ok_or_else(|| refused("fun"))?;
        let Some(Value::List(mut args)) = arg else {
            return Err(refused("arg"));
        };
        let kwargs = match &function {
            Functions::One(_) => take_kwargs(&mut args),
            Functions::Several(_) => Map::new(),
        };
        let text_or = |value: Option<Value>, default: &str, field| match value {
            None | Some(Value::Null) => Ok(default.to_owned()),
            Some(Value::Str(text)) => Ok(text),
            Some(_) => Err(refused(field)),
        };
        let tgt_type = text_or(tgt_type, "glob", "tgt_type")?;
        let delimiter = text_or(delimiter, ":", "delimiter")?;
        Ok(Self {
            jid: jid
                .as_ref()
                .and_then(|jid| Jid::try_from(jid).ok())
                .ok_or_else(|| refused("jid"))?,
            function,
            args,
            kwargs,
            target: Target::parse(&tgt_type, &tgt.ok_or_else(|| refused("tgt"))?, &delimiter)
                .map_err(|source| LoadError::Target {
                    command: COMMAND,
                    source,
                })?,
            ret: ret.unwrap_or_default(),
            user: user.unwrap_or_default(),
            serial: match serial {
                None => None,
                Some(Value::Int(n)) => Some(u64::try_from(n).map_err(|_| refused("serial"))?),
                Some(Value::UInt(n)) => Some(n),
                Some(_) => return Err(refused("serial")),
            },
            metadata,
            minion: None,
            extra,
        })
    }

    /// The map to publish, in the order stock masters write its keys.
    pub fn to_map(&self) -> Map {
        let mut args = self.args.clone();
        if !self.kwargs.is_empty() {
            let mut kwargs = Map::from([(KWARG, true)]);
            kwargs.extend(self.kwargs.iter().map(|(k, v)| (k.clone(), v.clone())));
            args.push(kwargs.into());
        }
        let mut map = Map::from([
            ("fun", self.function.to_value()),
            ("arg", args.into()),
            ("tgt", self.target.to_value()),
            ("jid", (&self.jid).into()),
            ("ret", (&self.ret).into()),
        ]);
        for (key, value) in &self.extra {
            map.insert(key.clone(), value.clone());
        }
        map.insert("tgt_type", self.target.kind().name());
        if self.target.delimiter() != ":" {
            map.insert("delimiter", self.target.delimiter());
        }
        if !self.user.is_empty() {
            map.insert("user", &self.user);
        }
        if let Some(metadata) = &self.metadata {
            map.insert("metadata", metadata.clone());
        }
        if let Some(serial) = self.serial {
            map.insert("serial", serial);
        }
        map
    }

    /// The calls this job consists of, each with its own arguments.
    pub fn calls(&self) -> Vec<Call<'_>> {
        match &self.function {
            Functions::One(name) => {
                vec![Call {
                    function: name,
                    args: self.args.clone(),
                    kwargs: self.kwargs.clone(),
                }]
            }
            Functions::Several(names) => names
                .iter()
                .enumerate()
                .map(|(n, function)| {
                    let mut args = match self.args.get(n) {
                        Some(Value::List(args)) => args.clone(),
                        _ => Vec::new(),
                    };
                    let kwargs = take_kwargs(&mut args);
                    Call {
                        function,
                        args,
                        kwargs,
                    }
                })
                .collect(),
        }
    }

    /// A result that went well; a map whose `result` or `success` is false has
    /// exit code 1.
    pub fn ok(&self, value: impl Into<Value>) -> Return {
        self.answer(value.into())
    }

    /// The function failed for a reason the caller can act on:
    /// `ERROR: <reason>`, exit code 1. Salt's `CommandExecutionError`.
    pub fn fail(&self, reason: impl fmt::Display) -> Return {
        self.refuse(format!("ERROR: {reason}"))
    }

    /// The function refused how it was called: `ERROR executing 'x.y': <reason>`.
    /// Salt's `SaltInvocationError`.
    pub fn invocation_error(&self, reason: impl fmt::Display) -> Return {
        self.refuse(format!("ERROR executing '{}': {reason}", self.function))
    }

    /// Keyword arguments came that the function does not have, as `name=value`.
    pub fn invalid_keywords(&self, keywords: &[String]) -> Return {
        let keywords = keywords.join(", ");
        self.invocation_error(format_args!(
            "The following keyword arguments are not valid: {keywords}"
        ))
    }

    /// The arguments do not fit the function's parameters. Salt puts a line feed
    /// and the function's documentation behind the reason.
    pub fn invalid_arguments(&self, reason: impl fmt::Display) -> Return {
        self.refuse(format!(
            "Passed invalid arguments to {}: {reason}",
            self.function
        ))
    }

    /// A program the function needs is missing. Salt's `CommandNotFoundError`.
    pub fn command_not_found(&self, reason: impl fmt::Display) -> Return {
        self.refuse(format!(
            "Command required for '{}' not found: {reason}",
            self.function
        ))
    }

    /// The function broke. Salt puts a traceback behind the colon.
    pub fn exception(&self, detail: impl fmt::Display) -> Return {
        self.refuse(format!("The minion function caused an exception: {detail}"))
    }

    /// There is no such function: `'x.y' is not available.`
    pub fn unknown_function(&self) -> Return {
        self.refuse(format!("'{}' is not available.", self.function))
    }

    /// The results of several functions as one return: maps by function name.
    ///
    /// `results` are in the order of [`calls`](Self::calls), made by
    /// [`ok`](Self::ok) and the like on the job [`Self::single`] gives for each.
    pub fn several(&self, results: &[Return]) -> Return {
        let by_name = |part: fn(&Return) -> Value| -> Value {
            self.function
                .names()
                .zip(results)
                .map(|(name, ret)| (name, part(ret)))
                .collect::<Map>()
                .into()
        };
        let mut ret = self.answer(by_name(|ret| ret.value.clone()));
        ret.retcode = by_name(|ret| ret.retcode.clone());
        ret.success = Some(by_name(|ret| {
            ret.success.clone().unwrap_or(Value::Bool(true))
        }));
        ret
    }

    /// This job with only one of its calls.
    pub fn single(&self, call: &Call<'_>) -> Self {
        Self {
            function: Functions::from(call.function),
            args: call.args.clone(),
            kwargs: call.kwargs.clone(),
            ..self.clone()
        }
    }

    fn refuse(&self, text: String) -> Return {
        self.answer(Value::Str(text))
            .with_retcode(1)
            .with_out("nested")
    }

    fn answer(&self, value: Value) -> Return {
        // A job that was not addressed to a minion yet is answered by nobody in
        // particular; the link puts its own id there before sending.
        let id = self.minion.clone().unwrap_or_else(MinionId::unassigned);
        let mut ret = Return::new(id, self.jid.clone(), self.function.clone(), value);
        let map = self.to_map();
        if let Some(args) = map.get("arg") {
            ret.args = args.clone();
        }
        ret.user = (!self.user.is_empty()).then(|| self.user.clone());
        if let Some(metadata) = &self.metadata {
            ret.extra.insert("metadata", metadata.clone());
        }
        ret
    }
}

/// Takes the maps marked `__kwarg__` out of positional arguments and merges them.
fn take_kwargs(args: &mut Vec<Value>) -> Map {
    let mut kwargs = Map::new();
    args.retain_mut(|arg| match arg {
        Value::Map(map) if map.get(KWARG).is_some_and(Value::is_true) => {
            map.remove(KWARG);
            kwargs.extend(std::mem::take(map));
            false
        }
        _ => true,
    });
    kwargs
}

/// Splits a text argument that minions read as a keyword argument: `name=value`
/// with a Python-like name, and no second `=` after the first.
///
/// Stock minions do this with the positional texts of a job, and read the value
/// as YAML, when the function has a parameter of that name.
pub fn keyword(arg: &str) -> Option<(&str, &str)> {
    let (name, value) = arg.split_once('=')?;
    let mut chars = name.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    let is_name = starts_well && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    (is_name && !value.starts_with('=')).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(function: impl Into<Functions>, args: Vec<Value>) -> Job {
        Job::new(Jid::from_unix_micros(0), function, args, Target::glob("*"))
    }

    #[test]
    fn keyword_arguments_travel_in_one_marked_map_at_the_end() {
        let mut sent = job("test.arg", vec!["a".into(), Map::from([("x", 1)]).into()]);
        sent.kwargs.insert("k", "v");

        let map = sent.to_map();
        let last = map
            .get("arg")
            .and_then(Value::as_list)
            .unwrap()
            .last()
            .unwrap();
        assert_eq!(
            last,
            &Map::from([("__kwarg__", Value::Bool(true)), ("k", "v".into())]).into()
        );
        assert_eq!(Job::from_map(map).unwrap(), sent);
    }

    #[test]
    fn each_of_several_functions_has_its_own_arguments() {
        let kwargs = Map::from([("__kwarg__", Value::Bool(true)), ("k", 1.into())]);
        let job = job(
            vec!["test.ping".to_owned(), "test.arg".to_owned()],
            vec![
                Value::List(vec![]),
                Value::List(vec!["a".into(), kwargs.into()]),
            ],
        );
        let calls = job.calls();
        assert_eq!(calls[0].args, []);
        assert_eq!(calls[1].args, ["a".into()]);
        assert_eq!(calls[1].kwargs, Map::from([("k", 1)]));

        let results = [
            job.single(&calls[0]).ok(true),
            job.single(&calls[1]).unknown_function(),
        ];
        let ret = job.several(&results);
        assert_eq!(ret.value.get("test.ping"), Some(&Value::Bool(true)));
        assert_eq!(
            ret.retcode,
            Map::from([("test.ping", 0), ("test.arg", 1)]).into()
        );
        assert_eq!(
            ret.success,
            Some(Map::from([("test.ping", true), ("test.arg", false)]).into())
        );
        assert!(!ret.is_success());
    }

    // Recorded from a minion of Salt 3008.3.
    #[test]
    fn failures_are_answered_with_salts_words() {
        let ping = job("test.ping", vec![]);
        for (ret, text) in [
            (ping.unknown_function(), "'test.ping' is not available."),
            (ping.fail("nope"), "ERROR: nope"),
            (
                ping.invocation_error("bad"),
                "ERROR executing 'test.ping': bad",
            ),
            (
                ping.invalid_keywords(&["foo=bar".to_owned()]),
                "ERROR executing 'test.ping': The following keyword arguments are not valid: foo=bar",
            ),
            (
                ping.invalid_arguments("ping() takes 0 positional arguments but 3 were given"),
                "Passed invalid arguments to test.ping: ping() takes 0 positional arguments but 3 were given",
            ),
            (
                ping.command_not_found("nope"),
                "Command required for 'test.ping' not found: nope",
            ),
            (
                ping.exception("boom"),
                "The minion function caused an exception: boom",
            ),
        ] {
            assert_eq!(ret.value, text.into());
            assert_eq!(
                (ret.exit_code(), ret.is_success(), ret.out.as_deref()),
                (1, false, Some("nested")),
                "{text}"
            );
        }
        assert_eq!(
            (
                ping.ok(true).exit_code(),
                ping.ok(true).is_success(),
                ping.ok(true).out
            ),
            (0, true, None)
        );
    }

    #[test]
    fn a_publish_that_lacks_a_necessary_key_is_no_job() {
        for key in ["fun", "arg", "jid", "tgt"] {
            let mut map = job("test.ping", vec![]).to_map();
            map.remove(key);
            assert!(Job::from_map(map).is_err(), "{key}");
        }
    }

    // P-02
    #[test]
    fn a_publish_whose_jid_is_a_path_is_no_job() {
        let mut map = job("test.ping", vec![]).to_map();
        map.insert("jid", "../../tmp/x");
        assert!(Job::from_map(map).is_err());
    }

    #[test]
    fn only_named_texts_are_keywords() {
        assert_eq!(keyword("a=b=c"), Some(("a", "b=c")));
        assert_eq!(keyword("a="), Some(("a", "")));
        for text in ["a==b", "=b", "1a=b", "a b=c", "a"] {
            assert_eq!(keyword(text), None, "{text}");
        }
    }
}
