//! `file.*` about the labels that SELinux puts on files.

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::registry::{CallError, Registry};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "file.get_selinux_context",
        "get_selinux_context(path)",
        "Returns the label of a path.",
        |args: &Args, context: &Context<'_>| {
            let path = args.text("path")?;
            Ok(label(&path, context)
                .unwrap_or_else(|| {
                    format!("No selinux context information is available for {path}")
                })
                .into())
        },
    );
    registry.add(
        "file.set_selinux_context",
        "set_selinux_context(path, user=None, role=None, type=None, range=None, persist=False)",
        "Sets parts of the label of a path; returns the label, false when nothing was set.",
        set,
    );
    registry.add(
        "file.restorecon",
        "restorecon(path, recursive=False)",
        "Gives a path the label that the policy has for it.",
        |args: &Args, context: &Context<'_>| {
            let path = args.text("path")?;
            let option = if args.is_true("recursive") {
                "-FR"
            } else {
                "-F"
            };
            let program = tool::program(context.system, "restorecon")?;
            let command = tool::plain(program).args([option, "--", path.as_str()]);
            Ok(tool::run(context, &command)?.is_success().into())
        },
    );
}

/// `user:role:type:range` as the machine's `stat` shows it; nothing without SELinux.
fn label(path: &str, context: &Context<'_>) -> Option<String> {
    let command = tool::named(context.system, "stat").args(["-c", "%C", "--", path]);
    let text = tool::answer(context.system, &command)?;
    let text = text.trim();
    (text.split(':').count() >= 3).then(|| text.to_owned())
}

fn set(args: &Args, context: &Context<'_>) -> Answer {
    let path = args.text("path")?;
    let mut words = Vec::new();
    for (name, option) in [
        ("user", "-u"),
        ("role", "-r"),
        ("type", "-t"),
        ("range", "-l"),
    ] {
        if let Some(value) = args.optional_text(name) {
            words.extend([option.to_owned(), value]);
        }
    }
    if words.is_empty() {
        return Ok(false.into());
    }
    if args.is_true("persist") {
        return Err(CallError::execution(
            "the policy is not changed: use semanage to keep a label",
        ));
    }
    let command = tool::named(context.system, "chcon")
        .args(words)
        .args(["--", path.as_str()]);
    let is_set = tool::run(context, &command).is_ok_and(|output| output.is_success());
    if !is_set {
        return Ok(false.into());
    }
    Ok(label(&path, context).map_or_else(|| false.into(), Value::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::system::{FakeSystem, Output};

    #[test]
    fn a_machine_without_labels_is_told_of_as_salt_tells() {
        let (registry, minion) = (Registry::builtin(), MinionData::default());
        let machine = FakeSystem::new()
            .file("/f", "")
            .program("/usr/bin/stat")
            .command("/usr/bin/stat", |_| Output::success("?\n"));
        let context = Context::new(&registry, &machine, &minion);
        let call = |name: &str, args: Args| registry.call(name, &args, &context);

        assert_eq!(
            call("file.get_selinux_context", Args::new().with("/f")).unwrap(),
            "No selinux context information is available for /f".into()
        );
        for args in [
            Args::new().with("/f"),
            Args::new().with("/f").keyword("user", "x"),
        ] {
            assert_eq!(
                call("file.set_selinux_context", args).unwrap(),
                false.into()
            );
        }
        assert!(call("file.restorecon", Args::new().with("/f")).is_err());
    }
}
