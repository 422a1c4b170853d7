//! `file.patch`, which lets `patch` do the work.

use std::ffi::OsString;
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
use crate::system::{Command, Output, WriteOptions};

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
    let name = expanded(&super::path_name(args)?, check);
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
    let reject = args
        .optional_text("reject_file")
        .filter(|file| !file.is_empty());
    if let Some(reject) = &reject {
        let file = Path::new(reject);
        if !file.is_absolute() {
            return Ok(Plan::fail(format!("'{reject}' is not an absolute path")));
        }
        if !file.parent().is_some_and(|dir| check.system.is_dir(dir)) {
            return Ok(Plan::fail(format!(
                "Parent directory for reject_file '{reject}' either does not exist, or is not a directory"
            )));
        }
    }
    let (options, stated) = match chosen(&args.optional_text("options").unwrap_or_default()) {
        Ok(chosen) => chosen,
        Err(complaint) => return Ok(Plan::fail(complaint)),
    };
    let strip = args.optional_int("strip")?.or(stated);
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
            Err(Failure::Foreseen(text)) => {
                return Ok(unmanaged(format!("Unable to manage file: {text}")));
            }
            Err(failure) => return Ok(unmanaged(failure.text())),
        }
    };
    if source::is_remote(&url) && sum.is_none() && !args.is_true("skip_verify") {
        return Ok(unmanaged(format!(
            "Unable to verify upstream hash of source file {url}, please set source_hash or set skip_verify to True"
        )));
    }
    let content = match source::content(&url, &saltenv, check.context) {
        Ok(Some(content)) => content,
        Ok(None) => {
            return Ok(unmanaged(match source::local_path(&url) {
                Some(path) => format!("Local file source {} does not exist", path.display()),
                None => format!("Source file {url} not found in saltenv '{saltenv}'"),
            }));
        }
        Err(failure) if source::is_remote(&url) => {
            let shown = source::redacted(&url);
            return Ok(unmanaged(format!(
                "Failed to cache {shown}: {}",
                failure.text()
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
            match check.for_functions(|context| {
                source::render(&renderer, &text, tree_path, &saltenv, &vars, context)
            }) {
                Ok(text) => text.into_bytes(),
                Err(failure) => return Ok(unmanaged(failure.text())),
            }
        }
    };
    let mut random = [0_u8; 6];
    check.system.random(&mut random);
    let mark: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let job = Job {
        scratch: format!("/tmp/__salt.tmp.{mark}"),
        path,
        is_dir,
        strip,
        options,
        content,
        reject,
    };
    let mut trial = check.system.query(&job.trial())?;
    if trial.is_success() {
        let foretold = entry(job.named(&mut trial));
        return Ok(
            Plan::change("Patch successfully applied", foretold, move |context| {
                let output = context.system.run(&job.work())?;
                let changes = Changes::from(entry(&output));
                Ok::<_, CallError>(if output.is_success() {
                    Done::as_planned().changes(changes)
                } else {
                    Done::failed("Failed to apply patch").changes(changes)
                })
            })
            .when_testing("The patch would be applied"),
        );
    }
    let said = trial.stderr_text();
    if let Some(line) = said.lines().find(|line| line.contains("****")) {
        return Ok(Plan::fail(line.to_owned()));
    }
    // What was refused and can be taken away has been applied.
    let refused = check.system.query(&job.refused())?;
    if refused.is_success()
        && check
            .system
            .query(&job.backwards(&refused.stdout))?
            .is_success()
    {
        return Ok(Plan::unchanged("Patch was already applied"));
    }
    let mut comment =
        "Patch would not apply cleanly, no changes made. Results of dry-run are below.".to_owned();
    if job.reject.is_none() {
        comment.push_str(
            " Run state again using the reject_file option to save rejects to a persistent file.",
        );
    }
    comment.push_str("\n\n");
    comment.push_str(&shown(job.named(&mut trial)));
    let Some(reject) = job.reject.filter(|_| refused.is_success()) else {
        return Ok(Plan::fail(comment));
    };
    // The rejects are what a refused patch leaves behind, except in a dry run.
    let mut plan = Plan::change(comment, Changes::none(), move |context| {
        let options = WriteOptions::new();
        Ok::<_, CallError>(
            context
                .system
                .write(Path::new(&reject), &refused.stdout, &options)?,
        )
    })
    .test_result(false);
    plan.result = Some(false);
    Ok(plan)
}

/// The options that go to `patch`, and the number of leading parts of names to take off
/// that is among them; or why they are refused.
fn chosen(options: &str) -> Result<(Vec<String>, Option<i64>), String> {
    // These would take the decision from us.
    const REFUSED: [&str; 6] = ["-N", "--forward", "-r", "--reject-file", "-o", "--output"];
    let words = split_words(options).unwrap_or_default();
    let refused: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| REFUSED.iter().any(|option| word.starts_with(option)))
        .collect();
    if !refused.is_empty() {
        return Err(format!(
            "The following CLI options are not allowed: {}",
            refused.join(", ")
        ));
    }
    let (mut kept, mut strip) = (Vec::new(), None);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (option, count) = if let Some(count) = word.strip_prefix("--strip=") {
            ("--strip", Some(count.to_owned()))
        } else if word == "--strip" {
            ("--strip", words.next())
        } else if let Some(count) = word.strip_prefix("-p") {
            ("-p", Some(count.to_owned()))
        } else {
            kept.push(word);
            continue;
        };
        let Some(count) = count.and_then(|count| count.parse().ok()) else {
            return Err(format!(
                "Invalid format for '{option}' CLI option. Consider using the 'strip' option for this state."
            ));
        };
        strip = Some(count);
    }
    Ok((kept, strip))
}

struct Job {
    /// A directory that is not there yet: for what a trial writes.
    scratch: String,
    path: PathBuf,
    is_dir: bool,
    strip: Option<i64>,
    options: Vec<String>,
    content: Vec<u8>,
    reject: Option<String>,
}

impl Job {
    fn target(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        if self.is_dir {
            words.push("-d".into());
        }
        words.push(self.path.clone().into());
        words
    }

    /// The words of a run that applies: options, then what is stated, then the target.
    fn forwards(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = self.options.iter().map(OsString::from).collect();
        words.push("-N".into());
        match self.strip {
            Some(strip) => words.push(format!("-p{strip}").into()),
            None if self.is_dir => words.push("-p0".into()),
            None => {}
        }
        words.extend(self.target());
        words
    }

    /// Applies the patch to a copy, in a directory of its own, and lets `after` follow.
    fn scratched(&self, after: &str) -> Command {
        Command::shell(format!(
            "d=$1; shift; mkdir -m 700 -- \"$d\" || exit 2; trap 'rm -rf \"$d\"' EXIT; \
             cat > \"$d/in\"; patch -r \"$d/rej\" -o \"$d/out\" -i \"$d/in\" \"$@\"{after}"
        ))
        .arg("sh")
        .arg(&self.scratch)
        .args(self.forwards())
        .stdin(self.content.clone())
    }

    /// Applies the patch to a copy.
    fn trial(&self) -> Command {
        self.scratched("")
    }

    /// What a trial refuses, as a patch.
    fn refused(&self) -> Command {
        self.scratched(" > \"$d/log\" 2>&1; cat \"$d/rej\"")
    }

    /// Whether what was refused can be taken away.
    fn backwards(&self, refused: &[u8]) -> Command {
        let mut command = Command::new("patch")
            .args(&self.options)
            .args(["-R", "-f", "--dry-run", "--forward", "--reject-file=-"])
            .args(self.target())
            .stdin(refused);
        if self.is_dir {
            // The rejects name files as they were found.
            command = command.arg("--strip=0");
        }
        command
    }

    /// Applies the patch.
    fn work(&self) -> Command {
        let mut words = self.forwards();
        words.insert(0, "--reject-file=-".into());
        Command::new("patch")
            .args(words)
            .stdin(self.content.clone())
    }

    /// What a trial said, with the place for rejects that was asked for.
    fn named<'o>(&self, output: &'o mut Output) -> &'o Output {
        if let Some(reject) = &self.reject {
            let text = output.stdout_text();
            let scratch = format!("{}/rej", self.scratch);
            output.stdout = text.replace(&scratch, reject).into_bytes();
        }
        output
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
