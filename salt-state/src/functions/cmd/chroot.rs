//! Running a command in another root, and what is known of shells.

use salt_proto::{Map, Value};

use super::{Answer, Request};
use crate::args::Args;
use crate::context::Context;
use crate::functions::{mount, tool};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, CommandError, errno_text};

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "cmd.run_chroot",
        "run_chroot(root, cmd, cwd=None, stdin=None, runas=None, group=None, shell='/bin/bash', python_shell=True, binds=None, env=None, clean_env=False, template=None, rstrip=True, umask=None, output_encoding=None, output_loglevel='quiet', log_callback=None, hide_output=False, timeout=None, reset_system_locale=True, ignore_retcode=False, saltenv=None, use_vt=False, bg=False, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs)",
        "Runs a command in another root, with dev, proc and sys mounted there, and the\n\
         directories of binds. Other arguments as cmd.run_all.",
        run_chroot,
    );
    registry.add(
        "cmd.shell_info",
        "shell_info(shell, list_modules=False)",
        "Whether a shell or the interpreter of scripts is installed, where, and in which\n\
         version: bash, perl, php, powershell, python, ruby or zsh.",
        |args, context| Ok(shell_info(&args.text("shell")?, context)?.into()),
    );
}

fn run_chroot(args: &Args, context: &Context<'_>) -> Answer {
    let root = args.text("root")?;
    let root = root.trim_end_matches('/').to_owned();
    let mut wanted: Vec<(String, String, &str, &str)> =
        [("dev", "devtmpfs"), ("proc", "proc"), ("sys", "sysfs")]
            .into_iter()
            .map(|(name, kind)| (format!("{root}/{name}"), kind.to_owned(), kind, "defaults"))
            .collect();
    for bind in args.words("binds") {
        let place = format!("{root}/{}", bind.trim_start_matches('/'));
        context
            .system
            .create_dir_all(place.as_ref(), 0o755)
            .map_err(|error| CallError::execution(errno_text(&error, Some(place.as_ref()))))?;
        wanted.push((place, bind, "", "default,bind"));
    }
    for (place, device, kind, options) in &wanted {
        // What cannot be mounted is missed by the command, as with Salt.
        if let Err(said) = mount::mount(context, place, Some(device), kind, options)? {
            tracing::warn!(%place, %said, "not mounted for the command");
        }
    }
    let done = in_root(&root, args, context);
    for (place, ..) in wanted.iter().rev() {
        let is_mounted = mount::active(context.system)?
            .iter()
            .any(|entry| entry.place == *place);
        if is_mounted && let Err(said) = mount::umount(context, place, false)? {
            tracing::warn!(%place, %said, "still mounted");
        }
    }
    done
}

fn in_root(root: &str, args: &Args, context: &Context<'_>) -> Answer {
    let shell = ["/bin/bash", "/bin/sh"]
        .into_iter()
        .find(|shell| context.system.exists(format!("{root}{shell}").as_ref()))
        .unwrap_or("/bin/sh");
    let line = match args.get("cmd") {
        Some(Value::List(words)) => {
            let words: Vec<String> = words.iter().map(python::str).collect();
            words.join(" ")
        }
        other => other.map(python::str).unwrap_or_default(),
    };
    let mut command = Command::new("chroot");
    if let Some(user) = args.optional_text("runas") {
        let group = args.optional_text("group").unwrap_or_default();
        command = command.arg("--userspec").arg(format!("{user}:{group}"));
    }
    let command = command.args([root, shell, "-c"]).arg(line);
    let shown = command.line();
    // chroot(8) becomes the user, and the directory is one in the other root.
    let mut outside = args.clone();
    for name in ["runas", "group", "cwd"] {
        outside.named.remove(name);
        outside.keywords.remove(name);
    }
    Ok(Request::around(command, shown, &outside, context)?
        .finish(context)?
        .all())
}

/// How a shell tells its version.
fn question(shell: &str) -> Option<(&'static str, &'static [&'static str])> {
    Some(match shell {
        "bash" => ("bash", &["--version"]),
        "cmd" => ("cmd.exe", &["/C", "ver"]),
        "perl" => ("perl", &["-e", "printf \"%vd\\n\", $^V;"]),
        "php" => ("php", &["-v"]),
        "powershell" => ("powershell", &["-NonInteractive", "$PSVersionTable"]),
        "python" => ("python", &["-V"]),
        "ruby" => ("ruby", &["-v"]),
        "zsh" => ("zsh", &["--version"]),
        _ => return None,
    })
}

fn shell_info(shell: &str, context: &Context<'_>) -> Result<Map, CallError> {
    let Some((program, words)) = question(shell) else {
        let text = format!("Salt does not know how to get the version number for {shell}");
        return Ok(Map::from([
            ("error", Value::from(text)),
            ("installed", Value::Null),
        ]));
    };
    let mut command = tool::plain(program).args(words);
    command.merge_stderr = true;
    let output = match context.system.query(&command) {
        Ok(output) => output,
        Err(CommandError::Start { source, .. }) => {
            let reason = errno_text(&source, Some(program.as_ref()));
            let line = command.line();
            let text = format!("Unable to run command '{line}' Reason: {reason}");
            return Ok(Map::from([
                ("error", Value::from(text)),
                ("installed", false.into()),
            ]));
        }
        Err(error) => return Err(tool::failed(&error)),
    };
    let said = output.stdout_text();
    let Some((version, raw)) = version(&said) else {
        return Ok(Map::from([
            (
                "error",
                Value::from(format!("Unable to get the version of {shell}")),
            ),
            ("stdout", said.into()),
            ("installed", Value::Null),
        ]));
    };
    let path = context.system.which(program);
    Ok(Map::from([
        ("version", Value::from(version)),
        ("version_raw", raw.into()),
        ("path", path.map(|path| path.display().to_string()).into()),
        ("installed", true.into()),
    ]))
}

/// The first word with two numbers and a point between: its first three numbers, and all
/// of it.
fn version(said: &str) -> Option<(String, String)> {
    said.split_whitespace().find_map(|word| {
        let raw = word.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = raw.find(|c: char| !c.is_ascii_digit() && c != '.');
        let numbers = raw.get(..end.unwrap_or(raw.len()))?;
        let parts: Vec<&str> = numbers
            .split('.')
            .filter(|part| !part.is_empty())
            .take(3)
            .collect();
        (parts.len() > 1).then(|| (parts.join("."), raw.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_a_shell_says_of_itself() {
        for (said, short, raw) in [
            (
                "GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)\nCopyright",
                "5.2.15",
                "5.2.15(1)-release",
            ),
            ("5.36.0\n", "5.36.0", "5.36.0"),
            ("ruby 3.1.2p20 (2022-04-12)", "3.1.2", "3.1.2p20"),
            ("zsh 5.9 (x86_64-debian-linux-gnu)", "5.9", "5.9"),
            ("Python 3.11.2", "3.11.2", "3.11.2"),
        ] {
            let expected = Some((short.to_owned(), raw.to_owned()));
            assert_eq!(version(said), expected, "{said}");
        }
        assert_eq!(version("nothing 5"), None);
    }
}
