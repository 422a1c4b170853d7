//! Which minions may publish to others: nobody, unless a rule says so (Z-02).

use regex::Regex;

use crate::{Map, MinionId, Value};

/// Salt's `peer` and `peer_run`: who may have what run through the master.
///
/// Empty by default. Unlike in Salt, where a pattern only has to match the
/// beginning (`test.ping` permits `test.pingx`), patterns here match the whole id
/// or function name, functions have to look like functions, and a rule can
/// limit arguments.
///
/// ```
/// use salt_proto::{PeerRule, PeerRules};
///
/// let rules = PeerRules::from_iter([PeerRule::new("web-.*", ["test.ping", "mine\\..*"])?]);
/// let id = "web-1".parse()?;
/// assert!(rules.permit(&id, &["test.ping"], &[]));
/// assert!(!rules.permit(&id, &["test.ping", "cmd.run"], &[]));
/// assert!(!PeerRules::default().permit(&id, &["test.ping"], &[]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PeerRules(Vec<PeerRule>);

/// Some minions, and the functions they may have run.
#[derive(Clone, Debug)]
pub struct PeerRule {
    minions: Regex,
    functions: Vec<Regex>,
    arguments: Option<Regex>,
}

/// A pattern of a peer rule is no regular expression.
#[derive(Debug, thiserror::Error)]
#[error("bad pattern in a peer rule")]
pub struct BadPattern(#[from] regex::Error);

impl PeerRule {
    /// Lets minions whose whole id matches run functions whose whole name matches.
    ///
    /// # Errors
    /// A pattern is no regular expression.
    pub fn new<'a>(
        minions: &str,
        functions: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BadPattern> {
        Ok(Self {
            minions: whole(minions)?,
            functions: functions.into_iter().map(whole).collect::<Result<_, _>>()?,
            arguments: None,
        })
    }

    /// Also demands that every argument is text or a number that matches as a whole.
    ///
    /// # Errors
    /// The pattern is no regular expression.
    pub fn arguments(self, pattern: &str) -> Result<Self, BadPattern> {
        Ok(Self {
            arguments: Some(whole(pattern)?),
            ..self
        })
    }

    fn permits(&self, function: &str, arguments: &[Value]) -> bool {
        self.functions
            .iter()
            .any(|pattern| pattern.is_match(function))
            && self
                .arguments
                .as_ref()
                .is_none_or(|pattern| arguments.iter().all(|it| argument_matches(pattern, it)))
    }
}

impl PeerRules {
    /// Whether the minion may have all these functions run with these arguments.
    ///
    /// Functions of the module `publish` never are, nor anything that is not a
    /// plain function name.
    pub fn permit(&self, id: &MinionId, functions: &[&str], arguments: &[Value]) -> bool {
        !functions.is_empty()
            && functions.iter().all(|function| {
                is_function(function)
                    && !function.starts_with("publish.")
                    && self
                        .0
                        .iter()
                        .filter(|rule| rule.minions.is_match(id.as_str()))
                        .any(|rule| rule.permits(function, arguments))
            })
    }

    /// Decides about the load of a `minion_pub`, `minion_publish` or `minion_runner`.
    pub(crate) fn permit_load(&self, id: &MinionId, load: &Map) -> bool {
        let functions: Option<Vec<&str>> = match load.get("fun") {
            Some(Value::Str(text)) => Some(text.split(',').map(str::trim).collect()),
            Some(Value::List(names)) => names.iter().map(Value::as_str).collect(),
            _ => None,
        };
        let arguments = match load.get("arg") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::List(items)) => flattened(items),
            Some(one) => vec![one.clone()],
        };
        functions.is_some_and(|functions| self.permit(id, &functions, &arguments))
    }
}

impl FromIterator<PeerRule> for PeerRules {
    fn from_iter<I: IntoIterator<Item = PeerRule>>(rules: I) -> Self {
        Self(rules.into_iter().collect())
    }
}

fn whole(pattern: &str) -> Result<Regex, BadPattern> {
    Ok(Regex::new(&format!(r"\A(?:{pattern})\z"))?)
}

/// Compound jobs carry one list of arguments for each function.
fn flattened(items: &[Value]) -> Vec<Value> {
    items
        .iter()
        .flat_map(|item| match item {
            Value::List(inner) => inner.clone(),
            other => vec![other.clone()],
        })
        .collect()
}

fn argument_matches(pattern: &Regex, argument: &Value) -> bool {
    match argument {
        Value::Str(text) => pattern.is_match(text),
        Value::Int(n) => pattern.is_match(&n.to_string()),
        _ => false,
    }
}

/// `module.function`, perhaps with more parts.
fn is_function(name: &str) -> bool {
    name.contains('.')
        && name.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> MinionId {
        "m1".parse().unwrap()
    }

    // Z-02
    #[test]
    fn z02_nothing_is_permitted_without_a_rule() {
        assert!(!PeerRules::default().permit(&id(), &["test.ping"], &[]));
    }

    // Z-02
    #[test]
    fn z02_patterns_match_the_whole_name_and_only_function_names() {
        let rules = PeerRules::from_iter([PeerRule::new(".*", [".*"]).unwrap()]);
        for function in [
            "publish.publish",
            "test.ping;rm",
            "ping",
            "",
            ".ping",
            "test.",
            "test.ping\n",
            "te st.ping",
        ] {
            assert!(!rules.permit(&id(), &[function], &[]), "{function:?}");
        }

        let rules = PeerRules::from_iter([PeerRule::new("m", ["test.ping"]).unwrap()]);
        assert!(!rules.permit(&id(), &["test.ping"], &[]));
        let rules = PeerRules::from_iter([PeerRule::new("m1|x", ["test.ping|x"]).unwrap()]);
        assert!(rules.permit(&id(), &["test.ping"], &[]));
        assert!(!rules.permit(&id(), &["test.pingx"], &[]));
    }

    // Z-02
    #[test]
    fn z02_every_function_of_a_compound_call_needs_its_rule() {
        let rules = PeerRules::from_iter([PeerRule::new("m1", ["test.ping"]).unwrap()]);
        let load = |fun: Value| Map::from([("fun", fun)]);

        assert!(rules.permit_load(&id(), &load("test.ping".into())));
        assert!(!rules.permit_load(&id(), &load("test.ping,cmd.run".into())));
        assert!(!rules.permit_load(&id(), &load(Value::from_iter(["test.ping", "cmd.run"]))));
        assert!(!rules.permit_load(&id(), &load(Value::from_iter([Value::List(vec![])]))));
        assert!(!rules.permit_load(&id(), &load(Value::Null)));
    }

    // Z-02
    #[test]
    fn z02_a_rule_can_limit_arguments() {
        let rule = PeerRule::new("m1", ["test.echo"])
            .unwrap()
            .arguments("[a-z]+|[0-9]+")
            .unwrap();
        let rules = PeerRules::from_iter([rule]);
        let load = |arg: Value| Map::from([("fun", "test.echo".into()), ("arg", arg)]);

        assert!(rules.permit_load(&id(), &load("abc".into())));
        assert!(rules.permit_load(&id(), &load(Value::from_iter([Value::from(12)]))));
        assert!(!rules.permit_load(&id(), &load("a b".into())));
        assert!(!rules.permit_load(&id(), &load(Value::from_iter([Value::from_iter(["$"])]))));
        let kwargs = Map::from([("__kwarg__", true)]);
        assert!(!rules.permit_load(&id(), &load(Value::List(vec![kwargs.into()]))));
    }
}
