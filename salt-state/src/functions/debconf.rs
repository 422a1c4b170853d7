//! `debconf.*`: answers to the questions of Debian's packages.

use salt_proto::{Map, Value};

use super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::render::{Machine, RegistryFunctions, Template, World};
use crate::sources::MemorySources;
use crate::system::Observe;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "debconf.get_selections",
        "get_selections(fetchempty=True)",
        "All answers, by package: question, type and answer.",
        |args, context| Ok(by_package(context.system, args.is_true("fetchempty"))?.into()),
    );
    add(
        "debconf.show",
        "show(name)",
        "The answers of a package; nothing when it has none.",
        |args, context| {
            let all = by_package(context.system, true)?;
            Ok(all.get(&args.text("name")?).cloned().unwrap_or_default())
        },
    );
    add(
        "debconf.set",
        "set(package, question, type, value, *extra)",
        "Answers a question.",
        |args, context| {
            let mut words = Vec::new();
            for key in ["package", "question", "type", "value"] {
                words.push(args.text(key)?);
            }
            if let Some(Value::List(extra)) = args.get("extra") {
                words.extend(extra.iter().map(python::str));
            }
            Ok(answer(context, &words)?.into())
        },
    );
    add(
        "debconf.set_file",
        "set_file(path, saltenv='base', **kwargs)",
        "Answers the questions in a file.",
        |args, context| {
            let saltenv = args.text("saltenv")?;
            let path = args.text("path")?;
            let Some(content) = super::content(&path, Some(&saltenv), context)? else {
                return Ok(false.into());
            };
            answer_all(context, content)?;
            Ok(true.into())
        },
    );
    add(
        "debconf.set_template",
        "set_template(path, template, context, defaults, saltenv='base', **kwargs)",
        "Answers the questions in a file that a template makes.",
        set_template,
    );
}

/// Lines as they are stored: package, question, type, answer.
pub(crate) fn selections(machine: &dyn Observe) -> Result<Vec<[String; 4]>, CallError> {
    let command = tool::named(machine, "debconf-get-selections");
    let text = tool::ask(machine, &command)?.stdout_text();
    Ok(text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .filter_map(|line| {
            let mut fields = line.splitn(4, '\t').map(str::to_owned);
            let first = [fields.next()?, fields.next()?, fields.next()?];
            let [package, question, kind] = first;
            Some([package, question, kind, fields.next().unwrap_or_default()])
        })
        .collect())
}

fn by_package(machine: &dyn Observe, with_empty: bool) -> Result<Map, CallError> {
    let mut all = Map::new();
    for [package, question, kind, answer] in selections(machine)? {
        if answer.is_empty() && !with_empty {
            continue;
        }
        let entry: Value = [question, kind, answer].into_iter().collect();
        match all.get_mut(&package) {
            Some(Value::List(list)) => list.push(entry),
            _ => {
                all.insert(package, Value::List(vec![entry]));
            }
        }
    }
    Ok(all)
}

/// Answers questions, given as `debconf-set-selections` reads them. Salt does not look at
/// how the program ends.
pub(crate) fn answer_all(context: &Context<'_>, lines: Vec<u8>) -> Result<(), CallError> {
    let command = tool::named(context.system, "debconf-set-selections").stdin(lines);
    tool::run(context, &command).map(drop)
}

/// Answers one question, in words; false when one of them would be a line of its own.
pub(crate) fn answer(context: &Context<'_>, words: &[String]) -> Result<bool, CallError> {
    if words.iter().any(|word| word.contains('\n')) {
        return Ok(false);
    }
    let line = words.join(" ") + "\n";
    answer_all(context, line.into_bytes())?;
    Ok(true)
}

fn set_template(args: &Args, context: &Context<'_>) -> Answer {
    let (path, saltenv) = (args.text("path")?, args.text("saltenv")?);
    let Some(content) = super::content(&path, Some(&saltenv), context)? else {
        return Err(CallError::execution("Path '' is not absolute"));
    };
    // Salt looks at the defaults, but does not render with them.
    let extra = match args.get("context") {
        Some(Value::Map(extra)) => extra.clone(),
        _ => Map::new(),
    };
    let renderer = args.text("template")?;
    let nothing = MemorySources::new();
    let template = Template {
        environment: &saltenv,
        sls: "",
        path: path.strip_prefix("salt://").unwrap_or(&path),
        default: &renderer,
        extra: &extra,
    };
    let functions = RegistryFunctions::new(context);
    let machine = Machine::of(context);
    let text = World::new(
        context.minion,
        context.sources.unwrap_or(&nothing),
        &functions,
    )
    .on(&machine)
    .render_text(&renderer, &template, &String::from_utf8_lossy(&content))
    .map_err(|error| CallError::exception("salt.exceptions.SaltRenderError", error.to_string()))?;
    answer_all(context, text.into_bytes())?;
    Ok(true.into())
}
