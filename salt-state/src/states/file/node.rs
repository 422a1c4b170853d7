//! `file.touch`, `file.mknod` and `file.decode`.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::GeneralPurpose;
use salt_proto::Value;

use super::{Answer, named, with_dirs};
use crate::args::Args;
use crate::data;
use crate::files::perms::{Wanted, mode_bits};
use crate::files::source::os_error;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{FileKind, Node, Timestamp, WriteOptions};

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.touch",
        "touch(name, atime=None, mtime=None, makedirs=False)",
        "Sees to a file's being there and sets its times.",
        touch,
    );
    registry.add_state(
        "file.mknod",
        "mknod(name, ntype, major=0, minor=0, user=None, group=None, mode='0600')",
        "Sees to a pipe or device.",
        mknod,
    );
    registry.add_state(
        "file.decode",
        "decode(name, encoded_data=None, contents_pillar=None, encoding_type='base64', checksum='md5')",
        "Sees to a file of what a base64 text stands for.",
        decode,
    );
}

/// A time given in seconds.
pub(crate) fn seconds(given: Option<&Value>) -> Result<Option<Timestamp>, CallError> {
    let refused = || CallError::invocation("atime and mtime must be integers");
    let Some(given) = given.filter(|given| given.is_true()) else {
        return Ok(None);
    };
    let seconds = match given {
        Value::Int(seconds) => *seconds,
        Value::Str(text) => text.trim().parse().map_err(|_| refused())?,
        #[expect(clippy::cast_possible_truncation, reason = "as Python's int() does")]
        Value::Float(seconds) if seconds.is_finite() => *seconds as i64,
        _ => return Err(refused()),
    };
    Ok(Some(Timestamp { seconds, nanos: 0 }))
}

fn touch(args: &Args, check: &Check<'_>) -> Answer {
    let name = match named(args, "touch", check)? {
        Ok(name) => name,
        Err(plan) => return Ok(plan),
    };
    let path = PathBuf::from(&name);
    let fails = |error| os_error(error, &path);
    let found = check.system.metadata(&path).map_err(fails)?;
    let (atime, mtime) = (args.given("atime").cloned(), args.given("mtime").cloned());
    let stated = atime.is_some() || mtime.is_some();
    let parent = super::dirname(&path).to_owned();
    let makedirs = args.is_true("makedirs");
    let (test, real) = match &found {
        None => (
            Plan::answer(
                None,
                format!("File {name} is set to be created"),
                Changes::of("new", name.as_str()),
            ),
            (
                format!("Created empty file {name}"),
                Changes::of("new", name.as_str()),
            ),
        ),
        Some(found) => {
            let what = if found.is_dir() { "directory" } else { "file" };
            let test = if stated {
                Plan::answer(
                    None,
                    format!("Times set to be updated on {what} {name}"),
                    Changes::of("touched", name.as_str()),
                )
            } else {
                Plan::answer(
                    true,
                    format!("File {name} exists and has the correct times"),
                    Changes::of("new", name.as_str()),
                )
            };
            (
                test,
                (
                    format!("Updated times on {what} {name}"),
                    Changes::of("touched", name.as_str()),
                ),
            )
        }
    };
    if check.is_test() {
        return Ok(test);
    }
    if found.is_none() && !makedirs && !check.system.is_dir(&parent) {
        return Ok(Plan::fail(format!(
            "Directory not present to touch file {name}"
        )));
    }
    let is_new = found.is_none();
    let umask = check.umask();
    Ok(Plan::change(real.0, real.1, move |context| {
        let system = context.system;
        let fails = |error| os_error(error, &path);
        if is_new {
            with_dirs(&parent, &Wanted::default(), context).map_err(fails)?;
            make_empty(&path, context).map_err(fails)?;
            if let Some(umask) = umask {
                system.set_mode(&path, 0o666 & !umask).map_err(fails)?;
            }
        }
        let (accessed, modified) = (seconds(atime.as_ref())?, seconds(mtime.as_ref())?);
        let now = Timestamp::from(system.now());
        let (accessed, modified) = match (accessed, modified) {
            (None, None) => (Some(now), Some(now)),
            (accessed, modified) => (Some(accessed.unwrap_or(now)), Some(modified.unwrap_or(now))),
        };
        system.set_times(&path, accessed, modified).map_err(fails)
    }))
}

/// An empty file, where a dangling link points if there is one.
pub(crate) fn make_empty(path: &Path, context: &crate::Context<'_>) -> std::io::Result<()> {
    let system = context.system;
    let mut place = path.to_owned();
    for _ in 0..40 {
        if !system.is_link(&place) {
            return system.write(&place, b"", &WriteOptions::new());
        }
        let target = system.read_link(&place)?;
        place = place
            .parent()
            .unwrap_or_else(|| Path::new("/"))
            .join(target);
    }
    Err(rustix::io::Errno::LOOP.into())
}

fn mknod(args: &Args, check: &Check<'_>) -> Answer {
    let name = super::expanded(&super::path_name(args)?, check);
    if name.is_empty() {
        return Ok(Plan::fail("Must provide name to file.mknod"));
    }
    let kind = args.text("ntype")?;
    let number =
        |key: &str| -> Result<u32, CallError> { Ok(u32::try_from(args.int(key)?).unwrap_or(0)) };
    let (major, minor) = (number("major")?, number("minor")?);
    let (wanted_kind, node, what, kind_name) = match kind.as_str() {
        "c" => (
            FileKind::CharDevice,
            Node::Char(major, minor),
            "Character device",
            "character device",
        ),
        "b" => (
            FileKind::BlockDevice,
            Node::Block(major, minor),
            "Block device",
            "block device",
        ),
        "p" => (FileKind::Fifo, Node::Fifo, "Fifo pipe", "fifo pipe"),
        _ => {
            return Ok(Plan::fail(format!(
                "Node type unavailable: '{kind}'. Available node types are character ('c'), block ('b'), and pipe ('p')"
            )));
        }
    };
    let path = PathBuf::from(&name);
    let fails = |error| os_error(error, &path);
    let wanted = Wanted::new(args.given("user"), args.given("group"), args.given("mode"));
    let found = check.system.metadata(&path).map_err(fails)?;
    match found {
        None => Ok(Plan::change(
            "",
            Changes::of("new", format!("{what} {name} created.")),
            move |context| {
                let fails = |error| os_error(error, &path);
                let unknown = wanted.unknown(context.system).map_err(fails)?;
                if !unknown.is_empty() {
                    return Ok(Done::failed(unknown));
                }
                if let Some(parent) = path.parent() {
                    with_dirs(parent, &Wanted::default(), context).map_err(fails)?;
                }
                let bits = wanted.mode.as_deref().and_then(mode_bits).unwrap_or(0o600);
                context.system.make_node(&path, node, bits).map_err(fails)?;
                wanted
                    .without_mode()
                    .establish(context.system, &path, true)?;
                Ok(Done::as_planned())
            },
        )
        .when_testing(format!("{what} {name} is set to be created"))
        .test_changes(Changes::none())),
        Some(found) if found.kind != wanted_kind => Ok(Plan::fail(format!(
            "File {name} exists and is not a {kind_name}. Refusing to continue"
        ))),
        Some(found) if wanted_kind != FileKind::Fifo && found.node != (major, minor) => {
            Ok(Plan::fail(format!(
                "{what} {name} exists and has a different major/minor {}/{}. Refusing to continue",
                found.node.0, found.node.1
            )))
        }
        Some(found) => {
            let lacking = wanted.lacking(check.system, &found).map_err(fails)?;
            let correct = format!("{what} {name} is in the correct state");
            if lacking.is_empty() || check.is_test() {
                return Ok(Plan::unchanged(correct));
            }
            Ok(Plan::change("", lacking, move |context| {
                Ok(match wanted.establish(context.system, &path, true) {
                    Ok(_) => Done::as_planned(),
                    Err(error) => Done::failed(error.to_string()),
                })
            }))
        }
    }
}

fn decode(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let encoded = match (args.given("encoded_data"), args.given("contents_pillar")) {
        (Some(_), Some(_)) => {
            return Err(CallError::execution(
                "Specify only one 'encoded_data' or 'contents_pillar' argument.",
            ));
        }
        (None, None) => {
            return Err(CallError::execution(
                "Specify either the 'encoded_data' or 'contents_pillar' argument.",
            ));
        }
        (Some(data), None) => python::str(data),
        (None, Some(key)) => {
            let key = python::str(key);
            let found = data::traverse_map(&check.minion.pillar, &key, ":");
            match found.filter(|found| found.is_true()) {
                Some(found) => python::str(found),
                None => return Err(CallError::execution("Pillar data not found.")),
            }
        }
    };
    let content = base64_like_python(&encoded)?;
    let kind = args.text("checksum")?;
    let sum = |content: &[u8]| {
        crate::functions::hash(&kind, content)
            .map_err(|_| CallError::execution(format!("Hash func '{kind}' is not supported.")))
    };
    let path = PathBuf::from(&name);
    let old = check
        .system
        .read(&path)
        .map_err(|error| os_error(error, &path))?;
    let new_sum = sum(&content)?;
    let old_sum = match &old {
        Some(old) => Value::from(sum(old)?),
        None => Value::Null,
    };
    if old_sum.as_str() == Some(new_sum.as_str()) {
        return Ok(Plan::unchanged("File is in the correct state."));
    }
    let changes = Changes::none().with("old", old_sum).with("new", new_sum);
    let tested = if old.is_some() {
        changes.clone()
    } else {
        Changes::none()
    };
    Ok(Plan::change("File was updated.", changes, move |context| {
        let parent_there = path
            .parent()
            .is_some_and(|parent| context.system.is_dir(parent));
        if !parent_there {
            return Err(os_error(rustix::io::Errno::NOENT.into(), &path));
        }
        context
            .system
            .write(&path, &content, &WriteOptions::new())
            .map_err(|error| os_error(error, &path))
    })
    .when_testing("File is set to be updated.")
    .test_changes(tested.into_map()))
}

/// As Python reads base64: letters that are none are passed over.
fn base64_like_python(text: &str) -> Result<Vec<u8>, CallError> {
    let plain: String = text
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='))
        .collect();
    let config = base64::engine::GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireCanonical);
    GeneralPurpose::new(&base64::alphabet::STANDARD, config)
        .decode(plain)
        .map_err(|_| CallError::exception("binascii.Error", "Incorrect padding"))
}
