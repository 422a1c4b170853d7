//! Packages that keep their versions, through dnf's plugin `versionlock`.

use salt_proto::{Map, Value};

use super::{FAMILY, Versions, change, dnf, needs_rpm, own_arch, versions};
use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

type Answer = Result<Value, CallError>;

/// The package of the plugin.
const PLUGIN: &str = "python3-dnf-plugin-versionlock";

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add_for(FAMILY, name, signature, doc, function);
    };
    add(
        "pkg.hold",
        "hold(name=None, pkgs=None, sources=None, normalize=True, **kwargs)",
        "Keeps packages at their versions.",
        |args, context| called(args, context, true),
    );
    add(
        "pkg.unhold",
        "unhold(name=None, pkgs=None, sources=None, **kwargs)",
        "Lets packages be upgraded again.",
        |args, context| called(args, context, false),
    );
    for name in ["pkg.list_holds", "pkg.get_locked_packages"] {
        add(
            name,
            "list_holds(pattern=None, full=True)",
            "The packages that keep their versions, with those versions.",
            |args, context| {
                needs_rpm(context, "pkg.list_holds")?;
                let own = own_arch(&context.minion.grains);
                needs_plugin(&versions(context.system, own)?)?;
                let pattern = args.optional_text("pattern");
                let full = args.is_true("full");
                Ok(locked(context.system, pattern.as_deref(), full)?
                    .into_iter()
                    .collect())
            },
        );
    }
}

/// Refuses a machine without the plugin.
fn needs_plugin(now: &Versions) -> Result<(), CallError> {
    if now.contains_key(PLUGIN) {
        return Ok(());
    }
    Err(CallError::invocation(format!(
        "Cannot proceed, {PLUGIN} is not installed."
    )))
}

/// The pattern that names match unless another is stated.
const USUAL: &str = r"[\w+]+(?:[.-][^-]+)*";

/// What is locked, as dnf has it, or only the names.
fn locked(
    machine: &dyn Observe,
    pattern: Option<&str>,
    full: bool,
) -> Result<Vec<String>, CallError> {
    let pattern = pattern.unwrap_or(USUAL);
    let text = tool::ask(machine, &dnf(["versionlock", "list"]))?.stdout_text();
    let wrong = |error: fancy_regex::Error| CallError::execution(error.to_string());
    let name = fancy_regex::Regex::new(&format!(r"^(?:{pattern})-\d")).map_err(wrong)?;
    let mut all = Vec::new();
    for line in text.lines() {
        // alpha-0:1.0-1.*; nothing else that dnf says looks like that.
        let Some((before, _)) = line.split_once(':') else {
            continue;
        };
        let Some((short, epoch)) = before.rsplit_once('-') else {
            continue;
        };
        let is_lock = !epoch.is_empty()
            && epoch.bytes().all(|byte| byte.is_ascii_digit())
            && !line.contains(' ');
        if is_lock && name.is_match(line).map_err(wrong)? {
            all.push(if full { line } else { short }.to_owned());
        }
    }
    Ok(all)
}

/// The names of packages that are held; none where there is no plugin.
pub(crate) fn of(machine: &dyn Observe, now: &Versions) -> Result<Vec<String>, CallError> {
    if needs_plugin(now).is_err() {
        return Ok(Vec::new());
    }
    locked(machine, None, false)
}

/// The same, for those who cannot do without.
///
/// # Errors
///
/// When the plugin is not there.
pub(crate) fn of_all(machine: &dyn Observe, now: &Versions) -> Result<Vec<String>, CallError> {
    needs_plugin(now)?;
    locked(machine, None, false)
}

fn called(args: &Args, context: &Context<'_>, holds: bool) -> Answer {
    needs_rpm(context, "pkg.hold")?;
    let own = own_arch(&context.minion.grains);
    let now = versions(context.system, own)?;
    needs_plugin(&now)?;
    let has = |key: &str| args.given(key).is_some_and(Value::is_true);
    let name = args.optional_text("name").unwrap_or_default();
    if !has("pkgs") && !has("sources") && name.is_empty() {
        return Err(CallError::invocation(
            "One of name, pkgs, or sources must be specified.",
        ));
    }
    if has("pkgs") && has("sources") {
        return Err(CallError::invocation(
            "Only one of pkgs or sources can be specified.",
        ));
    }
    let names: Vec<String> = if has("sources") {
        let files = crate::functions::pkg::change::sources(args);
        files.into_iter().map(|(name, _)| name).collect()
    } else if has("pkgs") {
        change::targets(args, own)?
            .into_iter()
            .map(|target| target.name)
            .collect()
    } else {
        vec![name]
    };
    Ok(set(context, &now, &names, holds)?.into())
}

/// Holds packages or lets them go; one entry of a state's form for each.
pub(crate) fn set(
    context: &Context<'_>,
    now: &Versions,
    names: &[String],
    holds: bool,
) -> Result<Map, CallError> {
    let held = of_all(context.system, now)?;
    let mut all = Map::new();
    for name in names {
        let mut changes = Map::new();
        let (mut result, mut comment) = (true, String::new());
        if held.contains(name) == holds {
            comment.push_str(&if holds {
                format!("Package {name} is already set to be held.")
            } else {
                format!("Package {name} is not being held.")
            });
        } else {
            let verb = if holds { "add" } else { "delete" };
            // Each lock of that name.
            let locks = held.iter().filter(|known| *known == name).count();
            let words = std::iter::repeat_n(name.as_str(), locks.max(1));
            let command = dnf(["versionlock", verb]).args(words);
            let output = tool::run(context, &command)?;
            if output.is_success() {
                let (old, new) = if holds { ("", "hold") } else { ("hold", "") };
                changes = Map::from([("new", new), ("old", old)]);
                comment.push_str(&if holds {
                    format!("Package {name} is now being held.")
                } else {
                    format!("Package {name} is no longer held.")
                });
            } else {
                context.set_retcode(output.exit.code().into());
                result = false;
                comment.push_str(&if holds {
                    format!("Package {name} failed to be held.")
                } else {
                    format!("Package {name} was unable to be unheld.")
                });
            }
        }
        all.insert(
            name.as_str(),
            Map::from([
                ("name", Value::from(name.as_str())),
                ("changes", changes.into()),
                ("result", result.into()),
                ("comment", comment.into()),
            ]),
        );
    }
    Ok(all)
}
