//! `locale.*`: the language of a machine.

use std::path::Path;

use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{WriteOptions, errno_text};

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
