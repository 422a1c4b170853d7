//! `locale.*` and `timezone.system`: the language and the time of a machine.

use std::path::Path;

use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{Observe, WriteOptions, errno_text};

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "locale.present",
        "present(name)",
        "Makes sure that a locale is generated.",
        present,
    );
    registry.add_state(
        "locale.system",
        "system(name)",
        "Makes sure that the system speaks a language.",
        system,
    );
    registry.add_state(
        "timezone.system",
        "system(name, utc=True)",
        "Makes sure that the system lives in a time zone.",
        timezone,
    );
}

/// A locale as `locale -a` would list it: the character set in small letters, no dashes.
fn normal(name: &str) -> String {
    match name.split_once('.') {
        Some((language, set)) => {
            let (set, modifier) = set.split_once('@').unwrap_or((set, ""));
            let set = set.to_lowercase().replace('-', "");
            let at = if modifier.is_empty() { "" } else { "@" };
            format!("{language}.{set}{at}{modifier}")
        }
        None => name.to_owned(),
    }
}

fn present(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let known = tool::answer(check.system, &tool::named(check.system, "locale").arg("-a"))
        .unwrap_or_default();
    if known
        .lines()
        .any(|line| normal(line.trim()) == normal(&name))
    {
        return Ok(Plan::unchanged(format!("Locale {name} is already present")));
    }
    let would = format!("Locale {name} needs to be generated");
    Ok(Plan::change(
        format!("Generated locale {name}"),
        Changes::of("locale", name.as_str()),
        move |context| {
            Ok(if generate(context, &name)? {
                Done::as_planned()
            } else {
                Done::failed(format!("Failed to generate locale {name}"))
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

fn generate(context: &Context<'_>, name: &str) -> Result<bool, CallError> {
    let machine = context.system;
    let set = name.split_once('.').map(|(_, set)| set);
    let set = set.and_then(|set| set.split('@').next());
    let entry = match set {
        Some(set) => format!("{name} {set}"),
        None => format!("{name} ISO-8859-1"),
    };
    let read = |path: &Path| {
        machine
            .text(path)
            .map_err(|error| CallError::execution(errno_text(&error, Some(path))))
    };
    let list = Path::new("/etc/locale.gen");
    if let Some(text) = read(list)? {
        let supported = read(Path::new("/usr/share/i18n/SUPPORTED"))?.unwrap_or_default();
        if !supported.lines().any(|line| line.trim() == entry) {
            return Ok(false);
        }
        let is = |line: &str| line.trim_start_matches(['#', ' ']).trim_end() == entry;
        let mut found = false;
        let mut lines: Vec<String> = Vec::new();
        for line in text.lines() {
            if is(line) {
                found = true;
                lines.push(entry.clone());
            } else {
                lines.push(line.to_owned());
            }
        }
        if !found {
            lines.push(entry.clone());
        }
        machine
            .write(
                list,
                (lines.join("\n") + "\n").as_bytes(),
                &WriteOptions::new(),
            )
            .map_err(|error| CallError::execution(errno_text(&error, Some(list))))?;
    }
    let command = if machine.which("locale-gen").is_some() {
        tool::named(machine, "locale-gen").arg(&entry)
    } else {
        let language = name.split('.').next().unwrap_or_default();
        tool::named(machine, "localedef").args([
            "--force",
            "-i",
            language,
            "-f",
            set.unwrap_or("ISO-8859-1"),
            name,
            "--quiet",
        ])
    };
    Ok(tool::run(context, &command)?.is_success())
}

const DEFAULT: &str = "/etc/default/locale";

fn current(check: &Check<'_>) -> Option<String> {
    let machine = check.system;
    let path = if machine.exists(Path::new("/run/systemd/system"))
        && machine.is_file(Path::new("/etc/locale.conf"))
    {
        "/etc/locale.conf"
    } else {
        DEFAULT
    };
    let text = machine.text(Path::new(path)).ok().flatten()?;
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("LANG="))
        .next_back()
        .map(|value| value.trim_matches('"').to_owned())
}

fn system(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    if current(check).as_deref() == Some(&name) {
        return Ok(Plan::unchanged(format!("System locale {name} already set")));
    }
    let would = format!("System locale {name} needs to be set");
    Ok(Plan::change(
        format!("Set system locale {name}"),
        Changes::of("locale", name.as_str()),
        move |context| {
            let machine = context.system;
            let booted = machine.exists(Path::new("/run/systemd/system"));
            let done = if booted && machine.which("localectl").is_some() {
                let command =
                    tool::named(machine, "localectl").args(["set-locale", &format!("LANG={name}")]);
                tool::run(context, &command)?.is_success()
            } else {
                set_default(context, &name)?
            };
            Ok(if done {
                Done::as_planned()
            } else {
                Done::failed(format!("Failed to set system locale to {name}"))
            })
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}

/// Sets the language in `/etc/default/locale`. Debian's `update-locale` refuses what is
/// not generated; Salt writes the file then, too.
fn set_default(context: &Context<'_>, name: &str) -> Result<bool, CallError> {
    if name.contains(['\n', '"', '$', '`', '\\']) {
        return Ok(false);
    }
    let path = Path::new(DEFAULT);
    let failed = |error: std::io::Error| CallError::execution(errno_text(&error, Some(path)));
    let text = context
        .system
        .text(path)
        .map_err(failed)?
        .unwrap_or_else(|| "#  File generated by update-locale\n".to_owned());
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("LANG="))
        .map(str::to_owned)
        .collect();
    lines.push(format!("LANG=\"{name}\""));
    context
        .system
        .write(
            path,
            (lines.join("\n") + "\n").as_bytes(),
            &WriteOptions::new(),
        )
        .map_err(failed)?;
    Ok(true)
}

const ZONES: &str = "/usr/share/zoneinfo";

/// What the clock of the machine keeps, and where.
fn clock(machine: &dyn Observe) -> (Option<String>, bool) {
    let zone = machine
        .read_link(Path::new("/etc/localtime"))
        .ok()
        .and_then(|target| {
            let target = target.to_string_lossy().into_owned();
            target
                .split_once("zoneinfo/")
                .map(|(_, zone)| zone.to_owned())
        })
        .or_else(|| {
            let text = machine.text(Path::new("/etc/timezone")).ok().flatten()?;
            Some(text.trim().to_owned())
        });
    let adjusted = machine.text(Path::new("/etc/adjtime")).ok().flatten();
    let local = adjusted.is_some_and(|text| text.lines().any(|line| line.trim() == "LOCAL"));
    (zone, !local)
}

fn timezone(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let utc = args.is_true("utc");
    let file = Path::new(ZONES).join(&name);
    let stays_inside = !name.split('/').any(|part| part == ".." || part.is_empty());
    if !stays_inside || !check.system.is_file(&file) {
        return Ok(Plan::fail(format!(
            "Unable to compare desired timezone '{name}' to system timezone: Can't find a local \
             timezone \"{name}\""
        )));
    }
    let (zone, is_utc) = clock(check.system);
    let (zone_differs, utc_differs) = (zone.as_deref() != Some(&name), is_utc != utc);
    if !zone_differs && !utc_differs {
        return Ok(Plan::unchanged(format!(
            "Timezone {name} already set, UTC already set to {name}"
        )));
    }
    let (mut said, mut would, mut changes) = (Vec::new(), Vec::new(), Changes::none());
    if zone_differs {
        would.push(format!("Timezone {name} needs to be set"));
        said.push(format!("Set timezone {name}"));
        changes.insert("timezone", name.as_str());
    }
    if utc_differs {
        let word = if utc { "True" } else { "False" };
        would.push(format!("UTC needs to be set to {word}"));
        said.push(format!("Set UTC to {word}"));
        changes.insert("utc", utc);
    }
    Ok(Plan::change(said.join(", "), changes, move |context| {
        let machine = context.system;
        let failed = |error: std::io::Error| {
            CallError::execution(errno_text(&error, Some(Path::new("/etc/localtime"))))
        };
        let booted = machine.exists(Path::new("/run/systemd/system"));
        if booted && machine.which("timedatectl").is_some() {
            let mut commands = Vec::new();
            if zone_differs {
                commands.push(tool::named(machine, "timedatectl").args([
                    "set-timezone",
                    "--",
                    &name,
                ]));
            }
            if utc_differs {
                let local = if utc { "false" } else { "true" };
                commands.push(tool::named(machine, "timedatectl").args(["set-local-rtc", local]));
            }
            for command in commands {
                if !tool::run(context, &command)?.is_success() {
                    return Ok(Done::failed("Failed to set timezone"));
                }
            }
            return Ok(Done::as_planned());
        }
        if zone_differs {
            let link = Path::new("/etc/localtime");
            let fresh = Path::new("/etc/localtime.new");
            if machine.is_link(fresh) {
                machine.remove(fresh).map_err(failed)?;
            }
            machine.symlink(&file, fresh).map_err(failed)?;
            machine.rename(fresh, link).map_err(failed)?;
            machine
                .write(
                    Path::new("/etc/timezone"),
                    format!("{name}\n").as_bytes(),
                    &WriteOptions::new(),
                )
                .map_err(failed)?;
        }
        if utc_differs {
            let word = if utc { "UTC" } else { "LOCAL" };
            let text = format!("0.0 0 0\n0\n{word}\n");
            machine
                .write(
                    Path::new("/etc/adjtime"),
                    text.as_bytes(),
                    &WriteOptions::new(),
                )
                .map_err(failed)?;
        }
        Ok(Done::as_planned())
    })
    .when_testing(would.join(", "))
    .test_changes(Changes::none()))
}
