//! `disk.*`: how full file systems are, as `df(1)` tells, and what devices hold.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Output};

pub(crate) mod devices;
mod statistics;

pub(super) fn register(registry: &mut Registry) {
    devices::register(registry);
    statistics::register(registry);
    registry.add(
        "disk.usage",
        "usage(args=None)",
        "Size, use and free space of each mounted file system, as text; flags of df(1)\n\
         can be given.",
        usage,
    );
    registry.add(
        "disk.inodeusage",
        "inodeusage(args=None)",
        "Number, use and rest of the inodes of each mounted file system, as text.",
        inodeusage,
    );
    registry.add(
        "disk.percent",
        "percent(args=None)",
        "How full each mounted file system is, or the one mounted at a path.",
        percent,
    );
}

/// A line of `df -P`.
struct Line {
    device: String,
    columns: [String; 4],
    mount: String,
}

impl Line {
    /// Devices and mount points may contain blanks, so the columns between are found
    /// from the last of them, which stands before an absolute path.
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let full = words.windows(2).position(|pair| {
            let [full, mount] = *pair else { return false };
            (full.ends_with('%') || full == "-") && mount.starts_with('/')
        });
        let full = full.filter(|at| *at >= 4)?;
        let column = |before: usize| words.get(full - before).map(|word| (*word).to_owned());
        Some(Self {
            device: words.get(..full - 3)?.join(" "),
            columns: [column(3)?, column(2)?, column(1)?, column(0)?],
            mount: words
                .get(full + 1..)
                .filter(|rest| !rest.is_empty())?
                .join(" "),
        })
    }
}

/// Asks `df`; nothing when it refuses.
fn lines(context: &Context<'_>, flags: &[String]) -> Result<Vec<Line>, CallError> {
    let command = Command::new("df")
        .args(["-P"])
        .args(flags.iter().map(String::as_str))
        .env("LC_ALL", "C");
    let output = context
        .system
        .query(&command)
        .map_err(|error| CallError::execution(error.to_string()))?;
    if output.stdout.is_empty() && !output.is_success() {
        return Ok(Vec::new());
    }
    Ok(table(&output))
}

fn table(output: &Output) -> Vec<Line> {
    output
        .stdout_text()
        .lines()
        .skip(1)
        .filter_map(Line::parse)
        .collect()
}

/// The flags in the argument `args`: one letter each, as Salt takes them.
fn flags(args: &Args, function: &str) -> Result<Vec<String>, CallError> {
    match args.optional_text("args") {
        None => Ok(Vec::new()),
        Some(text) if text.chars().all(char::is_alphanumeric) => Ok(vec![format!("-{text}")]),
        Some(_) => Err(CallError::execution(format!(
            "Invalid flag passed to {function}"
        ))),
    }
}

fn usage(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let given = flags(args, "disk.usage")?;
    let flags = if given.is_empty() {
        vec!["-k".to_owned()]
    } else {
        given
    };
    let found: Map = lines(context, &flags)?
        .into_iter()
        .map(|line| {
            let [size, used, available, capacity] = line.columns;
            let entry = Map::from([
                ("filesystem", line.device),
                ("1K-blocks", size),
                ("used", used),
                ("available", available),
                ("capacity", capacity),
            ]);
            (line.mount, entry)
        })
        .collect();
    Ok(found.into())
}

fn inodeusage(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let mut all = vec!["-i".to_owned()];
    all.extend(flags(args, "disk.inodeusage")?);
    let found: Map = lines(context, &all)?
        .into_iter()
        .map(|line| {
            let [inodes, used, free, full] = line.columns;
            let entry = Map::from([
                ("inodes", inodes),
                ("used", used),
                ("free", free),
                ("use", full),
                ("filesystem", line.device),
            ]);
            (line.mount, entry)
        })
        .collect();
    Ok(found.into())
}

fn percent(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let found: Map = lines(context, &[])?
        .into_iter()
        .map(|line| {
            let [.., full] = line.columns;
            (line.mount, full)
        })
        .collect();
    let Some(mount) = args.optional_text("args") else {
        return Ok(found.into());
    };
    Ok(found.get(&mount).cloned().unwrap_or_else(|| {
        tracing::error!(%mount, "nothing is mounted there");
        Map::new().into()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::system::FakeSystem;

    const DF: &str = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
         /dev/vda 264212084 32035012 63250876 34% /\n\
         //server/my share 10 5 5 50% /mnt/a b\n\
         overlay - - - - /weird\n";

    fn called(name: &str, args: Args) -> Result<Value, CallError> {
        let machine = FakeSystem::new().command("df", |command| {
            assert_eq!(command.args.first().map(|arg| arg == "-P"), Some(true));
            Output::success(DF)
        });
        let (registry, minion) = (Registry::builtin(), MinionData::default());
        registry.call(name, &args, &Context::new(&registry, &machine, &minion))
    }

    #[test]
    fn usage_is_listed_by_mount_point_even_with_blanks() {
        let found = called("disk.usage", Args::new()).unwrap();

        let root = found.get("/").unwrap();
        assert_eq!(root.get("1K-blocks"), Some(&"264212084".into()));
        assert_eq!(root.get("capacity"), Some(&"34%".into()));
        let share = found.get("/mnt/a b").unwrap();
        assert_eq!(share.get("filesystem"), Some(&"//server/my share".into()));
        assert_eq!(found.as_map().unwrap().len(), 3);
    }

    #[test]
    fn one_mount_point_can_be_asked_for() {
        assert_eq!(
            called("disk.percent", Args::new().with("/")),
            Ok("34%".into())
        );
        assert_eq!(
            called("disk.percent", Args::new().with("/nope")),
            Ok(Map::new().into())
        );
    }

    #[test]
    fn flags_are_letters() {
        assert_eq!(
            called("disk.usage", Args::new().with("--foo")),
            Err(CallError::execution("Invalid flag passed to disk.usage"))
        );
    }
}
