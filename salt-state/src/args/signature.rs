//! What a function takes, and what Python says when it gets something else.

use salt_proto::{Map, Value};

use super::Args;
use crate::registry::CallError;

/// The parameters of a function, written as in Python:
/// `get(key, default='', delimiter=':')`.
///
/// The name before the parenthesis is what error texts call the function; it differs
/// from the last part of Salt's name where that is a word of Python (`true_`, `list_`).
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    name: String,
    parameters: Vec<Parameter>,
    /// `*args`: its name.
    rest: Option<String>,
    /// `**kwargs`: its name.
    extra: Option<String>,
    /// How many of `parameters` can be given by position.
    by_position: usize,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its default; `None` when it must be given.
    pub default: Option<Value>,
}

impl Signature {
    /// Reads a signature.
    ///
    /// Defaults may be `None`, `True`, `False`, numbers, quoted text, `()`, `[]`, `{}`;
    /// parameters behind `*` or `*args` are given by name only.
    ///
    /// Returns `None` for text of another form.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.trim().split_once('(')?;
        let list = rest.strip_suffix(')')?;
        let mut this = Self {
            name: name.to_owned(),
            parameters: Vec::new(),
            rest: None,
            extra: None,
            by_position: 0,
        };
        let mut by_name = false;
        for part in split_list(list) {
            if let Some(extra) = part.strip_prefix("**") {
                this.extra = Some(extra.to_owned());
            } else if let Some(rest) = part.strip_prefix('*') {
                by_name = true;
                this.rest = (!rest.is_empty()).then(|| rest.to_owned());
            } else {
                let (name, default) = match part.split_once('=') {
                    Some((name, default)) => (name, Some(literal(default)?)),
                    None => (part, None),
                };
                this.parameters.push(Parameter {
                    name: name.to_owned(),
                    default,
                });
                this.by_position += usize::from(!by_name);
            }
        }
        Some(this)
    }

    /// A signature from its parts: parameters by position and by name alone, the names of
    /// `*args` and `**kwargs`.
    pub(crate) fn of(
        name: &str,
        mut by_position: Vec<Parameter>,
        by_name: Vec<Parameter>,
        rest: Option<String>,
        extra: Option<String>,
    ) -> Self {
        let count = by_position.len();
        by_position.extend(by_name);
        Self {
            name: name.to_owned(),
            parameters: by_position,
            rest,
            extra,
            by_position: count,
        }
    }

    /// The parameters that have names, in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The name of `*args`, if there is one.
    pub fn rest(&self) -> Option<&str> {
        self.rest.as_deref()
    }

    /// The name of `**kwargs`, if there is one.
    pub fn extra(&self) -> Option<&str> {
        self.extra.as_deref()
    }

    /// What `sys.argspec` shows: `args`, `defaults`, `varargs`, `kwargs`.
    pub fn argspec(&self) -> Map {
        let names: Vec<Value> = self
            .parameters
            .iter()
            .map(|p| p.name.as_str().into())
            .collect();
        let defaults: Vec<Value> = self
            .parameters
            .iter()
            .filter_map(|p| p.default.clone())
            .collect();
        let list = |items: Vec<Value>| {
            if items.is_empty() {
                Value::Null
            } else {
                Value::List(items)
            }
        };
        let truth = |there: bool| {
            if there {
                Value::Bool(true)
            } else {
                Value::Null
            }
        };
        Map::from([
            ("args", list(names)),
            ("defaults", list(defaults)),
            ("varargs", truth(self.rest.is_some())),
            ("kwargs", truth(self.extra.is_some())),
        ])
    }

    /// Gives positional arguments their names and fills in defaults.
    ///
    /// # Errors
    ///
    /// What Salt's minion reports: keywords that no parameter takes, then what Python says of
    /// missing, surplus and doubled arguments.
    pub fn bind(&self, args: &Args) -> Result<Args, CallError> {
        let mut bound = Args::new();
        let mut invalid = Vec::new();
        // A function may take fifty parameters, and a run calls it a thousand times: what has
        // a value is marked by the parameter's place rather than looked up by name.
        let mut named: Vec<(Value, Value)> = Vec::with_capacity(self.parameters.len());
        let mut places: Vec<Option<usize>> = vec![None; self.parameters.len()];
        for (key, value) in args.keywords.iter().chain(args.named.iter()) {
            let name = key.as_str().unwrap_or_default();
            let parameter = self
                .parameters
                .iter()
                .position(|parameter| parameter.name == name);
            if let Some(place) = parameter.and_then(|at| places.get_mut(at)) {
                match place.and_then(|at| named.get_mut(at)) {
                    Some((_, former)) => *former = value.clone(),
                    None => {
                        *place = Some(named.len());
                        named.push((name.into(), value.clone()));
                    }
                }
            } else if self.extra.is_some() {
                bound.keywords.insert(key.clone(), value.clone());
            } else if !name.starts_with("__pub_") {
                invalid.push(format!(
                    "{}={}",
                    crate::python::str(key),
                    crate::python::str(value)
                ));
            }
        }
        if !invalid.is_empty() {
            return Err(CallError::Invocation(format!(
                "The following keyword arguments are not valid: {}",
                invalid.join(", ")
            )));
        }
        let given = args.positional.len();
        for (at, value) in args.positional.iter().enumerate() {
            let parameter = self
                .parameters
                .get(..self.by_position)
                .and_then(|all| all.get(at));
            match (parameter, places.get_mut(at)) {
                (Some(parameter), Some(place)) => {
                    if place.is_some() {
                        return Err(self.type_error(format!(
                            "got multiple values for argument '{}'",
                            parameter.name
                        )));
                    }
                    *place = Some(named.len());
                    named.push((parameter.name.as_str().into(), value.clone()));
                }
                _ if self.rest.is_some() => bound.positional.push(value.clone()),
                _ => return Err(self.surplus(given)),
            }
        }
        let mut missing = Vec::new();
        for (parameter, place) in self.parameters.iter().zip(&places) {
            match &parameter.default {
                _ if place.is_some() => {}
                Some(default) => named.push((parameter.name.as_str().into(), default.clone())),
                None => missing.push(format!("'{}'", parameter.name)),
            }
        }
        bound.named = Map::of_distinct(named);
        if missing.is_empty() {
            return Ok(bound);
        }
        let plural = if missing.len() == 1 { "" } else { "s" };
        let count = missing.len();
        Err(self.type_error(format!(
            "missing {count} required positional argument{plural}: {}",
            enumerate(&missing)
        )))
    }

    fn surplus(&self, given: usize) -> CallError {
        let most = self.by_position;
        let least = self
            .parameters
            .iter()
            .take(most)
            .filter(|parameter| parameter.default.is_none())
            .count();
        let takes = if least == most {
            most.to_string()
        } else {
            format!("from {least} to {most}")
        };
        let plural = if most == 1 && least == most { "" } else { "s" };
        let were = if given == 1 { "was" } else { "were" };
        self.type_error(format!(
            "takes {takes} positional argument{plural} but {given} {were} given"
        ))
    }

    /// What Python says of a keyword that a function called without Salt in between does
    /// not take; `None` when it takes it.
    pub(crate) fn unexpected(&self, keyword: &str) -> Option<CallError> {
        let is_known =
            self.extra.is_some() || self.parameters.iter().any(|one| one.name == keyword);
        (!is_known)
            .then(|| self.type_error(format!("got an unexpected keyword argument '{keyword}'")))
    }

    fn type_error(&self, text: String) -> CallError {
        CallError::Arguments(format!("{}() {text}", self.name))
    }
}

/// `'a'`, `'a' and 'b'`, `'a', 'b', and 'c'`.
fn enumerate(names: &[String]) -> String {
    match names {
        [first, second] => format!("{first} and {second}"),
        [many @ .., last] if !many.is_empty() => format!("{}, and {last}", many.join(", ")),
        _ => names.concat(),
    }
}

/// The parts between commas that are not in quotes or brackets.
fn split_list(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quote, mut depth) = (0, None, 0_usize);
    for (at, c) in list.char_indices() {
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(list.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list.get(start..).unwrap_or_default().trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn literal(text: &str) -> Option<Value> {
    Some(match text {
        "None" => Value::Null,
        "True" => true.into(),
        "False" => false.into(),
        "()" | "[]" => Value::List(Vec::new()),
        "{}" => Map::new().into(),
        _ => {
            if let Some(quoted) = ['\'', '"']
                .iter()
                .find_map(|q| text.strip_prefix(*q)?.strip_suffix(*q))
            {
                quoted.into()
            } else if let Ok(n) = text.parse::<i64>() {
                n.into()
            } else if let Ok(x) = text.parse::<f64>() {
                x.into()
            } else {
                // An object of Python's that has no literal, shown as it is.
                text.into()
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(text: &str) -> Signature {
        Signature::parse(text).unwrap()
    }

    fn refusal(text: &str, args: Args) -> String {
        signature(text).bind(&args).unwrap_err().to_string()
    }

    #[test]
    fn positional_arguments_get_names_and_defaults_are_filled_in() {
        let bound = signature("get(key, default='', delimiter=':')")
            .bind(&Args::new().with("a").keyword("delimiter", "|"))
            .unwrap();

        assert_eq!(bound.get("key"), Some(&"a".into()));
        assert_eq!(bound.get("default"), Some(&"".into()));
        assert_eq!(bound.get("delimiter"), Some(&"|".into()));
    }

    // Texts of Salt 3008.3 on Python 3.11.
    #[test]
    fn mistakes_are_worded_as_python_words_them() {
        assert_eq!(
            refusal("echo(text)", Args::new()),
            "echo() missing 1 required positional argument: 'text'"
        );
        assert_eq!(
            refusal("f(a, b, c)", Args::new()),
            "f() missing 3 required positional arguments: 'a', 'b', and 'c'"
        );
        assert_eq!(
            refusal("f(a, b)", Args::new()),
            "f() missing 2 required positional arguments: 'a' and 'b'"
        );
        assert_eq!(
            refusal("echo(text)", Args::new().with(1).with(2)),
            "echo() takes 1 positional argument but 2 were given"
        );
        assert_eq!(
            refusal("f(a, b=1)", Args::new().with(1).with(2).with(3)),
            "f() takes from 1 to 2 positional arguments but 3 were given"
        );
        assert_eq!(
            refusal("ping()", Args::new().with(1)),
            "ping() takes 0 positional arguments but 1 was given"
        );
        assert_eq!(
            refusal("echo(text)", Args::new().with(1).keyword("text", 2)),
            "echo() got multiple values for argument 'text'"
        );
        assert_eq!(
            refusal(
                "echo(text)",
                Args::new().keyword("text", 1).keyword("foo", 2)
            ),
            "The following keyword arguments are not valid: foo=2"
        );
    }

    #[test]
    fn the_rest_and_the_extra_are_collected() {
        let bound = signature("f(a, *args, b=2, **kwargs)")
            .bind(&Args::new().with(1).with(9).keyword("z", 3))
            .unwrap();

        assert_eq!(bound.positional(), [Value::Int(9)]);
        assert_eq!(bound.keywords(), &Map::from([("z", 3)]));
        assert_eq!(bound.get("b"), Some(&Value::Int(2)));
    }

    #[test]
    fn commas_in_quotes_do_not_split() {
        let found = signature("f(a=',', b=\"x, y\", c=())");
        assert_eq!(found.parameters().len(), 3);
        assert_eq!(found.parameters()[1].default, Some("x, y".into()));
    }
}
