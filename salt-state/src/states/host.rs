//! `host.*`: names of addresses in `/etc/hosts`.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::functions::hosts::Hosts;
use crate::plan::{Changes, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_rehearsed("host");
    registry.add_state(
        "host.present",
        "present(name, ip, comment='', clean=False)",
        "Makes sure that addresses have a name.",
        present,
    );
    registry.add_state(
        "host.absent",
        "absent(name, ip)",
        "Makes sure that addresses do not have a name.",
        absent,
    );
    registry.add_state(
        "host.only",
        "only(name, hostnames)",
        "Makes sure that an address has some names, and no others.",
        only,
    );
}

fn addresses(args: &Args) -> Vec<String> {
    match args.get("ip") {
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        Some(one) => vec![python::str(one)],
        None => Vec::new(),
    }
}

fn hosts(check: &Check<'_>) -> Result<Hosts, CallError> {
    Hosts::of(check.system, check.setting("hosts.file"))
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let host = args.text("name")?;
    let comment = args.optional_text("comment").unwrap_or_default();
    let clean = args.is_true("clean");
    let wanted = addresses(args);
    let mut after = hosts(check)?;
    let before = after.clone();

    let (mut said, mut would, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let mut to_add: Vec<&String> = Vec::new();
    for ip in &wanted {
        if before.names(ip).contains(&host) {
            said.push(format!("Host {host} ({ip}) already present"));
        } else if !to_add.contains(&ip) {
            to_add.push(ip);
        }
    }
    would.clone_from(&said);
    let mut to_comment: Vec<&String> = Vec::new();
    if !comment.is_empty() {
        for ip in &wanted {
            if before.comment(ip) != Some(comment.as_str()) {
                to_comment.push(ip);
            }
        }
    }
    let mut to_remove = Vec::new();
    for (ip, names) in before.addresses() {
        if !names.contains(&host) || wanted.contains(&ip) {
            continue;
        }
        if clean {
            to_remove.push(ip);
        } else {
            warnings.push(format!(
                "Host {host} present for IP address {ip}. To get rid of this warning, either \
                 run this state with 'clean' set to True to remove {host} from {ip}, or add \
                 {ip} to the 'ip' argument."
            ));
        }
    }

    let mut changes = Changes::none();
    let mut group = |key: &str, ip: &str, value: &str| {
        let map = changes.get_or_insert_with(key, || Map::new().into());
        if let Some(map) = map.as_map_mut() {
            map.insert(ip, vec![Value::from(value)]);
        }
    };
    for ip in to_add {
        after.add(ip, &host);
        group("added", ip, &host);
        said.push(format!("Added host {host} ({ip})"));
        would.push(format!("Host {host} ({ip}) would be added"));
    }
    for ip in to_comment {
        after.set_comment(ip, &comment);
        group("comment_added", ip, &comment);
        said.push(format!("Set comment for host {ip} ({comment})"));
        would.push(format!("Comment for {ip} ({comment}) would be added"));
    }
    for ip in &to_remove {
        after.remove(ip, &host);
        group("removed", ip, &host);
        said.push(format!("Removed host {host} ({ip})"));
        would.push(format!("Host {host} ({ip}) would be removed"));
    }
    let said = said.join("\n");
    let mut plan = if changes.is_empty() {
        Plan::unchanged(said)
    } else {
        Plan::change(said, changes, move |context| after.write(context))
            .when_testing(would.join("\n"))
    };
    for warning in warnings {
        plan = plan.warning(warning);
    }
    Ok(plan)
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let host = args.text("name")?;
    let mut after = hosts(check)?;
    let before = after.clone();
    let (mut said, mut would) = (Vec::new(), Vec::new());
    let mut last_is_there = false;
    let mut changes = Changes::none();
    for ip in addresses(args) {
        last_is_there = before.names(&ip).contains(&host);
        if last_is_there {
            after.remove(&ip, &host);
            changes.insert("host", host.as_str());
            said.push(format!("Removed host {host} ({ip})"));
            would.push(format!("Host {host} ({ip}) needs to be removed"));
        } else {
            let already = format!("Host {host} ({ip}) already absent");
            said.push(already.clone());
            would.push(already);
        }
    }
    let said = said.join("\n");
    if changes.is_empty() {
        return Ok(Plan::unchanged(said));
    }
    let plan = Plan::change(said, changes, move |context| after.write(context))
        .when_testing(would.join("\n"))
        .test_changes(Changes::none());
    // In a dry run of Salt the last address decides.
    Ok(if last_is_there {
        plan
    } else {
        plan.test_result(true)
    })
}

fn only(args: &Args, check: &Check<'_>) -> Answer {
    let ip = args.text("name")?;
    let wanted = match args.get("hostnames") {
        Some(Value::List(items)) => items.iter().map(python::str).collect::<Vec<_>>().join(" "),
        Some(one) => python::str(one),
        None => String::new(),
    };
    let mut after = hosts(check)?;
    let old = after.names(&ip).join(" ");
    if old == wanted {
        return Ok(Plan::unchanged(format!(
            "IP address {ip} already set to \"{wanted}\""
        )));
    }
    after.set(&ip, &wanted, None);
    let would = format!("Would change {ip} from \"{old}\" to \"{wanted}\"");
    Ok(Plan::change(
        format!("successfully changed {ip} from \"{old}\" to \"{wanted}\""),
        Changes::none().old_new(&ip, old, wanted),
        move |context| after.write(context),
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}
