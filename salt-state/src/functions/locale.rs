//! `locale.*`: the languages a machine speaks.

use std::path::Path;

use salt_proto::Value;

use super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

const LIST: &str = "/etc/locale.gen";
const SUPPORTED: &str = "/usr/share/i18n/SUPPORTED";
const DEFAULT: &str = "/etc/default/locale";
const LOCALE_CONF: &str = "/etc/locale.conf";

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "locale.list_avail",
        "list_avail()",
        "The locales that are generated.",
        |_, context| Ok(available(context.system).into_iter().collect()),
    );
    add(
        "locale.avail",
        "avail(locale)",
        "Whether a locale is generated.",
        |args, context| Ok(is_available(context.system, &args.text("locale")?).into()),
    );
    add(
        "locale.get_locale",
        "get_locale()",
        "The language of the system; empty when there is none.",
        |_, context| Ok(current(context.system)?.into()),
    );
    add(
        "locale.set_locale",
        "set_locale(locale)",
        "Sets the language of the system.",
        |args, context| Ok(set(context, &args.text("locale")?)?.into()),
    );
    add(
        "locale.gen_locale",
        "gen_locale(locale, **kwargs)",
        "Generates a locale that the machine has a definition of.",
        |args, context| Ok(generate(context, &args.text("locale")?)?.into()),
    );
}

fn read(machine: &dyn Observe, path: &str) -> Result<Option<String>, CallError> {
    let path = Path::new(path);
    machine
        .text(path)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))
}

fn write(context: &Context<'_>, path: &str, text: &str) -> Result<(), CallError> {
    let path = Path::new(path);
    context
        .system
        .write(path, text.as_bytes(), &WriteOptions::new())
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))
}

fn is_booted(machine: &dyn Observe) -> bool {
    machine.exists(Path::new("/run/systemd/system"))
}

fn available(machine: &dyn Observe) -> Vec<String> {
    let text = tool::answer(machine, &tool::named(machine, "locale").arg("-a"));
    text.unwrap_or_default()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A locale without what differs between its spellings: the character set in small
/// letters and without dashes, no second character set behind it.
fn normal(name: &str) -> String {
    let name = name.split_whitespace().next().unwrap_or_default();
    let (rest, modifier) = name.split_once('@').unwrap_or((name, ""));
    let (language, set) = rest.split_once('.').unwrap_or((rest, ""));
    let set = set.to_lowercase().replace(['-', '_'], "");
    format!("{}.{set}@{modifier}", language.to_lowercase())
}

/// Whether a locale is generated.
pub(crate) fn is_available(machine: &dyn Observe, name: &str) -> bool {
    let name = normal(name);
    available(machine).iter().any(|known| normal(known) == name)
}

/// The variables that systemd sets for the system, where it runs.
fn of_systemd(machine: &dyn Observe) -> Option<Vec<(String, String)>> {
    if !is_booted(machine) || machine.which("localectl").is_none() {
        return None;
    }
    let text = tool::answer(machine, &tool::named(machine, "localectl").arg("status"))?;
    let mut all = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim();
        let assignment = match line.strip_prefix("System Locale:") {
            Some(first) => {
                inside = true;
                first.trim()
            }
            // The next label ends what belongs to this one.
            None if line.split('=').next()?.contains(':') => {
                inside = false;
                continue;
            }
            None => line,
        };
        if let Some((name, value)) = assignment.split_once('=').filter(|_| inside) {
            all.push((name.to_owned(), value.to_owned()));
        }
    }
    Some(all)
}

/// The language of the system; empty when there is none.
///
/// # Errors
///
/// When the file cannot be read.
pub(crate) fn current(machine: &dyn Observe) -> Result<String, CallError> {
    if let Some(all) = of_systemd(machine) {
        let found = all.into_iter().find(|(name, _)| name == "LANG");
        return Ok(found.map(|(_, value)| value).unwrap_or_default());
    }
    let text = read(machine, DEFAULT)?.unwrap_or_default();
    let lines = text.lines();
    let mut values = lines.filter_map(|line| line.trim().strip_prefix("LANG="));
    let last = values.next_back().unwrap_or_default();
    Ok(last.trim_matches(['"', '\'']).to_owned())
}

/// The text with a line in the place of that of the language, else at the end.
fn with_language(text: &str, line: &str) -> String {
    let mut out = String::new();
    let mut found = false;
    for old in text.lines() {
        let is = old.starts_with("LANG=");
        found |= is;
        out.push_str(if is { line } else { old });
        out.push('\n');
    }
    if !found {
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Sets the language of the system.
///
/// # Errors
///
/// When the file cannot be written or a program cannot be run.
pub(crate) fn set(context: &Context<'_>, name: &str) -> Result<bool, CallError> {
    let machine = context.system;
    if name.contains(['\n', '"', '$', '`', '\\']) {
        return Ok(false);
    }
    if let Some(mut all) = of_systemd(machine) {
        match all.iter_mut().find(|(variable, _)| variable == "LANG") {
            Some((_, value)) => name.clone_into(value),
            None => all.push(("LANG".to_owned(), name.to_owned())),
        }
        let words = all.iter().map(|(name, value)| format!("{name}={value}"));
        let command = tool::named(machine, "localectl")
            .arg("set-locale")
            .args(words);
        if !tool::run(context, &command)?.is_success() {
            // As Salt does, whatever the reason was.
            let text = read(machine, LOCALE_CONF)?.unwrap_or_default();
            write(
                context,
                LOCALE_CONF,
                &with_language(&text, &format!("LANG={name}")),
            )?;
        }
        return Ok(true);
    }
    if machine.which("update-locale").is_none() {
        return Err(CallError::execution(
            "Cannot set locale: \"update-locale\" was not found.",
        ));
    }
    // Makes the file where there is none; that is all it is used for.
    tool::run(context, &tool::named(machine, "update-locale"))?;
    let text = read(machine, DEFAULT)?.unwrap_or_default();
    write(
        context,
        DEFAULT,
        &with_language(&text, &format!("LANG=\"{name}\"")),
    )?;
    Ok(true)
}

/// The line of `/etc/locale.gen` for a locale, if the machine can make it.
fn entry(machine: &dyn Observe, name: &str) -> Result<Option<String>, CallError> {
    let wanted = match name.split_once(' ') {
        Some(_) => name.to_owned(),
        None => match name.split_once('.') {
            Some((_, set)) => format!("{name} {}", set.split('@').next().unwrap_or(set)),
            None => return Ok(None),
        },
    };
    let supported = read(machine, SUPPORTED)?.unwrap_or_default();
    let is = supported.lines().any(|line| line.trim() == wanted);
    Ok(is.then_some(wanted))
}

/// Generates a locale; false when it is not known or the program failed.
///
/// # Errors
///
/// When the list cannot be written or a program cannot be run.
pub(crate) fn generate(context: &Context<'_>, name: &str) -> Result<bool, CallError> {
    let machine = context.system;
    let Some(entry) = entry(machine, name)? else {
        return Ok(false);
    };
    let text = read(machine, LIST)?
        .ok_or_else(|| CallError::invocation(format!("File not found: {LIST}")))?;
    write(context, LIST, &listed(&text, &entry))?;
    let command = if machine.which("locale-gen").is_some() {
        tool::named(machine, "locale-gen").arg(&entry)
    } else {
        let (language, set) = entry.split_once(' ').unwrap_or((&entry, ""));
        let short = language.split('.').next().unwrap_or_default();
        tool::named(machine, "localedef")
            .args(["--force", "-i", short, "-f", set, language, "--quiet"])
    };
    Ok(tool::run(context, &command)?.is_success())
}

/// The list with an entry in force. Salt replaces a comment by a line and a line end, so
/// that an empty line follows unless it was the last; it puts the same at the end when
/// there is no comment, and takes an entry only for its own when an empty line follows.
fn listed(text: &str, entry: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_comment = |line: &str| {
        line.trim_start()
            .strip_prefix('#')
            .is_some_and(|rest| rest.trim() == entry)
    };
    let mut out = String::new();
    let mut found = false;
    for (at, line) in lines.iter().enumerate() {
        let mut after = lines.iter().skip(at + 1).peekable();
        if is_comment(line) {
            found = true;
            out.push_str(entry);
            out.push('\n');
            if after.peek().is_some() {
                out.push('\n');
            }
            continue;
        }
        found |= *line == entry && after.peek().is_some_and(|next| next.is_empty());
        out.push_str(line);
        out.push('\n');
    }
    if !found {
        out.push_str(entry);
        out.push_str("\n\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_locale_are_one() {
        for (one, other) in [
            ("en_GB.UTF-8", "en_GB.utf8"),
            ("en_GB.UTF-8 UTF-8", "en_GB.utf8"),
            ("fr_FR.ISO-8859-1", "fr_FR.iso88591"),
        ] {
            assert_eq!(normal(one), normal(other));
        }
        assert_ne!(normal("de_DE@euro"), normal("de_DE"));
    }
}
