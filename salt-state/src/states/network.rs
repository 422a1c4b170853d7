//! `network.*`: interfaces, routes and the network as a whole.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::diff::unified_diff;
use crate::functions::ip::interfaces::Entry;
use crate::functions::ip::{self as tools, Global, settings};
use crate::functions::tool;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::Observe;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "network.managed",
        "managed(name, enabled=True, **kwargs)",
        "Makes sure that an interface is configured, and that it is up or down.",
        managed,
    );
    registry.add_state(
        "network.routes",
        "routes(name, **kwargs)",
        "Makes sure that an interface has its own routes.",
        routes,
    );
    registry.add_state(
        "network.system",
        "system(name, **kwargs)",
        "Makes sure of what is set for the network as a whole.",
        system,
    );
}

/// The difference of lines that have their ends, as Salt shows it: with one more each.
fn difference(old: &[String], new: &[String]) -> String {
    let mut lines: Vec<String> = unified_diff(old, new, "", "");
    // The lines of the head have no end of their own.
    for line in &mut lines {
        let is_head =
            line.starts_with("--- ") || line.starts_with("+++ ") || line.starts_with("@@");
        if is_head && line.ends_with('\n') {
            line.pop();
        }
    }
    lines.join("\n")
}

/// What Salt reports politely.
fn polite(error: CallError) -> Answer {
    match error {
        CallError::Exception { kind, message } if kind == "AttributeError" => {
            Ok(Plan::fail(message))
        }
        other => Err(other),
    }
}

fn is_up(machine: &dyn Observe, name: &str) -> bool {
    let all = machine.interfaces().unwrap_or_default();
    all.iter().any(|one| one.name == name && one.up)
}

/// An interface as it is to be.
struct Managed {
    name: String,
    kind: String,
    enabled: bool,
    /// Whether the file says something else.
    differs: bool,
    entry: Entry,
    bond: Option<Vec<String>>,
    slaves: Vec<String>,
    quiet: bool,
}

impl Managed {
    /// What will be said of the interface's state, and whether it goes down and up for it.
    fn foreseen(&self, machine: &dyn Observe) -> (Option<String>, bool, bool) {
        let (name, up) = (&self.name, is_up(machine, &self.name));
        match (self.enabled, up) {
            (true, true) if self.differs => (
                Some(format!("Interface {name} restart to validate")),
                true,
                true,
            ),
            (true, true) | (false, false) => (None, false, false),
            (true, false) => (Some(format!("Interface {name} is up")), false, true),
            (false, true) => (Some(format!("Interface {name} down")), true, false),
        }
    }

    /// The interfaces that are to be added to a bond.
    fn lacking(&self, machine: &dyn Observe) -> Vec<String> {
        if self.bond.is_none() {
            return Vec::new();
        }
        let path = format!("/sys/class/net/{}/bonding/slaves", self.name);
        let there = machine.text(Path::new(&path)).ok().flatten();
        let there = there.unwrap_or_default();
        let mut lacking = self.slaves.clone();
        lacking.retain(|slave| !there.split_whitespace().any(|known| known == slave));
        lacking
    }

    fn changes(&self, machine: &dyn Observe, mut changes: Changes) -> Changes {
        if self.quiet {
            return changes;
        }
        if let (Some(status), ..) = self.foreseen(machine) {
            changes = changes.with("status", status);
        }
        let lacking = self.lacking(machine);
        if !lacking.is_empty() {
            let text = format!(
                "Added slaves '{}' to master '{}'",
                lacking.join(" "),
                self.name
            );
            changes = changes.with("enslave", text);
        }
        changes
    }

    fn carry_out(self, context: &Context<'_>) -> Result<Done, CallError> {
        let machine = context.system;
        tools::put_interface(context, &self.kind, self.entry.clone())?;
        if let Some(bond) = &self.bond {
            tools::put_bond(context, &self.name, bond)?;
        }
        if self.quiet {
            return Ok(Done::as_planned());
        }
        let (_, down, up) = self.foreseen(machine);
        if down {
            tools::bring(context, "ifdown", &self.name, &self.kind)?;
        }
        if up {
            tools::bring(context, "ifup", &self.name, &self.kind)?;
        }
        let lacking = self.lacking(machine);
        if !lacking.is_empty() {
            let command = tool::named(machine, "ifenslave")
                .arg(self.name.as_str())
                .args(&lacking);
            let _refused = tool::run(context, &command);
        }
        Ok(Done::as_planned())
    }
}

fn managed(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let enabled = args.get("enabled").cloned().unwrap_or_default();
    let given = args.clean_keywords();
    let kind = given.str("type").unwrap_or("eth").to_owned();
    let entry = match settings::entry(&name, &kind, &enabled, &given) {
        Ok(entry) => entry,
        Err(error) => return polite(error),
    };
    let old = match tools::interface(check.system, &name) {
        Ok(old) => old,
        Err(error) => return polite(error),
    };
    let new = entry.shown();
    let (mut comment, mut would) = (format!("Interface {name} is up to date."), None);
    let mut changes = Changes::none();
    if old.is_empty() {
        changes = changes.with("interface", "Added network interface.");
        comment = format!("Interface {name} added.");
        would = Some(format!("Interface {name} is set to be added."));
    } else if old != new {
        let diff = difference(&old, &new);
        comment = format!("Interface {name} updated.");
        would = Some(format!("Interface {name} is set to be updated:\n{diff}"));
        changes = changes.with("interface", diff);
    }
    let mut differs = would.is_some();
    let bond = if kind == "bond" {
        let old = tools::bond(check.system, &name);
        let new = match tools::bond_lines(&name, &given) {
            Ok(new) => new,
            Err(error) => return polite(error),
        };
        if old.is_empty() {
            changes = changes.with("bond", format!("Added bond {name}."));
            comment = format!("Bond interface {name} added.");
            would = Some(format!("Bond interface {name} is set to be added."));
            differs = true;
        } else if old != new {
            let diff = difference(&old, &new);
            comment = format!("Bond interface {name} updated.");
            would = Some(format!(
                "Bond interface {name} is set to be updated:\n{diff}"
            ));
            changes = changes.with("bond", diff);
            differs = true;
        }
        Some(new)
    } else {
        None
    };
    let slaves = match given.get("slaves") {
        Some(Value::List(all)) => all.iter().map(python::str).collect(),
        Some(other) => python::str(other)
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        None => Vec::new(),
    };
    let managed = Managed {
        name,
        kind,
        enabled: enabled.is_true(),
        differs,
        entry,
        bond,
        slaves,
        quiet: given.get("noifupdown").is_some_and(Value::is_true),
    };
    let changes = managed.changes(check.system, changes);
    let plan = Plan::change(comment.clone(), changes, move |context| {
        managed.carry_out(context)
    })
    .test_changes(Changes::none());
    Ok(match would {
        Some(would) => plan.when_testing(would),
        None => plan.when_testing(comment).test_result(true),
    })
}

fn routes(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let given = args.clean_keywords();
    let [up, down] = match tools::route_lines(&name, &given) {
        Ok(scripts) => scripts,
        Err(error) => return polite(error),
    };
    let old = tools::routes(check.system, &name);
    let new = [up.as_slice(), down.as_slice()].concat();
    let what = format!("Interface {name} routes");
    if old == new {
        return Ok(Plan::unchanged(format!("{what} are up to date.")));
    }
    let (comment, would, change) = if old.is_empty() {
        (
            format!("{what} added."),
            format!("{what} are set to be added."),
            format!("Added interface {name} routes."),
        )
    } else {
        let diff = difference(&old, &new);
        (
            format!("{what} updated."),
            format!("{what} are set to be updated:\n{diff}"),
            diff,
        )
    };
    let changes = Changes::of("network_routes", change);
    Ok(Plan::change(comment, changes, move |context| {
        tools::put_routes(context, &name, &up, &down)?;
        tools::apply(context, &given)?;
        Ok(Done::as_planned())
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn system(args: &Args, check: &Check<'_>) -> Answer {
    let given: Map = args.clean_keywords();
    let foreseen = |error: CallError| match error {
        CallError::Exception { kind, message }
            if matches!(kind.as_str(), "AttributeError" | "KeyError") =>
        {
            Ok(Plan::fail(message))
        }
        other => Err(other),
    };
    let now = match Global::now(check.context) {
        Ok(now) => now,
        Err(error) => return foreseen(error),
    };
    let old = now.lines();
    let file = match now.file(&given) {
        Ok(file) => file,
        Err(error) => return foreseen(error),
    };
    let fine = "Global network settings are up to date.";
    // Salt's dry run compares with the file, in which other things stand.
    let would = format!(
        "Global network settings are set to be updated:\n{}",
        difference(&old, &file)
    );
    let wanted = match now.with(&given) {
        Ok(wanted) => wanted,
        Err(error) if check.is_test() => {
            let plan = foreseen(error)?;
            return Ok(plan.when_testing(would).test_result(None));
        }
        Err(error) => return foreseen(error),
    };
    let new = wanted.lines();
    let differs = old != new;
    let changes = if differs {
        Changes::of("network_settings", difference(&old, &new))
    } else {
        Changes::none()
    };
    Ok(Plan::change(fine, changes, move |context| {
        wanted.write(&now, &given, context)?;
        if differs {
            tools::apply(context, &given)?;
        }
        Ok(Done::as_planned())
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}
