//! `mount.*`: what is mounted, and the table of what is mounted at boot.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions, errno_text};

use super::tool;

type Answer = Result<Value, CallError>;

mod more;

pub(crate) use more::device_of;

pub(super) fn register(registry: &mut Registry) {
    more::register(registry);
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "mount.fstab",
        "fstab(config='/etc/fstab')",
        "The table of what is mounted at boot, by place.",
        |args, context| {
            let entries = fstab(context.system, Path::new(&args.text("config")?))?;
            Ok(entries
                .into_iter()
                .map(|entry| {
                    let map = Map::from([
                        ("device", Value::from(entry.device)),
                        ("fstype", entry.kind.into()),
                        ("opts", entry.opts.split(',').collect()),
                        ("dump", entry.dump.into()),
                        ("pass", entry.pass.into()),
                    ]);
                    (entry.place, map)
                })
                .collect::<Map>()
                .into())
        },
    );
    add(
        "mount.active",
        "active(extended=False)",
        "What is mounted now, by place.",
        |_, context| {
            Ok(active(context.system)?
                .into_iter()
                .map(|entry| {
                    let map = Map::from([
                        ("alt_device", Value::from(entry.device.as_str())),
                        ("device", entry.device.into()),
                        ("fstype", entry.kind.into()),
                        ("opts", entry.opts.split(',').collect()),
                    ]);
                    (entry.place, map)
                })
                .collect::<Map>()
                .into())
        },
    );
    add(
        "mount.is_mounted",
        "is_mounted(name)",
        "Whether something is mounted at a place.",
        |args, context| {
            let name = args.text("name")?;
            let all = active(context.system)?;
            Ok(all.iter().any(|entry| entry.place == name).into())
        },
    );
    add(
        "mount.mount",
        "mount(name, device=False, mkmnt=False, fstype='', opts='defaults', user=None, util='mount')",
        "Mounts a file system; true, or what the program said.",
        |args, context| {
            let name = args.text("name")?;
            let device = args
                .given("device")
                .filter(|device| device.is_true())
                .map(crate::python::str);
            if args.is_true("mkmnt") {
                context
                    .system
                    .create_dir_all(Path::new(&name), 0o755)
                    .map_err(|error| {
                        CallError::execution(errno_text(&error, Some(Path::new(&name))))
                    })?;
            }
            mount(
                context,
                &name,
                device.as_deref(),
                &args.text("fstype")?,
                &options(args, "opts"),
            )
            .map(said)
        },
    );
    add(
        "mount.umount",
        "umount(name, device=None, user=None, util='mount', lazy=False)",
        "Ends the mount at a place; true, or what the program said.",
        |args, context| umount(context, &args.text("name")?, args.is_true("lazy")).map(said),
    );
    add(
        "mount.set_fstab",
        "set_fstab(name, device, fstype, opts='defaults', dump=0, pass_num=0, config='/etc/fstab', test=False, match_on='auto', not_change=False, **kwargs)",
        "Puts a line into the table of what is mounted at boot.",
        |args, context| {
            let entry = Entry {
                device: args.text("device")?,
                place: args.text("name")?,
                kind: args.text("fstype")?,
                opts: options(args, "opts"),
                dump: args.text("dump")?,
                pass: args.text("pass_num")?,
            };
            let config = args.text("config")?;
            let word = standing(context.system, Path::new(&config), &entry)?;
            if word != "present" && !args.is_true("test") {
                set_fstab(context, Path::new(&config), &entry)?;
            }
            Ok(word.into())
        },
    );
    add(
        "mount.rm_fstab",
        "rm_fstab(name, device, config='/etc/fstab')",
        "Takes a line out of the table of what is mounted at boot.",
        |args, context| {
            let device = args.optional_text("device");
            rm_fstab(
                context,
                Path::new(&args.text("config")?),
                &args.text("name")?,
                device.as_deref(),
            )?;
            Ok(true.into())
        },
    );
    add(
        "mount.swaps",
        "swaps()",
        "What is used for swapping.",
        |_, context| {
            Ok(swaps(context.system)?
                .into_iter()
                .map(|words| {
                    let field = |at: usize| -> Value { words.get(at).cloned().into() };
                    let map = Map::from([
                        ("type", field(1)),
                        ("size", field(2)),
                        ("used", field(3)),
                        ("priority", field(4)),
                    ]);
                    (words.first().cloned().unwrap_or_default(), map)
                })
                .collect::<Map>()
                .into())
        },
    );
}

fn said(result: Result<(), String>) -> Value {
    match result {
        Ok(()) => true.into(),
        Err(text) => text.into(),
    }
}

/// Mount options, stated as text or as a list.
pub(crate) fn options(args: &Args, key: &str) -> String {
    match args.given(key) {
        Some(Value::List(items)) => items
            .iter()
            .map(crate::python::str)
            .collect::<Vec<_>>()
            .join(","),
        Some(Value::Map(map)) => map
            .iter()
            .map(|(key, value)| {
                format!("{}={}", crate::python::str(key), crate::python::str(value))
            })
            .collect::<Vec<_>>()
            .join(","),
        Some(one) => crate::python::str(one),
        None => "defaults".to_owned(),
    }
}

/// A line of a table of mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What is mounted.
    pub(crate) device: String,
    /// Where.
    pub(crate) place: String,
    /// The kind of file system.
    pub(crate) kind: String,
    /// Options, separated by commas.
    pub(crate) opts: String,
    /// Whether `dump` saves it.
    pub(crate) dump: String,
    /// When it is checked at boot.
    pub(crate) pass: String,
}

/// `\040` and the like, which stand for blanks in the tables.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t")
}

fn escape(text: &str) -> String {
    text.replace(' ', "\\040").replace('\t', "\\011")
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let mut words = line.split_whitespace();
        Some(Self {
            device: unescape(words.next()?),
            place: unescape(words.next()?),
            kind: words.next()?.to_owned(),
            opts: words.next().unwrap_or("defaults").to_owned(),
            dump: words.next().unwrap_or("0").to_owned(),
            pass: words.next().unwrap_or("0").to_owned(),
        })
    }

    fn line(&self) -> String {
        format!(
            "{}\t\t{}\t{}\t{}\t{} {}",
            escape(&self.device),
            escape(&self.place),
            self.kind,
            escape(&self.opts),
            self.dump,
            self.pass
        )
    }

    /// Whether a line is about the same mount: the same place, for swap the same device.
    fn same(&self, other: &Self) -> bool {
        if self.kind == "swap" || self.place == "none" {
            self.device == other.device
        } else {
            self.place.trim_end_matches('/') == other.place.trim_end_matches('/')
        }
    }
}

fn read(machine: &dyn Observe, path: &Path) -> Result<String, CallError> {
    Ok(machine
        .text(path)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))?
        .unwrap_or_default())
}

/// The table of what is mounted at boot.
pub(crate) fn fstab(machine: &dyn Observe, path: &Path) -> Result<Vec<Entry>, CallError> {
    Ok(read(machine, path)?
        .lines()
        .filter_map(Entry::parse)
        .collect())
}

/// What is mounted now.
pub(crate) fn active(machine: &dyn Observe) -> Result<Vec<Entry>, CallError> {
    fstab(machine, Path::new("/proc/self/mounts"))
}

fn swaps(machine: &dyn Observe) -> Result<Vec<Vec<String>>, CallError> {
    Ok(read(machine, Path::new("/proc/swaps"))?
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect())
}

/// Whether a file or device is used for swapping.
pub(crate) fn is_swap(machine: &dyn Observe, name: &str) -> Result<bool, CallError> {
    Ok(swaps(machine)?
        .iter()
        .any(|words| words.first().is_some_and(|file| file == name)))
}

/// How a line stands to the table: `present`, `change` or `new`.
pub(crate) fn standing(
    machine: &dyn Observe,
    path: &Path,
    entry: &Entry,
) -> Result<&'static str, CallError> {
    let all = fstab(machine, path)?;
    Ok(match all.iter().find(|known| entry.same(known)) {
        Some(known) if known == entry => "present",
        Some(_) => "change",
        None => "new",
    })
}

fn write(context: &Context<'_>, path: &Path, lines: &[String]) -> Result<(), CallError> {
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let options = WriteOptions {
        follow: true,
        ..WriteOptions::new()
    };
    context
        .system
        .write(path, text.as_bytes(), &options)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))
}

/// Puts a line into the table, in the place of the one about the same mount.
pub(crate) fn set_fstab(
    context: &Context<'_>,
    path: &Path,
    entry: &Entry,
) -> Result<(), CallError> {
    let text = read(context.system, path)?;
    let mut lines = Vec::new();
    let mut placed = false;
    for line in text.lines() {
        match Entry::parse(line) {
            Some(known) if entry.same(&known) => {
                if !placed {
                    lines.push(entry.line());
                }
                placed = true;
            }
            _ => lines.push(line.to_owned()),
        }
    }
    if !placed {
        lines.push(entry.line());
    }
    write(context, path, &lines)
}

/// Takes the lines about a place (and a device, if stated) out of the table.
pub(crate) fn rm_fstab(
    context: &Context<'_>,
    path: &Path,
    place: &str,
    device: Option<&str>,
) -> Result<(), CallError> {
    let text = read(context.system, path)?;
    let lines: Vec<String> = text
        .lines()
        .filter(|line| {
            !Entry::parse(line).is_some_and(|known| {
                known.place == place && device.is_none_or(|device| known.device == device)
            })
        })
        .map(str::to_owned)
        .collect();
    write(context, path, &lines)
}

/// Mounts; the error is what the program said.
pub(crate) fn mount(
    context: &Context<'_>,
    place: &str,
    device: Option<&str>,
    kind: &str,
    opts: &str,
) -> Result<Result<(), String>, CallError> {
    let mut command = tool::named(context.system, "mount");
    if !opts.is_empty() {
        command = command.args(["-o", opts]);
    }
    if !kind.is_empty() {
        command = command.args(["-t", kind]);
    }
    command = command.arg("--");
    if let Some(device) = device {
        command = command.arg(device);
    }
    let output = tool::run(context, &command.arg(place))?;
    Ok(if output.is_success() {
        Ok(())
    } else {
        Err(tool::said(&output))
    })
}

/// Ends a mount; the error is what the program said.
pub(crate) fn umount(
    context: &Context<'_>,
    place: &str,
    lazy: bool,
) -> Result<Result<(), String>, CallError> {
    let mut command = tool::named(context.system, "umount");
    if lazy {
        command = command.arg("-l");
    }
    let output = tool::run(context, &command.arg("--").arg(place))?;
    Ok(if output.is_success() {
        Ok(())
    } else {
        Err(tool::said(&output))
    })
}

/// Uses a file or device for swapping; the error is what the program said.
pub(crate) fn swap_on(context: &Context<'_>, name: &str) -> Result<Result<(), String>, CallError> {
    let mut command = tool::named(context.system, "swapon");
    if name.starts_with('-') {
        command = command.arg("--");
    }
    let output = tool::run(context, &command.arg(name))?;
    Ok(if output.is_success() {
        Ok(())
    } else {
        Err(tool::said(&output))
    })
}
