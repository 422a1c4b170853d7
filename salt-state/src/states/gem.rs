//! `gem.*`: packages of Ruby.

use std::cmp::Ordering;

use crate::args::Args;
use crate::functions::gem as tools;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, state: fn(&Args, &Check<'_>) -> Answer| {
        registry.add_state(name, signature, doc, state);
    };
    add(
        "gem.installed",
        "installed(name, ruby=None, gem_bin=None, user=None, version=None, rdoc=False, ri=False, pre_releases=False, proxy=None, source=None)",
        "Makes sure that a gem is installed.",
        installed,
    );
    add(
        "gem.removed",
        "removed(name, ruby=None, user=None, gem_bin=None)",
        "Makes sure that a gem is not installed.",
        removed,
    );
    add(
        "gem.sources_add",
        "sources_add(name, ruby=None, user=None)",
        "Makes sure that gems can come from a place.",
        |args, check| source(args, check, true),
    );
    add(
        "gem.sources_remove",
        "sources_remove(name, ruby=None, user=None)",
        "Makes sure that gems cannot come from a place.",
        |args, check| source(args, check, false),
    );
}

/// Orders versions as Ruby does: numbers as numbers, letters (previews) before them.
fn compare(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| -> Vec<Result<u64, String>> {
        let mut all: Vec<Result<u64, String>> = text
            .split(['.', '-'])
            .map(|part| part.parse().map_err(|_| part.to_owned()))
            .collect();
        while all.last() == Some(&Ok(0)) {
            all.pop();
        }
        all
    };
    let (one, other) = (parts(one), parts(other));
    for at in 0..one.len().max(other.len()) {
        let zero = Ok(0);
        let pair = (one.get(at).unwrap_or(&zero), other.get(at).unwrap_or(&zero));
        let order = match pair {
            (Ok(one), Ok(other)) => one.cmp(other),
            (Err(one), Err(other)) => one.cmp(other),
            (Ok(_), Err(_)) => Ordering::Greater,
            (Err(_), Ok(_)) => Ordering::Less,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Whether a version meets a requirement that begins with an operator.
fn meets(version: &str, operator: &str, wanted: &str) -> bool {
    let order = compare(version, wanted);
    match operator {
        ">=" => order != Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        "<" => order == Ordering::Less,
        "!=" => order != Ordering::Equal,
        "~>" => {
            // All but the last number have to stay.
            let kept = wanted.rsplit_once('.').map_or(wanted, |(kept, _)| kept);
            let stays = version == kept || version.starts_with(&format!("{kept}."));
            order != Ordering::Less && (stays || !wanted.contains('.'))
        }
        _ => order == Ordering::Equal,
    }
}

/// The operator of a requirement and its version.
fn requirement(text: &str) -> Option<(&'static str, &str)> {
    [">=", "<=", "~>", "!=", ">", "<"]
        .into_iter()
        .find_map(|operator| Some((operator, text.strip_prefix(operator)?.trim())))
}

fn installed(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let all = tools::list(check.system, &name, args, "user")?;
    if let Some(versions) = all.get(&name) {
        let plain = |version: &str| version.trim_start_matches("default: ").to_owned();
        match args.optional_text("version") {
            None => return Ok(Plan::unchanged("Gem is already installed.")),
            Some(wanted) => {
                if versions.iter().any(|version| plain(version) == wanted) {
                    return Ok(Plan::unchanged("Gem is already installed."));
                }
                if let Some(value) = args.get("version").filter(|value| value.as_str().is_none()) {
                    return Err(CallError::exception(
                        "TypeError",
                        format!(
                            "expected string or bytes-like object, got '{}'",
                            value.type_name()
                        ),
                    ));
                }
                if let Some((operator, wanted)) = requirement(wanted.trim())
                    && versions
                        .iter()
                        .any(|version| meets(&plain(version), operator, wanted))
                {
                    return Ok(Plan::unchanged("Installed Gem meets version requirements."));
                }
            }
        }
    }
    let would = format!("The gem {name} would have been installed");
    let args = args.clone();
    let changes = Changes::of(&name, "Installed");
    Ok(
        Plan::change("Gem was successfully installed", changes, move |context| {
            tools::install(context, &[name], &args, "user")?;
            Ok(Done::as_planned())
        })
        .when_testing(would)
        .test_changes(Changes::none()),
    )
}

fn removed(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let all = tools::list(check.system, &name, args, "user")?;
    if !all.contains_key(&name) {
        return Ok(Plan::unchanged("Gem is not installed."));
    }
    let would = format!("The gem {name} would have been removed");
    let args = args.clone();
    let changes = Changes::of(&name, "Removed");
    Ok(
        Plan::change("Gem was successfully removed.", changes, move |context| {
            tools::uninstall(context, &[name], &args, "user")?;
            Ok(Done::as_planned())
        })
        .when_testing(would)
        .test_changes(Changes::none()),
    )
}

fn source(args: &Args, check: &Check<'_>, adds: bool) -> Answer {
    let name = args.text("name")?;
    let there = tools::sources(check.system, args, "user")?.contains(&name);
    if there == adds {
        return Ok(Plan::unchanged(if adds {
            "Gem source is already added."
        } else {
            "Gem source is already removed."
        }));
    }
    let (verb, word, past) = if adds {
        ("--add", "added", "Installed")
    } else {
        ("--remove", "removed", "Removed")
    };
    let would = if adds {
        format!("The gem source {name} would have been added.")
    } else {
        "The gem source would have been removed.".to_owned()
    };
    let comment = format!("Gem source was successfully {word}.");
    let changes = Changes::of(&name, past);
    let args = args.clone();
    Ok(Plan::change(comment, changes, move |context| {
        tools::change_source(context, verb, &name, &args, "user")?;
        Ok(Done::as_planned())
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_met_as_ruby_has_it() {
        for (version, text, expected) in [
            ("13.0.6", ">= 13.0", true),
            ("13.0.6", ">= 14", false),
            ("13.0.6", "~> 13.0", true),
            ("13.2", "~> 13.0.1", false),
            ("13.0.6", "< 13.0.10", true),
            ("1.0.0", "!= 1", false),
            ("2.0.pre", "< 2.0", true),
        ] {
            let (operator, wanted) = requirement(text).expect("an operator");
            assert_eq!(
                meets(version, operator, wanted),
                expected,
                "{version} {text}"
            );
        }
    }
}
