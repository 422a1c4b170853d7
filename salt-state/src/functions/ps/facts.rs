//! All that is known of one process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use salt_proto::{Map, Value};

use super::process::Process;
use super::usage::{self, kibibytes};
use super::{Answer, numbers, percent, seconds, signals, text};
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::CallError;
use crate::system::{Command, FileKind};

pub(super) const CPU: [&str; 5] = [
    "user",
    "system",
    "children_user",
    "children_system",
    "iowait",
];

pub(super) const MEMORY: [&str; 7] = ["rss", "vms", "shared", "text", "lib", "data", "dirty"];

/// An attribute of a process; `None` is what cannot be told.
type Attribute = fn(&Process<'_>) -> Option<Value>;

const ATTRIBUTES: [(&str, Attribute); 30] = [
    ("cmdline", |one| {
        (!one.is_zombie()).then(|| one.words().into_iter().collect())
    }),
    ("cpu_affinity", |one| {
        let allowed = one.stated("Cpus_allowed_list")?;
        Some(ranges(&allowed).into_iter().collect())
    }),
    ("cpu_num", |one| Some(one.number(39).into())),
    // Of a process that was not watched before.
    ("cpu_percent", |_| Some(0.0.into())),
    ("cpu_times", |one| {
        Some(one.cpu_ticks().into_iter().map(seconds).collect())
    }),
    ("create_time", |one| {
        Some(one.create_time(usage::boot_time(one.machine)).into())
    }),
    ("cwd", |one| link(one, "cwd")),
    ("environ", environ),
    ("exe", |one| link(one, "exe")),
    ("gids", |one| Some(one.owners("Gid").into_iter().collect())),
    ("io_counters", |one| {
        let table = one.file("io");
        let of = |key: &str| {
            let line = table.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                (name == key).then(|| value.trim().parse::<u64>().ok())?
            });
            line.map(Value::from)
        };
        let names = [
            "syscr",
            "syscw",
            "read_bytes",
            "write_bytes",
            "rchar",
            "wchar",
        ];
        let all: Option<Vec<Value>> = names.into_iter().map(of).collect();
        all.map(Value::List)
    }),
    ("ionice", |one| Some(ionice(one))),
    ("memory_full_info", |one| {
        let mut all: Vec<u64> = one.memory().to_vec();
        let table = match one.machine.text(&one.place("smaps_rollup")) {
            Ok(table) => table.unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
            Err(_) => String::new(),
        };
        let own = ["Private_Clean", "Private_Dirty", "Private_Hugetlb"];
        all.push(own.into_iter().map(|key| kibibytes(&table, key)).sum());
        all.push(kibibytes(&table, "Pss"));
        all.push(kibibytes(&table, "Swap"));
        Some(all.into_iter().collect())
    }),
    ("memory_info", |one| {
        Some(one.memory().into_iter().collect())
    }),
    ("memory_maps", memory_maps),
    ("memory_percent", |one| {
        let [resident, ..] = one.memory();
        Some(percent(resident, usage::memory(one.machine, "MemTotal")).into())
    }),
    ("name", |one| Some(one.name().into())),
    ("net_connections", connections),
    ("nice", |one| {
        Some(one.field(19).parse::<i64>().unwrap_or(0).into())
    }),
    ("num_ctx_switches", |one| {
        let names = ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"];
        let all: Option<Vec<Value>> = names
            .into_iter()
            .map(|name| Some(one.stated(name)?.parse::<u64>().ok()?.into()))
            .collect();
        all.map(Value::List)
    }),
    ("num_fds", |one| Some(one.descriptors().len().into())),
    ("num_threads", |one| {
        Some(one.stated("Threads")?.parse::<u64>().ok()?.into())
    }),
    ("open_files", open_files),
    ("pid", |one| Some(one.pid.into())),
    ("ppid", |one| Some(one.number(4).into())),
    ("status", |one| Some(one.status().into())),
    ("terminal", terminal),
    ("threads", |one| Some(threads(one))),
    ("uids", |one| Some(one.owners("Uid").into_iter().collect())),
    ("username", |one| Some(one.username().into())),
];

pub(super) fn proc_info(args: &Args, context: &Context<'_>) -> Answer {
    let one = signals::of_argument(args, context)?;
    let wanted = args.given("attrs");
    let names: Vec<String> = match wanted {
        None => Vec::new(),
        Some(Value::List(names)) => names.iter().map(python::str).collect(),
        Some(other) => {
            let kind = other.type_name();
            return Err(CallError::exception(
                "TypeError",
                format!("invalid attrs type <class '{kind}'>"),
            ));
        }
    };
    let Some(one) = one else {
        let pid = args.text("pid")?;
        let text = format!("process PID not found (pid={pid})");
        return Err(CallError::execution(text));
    };
    let unknown: Vec<String> = names
        .iter()
        .filter(|name| ATTRIBUTES.iter().all(|(known, _)| known != name))
        .map(|name| python::repr_str(name))
        .collect();
    if !unknown.is_empty() {
        let plural = if unknown.len() > 1 { "s" } else { "" };
        let text = format!("invalid attr name{plural} {}", unknown.join(", "));
        return Err(CallError::exception("ValueError", text));
    }
    let found: Map = ATTRIBUTES
        .into_iter()
        .filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name))
        .map(|(name, attribute)| (name, attribute(&one).unwrap_or_default()))
        .collect();
    Ok(found.into())
}

/// The numbers of a list like `0-3,8`.
fn ranges(list: &str) -> Vec<u64> {
    const MOST: u64 = 1 << 16;
    let bounds = list.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((
            first.trim().parse::<u64>().ok()?,
            last.trim().parse::<u64>().ok()?,
        ))
    });
    bounds
        .flat_map(|(first, last)| first..=last.min(MOST))
        .collect()
}

/// Where a link of a process leads. The kernel's own have none; that is no failure.
fn link(one: &Process<'_>, name: &str) -> Option<Value> {
    match one.machine.read_link(&one.place(name)) {
        Ok(found) => Some(found.display().to_string().into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            (!one.is_zombie()).then(|| "".into())
        }
        Err(_) => None,
    }
}

fn environ(one: &Process<'_>) -> Option<Value> {
    if one.is_zombie() {
        return None;
    }
    let bytes = one.machine.read(&one.place("environ")).ok().flatten()?;
    let table = String::from_utf8_lossy(&bytes);
    let pairs = table.split('\0').filter_map(|line| line.split_once('='));
    Some(pairs.collect::<Map>().into())
}

/// What ionice(1) says: class and level.
fn ionice(one: &Process<'_>) -> Value {
    let ask = Command::new("ionice").arg("-p").arg(one.pid.to_string());
    let said = one.machine.query(&ask).ok();
    let said = said.map(|output| output.stdout_text()).unwrap_or_default();
    let said = said.trim();
    let (class, rest) = said.split_once(':').unwrap_or((said, ""));
    let class: u64 = match class {
        "realtime" => 1,
        "best-effort" => 2,
        "idle" => 3,
        _ => 0,
    };
    let level = rest.trim().strip_prefix("prio").map(str::trim);
    let level: u64 = level.and_then(|level| level.parse().ok()).unwrap_or(0);
    [class, if class == 0 { 0 } else { level }]
        .into_iter()
        .collect()
}

/// The memory of each file, those parts together that have one name.
fn memory_maps(one: &Process<'_>) -> Option<Value> {
    const KEYS: [&str; 10] = [
        "Rss",
        "Size",
        "Pss",
        "Shared_Clean",
        "Shared_Dirty",
        "Private_Clean",
        "Private_Dirty",
        "Referenced",
        "Anonymous",
        "Swap",
    ];
    if one.is_zombie() {
        return None;
    }
    let table = one.machine.text(&one.place("smaps")).ok().flatten()?;
    let mut all: Vec<(String, [u64; 10])> = Vec::new();
    let mut current = None;
    for line in table.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if !first.ends_with(':') {
            // Addresses, rights, offset, device, inode, and the path, which may have blanks.
            let path = line.splitn(6, ' ').nth(5).map_or("", str::trim);
            let path = if path.is_empty() { "[anon]" } else { path };
            let at = all.iter().position(|(known, _)| known == path);
            current = Some(at.unwrap_or_else(|| {
                all.push((path.to_owned(), [0; 10]));
                all.len() - 1
            }));
            continue;
        }
        let key = first.trim_end_matches(':');
        let Some(at) = KEYS.iter().position(|known| *known == key) else {
            continue;
        };
        let value = numbers(line).get(1).copied().unwrap_or(0);
        let row = current.and_then(|current| all.get_mut(current));
        if let Some(sum) = row.and_then(|(_, row)| row.get_mut(at)) {
            *sum = sum.saturating_add(value.saturating_mul(1024));
        }
    }
    let rows = all.into_iter().map(|(path, row)| {
        std::iter::once(Value::from(path))
            .chain(row.into_iter().map(Value::from))
            .collect::<Value>()
    });
    Some(rows.collect())
}

/// The TCP and UDP sockets: number, family, kind, both ends and the state.
fn connections(one: &Process<'_>) -> Option<Value> {
    const STATES: [&str; 12] = [
        "NONE",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
    ];
    let sockets: Vec<(u32, String)> = one
        .open()?
        .into_iter()
        .filter_map(|(number, target)| {
            let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some((number, inode.to_owned()))
        })
        .collect();
    let mut all: Vec<Value> = Vec::new();
    for (table, family, kind) in [
        ("tcp", 2, 1),
        ("tcp6", 10, 1),
        ("udp", 2, 2),
        ("udp6", 10, 2),
    ] {
        for line in text(one.machine, format!("/proc/net/{table}"))
            .lines()
            .skip(1)
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, local, remote, state, _, _, _, _, _, inode, ..] = *words else {
                continue;
            };
            let holder = sockets.iter().find(|(_, known)| known == inode);
            let Some((number, _)) = holder else { continue };
            let state = u8::from_str_radix(state, 16).unwrap_or(0);
            let state = if kind == 2 {
                "NONE"
            } else {
                STATES.get(usize::from(state)).unwrap_or(&"NONE")
            };
            let row: [Value; 6] = [
                (*number).into(),
                family.into(),
                kind.into(),
                end(local),
                end(remote),
                state.into(),
            ];
            all.push(row.into_iter().collect());
        }
    }
    Some(Value::List(all))
}

/// One end of a connection as the kernel writes it: words of memory in its own byte
/// order, and a port. Nothing when there is no port.
pub(crate) fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some((address, port))
}

fn end(text: &str) -> Value {
    match endpoint(text) {
        Some((address, port)) if port != 0 => [Value::from(address.to_string()), port.into()]
            .into_iter()
            .collect(),
        _ => Value::List(Vec::new()),
    }
}

/// The regular files it has open: path, number, position, how, and the flags.
fn open_files(one: &Process<'_>) -> Option<Value> {
    let mut all = Vec::new();
    for (number, path) in one.open()? {
        let place = Path::new(&path);
        let is_file =
            matches!(one.machine.metadata(place), Ok(Some(found)) if found.kind == FileKind::File);
        if !place.is_absolute() || !is_file {
            continue;
        }
        let table = one.file(&format!("fdinfo/{number}"));
        let of = |key: &str| {
            table.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                (name == key).then(|| value.trim().to_owned())
            })
        };
        let position: u64 = of("pos").and_then(|text| text.parse().ok()).unwrap_or(0);
        let flags = of("flags").and_then(|text| u64::from_str_radix(&text, 8).ok());
        let flags = flags.unwrap_or(0);
        let appends = flags & 0o2000 != 0;
        let how = match (flags & 0o3, appends) {
            (0, _) => "r",
            (1, true) => "a",
            (1, false) => "w",
            (_, true) => "a+",
            (_, false) => "r+",
        };
        let row: [Value; 5] = [
            path.into(),
            number.into(),
            position.into(),
            how.into(),
            flags.into(),
        ];
        all.push(row.into_iter().collect());
    }
    Some(Value::List(all))
}

/// The device of its terminal, by the numbers of the device.
fn terminal(one: &Process<'_>) -> Option<Value> {
    let number = one.number(7);
    if number == 0 {
        return None;
    }
    let major = u32::try_from((number >> 8) & 0xfff).ok()?;
    let minor = u32::try_from((number & 0xff) | ((number >> 12) & 0xfff00)).ok()?;
    for directory in ["/dev", "/dev/pts"] {
        let directory = Path::new(directory);
        for name in one.machine.list(directory).unwrap_or_default() {
            let path = directory.join(&name);
            if directory == Path::new("/dev") && !name.to_string_lossy().starts_with("tty") {
                continue;
            }
            let found = one.machine.metadata(&path).ok().flatten();
            if found.is_some_and(|found| {
                found.kind == FileKind::CharDevice && found.node == (major, minor)
            }) {
                return Some(path.display().to_string().into());
            }
        }
    }
    None
}

/// Its threads: id and the seconds in their own code and the kernel's.
fn threads(one: &Process<'_>) -> Value {
    let names = one.machine.list(&one.place("task")).unwrap_or_default();
    let mut ids: Vec<u32> = names
        .iter()
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    ids.sort_unstable();
    ids.into_iter()
        .filter_map(|id| {
            let line = one.file(&format!("task/{id}/stat"));
            let fields = numbers(line.rsplit_once(')')?.1);
            let time = |at: usize| Value::from(seconds(fields.get(at).copied().unwrap_or(0)));
            Some(
                [Value::from(id), time(11), time(12)]
                    .into_iter()
                    .collect::<Value>(),
            )
        })
        .collect()
}
