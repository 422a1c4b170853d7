//! Which renderers a file goes through: its `#!jinja|yaml` line.

use salt_proto::{Map, Value};

/// One stage of a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The renderer.
    pub renderer: Renderer,
    /// What stands behind its name.
    pub arguments: String,
}

/// A renderer by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renderer {
    /// Jinja templates.
    Jinja,
    /// YAML as Salt reads it.
    Yaml,
    /// JSON.
    Json,
    /// The text itself, unchanged.
    Text,
    /// TOML.
    Toml,
    /// Decrypts PGP blocks.
    Gpg,
    /// YAML with `!aggregate` and `!reset`.
    Yamlex,
    /// Names and contexts local to an SLS.
    Stateconf,
    /// One of Salt's renderers that needs Python or another engine.
    Foreign(String),
}

impl Renderer {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "jinja" => Self::Jinja,
            "yaml" => Self::Yaml,
            "json" => Self::Json,
            "text" => Self::Text,
            "toml" | "tomlmod" => Self::Toml,
            "gpg" => Self::Gpg,
            "yamlex" => Self::Yamlex,
            "stateconf" => Self::Stateconf,
            "py" | "pyobjects" | "pydsl" | "mako" | "wempy" | "genshi" | "cheetah" | "msgpack"
            | "nacl" | "hjson" | "json5" | "dson" | "pass" | "aws_kms" | "gpg_pass" => {
                Self::Foreign(name.to_owned())
            }
            _ => return None,
        })
    }

    /// The name as it stands in a pipe.
    pub fn name(&self) -> &str {
        match self {
            Self::Jinja => "jinja",
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Text => "text",
            Self::Toml => "toml",
            Self::Gpg => "gpg",
            Self::Yamlex => "yamlex",
            Self::Stateconf => "stateconf",
            Self::Foreign(name) => name,
        }
    }
}

/// The stages a template goes through. Empty when a named renderer is unknown:
/// Salt then renders nothing and only logs.
pub fn stages(text: &str, default: &str, opts: &Map) -> Vec<Stage> {
    let first = text.lines().next().unwrap_or_default();
    match first.strip_prefix("#!") {
        Some(rest) if !rest.starts_with('/') && !rest.trim().is_empty() => parse(rest.trim(), opts),
        _ => parse(default, opts),
    }
}

fn parse(pipe: &str, opts: &Map) -> Vec<Stage> {
    // Names from before pipes existed, the template engine last.
    let old: Vec<&str>;
    let mut parts: Vec<&str> = pipe.split('|').map(str::trim).collect();
    if let [name] = parts.as_slice()
        && let Some((format, engine)) = name.split_once('_')
        && matches!(format, "yaml" | "json")
        && matches!(engine, "jinja" | "mako" | "wempy")
    {
        old = vec![engine, format];
        parts = old;
    }
    let allowed = names(opts.get("renderer_whitelist"));
    let refused = names(opts.get("renderer_blacklist"));
    let mut stages = Vec::with_capacity(parts.len());
    for part in parts {
        let (name, arguments) = part.split_once(' ').unwrap_or((part, ""));
        if !allowed.is_empty() && !allowed.contains(&name) || refused.contains(&name) {
            continue;
        }
        let Some(renderer) = Renderer::named(name) else {
            return Vec::new();
        };
        stages.push(Stage {
            renderer,
            arguments: arguments.trim().to_owned(),
        });
    }
    stages
}

fn names(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_list)
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe(text: &str) -> String {
        let stages = stages(text, "jinja|yaml", &Map::new());
        let names: Vec<_> = stages.iter().map(|stage| stage.renderer.name()).collect();
        names.join("|")
    }

    #[test]
    fn the_first_line_names_the_pipe() {
        assert_eq!(pipe("a: 1"), "jinja|yaml");
        assert_eq!(pipe("#!/bin/sh\n"), "jinja|yaml");
        assert_eq!(pipe("#! jinja | json\n"), "jinja|json");
        assert_eq!(pipe("#!yaml_jinja"), "jinja|yaml");
        assert_eq!(pipe("#!yaml\r\n"), "yaml");
        assert_eq!(pipe("#!nosuch|yaml"), "");
        assert_eq!(pipe("#!py"), "py");
    }

    #[test]
    fn arguments_follow_the_name() {
        let stages = stages("#!stateconf yaml . jinja", "", &Map::new());

        assert_eq!(
            stages.first().map(|s| s.arguments.as_str()),
            Some("yaml . jinja")
        );
    }
}
