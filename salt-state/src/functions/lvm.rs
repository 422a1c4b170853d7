//! `lvm.*`: volumes, through the programs of LVM2.

use std::path::Path;

use salt_proto::{Map, Value};

use super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

type Answer = Result<Value, CallError>;

type Entry = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Args, &Context<'_>) -> Answer,
);

const FUNCTIONS: [Entry; 15] = [
    (
        "lvm.version",
        "version()",
        "The release of LVM.",
        |_, context| {
            let all = versions(context.system)?;
            let first = all.values().next().cloned();
            first.ok_or_else(|| CallError::exception("IndexError", "list index out of range"))
        },
    ),
    (
        "lvm.fullversion",
        "fullversion()",
        "The releases of LVM, its library and its driver.",
        |_, context| Ok(versions(context.system)?.into()),
    ),
    (
        "lvm.pvdisplay",
        "pvdisplay(pvname='', real=False, quiet=False)",
        "What is known of physical volumes, by device.",
        |args, context| {
            let name = args.text("pvname")?;
            Ok(physical(context.system, &name, args.is_true("real"))?.into())
        },
    ),
    (
        "lvm.vgdisplay",
        "vgdisplay(vgname='', quiet=False)",
        "What is known of volume groups, by name.",
        |args, context| Ok(groups(context.system, &args.text("vgname")?)?.into()),
    ),
    (
        "lvm.lvdisplay",
        "lvdisplay(lvname='', quiet=False)",
        "What is known of logical volumes, by path.",
        |args, context| Ok(logical(context.system, &args.text("lvname")?)?.into()),
    ),
    (
        "lvm.pvcreate",
        "pvcreate(devices, override=True, force=True, **kwargs)",
        "Makes physical volumes of devices; true, or what went wrong.",
        |args, context| pvcreate(args, context),
    ),
    (
        "lvm.pvremove",
        "pvremove(devices, override=True, force=True)",
        "Makes physical volumes devices again; true, or what went wrong.",
        |args, context| pvremove(args, context),
    ),
    (
        "lvm.pvresize",
        "pvresize(devices, override=True, force=True)",
        "Gives physical volumes the size of their devices; true, or what went wrong.",
        |args, context| pvresize(args, context),
    ),
    (
        "lvm.vgcreate",
        "vgcreate(vgname, devices, force=False, **kwargs)",
        "Makes a volume group; what is known of it, and what the program said if it failed.",
        |args, context| vgcreate(args, context),
    ),
    (
        "lvm.vgextend",
        "vgextend(vgname, devices, force=False)",
        "Puts physical volumes into a volume group; what the program said.",
        |args, context| vgextend(args, context),
    ),
    (
        "lvm.vgremove",
        "vgremove(vgname, force=True)",
        "Removes a volume group; what the program said.",
        |args, context| {
            let name = args.text("vgname")?;
            let command = named(context.system, "vgremove")
                .arg(name.as_str())
                .arg(assent(args, "--yes"));
            let well = format!("Volume group \"{name}\" successfully removed");
            Ok(said(&tool::run(context, &command)?, well).into())
        },
    ),
    (
        "lvm.lvcreate",
        "lvcreate(lvname, vgname, size=None, extents=None, snapshot=None, pv=None, thinvolume=False, thinpool=False, force=False, **kwargs)",
        "Makes a logical volume; what is known of it, and what the program said if it failed.",
        |args, context| lvcreate(args, context),
    ),
    (
        "lvm.lvremove",
        "lvremove(lvname, vgname, force=True)",
        "Removes a logical volume; what the program said.",
        |args, context| {
            let name = args.text("lvname")?;
            let path = format!("{}/{name}", args.text("vgname")?);
            let command = named(context.system, "lvremove")
                .arg(path)
                .arg(assent(args, "--yes"));
            let well = format!("Logical volume \"{name}\" successfully removed");
            Ok(said(&tool::run(context, &command)?, well).into())
        },
    ),
    (
        "lvm.lvextend",
        "lvextend(size=None, lvpath=None, extents=None, force=False, resizefs=False)",
        "Makes a logical volume larger; what the program said.",
        |args, context| resize(args, context, "lvextend", "--yes", "extended"),
    ),
    (
        "lvm.lvresize",
        "lvresize(size=None, lvpath=None, extents=None, force=False, resizefs=False)",
        "Makes a logical volume larger or smaller; what the program said.",
        |args, context| resize(args, context, "lvresize", "--force", "resized"),
    ),
];

pub(super) fn register(registry: &mut Registry) {
    for (name, signature, doc, function) in FUNCTIONS {
        registry.add(name, signature, doc, function);
    }
}

fn named(machine: &dyn Observe, program: &str) -> Command {
    tool::named(machine, program)
}

/// A sentence when a program went well, quiet as it was told to be, else its complaint.
fn said(output: &Output, well: String) -> String {
    if output.is_success() {
        well
    } else {
        output.stderr_text().trim().to_owned()
    }
}

/// The option that lets a program go ahead, or one that keeps it quiet.
fn assent(args: &Args, yes: &'static str) -> &'static str {
    if args.is_true("force") { yes } else { "-qq" }
}

fn versions(machine: &dyn Observe) -> Result<Map, CallError> {
    let text = tool::ask(machine, &named(machine, "lvm").arg("version"))?.stdout_text();
    Ok(text
        .lines()
        .filter_map(|line| line.trim().split_once(':'))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect())
}

const PHYSICAL: [&str; 11] = [
    "Physical Volume Device",
    "Volume Group Name",
    "Physical Volume Size (kB)",
    "Internal Physical Volume Number",
    "Physical Volume Status",
    "Physical Volume (not) Allocatable",
    "Current Logical Volumes Here",
    "Physical Extent Size (kB)",
    "Total Physical Extents",
    "Free Physical Extents",
    "Allocated Physical Extents",
];

const GROUP: [&str; 17] = [
    "Volume Group Name",
    "Volume Group Access",
    "Volume Group Status",
    "Internal Volume Group Number",
    "Maximum Logical Volumes",
    "Current Logical Volumes",
    "Open Logical Volumes",
    "Maximum Logical Volume Size",
    "Maximum Physical Volumes",
    "Current Physical Volumes",
    "Actual Physical Volumes",
    "Volume Group Size (kB)",
    "Physical Extent Size (kB)",
    "Total Physical Extents",
    "Allocated Physical Extents",
    "Free Physical Extents",
    "UUID",
];

const LOGICAL: [&str; 13] = [
    "Logical Volume Name",
    "Volume Group Name",
    "Logical Volume Access",
    "Logical Volume Status",
    "Internal Logical Volume Number",
    "Open Logical Volumes",
    "Logical Volume Size",
    "Current Logical Extents Associated",
    "Allocated Logical Extents",
    "Allocation Policy",
    "Read Ahead Sectors",
    "Major Device Number",
    "Minor Device Number",
];

/// The lines of `… -c`, by their first field; nothing when the program failed.
fn display(
    machine: &dyn Observe,
    program: &str,
    name: &str,
    fields: &[&str],
) -> Result<Vec<(String, Map)>, CallError> {
    let mut command = named(machine, program).arg("-c");
    if !name.is_empty() {
        command = command.arg(name);
    }
    let output = tool::ask(machine, &command)?;
    if !output.is_success() {
        return Ok(Vec::new());
    }
    let text = output.stdout_text();
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .filter_map(|line| {
            let values: Vec<&str> = line.split(':').collect();
            let first = (*values.first()?).to_owned();
            let map = fields
                .iter()
                .copied()
                .zip(values.iter().copied())
                .collect::<Map>();
            (map.len() == fields.len()).then_some((first, map))
        })
        .collect())
}

fn collected(lines: Vec<(String, Map)>) -> Map {
    lines.into_iter().collect()
}

/// What a path leads to, links followed; itself where there is nothing.
fn real(machine: &dyn Observe, path: &str) -> String {
    machine
        .canonicalize(Path::new(path))
        .map_or_else(|_| path.to_owned(), |path| path.display().to_string())
}

/// What is known of physical volumes, by device; with `follow` by what the device is.
pub(crate) fn physical(machine: &dyn Observe, name: &str, follow: bool) -> Result<Map, CallError> {
    let mut all = Map::new();
    for (device, mut map) in display(machine, "pvdisplay", name, &PHYSICAL)? {
        if follow {
            let real = real(machine, &device);
            map.insert("Real Physical Volume Device", real.as_str());
            all.insert(real, map);
        } else {
            all.insert(device, map);
        }
    }
    Ok(all)
}

/// The volume group of a physical volume and what the device is, when it is one.
pub(crate) fn group_of(machine: &dyn Observe, device: &str) -> Result<Option<String>, CallError> {
    let all = physical(machine, device, true)?;
    let map = all.get(&real(machine, device)).and_then(Value::as_map);
    Ok(map
        .and_then(|map| map.str("Volume Group Name"))
        .map(str::to_owned))
}

/// The device that a path means for LVM.
pub(crate) fn device(machine: &dyn Observe, path: &str) -> String {
    real(machine, path)
}

/// Whether a device is a physical volume, under the name it is given.
pub(crate) fn is_physical(machine: &dyn Observe, device: &str) -> Result<bool, CallError> {
    Ok(!physical(machine, device, false)?.is_empty())
}

/// What is known of volume groups, by name.
pub(crate) fn groups(machine: &dyn Observe, name: &str) -> Result<Map, CallError> {
    display(machine, "vgdisplay", name, &GROUP).map(collected)
}

/// What is known of logical volumes, by path.
pub(crate) fn logical(machine: &dyn Observe, name: &str) -> Result<Map, CallError> {
    display(machine, "lvdisplay", name, &LOGICAL).map(collected)
}

/// Devices, stated as a list or as text with commas.
pub(crate) fn devices(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        None | Some(Value::Null) => Vec::new(),
        Some(one) => python::str(one).split(',').map(str::to_owned).collect(),
    }
}

/// Whether nothing was stated.
fn is_empty(value: Option<&Value>) -> bool {
    !value.is_some_and(Value::is_true)
}

/// What the caller states beside the parameters, without what the runtime adds.
fn options(args: &Args) -> impl Iterator<Item = (&str, &Value)> {
    args.keywords()
        .iter()
        .filter_map(|(key, value)| Some((key.as_str()?, value)))
        .filter(|(key, _)| !key.starts_with("__"))
}

/// Those of the options that a program knows, as it takes them.
fn passed(args: &Args, known: &[&str], mut command: Command) -> Command {
    for (key, value) in options(args) {
        if known.contains(&key) {
            command = command.arg(format!("--{key}")).arg(python::str(value));
        }
    }
    command
}

const FOR_PV: [&str; 10] = [
    "restorefile",
    "dataalignmentoffset",
    "dataalignment",
    "pvmetadatacopies",
    "metadatacopies",
    "metadatasize",
    "metadataignore",
    "norestorefile",
    "labelsector",
    "setphysicalvolumesize",
];

fn pvcreate(args: &Args, context: &Context<'_>) -> Answer {
    let machine = context.system;
    let stated = args.get("devices");
    if is_empty(stated) {
        return Ok("Error: at least one device is required".into());
    }
    let all = devices(stated);
    let mut todo = Vec::new();
    for device in &all {
        if !machine.exists(Path::new(device)) {
            return Ok(format!("{device} does not exist").into());
        }
        if !is_physical(machine, device)? {
            todo.push(device.as_str());
        } else if !args.is_true("override") {
            return Ok(format!("Device \"{device}\" is already an LVM physical volume.").into());
        }
    }
    if todo.is_empty() {
        return Ok(true.into());
    }
    let command = named(machine, "pvcreate")
        .arg(assent(args, "--yes"))
        .args(todo);
    let output = tool::run(context, &passed(args, &FOR_PV, command))?;
    if !output.is_success() {
        return Ok(output.stderr_text().trim_end().into());
    }
    for device in &all {
        if !is_physical(machine, device)? {
            return Ok(format!("Device \"{device}\" was not affected.").into());
        }
    }
    Ok(true.into())
}

fn pvremove(args: &Args, context: &Context<'_>) -> Answer {
    let machine = context.system;
    let all = devices(args.get("devices"));
    let mut todo = Vec::new();
    for device in &all {
        if is_physical(machine, device)? {
            todo.push(device.as_str());
        } else if !args.is_true("override") {
            return Ok(format!("{device} is not a physical volume").into());
        }
    }
    if todo.is_empty() {
        return Ok(true.into());
    }
    let command = named(machine, "pvremove")
        .arg(assent(args, "--yes"))
        .args(todo);
    let output = tool::run(context, &command)?;
    if !output.is_success() {
        return Ok(output.stderr_text().trim_end().into());
    }
    for device in &all {
        if is_physical(machine, device)? {
            return Ok(format!("Device \"{device}\" was not affected.").into());
        }
    }
    Ok(true.into())
}

fn pvresize(args: &Args, context: &Context<'_>) -> Answer {
    let machine = context.system;
    let mut todo = Vec::new();
    for device in devices(args.get("devices")) {
        if is_physical(machine, &device)? {
            todo.push(device);
        } else if !args.is_true("override") {
            return Ok(format!("{device} is not a physical volume").into());
        }
    }
    if todo.is_empty() {
        return Ok(true.into());
    }
    let command = named(machine, "pvresize")
        .arg(assent(args, "--yes"))
        .args(todo);
    let output = tool::run(context, &command)?;
    Ok(if output.is_success() {
        true.into()
    } else {
        output.stderr_text().trim_end().into()
    })
}

const FOR_VG: [&str; 8] = [
    "addtag",
    "alloc",
    "clustered",
    "maxlogicalvolumes",
    "maxphysicalvolumes",
    "metadatacopies",
    "vgmetadatacopies",
    "physicalextentsize",
];

/// What is known of something new, and what the program came to.
fn made(known: Map, program: &str, text: String) -> Value {
    let mut all = known;
    all.insert(format!("Output from {program}"), text);
    all.into()
}

fn vgcreate(args: &Args, context: &Context<'_>) -> Answer {
    let (name, stated) = (args.text("vgname")?, args.get("devices"));
    if name.is_empty() || is_empty(stated) {
        return Ok("Error: vgname and device(s) are both required".into());
    }
    let command = named(context.system, "vgcreate")
        .arg(name.as_str())
        .args(devices(stated))
        .arg(assent(args, "--yes"));
    let output = tool::run(context, &passed(args, &FOR_VG, command))?;
    let text = said(
        &output,
        format!("Volume group \"{name}\" successfully created"),
    );
    Ok(made(groups(context.system, &name)?, "vgcreate", text))
}

fn vgextend(args: &Args, context: &Context<'_>) -> Answer {
    let (name, stated) = (args.text("vgname")?, args.get("devices"));
    if name.is_empty() || is_empty(stated) {
        return Ok("Error: vgname and device(s) are both required".into());
    }
    let command = named(context.system, "vgextend")
        .arg(name.as_str())
        .arg(assent(args, "--yes"))
        .args(devices(stated));
    let output = tool::run(context, &command)?;
    let text = said(
        &output,
        format!("Volume group \"{name}\" successfully extended"),
    );
    Ok(made(Map::new(), "vgextend", text))
}

/// What `lvcreate` takes with a value.
const FOR_LV: [&str; 16] = [
    "activate",
    "chunksize",
    "contiguous",
    "discards",
    "stripes",
    "stripesize",
    "minor",
    "persistent",
    "mirrors",
    "monitor",
    "permission",
    "poolmetadatasize",
    "readahead",
    "regionsize",
    "type",
    "zero",
];

/// What it takes without one.
const FLAGS: [&str; 3] = ["nosync", "noudevsync", "ignoremonitoring"];

fn lvcreate(args: &Args, context: &Context<'_>) -> Answer {
    let (name, group) = (args.text("lvname")?, args.text("vgname")?);
    let size = args.given("size").filter(|size| size.is_true());
    let extents = args.given("extents").filter(|extents| extents.is_true());
    let (thin, pool) = (args.is_true("thinvolume"), args.is_true("thinpool"));
    let text: &str = match (size, extents) {
        (Some(_), Some(_)) => "Error: Please specify only one of size or extents",
        _ if thin && pool => "Error: Please set only one of thinvolume or thinpool to True",
        (None, None) => "Error: Either size or extents must be specified",
        _ => "",
    };
    if !text.is_empty() {
        return Ok(text.into());
    }
    let mut command = named(context.system, "lvcreate");
    command = if thin {
        command.args(["--thin", "-n", &name])
    } else if pool {
        command.args(["--thinpool", &name])
    } else {
        command.args(["-n", &name])
    };
    command = match args.given("snapshot").filter(|of| of.is_true()) {
        Some(of) => command.args(["-s", &format!("{group}/{}", python::str(of))]),
        None => command.arg(group.as_str()),
    };
    if let Some(size) = size {
        let option = if thin { "-V" } else { "-L" };
        command = command.arg(option).arg(python::str(size));
    } else if let Some(extents) = extents {
        command = command.arg("-l").arg(python::str(extents));
    }
    if let Some(pv) = args.given("pv").filter(|pv| pv.is_true()) {
        command = command.arg(python::str(pv));
    }
    for (key, value) in options(args) {
        if FLAGS.contains(&key) {
            command = command.arg(format!("--{key}"));
        } else if FOR_LV.contains(&key) {
            command = command.arg(format!("--{key}")).arg(python::str(value));
        }
    }
    let output = tool::run(context, &command.arg(assent(args, "--yes")))?;
    let known = logical(context.system, &format!("/dev/{group}/{name}"))?;
    let text = said(&output, format!("Logical volume \"{name}\" created."));
    Ok(made(known, "lvcreate", text))
}

fn resize(
    args: &Args,
    context: &Context<'_>,
    program: &str,
    yes: &'static str,
    word: &str,
) -> Answer {
    let size = args.given("size").filter(|size| size.is_true());
    let extents = args.given("extents").filter(|extents| extents.is_true());
    let mut command = named(context.system, program).arg(assent(args, yes));
    if args.is_true("resizefs") {
        command = command.arg("--resizefs");
    }
    command = match (size, extents) {
        (Some(size), None) => command.arg("-L").arg(python::str(size)),
        (None, Some(extents)) => command.arg("-l").arg(python::str(extents)),
        _ => return Ok(Map::new().into()),
    };
    let path = args.text("lvpath")?;
    let output = tool::run(context, &command.arg(path.as_str()))?;
    let text = said(
        &output,
        format!("Logical volume \"{path}\" successfully {word}."),
    );
    Ok(made(Map::new(), program, text))
}
