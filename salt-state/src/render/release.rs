//! What templates see differently in older releases, and what is broken in all.

use salt_proto::target::Release;

use crate::jinja::{self, Args, Environment, Error, Exception, Kind, Runtime, Value};

/// Adjusts an environment to a release.
pub(super) fn adapt(environment: &mut Environment<'_>, release: Release) {
    // The global exists and fails whatever it is given (3006.27 to 3008.3).
    let broken = Value::function("ifelse", |_, _| {
        Err(Error::python(
            Exception::NameError,
            "name '__context__' is not defined",
        ))
    });
    environment.add_global("ifelse", broken);
    if release > Release::V3006 {
        return;
    }
    for name in ["to_entries", "from_entries"] {
        environment.add_filter(name, move |_, _| {
            Err(Error::new(
                Kind::Assertion,
                format!("No filter named '{name}'."),
            ))
        });
    }
    for name in ["regex_search", "regex_match"] {
        environment.add_filter(name, move |runtime, args| {
            let groups = args
                .positional
                .get(1)
                .and_then(Value::as_str)
                .is_none_or(has_groups);
            let found = built_in(runtime, name, args)?;
            Ok(match found {
                Value::Tuple(_) if !groups => Value::tuple(Vec::new()),
                found => found,
            })
        });
    }
    environment.add_filter("strftime", |runtime, args| {
        // Text needs a library that 3006 does not bring along.
        if let Some(text) = args.positional.first().and_then(Value::as_str)
            && text.parse::<f64>().is_err()
        {
            return Err(Error::python(
                Exception::RuntimeError,
                format!("Unable to parse {text}. Consider installing timelib"),
            ));
        }
        built_in(runtime, "strftime", args)
    });
}

fn built_in(runtime: &Runtime<'_>, name: &str, args: Args) -> jinja::Result<Value> {
    match runtime.environment().built_in_filter(name) {
        Some(filter) => filter(runtime, args),
        None => Err(Error::new(
            Kind::Assertion,
            format!("No filter named '{name}'."),
        )),
    }
}

/// Whether a regular expression has a capturing group.
fn has_groups(pattern: &str) -> bool {
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(ch) = chars.next() {
        match ch {
            '\\' => {
                chars.next();
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => {
                let rest: String = chars.clone().take(3).collect();
                if !rest.starts_with('?') || rest.starts_with("?P<") {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// The text of an error as an older release prints it.
pub(super) fn message(text: String, release: Release) -> String {
    if release > Release::V3006
        || !text.starts_with("Jinja syntax error: Encountered error loading yaml: ")
    {
        return text;
    }
    // It fails while it makes the excerpt.
    "Jinja error: 'NoneType' object has no attribute 'splitlines'\n".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_told_from_other_parentheses() {
        for (pattern, expected) in [
            ("a(b)c", true),
            ("a(?:b)c", false),
            ("(?P<x>b)", true),
            (r"a\(b", false),
            ("a[(]b", false),
            ("bc", false),
        ] {
            assert_eq!(has_groups(pattern), expected, "{pattern}");
        }
    }
}
