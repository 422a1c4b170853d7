//! `slsutil.renderer`, `slsutil.serialize` and `jinja.*`: what templates have built in,
//! for command lines and jobs.

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::render::{Machine, RegistryFunctions, World};
use crate::sources::MemorySources;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "slsutil.renderer",
        "renderer(*args, **kwargs)",
        "Renders a file of the tree (path) or a text (string) and returns the data.",
        |args, context| native("slsutil.renderer", args, context),
    );
    registry.add(
        "slsutil.serialize",
        "serialize(*args, **kwargs)",
        "Writes an object in a format: json or yaml.",
        |args, context| native("slsutil.serialize", args, context),
    );
    registry.add(
        "slsutil.deserialize",
        "deserialize(*args, **kwargs)",
        "Reads an object from a text in a format: json or yaml.",
        |args, context| native("slsutil.deserialize", args, context),
    );
    registry.add(
        "jinja.load_map",
        "load_map(*args, **kwargs)",
        "Returns a variable of a Jinja map file of the tree.",
        |args, context| native("jinja.load_map", args, context),
    );
    registry.add(
        "jinja.import_yaml",
        "import_yaml(*args, **kwargs)",
        "Returns what import_yaml of a file of the tree gives.",
        |args, context| native("jinja.import_yaml", args, context),
    );
    registry.add(
        "jinja.import_json",
        "import_json(*args, **kwargs)",
        "Returns what import_json of a file of the tree gives.",
        |args, context| native("jinja.import_json", args, context),
    );
}

fn native(name: &str, args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let nothing = MemorySources::new();
    let functions = RegistryFunctions::new(context);
    let machine = Machine::of(context);
    let sources = context.sources.unwrap_or(&nothing);
    let world = World::new(context.minion, sources, &functions).on(&machine);
    let environment = context.setting("saltenv").unwrap_or("base");
    let mut given = Args::new();
    for value in args.positional() {
        given = given.with(value.clone());
    }
    for (key, value) in &args.clean_keywords() {
        given = given.keyword(&crate::python::str(key), value.clone());
    }
    world.call_native(environment, name, &given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::system::FakeSystem;

    #[test]
    fn templates_built_ins_work_on_command_lines() {
        let tree = MemorySources::new()
            .file("base", "m.jinja", "{% set settings = {'port': 80 + 1} %}")
            .file("base", "d.sls", "v: {{ 1 + 1 }}\n")
            .file("base", "y.yaml", "a: [1, 0644]\n");
        let registry = Registry::builtin();
        let machine = FakeSystem::new();
        let minion = MinionData::default();
        let mut context = Context::new(&registry, &machine, &minion);
        context.sources = Some(&tree);
        let call = |name: &str, args: Args| {
            let answer = registry.call(name, &args, &context);
            answer
                .map(|value| crate::python::repr(&value))
                .map_err(|error| error.to_string())
        };

        assert_eq!(
            call("slsutil.renderer", Args::new().with("salt://d.sls")),
            Ok("{'v': 2}".into())
        );
        assert_eq!(
            call(
                "slsutil.renderer",
                Args::new().keyword("string", "k: {{ z }}").keyword("z", 5)
            ),
            Ok("{'k': 5}".into())
        );
        assert_eq!(
            call("slsutil.renderer", Args::new()),
            Err("Must pass path or string.".into())
        );
        assert_eq!(
            call(
                "slsutil.serialize",
                Args::new()
                    .with("json")
                    .with(Value::List(vec![Value::Int(1)]))
            ),
            Ok("'[1]'".into())
        );
        assert_eq!(
            call(
                "jinja.load_map",
                Args::new().with("m.jinja").with("settings")
            ),
            Ok("{'port': 81}".into())
        );
        assert_eq!(
            call("jinja.import_yaml", Args::new().with("y.yaml")),
            Ok("{'a': [1, 644]}".into())
        );
    }
}
