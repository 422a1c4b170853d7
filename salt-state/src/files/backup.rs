//! Copies of files that states replace (`backup: minion`), and their way back.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::source::os_error;
use crate::args::Args;
use crate::context::Context;
use crate::jinja::date::{DateTime, strftime};
use crate::registry::{CallError, Registry};
use crate::system::{Timestamp, WriteOptions};
use crate::zone::Zone;

type Answer = Result<Value, CallError>;

pub(crate) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    for name in ["file.list_backups", "file.list_backup"] {
        add(
            name,
            "list_backups(path, limit=None)",
            "Lists the copies of a file, the newest first.",
            |args, context| {
                let path = args.text("path")?;
                let limit = args.optional_int("limit")?;
                listed(&path, limit, "Start Time", context).map(Value::from)
            },
        );
    }
    add(
        "file.list_backups_dir",
        "list_backups_dir(path, limit=None)",
        "Lists the copies of the files of a directory, which is named with a slash at its end.",
        |args, context| {
            let path = args.text("path")?;
            // What is no number limits nothing.
            let limit = args.get("limit").and_then(Value::as_int);
            let place = directory_of(&path, context);
            if !context.system.is_dir(&place) {
                return Ok(Map::new().into());
            }
            let names = context
                .system
                .list(&place)
                .map_err(|error| os_error(error, &place))?;
            let mut names: Vec<String> = names
                .iter()
                .map(|name| name_of_copied(&name.to_string_lossy()).to_owned())
                .collect();
            names.sort();
            names.dedup();
            let mut shown = Map::new();
            for name in names {
                let file = format!(
                    "{}{name}",
                    path.rfind('/')
                        .and_then(|at| path.get(..=at))
                        .unwrap_or_default()
                );
                shown.insert(name, listed(&file, limit, "Backup Time", context)?);
            }
            Ok(shown.into())
        },
    );
    add(
        "file.restore_backup",
        "restore_backup(path, backup_id)",
        "Puts a copy of a file in its place; what is there is kept as another copy.",
        |args, context| {
            let path = args.text("path")?;
            let id = args
                .get("backup_id")
                .map(crate::python::str)
                .unwrap_or_default();
            let Some(copy) = numbered(&path, &id, context)? else {
                return Ok(answer(false, missing(&id, &path)));
            };
            let place = PathBuf::from(&path);
            keep(&place, context)?;
            let content = context
                .system
                .read(&copy)
                .map_err(|error| os_error(error, &copy))?
                .unwrap_or_default();
            context
                .system
                .write(&place, &content, &WriteOptions::new())
                .map_err(|error| os_error(error, &place))?;
            Ok(answer(
                true,
                format!("Successfully restored {} to {path}", copy.display()),
            ))
        },
    );
    for name in ["file.delete_backup", "file.remove_backup"] {
        add(
            name,
            "delete_backup(path, backup_id)",
            "Removes a copy of a file.",
            |args, context| {
                let path = args.text("path")?;
                let id = args
                    .get("backup_id")
                    .map(crate::python::str)
                    .unwrap_or_default();
                let Some(copy) = numbered(&path, &id, context)? else {
                    return Ok(answer(false, missing(&id, &path)));
                };
                context
                    .system
                    .remove(&copy)
                    .map_err(|error| os_error(error, &copy))?;
                Ok(answer(
                    true,
                    format!("Successfully removed {}", copy.display()),
                ))
            },
        );
    }
}

/// The copies of a file by their numbers.
fn listed(
    path: &str,
    limit: Option<i64>,
    time: &str,
    context: &Context<'_>,
) -> Result<Map, CallError> {
    let mut shown = Map::new();
    for (number, (name, at, size)) in (0_i64..).zip(copies(path, context)?) {
        if limit.is_some_and(|limit| number >= limit) {
            break;
        }
        let location = directory(path, context).join(&name);
        shown.insert(
            number,
            Map::from([
                (time, Value::from(at)),
                ("Size", i64::try_from(size).unwrap_or(i64::MAX).into()),
                ("Location", location.to_string_lossy().into_owned().into()),
            ]),
        );
    }
    Ok(shown)
}

/// The name of the file that a copy is one of; that of what is no copy as it is.
fn name_of_copied(name: &str) -> &str {
    let stamp = name.rmatch_indices('_').nth(5).map(|(at, _)| at);
    match stamp.and_then(|at| Some((name.get(..at)?, name.get(at + 1..)?))) {
        Some((file, stamp)) if read_stamp(stamp).is_some() => file,
        _ => name,
    }
}

fn answer(result: bool, comment: String) -> Value {
    Map::from([("result", Value::from(result)), ("comment", comment.into())]).into()
}

fn missing(id: &str, path: &str) -> String {
    if id.parse::<u64>().is_ok() {
        format!("backup_id '{id}' does not exist for {path}")
    } else {
        format!("Invalid backup_id '{id}'")
    }
}

/// Where the copies of a file are.
fn directory(path: &str, context: &Context<'_>) -> PathBuf {
    let parent = Path::new(path).parent().unwrap_or_else(|| Path::new("/"));
    below_backups(parent, context)
}

/// Where the copies of the files are that stand before the last slash of a path.
fn directory_of(path: &str, context: &Context<'_>) -> PathBuf {
    let parent = path.rfind('/').and_then(|at| path.get(..at));
    below_backups(Path::new(parent.unwrap_or_default()), context)
}

fn below_backups(parent: &Path, context: &Context<'_>) -> PathBuf {
    let cache = context
        .setting("cachedir")
        .unwrap_or("/var/cache/salt/minion");
    let below = parent.strip_prefix("/").unwrap_or(parent);
    Path::new(cache).join("file_backup").join(below)
}

/// The copies of a file, the newest first: name, time and size.
fn copies(path: &str, context: &Context<'_>) -> Result<Vec<(String, String, u64)>, CallError> {
    let place = directory(path, context);
    let base = Path::new(path)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let start = format!("{base}_");
    if !context.system.is_dir(&place) {
        return Ok(Vec::new());
    }
    let names = context
        .system
        .list(&place)
        .map_err(|error| os_error(error, &place))?;
    let mut found = Vec::new();
    for name in names {
        let name = name.to_string_lossy().into_owned();
        let Some(stamp) = name.strip_prefix(&start) else {
            continue;
        };
        let Some((order, shown)) = read_stamp(stamp) else {
            continue;
        };
        let meta = context.system.metadata(&place.join(&name)).ok().flatten();
        found.push((order, (name, shown, meta.map_or(0, |meta| meta.size))));
    }
    found.sort();
    Ok(found.into_iter().rev().map(|(_, copy)| copy).collect())
}

fn numbered(path: &str, id: &str, context: &Context<'_>) -> Result<Option<PathBuf>, CallError> {
    let Ok(number) = id.parse::<usize>() else {
        return Ok(None);
    };
    Ok(copies(path, context)?
        .get(number)
        .map(|(name, _, _)| directory(path, context).join(name)))
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `Sat_Jul_27_17:48:41_738027_2013`, as something to sort by and as it is shown.
fn read_stamp(stamp: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = stamp.split('_').collect();
    let [day, month, date, time, micros, year] = parts.as_slice() else {
        return None;
    };
    let number = MONTHS.iter().position(|known| known == month)?;
    let order = format!("{year}{number:02}{date}{time}{micros}");
    Some((
        order,
        format!("{day} {month} {date} {year} {time}.{micros}"),
    ))
}

/// A time in the machine's own zone.
pub(crate) fn local_time(
    format: &str,
    at: Timestamp,
    context: &Context<'_>,
) -> Result<String, CallError> {
    let (offset, _) = Zone::local(context.system).offset(at.seconds);
    #[expect(clippy::cast_precision_loss, reason = "seconds of our age fit")]
    let seconds = (at.seconds + i64::from(offset)) as f64;
    DateTime::from_unix(seconds)
        .map(|at| strftime(at, format))
        .ok_or_else(|| CallError::execution("the clock is out of range"))
}

/// Copies a file to where its copies are, named by the time.
pub(crate) fn keep(path: &Path, context: &Context<'_>) -> Result<(), CallError> {
    let fails = |error| os_error(error, path);
    let Some(found) = context.system.metadata(path).map_err(fails)? else {
        return Ok(());
    };
    let Some(content) = context.system.read(path).map_err(fails)? else {
        return Ok(());
    };
    let now = Timestamp::from(context.system.now());
    let micros = now.nanos / 1000;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stamp = local_time(&format!("%a_%b_%d_%H:%M:%S_{micros:06}_%Y"), now, context)?;
    let place = directory(&path.to_string_lossy(), context);
    context
        .system
        .create_dir_all(&place, 0o700)
        .map_err(|error| os_error(error, &place))?;
    let to = place.join(format!("{name}_{stamp}"));
    let options = WriteOptions::new()
        .mode(found.mode)
        .owner(found.uid, found.gid);
    context
        .system
        .write(&to, &content, &options)
        .map_err(|error| os_error(error, &to))
}
