//! The functions of `mount` about swapping, mounting anew and what was mounted how.

use std::path::Path;

use salt_proto::{Map, Value};

use super::{active, is_swap, mount, options, read, said, swaps};
use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions, errno_text};
use crate::yaml;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "mount.swapon",
        "swapon(name, priority=None)",
        "Uses a file or device for swapping; how it stands, and whether that is new.",
        swapon,
    );
    add(
        "mount.swapoff",
        "swapoff(name)",
        "Ends the use of a file or device for swapping; nothing when it was not used.",
        |args, context| {
            let name = args.text("name")?;
            if !is_swap(context.system, &name)? {
                return Ok(Value::Null);
            }
            let command = tool::named(context.system, "swapoff").arg(name.as_str());
            tool::run(context, &command)?;
            Ok((!is_swap(context.system, &name)?).into())
        },
    );
    add(
        "mount.remount",
        "remount(name, device, mkmnt=False, fstype='', opts='defaults', user=None)",
        "Mounts anew with other options; true, or what the program said.",
        |args, context| {
            let (name, device) = (args.text("name")?, args.text("device")?);
            let mut opts = options(args, "opts");
            let is_active = active(context.system)?
                .iter()
                .any(|entry| entry.place == name);
            if is_active && !opts.split(',').any(|option| option == "remount") {
                opts.push_str(",remount");
            }
            if !is_active && args.is_true("mkmnt") {
                let place = Path::new(&name);
                context
                    .system
                    .create_dir_all(place, 0o755)
                    .map_err(|error| CallError::execution(errno_text(&error, Some(place))))?;
            }
            let kind = args.text("fstype")?;
            mount(context, &name, Some(device.as_str()), &kind, &opts).map(said)
        },
    );
    add(
        "mount.get_mount_from_path",
        "get_mount_from_path(path)",
        "Where the file system of a path is mounted.",
        |args, context| Ok(of_path(context.system, &args.text("path")?)?.0.into()),
    );
    add(
        "mount.get_device_from_path",
        "get_device_from_path(path)",
        "What is mounted where a path is.",
        |args, context| Ok(of_path(context.system, &args.text("path")?)?.1.into()),
    );
    add(
        "mount.is_fuse_exec",
        "is_fuse_exec(cmd)",
        "Whether a program mounts file systems of programs (FUSE).",
        |args, context| {
            let Some(place) = context.system.which(&args.text("cmd")?) else {
                return Ok(false.into());
            };
            let output = tool::ask(context.system, &tool::plain("ldd").arg(place))?;
            Ok(output.stdout_text().contains("libfuse").into())
        },
    );
    for (name, signature) in [
        (
            "mount.filesystems",
            "filesystems(config='/etc/filesystems')",
        ),
        ("mount.vfstab", "vfstab(config='/etc/vfstab')"),
    ] {
        add(
            name,
            signature,
            "Nothing: the table of another system than Linux.",
            |_, _| Ok(Map::new().into()),
        );
    }
    add(
        "mount.read_mount_cache",
        "read_mount_cache(real_name)",
        "How something was mounted, as it was written down.",
        |args, context| {
            let all = cache(context)?;
            let found = all.get(&args.text("real_name")?);
            Ok(found.cloned().unwrap_or_else(|| Map::new().into()))
        },
    );
    add(
        "mount.write_mount_cache",
        "write_mount_cache(real_name, device, mkmnt, fstype, mount_opts)",
        "Writes down how something was mounted.",
        |args, context| {
            let mut all = cache(context)?;
            let stated = |key: &str| args.get(key).cloned().unwrap_or_default();
            // In the order in which Salt's file has them.
            let map = Map::from([
                ("device", stated("device")),
                ("fstype", stated("fstype")),
                ("mkmnt", stated("mkmnt")),
                ("opts", stated("mount_opts")),
            ]);
            all.insert(args.text("real_name")?, map);
            write_cache(context, all)
        },
    );
    add(
        "mount.delete_mount_cache",
        "delete_mount_cache(real_name)",
        "Forgets how something was mounted.",
        |args, context| {
            let mut all = cache(context)?;
            match all.remove(&args.text("real_name")?) {
                Some(_) => write_cache(context, all),
                None => Ok(true.into()),
            }
        },
    );
}

fn stats(machine: &dyn Observe, name: &str) -> Result<Option<Map>, CallError> {
    let all = swaps(machine)?;
    let line = all
        .into_iter()
        .find(|words| words.first().is_some_and(|file| file == name));
    Ok(line.map(|words| {
        let field = |at: usize| -> Value { words.get(at).cloned().into() };
        Map::from([
            ("type", field(1)),
            ("size", field(2)),
            ("used", field(3)),
            ("priority", field(4)),
        ])
    }))
}

fn swapon(args: &Args, context: &Context<'_>) -> Answer {
    let name = args.text("name")?;
    let answer = |stats: Map, new: bool| -> Value {
        Map::from([("stats", Value::from(stats)), ("new", new.into())]).into()
    };
    if let Some(stats) = stats(context.system, &name)? {
        return Ok(answer(stats, false));
    }
    let mut command = tool::named(context.system, "swapon").arg(name.as_str());
    if let Some(priority) = args.given("priority").filter(|value| value.is_true()) {
        command = command.arg("-p").arg(python::str(priority));
    }
    tool::run(context, &command)?;
    Ok(match stats(context.system, &name)? {
        Some(stats) => answer(stats, true),
        None => Map::new().into(),
    })
}

/// Where the file system of a path is mounted, and what it is; of several that are
/// mounted at one place the last.
fn of_path(machine: &dyn Observe, path: &str) -> Result<(String, Option<String>), CallError> {
    let real = machine
        .canonicalize(Path::new(path))
        .unwrap_or_else(|_| Path::new(path).to_owned());
    let found = active(machine)?
        .into_iter()
        .filter(|entry| real.starts_with(&entry.place))
        .max_by_key(|entry| Path::new(&entry.place).components().count());
    Ok(match found {
        Some(entry) => (entry.place, Some(entry.device)),
        None => ("/".to_owned(), None),
    })
}

/// What is mounted where a path is.
pub(crate) fn device_of(machine: &dyn Observe, path: &str) -> Result<Option<String>, CallError> {
    Ok(of_path(machine, path)?.1)
}

fn cache_place(context: &Context<'_>) -> std::path::PathBuf {
    let directory = context
        .setting("cachedir")
        .unwrap_or("/var/cache/salt/minion");
    Path::new(directory).join("mounts")
}

fn cache(context: &Context<'_>) -> Result<Map, CallError> {
    let text = read(context.system, &cache_place(context))?;
    let all = yaml::load(&text).unwrap_or_default();
    Ok(all
        .get("mounts")
        .and_then(Value::as_map)
        .cloned()
        .unwrap_or_default())
}

fn write_cache(context: &Context<'_>, all: Map) -> Answer {
    let text = yaml::dump(
        &Map::from([("mounts", all)]).into(),
        &yaml::DumpOptions::default(),
    );
    let path = cache_place(context);
    let failed = |error: std::io::Error| CallError::execution(errno_text(&error, Some(&path)));
    if let Some(parent) = path.parent() {
        context
            .system
            .create_dir_all(parent, 0o755)
            .map_err(failed)?;
    }
    context
        .system
        .write(&path, text.as_bytes(), &WriteOptions::new())
        .map_err(failed)?;
    Ok(true.into())
}
