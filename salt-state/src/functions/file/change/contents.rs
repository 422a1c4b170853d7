//! `file.*` functions that write whole contents.

use salt_proto::Value;

use super::{given_lines, joined, path_of, put, whole};
use crate::files::source::os_error;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::file as states;
use crate::system::Timestamp;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "file.append",
        "append(path, *args, **kwargs)",
        "Adds lines at the end of a file.",
        |args, context| {
            let path = path_of(args, "path")?;
            let lines = given_lines(args);
            let mut content = whole(&path, context)?;
            if !content.is_empty() && !content.ends_with(b"\n") {
                content.push(b'\n');
            }
            content.extend_from_slice(joined(&lines).as_bytes());
            put(&path, &content, context)?;
            let shown = path.display();
            Ok(format!("Wrote {} lines to \"{shown}\"", lines.len()).into())
        },
    );
    registry.add(
        "file.prepend",
        "prepend(path, *args, **kwargs)",
        "Adds lines at the beginning of a file.",
        |args, context| {
            let path = path_of(args, "path")?;
            let lines = given_lines(args);
            let mut content = joined(&lines).into_bytes();
            if context.system.exists(&path) {
                content.append(&mut whole(&path, context)?);
            }
            put(&path, &content, context)?;
            let shown = path.display();
            Ok(format!("Prepended {} lines to \"{shown}\"", lines.len()).into())
        },
    );
    registry.add(
        "file.write",
        "write(path, *args, **kwargs)",
        "Writes lines into a file, in place of what is in it.",
        |args, context| {
            let path = path_of(args, "path")?;
            let lines = given_lines(args);
            put(&path, joined(&lines).as_bytes(), context)?;
            let shown = path.display();
            Ok(format!("Wrote {} lines to \"{shown}\"", lines.len()).into())
        },
    );
    registry.add(
        "file.touch",
        "touch(name, atime=None, mtime=None)",
        "Makes an empty file or sets a file's times.",
        |args, context| {
            let path = path_of(args, "name")?;
            let fails = |error| os_error(error, &path);
            if !context.system.exists(&path) {
                states::make_empty(&path, context).map_err(fails)?;
            }
            let accessed = states::seconds(args.given("atime"))?;
            let modified = states::seconds(args.given("mtime"))?;
            let now = Timestamp::from(context.system.now());
            context
                .system
                .set_times(
                    &path,
                    Some(accessed.unwrap_or(now)),
                    Some(modified.unwrap_or(now)),
                )
                .map_err(fails)?;
            Ok(true.into())
        },
    );
    registry.add(
        "file.truncate",
        "truncate(path, length)",
        "Cuts a file at a length, or fills it up with zeros.",
        |args, context| {
            let path = path_of(args, "path")?;
            let length = usize::try_from(args.int("length")?).unwrap_or(0);
            let mut content = whole(&path, context)?;
            let limit = usize::try_from(crate::system::READ_LIMIT).unwrap_or(usize::MAX);
            content.resize(length.min(limit), 0);
            put(&path, &content, context)?;
            Ok(Value::Null)
        },
    );
    registry.add(
        "file.seek_read",
        "seek_read(path, size, offset)",
        "Returns a part of a file.",
        |args, context| {
            let content = whole(&path_of(args, "path")?, context)?;
            let from = usize::try_from(args.int("offset")?).unwrap_or(0);
            let size = usize::try_from(args.int("size")?).unwrap_or(0);
            let from = from.min(content.len());
            let to = from.saturating_add(size).min(content.len());
            let part = content.get(from..to).unwrap_or_default().to_vec();
            Ok(String::from_utf8(part).map_or_else(|error| error.into_bytes().into(), Value::from))
        },
    );
    registry.add(
        "file.seek_write",
        "seek_write(path, data, offset)",
        "Writes over a part of a file and returns how many bytes.",
        |args, context| {
            let path = path_of(args, "path")?;
            let mut content = whole(&path, context)?;
            let data = match args.get("data") {
                Some(Value::Bytes(bytes)) => bytes.clone(),
                other => other.map(python::str).unwrap_or_default().into_bytes(),
            };
            let from = usize::try_from(args.int("offset")?).unwrap_or(0);
            let end = from.saturating_add(data.len());
            let limit = usize::try_from(crate::system::READ_LIMIT).unwrap_or(usize::MAX);
            if end > limit {
                return Err(CallError::execution("The offset is too large"));
            }
            if content.len() < end {
                content.resize(end, 0);
            }
            if let Some(part) = content.get_mut(from..end) {
                part.copy_from_slice(&data);
            }
            put(&path, &content, context)?;
            Ok(i64::try_from(data.len()).unwrap_or(i64::MAX).into())
        },
    );
}
