//! Splitting a line into words, and looking for programs.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Command;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "cmd.which",
        "which(cmd)",
        "Returns the path of a program, nothing when there is none.",
        |args, context| Ok(which(&args.text("cmd")?, context)),
    );
    registry.add(
        "cmd.has_exec",
        "has_exec(cmd)",
        "Returns whether there is such a program.",
        |args, context| Ok(context.system.which(&args.text("cmd")?).is_some().into()),
    );
    registry.add(
        "cmd.which_bin",
        "which_bin(cmds)",
        "Returns the path of the first of several programs that is there.",
        |args: &Args, context| {
            Ok(args
                .words("cmds")
                .iter()
                .map(|name| which(name, context))
                .find(|path| !path.is_null())
                .unwrap_or_default())
        },
    );
    registry.add(
        "cmd.shells",
        "shells()",
        "Lists the valid login shells.",
        |_, context| {
            let text = context.system.text(std::path::Path::new("/etc/shells"));
            Ok(text
                .ok()
                .flatten()
                .unwrap_or_default()
                .lines()
                .map(str::trim)
                .filter(|line| line.starts_with('/'))
                .collect())
        },
    );
    registry.add(
        "cmd.tty",
        "tty(device, echo='')",
        "Writes a line to a terminal.",
        tty,
    );
}

fn which(name: &str, context: &Context<'_>) -> Value {
    context
        .system
        .which(name)
        .map(|path| path.to_string_lossy().into_owned())
        .into()
}

fn tty(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let device = args.text("device")?;
    let known = |rest: &str| !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_digit());
    let path = if device.strip_prefix("tty").is_some_and(known) {
        format!("/dev/{device}")
    } else if device
        .strip_prefix("pts")
        .map(|n| n.trim_start_matches('/'))
        .is_some_and(known)
    {
        format!(
            "/dev/{}",
            device.replacen("pts", "pts/", 1).replace("//", "/")
        )
    } else {
        let text = "The specified device is not a valid TTY";
        return Ok(Map::from([("Error", text)]).into());
    };
    let command = Command::new("/bin/sh")
        .args(["-c", "cat > \"$1\"", "sh", &path])
        .stdin(args.text("echo")?)
        .timeout(std::time::Duration::from_secs(5));
    let (key, text) = match context.system.run(&command) {
        Ok(output) if output.is_success() => (
            "Success",
            format!("Message was successfully echoed to {path}"),
        ),
        _ => ("Error", format!("Echoing to {path} returned error")),
    };
    Ok(Map::from([(key, text)]).into())
}

/// How Python prints the program and its arguments as a list.
pub(super) fn shown_list(command: &Command) -> String {
    let words: Value = std::iter::once(&command.program)
        .chain(&command.args)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    python::repr(&words)
}

/// Splits a line as Python's `shlex.split` does: blanks separate, quotes and backslashes
/// protect, nothing is expanded. `None` for a quotation that is not closed.
pub(crate) fn split_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(letters.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Answers of Python 3.11's `shlex.split`.
    #[test]
    fn lines_are_split_as_python_splits_them() {
        for (line, expected) in [
            ("a b  c", vec!["a", "b", "c"]),
            ("a 'b c' d", vec!["a", "b c", "d"]),
            ("a \"b \\\" c\" d", vec!["a", "b \" c", "d"]),
            ("a\\ b", vec!["a b"]),
            ("''", vec![""]),
            ("a''b", vec!["ab"]),
            ("\"a\\nb\"", vec!["a\\nb"]),
            ("a #b", vec!["a", "#b"]),
            ("", vec![]),
        ] {
            assert_eq!(split_words(line).unwrap(), expected, "{line}");
        }
        assert_eq!(split_words("'a"), None);
        assert_eq!(split_words("a\\"), None);
    }
}
