//! Arguments: how a job carries them, how a command line spells them, and how a
//! function asks for them.

use salt_proto::{Map, Value};

use crate::registry::CallError;
use crate::{python, yaml};

mod signature;

pub use signature::{Parameter, Signature};

/// The arguments of one call.
///
/// A call by a job or from a template has positional and keyword arguments. When the
/// function has a [`Signature`], positional arguments have already been given their
/// names and defaults filled in, so that [`Args::get`] finds every parameter; what
/// `*args` and `**kwargs` collect stays in [`Args::positional`] and
/// [`Args::keywords`].
///
/// ```
/// use salt_proto::Value;
/// use salt_state::Args;
///
/// // As in a published job: `cmd.run 'ls -l' cwd=/tmp`.
/// let args = Args::new().with("ls -l").keyword("cwd", "/tmp");
///
/// assert_eq!(args.positional(), [Value::from("ls -l")]);
/// assert_eq!(args.str("cwd").unwrap(), "/tmp");
/// assert_eq!(args.str("env").unwrap_err().to_string(), "Missing argument: env");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    pub(crate) named: Map,
    pub(crate) positional: Vec<Value>,
    pub(crate) keywords: Map,
}

impl Args {
    /// No arguments.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a positional argument.
    #[must_use]
    pub fn with(mut self, value: impl Into<Value>) -> Self {
        self.positional.push(value.into());
        self
    }

    /// Adds a keyword argument.
    #[must_use]
    pub fn keyword(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.keywords.insert(name, value);
        self
    }

    /// The arguments on a command line, read as Salt's programs do: text of the form
    /// `name=value` is a keyword, and every text is read by [`read_value`].
    ///
    /// `verbatim` names the keywords whose value stays as it was typed (`--no-parse`).
    pub fn from_words<I: IntoIterator<Item: AsRef<str>>>(words: I, verbatim: &[&str]) -> Self {
        let mut this = Self::new();
        for word in words {
            let word = word.as_ref();
            match split_keyword(word) {
                Some((name, value)) if verbatim.contains(&name) => {
                    this.keywords.insert(name, value);
                }
                Some((name, value)) => {
                    this.keywords.insert(name, read_value(value));
                }
                None => this.positional.push(read_value(word)),
            }
        }
        this
    }

    /// The arguments of a published job, read as Salt's minion does: mappings marked
    /// `__kwarg__` are keywords, and so is text of the form `name=value`, whose value is
    /// read by [`read_value`]. Everything else has the type it was sent with.
    pub fn from_job(arg: &[Value]) -> Self {
        let mut this = Self::new();
        for one in arg {
            match one {
                Value::Str(text) => match split_keyword(text) {
                    Some((name, value)) => {
                        this.keywords.insert(name, read_value(value));
                    }
                    None => this.positional.push(one.clone()),
                },
                Value::Map(map) if map.contains_key("__kwarg__") => {
                    let mut map = map.clone();
                    let marked = map.remove("__kwarg__");
                    if marked.is_some_and(|marked| marked.is_true()) {
                        this.keywords.extend(map);
                    } else {
                        this.positional.push(map.into());
                    }
                }
                other => this.positional.push(other.clone()),
            }
        }
        this
    }

    /// The arguments as a job carries them: the keywords in one mapping at the end,
    /// marked `__kwarg__`.
    pub fn to_job(&self) -> Vec<Value> {
        let mut arg = self.positional.clone();
        if !self.keywords.is_empty() {
            let mut map = Map::from([("__kwarg__", true)]);
            map.extend(self.keywords.clone());
            arg.push(map.into());
        }
        arg
    }

    /// The positional arguments that no parameter took.
    pub fn positional(&self) -> &[Value] {
        &self.positional
    }

    /// The keyword arguments that no parameter took.
    pub fn keywords(&self) -> &Map {
        &self.keywords
    }

    /// The keywords without those that Salt adds about the job (`__pub_…`).
    pub fn clean_keywords(&self) -> Map {
        let mut map = self.keywords.clone();
        map.retain(|key, _| !key.as_str().is_some_and(|key| key.starts_with("__")));
        map
    }

    /// An argument by name, `None` when absent.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.named.get(name).or_else(|| self.keywords.get(name))
    }

    /// An argument by name, `None` when absent or Python's `None`.
    pub fn given(&self, name: &str) -> Option<&Value> {
        self.get(name).filter(|value| !value.is_null())
    }

    /// Python's truth of an argument; absent is false.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(Value::is_true)
    }

    /// Text that must be there.
    ///
    /// # Errors
    ///
    /// When it is absent or something else than text.
    pub fn str(&self, name: &str) -> Result<&str, CallError> {
        let value = self.required(name)?;
        value
            .as_str()
            .ok_or_else(|| wrong_type(name, "a string", value))
    }

    /// Text of any scalar that must be there, as Python's `str()` has it: what
    /// functions want that call `str()` on a number somebody typed.
    ///
    /// # Errors
    ///
    /// When it is absent.
    pub fn text(&self, name: &str) -> Result<String, CallError> {
        self.required(name).map(python::str)
    }

    /// Text of any scalar that may be there; `None` when it is Python's `None`.
    pub fn optional_text(&self, name: &str) -> Option<String> {
        self.given(name).map(python::str)
    }

    /// An integer that may be there; text of digits counts.
    ///
    /// # Errors
    ///
    /// When it is something else than an integer.
    pub fn optional_int(&self, name: &str) -> Result<Option<i64>, CallError> {
        self.given(name).map(|value| int(name, value)).transpose()
    }

    /// An integer that must be there; text of digits counts.
    ///
    /// # Errors
    ///
    /// When it is absent or something else.
    pub fn int(&self, name: &str) -> Result<i64, CallError> {
        int(name, self.required(name)?)
    }

    /// A list of texts: a list, or text split at commas, each trimmed. Absent is empty.
    pub fn words(&self, name: &str) -> Vec<String> {
        match self.given(name) {
            None => Vec::new(),
            Some(Value::List(items)) => items.iter().map(python::str).collect(),
            Some(other) => python::str(other)
                .split(',')
                .map(|word| word.trim().to_owned())
                .filter(|word| !word.is_empty())
                .collect(),
        }
    }

    fn required(&self, name: &str) -> Result<&Value, CallError> {
        self.get(name)
            .ok_or_else(|| CallError::Invocation(format!("Missing argument: {name}")))
    }
}

fn int(name: &str, value: &Value) -> Result<i64, CallError> {
    match value {
        Value::Int(n) => Ok(*n),
        Value::Bool(b) => Ok(i64::from(*b)),
        #[expect(clippy::cast_possible_truncation, reason = "as Python's int() does")]
        Value::Float(x) if x.is_finite() => Ok(*x as i64),
        Value::Str(text) => text.trim().parse().map_err(|_| {
            let text = python::repr_str(text);
            CallError::exception(
                "ValueError",
                format!("invalid literal for int() with base 10: {text}"),
            )
        }),
        other => Err(wrong_type(name, "an integer", other)),
    }
}

fn wrong_type(name: &str, wanted: &str, value: &Value) -> CallError {
    CallError::Invocation(format!(
        "Argument {name} must be {wanted}, not {}",
        value.type_name()
    ))
}

/// Splits `name=value` as Salt does: the name begins with a letter or `_` and goes on with
/// those, digits, dots and dashes; `name==…` and a value of several lines are no keyword.
pub fn split_keyword(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let mut letters = name.chars();
    let first = letters.next()?;
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if !is_word(first)
        || is_decimal(first)
        || !letters.all(|c| is_word(c) || matches!(c, '.' | '-'))
    {
        return None;
    }
    let value = value.strip_suffix('\n').unwrap_or(value);
    (!value.starts_with('=') && !value.contains('\n')).then_some((name, value))
}

/// Python's `\d`: the decimal digits of every script, told apart from other numbers by
/// having a value below ten in a run that starts at a zero. Only ASCII ones occur in
/// practice; others are treated as letters.
fn is_decimal(c: char) -> bool {
    c.is_ascii_digit()
}

/// Gives a text from a command line the type Salt gives it.
///
/// It is read as YAML, but stays what it was typed as where YAML would surprise: a
/// mapping or list counts only when it is written with `{` or `[`, `#` does not begin a
/// comment in a text, and text with line breaks or tabs, digits with `_`, and what YAML
/// cannot read stay as they are. `None` is null.
///
/// ```
/// use salt_proto::Value;
/// use salt_state::args::read_value;
///
/// assert_eq!(read_value("010"), Value::Int(10));
/// assert_eq!(read_value("key: value"), "key: value".into());
/// assert_eq!(read_value("#1"), "#1".into());
/// assert_eq!(read_value("yes"), Value::Bool(true));
/// ```
pub fn read_value(text: &str) -> Value {
    let verbatim = || Value::from(text);
    if text.trim().is_empty()
        || text.contains(['\n', '\r', '\t'])
        || matches!(text, "---" | "..." | "|" | "!")
        || is_grouped_digits(text)
    {
        return verbatim();
    }
    if text == "None" {
        return Value::Null;
    }
    let Ok(value) = yaml::load(text) else {
        return verbatim();
    };
    if text.contains('#') {
        // A comment would take a part of the text away.
        return match value {
            Value::Str(_) | Value::Null => verbatim(),
            value => value,
        };
    }
    match value {
        Value::Map(_) if !text.trim_start().starts_with('{') => verbatim(),
        Value::List(_) if !text.trim_start().starts_with('[') => verbatim(),
        // An integer too large for a message; as text it at least keeps its digits.
        Value::Float(_)
            if text
                .trim()
                .trim_start_matches(['+', '-'])
                .bytes()
                .all(|c| c.is_ascii_digit()) =>
        {
            verbatim()
        }
        value => value,
    }
}

/// `1_000`: YAML 1.1 reads a number, but people type names like that.
fn is_grouped_digits(text: &str) -> bool {
    let text = text.trim();
    text.contains('_') && text.bytes().all(|c| c.is_ascii_digit() || c == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    // As the minion of Salt 3008.3 answered a job published with this list.
    #[test]
    fn a_job_list_is_split_into_positional_and_keyword_arguments() {
        let arg = [
            Value::from("1"),
            "\"1\"".into(),
            "a=1".into(),
            "b=\"x\"".into(),
            Map::from([("__kwarg__", Value::from(true)), ("y", "3".into())]).into(),
            Map::from([("q", 1)]).into(),
        ];

        let args = Args::from_job(&arg);

        let plain = ["1".into(), "\"1\"".into(), Map::from([("q", 1)]).into()];
        assert_eq!(args.positional(), plain);
        let keywords = [("a", Value::Int(1)), ("b", "x".into()), ("y", "3".into())];
        assert_eq!(args.keywords(), &Map::from(keywords));
    }

    #[test]
    fn arguments_survive_the_way_through_a_job() {
        let args = Args::new().with(1).with("a").keyword("k", "v");
        assert_eq!(Args::from_job(&args.to_job()), args);
    }

    #[test]
    fn verbatim_keywords_keep_their_text() {
        let args = Args::from_words(["a=1", "b=1", "07"], &["a"]);
        assert_eq!(args.get("a"), Some(&"1".into()));
        assert_eq!(args.get("b"), Some(&Value::Int(1)));
        assert_eq!(args.positional(), [Value::Int(7)]);
    }

    #[test]
    fn keywords_are_recognised_as_salt_does() {
        for (text, expected) in [
            ("a=b", Some(("a", "b"))),
            ("a=", Some(("a", ""))),
            ("a.b-c=d", Some(("a.b-c", "d"))),
            ("é=1", Some(("é", "1"))),
            ("a=b=c", Some(("a", "b=c"))),
            ("a=b\n", Some(("a", "b"))),
            ("a==b", None),
            ("=b", None),
            ("1a=2", None),
            ("a b=c", None),
            ("a = b", None),
            ("a=b\nc", None),
        ] {
            assert_eq!(split_keyword(text), expected, "{text:?}");
        }
    }
}
