//! Attributes of files on Linux (`lsattr`, `chattr`).

use std::path::Path;

use salt_proto::Map;

use crate::context::Context;
use crate::registry::CallError;
use crate::system::{Command, Observe};

/// The attributes a file has, as letters; `None` where its file system has none or the
/// program that tells is missing.
pub(crate) fn of(path: &Path, system: &dyn Observe) -> Option<String> {
    let command = Command::new("lsattr").arg("-d").arg(path.as_os_str());
    let output = system
        .query(&command)
        .ok()
        .filter(|output| output.is_success())?;
    let line = output.stdout_text();
    let flags = line.split_whitespace().next()?;
    Some(flags.chars().filter(|c| *c != '-').collect())
}

/// Whether a file lacks attributes asked for, or has some that could be taken away.
pub(crate) fn differ(now: &str, wanted: &str) -> bool {
    let (added, removed) = changed(now, wanted);
    !added.is_empty() || !removed.is_empty()
}

/// What is to be added to the attributes and taken from them.
fn changed(now: &str, wanted: &str) -> (String, String) {
    let added = wanted.chars().filter(|c| !now.contains(*c)).collect();
    // What the file system sets itself (extents, …) is left alone.
    let removed = now
        .chars()
        .filter(|c| "aAcCdDijPsStTu".contains(*c) && !wanted.contains(*c))
        .collect();
    (added, removed)
}

/// Gives a file the attributes asked for and takes those away that can be taken away;
/// says what changed.
pub(crate) fn establish(
    path: &Path,
    wanted: &str,
    context: &Context<'_>,
) -> Result<Map, CallError> {
    let Some(now) = of(path, context.system) else {
        return Ok(Map::new());
    };
    let (added, removed) = changed(&now, wanted);
    let mut changes = Map::new();
    for (sign, letters, key) in [('-', &removed, "removed"), ('+', &added, "added")] {
        if letters.is_empty() {
            continue;
        }
        let command = Command::new("chattr")
            .arg(format!("{sign}{letters}"))
            .arg(path.as_os_str());
        let output = context.system.run(&command)?;
        if !output.is_success() {
            return Err(CallError::execution(format!(
                "Failed to change attributes of {}: {}",
                path.display(),
                output.stderr_text().trim()
            )));
        }
        changes.insert(key, letters.as_str());
    }
    Ok(changes)
}
