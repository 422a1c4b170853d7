//! `file.*` functions that set owners and modes.

use salt_proto::Value;

use super::Answer;
use crate::args::Args;
use crate::context::Context;
use crate::files::perms::{gid_of, mode_bits, mode_text, normalize_mode, uid_of};
use crate::files::source::os_error;
use crate::registry::{CallError, Registry};
use crate::system::FileKind;

pub(super) fn register(registry: &mut Registry) {
    let doc = "Sets the owner and group of a file; returns nothing, or what is wrong.";
    registry.add(
        "file.chown",
        "chown(path, user, group)",
        doc,
        |args, context| own(args, true, context),
    );
    registry.add(
        "file.lchown",
        "lchown(path, user, group)",
        doc,
        |args, context| own(args, false, context),
    );
    registry.add("file.chgrp", "chgrp(path, group)", doc, |args, context| {
        own(args, true, context)
    });
    registry.add(
        "file.set_mode",
        "set_mode(path, mode)",
        "Sets the mode of a file and returns it.",
        |args, context| {
            let path = super::super::home(&args.text("path")?, context);
            let given = args.text("mode")?;
            if !context.system.exists(&path) {
                return Err(CallError::execution(format!(
                    "{}: File not found",
                    path.display()
                )));
            }
            let mode = normalize_mode(args.get("mode")).unwrap_or_default();
            let Some(bits) = mode_bits(&mode) else {
                return Ok(format!("Invalid Mode {given}").into());
            };
            if context.system.set_mode(&path, bits).is_err() {
                return Ok(format!("Invalid Mode {mode}").into());
            }
            let found = context
                .system
                .metadata(&path)
                .map_err(|error| os_error(error, &path))?;
            Ok(found.map_or(mode, |found| mode_text(found.mode)).into())
        },
    );
}

fn own(args: &Args, follow: bool, context: &Context<'_>) -> Answer {
    let path = super::super::home(&args.text("path")?, context);
    let fails = |error| os_error(error, &path);
    let id = |key: &str, of_user: bool| -> Result<Option<Option<u32>>, CallError> {
        let Some(given) = args.given(key).filter(|given| given.as_str() != Some("")) else {
            return Ok(None);
        };
        let found = if of_user {
            uid_of(context.system, given)
        } else {
            gid_of(context.system, given)
        };
        found.map(Some).map_err(fails)
    };
    let (user, group) = (id("user", true)?, id("group", false)?);
    let mut complaint = String::new();
    if user == Some(None) {
        complaint.push_str("User does not exist\n");
    }
    if group == Some(None) {
        complaint.push_str("Group does not exist\n");
    }
    let found = context.system.link_metadata(&path).map_err(fails)?;
    match found {
        None => complaint.push_str("File not found"),
        Some(found) if complaint.is_empty() => {
            let follow =
                follow && (found.kind != FileKind::Symlink || context.system.exists(&path));
            context
                .system
                .set_owner(&path, user.flatten(), group.flatten(), follow)
                .map_err(fails)?;
            return Ok(Value::Null);
        }
        Some(_) => {}
    }
    Ok(complaint.into())
}
