//! `alternatives.*`: which of several programs answers to a name.

use salt_proto::Value;

use crate::args::Args;
use crate::functions::alternatives as tools;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, state: fn(&Args, &Check<'_>) -> Answer| {
        registry.add_state(name, signature, doc, state);
    };
    add(
        "alternatives.install",
        "install(name, link, path, priority)",
        "Makes sure that a path can be chosen.",
        install,
    );
    add(
        "alternatives.remove",
        "remove(name, path)",
        "Makes sure that a path cannot be chosen.",
        remove,
    );
    add(
        "alternatives.auto",
        "auto(name)",
        "Makes sure that the highest priority decides.",
        auto,
    );
    add(
        "alternatives.set",
        "set_(name, path)",
        "Makes sure that a path is chosen.",
        set,
    );
}

fn install(args: &Args, check: &Check<'_>) -> Answer {
    let (name, link, path) = (args.text("name")?, args.text("link")?, args.text("path")?);
    let priority = args.get("priority").cloned().unwrap_or_default();
    if tools::exists(check.system, &name, &path)? {
        return Ok(Plan::unchanged(format!(
            "Alternative {path} for {name} is already registered"
        )));
    }
    let shown = crate::python::str(&priority);
    let changes = Changes::of("name", name.as_str())
        .with("link", link.as_str())
        .with("path", path.as_str())
        .with("priority", priority);
    let would = format!("Alternative will be set for {name} to {path} with priority {shown}");
    Ok(Plan::change("", changes, move |context| {
        let said = tools::run(context, &["--install", &link, &name, &path, &shown])?;
        Ok(if !tools::exists(context.system, &name, &path)? {
            Done::failed(format!("Alternative for {name} not installed: {said}"))
        } else if tools::current(context.system, &name).as_deref() == Some(path.as_str()) {
            Done::with_comment(format!(
                "Alternative for {name} set to path {path} with priority {shown}"
            ))
        } else {
            Done::with_comment(format!(
                "Alternative {path} for {name} registered with priority {shown} and not set to default"
            ))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn remove(args: &Args, check: &Check<'_>) -> Answer {
    let (name, path) = (args.text("name")?, args.text("path")?);
    let current = tools::current(check.system, &name);
    if !tools::exists(check.system, &name, &path)? {
        return Ok(match current {
            Some(current) => Plan::unchanged(format!(
                "Alternative for {name} is set to it's default path {current}"
            )),
            None => Plan::fail(format!("Alternative for {name} doesn't exist")),
        });
    }
    let mut changes = Changes::none();
    if let Some(current) = current.filter(|current| *current != path) {
        changes = changes.with("path", current);
    }
    let would = format!("Alternative for {name} will be removed");
    Ok(Plan::change("", changes, move |context| {
        tools::run(context, &["--remove", &name, &path])?;
        Ok(match tools::current(context.system, &name) {
            Some(current) => Done::with_comment(format!(
                "Alternative for {name} removed. Falling back to path {current}"
            ))
            .changes(Changes::of("path", current)),
            None => Done::with_comment(format!("Alternative for {name} removed"))
                .changes(Changes::none()),
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn auto(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if tools::display(check.system, &name)?.contains(" auto mode") {
        return Ok(Plan::unchanged(format!("{name} already in auto mode")));
    }
    let would = format!("{name} will be put in auto mode");
    Ok(Plan::change("", Changes::none(), move |context| {
        let said = tools::run(context, &["--auto", &name])?;
        Ok(Done::with_comment("").changes(Changes::of("result", Value::from(said))))
    })
    .when_testing(would))
}

fn set(args: &Args, check: &Check<'_>) -> Answer {
    let (name, path) = (args.text("name")?, args.text("path")?);
    if tools::current(check.system, &name).as_deref() == Some(path.as_str()) {
        return Ok(Plan::unchanged(format!(
            "Alternative for {name} already set to {path}"
        )));
    }
    if !tools::exists(check.system, &name, &path)? {
        return Ok(Plan::fail(format!(
            "Alternative {path} for {name} doesn't exist"
        )));
    }
    let would = format!("Alternative for {name} will be set to path {path}");
    let comment = format!("Alternative for {name} set to path {path}");
    let changes = Changes::of("path", path.as_str());
    Ok(Plan::change(comment, changes, move |context| {
        let said = tools::run(context, &["--set", &name, &path])?;
        Ok(match tools::current(context.system, &name) {
            Some(current) if current == path => Done::as_planned(),
            _ => Done::failed(format!("Alternative for {name} not updated: {said}")),
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}
