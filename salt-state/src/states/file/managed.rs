//! `file.managed`.

use std::path::{Path, PathBuf};

use salt_proto::Value;

use super::{Answer, absolute, expanded, in_test, with_dirs};
use crate::args::Args;
use crate::context::Context;
use crate::files::attributes;
use crate::files::backup;
use crate::files::cache::Afterwards;
use crate::files::encoding::encode;
use crate::files::perms::{Wanted, mode_bits, mode_text};
use crate::files::source::{self, Failure, os_error};
use crate::files::text::{content_diff, text_lines};
use crate::functions::split_words;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::CallError;
use crate::states::Check;
use crate::system::{Command, FileKind, Metadata, Observe, WriteOptions};

mod content;

pub(super) use content::template_variables;
use content::{Content, Stop, fetched, stated};

pub(super) const SIGNATURE: &str = "managed(name, source=None, source_hash='', source_hash_name=None, keep_source=True, user=None, group=None, mode=None, attrs=None, template=None, makedirs=False, dir_mode=None, context=None, replace=True, defaults=None, backup='', show_changes=True, create=True, contents=None, tmp_dir=None, tmp_ext='', contents_pillar=None, contents_grains=None, contents_newline=True, contents_delimiter=':', encoding=None, encoding_errors='strict', allow_empty=True, follow_symlinks=True, check_cmd=None, skip_verify=False, selinux=None, win_owner=None, win_perms=None, win_deny_perms=None, win_inheritance=True, win_perms_reset=False, verify_ssl=True, use_etag=False, signature=None, source_hash_sig=None, signed_by_any=None, signed_by_all=None, keyring=None, gnupghome=None, ignore_ordering=False, ignore_whitespace=False, ignore_comment_characters=None, new_file_diff=False, sig_backend='gpg', **kwargs)";

/// How a file is to be written; see [`file`].
pub(super) struct Options {
    /// The user, group and mode asked for.
    pub(super) wanted: Wanted,
    /// The mode of a new file without one asked for.
    pub(super) new_mode: NewMode,
    pub(super) makedirs: bool,
    pub(super) dir_mode: Option<Value>,
    pub(super) backup: String,
    pub(super) show_changes: bool,
    pub(super) follow: bool,
    pub(super) new_file_diff: bool,
    pub(super) check_cmd: Option<String>,
    pub(super) tmp_dir: Option<String>,
    pub(super) tmp_ext: String,
    pub(super) attrs: Option<String>,
    pub(super) selinux: bool,
    pub(super) umask: u32,
    /// What follows in the minion's cache.
    pub(super) afterwards: Afterwards,
}

/// With which mode Salt makes a file before it sets the one asked for; what differs then
/// is reported as a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NewMode {
    /// As a shell makes files, when no mode is asked for.
    Plain,
    /// Private first, and then as a shell makes them.
    PrivateFirst,
}

pub(super) fn managed(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    super::owners_are_names(args)?;
    let is_template = args.given("template").is_some_and(Value::is_true);
    if !is_template && !name.is_empty() && absolute(&name).is_none() {
        for (key, what) in [("context", "Context"), ("defaults", "Defaults")] {
            let wrong = |given: &&Value| {
                !matches!(given, Value::Map(_)) && (key == "context" || given.is_true())
            };
            if args.given("contents").is_some() && args.given(key).filter(wrong).is_some() {
                return Ok(Plan::fail(format!("{what} must be formed as a dict")));
            }
        }
    }
    let mut plan = planned(&name, args, check)?;
    if name != args.text("name")? {
        plan = plan.extra("name", name);
    }
    Ok(plan)
}

fn planned(name: &str, args: &Args, check: &Check<'_>) -> Answer {
    let keep = args
        .given("mode")
        .and_then(Value::as_str)
        .is_some_and(|mode| mode.eq_ignore_ascii_case("keep"));
    let given: Vec<&str> = ["contents", "contents_pillar", "contents_grains"]
        .into_iter()
        .filter(|key| {
            let empty =
                |value: &Value| matches!(value, Value::List(_) | Value::Map(_)) && !value.is_true();
            args.given(key)
                .is_some_and(|value| *key == "contents" || !empty(value))
        })
        .collect();
    let has_source = args
        .given("source")
        .is_some_and(|source| source.is_true() || matches!(source, Value::List(_)));
    if keep && !given.is_empty() {
        return Ok(Plan::fail(
            "Mode preservation cannot be used in combination with 'contents', 'contents_pillar', or 'contents_grains'",
        ));
    }
    if has_source && !given.is_empty() {
        return Ok(Plan::fail(
            "'source' cannot be used in combination with 'contents', 'contents_pillar', or 'contents_grains'",
        ));
    }
    if given.len() > 1 {
        return Ok(Plan::fail(
            "Only one of 'contents', 'contents_pillar', and 'contents_grains' is permitted",
        ));
    }
    let replace = args.is_true("replace") && (has_source || !given.is_empty());

    let stated = match stated(args, check)? {
        Ok(stated) => stated,
        Err(complaint) => return Ok(Plan::fail(complaint)),
    };
    if name.is_empty() {
        return Ok(Plan::fail("Destination file name is required"));
    }
    let path = Path::new(name);
    let there = check
        .system
        .metadata(path)
        .map_err(|error| os_error(error, path))?;
    if !args.is_true("create") && there.is_none() {
        return Ok(Plan::unchanged(format!(
            "File {name} is not present and is not set for creation"
        )));
    }
    if let Some(complaint) = absolute(name) {
        return Ok(Plan::fail(complaint));
    }
    if there.as_ref().is_some_and(|there| there.is_dir()) {
        return Ok(Plan::fail(format!(
            "Specified target {name} is a directory"
        )));
    }

    let mode = if keep { None } else { args.given("mode") };
    let umask = check.umask().unwrap_or(0o022);
    let mut options = Options {
        wanted: Wanted::new(args.given("user"), args.given("group"), mode),
        new_mode: if has_source {
            NewMode::PrivateFirst
        } else {
            NewMode::Plain
        },
        makedirs: args.is_true("makedirs"),
        dir_mode: args.given("dir_mode").or(mode).cloned(),
        backup: args.optional_text("backup").unwrap_or_default(),
        show_changes: args.is_true("show_changes"),
        follow: args.is_true("follow_symlinks"),
        new_file_diff: args.is_true("new_file_diff"),
        check_cmd: args.optional_text("check_cmd"),
        tmp_dir: args.optional_text("tmp_dir").filter(|dir| !dir.is_empty()),
        tmp_ext: args.optional_text("tmp_ext").unwrap_or_default(),
        attrs: args
            .optional_text("attrs")
            .filter(|attrs| !attrs.is_empty()),
        selinux: args
            .given("selinux")
            .and_then(Value::as_map)
            .is_some_and(|map| {
                ["seuser", "serole", "setype", "serange"]
                    .iter()
                    .any(|key| map.get(key).is_some_and(Value::is_true))
            }),
        umask,
        afterwards: Afterwards::Nothing,
    };

    // A file whose content is not to be touched.
    if !replace && let Some(found) = &there {
        return only_facts(name, path, found, &options, check);
    }

    let foreseen = |failure: Failure| -> Answer {
        if check.is_test() {
            return match failure {
                Failure::Foreseen(text) => Ok(Plan::fail(text)),
                Failure::Exception(error) => Err(error),
            };
        }
        Ok(Plan::fail(format!(
            "Unable to manage file: {}",
            failure.text()
        )))
    };
    let content = match stated {
        Some(Value::Bytes(bytes)) => Content::Bytes(bytes),
        Some(text) => {
            let text = python::str(&text);
            let rendered = match args.optional_text("template").filter(|t| !t.is_empty()) {
                Some(renderer) => {
                    let vars = template_variables(name, args, check)?;
                    let rendered = check.for_functions(|context| {
                        let saltenv = check.environment();
                        source::render(&renderer, &text, "", saltenv, &vars, context)
                    });
                    match rendered {
                        Ok(text) => text,
                        Err(Failure::Foreseen(text)) => return Ok(Plan::fail(text)),
                        Err(Failure::Exception(error)) => return Err(error),
                    }
                }
                None => text,
            };
            Content::Text(rendered)
        }
        None if has_source => match fetched(name, args, check, &mut options, keep) {
            Ok(content) => Content::Fetched(content),
            Err(Stop::Plan(text)) => return Ok(Plan::fail(text)),
            Err(Stop::Untouched) => {
                return match &there {
                    Some(found) => only_facts(name, path, found, &options, check),
                    None => Ok(Plan::fail(format!("{name} is gone"))),
                };
            }
            Err(Stop::Raised(error)) => return Err(error),
            Err(Stop::Failure(failure)) => return foreseen(failure),
        },
        None => Content::Any,
    };
    let errors = args.optional_text("encoding_errors").unwrap_or_default();
    let bytes = match content {
        Content::Any => None,
        Content::Fetched(bytes) | Content::Bytes(bytes) => Some(bytes),
        Content::Text(text) => match args.optional_text("encoding").filter(|e| !e.is_empty()) {
            None => Some(text.into_bytes()),
            Some(encoding) => match encode(&text, &encoding, &errors) {
                Ok(bytes) => Some(bytes),
                // The dry run does not get as far as to encode.
                Err(_) if check.is_test() => Some(text.into_bytes()),
                Err(error) => return Ok(Plan::fail(format!("Unable to manage file: {error}"))),
            },
        },
    };
    let ignored = bytes
        .as_deref()
        .is_some_and(|new| only_ignored(path, new, args, check.system));
    let afterwards = std::mem::take(&mut options.afterwards);
    let mut plan = file(name, bytes, options, check)?;
    if ignored && (plan.is_change() || plan.result.is_none()) {
        plan = plan.extra("skip_req", true);
    }
    Ok(afterwards.follow(plan))
}

/// Whether old and new content differ only in what the state ignores.
pub(crate) fn only_ignored(path: &Path, new: &[u8], args: &Args, system: &dyn Observe) -> bool {
    let (order, blanks) = (
        args.is_true("ignore_ordering"),
        args.is_true("ignore_whitespace"),
    );
    let marks = match args.given("ignore_comment_characters") {
        None => Vec::new(),
        Some(Value::List(marks)) => marks.iter().map(python::str).collect(),
        Some(mark) => vec![python::str(mark)],
    };
    if !order && !blanks && marks.is_empty() {
        return false;
    }
    let Ok(Some(old)) = system.read(path) else {
        return false;
    };
    let reduced = |content: &[u8]| {
        let text = String::from_utf8_lossy(content);
        let mut lines: Vec<String> = text_lines(&text)
            .into_iter()
            .filter_map(|line| {
                let mut line = line.to_owned();
                let commented = marks
                    .iter()
                    .any(|mark| line.trim_start().starts_with(mark.as_str()));
                if commented {
                    return None;
                }
                for mark in &marks {
                    if let Some((before, _)) = line.split_once(mark.as_str()) {
                        line = before.trim_end().to_owned();
                    }
                }
                if blanks {
                    line.retain(|c| !c.is_whitespace());
                }
                (!(blanks && line.is_empty())).then_some(line)
            })
            .collect();
        // Both of the others imply that the order is ignored.
        lines.sort();
        lines
    };
    reduced(&old) == reduced(new)
}

/// A file whose content stays: only its owner and mode are looked after.
fn only_facts(
    name: &str,
    path: &Path,
    found: &Metadata,
    options: &Options,
    check: &Check<'_>,
) -> Answer {
    let found = if options.follow {
        found.clone()
    } else {
        let own = check
            .system
            .link_metadata(path)
            .map_err(|error| os_error(error, path))?;
        own.unwrap_or_else(|| found.clone())
    };
    let lacking = options
        .wanted
        .lacking(check.system, &found)
        .map_err(|error| os_error(error, path))?;
    if !check.is_test() {
        let unknown = options
            .wanted
            .unknown(check.system)
            .map_err(|error| os_error(error, path))?;
        if !unknown.is_empty() {
            return Ok(Plan::fail(unknown));
        }
    }
    let test_comment = match &options.wanted.mode {
        Some(mode) if lacking.contains_key("mode") => format!(
            "File {name} will be updated with permissions {mode} from its current state of {}",
            mode_text(found.mode)
        ),
        _ => format!("File {name} not updated"),
    };
    if lacking.is_empty() {
        return Ok(Plan::unchanged(format!(
            "File {name} exists with proper permissions. No changes made."
        ))
        .when_testing(test_comment));
    }
    let (wanted, follow, path) = (options.wanted.clone(), options.follow, path.to_owned());
    Ok(Plan::change("", lacking, move |context| {
        match wanted.establish(context.system, &path, follow) {
            Ok(changes) => Ok(Done::as_planned().changes(changes)),
            Err(error) => Ok(Done::failed(error.to_string())),
        }
    })
    .when_testing(test_comment))
}

/// A file with a content (`None`: an empty one, if there is none), as all states that
/// write whole files plan it.
pub(super) fn file(
    name: &str,
    content: Option<Vec<u8>>,
    options: Options,
    check: &Check<'_>,
) -> Answer {
    let path = Path::new(name);
    let fails = |error| os_error(error, path);
    let own = check.system.link_metadata(path).map_err(fails)?;
    let found = check.system.metadata(path).map_err(fails)?;
    let dangling = found.is_none() && own.is_some();
    let follows = options.follow;
    let is_new = found.is_none();
    let says_nothing = content.is_none();
    let new = content.unwrap_or_default();
    let old = match &found {
        Some(meta) if meta.kind == FileKind::File => check.system.read(path).map_err(fails)?,
        _ => None,
    };
    if dangling && follows {
        let target = check.system.read_link(path).map_err(fails)?;
        let target = path.parent().unwrap_or(path).join(target);
        return Ok(in_test(
            check,
            Plan::answer(
                None,
                would_change(name),
                Changes::of(
                    "diff",
                    format!("Failed to read {name}: No such file or directory"),
                ),
            ),
            Plan::unchanged(format!("File {name} is in the correct state")).warning(format!(
                "Failed to detect changes to file: Failed to read {}: No such file or directory",
                target.display()
            )),
        ));
    }

    let mut wanted = options.wanted.clone();
    let mut changes = Changes::none();
    let mut tested = Changes::none();
    // What is there, for the comparison of owner and mode.
    let mut facts = if follows { found.clone() } else { own.clone() };
    if is_new {
        if options.new_file_diff {
            let diff = content_diff(b"", &new, "", "");
            if !diff.is_empty() {
                tested.insert("diff", diff.as_str());
            }
            changes.insert("diff", diff);
        } else {
            tested.insert("newfile", name);
            if says_nothing {
                changes.insert("new", format!("file {name} created"));
            } else {
                changes.insert("diff", "New file");
            }
        }
        let plain = 0o666 & !options.umask;
        let first = if wanted.mode.is_some() || options.new_mode == NewMode::PrivateFirst {
            0o600
        } else {
            plain
        };
        if wanted.mode.is_none() {
            wanted.mode = Some(mode_text(plain));
        }
        let fresh = Metadata::of_new_file(first, &check.system.identity());
        facts = Some(fresh);
    } else if old.as_deref() != Some(new.as_slice()) {
        let diff = if options.show_changes {
            content_diff(old.as_deref().unwrap_or_default(), &new, "", "")
        } else {
            "<show_changes=False>".to_owned()
        };
        tested.insert("diff", diff.as_str());
        changes.insert("diff", diff);
    }
    let writes = is_new || changes.contains_key("diff");
    if let Some(mut facts) = facts {
        if writes && facts.is_link() {
            // The link makes way for a file of its target's mode.
            if let Some(target) = &found {
                facts = target.clone();
            }
        }
        let lacking = wanted.lacking(check.system, &facts).map_err(fails)?;
        for (key, value) in &lacking {
            if !is_new {
                tested.insert(key.clone(), value.clone());
            }
            changes.insert(key.clone(), value.clone());
        }
    }
    let correct = format!("The file {name} is in the correct state");
    if check.is_test() {
        if tested.is_empty() {
            return Ok(Plan::unchanged(correct));
        }
        return Ok(Plan::answer(None, would_change(name), changes).test_changes(tested));
    }
    if changes.is_empty() {
        return Ok(if options.selinux {
            Plan::fail("Failed to get selinux attributes")
        } else {
            Plan::unchanged(format!("File {name} is in the correct state"))
        });
    }
    let unknown = wanted.unknown(check.system).map_err(fails)?;
    if !unknown.is_empty() {
        return Ok(Plan::fail(unknown));
    }
    // With a slash behind it a name is that of a directory, where no file can be.
    if name.ends_with('/') && options.makedirs {
        return Ok(Plan::fail("Unable to manage file: Is a directory")
            .when_testing(would_change(name))
            .test_changes(tested));
    }
    let parent = super::dirname(path);
    if !options.makedirs && !check.system.is_dir(parent) {
        return Ok(Plan::fail("Parent directory not present"));
    }
    let path = path.to_owned();
    let comment = if says_nothing && is_new {
        "Empty file".to_owned()
    } else {
        format!("File {name} updated")
    };
    Ok(Plan::change(comment, changes, move |context| {
        write(&path, &new, writes, is_new, &wanted, &options, context)
    })
    .when_testing(would_change(name))
    .test_changes(tested))
}

/// What a dry run says of a file that would be written.
pub(super) fn would_change(name: &str) -> String {
    format!(
        "The file {name} is set to be changed\nNote: No changes made, actual changes may\nbe different due to other states."
    )
}

fn write(
    path: &Path,
    content: &[u8],
    writes: bool,
    is_new: bool,
    wanted: &Wanted,
    options: &Options,
    context: &Context<'_>,
) -> Result<Done, CallError> {
    if writes
        && let Some(command) = &options.check_cmd
        && let Some(refused) = checked(command, content, options, context)?
    {
        return Ok(refused);
    }
    let failed = |error: std::io::Error| {
        let text = crate::system::errno_text(&error, None);
        let text = text
            .split_once("] ")
            .map_or(text.as_str(), |(_, text)| text);
        Ok(Done::failed(format!("Unable to manage file: {text}")))
    };
    if is_new
        && options.makedirs
        && let Some(parent) = path.parent()
        && let Err(error) = with_dirs(
            parent,
            &Wanted::new(
                wanted.user.as_ref(),
                wanted.group.as_ref(),
                options.dir_mode.as_ref(),
            ),
            context,
        )
    {
        if options.new_mode == NewMode::PrivateFirst
            && error.raw_os_error() == Some(rustix::io::Errno::NOTDIR.raw_os_error())
        {
            return Ok(Done::failed(format!(
                "Unable to manage file: [Errno 2] No such file or directory: {}",
                path.display()
            )));
        }
        return failed(error);
    }
    if !writes {
        return Ok(
            match wanted.establish(context.system, path, options.follow) {
                Ok(_) => Done::as_planned(),
                Err(error) => Done::failed(error.to_string()),
            },
        );
    }
    if !is_new && matches!(options.backup.as_str(), "minion" | "both") {
        backup::keep(path, context)?;
    }
    let (uid, gid) = match wanted.numbers(context.system) {
        Ok(numbers) => numbers,
        Err(error) => return failed(error),
    };
    let bits = wanted.mode.as_deref().map(mode_bits);
    let write_options = WriteOptions {
        mode: match bits {
            Some(Some(bits)) => Some(bits),
            Some(None) if is_new => Some(0o600),
            _ => None,
        },
        uid,
        gid,
        follow: options.follow,
        ..WriteOptions::new()
    };
    if let Err(error) = context.system.write(path, content, &write_options) {
        return failed(error);
    }
    let mut done = Done::as_planned();
    if let (Some(None), Some(mode)) = (bits, &wanted.mode) {
        let diff = if is_new && !options.new_file_diff {
            Changes::of("diff", "New file")
        } else {
            Changes::none()
        };
        done = Done::failed(format!("Failed to change mode to {mode}")).changes(diff);
    }
    if let Some(attrs) = &options.attrs {
        let changed = attributes::establish(path, attrs, context)?;
        if !changed.is_empty() {
            tracing::debug!(path = %path.display(), "attributes set");
        }
    }
    if options.selinux {
        let diff = Changes::of("diff", "New file");
        done = Done::failed("Failed to get selinux attributes");
        if is_new {
            done = done.changes(diff);
        }
    }
    Ok(done)
}

/// Runs `check_cmd` on a copy of the content; `Some` when it refuses.
fn checked(
    command: &str,
    content: &[u8],
    options: &Options,
    context: &Context<'_>,
) -> Result<Option<Done>, CallError> {
    let dir = PathBuf::from(options.tmp_dir.as_deref().unwrap_or("/tmp"));
    let mut random = [0; 8];
    context.system.random(&mut random);
    let tail: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let copy = dir.join(format!("__salt.tmp.{tail}{}", options.tmp_ext));
    context
        .system
        .write(&copy, content, &WriteOptions::new().mode(0o600))
        .map_err(|error| os_error(error, &copy))?;
    let mut words = split_words(command).unwrap_or_default();
    words.push(copy.to_string_lossy().into_owned());
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    let ran = context.system.run(&Command::new(program).args(words));
    context
        .system
        .remove(&copy)
        .map_err(|error| os_error(error, &copy))?;
    let output = ran?;
    if output.is_success() {
        return Ok(None);
    }
    let mut comment = "check_cmd execution failed".to_owned();
    for said in [output.stdout_text(), output.stderr_text()] {
        let said = said.trim_end_matches('\n');
        if !said.is_empty() {
            comment.push('\n');
            comment.push_str(said);
        }
    }
    Ok(Some(Done::failed(comment).extra("skip_watch", true)))
}

/// Options of a state that only says who a file belongs to.
pub(super) fn options(args: &Args, check: &Check<'_>) -> Options {
    let text = |key| args.optional_text(key).unwrap_or_default();
    Options {
        wanted: Wanted::new(args.given("user"), args.given("group"), args.given("mode")),
        new_mode: NewMode::Plain,
        makedirs: args.is_true("makedirs"),
        dir_mode: args
            .given("dir_mode")
            .or_else(|| args.given("mode"))
            .cloned(),
        backup: text("backup"),
        show_changes: args.is_true("show_changes"),
        follow: true,
        new_file_diff: false,
        check_cmd: args.optional_text("check_cmd"),
        tmp_dir: args.optional_text("tmp_dir").filter(|dir| !dir.is_empty()),
        tmp_ext: text("tmp_ext"),
        attrs: None,
        selinux: false,
        umask: check.umask().unwrap_or(0o022),
        afterwards: Afterwards::Nothing,
    }
}
