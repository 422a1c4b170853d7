//! `iptables.*`: rules of the packet filter.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::iptables::{self as tools, Line};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::Observe;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.needs_program("iptables", "iptables");
    let add = &mut |name, signature, doc, state: fn(&Args, &Check<'_>) -> Answer| {
        registry.add_state(name, signature, doc, state);
    };
    add(
        "iptables.append",
        "append(name, table='filter', family='ipv4', **kwargs)",
        "Makes sure that a rule is there; a new one goes to the end.",
        |args, check| several(args, check, Verb::Append),
    );
    add(
        "iptables.insert",
        "insert(name, table='filter', family='ipv4', **kwargs)",
        "Makes sure that a rule is there; a new one goes to its place.",
        |args, check| several(args, check, Verb::Insert),
    );
    add(
        "iptables.delete",
        "delete(name, table='filter', family='ipv4', **kwargs)",
        "Makes sure that a rule is not there.",
        |args, check| several(args, check, Verb::Delete),
    );
    add(
        "iptables.set_policy",
        "set_policy(name, table='filter', family='ipv4', **kwargs)",
        "Makes sure that a chain has a policy.",
        set_policy,
    );
    add(
        "iptables.flush",
        "flush(name, table='filter', family='ipv4', **kwargs)",
        "Removes all rules of a chain or a table.",
        flush,
    );
    add(
        "iptables.chain_present",
        "chain_present(name, table='filter', family='ipv4')",
        "Makes sure that there is a chain.",
        chain_present,
    );
    add(
        "iptables.chain_absent",
        "chain_absent(name, table='filter', family='ipv4')",
        "Makes sure that there is no such chain.",
        chain_absent,
    );
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Append,
    Insert,
    Delete,
}

impl Verb {
    fn letter(self) -> &'static str {
        match self {
            Self::Append => "A",
            Self::Insert => "I",
            Self::Delete => "D",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Insert => "insert",
            Self::Delete => "delete",
        }
    }
}

fn missing(key: &str) -> CallError {
    CallError::exception("KeyError", format!("'{key}'"))
}

/// Arguments for the execution functions.
fn call(args: &Args, chain: bool) -> Result<Args, CallError> {
    let mut call = Args::new()
        .keyword("table", args.text("table")?)
        .keyword("family", tools::family(args));
    if chain {
        let chain = args.get("chain").ok_or_else(|| missing("chain"))?;
        call = call.keyword("chain", chain.clone());
    }
    Ok(call)
}

/// Whether a function of the program said nothing.
fn went_well(answer: &Value) -> bool {
    match answer {
        Value::Str(said) => said.is_empty(),
        other => other.is_true(),
    }
}

/// What `save` asks for: whether, and the file unless it is the usual one.
fn saving(args: &Args) -> Option<Option<String>> {
    match args.get("save") {
        Some(Value::Bool(true)) => Some(None),
        Some(value) if value.is_true() => Some(Some(python::str(value))),
        _ => None,
    }
}

fn save(context: &Context<'_>, stated: Option<String>, family: &str) -> Result<String, CallError> {
    let path = tools::conf_file(stated, family, context.minion)?;
    tools::save(context, &path, family)
}

/// Salt writes the file again when it says something else than is in force.
fn is_saved(
    machine: &dyn Observe,
    check: &Check<'_>,
    stated: Option<String>,
    family: &str,
) -> Result<bool, CallError> {
    let path = tools::conf_file(stated, family, check.minion)?;
    let Some(text) = machine.text(&path)? else {
        return Err(CallError::exception(
            "FileNotFoundError",
            format!("[Errno 2] No such file or directory: '{}'", path.display()),
        ));
    };
    let now = tools::parsed(&tools::dump(machine, family, None)?);
    Ok(tools::parsed(&text) == now)
}

/// One rule, or each of `rules`.
fn several(args: &Args, check: &Check<'_>, verb: Verb) -> Answer {
    let Some(Value::List(rules)) = args.get("rules") else {
        return one(args, check, verb);
    };
    let mut plans = Vec::new();
    for rule in rules {
        let rule = rule.as_map().cloned().unwrap_or_default();
        if !rule.contains_key("name") {
            return Err(CallError::exception(
                "TypeError",
                format!(
                    "{}() missing 1 required positional argument: 'name'",
                    verb.name()
                ),
            ));
        }
        let mut each = Args::new()
            .keyword("table", "filter")
            .keyword("family", "ipv4");
        for (key, value) in &rule {
            each = each.keyword(&python::str(key), value.clone());
        }
        plans.push(one(&each, check, verb)?);
    }
    Ok(joined(plans))
}

/// All of several plans.
fn joined(plans: Vec<Plan>) -> Plan {
    let mut would = Vec::new();
    let mut names = Vec::new();
    let mut result = Some(true);
    // In a dry run of Salt the last rule decides.
    let mut would_be = Some(true);
    for plan in &plans {
        let comment = plan.test_comment.as_ref().unwrap_or(&plan.comment);
        would.push(python::str(comment));
        names.extend(plan.changes.get("locale").cloned());
        if plan.result == Some(false) {
            result = Some(false);
        }
        would_be = if plan.is_change() {
            plan.test_result.unwrap_or_default()
        } else {
            plan.result
        };
    }
    let said = |comments: Vec<Value>| {
        let texts: Vec<String> = comments.iter().map(python::str).collect();
        texts.join("\n")
    };
    let comment = said(plans.iter().map(|plan| plan.comment.clone()).collect());
    if !plans.iter().any(Plan::is_change) {
        return Plan::answer(result, comment, Changes::none());
    }
    let changes = |names: Vec<Value>| {
        if names.is_empty() {
            Changes::none()
        } else {
            Changes::of("locale", Value::List(names))
        }
    };
    Plan::change(comment, changes(names), move |context| {
        let (mut comments, mut names) = (Vec::new(), Vec::new());
        let mut result = result;
        for plan in plans {
            let outcome = plan.carry_out(context)?;
            if outcome.result == Some(false) {
                result = Some(false);
            }
            comments.push(outcome.comment);
            names.extend(outcome.changes.get("locale").cloned());
        }
        Ok(Done::with_comment(said(comments))
            .changes(changes(names))
            .result(result))
    })
    .when_testing(would.join("\n"))
    .test_changes(Changes::none())
    .test_result(would_be)
}

fn one(args: &Args, check: &Check<'_>, verb: Verb) -> Answer {
    let name = args.text("name")?;
    let family = tools::family(args);
    let mut parts: Map = args.keywords().clone();
    let position = parts.get("position").cloned().filter(Value::is_true);
    parts.remove("position");
    let rule = match tools::rule(&parts) {
        Ok(rule) => rule,
        Err(text) => text,
    };
    let mut call = call(args, true)?;
    let mut command = Line::of(args, verb.letter(), rule.clone()).text(check.system)?;
    if verb == Verb::Delete {
        command.truncate(command.trim_end().len());
    }
    let is_there = match (verb, &position) {
        (Verb::Delete, Some(_)) => true,
        _ => tools::check(check.system, &call, &rule)?,
    };
    let wanted = verb != Verb::Delete;
    let save_to = saving(args);
    if is_there == wanted {
        let comment = match verb {
            Verb::Append => {
                format!("iptables rule for {name} already set ({command}) for {family}")
            }
            Verb::Insert => {
                format!("iptables rule for {name} already set for {family} ({command})")
            }
            Verb::Delete => {
                format!("iptables rule for {name} already absent for {family} ({command})")
            }
        };
        if let Some(stated) = save_to
            && wanted
            && !is_saved(check.system, check, stated.clone(), &family)?
        {
            let head = format!("{comment}\nSaved iptables rule {name} for {family}\n{command}\n");
            return Ok(Plan::change(head.clone(), Changes::none(), move |context| {
                let said = save(context, stated, &family)?;
                Ok(Done::with_comment(format!("{head}{said}")))
            })
            .when_testing(comment)
            .test_result(true));
        }
        return Ok(Plan::unchanged(comment));
    }
    let would = match verb {
        Verb::Append => {
            format!("iptables rule for {name} needs to be set ({command}) for {family}")
        }
        Verb::Insert => {
            format!("iptables rule for {name} needs to be set for {family} ({command})")
        }
        Verb::Delete => {
            format!("iptables rule for {name} needs to be deleted for {family} ({command})")
        }
    };
    match (verb, &position) {
        (Verb::Insert, None) if check.is_test() => {}
        (Verb::Insert, None) => return Err(missing("position")),
        (Verb::Insert, Some(at)) => {
            call = call.keyword("position", at.clone()).keyword("rule", rule);
        }
        (Verb::Delete, Some(at)) => call = call.keyword("position", at.clone()),
        _ => call = call.keyword("rule", rule),
    }
    let done = match verb {
        Verb::Delete => format!("Delete iptables rule for {name} {command}"),
        _ => format!("Set iptables rule for {name} to: {command} for {family}"),
    };
    let plan = Plan::change(done, Changes::of("locale", name.clone()), move |context| {
        let function = format!("iptables.{}", verb.name());
        if !went_well(&context.registry.call(&function, &call, context)?) {
            return Ok(Done::failed(match verb {
                Verb::Append => format!(
                    "Failed to set iptables rule for {name}.\nAttempted rule was {command} for {family}"
                ),
                Verb::Insert => {
                    format!("Failed to set iptables rule for {name}.\nAttempted rule was {command}")
                }
                Verb::Delete => format!(
                    "Failed to delete iptables rule for {name}.\nAttempted rule was {command}"
                ),
            }));
        }
        let Some(stated) = save_to else {
            return Ok(Done::as_planned());
        };
        let said = save(context, stated, &family)?;
        let verb = if wanted { "Set" } else { "Deleted" };
        Ok(Done::with_comment(format!(
            "{verb} and saved iptables rule {name} for {family}\n{command}\n{said}"
        )))
    });
    Ok(plan.when_testing(would).test_changes(Changes::none()))
}

fn set_policy(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let (table, family) = (args.text("table")?, tools::family(args));
    let chain = python::str(args.get("chain").ok_or_else(|| missing("chain"))?);
    let wanted = python::str(args.get("policy").ok_or_else(|| missing("policy"))?);
    let dump = tools::dump(check.system, &family, None)?;
    if tools::policy(&dump, &table, &chain).as_deref() == Some(&wanted) {
        return Ok(Plan::unchanged(format!(
            "iptables default policy for chain {chain} on table {table} for {family} already set to {wanted}"
        )));
    }
    let call = call(args, true)?.keyword("policy", wanted.clone());
    let save_to = saving(args);
    let would = format!(
        "iptables default policy for chain {chain} on table {table} for {family} needs to be set to {wanted}"
    );
    let saved = if save_to.is_some() {
        "Set and saved"
    } else {
        "Set"
    };
    let done = format!("{saved} default policy for {chain} to {wanted} family {family}");
    let plan = Plan::change(done, Changes::of("locale", name), move |context| {
        let set = context
            .registry
            .call("iptables.set_policy", &call, context)?;
        if set != Value::Bool(true) {
            return Ok(Done::failed("Failed to set iptables default policy"));
        }
        if let Some(stated) = save_to {
            save(context, stated, &family)?;
        }
        Ok(Done::as_planned())
    });
    Ok(plan.when_testing(would).test_changes(Changes::none()))
}

fn flush(args: &Args, _: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let (table, family) = (args.text("table")?, tools::family(args));
    let chain = args.optional_text("chain").unwrap_or_default();
    let call = call(args, false)?.keyword("chain", chain.clone());
    let would =
        format!("iptables rules in a table {table} chain {family} family needs to be flushed");
    let would = would.replace("  ", " ");
    let done = format!("Flush iptables rules in {table} table {chain} chain {family} family");
    let plan = Plan::change(done, Changes::of("locale", name), move |context| {
        let flushed = context.registry.call("iptables.flush", &call, context)?;
        Ok(if went_well(&flushed) {
            Done::as_planned()
        } else {
            Done::failed("Failed to flush iptables rules")
        })
    });
    Ok(plan.when_testing(would).test_changes(Changes::none()))
}

fn chain_present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let (table, family) = (args.text("table")?, tools::family(args));
    if tools::has_chain(check.system, &table, &name, &family)? {
        return Ok(Plan::unchanged(format!(
            "iptables {name} chain is already exist in {table} table for {family}"
        )));
    }
    let would = format!("iptables {name} chain in {table} table needs to be set for {family}");
    let done = format!("iptables {name} chain in {table} table create success for {family}");
    let call = call(args, false)?.keyword("chain", name.clone());
    let plan = Plan::change(done, Changes::of("locale", name.clone()), move |context| {
        let made = context
            .registry
            .call("iptables.new_chain", &call, context)?;
        Ok(if made == Value::Bool(true) {
            Done::as_planned()
        } else {
            let why = python::str(&made);
            Done::failed(format!(
                "Failed to create {name} chain in {table} table: {why} for {family}"
            ))
        })
    });
    Ok(plan.when_testing(would).test_changes(Changes::none()))
}

fn chain_absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let (table, family) = (args.text("table")?, tools::family(args));
    if !tools::has_chain(check.system, &table, &name, &family)? {
        return Ok(Plan::unchanged(format!(
            "iptables {name} chain is already absent in {table} table for {family}"
        )));
    }
    let would = format!("iptables {name} chain in {table} table needs to be removed {family}");
    let done = format!("iptables {name} chain in {table} table delete success for {family}");
    let call = call(args, false)?.keyword("chain", name.clone());
    let plan = Plan::change(done, Changes::of("locale", name.clone()), move |context| {
        let flushed = context.registry.call("iptables.flush", &call, context)?;
        if !went_well(&flushed) {
            let why = python::str(&flushed);
            return Ok(Done::failed(format!(
                "Failed to flush {name} chain in {table} table: {why} for {family}"
            )));
        }
        let removed = context
            .registry
            .call("iptables.delete_chain", &call, context)?;
        Ok(if removed == Value::Bool(true) {
            Done::as_planned()
        } else {
            let why = python::str(&removed);
            Done::failed(format!(
                "Failed to delete {name} chain in {table} table: {why} for {family}"
            ))
        })
    });
    Ok(plan.when_testing(would).test_changes(Changes::none()))
}
