//! Further work trees of a repository.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

use super::{Answer, asked, at, done, options};
use crate::functions::tool;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "git.is_worktree",
        "is_worktree(cwd, user=None, password=None, output_encoding=None)",
        "Whether a directory is a further work tree of a repository elsewhere.",
        |args, context| Ok(is_worktree(context.system, &at(args, context.system)?)?.into()),
    );
    add(
        "git.list_worktrees",
        "list_worktrees(cwd, stale=False, user=None, password=None, output_encoding=None, **kwargs)",
        "The work trees of a repository: those that are there, those that are gone (stale=True), or all.",
        list,
    );
    add(
        "git.worktree_add",
        "worktree_add(cwd, worktree_path, ref=None, reset_branch=None, force=None, detach=False, opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None, **kwargs)",
        "Adds a work tree.",
        worktree_add,
    );
    add(
        "git.worktree_prune",
        "worktree_prune(cwd, dry_run=False, verbose=True, expire=None, opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "Forgets work trees that are gone.",
        |args, context| {
            let mut command = at(args, context.system)?.args(["worktree", "prune"]);
            for (name, option) in [("dry_run", "--dry-run"), ("verbose", "--verbose")] {
                if args.is_true(name) {
                    command = command.arg(option);
                }
            }
            if let Some(time) = args.optional_text("expire") {
                command = command.args(["--expire", &time]);
            }
            Ok(both(&done(context, &command.args(options(args, "opts")?))?))
        },
    );
    add(
        "git.worktree_rm",
        "worktree_rm(cwd, user=None, output_encoding=None)",
        "Removes a work tree.",
        |args, context| {
            let cwd = args.text("cwd")?;
            let path = Path::new(&cwd);
            if !context.system.exists(path) {
                return Err(CallError::execution(format!("{cwd} does not exist")));
            }
            if !is_worktree(context.system, &at(args, context.system)?)? {
                return Err(CallError::execution(format!("{cwd} is not a git worktree")));
            }
            context.system.remove_all(path).map_err(|error| {
                CallError::execution(format!("Unable to remove {cwd}: {error}"))
            })?;
            Ok(true.into())
        },
    );
}

/// What a command said on both streams.
fn both(output: &Output) -> Value {
    let (out, error) = (output.stdout_text(), output.stderr_text());
    let parts: Vec<&str> = [out.trim_end(), error.trim_end()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("\n").into()
}

/// The top of the work tree that a command runs in; `None` outside of any.
pub(crate) fn top(machine: &dyn Observe, at: &Command) -> Result<Option<String>, CallError> {
    let output = tool::ask(machine, &at.clone().args(["rev-parse", "--show-toplevel"]))?;
    let top = output.stdout_text().trim().to_owned();
    Ok(output.is_success().then_some(top))
}

/// Whether it is a work tree whose repository is elsewhere.
pub(crate) fn is_worktree(machine: &dyn Observe, at: &Command) -> Result<bool, CallError> {
    Ok(top(machine, at)?.is_some_and(|top| machine.is_file(&Path::new(&top).join(".git"))))
}

fn list(args: &Args, context: &Context<'_>) -> Answer {
    let mut wanted = Some(args.is_true("stale"));
    if let Some((name, value)) = args
        .clean_keywords()
        .iter()
        .find(|(key, _)| key.as_str() != Some("all"))
    {
        return Err(super::unknown_keyword(name, value));
    }
    if args.keywords().get("all").is_some_and(Value::is_true) {
        if args.is_true("stale") {
            return Err(CallError::invocation(
                "'all' and 'stale' cannot both be set to True",
            ));
        }
        wanted = None;
    }
    let at = at(args, context.system)?;
    let output = asked(
        context.system,
        &at.clone().args(["worktree", "list", "--porcelain"]),
    )?;
    let mut all = Map::new();
    for block in output.stdout_text().split("\n\n") {
        let value = |key: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        };
        let Some(path) = value("worktree") else {
            continue;
        };
        let is_stale = !context.system.is_dir(Path::new(path));
        if wanted.is_some_and(|wanted| wanted != is_stale) {
            continue;
        }
        let is_detached = block.lines().any(|line| line == "detached");
        let branch =
            value("branch").map(|branch| branch.strip_prefix("refs/heads/").unwrap_or(branch));
        let mut one = Map::from([
            ("stale", Value::from(is_stale)),
            ("HEAD", value("HEAD").into()),
            ("detached", is_detached.into()),
            ("branch", branch.into()),
        ]);
        if let (true, Some(commit)) = (is_detached, value("HEAD")) {
            let tags = asked(
                context.system,
                &at.clone().args(["tag", "--points-at", commit]),
            )?;
            let tags: Value = tags.stdout_text().lines().map(str::to_owned).collect();
            if tags.is_true() {
                one.insert("tags", tags);
            }
        }
        all.insert(path, one);
    }
    Ok(all.into())
}

fn worktree_add(args: &Args, context: &Context<'_>) -> Answer {
    let path = args.text("worktree_path")?;
    let branch = args
        .keywords()
        .get("branch")
        .filter(|branch| branch.is_true());
    let detach = args.is_true("detach");
    if let Some((name, value)) = args
        .clean_keywords()
        .iter()
        .find(|(key, _)| key.as_str() != Some("branch"))
    {
        return Err(super::unknown_keyword(name, value));
    }
    if branch.is_some() && detach {
        return Err(CallError::invocation(
            "Only one of 'branch' and 'detach' is allowed",
        ));
    }
    let mut command = at(args, context.system)?.args(["worktree", "add"]);
    if detach {
        command = command.arg("--detach");
    } else {
        let option = if args.is_true("reset_branch") {
            "-B"
        } else {
            "-b"
        };
        let branch = match branch {
            Some(branch) => crate::python::str(branch),
            None => Path::new(&path)
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
        };
        command = command.args([option, &branch]);
    }
    if args.is_true("force") {
        command = command.arg("--force");
    }
    let command = command
        .args(options(args, "opts")?)
        .arg(path)
        .args(args.optional_text("ref"));
    Ok(both(&done(context, &command)?))
}
