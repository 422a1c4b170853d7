//! `sys.*` about state modules, and about kinds of modules that there are none of.

use salt_proto::{Map, Value};

use crate::args::{Args, Signature};
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::{fnmatch, python};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "sys.list_state_modules",
        "list_state_modules(*args)",
        "Lists all state modules, or those that match a glob.",
        |args, context| {
            let patterns = words(args);
            let mut modules: Vec<&str> = context
                .registry
                .state_names()
                .filter_map(|name| name.split('.').next())
                .filter(|module| {
                    patterns.is_empty() || patterns.iter().any(|glob| fnmatch(module, glob))
                })
                .collect();
            modules.sort_unstable();
            modules.dedup();
            Ok(modules.into_iter().collect())
        },
    );
    add(
        "sys.list_state_functions",
        "list_state_functions(*args, **kwargs)",
        "Lists all state functions, those of modules, or those that match a glob.",
        |args, context| Ok(chosen(&words(args), context).into_iter().collect()),
    );
    add(
        "sys.state_doc",
        "state_doc(*args)",
        "Returns the documentation of state functions, of modules, or of what matches a glob.",
        |args, context| {
            let docs = chosen(&words(args), context).into_iter().map(|name| {
                let doc = context.registry.state_doc(name).unwrap_or_default();
                (name, doc)
            });
            Ok(docs.collect::<Map>().into())
        },
    );
    add(
        "sys.state_argspec",
        "state_argspec(module='')",
        "Returns the arguments of a state function, or of all functions of a module.",
        |args, context| {
            let wanted = args.optional_text("module").unwrap_or_default();
            let specs = of_module(&wanted, context).into_iter();
            let specs = specs.map(|(name, signature)| (name, signature.argspec()));
            Ok(specs.collect::<Map>().into())
        },
    );
    add(
        "sys.state_schema",
        "state_schema(module='')",
        "Returns a JSON schema of the arguments of a state function, or of all of a module.",
        |args, context| {
            let wanted = args.optional_text("module").unwrap_or_default();
            let specs = of_module(&wanted, context).into_iter();
            Ok(specs
                .map(|(name, signature)| schema(name, signature))
                .collect())
        },
    );
    add(
        "sys.renderer_doc",
        "renderer_doc(*args)",
        "Returns the documentation of renderers.",
        |args, _| {
            let patterns = words(args);
            let docs = [
                ("jinja", "Renders a template of Jinja into text."),
                ("yaml", "Reads YAML into data."),
            ];
            let wanted = docs.into_iter().filter(|(name, _)| {
                patterns.is_empty() || patterns.iter().any(|glob| fnmatch(name, glob))
            });
            Ok(wanted.collect::<Map>().into())
        },
    );
    for (name, signature) in [
        ("sys.list_returners", "list_returners(*args)"),
        (
            "sys.list_returner_functions",
            "list_returner_functions(*args, **kwargs)",
        ),
        ("sys.list_runners", "list_runners(*args)"),
        (
            "sys.list_runner_functions",
            "list_runner_functions(*args, **kwargs)",
        ),
    ] {
        add(
            name,
            signature,
            "Lists modules of a kind that this minion has none of.",
            |_, _| Ok(Value::List(Vec::new())),
        );
    }
    for (name, signature) in [
        ("sys.returner_doc", "returner_doc(*args)"),
        ("sys.returner_argspec", "returner_argspec(module='')"),
        ("sys.runner_doc", "runner_doc(*args)"),
        ("sys.runner_argspec", "runner_argspec(module='')"),
    ] {
        add(
            name,
            signature,
            "Describes modules of a kind that this minion has none of.",
            |_, _| Ok(Map::new().into()),
        );
    }
}

fn words(args: &Args) -> Vec<String> {
    args.positional().iter().map(python::str).collect()
}

/// The state functions that are meant: by name, by module, or by a glob; sorted.
fn chosen<'a>(wanted: &[String], context: &Context<'a>) -> Vec<&'a str> {
    let is_meant = |name: &str, wanted: &str| {
        if wanted.contains('*') || wanted.contains('.') {
            return fnmatch(name, wanted);
        }
        name.split('.').next() == Some(wanted)
    };
    let mut names: Vec<&str> = context
        .registry
        .state_names()
        .filter(|name| wanted.is_empty() || wanted.iter().any(|wanted| is_meant(name, wanted)))
        .collect();
    names.sort_unstable();
    names
}

/// As Salt takes them: a function, a module, or a glob of either.
fn of_module<'a>(wanted: &str, context: &Context<'a>) -> Vec<(&'a str, &'a Signature)> {
    let registry = context.registry;
    let is_meant = |name: &str| match wanted {
        "" => true,
        wanted if wanted.contains('*') => fnmatch(name, wanted),
        wanted => name == wanted || name.split('.').next() == Some(wanted),
    };
    let mut names: Vec<&str> = registry
        .state_names()
        .filter(|name| is_meant(name))
        .collect();
    names.sort_unstable();
    names
        .into_iter()
        .filter_map(|name| Some((name, registry.state_signature(name)?)))
        .collect()
}

fn schema(name: &str, signature: &Signature) -> Value {
    let spec = signature.argspec();
    let list = |key: &str| spec.get(key).and_then(Value::as_list).unwrap_or_default();
    let (names, defaults) = (list("args"), list("defaults"));
    let required = names.len().saturating_sub(defaults.len());
    let mut properties = Map::new();
    for (at, parameter) in names.iter().enumerate() {
        let default = at.checked_sub(required).and_then(|at| defaults.get(at));
        let kinds = ["boolean", "integer", "number", "string"].map(|kind| {
            let mut one = Map::from([
                ("type", Value::from(kind)),
                ("title", parameter.clone()),
                ("description", parameter.clone()),
            ]);
            if let Some(default) = default.filter(|default| !default.is_null()) {
                one.insert("default", default.clone());
            }
            Value::from(one)
        });
        properties.insert(
            parameter.clone(),
            Map::from([("oneOf", Value::List(kinds.to_vec()))]),
        );
    }
    Map::from([
        (
            "$schema",
            Value::from("http://json-schema.org/draft-04/schema#"),
        ),
        ("title", name.into()),
        ("description", name.into()),
        ("type", "object".into()),
        ("properties", properties.into()),
        ("x-ordering", names.to_vec().into()),
        ("additionalProperties", signature.extra().is_some().into()),
    ])
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::system::FakeSystem;

    fn call(name: &str, args: &[&str]) -> Value {
        let (registry, machine) = (Registry::builtin(), FakeSystem::new());
        let minion = MinionData::default();
        let context = Context::new(&registry, &machine, &minion);
        let args = args.iter().fold(Args::new(), |args, arg| args.with(*arg));
        registry.call(name, &args, &context).unwrap()
    }

    #[test]
    fn states_are_listed_and_described_as_salt_does() {
        // All recorded from Salt 3008.3.
        let names = |names: &[&str]| names.iter().copied().collect::<Value>();
        assert_eq!(
            call("sys.list_state_modules", &["pkg", "user*"]),
            names(&["pkg", "user"])
        );
        let host = ["host.absent", "host.only", "host.present"];
        assert_eq!(call("sys.list_state_functions", &["host"]), names(&host));
        assert_eq!(
            call("sys.list_state_functions", &["host.*", "user.p*"]),
            names(&["host.absent", "host.only", "host.present", "user.present"])
        );
        assert_eq!(call("sys.list_state_functions", &["nope"]), names(&[]));
        assert_eq!(call("sys.state_argspec", &["nope"]), Map::new().into());
        let yaml = |text: &str| crate::yaml::load(text).unwrap();
        let all = "{host.absent: {args: [name, ip], defaults: null, varargs: null, kwargs: null},
                    host.only: {args: [name, hostnames], defaults: null, varargs: null, kwargs: null},
                    host.present: {args: [name, ip, comment, clean], defaults: ['', false], varargs: null, kwargs: null}}";
        assert_eq!(call("sys.state_argspec", &["host"]), yaml(all));
        assert_eq!(call("sys.state_argspec", &["hos*"]), yaml(all));
        let schema = call("sys.state_schema", &["host.present"]);
        let schema = &schema.as_list().unwrap()[0];
        assert_eq!(schema.get("title"), Some(&"host.present".into()));
        assert_eq!(
            schema.get("x-ordering"),
            Some(&yaml("[name, ip, comment, clean]"))
        );
        assert_eq!(schema.get("additionalProperties"), Some(&false.into()));
        assert_eq!(
            schema.get("properties").and_then(|all| all
                .get("clean")?
                .get("oneOf")?
                .as_list()?
                .first()),
            Some(&yaml(
                "{type: boolean, title: clean, description: clean, default: false}"
            ))
        );
    }
}
