//! `file.patch`, which lets `patch` do the work.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::managed::template_variables;
use super::{Answer, expanded};
use crate::args::Args;
use crate::files::source::{self, Failure};
use crate::functions::split_words;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{Command, Output};

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.patch",
        "patch(name, source=None, source_hash=None, source_hash_name=None, skip_verify=False, template=None, context=None, defaults=None, options='', reject_file=None, strip=None, saltenv=None, **kwargs)",
        "Sees to a patch's being applied.",
        patch,
    );
}

/// What a run of `patch` looks like in changes.
fn entry(output: &Output) -> Map {
    let text = |text: String| text.trim_end_matches('\n').to_owned();
    Map::from([
        ("pid", Value::from(i64::from(output.pid))),
        ("retcode", i64::from(output.exit.code()).into()),
        ("stdout", text(output.stdout_text()).into()),
        ("stderr", text(output.stderr_text()).into()),
    ])
}

/// The entry as Salt prints it below a comment.
fn shown(output: &Output) -> String {
    let pad = " ".repeat(14);
    let mut text = format!("{pad}----------");
    let entry = entry(output);
    for key in ["pid", "retcode", "stderr", "stdout"] {
        text.push_str(&format!("\n{pad}{key}:"));
        let value = entry.get(key).map(python::str).unwrap_or_default();
        for line in value.lines() {
            text.push_str(&format!("\n{pad}    {line}"));
        }
    }
    text
}

fn patch(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&args.text("name")?, check);
    let path = PathBuf::from(&name);
    if name.is_empty() {
        return Ok(Plan::fail("A file/directory to be patched is required"));
    }
    if !path.is_absolute() {
        return Ok(Plan::fail(format!("{name} is not an absolute path")));
    }
    if check.system.which("patch").is_none() {
        return Ok(Plan::fail("patch executable not found on minion"));
    }
    let is_dir = check.system.is_dir(&path);
    if !check.system.exists(&path) {
        return Ok(Plan::fail(format!("{name} does not exist")));
    }
    let mut strip = args.optional_int("strip")?;
    let mut options = Vec::new();
    let mut reject = args
        .optional_text("reject_file")
        .filter(|file| !file.is_empty());
    let words = split_words(&args.optional_text("options").unwrap_or_default()).unwrap_or_default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None if word.starts_with("-p") && word.len() > 2 => {
                ("-p".to_owned(), word.get(2..).map(str::to_owned))
            }
            None => (word.clone(), None),
        };
        match key.as_str() {
            // These would take the decision from us.
            "-N" | "--forward" | "-R" | "--reverse" | "--dry-run" => {}
            "-r" | "--reject-file" => {
                let file = value.or_else(|| words.next());
                reject = reject.or(file);
            }
            "-p" | "--strip" => {
                let count = value
                    .or_else(|| words.next())
                    .and_then(|count| count.parse().ok());
                strip = strip.or(count);
            }
            _ => options.push(word),
        }
    }
    let saltenv = args
        .optional_text("saltenv")
        .unwrap_or_else(|| check.environment().to_owned());
    let unmanaged = |text: String| Plan::fail(format!("Unable to manage file: {text}"));
    let given = args.get("source").cloned().unwrap_or_default();
    let source_hash = args.get("source_hash").cloned().unwrap_or_default();
    let (url, source_hash) = match source::choose(&given, &source_hash, &saltenv, check.context) {
        Ok(chosen) => chosen,
        Err(Failure::Exception(error)) => return Err(error),
        Err(failure) => return Ok(unmanaged(failure.text())),
    };
    if !url.is_true() {
        return Ok(Plan::fail("A source file is required"));
    }
    let (url, source_hash) = (python::str(&url), python::str(&source_hash));
    let sum = if source_hash.is_empty() || source_hash == "None" || args.is_true("skip_verify") {
        None
    } else {
        let hash_name = args.optional_text("source_hash_name");
        let found = source::checksum(
            "",
            &url,
            &source_hash,
            hash_name.as_deref(),
            &saltenv,
            true,
            check.context,
        );
        match found {
            Ok(sum) => Some(sum),
            Err(failure) => return Ok(unmanaged(failure.text())),
        }
    };
    if source::is_remote(&url) && sum.is_none() && !args.is_true("skip_verify") {
        return Ok(Plan::fail(format!(
            "Unable to verify upstream hash of source file {url}, please set source_hash or set skip_verify to True"
        )));
    }
    let content = match source::content(&url, &saltenv, check.context) {
        Ok(Some(content)) => content,
        Ok(None) => {
            return Ok(unmanaged(format!(
                "Source file {url} not found in saltenv '{saltenv}'"
            )));
        }
        Err(failure) => return Ok(unmanaged(failure.text())),
    };
    if let Some(sum) = &sum
        && !sum.fits(&content)?
    {
        let actual = crate::functions::hash(&sum.kind, &content)?;
        return Ok(Plan::fail(format!(
            "Specified {} checksum for {url} ({}) does not match actual checksum ({actual}). If the 'source_hash' value refers to a remote file with multiple possible matches, then it may be necessary to set 'source_hash_name'.",
            sum.kind, sum.hex
        )));
    }
    let content = match args.optional_text("template").filter(|t| !t.is_empty()) {
        None => content,
        Some(renderer) => {
            let vars = template_variables(&name, args, check)?;
            let text = String::from_utf8_lossy(&content);
            let tree_path = source::tree_path(&url);
            match source::render(&renderer, &text, tree_path, &saltenv, &vars, check.context) {
                Ok(text) => text.into_bytes(),
                Err(failure) => return Ok(unmanaged(failure.text())),
            }
        }
    };
    let job = Job {
        path,
        is_dir,
        strip,
        options,
        content,
    };
    // Backwards first: what can be taken away has been applied.
    let run = |extra: &[&str]| check.system.query(&job.command(extra, true, None));
    let backwards = run(&["-R", "-f"])?;
    if backwards.is_success() {
        return Ok(Plan::unchanged("Patch was already applied"));
    }
    let forwards = check
        .system
        .query(&job.command(&["-N"], true, reject.as_deref()))?;
    if !forwards.is_success() {
        let said = forwards.stderr_text();
        if let Some(line) = said.lines().find(|line| line.contains("****")) {
            return Ok(Plan::fail(line.to_owned()));
        }
        let mut comment =
            "Patch would not apply cleanly, no changes made. Results of dry-run are below."
                .to_owned();
        if reject.is_none() {
            comment.push_str(" Run state again using the reject_file option to save rejects to a persistent file.");
        }
        comment.push_str("\n\n");
        comment.push_str(&shown(&forwards));
        return Ok(Plan::fail(comment));
    }
    let foretold = entry(&forwards);
    Ok(
        Plan::change("Patch successfully applied", foretold, move |context| {
            let output = context.system.run(&job.command(&["-N"], false, None))?;
            let changes = Changes::from(entry(&output));
            Ok::<_, CallError>(if output.is_success() {
                Done::as_planned().changes(changes)
            } else {
                Done::failed("Failed to apply patch").changes(changes)
            })
        })
        .when_testing("The patch would be applied"),
    )
}

struct Job {
    path: PathBuf,
    is_dir: bool,
    strip: Option<i64>,
    options: Vec<String>,
    content: Vec<u8>,
}

impl Job {
    fn command(&self, extra: &[&str], dry: bool, reject: Option<&str>) -> Command {
        let mut command = Command::new("patch").args(self.options.iter());
        for word in extra {
            command = command.arg(*word);
        }
        if dry {
            command = command.arg("--dry-run");
        }
        command = match reject {
            Some(file) => command.arg(format!("--reject-file={file}")),
            None => command.arg("--reject-file=-"),
        };
        if let Some(strip) = self.strip {
            command = command.arg(format!("-p{strip}"));
        }
        command = if self.is_dir {
            command.arg("-d").arg(self.path.as_os_str())
        } else {
            command.arg(Path::new(&self.path).as_os_str())
        };
        command.stdin(self.content.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_shown_as_salt_prints_it() {
        let output = Output::failure(1, "oops\n");
        assert_eq!(
            shown(&output),
            "              ----------\n              pid:\n                  0\n              retcode:\n                  1\n              stderr:\n                  oops\n              stdout:"
        );
    }
}
