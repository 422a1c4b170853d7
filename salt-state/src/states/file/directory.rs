//! `file.directory`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::{Answer, absolute, expanded, make_dirs, passes, texts, with_dirs};
use crate::args::Args;
use crate::context::Context;
use crate::files::perms::{Wanted, mode_bits, normalize_mode};
use crate::files::source::os_error;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{Metadata, Observe, errno_text};

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.directory",
        "directory(name, user=None, group=None, recurse=None, max_depth=None, dir_mode=None, file_mode=None, makedirs=False, clean=False, require=None, exclude_pat=None, follow_symlinks=False, force=False, backupname=None, allow_symlink=True, children_only=False, win_owner=None, win_perms=None, win_deny_perms=None, win_inheritance=True, win_perms_reset=False, **kwargs)",
        "Sees to a directory, and to what is in it as far as asked for.",
        directory,
    );
}

const TYPES: [&str; 6] = [
    "user",
    "group",
    "mode",
    "ignore_files",
    "ignore_dirs",
    "silent",
];

/// What `recurse` asks for.
#[derive(Clone, Default)]
struct Recurse(Vec<String>);

impl Recurse {
    fn parse(given: Option<&Value>) -> Result<Option<Self>, String> {
        let Some(given) = given.filter(|given| given.is_true()) else {
            return Ok(None);
        };
        let Value::List(items) = given else {
            return Err("\"recurse\" must be formed as a list of strings".to_owned());
        };
        let items: Vec<String> = items.iter().map(python::str).collect();
        if !items.iter().all(|item| TYPES.contains(&item.as_str())) {
            return Err(format!(
                "Types for \"recurse\" limited to {}.",
                TYPES.map(|kind| format!("\"{kind}\"")).join(", ")
            ));
        }
        let this = Self(items);
        if this.has("ignore_files") && this.has("ignore_dirs") {
            return Err("Must not specify \"recurse\" options \"ignore_files\" and \"ignore_dirs\" at the same time.".to_owned());
        }
        Ok(Some(this))
    }

    fn has(&self, kind: &str) -> bool {
        self.0.iter().any(|item| item == kind)
    }

    /// What it lets through of what is wanted.
    fn limit(&self, wanted: &Wanted) -> Wanted {
        Wanted {
            user: wanted.user.clone().filter(|_| self.has("user")),
            group: wanted.group.clone().filter(|_| self.has("group")),
            mode: wanted.mode.clone().filter(|_| self.has("mode")),
        }
    }
}

/// One path below a directory.
struct Entry {
    path: PathBuf,
    meta: Metadata,
    is_dir: bool,
}

/// What is below a directory, level by level as `os.walk` goes: the files of a directory,
/// its directories, then what is in these. Links to directories count as directories but
/// are not entered.
fn walk(
    top: &Path,
    depth: Option<i64>,
    system: &dyn Observe,
    into: &mut Vec<Entry>,
) -> std::io::Result<()> {
    if depth.is_some_and(|depth| depth <= 0) {
        return Ok(());
    }
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    for name in system.list(top)? {
        let path = top.join(name);
        let Some(meta) = system.link_metadata(&path)? else {
            continue;
        };
        let is_dir = meta.is_dir() || (meta.is_link() && system.is_dir(&path));
        let entry = Entry { path, meta, is_dir };
        if is_dir {
            directories.push(entry);
        } else {
            files.push(entry);
        }
    }
    into.extend(files);
    let enter: Vec<PathBuf> = directories
        .iter()
        .filter(|entry| entry.meta.is_dir())
        .map(|entry| entry.path.clone())
        .collect();
    into.extend(directories);
    for path in enter {
        walk(&path, depth.map(|depth| depth - 1), system, into)?;
    }
    Ok(())
}

/// What is below a directory and shall not be: everything that is not kept and not
/// excluded. First what a dry run lists, then what is removed (a directory takes along
/// what is in it).
pub(super) fn unwanted(
    top: &Path,
    keep: &BTreeSet<PathBuf>,
    exclude: &[String],
    system: &dyn Observe,
) -> std::io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut kept = keep.clone();
    for path in keep {
        kept.extend(path.ancestors().map(Path::to_owned));
    }
    let excluded = |path: &Path| {
        let below = path.strip_prefix(top).unwrap_or(path).to_string_lossy();
        !exclude.is_empty() && !passes(&below, &[], exclude)
    };
    let mut all = Vec::new();
    if system.is_dir(top) {
        walk(top, None, system, &mut all)?;
    }
    let listed: Vec<PathBuf> = all
        .iter()
        .filter(|entry| !kept.contains(&entry.path) && !excluded(&entry.path))
        .map(|entry| entry.path.clone())
        .collect();
    let mut removed: Vec<PathBuf> = Vec::new();
    for entry in &all {
        let gone = removed.iter().any(|other| entry.path.starts_with(other));
        if !gone && !kept.contains(&entry.path) && !excluded(&entry.path) {
            removed.push(entry.path.clone());
        }
    }
    Ok((listed, removed))
}

/// The paths that other states see to and that `clean` therefore leaves: those this state
/// requires.
pub(super) fn required(args: &Args, check: &Check<'_>) -> BTreeSet<PathBuf> {
    let mut keep = BTreeSet::new();
    let mut wanted: Vec<String> = Vec::new();
    let listed = args.given("require").or_else(|| check.low.get("require"));
    for one in listed.and_then(Value::as_list).unwrap_or_default() {
        match one {
            Value::Map(map) => {
                if let Some(name) = map.get("file") {
                    wanted.push(python::str(name));
                }
            }
            other => wanted.push(python::str(other)),
        }
    }
    for name in &wanted {
        if name.starts_with('/') {
            keep.insert(PathBuf::from(name.trim_end_matches('/')));
        }
    }
    let id = check.low.get("__id__").map(python::str).unwrap_or_default();
    let name = check.low.get("name").map(python::str).unwrap_or_default();
    for chunk in check.run {
        let own = |key: &str| chunk.get(key).map(python::str).unwrap_or_default();
        if own("state") != "file" {
            continue;
        }
        let is_required = wanted.contains(&own("__id__")) || wanted.contains(&own("name"));
        let requires_in = chunk.get("require_in").and_then(Value::as_list);
        let is_for = requires_in.unwrap_or_default().iter().any(|one| match one {
            Value::Map(map) => map
                .get("file")
                .map(python::str)
                .is_some_and(|target| target == id || target == name),
            other => {
                let target = python::str(other);
                target == id || target == name
            }
        });
        if is_required || is_for {
            keep.insert(PathBuf::from(own("name").trim_end_matches('/')));
        }
    }
    keep
}

/// The lines of a dry run.
pub(super) fn foretold(changes: &Map) -> String {
    let mut text = "The following files will be changed:\n".to_owned();
    for (path, facts) in changes {
        for (key, value) in facts.as_map().into_iter().flat_map(Map::iter) {
            text.push_str(&format!(
                "{}: {} - {}\n",
                python::str(path),
                python::str(key),
                python::str(value)
            ));
        }
    }
    text
}

/// Everything that is asked of a directory.
struct Job {
    path: PathBuf,
    follow: bool,
    wanted: Wanted,
    /// What is in the way: where it goes, `None` when it is removed.
    obstacle: Option<Option<PathBuf>>,
    backup_taken: bool,
    makes: bool,
    makedirs: bool,
    /// Whether the directory's own owner and mode are looked after.
    own: bool,
    /// What is below and what is asked of it.
    below: Vec<(PathBuf, Wanted)>,
    removed: Vec<PathBuf>,
    /// An owner that is to be everything's and was not stated.
    lacking: Option<&'static str>,
}

fn directory(args: &Args, check: &Check<'_>) -> Answer {
    let given = expanded(&super::path_name(args)?, check);
    if given.is_empty() {
        return Ok(Plan::fail("Must provide name to file.directory"));
    }
    super::owners_are_names(args)?;
    let name = match given.trim_end_matches('/') {
        "" => "/",
        name => name,
    };
    planned(name, args, check)
}

fn planned(name: &str, args: &Args, check: &Check<'_>) -> Answer {
    let path = PathBuf::from(name);
    let fails = |error| os_error(error, &path);
    // Nothing is walked that needs it where nothing is changed below.
    let max_depth = match args.given("recurse") {
        Some(_) => args.optional_int("max_depth")?,
        None => args.optional_int("max_depth").unwrap_or_default(),
    };
    let clean = args.is_true("clean");
    if max_depth.is_some() && clean {
        return Ok(Plan::fail("Cannot specify both max_depth and clean"));
    }
    let dir_mode = normalize_mode(
        args.given("dir_mode")
            .or_else(|| args.keywords().get("mode")),
    );
    let file_mode = normalize_mode(args.given("file_mode")).or_else(|| dir_mode.clone());
    let base = Wanted::new(args.given("user"), args.given("group"), None);
    let wanted = base.with_mode(dir_mode);
    let of_files = base.with_mode(file_mode);
    if let Some(complaint) = absolute(name) {
        return Ok(Plan::fail(complaint));
    }
    let force = args.is_true("force");
    let follow = args.is_true("follow_symlinks");
    let test = check.is_test();
    let own = check.system.link_metadata(&path).map_err(fails)?;
    let is_link = own.as_ref().is_some_and(Metadata::is_link);
    let is_file = check.system.is_file(&path);
    let mut changes = Changes::none();
    let mut tested = Changes::none();
    let mut obstacle = None;
    let mut backup_taken = false;
    let mut test_comment = None;
    let in_the_way = is_file || (!args.is_true("allow_symlink") && is_link) || (force && is_link);
    if in_the_way {
        if let Some(backup) = args.optional_text("backupname") {
            let to = PathBuf::from(&backup);
            backup_taken = check.system.link_metadata(&to).map_err(fails)?.is_some();
            if backup_taken {
                if !force {
                    return Ok(Plan::fail(format!(
                        "File exists where the backup target {backup} should go"
                    )));
                }
                tested.insert(
                    "forced",
                    format!("Existing file at backup path {backup} would be removed"),
                );
            }
            tested.insert("backup", format!("{name} would be renamed to {backup}"));
            test_comment = Some(format!(
                "{name} would be backed up and replaced with a new directory"
            ));
            obstacle = Some(Some(to));
        } else if force {
            let what = if is_file { "File" } else { "Symlink" };
            tested.insert("forced", format!("{what} would be forcibly replaced"));
            changes.insert("forced", format!("{what} was forcibly replaced"));
            obstacle = Some(None);
        } else {
            let what = if is_file { "file" } else { "symlink" };
            return Ok(Plan::fail(format!(
                "Specified location {name} exists and is a {what}"
            )));
        }
    }
    let recurse = match Recurse::parse(args.given("recurse")) {
        Ok(recurse) => recurse,
        Err(complaint) => return Ok(Plan::fail(complaint)),
    };
    if !test {
        let unknown = base.unknown(check.system).map_err(fails)?;
        if !unknown.is_empty() {
            return Ok(Plan::fail(unknown));
        }
    }

    // What a dry run looks at is still there; what is carried out has it gone.
    let there = check.system.is_dir(&path) && (test || obstacle.is_none());
    let mut predicted = Map::new();
    let mut below = Vec::new();
    let mut totals: BTreeMap<&str, Value> = BTreeMap::new();
    let mut removed = Vec::new();
    let children_only = args.is_true("children_only");
    let silent = recurse
        .as_ref()
        .is_some_and(|recurse| recurse.has("silent"));
    if there && test_comment.is_none() {
        let found = if follow {
            check.system.metadata(&path).map_err(fails)?
        } else {
            own.clone()
        };
        if !children_only && let Some(found) = &found {
            note(
                &mut totals,
                &wanted.lacking(check.system, found).map_err(fails)?,
            );
            if silent {
                totals.clear();
            }
        }
        if let Some(recurse) = &recurse {
            let mut entries = Vec::new();
            walk(&path, max_depth, check.system, &mut entries).map_err(fails)?;
            for entry in entries {
                let ignored = if entry.is_dir {
                    "ignore_dirs"
                } else {
                    "ignore_files"
                };
                if recurse.has(ignored) {
                    continue;
                }
                let wanted = recurse.limit(if entry.is_dir { &wanted } else { &of_files });
                let meta = match follow && entry.meta.is_link() {
                    true => check.system.metadata(&entry.path).map_err(fails)?,
                    false => None,
                };
                let meta = meta.as_ref().unwrap_or(&entry.meta);
                let lacking = wanted.lacking(check.system, meta).map_err(fails)?;
                if lacking.is_empty() {
                    continue;
                }
                note(&mut totals, &lacking);
                predicted.insert(entry.path.to_string_lossy().into_owned(), lacking);
                below.push((entry.path, wanted));
            }
        }
        if !children_only && let Some(found) = &found {
            let limited = match &recurse {
                Some(recurse) => recurse.limit(&wanted),
                None => wanted.clone(),
            };
            let lacking = limited.lacking(check.system, found).map_err(fails)?;
            if !lacking.is_empty() {
                predicted.insert(name, lacking);
            }
        }
        if clean {
            let keep = required(args, check);
            let exclude = texts(args.given("exclude_pat"));
            let (listed, gone) = unwanted(&path, &keep, &exclude, check.system).map_err(fails)?;
            for path in listed {
                let path = path.to_string_lossy().into_owned();
                predicted.insert(path, Map::from([("removed", "Removed due to clean")]));
            }
            removed = gone;
        }
    } else {
        predicted.insert(name, Map::from([("directory", "new")]));
    }
    if test {
        if let Some(comment) = test_comment {
            tested.extend(predicted);
            return Ok(Plan::answer(None, comment, tested));
        }
        if predicted.is_empty() {
            return Ok(Plan::answer(
                true,
                format!("The directory {name} is in the correct state"),
                tested,
            ));
        }
        let comment = foretold(&predicted);
        tested.extend(predicted);
        return Ok(Plan::answer(None, comment, tested));
    }
    if predicted.is_empty() && totals.is_empty() && changes.is_empty() {
        return Ok(Plan::unchanged(format!(
            "The directory {name} is in the correct state"
        )));
    }
    let makedirs = args.is_true("makedirs");
    if !there {
        let parent = path.parent().unwrap_or(&path);
        if !makedirs && !check.system.is_dir(parent) {
            return Ok(Plan::answer(
                false,
                format!("No directory to create {name} in"),
                predicted,
            ));
        }
    }
    let comment = if !there {
        String::new()
    } else if !removed.is_empty() {
        format!("Files cleaned from directory {name}")
    } else if children_only {
        format!("Directory {name}/* updated")
    } else {
        format!("Directory {name} updated")
    };
    if silent {
        changes = Changes::of("recursion", "Changes silenced");
    } else {
        changes.extend(predicted);
    }
    for (key, value) in totals {
        changes.insert(key, value);
    }
    if !removed.is_empty() {
        let shown: Vec<Value> = removed
            .iter()
            .map(|path| path.to_string_lossy().into_owned().into())
            .collect();
        changes.insert("removed", shown);
    }
    let lacking = ["user", "group"].into_iter().find(|key| {
        recurse.as_ref().is_some_and(|recurse| recurse.has(key)) && args.given(key).is_none()
    });
    let job = Job {
        path,
        follow,
        wanted,
        obstacle,
        backup_taken,
        makes: !there,
        makedirs,
        own: !children_only,
        below,
        removed,
        lacking,
    };
    Ok(Plan::change(comment, changes, move |context| {
        carry_out(job, context)
    }))
}

/// Salt repeats what changed anywhere below as if it were the directory's own.
fn note(totals: &mut BTreeMap<&'static str, Value>, lacking: &Map) {
    for key in ["user", "group", "mode"] {
        if let Some(value) = lacking.get(key) {
            totals.insert(key, value.clone());
        }
    }
}

fn carry_out(job: Job, context: &Context<'_>) -> Result<Done, CallError> {
    let system = context.system;
    let path = &job.path;
    let fails = |error| os_error(error, path);
    match &job.obstacle {
        Some(Some(to)) => {
            if job.backup_taken {
                system.remove_all(to).map_err(|error| os_error(error, to))?;
            }
            if let Err(error) = system.rename(path, to) {
                let text = format!("{} -> '{}'", errno_text(&error, Some(path)), to.display());
                return Err(match CallError::from(error) {
                    CallError::Exception { kind, .. } => CallError::exception(kind, text),
                    other => other,
                });
            }
        }
        Some(None) => system.remove(path).map_err(fails)?,
        None => {}
    }
    if job.makes {
        let bits = job.wanted.mode.as_deref();
        let Some(bits) = bits.map_or(Some(0o755), mode_bits) else {
            let mode = bits.unwrap_or_default();
            return Err(CallError::exception(
                "ValueError",
                format!("invalid literal for int() with base 10: '{mode}'"),
            ));
        };
        if job.makedirs
            && let Some(parent) = path.parent()
        {
            with_dirs(parent, &job.wanted, context).map_err(fails)?;
        }
        if system.link_metadata(path).map_err(fails)?.is_some() {
            return Err(fails(rustix::io::Errno::EXIST.into()));
        }
        make_dirs(path, bits, &job.wanted, context).map_err(fails)?;
    } else if job.own
        && let Err(error) = job.wanted.establish(system, path, job.follow)
    {
        let changes = match &job.wanted.mode {
            Some(mode) => Changes::of(
                &path.to_string_lossy(),
                Map::from([("mode", mode.as_str())]),
            ),
            None => Changes::none(),
        };
        return Ok(Done::failed(error.to_string()).changes(changes));
    }
    for (path, wanted) in &job.below {
        if let Err(error) = wanted.establish(system, path, job.follow) {
            return Ok(Done::failed(error.to_string()));
        }
    }
    for path in &job.removed {
        system
            .remove_all(path)
            .map_err(|error| os_error(error, path))?;
    }
    Ok(match job.lacking {
        Some(key) => Done::with_comment(format!(
            "{key} not specified, but configured as a target for recursive ownership management"
        ))
        .result(false),
        None => Done::as_planned(),
    })
}
