//! `group.*` as far as it changes groups: through `groupadd` and its relatives.

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Group, Observe, errno_text};

use super::tool;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "group.add",
        "add(name, gid=None, system=False, root=None, non_unique=False, local=False)",
        "Makes a group.",
        |args, context| {
            Ok(create(
                context,
                &args.text("name")?,
                args.optional_text("gid")
                    .filter(|gid| !gid.is_empty())
                    .as_deref(),
                args.is_true("system"),
                args.is_true("non_unique"),
            )?
            .into())
        },
    );
    add(
        "group.delete",
        "delete(name, root=None, local=False)",
        "Removes a group.",
        |args, context| Ok(delete(context, &args.text("name")?)?.into()),
    );
    add(
        "group.chgid",
        "chgid(name, gid, root=None, non_unique=False)",
        "Gives a group another number.",
        |args, context| {
            Ok(set_gid(
                context,
                &args.text("name")?,
                &args.text("gid")?,
                args.is_true("non_unique"),
            )?
            .into())
        },
    );
    add(
        "group.adduser",
        "adduser(name, username, root=None)",
        "Makes a user a member of a group.",
        |args, context| {
            Ok(member(
                context,
                &args.text("name")?,
                "--add",
                &args.text("username")?,
            )?
            .into())
        },
    );
    add(
        "group.deluser",
        "deluser(name, username, root=None)",
        "Ends a user's membership of a group.",
        |args, context| {
            let (name, user) = (args.text("name")?, args.text("username")?);
            // Who is no member need not leave; `gpasswd` would complain.
            if !find(context.system, &name)?.is_some_and(|group| group.members.contains(&user)) {
                return Ok(true.into());
            }
            Ok(member(context, &name, "--del", &user)?.into())
        },
    );
    add(
        "group.members",
        "members(name, members_list, root=None)",
        "Makes users the members of a group, and nobody else.",
        |args, context| {
            Ok(set_members(context, &args.text("name")?, &args.words("members_list"))?.into())
        },
    );
}

/// The group of that name.
pub(crate) fn find(machine: &dyn Observe, name: &str) -> Result<Option<Group>, CallError> {
    machine
        .group(name)
        .map_err(|error| CallError::execution(errno_text(&error, None)))
}

/// Makes a group; whether that went well.
pub(crate) fn create(
    context: &Context<'_>,
    name: &str,
    gid: Option<&str>,
    system: bool,
    shared: bool,
) -> Result<bool, CallError> {
    let mut command = tool::plain(tool::program(context.system, "groupadd")?);
    if let Some(gid) = gid {
        command = command.args(["-g", gid]);
        if shared {
            command = command.arg("-o");
        }
    }
    if system {
        command = command.arg("-r");
    }
    succeeds(context, &command.arg("--").arg(name))
}

/// Removes a group; whether that went well.
pub(crate) fn delete(context: &Context<'_>, name: &str) -> Result<bool, CallError> {
    let command = tool::plain(tool::program(context.system, "groupdel")?);
    succeeds(context, &command.arg("--").arg(name))
}

/// Gives a group another number; whether it has it then.
pub(crate) fn set_gid(
    context: &Context<'_>,
    name: &str,
    gid: &str,
    shared: bool,
) -> Result<bool, CallError> {
    let Some(group) = find(context.system, name)? else {
        return Ok(false);
    };
    if group.gid.to_string() == gid {
        return Ok(true);
    }
    let mut command = tool::plain(tool::program(context.system, "groupmod")?).args(["-g", gid]);
    if shared {
        command = command.arg("-o");
    }
    tool::run(context, &command.arg("--").arg(name))?;
    let now = find(context.system, name)?;
    Ok(now.is_some_and(|group| group.gid.to_string() == gid))
}

/// Adds (`--add`) or removes (`--del`) a member; whether that went well.
pub(crate) fn member(
    context: &Context<'_>,
    name: &str,
    flag: &str,
    user: &str,
) -> Result<bool, CallError> {
    let command = tool::plain(tool::program(context.system, "gpasswd")?);
    succeeds(context, &command.args([flag, user, name]))
}

/// States the members; whether that went well.
pub(crate) fn set_members(
    context: &Context<'_>,
    name: &str,
    members: &[String],
) -> Result<bool, CallError> {
    let command = tool::plain(tool::program(context.system, "gpasswd")?);
    succeeds(
        context,
        &command.args(["--members", &members.join(","), name]),
    )
}

fn succeeds(context: &Context<'_>, command: &crate::system::Command) -> Result<bool, CallError> {
    let output = tool::run(context, command)?;
    if !output.is_success() {
        context.set_retcode(output.exit.code().into());
        tracing::error!(
            program = %command.program.to_string_lossy(),
            code = output.exit.code(),
            "the command failed"
        );
    }
    Ok(output.is_success())
}
