//! `pkgrepo.*`: where packages come from.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::functions::pkg::repo::{self, Change, Entry};
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

mod yum;

type Answer = Result<Plan, CallError>;

/// Whether packages come from where dnf looks.
fn is_redhat(check: &Check<'_>) -> bool {
    check.minion.grains.str("os_family") == Some("RedHat")
}

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "pkgrepo.managed",
        "managed(name, ppa=None, copr=None, aptkey=True, **kwargs)",
        "Makes sure that packages are also taken from a source.",
        managed,
    );
    registry.add_state(
        "pkgrepo.absent",
        "absent(name, **kwargs)",
        "Makes sure that packages are not taken from a source.",
        absent,
    );
}

const DIFFERENT: &str = "This may cause pkg states to behave differently than stated if this \
                         action is repeated without test=True, due to the differences in the \
                         configured repositories.";

/// What Salt shows of a source that changes.
fn shown(old: &Entry, new: &Entry) -> Changes {
    let mut changes = Changes::none();
    let list = |items: &[String]| items.iter().collect::<Value>();
    let mut differs = |key: &str, new: Value, old: Value| {
        if new != old {
            changes.insert(key, Map::from([("new", new), ("old", old)]));
        }
    };
    let architectures = |entry: &Entry| -> Value { entry.architectures().into_iter().collect() };
    differs("comps", list(&new.comps), list(&old.comps));
    differs("disabled", new.disabled.into(), old.disabled.into());
    if old.in_paragraph {
        differs("suites", list(&new.suites), list(&old.suites));
        differs("types", list(&new.types), list(&old.types));
        differs("uri", new.uri.as_str().into(), old.uri.as_str().into());
        differs("uris", list(&new.uris), list(&old.uris));
    }
    differs("line", new.line().into(), old.line().into());
    differs("architectures", architectures(new), architectures(old));
    differs("signedby", new.signed_by().into(), old.signed_by().into());
    changes
}

fn managed(args: &Args, check: &Check<'_>) -> Answer {
    if is_redhat(check) {
        return yum::managed(args, check);
    }
    let name = match args.optional_text("ppa").filter(|ppa| !ppa.is_empty()) {
        Some(ppa) => ppa_line(&ppa, check),
        None => args.text("name")?,
    };
    if args.keywords().get("disabled").is_some() && args.keywords().get("enabled").is_some() {
        return Ok(Plan::fail("Only one of enabled/disabled is allowed"));
    }
    let would = format!("Package repo '{name}' would be configured. {DIFFERENT}");
    let change = match Change::new(&name, args) {
        Ok(change) => change,
        Err(error) => {
            return Ok(
                Plan::fail(format!("Failed to configure repo '{name}': {error}"))
                    .when_testing(would)
                    .test_changes(Changes::of("repo", name.as_str()))
                    .test_result(None),
            );
        }
    };
    let known = change
        .find(check.system, &change.name)?
        .map(|(_, entry)| entry);
    let (changes, shows) = match &known {
        Some(known) if change.agrees(known) => {
            return Ok(Plan::unchanged(format!(
                "Package repo '{name}' already configured"
            )));
        }
        Some(known) => {
            let after = change.onto(known);
            let mut bare = if known.in_paragraph {
                after.clone()
            } else {
                change.entry.clone()
            };
            bare.comment.clear();
            (shown(known, &after), shown(known, &bare))
        }
        None => {
            let changes = Changes::of("repo", name.as_str());
            (changes.clone(), changes)
        }
    };
    let refresh = args.keywords().get("refresh").is_none_or(Value::is_true)
        && args.keywords().get("refresh_db").is_none_or(Value::is_true);
    let args = args.clone();
    Ok(Plan::change(
        format!("Configured package repo '{name}'"),
        changes,
        move |context| {
            let done = repo::install_key(context, &change, &args)
                .and_then(|()| repo::apply(context, &change));
            match done {
                Ok(_) => {}
                Err(error @ (CallError::Execution(_) | CallError::CommandNotFound(_))) => {
                    return Ok(Done::failed(format!(
                        "Failed to configure repo '{name}': {error}"
                    )));
                }
                Err(error) => return Err(error),
            }
            if refresh {
                context
                    .registry
                    .call("pkg.refresh_db", &Args::new(), context)?;
            }
            Ok(Done::as_planned())
        },
    )
    .when_testing(would)
    .test_changes(shows))
}

/// The line of an archive of Launchpad.
fn ppa_line(ppa: &str, check: &Check<'_>) -> String {
    let ppa = ppa.trim_start_matches("ppa:");
    let release = check.minion.grains.str("oscodename").unwrap_or_default();
    format!("deb http://ppa.launchpad.net/{ppa}/ubuntu {release} main")
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    if is_redhat(check) {
        return yum::absent(args, check);
    }
    let name = args.text("name")?;
    let gone = format!("Package repo {name} is absent");
    let entry = match Entry::named(&name) {
        Ok(entry) => entry,
        Err(error) => {
            return Ok(Plan::fail(format!(
                "Failed to configure repo '{name}': {error}"
            )));
        }
    };
    let known = repo::find(check.system, &entry)?;
    // A source for other architectures is another source.
    if known.is_none_or(|(_, known)| known.architectures() != entry.architectures()) {
        return Ok(Plan::unchanged(gone));
    }
    let would = format!("Package repo '{name}' will be removed. {DIFFERENT}");
    Ok(Plan::change(
        format!("Removed repo {name}"),
        Changes::of("repo", name.as_str()),
        move |context| {
            match repo::remove(context, &entry) {
                Ok(_) => {}
                Err(error @ CallError::Execution(_)) => return Ok(Done::failed(error.to_string())),
                Err(error) => return Err(error),
            }
            context
                .registry
                .call("pkg.refresh_db", &Args::new(), context)?;
            Ok(Done::as_planned())
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}
