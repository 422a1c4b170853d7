//! `nftables.*`: rules of the packet filter, through nft.

use salt_proto::Map;

use crate::args::Args;
use crate::functions::nftables::{self as tools, Spot};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, state: fn(&Args, &Check<'_>) -> Answer| {
        registry.add_state(name, signature, doc, state);
    };
    add(
        "nftables.append",
        "append(name, family='ipv4', **kwargs)",
        "Makes sure that a rule is there; a new one goes to the end.",
        |args, check| add_rule(args, check, "add"),
    );
    add(
        "nftables.insert",
        "insert(name, family='ipv4', **kwargs)",
        "Makes sure that a rule is there; a new one goes to its place.",
        |args, check| add_rule(args, check, "insert"),
    );
    add(
        "nftables.delete",
        "delete(name, family='ipv4', **kwargs)",
        "Makes sure that a rule is not there.",
        delete,
    );
    add(
        "nftables.flush",
        "flush(name, family='ipv4', ignore_absence=False, **kwargs)",
        "Removes all rules of a table or a chain.",
        flush,
    );
    add(
        "nftables.set_policy",
        "set_policy(name, table='filter', family='ipv4', **kwargs)",
        "Makes sure that a chain has a policy.",
        set_policy,
    );
    add(
        "nftables.chain_present",
        "chain_present(name, table='filter', table_type=None, hook=None, priority=None, family='ipv4')",
        "Makes sure that there is a chain.",
        chain_present,
    );
    add(
        "nftables.chain_absent",
        "chain_absent(name, table='filter', family='ipv4')",
        "Makes sure that there is no such chain.",
        chain_absent,
    );
    add(
        "nftables.table_present",
        "table_present(name, family='ipv4', **kwargs)",
        "Makes sure that there is a table.",
        table_present,
    );
    add(
        "nftables.table_absent",
        "table_absent(name, family='ipv4', **kwargs)",
        "Makes sure that there is no such table.",
        table_absent,
    );
}

/// The name as Salt puts it into the changes.
fn changed(name: &str) -> Changes {
    Changes::of("locale", name)
}

/// The rule that the arguments describe.
fn rule(args: &Args, family: &str) -> Result<String, CallError> {
    let words: Map = args.clean_keywords();
    if words.get("jump").is_some_and(salt_proto::Value::is_null) && words.len() <= 3 {
        return Ok("None".to_owned());
    }
    tools::build(&words, family)
}

fn add_rule(args: &Args, check: &Check<'_>, verb: &'static str) -> Answer {
    let name = args.text("name")?;
    let spot = Spot::of(args)?;
    let family = spot.family.clone();
    let rule = rule(args, &family)?;
    let is_insert = verb == "insert";
    let shown = |before: &str| {
        if is_insert {
            format!("nftables rule for {name} {before} for {family} ({rule})")
        } else {
            format!("nftables rule for {name} {before} ({rule}) for {family}")
        }
    };
    if tools::check(check.system, &spot, Some(&rule))?.result {
        return Ok(Plan::unchanged(shown("already set")));
    }
    let would = shown("needs to be set");
    let (saves, position) = (args.is_true("save"), args.optional_text("position"));
    let changes = changed(&name);
    Ok(Plan::change("", changes, move |context| {
        let said = tools::add_rule(context, verb, &spot, position.as_deref(), Some(&rule))?;
        if !said.result {
            return Ok(Done::failed(if is_insert {
                format!("Failed to set nftables rule for {name}.\nAttempted rule was {rule}")
            } else {
                format!(
                    "Failed to set nftables rule for {name}.\nAttempted rule was {rule} for {family}.\n{}",
                    said.comment
                )
            }));
        }
        let verb = saved(context, saves)?;
        Ok(Done::with_comment(format!(
            "{verb} nftables rule for {name} to: {rule} for {family}"
        )))
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

/// Saves where that is asked for; how the comment begins.
fn saved(context: &crate::context::Context<'_>, saves: bool) -> Result<&'static str, CallError> {
    if saves {
        tools::save(context, None)?;
        return Ok("Set and Saved");
    }
    Ok("Set")
}

fn delete(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let spot = Spot::of(args)?;
    let family = spot.family.clone();
    let rule = rule(args, &family)?;
    let position = args.optional_text("position");
    if position.is_none() && !tools::check(check.system, &spot, Some(&rule))?.result {
        return Ok(Plan::unchanged(format!(
            "nftables rule for {name} already absent for {family} ({rule})"
        )));
    }
    let would = format!("nftables rule for {name} needs to be deleted for {family} ({rule})");
    let saves = args.is_true("save");
    let changes = changed(&name);
    Ok(Plan::change("", changes, move |context| {
        let by_rule = position.is_none().then_some(rule.as_str());
        if !tools::delete_rule(context, &spot, position.as_deref(), by_rule)?.result {
            return Ok(Done::failed(format!(
                "Failed to delete nftables rule for {name}.\nAttempted rule was {rule}"
            )));
        }
        let verb = if saves {
            tools::save(context, None)?;
            "Deleted and Saved"
        } else {
            "Delete"
        };
        Ok(Done::with_comment(format!(
            "{verb} nftables rule for {name} {rule}"
        )))
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn flush(args: &Args, _: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let mut spot = Spot::of(args)?;
    if spot.table.is_none() {
        spot.table = Some("filter".to_owned());
    }
    let ignores = args.is_true("ignore_absence");
    Ok(Plan::change("", changed(&name), move |context| {
        let (family, table) = (&spot.family, spot.table.as_deref().unwrap_or_default());
        let chain = spot.chain.as_deref().unwrap_or_default();
        let done = format!("Flush nftables rules in {table} table {chain} chain {family} family");
        if !tools::check_table(context.system, &spot)?.result {
            return Ok(if ignores {
                Done::with_comment(done)
            } else {
                Done::failed(format!(
                    "Failed to flush table {table} in family {family}, table does not exist."
                ))
            });
        }
        if spot.chain.is_some() && !tools::check_chain(context.system, &spot)?.result {
            return Ok(if ignores {
                Done::with_comment(done)
            } else {
                Done::failed(format!(
                    "Failed to flush chain {chain} in table {table} in family {family}, chain does not exist."
                ))
            });
        }
        Ok(if tools::flush(context, &spot)?.result {
            Done::with_comment(done)
        } else {
            Done::failed("Failed to flush nftables rules")
        })
    })
    .when_testing("nftables flush not performed in test mode.")
    .test_changes(Changes::none()))
}

fn set_policy(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let spot = Spot::of(args)?;
    let policy = args
        .keywords()
        .get("policy")
        .map(python::str)
        .unwrap_or_default();
    let family = spot.family.clone();
    let (table, chain) = (
        spot.table.clone().unwrap_or_default(),
        spot.chain.clone().unwrap_or_default(),
    );
    if tools::policy(check.system, &spot)?.as_deref() == Some(policy.as_str()) {
        return Ok(Plan::unchanged(format!(
            "nftables default policy for chain {chain} on table {table} for {family} already set to {policy}"
        )));
    }
    let would = format!(
        "nftables default policy for chain {chain} on table {table} for {family} needs to be set to {policy}"
    );
    let saves = args.is_true("save");
    Ok(Plan::change("", changed(&name), move |context| {
        if !tools::set_policy(context, &spot, &policy)? {
            return Ok(Done::failed("Failed to set nftables default policy"));
        }
        let verb = if saves {
            tools::save(context, None)?;
            "Set and saved"
        } else {
            "Set"
        };
        Ok(Done::with_comment(format!(
            "{verb} default policy for {chain} to {policy} family {family}"
        )))
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

/// The place that the name of a state is, with its table where it has one.
fn named(args: &Args, is_chain: bool) -> Result<Spot, CallError> {
    let mut spot = Spot::of(args)?;
    let name = Some(args.text("name")?);
    if is_chain {
        spot.chain = name;
    } else {
        spot.table = name;
        spot.chain = None;
    }
    Ok(spot)
}

fn chain_present(args: &Args, check: &Check<'_>) -> Answer {
    let (name, spot) = (args.text("name")?, named(args, true)?);
    let (table, family) = (spot.table.clone().unwrap_or_default(), spot.family.clone());
    if tools::check_chain(check.system, &spot)?.result {
        return Ok(Plan::unchanged(format!(
            "nftables {name} chain is already exist in {table} table for {family}"
        )));
    }
    let would =
        format!("nftables chain {name} would be created in table {table} for family {family}");
    let args = args.clone();
    Ok(Plan::change("", changed(&name), move |context| {
        let said = tools::new_chain(context, &spot, &args)?;
        Ok(if said.result {
            Done::with_comment(format!(
                "nftables {name} chain in {table} table create success for {family}"
            ))
        } else {
            let reason = said.comment;
            Done::failed(format!(
                "Failed to create {name} chain in {table} table: {reason} for {family}"
            ))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn chain_absent(args: &Args, check: &Check<'_>) -> Answer {
    let (name, spot) = (args.text("name")?, named(args, true)?);
    let (table, family) = (spot.table.clone().unwrap_or_default(), spot.family.clone());
    if !tools::check_chain(check.system, &spot)?.result {
        return Ok(Plan::unchanged(format!(
            "nftables {name} chain is already absent in {table} table for {family}"
        )));
    }
    let would =
        format!("nftables chain {name} would be deleted from table {table} for family {family}");
    Ok(Plan::change("", changed(&name), move |context| {
        let flushed = tools::flush(context, &spot)?;
        if !flushed.result {
            let reason = flushed.comment;
            return Ok(Done::failed(format!(
                "Failed to flush {name} chain in {table} table: {reason} for {family}"
            )));
        }
        let said = tools::delete_chain(context, &spot)?;
        Ok(if said.result {
            Done::with_comment(format!(
                "nftables {name} chain in {table} table delete success for {family}"
            ))
        } else {
            let reason = said.comment;
            Done::failed(format!(
                "Failed to delete {name} chain in {table} table: {reason} for {family}"
            ))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn table_present(args: &Args, check: &Check<'_>) -> Answer {
    let (name, spot) = (args.text("name")?, named(args, false)?);
    let family = spot.family.clone();
    if tools::check_table(check.system, &spot)?.result {
        return Ok(Plan::unchanged(format!(
            "nftables table {name} already exists in family {family}"
        )));
    }
    let would = format!("nftables table {name} would be created in family {family}");
    Ok(Plan::change("", changed(&name), move |context| {
        Ok(if tools::new_table(context, &spot)?.result {
            Done::with_comment(format!(
                "nftables table {name} successfully created in family {family}"
            ))
        } else {
            Done::failed(format!(
                "Failed to create nftables table {name} for family {family}"
            ))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn table_absent(args: &Args, check: &Check<'_>) -> Answer {
    let (name, spot) = (args.text("name")?, named(args, false)?);
    let family = spot.family.clone();
    if !tools::check_table(check.system, &spot)?.result {
        return Ok(Plan::unchanged(format!(
            "nftables table {name} is already absent from family {family}"
        )));
    }
    let would = format!("nftables table {name} would be deleted from family {family}");
    Ok(Plan::change("", changed(&name), move |context| {
        Ok(if tools::delete_table(context, &spot)?.result {
            Done::with_comment(format!(
                "nftables table {name} successfully deleted from family {family}"
            ))
        } else {
            Done::failed(format!(
                "Failed to delete nftables table {name} from family {family}"
            ))
        })
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}
