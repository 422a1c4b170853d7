//! `sys.*`: which functions there are.

use std::collections::BTreeSet;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::{fnmatch, python};

mod states;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "sys.list_functions",
        "list_functions(*args, **kwargs)",
        "Lists all functions, or those of modules, or those that match a glob.",
        |args, context| Ok(chosen(args, context).into_iter().collect()),
    );
    add(
        "sys.list_modules",
        "list_modules(*args)",
        "Lists all modules, or those that match a glob.",
        |args, context| {
            let patterns: Vec<String> = args.positional().iter().map(python::str).collect();
            Ok(super::modules(context.registry)
                .into_iter()
                .filter(|module| {
                    patterns.is_empty() || patterns.iter().any(|pattern| fnmatch(module, pattern))
                })
                .collect())
        },
    );
    add(
        "sys.argspec",
        "argspec(module='')",
        "Returns the arguments of a function, or of all functions of a module.",
        |args, context| {
            let wanted = args.optional_text("module").unwrap_or_default();
            Ok(context
                .registry
                .names()
                .filter(|name| wanted.is_empty() || is_in(name, &wanted))
                .filter_map(|name| Some((name, context.registry.signature(name)?.argspec())))
                .collect::<Map>()
                .into())
        },
    );
    add(
        "sys.doc",
        "doc(*args)",
        "Returns the documentation of functions, of modules, or of what matches a glob.",
        |args, context| {
            Ok(chosen(args, context)
                .into_iter()
                .map(|name| {
                    let doc = context.registry.doc(&name).unwrap_or_default();
                    (name, doc)
                })
                .collect::<Map>()
                .into())
        },
    );
    add(
        "sys.list_renderers",
        "list_renderers(*args)",
        "Lists the renderers.",
        |args, _| {
            let patterns: Vec<String> = args.positional().iter().map(python::str).collect();
            Ok(["jinja", "json", "yaml"]
                .into_iter()
                .filter(|name| {
                    patterns.is_empty() || patterns.iter().any(|glob| fnmatch(name, glob))
                })
                .collect())
        },
    );
    add(
        "sys.reload_modules",
        "reload_modules(initial_load=False, context=None)",
        "Reloads modules; here there is nothing to reload.",
        |_, _| Ok(Value::Null),
    );
    registry.outputter("sys.doc", "txt");
    states::register(registry);
}

/// Whether a function is meant by its name or by its module's.
fn is_in(name: &str, wanted: &str) -> bool {
    name == wanted
        || name
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.starts_with('.') && !wanted.contains('.'))
}

/// The functions that the arguments mean; all without arguments.
fn chosen(args: &Args, context: &Context<'_>) -> BTreeSet<String> {
    let wanted: Vec<String> = args.positional().iter().map(python::str).collect();
    context
        .registry
        .names()
        .filter(|name| {
            wanted.is_empty()
                || wanted.iter().any(|wanted| {
                    if wanted.contains('*') {
                        fnmatch(name, wanted)
                    } else {
                        is_in(name, wanted)
                    }
                })
        })
        .map(str::to_owned)
        .collect()
}
