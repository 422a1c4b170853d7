//! What happens in a work tree: files are added, commits made, branches joined.

use salt_proto::Value;

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Output;

use super::{Answer, asked, at, done, options};
use crate::functions::tool;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "git.add",
        "add(cwd, filename, opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "Adds a file to what is committed next.",
        |args, context| {
            let mut opts = options(args, "opts")?;
            if !opts.iter().any(|word| word == "-v" || word == "--verbose") {
                opts.push("--verbose".to_owned());
            }
            let command = at(args, context.system)?.arg("add").args(opts);
            said(done(
                context,
                &command.args(["--", &args.text("filename")?]),
            )?)
        },
    );
    add(
        "git.archive",
        "archive(cwd, output, rev='HEAD', prefix=None, git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None, **kwargs)",
        "Writes the files of a commit to an archive.",
        archive,
    );
    add(
        "git.branch",
        "branch(cwd, name=None, opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "Makes, removes or changes a branch.",
        |args, context| {
            let command = at(args, context.system)?
                .arg("branch")
                .args(options(args, "opts")?);
            done(context, &command.args(args.optional_text("name")))?;
            Ok(true.into())
        },
    );
    add(
        "git.checkout",
        "checkout(cwd, rev=None, force=False, opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "Checks a commit or branch out.",
        |args, context| {
            let opts = options(args, "opts")?;
            let rev = args.optional_text("rev");
            if rev.is_none() && !opts.iter().any(|word| word == "-b" || word == "-B") {
                return Err(CallError::invocation(
                    "'rev' argument is required unless -b or -B in opts",
                ));
            }
            let force =
                args.is_true("force") && !opts.iter().any(|word| word == "--force" || word == "-f");
            let command = at(args, context.system)?
                .arg("checkout")
                .args(force.then_some("--force"))
                .args(opts)
                .args(rev);
            // git tells of it where errors go.
            Ok(done(context, &command)?
                .stderr_text()
                .trim_end_matches('\n')
                .into())
        },
    );
    add(
        "git.commit",
        "commit(cwd, message, opts='', git_opts='', user=None, password=None, filename=None, ignore_retcode=False, output_encoding=None)",
        "Commits what was added.",
        |args, context| {
            let mut command = at(args, context.system)?
                .args(["commit", "-m", &args.text("message")?])
                .args(options(args, "opts")?);
            if let Some(file) = args.optional_text("filename") {
                command = command.args(["--", &file]);
            }
            said(done(context, &command)?)
        },
    );
    add(
        "git.diff",
        "diff(cwd, item1=None, item2=None, opts='', git_opts='', user=None, password=None, no_index=False, cached=False, paths=None, output_encoding=None)",
        "What differs between commits, files or the work tree.",
        diff,
    );
    add(
        "git.discard_local_changes",
        "discard_local_changes(cwd, path='.', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "Takes a path back to what was committed.",
        |args, context| {
            let command = at(args, context.system)?.args(["checkout", "--", &args.text("path")?]);
            said(done(context, &command)?)
        },
    );
    add(
        "git.init",
        "init(cwd, bare=False, template=None, separate_git_dir=None, shared=None, opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "Makes a repository.",
        init,
    );
    add(
        "git.merge",
        "merge(cwd, rev=None, opts='', git_opts='', user=None, password=None, identity=None, ignore_retcode=False, output_encoding=None, **kwargs)",
        "Joins a commit into what is checked out.",
        |args, context| {
            let command = at(args, context.system)?
                .arg("merge")
                .args(options(args, "opts")?);
            said(done(context, &command.args(args.optional_text("rev")))?)
        },
    );
    add(
        "git.merge_tree",
        "merge_tree(cwd, ref1, ref2, base=None, user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "What a merge would change.",
        |args, context| {
            let (one, two) = (args.text("ref1")?, args.text("ref2")?);
            let command = at(args, context.system)?;
            let base = match args.optional_text("base") {
                Some(base) => base,
                None => {
                    let ask = command.clone().args(["merge-base", &one, &two]);
                    asked(context.system, &ask)?.stdout_text().trim().to_owned()
                }
            };
            said(asked(
                context.system,
                &command.args(["merge-tree", &base, &one, &two]),
            )?)
        },
    );
    add(
        "git.pull",
        "pull(cwd, opts='', git_opts='', user=None, password=None, identity=None, ignore_retcode=False, saltenv='base', output_encoding=None)",
        "Fetches and joins.",
        |args, context| plain(args, context, "pull"),
    );
    add(
        "git.push",
        "push(cwd, remote=None, ref=None, opts='', git_opts='', user=None, password=None, identity=None, ignore_retcode=False, saltenv='base', output_encoding=None, **kwargs)",
        "Sends commits to a remote repository.",
        |args, context| {
            let command = at(args, context.system)?
                .arg("push")
                .args(options(args, "opts")?);
            let command = command
                .args(args.optional_text("remote"))
                .args(args.optional_text("ref"));
            said(done(context, &command)?)
        },
    );
    add(
        "git.rebase",
        "rebase(cwd, rev='master', opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "Puts commits on top of others.",
        |args, context| {
            let mut opts = options(args, "opts")?;
            if opts
                .iter()
                .any(|word| word == "-i" || word == "--interactive")
            {
                return Err(CallError::invocation(
                    "Interactive rebases are not supported",
                ));
            }
            if let Some(rev) = args.given("rev") {
                opts.extend(words(&python::str(rev)));
            }
            said(done(
                context,
                &at(args, context.system)?.arg("rebase").args(opts),
            )?)
        },
    );
    add(
        "git.reset",
        "reset(cwd, opts='', git_opts='', user=None, password=None, identity=None, ignore_retcode=False, output_encoding=None)",
        "Sets what is checked out.",
        |args, context| plain(args, context, "reset"),
    );
    add(
        "git.rm",
        "rm(cwd, filename, opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "Removes a file from the repository.",
        |args, context| {
            let command = at(args, context.system)?
                .arg("rm")
                .args(options(args, "opts")?);
            said(done(
                context,
                &command.args(["--", &args.text("filename")?]),
            )?)
        },
    );
    add(
        "git.stash",
        "stash(cwd, action='save', opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "Puts changes aside or brings them back.",
        |args, context| {
            let command = at(args, context.system)?
                .args(["stash", &args.text("action")?])
                .args(options(args, "opts")?);
            said(done(context, &command)?)
        },
    );
    add(
        "git.status",
        "status(cwd, user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "What differs in the work tree: states with their files.",
        status,
    );
    add(
        "git.submodule",
        "submodule(cwd, command, opts='', git_opts='', user=None, password=None, identity=None, ignore_retcode=False, saltenv='base', output_encoding=None, **kwargs)",
        "Works on submodules.",
        |args, context| {
            if args.keywords().contains_key("init") {
                return Err(CallError::invocation(
                    "The 'init' argument is no longer supported. Either set 'command' to 'init', or include '--init' in the 'opts' argument and set 'command' to 'update'.",
                ));
            }
            let command = at(args, context.system)?
                .args(["submodule", &args.text("command")?])
                .args(options(args, "opts")?);
            said(done(context, &command)?)
        },
    );
    add(
        "git.tag",
        "tag(cwd, name, ref='HEAD', message=None, opts='', git_opts='', user=None, password=None, ignore_retcode=False, output_encoding=None)",
        "Makes or removes a tag.",
        |args, context| {
            let opts = options(args, "opts")?;
            if opts
                .iter()
                .any(|word| word == "-m" || word.starts_with("--message"))
            {
                return Err(CallError::invocation(
                    "Tag messages must be passed in the \"message\" argument",
                ));
            }
            let mut command = at(args, context.system)?.arg("tag");
            if let Some(message) = args.optional_text("message") {
                command = command.args(["-a", "-m", &message]);
            }
            let removes = opts.iter().any(|word| word == "-d" || word == "--delete");
            command = command.args(opts).arg(args.text("name")?);
            if !removes {
                command = command.arg(args.text("ref")?);
            }
            said(done(context, &command)?)
        },
    );
}

fn words(text: &str) -> Vec<String> {
    crate::functions::split_words(text).unwrap_or_default()
}

/// What a command said, as Salt returns it.
pub(super) fn said(output: Output) -> Answer {
    Ok(output.stdout_text().trim_end_matches(['\n', '\r']).into())
}

fn plain(args: &Args, context: &Context<'_>, verb: &str) -> Answer {
    let command = at(args, context.system)?.arg(verb);
    said(done(context, &command.args(options(args, "opts")?))?)
}

fn archive(args: &Args, context: &Context<'_>) -> Answer {
    let format = args.keywords().str("format");
    if let Some((name, value)) = args
        .clean_keywords()
        .iter()
        .find(|(key, _)| key.as_str() != Some("format"))
    {
        return Err(super::unknown_keyword(name, value));
    }
    let cwd = args.text("cwd")?;
    let prefix = match args.optional_text("prefix") {
        Some(prefix) => prefix,
        None => {
            let name = std::path::Path::new(&cwd).file_name();
            name.map(|name| format!("{}/", name.to_string_lossy()))
                .unwrap_or_default()
        }
    };
    let mut command = at(args, context.system)?.arg("archive");
    if !prefix.is_empty() {
        command = command.args(["--prefix", &prefix]);
    }
    if let Some(format) = format {
        command = command.args(["--format", format]);
    }
    let command = command.args(["--output", &args.text("output")?, &args.text("rev")?]);
    done(context, &command)?;
    Ok(true.into())
}

fn diff(args: &Args, context: &Context<'_>) -> Answer {
    let (no_index, cached) = (args.is_true("no_index"), args.is_true("cached"));
    if no_index && cached {
        return Err(CallError::execution(
            "The 'no_index' and 'cached' options cannot be used together",
        ));
    }
    let mut command = at(args, context.system)?
        .arg("diff")
        .args(options(args, "opts")?);
    let mut items = [args.optional_text("item1"), args.optional_text("item2")]
        .into_iter()
        .flatten();
    if cached {
        command = command.arg("--cached").args(items.next());
    } else if no_index {
        command = command.arg("--no-index");
    } else {
        command = command.args(items);
    }
    let paths = match args.given("paths") {
        Some(Value::List(paths)) => paths.iter().map(python::str).collect(),
        Some(path) => words(&python::str(path)),
        None => Vec::new(),
    };
    if !paths.is_empty() {
        command = command.arg("--").args(paths);
    }
    if no_index {
        // That something differs is no failure of this question.
        command.merge_stderr = true;
        return said(tool::ask(context.system, &command)?);
    }
    said(asked(context.system, &command)?)
}

fn init(args: &Args, context: &Context<'_>) -> Answer {
    let mut command = super::git(
        context.system,
        args.optional_text("user").as_deref(),
        Some(std::path::Path::new("/tmp")),
    )
    .args(options(args, "git_opts")?)
    .arg("init");
    if args.is_true("bare") {
        command = command.arg("--bare");
    }
    for (key, option) in [
        ("template", "--template="),
        ("separate_git_dir", "--separate-git-dir="),
        ("shared", "--shared="),
    ] {
        if let Some(value) = args.optional_text(key) {
            command = command.arg(format!("{option}{value}"));
        }
    }
    let command = command.args(options(args, "opts")?).arg(args.text("cwd")?);
    said(done(context, &command)?)
}

fn status(args: &Args, context: &Context<'_>) -> Answer {
    let command = at(args, context.system)?.args(["status", "-z", "--porcelain"]);
    let output = asked(context.system, &command)?.stdout_text();
    let mut found = salt_proto::Map::new();
    let mut lines = output.split('\0');
    while let Some(line) = lines.next() {
        let Some((state, file)) = line.split_at_checked(3) else {
            continue;
        };
        let state = match state.trim() {
            "M" => "modified",
            "A" => "new",
            "D" => "deleted",
            "??" => "untracked",
            other => other,
        };
        if state.starts_with(['R', 'C']) {
            // Where it was before follows.
            lines.next();
        }
        match found.get_mut(state) {
            Some(Value::List(files)) => files.push(file.into()),
            _ => {
                found.insert(state, [file].into_iter().collect::<Value>());
            }
        }
    }
    Ok(found.into())
}
