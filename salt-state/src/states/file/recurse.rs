//! `file.recurse`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use salt_proto::Value;

use super::directory::{required, unwanted};
use super::{Answer, absolute, expanded, passes, texts};
use crate::args::Args;
use crate::files::perms::{Wanted, mode_text};
use crate::files::source::os_error;
use crate::plan::{Changes, Done, Outcome, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::Metadata;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.recurse",
        "recurse(name, source, keep_source=True, clean=False, require=None, user=None, group=None, dir_mode=None, file_mode=None, sym_mode=None, template=None, context=None, replace=True, defaults=None, include_empty=False, backup='', include_pat=None, exclude_pat=None, maxdepth=None, keep_symlinks=False, force_symlinks=False, win_owner=None, win_perms=None, win_deny_perms=None, win_inheritance=True, merge=False, **kwargs)",
        "Sees to a directory's being like one of the state tree.",
        recurse,
    );
}

/// What a directory of the state tree has: each file and link by its place below it.
#[derive(Default)]
struct Wares {
    files: BTreeMap<String, String>,
    directories: BTreeSet<String>,
    links: BTreeMap<String, String>,
}

impl Wares {
    /// Takes over what a later source has where this one has nothing in its way.
    fn merge(&mut self, more: Self) {
        let above = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with('/'));
        let solid: Vec<String> = self
            .files
            .keys()
            .chain(self.links.keys())
            .cloned()
            .collect();
        let directories: Vec<String> = self.directories.iter().cloned().collect();
        // Neither in the place of something, nor in that of a directory it is in, nor below.
        let free = |below: &str| {
            !solid
                .iter()
                .any(|known| known == below || above(known, below) || above(below, known))
                && !directories
                    .iter()
                    .any(|known| known == below || above(below, known))
        };
        // A link whose target has become something else leads nowhere that was meant.
        let leads = |link: &str, target: &str| {
            let Some(target) = led_to(link, target) else {
                return true;
            };
            let was_file = more.files.contains_key(&target);
            let was_directory = more.directories.contains(&target)
                || more.files.keys().any(|file| above(&target, file));
            let is_file = self.files.contains_key(&target);
            let is_directory = self.directories.contains(&target)
                || solid.iter().any(|known| above(&target, known));
            !(was_file && is_directory || was_directory && is_file)
        };
        let links: Vec<(String, String)> = more
            .links
            .iter()
            .filter(|(below, target)| free(below) && leads(below, target))
            .map(|(below, target)| (below.clone(), target.clone()))
            .collect();
        self.links.extend(links);
        self.files
            .extend(more.files.into_iter().filter(|(below, _)| free(below)));
        let fits = |below: &String| {
            !solid
                .iter()
                .any(|known| known == below || above(known, below))
        };
        self.directories
            .extend(more.directories.into_iter().filter(fits));
    }
}

/// Where a link leads in its own tree; `None` for one that leads out of it.
fn led_to(link: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The environment and path that a source means.
fn place(source: &str, check: &Check<'_>) -> Option<(String, String)> {
    let rest = source.strip_prefix("salt://")?;
    let (path, environment) = match rest.split_once("?saltenv=") {
        Some((path, environment)) => (path, environment.to_owned()),
        None => (rest, check.environment().to_owned()),
    };
    Some((environment, path.trim_matches('/').to_owned()))
}

fn wares(source: &str, args: &Args, check: &Check<'_>) -> Result<Wares, CallError> {
    let mut wares = Wares::default();
    let (Some((environment, top)), Some(sources)) = (place(source, check), check.sources) else {
        return Ok(wares);
    };
    let fails = |error| os_error(error, Path::new(source));
    let mut patterns = [Vec::new(), Vec::new()];
    for (found, key) in patterns.iter_mut().zip(["include_pat", "exclude_pat"]) {
        let given = args.given(key).filter(|given| given.is_true());
        if let Some(wrong @ (Value::Int(_) | Value::Map(_))) = given {
            let kind = wrong.type_name();
            let text = format!("expected string or bytes-like object, got '{kind}'");
            return Err(CallError::exception("TypeError", text));
        }
        *found = texts(given);
    }
    let [include, exclude] = patterns;
    if let Some(wrong @ (Value::Str(_) | Value::List(_) | Value::Map(_))) = args.given("maxdepth") {
        let kind = wrong.type_name();
        let text = format!("'>' not supported between instances of 'int' and '{kind}'");
        return Err(CallError::exception("TypeError", text));
    }
    let depth = args.optional_int("maxdepth")?;
    let start = if top.is_empty() {
        String::new()
    } else {
        format!("{top}/")
    };
    let fits = |below: &str| {
        let deep = i64::try_from(below.matches('/').count()).unwrap_or(i64::MAX);
        depth.is_none_or(|depth| deep <= depth) && passes(below, &include, &exclude)
    };
    if args.is_true("keep_symlinks") {
        for (link, target) in sources.links(&environment).map_err(fails)? {
            if let Some(below) = link.strip_prefix(&start) {
                wares.links.insert(below.to_owned(), target);
            }
        }
    }
    let behind_link = |below: &str| {
        wares.links.keys().any(|link| {
            below == link
                || below
                    .strip_prefix(link.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        })
    };
    let mut files = BTreeMap::new();
    for file in sources.files(&environment).map_err(fails)? {
        let Some(below) = file.strip_prefix(&start) else {
            continue;
        };
        if fits(below) && !behind_link(below) {
            files.insert(
                below.to_owned(),
                format!("salt://{file}?saltenv={environment}"),
            );
        }
    }
    let include_empty = args.is_true("include_empty");
    let mut directories = BTreeSet::new();
    if include_empty {
        for directory in sources.directories(&environment).map_err(fails)? {
            if let Some(below) = directory.strip_prefix(&start)
                && !below.is_empty()
                && fits(below)
                && !behind_link(below)
            {
                directories.insert(below.to_owned());
            }
        }
    } else if !wares.links.is_empty() {
        // A link to a directory without files is as empty as that.
        let every = sources.files(&environment).map_err(fails)?;
        for directory in sources.directories(&environment).map_err(fails)? {
            let inside = format!("{directory}/");
            if let Some(below) = directory.strip_prefix(&start)
                && wares.links.contains_key(below)
                && !every.iter().any(|file| file.starts_with(&inside))
            {
                wares.links.remove(below);
            }
        }
    }
    wares.files = files;
    wares.directories = directories;
    wares.links.retain(|below, _| fits(below));
    Ok(wares)
}

/// Whether a source is a directory of the tree.
fn is_there(source: &str, check: &Check<'_>) -> Result<bool, CallError> {
    let (Some((environment, top)), Some(sources)) = (place(source, check), check.sources) else {
        return Ok(false);
    };
    let fails = |error| os_error(error, Path::new(source));
    let start = format!("{top}/");
    let files = sources.files(&environment).map_err(fails)?;
    if files.iter().any(|file| file.starts_with(&start)) {
        return Ok(true);
    }
    let directories = sources.directories(&environment).map_err(fails)?;
    if directories.contains(&top) {
        return Ok(true);
    }
    let links = sources.links(&environment).map_err(fails)?;
    Ok(links.iter().any(|(link, _)| link.starts_with(&start)))
}

/// What all parts came to.
#[derive(Default)]
struct Sum {
    comments: Vec<(String, String)>,
    changes: Changes,
    failed: bool,
    pending: bool,
}

impl Sum {
    fn add(&mut self, path: &str, outcome: Outcome, test: bool) {
        let settled = if test {
            outcome.result == Some(true)
        } else {
            outcome.result != Some(false)
        };
        match outcome.result {
            Some(false) => self.failed = true,
            None => self.pending = true,
            Some(true) => {}
        }
        if !settled {
            let comment = match outcome.comment {
                Value::List(lines) => lines.iter().map(python::str).collect::<Vec<_>>().join("\n"),
                other => python::str(&other),
            };
            self.comments.push((path.to_owned(), comment));
        }
        if !outcome.changes.is_empty() {
            self.changes.insert(path, outcome.changes);
        }
    }

    fn comment(&self, name: &str) -> String {
        if self.comments.is_empty() {
            return if self.changes.is_empty() {
                format!("The directory {name} is in the correct state")
            } else {
                format!("Recursively updated {name}")
            };
        }
        let parts: Vec<String> = self
            .comments
            .iter()
            .map(|(path, comment)| format!("#### {path} ####\n{comment}"))
            .collect();
        parts.join("\n\n")
    }
}

fn recurse(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    let name = if name.len() > 1 {
        name.trim_end_matches('/').to_owned()
    } else {
        name
    };
    if args.keywords().contains_key("mode") {
        return Ok(Plan::fail(
            "'mode' is not allowed in 'file.recurse'. Please use 'file_mode' and 'dir_mode'.",
        ));
    }
    if let Some(complaint) = absolute(&name) {
        return Ok(Plan::fail(complaint));
    }
    let all: Vec<String> = texts(args.given("source"))
        .iter()
        .map(|source| source.trim_end_matches('/').to_owned())
        .collect();
    for source in &all {
        if !source.starts_with("salt://") {
            return Ok(Plan::fail(format!(
                "Recurse failed: Invalid source '{source}' (must be a salt:// URI)"
            )));
        }
    }
    let mut there = Vec::new();
    for source in all {
        if is_there(&source, check)? {
            there.push(source);
        }
    }
    if there.is_empty() {
        return Ok(Plan::fail(
            "Recurse failed: none of the specified sources were found",
        ));
    }
    if !args.is_true("merge") {
        there.truncate(1);
    }
    let path = PathBuf::from(&name);
    let fails = |error| os_error(error, &path);
    let base = Wanted::new(args.given("user"), args.given("group"), None);
    if !check.is_test() {
        let unknown = base.unknown(check.system).map_err(fails)?;
        if !unknown.is_empty() {
            return Ok(Plan::fail(unknown));
        }
    }
    let found = check.system.metadata(&path).map_err(fails)?;
    if found.as_ref().is_some_and(|found| !found.is_dir()) {
        return Ok(Plan::fail(format!(
            "The path {name} exists and is not a directory"
        )));
    }
    // The first source that has a path wins.
    let mut all = Wares::default();
    for source in &there {
        let more = wares(source, args, check)?;
        all.merge(more);
    }
    let parts = parts(&path, &all, args);
    let mut keep: BTreeSet<PathBuf> = parts.iter().map(|part| part.path.clone()).collect();
    keep.insert(path.clone());
    let mut removed = Vec::new();
    let mut listed = Vec::new();
    if args.is_true("clean") {
        keep.extend(required(args, check));
        let exclude = texts(args.given("exclude_pat"));
        (listed, removed) = unwanted(&path, &keep, &exclude, check.system).map_err(fails)?;
        // What lies deeper goes first.
        listed.reverse();
    }
    let shown = |paths: &[PathBuf]| -> Value {
        paths
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect()
    };

    let mut plans = Vec::new();
    let mut replaced = Vec::new();
    for part in parts {
        // What lies in a directory that is not there cannot be looked at more closely.
        let (path, directory) = (part.path.clone(), part.directory);
        let plan = if args.is_true("clean") && is_of_another_kind(&part, check)? {
            replaced.push(path.clone());
            replacing(part, args, check)?
        } else {
            check.state(part.function, &part.args)?
        };
        plans.push((path, directory, plan));
    }
    // What is in something that is replaced goes with it.
    removed.retain(|path| !replaced.iter().any(|replaced| path.starts_with(replaced)));
    if check.is_test() {
        let mut sum = Sum::default();
        for (path, _, plan) in plans {
            sum.add(&path.to_string_lossy(), plan.predicted(), true);
        }
        if !listed.is_empty() {
            let lines: Vec<String> = listed
                .iter()
                .map(|path| path.to_string_lossy().into_owned())
                .collect();
            sum.pending = true;
            sum.comments.push(("removed".to_owned(), lines.join("\n")));
        }
        let result = if sum.failed {
            Some(false)
        } else if sum.pending {
            None
        } else {
            Some(true)
        };
        let comment = sum.comment(&name);
        return Ok(Plan::answer(result, comment, sum.changes));
    }
    let settled = removed.is_empty()
        && plans
            .iter()
            .all(|(_, _, plan)| !plan.is_change() && plan.result != Some(false));
    if settled {
        return Ok(Plan::unchanged(format!(
            "The directory {name} is in the correct state"
        )));
    }
    let is_new = found.is_none();
    let gone = shown(&removed);
    let mut foreseen = Sum::default();
    for (path, directory, plan) in &plans {
        let whole = is_new && *directory && path == Path::new(&name);
        if plan.result == Some(false) && !plan.is_change() {
            foreseen.comments.push((
                path.to_string_lossy().into_owned(),
                python::str(&plan.comment),
            ));
        } else if !plan.changes.is_empty() && !whole {
            foreseen
                .changes
                .insert(&*path.to_string_lossy(), plan.changes.clone());
        }
    }
    if !removed.is_empty() {
        foreseen.changes.insert("removed", gone.clone());
    }
    let failing = !foreseen.comments.is_empty();
    let comment = foreseen.comment(&name);
    let predicted = foreseen.changes;
    let mut plan = Plan::change(comment, predicted, move |context| {
        let mut sum = Sum::default();
        for (path, directory, plan) in plans {
            let outcome = plan.carry_out(context);
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(error) => Outcome {
                    result: Some(false),
                    comment: error.to_string().into(),
                    ..Outcome::default()
                },
            };
            // That the directory itself is made goes without saying.
            let outcome = if is_new && directory && path == Path::new(&name) {
                Outcome {
                    changes: Changes::none(),
                    ..outcome
                }
            } else {
                outcome
            };
            sum.add(&path.to_string_lossy(), outcome, false);
        }
        for path in &removed {
            context
                .system
                .remove_all(path)
                .map_err(|error| os_error(error, path))?;
        }
        if !removed.is_empty() {
            sum.changes.insert("removed", gone);
        }
        let comment = sum.comment(&name);
        Ok::<_, CallError>(
            Done::with_comment(comment)
                .changes(sum.changes)
                .result(!sum.failed),
        )
    });
    if failing {
        plan.result = Some(false);
    }
    Ok(plan)
}

/// One path and the state that sees to it.
struct Part {
    path: PathBuf,
    directory: bool,
    function: &'static str,
    args: Args,
}

/// Whether a file is where a directory belongs, or the other way round. Links are left to
/// the states of their kinds.
fn is_of_another_kind(part: &Part, check: &Check<'_>) -> Result<bool, CallError> {
    if part.function == "file.symlink" {
        return Ok(false);
    }
    let found = check
        .system
        .metadata(&part.path)
        .map_err(|error| os_error(error, &part.path))?;
    Ok(found.is_some_and(|found| found.is_dir() != part.directory))
}

/// Removes what is in the way of a part, which can be looked at only then.
fn replacing(part: Part, args: &Args, check: &Check<'_>) -> Answer {
    let Part {
        path,
        directory,
        function,
        args: call,
    } = part;
    let shown = path.to_string_lossy().into_owned();
    let (changes, would) = if directory {
        let made = Changes::of("directory", "new");
        (
            Changes::of(&shown, made),
            format!("Replacing {shown} with a directory"),
        )
    } else {
        let mode = args.given("file_mode");
        let mut wanted = Wanted::new(args.given("user"), args.given("group"), mode);
        let fresh = Metadata::of_new_file(0o600, &check.system.identity());
        if wanted.mode.is_none() {
            wanted.mode = Some(mode_text(0o666 & !check.umask().unwrap_or(0o022)));
        }
        let mut changes = Changes::of("diff", "New file");
        let lacking = wanted
            .lacking(check.system, &fresh)
            .map_err(|error| os_error(error, &path))?;
        changes.extend(lacking);
        (changes, format!("Replacing directory {shown} with a file"))
    };
    let low = check.low.clone();
    Ok(Plan::change("", changes, move |context| {
        context
            .system
            .remove_all(&path)
            .map_err(|error| os_error(error, &path))?;
        let check = Check::new(context, &low, false);
        let done = context
            .registry
            .check(function, &call, &check)?
            .carry_out(context)?;
        Ok::<_, CallError>(
            Done::with_comment(done.comment)
                .changes(done.changes)
                .result(done.result),
        )
    })
    .when_testing(would)
    .test_changes(Changes::none()))
}

/// The states of all paths: directories from the top, files, links.
fn parts(top: &Path, all: &Wares, args: &Args) -> Vec<Part> {
    let given = |mut call: Args, from: &str, to: &str| {
        if let Some(value) = args.given(from) {
            call = call.keyword(to, value.clone());
        }
        call
    };
    let owned = |path: &Path| {
        let call = Args::new().keyword("name", path.to_string_lossy().into_owned());
        given(given(call, "user", "user"), "group", "group")
    };
    let mut directories: BTreeSet<PathBuf> = BTreeSet::new();
    for below in all.files.keys().chain(all.links.keys()) {
        if let Some(parent) = top.join(below).parent() {
            directories.insert(parent.to_owned());
        }
    }
    directories.extend(all.directories.iter().map(|below| top.join(below)));
    let mut parts: Vec<Part> = directories
        .into_iter()
        .map(|path| Part {
            args: given(owned(&path), "dir_mode", "dir_mode").keyword("makedirs", true),
            directory: true,
            function: "file.directory",
            path,
        })
        .collect();
    for (below, url) in &all.files {
        let path = top.join(below);
        let mut call = owned(&path).keyword("source", url.as_str());
        call = given(call, "file_mode", "mode");
        for key in [
            "template",
            "context",
            "defaults",
            "backup",
            "replace",
            "dir_mode",
            "keep_source",
        ] {
            call = given(call, key, key);
        }
        for (key, value) in &args.clean_keywords() {
            let key = python::str(key);
            if key != "name" && key != "source" {
                call = call.keyword(&key, value.clone());
            }
        }
        parts.push(Part {
            args: call.keyword("makedirs", true),
            directory: false,
            function: "file.managed",
            path,
        });
    }
    for (below, target) in &all.links {
        let path = top.join(below);
        let call = owned(&path)
            .keyword("target", target.as_str())
            .keyword("makedirs", true)
            .keyword("force", args.is_true("force_symlinks"));
        parts.push(Part {
            args: given(call, "sym_mode", "mode"),
            directory: false,
            function: "file.symlink",
            path,
        });
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wares_of(files: &[&str], directories: &[&str], links: &[(&str, &str)]) -> Wares {
        Wares {
            files: files
                .iter()
                .map(|file| ((*file).to_owned(), format!("salt://{file}")))
                .collect(),
            directories: directories.iter().map(|name| (*name).to_owned()).collect(),
            links: links
                .iter()
                .map(|(link, target)| ((*link).to_owned(), (*target).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn the_first_source_has_its_way_with_files_directories_and_links() {
        let mut all = wares_of(&["f", "d/x", "t", "l/x"], &["over"], &[("sl", "f")]);

        all.merge(wares_of(
            &["f", "d", "d/y", "over", "sl/in", "u/z"],
            &["f", "e", "d/e"],
            &[
                ("l", "u"),
                ("to_dir", "u/"),
                ("to_t", "./t/"),
                ("a/up", "../u"),
            ],
        ));

        let files: Vec<&str> = all.files.keys().map(String::as_str).collect();
        assert_eq!(files, ["d/x", "d/y", "f", "l/x", "t", "u/z"]);
        let directories: Vec<&str> = all.directories.iter().map(String::as_str).collect();
        assert_eq!(directories, ["d/e", "e", "over"]);
        let links: Vec<&str> = all.links.keys().map(String::as_str).collect();
        assert_eq!(links, ["a/up", "sl", "to_dir", "to_t"]);
    }

    #[test]
    fn a_link_to_what_another_source_made_something_else_is_left_out() {
        let mut all = wares_of(&["was_dir", "was_file/x", "same"], &[], &[]);

        all.merge(wares_of(
            &["was_dir/x", "was_file", "same"],
            &[],
            &[("a", "was_dir/"), ("b", "was_file"), ("c", "same")],
        ));

        assert_eq!(all.links.keys().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn comments_of_the_parts_are_joined_under_their_paths() {
        let mut sum = Sum::default();
        assert_eq!(
            sum.comment("/d"),
            "The directory /d is in the correct state"
        );
        sum.changes.insert("/d/a", salt_proto::Map::new());
        assert_eq!(sum.comment("/d"), "Recursively updated /d");
        sum.comments.push(("/d/a".into(), "no".into()));
        sum.comments.push(("/d/b".into(), "nor this".into()));
        assert_eq!(
            sum.comment("/d"),
            "#### /d/a ####\nno\n\n#### /d/b ####\nnor this"
        );
    }
}
