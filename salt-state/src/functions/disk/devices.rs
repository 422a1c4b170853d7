//! `disk.blkid`, `disk.format` and the others that are about block devices.

use salt_proto::{Map, Value};

use super::super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "disk.blkid",
        "blkid(device=None, token=None)",
        "What is on block devices, by device.",
        blkid,
    );
    add(
        "disk.fstype",
        "fstype(device)",
        "The kind of file system on a device; empty when it has none.",
        |args, context| Ok(fstype(context.system, &args.text("device")?)?.into()),
    );
    add(
        "disk.dump",
        "dump(device, args=None)",
        "What blockdev knows of a device; false when it cannot say.",
        |args, context| {
            let Some(all) = dump(context.system, &args.text("device")?)? else {
                return Ok(false.into());
            };
            match args.get("args") {
                Some(wanted) if wanted.is_true() => chosen(&all, wanted),
                _ => Ok(all.into()),
            }
        },
    );
    add(
        "disk.tune",
        "tune(device, **kwargs)",
        "Sets how a device is read and whether it can be written.",
        tune,
    );
    add(
        "disk.wipe",
        "wipe(device)",
        "Removes the signatures of what is on a device.",
        |args, context| {
            let command = tool::named(context.system, "wipefs")
                .arg("-a")
                .arg(args.text("device")?);
            Ok(tool::run(context, &command)?.is_success().into())
        },
    );
    add(
        "disk.resize2fs",
        "resize2fs(device)",
        "Gives an ext file system the size of its device; nothing when that failed.",
        |args, context| {
            let command = tool::named(context.system, "resize2fs").arg(args.text("device")?);
            let well = tool::run(context, &command)?.is_success();
            Ok(if well { true.into() } else { Value::Null })
        },
    );
    add(
        "disk.format",
        "format(device, fs_type='ext4', inode_size=None, lazy_itable_init=None, fat=None, force=False)",
        "Makes a file system on a device.",
        format,
    );
    add(
        "disk.hpa",
        "hpa(disks, size=None)",
        "How much of a disk can be seen, in sectors.",
        hpa,
    );
    add(
        "disk.smart_attributes",
        "smart_attributes(dev, attributes=None, values=None)",
        "The attributes by which a disk says how it does.",
        smart,
    );
}

/// `KEY="value"`, one after the other.
fn pairs(text: &str) -> Map {
    let mut map = Map::new();
    let mut rest = text.trim();
    while let Some((key, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else {
            break;
        };
        map.insert(key.trim(), value);
        rest = after;
    }
    map
}

fn blkid(args: &Args, context: &Context<'_>) -> Answer {
    let mut command = tool::named(context.system, "blkid");
    if let Some(device) = args.given("device").filter(|device| device.is_true()) {
        command = command.arg(python::str(device));
    } else if let Some(token) = args.given("token").filter(|token| token.is_true()) {
        command = command.arg("-t").arg(python::str(token));
    }
    let output = tool::ask(context.system, &command)?;
    if !output.is_success() {
        return Ok(Map::new().into());
    }
    let text = output.stdout_text();
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    Ok(lines
        .map(|(device, rest)| (device.to_owned(), pairs(rest)))
        .collect::<Map>()
        .into())
}

/// The kind of file system on a device, which `df` says where `lsblk` does not.
fn fstype(machine: &dyn Observe, device: &str) -> Result<String, CallError> {
    let lsblk = tool::named(machine, "lsblk").args(["-o", "fstype", device]);
    let df = tool::named(machine, "df").args(["-T", device]);
    for (program, command) in [("lsblk", lsblk), ("df", df)] {
        if machine.which(program).is_none() {
            continue;
        }
        let output = tool::ask(machine, &command)?;
        let text = output.stdout_text();
        let Some(line) = text.lines().nth(1).filter(|_| output.is_success()) else {
            continue;
        };
        let word = match program {
            "lsblk" => line.trim(),
            _ => line.split_whitespace().nth(1).unwrap_or_default(),
        };
        if !word.is_empty() {
            return Ok(word.to_owned());
        }
    }
    Ok(String::new())
}

/// What blockdev is asked for, in the order of its answers.
const QUESTIONS: [&str; 12] = [
    "getro",
    "getsz",
    "getss",
    "getpbsz",
    "getiomin",
    "getioopt",
    "getalignoff",
    "getmaxsect",
    "getsize",
    "getsize64",
    "getra",
    "getfra",
];

/// What blockdev knows of a device; nothing when it cannot say.
pub(crate) fn dump(machine: &dyn Observe, device: &str) -> Result<Option<Map>, CallError> {
    let options = QUESTIONS.map(|question| format!("--{question}"));
    let command = tool::named(machine, "blockdev").args(options).arg(device);
    let output = tool::ask(machine, &command)?;
    if !output.is_success() {
        return Ok(None);
    }
    let text = output.stdout_text();
    Ok(Some(QUESTIONS.into_iter().zip(text.lines()).collect()))
}

/// The answers to some of the questions.
fn chosen(all: &Map, wanted: &Value) -> Answer {
    let keys: Vec<String> = match wanted {
        Value::List(items) => items.iter().map(python::str).collect(),
        one => python::str(one).chars().map(String::from).collect(),
    };
    let mut map = Map::new();
    for key in keys {
        let value = all
            .get(&key)
            .ok_or_else(|| CallError::exception("KeyError", python::repr_str(&key)))?;
        map.insert(key, value.clone());
    }
    Ok(map.into())
}

/// What can be set, how blockdev is told, and what it then answers for.
pub(crate) const SETTINGS: [(&str, &str, &str); 4] = [
    ("read-ahead", "--setra", "getra"),
    ("filesystem-read-ahead", "--setfra", "getfra"),
    ("read-only", "--setro", "getro"),
    ("read-write", "--setrw", "getro"),
];

fn tune(args: &Args, context: &Context<'_>) -> Answer {
    let device = args.text("device")?;
    let mut command = tool::named(context.system, "blockdev");
    let mut asked = Vec::new();
    for (key, value) in &args.clean_keywords() {
        let name = python::str(key);
        let known = SETTINGS.iter().find(|(known, ..)| *known == name);
        let switch = matches!(name.as_str(), "read-only" | "read-write");
        let Some((_, option, answer)) = known.filter(|_| !switch || value.is_true()) else {
            return Err(CallError::invocation(format!(
                "Invalid keyword arguments: {name}={}",
                python::str(value)
            )));
        };
        command = command.arg(*option);
        if !switch {
            command = command.arg(python::str(value));
        }
        asked.push(*answer);
    }
    let output = tool::run(context, &command.arg(device.as_str()))?;
    if !output.is_success() {
        return Err(CallError::execution(tool::said(&output)));
    }
    let Some(all) = dump(context.system, &device)? else {
        return Ok(false.into());
    };
    if asked.is_empty() {
        return Ok(all.into());
    }
    chosen(&all, &asked.into_iter().collect())
}

fn format(args: &Args, context: &Context<'_>) -> Answer {
    let machine = context.system;
    let kind = args.text("fs_type")?;
    let mut command = tool::named(machine, "mkfs").arg("-t").arg(kind.as_str());
    let is_ext = kind.starts_with("ext");
    let is_fat = kind.ends_with("fat");
    let stated = |key: &str| args.given(key).map(python::str);
    if let Some(size) = stated("inode_size") {
        if is_ext {
            command = command.arg("-i").arg(size);
        } else if kind == "xfs" {
            command = command.arg("-i").arg(format!("size={size}"));
        }
    }
    if let Some(lazy) = stated("lazy_itable_init").filter(|_| is_ext) {
        command = command.arg("-E").arg(format!("lazy_itable_init={lazy}"));
    }
    if let Some(fat) = args.given("fat").filter(|fat| is_fat && fat.is_true()) {
        command = command.arg("-F").arg(python::str(fat));
    }
    if args.is_true("force") {
        if is_ext {
            command = command.arg("-F");
        } else if kind == "xfs" {
            command = command.arg("-f");
        }
    }
    let made = tool::run(context, &command.arg(args.text("device")?))?;
    let synced = tool::run(context, &tool::named(machine, "sync"))?;
    Ok((made.is_success() && synced.is_success()).into())
}

fn hpa(args: &Args, context: &Context<'_>) -> Answer {
    if args.given("size").is_some_and(Value::is_true) {
        return Err(CallError::execution(
            "setting the size of a disk that can be seen is not done here",
        ));
    }
    let mut all = Map::new();
    for disk in args.words("disks") {
        let command = tool::named(context.system, "hdparm").arg("-N").arg(&disk);
        let text = tool::ask(context.system, &command)?.stdout_text();
        let numbers = text.lines().find_map(|line| {
            let (_, rest) = line.split_once('=')?;
            let (visible, rest) = rest.trim().split_once('/')?;
            let total: i64 = rest.split(',').next()?.trim().parse().ok()?;
            Some((visible.trim().parse::<i64>().ok()?, total))
        });
        if let Some((visible, total)) = numbers {
            let map = Map::from([
                ("total", total),
                ("visible", visible),
                ("hidden", total - visible),
            ]);
            all.insert(disk, map);
        }
    }
    Ok(all.into())
}

/// The columns of `smartctl --attributes` behind the number.
const COLUMNS: [&str; 9] = [
    "attribute_name",
    "flag",
    "value",
    "worst",
    "thresh",
    "type",
    "updated",
    "when_failed",
    "raw_value",
];

fn smart(args: &Args, context: &Context<'_>) -> Answer {
    let list = |key: &str| match args.get(key) {
        Some(Value::List(items)) if !items.is_empty() => Some(items.clone()),
        _ => None,
    };
    let (wanted, columns) = (list("attributes"), list("values"));
    let device = args.text("dev")?;
    let device = if device.starts_with("/dev/") {
        device
    } else {
        format!("/dev/{device}")
    };
    let command = tool::named(context.system, "smartctl").args(["--attributes", &device]);
    let text = tool::ask(context.system, &command)?.stdout_text();
    let lines = text
        .lines()
        .skip_while(|line| !line.starts_with("ID#"))
        .skip(1)
        .take_while(|line| !line.trim().is_empty());
    let mut all = Map::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let Some(id) = words.next().and_then(|id| id.parse::<i64>().ok()) else {
            continue;
        };
        if wanted
            .as_ref()
            .is_some_and(|ids| !ids.contains(&Value::Int(id)))
        {
            continue;
        }
        let mut map = Map::new();
        for (column, word) in COLUMNS.into_iter().zip(words) {
            if columns
                .as_ref()
                .is_some_and(|columns| !columns.iter().any(|known| known.as_str() == Some(column)))
            {
                continue;
            }
            let number = word.parse::<i64>().ok();
            map.insert(column, number.map_or_else(|| word.into(), Value::Int));
        }
        all.insert(Value::Int(id), map);
    }
    Ok(all.into())
}
