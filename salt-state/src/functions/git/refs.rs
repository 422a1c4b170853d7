//! Names and where they lead: branches, tags, remotes.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe};

use super::work::said;
use super::{Answer, asked, at, authenticated, done, git, options, with_identity};
use crate::functions::tool;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "git.describe",
        "describe(cwd, rev='HEAD', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "A commit by the tag before it.",
        |args, context| {
            let command = at(args, context.system)?.args(["describe", "--always"]);
            said(asked(context.system, &command.arg(args.text("rev")?))?)
        },
    );
    add(
        "git.fetch",
        "fetch(cwd, remote=None, force=False, refspecs=None, opts='', git_opts='', user=None, password=None, identity=None, ignore_retcode=False, saltenv='base', output_encoding=None)",
        "Fetches from a remote repository; what is new.",
        |args, context| {
            let force = args.is_true("force");
            let opts = options(args, "opts")?;
            let has_force = opts.iter().any(|word| word == "-f" || word == "--force");
            let command = at(args, context.system)?
                .arg("fetch")
                .args((force && !has_force).then_some("--force"))
                .args(opts)
                .args(args.optional_text("remote"))
                .args(args.words("refspecs"));
            Ok(fetched(&done(context, &command)?.stderr_text()).into())
        },
    );
    add(
        "git.list_branches",
        "list_branches(cwd, remote=False, user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "The branches, or those of the remotes.",
        |args, context| {
            let place = if args.is_true("remote") {
                "refs/remotes/"
            } else {
                "refs/heads/"
            };
            let names = names(context.system, &at(args, context.system)?, place)?;
            Ok(names.into_iter().collect())
        },
    );
    add(
        "git.list_tags",
        "list_tags(cwd, user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "The tags.",
        |args, context| {
            let names = names(context.system, &at(args, context.system)?, "refs/tags/")?;
            Ok(names.into_iter().collect())
        },
    );
    add(
        "git.ls_remote",
        "ls_remote(cwd=None, remote='origin', ref=None, opts='', git_opts='', user=None, password=None, identity=None, https_user=None, https_pass=None, ignore_retcode=False, output_encoding=None, saltenv='base')",
        "The names of a remote repository, with their commits.",
        |args, context| {
            let remote = authenticated(args, &args.text("remote")?)?;
            let command = at(args, context.system)?
                .arg("ls-remote")
                .args(options(args, "opts")?)
                .arg(remote)
                .args(args.optional_text("ref"));
            Ok(listed(&asked(context.system, &command)?.stdout_text()).into())
        },
    );
    add(
        "git.merge_base",
        "merge_base(cwd, refs=None, octopus=False, is_ancestor=False, independent=False, fork_point=None, opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None, **kwargs)",
        "Where commits parted.",
        merge_base,
    );
    add(
        "git.remote_get",
        "remote_get(cwd, remote='origin', user=None, password=None, redact_auth=True, ignore_retcode=False, output_encoding=None)",
        "The addresses of a remote repository.",
        |args, context| {
            let name = args.text("remote")?;
            let all = remotes(
                context.system,
                &at(args, context.system)?,
                args.is_true("redact_auth"),
            )?;
            all.get(name.as_str()).cloned().ok_or_else(|| {
                CallError::execution(format!(
                    "Remote '{name}' not present in git checkout located at {}",
                    args.optional_text("cwd").unwrap_or_default()
                ))
            })
        },
    );
    add(
        "git.remote_refs",
        "remote_refs(url, heads=False, tags=False, user=None, password=None, identity=None, https_user=None, https_pass=None, ignore_retcode=False, output_encoding=None, saltenv='base', **kwargs)",
        "The names at an address, with their commits.",
        |args, context| {
            let mut command = remote(args, context.system)?.arg("ls-remote");
            for (name, option) in [("heads", "--heads"), ("tags", "--tags")] {
                if args.is_true(name) {
                    command = command.arg(option);
                }
            }
            let command = command
                .arg(authenticated(args, &args.text("url")?)?)
                .args(args.keywords().str("filter"));
            Ok(listed(&asked(context.system, &command)?.stdout_text()).into())
        },
    );
    add(
        "git.remote_set",
        "remote_set(cwd, url, remote='origin', user=None, password=None, https_user=None, https_pass=None, push_url=None, push_https_user=None, push_https_pass=None, ignore_retcode=False, output_encoding=None)",
        "Sets the addresses of a remote repository.",
        remote_set,
    );
    add(
        "git.remotes",
        "remotes(cwd, user=None, password=None, redact_auth=True, ignore_retcode=False, output_encoding=None)",
        "The remote repositories with their addresses.",
        |args, context| {
            let all = remotes(
                context.system,
                &at(args, context.system)?,
                args.is_true("redact_auth"),
            )?;
            Ok(all.into())
        },
    );
    add(
        "git.rev_parse",
        "rev_parse(cwd, rev=None, opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "What git makes of a name.",
        |args, context| {
            let command = at(args, context.system)?
                .arg("rev-parse")
                .args(options(args, "opts")?);
            said(asked(
                context.system,
                &command.args(args.optional_text("rev")),
            )?)
        },
    );
    add(
        "git.symbolic_ref",
        "symbolic_ref(cwd, ref, value=None, opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "Where a symbolic name leads; leads it elsewhere.",
        |args, context| {
            let opts = options(args, "opts")?;
            let value = args.optional_text("value");
            let removes = opts.iter().any(|word| word == "-d" || word == "--delete");
            if removes && value.is_some() {
                return Err(CallError::invocation(
                    "Value cannot be set for symbolic ref if -d/--delete is included in opts",
                ));
            }
            let command = at(args, context.system)?
                .arg("symbolic-ref")
                .args(opts)
                .arg(args.text("ref")?)
                .args(value);
            said(done(context, &command)?)
        },
    );
}

/// A git command about what is elsewhere.
pub(crate) fn remote(args: &Args, machine: &dyn Observe) -> Result<Command, CallError> {
    let user = args.optional_text("user");
    with_identity(args, machine, git(machine, user.as_deref(), None))
}

/// The short names below a place.
pub(crate) fn names(
    machine: &dyn Observe,
    at: &Command,
    place: &str,
) -> Result<Vec<String>, CallError> {
    let command = at
        .clone()
        .args(["for-each-ref", "--format", "%(refname:short)", place]);
    let output = asked(machine, &command)?.stdout_text();
    Ok(output.lines().map(str::to_owned).collect())
}

/// Names with commits, as `ls-remote` lists them.
pub(crate) fn listed(text: &str) -> Map {
    text.lines()
        .filter_map(|line| line.split_once(char::is_whitespace))
        .map(|(commit, name)| (name.trim(), commit))
        .collect()
}

/// What is new, as `fetch` tells it.
pub(crate) fn fetched(text: &str) -> Map {
    let mut found = Map::new();
    let mut updated = Map::new();
    let (mut branches, mut tags) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let line = line.trim();
        let Some((left, _)) = line.split_once("->") else {
            continue;
        };
        let left = left.trim();
        if let Some(name) = left.strip_prefix("* [new branch]") {
            branches.push(name.trim());
            continue;
        }
        if let Some(name) = left.strip_prefix("* [new tag]") {
            tags.push(name.trim());
            continue;
        }
        let mut words = left.split_whitespace();
        if let (Some(range), Some(name)) = (words.next(), words.next())
            && let Some((old, new)) = range.split_once("..")
            && !new.starts_with('.')
        {
            updated.insert(name, Map::from([("old", old), ("new", new)]));
        }
    }
    if !updated.is_empty() {
        found.insert("updated branches", updated);
    }
    for (key, names) in [("new branches", branches), ("new tags", tags)] {
        if !names.is_empty() {
            found.insert(key, names.into_iter().collect::<Value>());
        }
    }
    found
}

/// The remote repositories, each with `fetch` and `push`.
pub(crate) fn remotes(
    machine: &dyn Observe,
    at: &Command,
    redacts: bool,
) -> Result<Map, CallError> {
    let output = asked(machine, &at.clone().args(["remote", "--verbose"]))?.stdout_text();
    let mut all = Map::new();
    for line in output.lines() {
        let Some((name, rest)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let Some((url, action)) = rest.trim().rsplit_once(char::is_whitespace) else {
            continue;
        };
        let url = if redacts {
            super::redacted(url)
        } else {
            url.to_owned()
        };
        let action = action.trim_matches(['(', ')']);
        match all.get_mut(name) {
            Some(Value::Map(one)) => {
                one.insert(action, url);
            }
            _ => {
                all.insert(name, Map::from([(action, url)]));
            }
        }
    }
    Ok(all)
}

fn remote_set(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("remote")?;
    let command = at(args, context.system)?;
    if remotes(context.system, &command, true)?.contains_key(name.as_str()) {
        done(context, &command.clone().args(["remote", "rm", &name]))?;
    }
    let url = authenticated(args, &args.text("url")?)?;
    done(
        context,
        &command.clone().args(["remote", "add", &name, &url]),
    )?;
    if let Some(push) = args.optional_text("push_url") {
        let push = super::with_login(
            &push,
            args.optional_text("push_https_user").as_deref(),
            args.optional_text("push_https_pass").as_deref(),
        )?;
        let set = command
            .clone()
            .args(["remote", "set-url", "--push", &name, &push]);
        done(context, &set)?;
    }
    let all = remotes(context.system, &command, true)?;
    all.get(name.as_str())
        .cloned()
        .ok_or_else(|| CallError::execution(format!("Remote '{name}' not present in git checkout")))
}

fn merge_base(args: &Args, context: &Context<'_>) -> Answer {
    let given: Vec<&str> = ["octopus", "independent", "is_ancestor", "fork_point"]
        .into_iter()
        .filter(|name| args.is_true(name))
        .collect();
    if given.len() > 1 {
        return Err(CallError::invocation(
            "Only one of 'octopus', 'independent', 'is_ancestor', and 'fork_point' is permitted",
        ));
    }
    let refs = args.words("refs");
    let is_ancestor = args.is_true("is_ancestor");
    if is_ancestor && refs.len() != 2 {
        return Err(CallError::invocation(
            "Two refs/commits are required if 'is_ancestor' is True",
        ));
    }
    let fork_point = args
        .optional_text("fork_point")
        .filter(|text| !text.is_empty());
    if fork_point.is_some() && refs.len() > 1 {
        return Err(CallError::invocation(
            "At most one ref/commit can be passed if 'fork_point' is specified",
        ));
    }
    let mut command = at(args, context.system)?
        .arg("merge-base")
        .args(options(args, "opts")?);
    for (name, option) in [
        ("all", "--all"),
        ("octopus", "--octopus"),
        ("is_ancestor", "--is-ancestor"),
        ("independent", "--independent"),
    ] {
        if args.is_true(name) {
            command = command.arg(option);
        }
    }
    if let Some(point) = &fork_point {
        command = command.args(["--fork-point", point]);
    }
    let command = if refs.is_empty() && fork_point.is_some() {
        command.arg("HEAD")
    } else {
        command.args(refs)
    };
    if is_ancestor {
        return Ok(tool::ask(context.system, &command)?.is_success().into());
    }
    let output = asked(context.system, &command)?;
    if args.is_true("all") {
        return Ok(output.stdout_text().lines().map(str::to_owned).collect());
    }
    said(output)
}
