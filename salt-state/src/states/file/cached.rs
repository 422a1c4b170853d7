//! `file.cached` and `file.not_cached`, and what exists on Windows only.

use std::path::PathBuf;

use salt_proto::Value;

use super::{Answer, expanded};
use crate::args::Args;
use crate::files::cache::place;
use crate::files::hash::Checksum;
use crate::files::source::{self, Failure, os_error};
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::WriteOptions;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.cached",
        "cached(name, source_hash='', source_hash_name=None, skip_verify=False, saltenv='base', use_etag=False, source_hash_sig=None, signed_by_any=None, signed_by_all=None, keyring=None, gnupghome=None, sig_backend='gpg')",
        "Sees to a file's being in the minion's cache.",
        cached,
    );
    registry.add_state(
        "file.not_cached",
        "not_cached(name, saltenv='base')",
        "Sees to a file's not being in the minion's cache.",
        not_cached,
    );
    registry.add_state(
        "file.shortcut",
        "shortcut(name, target, arguments=None, working_dir=None, description=None, icon_location=None, force=False, backupname=None, makedirs=False, user=None, **kwargs)",
        "Windows only.",
        |_, _| Ok(Plan::fail("Shortcuts are only supported on Windows")),
    );
}

/// A path of this machine, absolute.
fn local(name: &str, check: &Check<'_>) -> Option<PathBuf> {
    let path = source::local_path(name)?;
    Some(if path.is_absolute() {
        path
    } else {
        let cwd = check.system.identity().cwd;
        if name.is_empty() { cwd } else { cwd.join(path) }
    })
}

fn cached(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let saltenv = args
        .optional_text("saltenv")
        .unwrap_or_else(|| "base".to_owned());
    let given = args.optional_text("source_hash").unwrap_or_default();
    let is_tree = name.starts_with("salt://");
    let sum = if given.is_empty() {
        None
    } else {
        let hash_name = args.optional_text("source_hash_name");
        let found = source::checksum(
            "",
            &name,
            &given,
            hash_name.as_deref(),
            &saltenv,
            true,
            check.context,
        );
        match found {
            Ok(sum) => Some(sum),
            Err(Failure::Foreseen(text)) => return Ok(Plan::fail(text)),
            Err(Failure::Exception(error)) => return Err(error),
        }
    };
    if source::is_remote(&name) && sum.is_none() && !args.is_true("skip_verify") {
        return Ok(Plan::fail(format!(
            "Unable to verify upstream hash of source file {name}, please set source_hash or set skip_verify or use_etag to True"
        )));
    }
    // What is not verified need not be what the checksum says.
    let kind = sum.as_ref().map_or("sha256", |sum: &Checksum| &sum.kind);
    let kind = kind.to_owned();
    let sum = sum.filter(|_| !(source::is_remote(&name) && args.is_true("skip_verify")));
    let to = place(&name, &saltenv, check.minion);
    if check.is_test() {
        let there = match (&to, &sum) {
            (Some(to), Some(sum)) => match check.system.read(to).ok().flatten() {
                Some(old) => sum.fits(&old)?,
                None => false,
            },
            _ => false,
        };
        if there {
            return Ok(Plan::unchanged(format!("File already cached: {name}")));
        }
        if is_tree
            && sum.is_none()
            && let Some(to) = &to
        {
            let old = check.system.read(to).ok().flatten();
            let new = source::content(&name, &saltenv, check.context);
            if let (Some(old), Ok(Some(new))) = (old, new)
                && old == new
            {
                return Ok(Plan::unchanged(format!("File already cached: {name}")));
            }
        }
        return Ok(Plan::answer(
            None,
            format!("File will be cached: {name}"),
            Changes::none(),
        ));
    }
    let hash = |content: &[u8]| crate::functions::hash(&kind, content);
    let Some(to) = to else {
        let scheme = source::scheme(&name).filter(|scheme| *scheme != "file");
        if source::is_remote(&name)
            && let Err(failure) = source::content(&name, &saltenv, check.context)
        {
            return Ok(Plan::fail(failure.text()));
        }
        if scheme.is_some() {
            return Ok(Plan::fail(format!("Unsupported url scheme: {name}")));
        }
        let Some(path) = local(&name, check) else {
            return Ok(Plan::fail(format!(
                "File {name} is not present on the minion"
            )));
        };
        let shown = path.display();
        if !check.system.exists(&path) {
            return Ok(Plan::fail(format!(
                "File {shown} is not present on the minion"
            )));
        }
        let Some(sum) = &sum else {
            return Ok(Plan::unchanged(format!(
                "File {shown} is present on the minion"
            )));
        };
        let content = check
            .system
            .read(&path)
            .map_err(|error| os_error(error, &path))?
            .unwrap_or_default();
        let actual = hash(&content)?;
        return Ok(if actual == sum.hex {
            Plan::unchanged(format!(
                "File {shown} is present on the minion and has hash {actual}"
            ))
        } else {
            Plan::fail(format!(
                "File {shown} is present on the minion, but the hash ({actual}) does not match the specified hash ({})",
                sum.hex
            ))
        });
    };
    let shown = to.display().to_string();
    let old = check
        .system
        .read(&to)
        .map_err(|error| os_error(error, &to))?;
    let old_hash = match &old {
        Some(old) => Value::from(hash(old)?),
        None => Value::Null,
    };
    if let Some(sum) = &sum
        && old_hash.as_str() == Some(sum.hex.as_str())
    {
        return Ok(Plan::unchanged(format!(
            "File is already cached to {shown} with hash {}",
            sum.hex
        )));
    }
    let failed = || {
        Plan::fail(format!(
            "Failed to cache {name}, check minion log for more information"
        ))
    };
    let content = match source::content(&name, &saltenv, check.context) {
        Ok(Some(content)) => content,
        Ok(None) => return Ok(failed()),
        Err(Failure::Exception(error)) if !source::is_remote(&name) => return Err(error),
        Err(failure) => return Ok(Plan::fail(failure.text())),
    };
    let new_hash = hash(&content)?;
    let mut changes = Changes::none();
    if old_hash.as_str() != Some(new_hash.as_str()) {
        changes = changes.old_new("hash", old_hash, new_hash.as_str());
    }
    let (result, comment) = match &sum {
        None => (true, format!("File is cached to {shown}")),
        Some(sum) if sum.hex == new_hash => (
            true,
            format!("File is already cached to {shown} with hash {new_hash}"),
        ),
        Some(sum) => (
            false,
            format!(
                "File is cached to {shown}, but the hash ({new_hash}) does not match the specified hash ({})",
                sum.hex
            ),
        ),
    };
    if changes.is_empty() {
        return Ok(Plan::answer(result, comment, Changes::none()));
    }
    let mut plan = Plan::change(comment, changes, move |context| {
        let fails = |error| os_error(error, &to);
        if let Some(parent) = to.parent() {
            context
                .system
                .create_dir_all(parent, 0o700)
                .map_err(fails)?;
        }
        context
            .system
            .write(&to, &content, &WriteOptions::new())
            .map_err(fails)?;
        Ok::<_, CallError>(Done::as_planned())
    });
    plan.result = Some(result);
    Ok(plan)
}

fn not_cached(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    let saltenv = args
        .optional_text("saltenv")
        .unwrap_or_else(|| "base".to_owned());
    let Some(path) = place(&name, &saltenv, check.minion) else {
        let shown = local(&name, check).unwrap_or_default();
        return Ok(Plan::unchanged(format!(
            "File {} is a local path, no action taken",
            shown.display()
        )));
    };
    if !check.system.exists(&path) {
        return Ok(Plan::unchanged(format!("{name} is not cached")));
    }
    let shown = path.display().to_string();
    Ok(Plan::change(
        format!("{shown} was deleted"),
        Changes::of("deleted", shown.as_str()),
        move |context| {
            context
                .system
                .remove(&path)
                .map_err(|error| os_error(error, &path))
        },
    )
    .when_testing(format!("{name} will be deleted")))
}
