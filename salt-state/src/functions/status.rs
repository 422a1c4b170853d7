//! `status.*`: load, memory, time and processes.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::fnmatch;
use crate::jinja::DateTime;
use crate::jinja::date::strftime;
use crate::registry::{CallError, Registry};
use crate::system::Observe;
use crate::zone::Zone;

mod overview;

pub(super) fn register(registry: &mut Registry) {
    overview::register(registry);
    registry.add(
        "status.uptime",
        "uptime()",
        "For how long the machine runs, since when, and how many users are on it.",
        |_, context| uptime(context.system),
    );
    registry.add(
        "status.loadavg",
        "loadavg()",
        "The load averages of the last 1, 5 and 15 minutes.",
        |_, context| loadavg(context.system),
    );
    registry.add(
        "status.meminfo",
        "meminfo()",
        "What the kernel says of memory: values and units by name.",
        |_, context| Ok(meminfo(&text(context.system, "/proc/meminfo")).into()),
    );
    registry.add(
        "status.cpuinfo",
        "cpuinfo()",
        "What the kernel says of the last processor.",
        |_, context| Ok(cpuinfo(&text(context.system, "/proc/cpuinfo")).into()),
    );
    registry.add(
        "status.cpustats",
        "cpustats()",
        "The processors' time and interrupts since the start.",
        |_, context| Ok(cpustats(&text(context.system, "/proc/stat")).into()),
    );
    registry.add(
        "status.diskstats",
        "diskstats()",
        "Reads and writes of each block device.",
        |_, context| Ok(diskstats(&text(context.system, "/proc/diskstats")).into()),
    );
    registry.add(
        "status.netdev",
        "netdev()",
        "Bytes, packets and errors of each network interface.",
        |_, context| Ok(netdev(&text(context.system, "/proc/net/dev")).into()),
    );
    registry.add(
        "status.vmstats",
        "vmstats()",
        "The counters of the kernel's memory management.",
        |_, context| Ok(vmstats(&text(context.system, "/proc/vmstat")).into()),
    );
    registry.add(
        "status.nproc",
        "nproc()",
        "How many processors there are.",
        |_, context| {
            let count = text(context.system, "/proc/cpuinfo")
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count();
            Ok(count.max(1).into())
        },
    );
    registry.add(
        "status.version",
        "version()",
        "The kernel's version line.",
        |_, context| Ok(text(context.system, "/proc/version").trim().into()),
    );
    registry.add(
        "status.time",
        "time(format='%A, %d. %B %Y %I:%M%p')",
        "The local time in a format of strftime(3).",
        |args, context| local_time(&args.text("format")?, context.system),
    );
    registry.add(
        "status.diskusage",
        "diskusage(*args)",
        "Total and available bytes of the mounted file systems; of some by their paths\n\
         or by globs for their types.",
        diskusage,
    );
    registry.add(
        "status.pid",
        "pid(sig)",
        "The process ids, one a line, of the processes whose command line has a text.",
        |args, context| {
            let wanted = args.text("sig")?;
            Ok(processes(context.system, &wanted).join("\n").into())
        },
    );
}

fn text(machine: &dyn Observe, path: &str) -> String {
    machine
        .text(Path::new(path))
        .ok()
        .flatten()
        .unwrap_or_default()
}

fn uptime(machine: &dyn Observe) -> Result<Value, CallError> {
    let table = text(machine, "/proc/uptime");
    let up = table
        .split_whitespace()
        .next()
        .and_then(|word| word.parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| CallError::execution("File /proc/uptime does not exist."))?;
    let now = machine.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = now.saturating_sub(up);
    let seconds = up.as_secs();
    let minutes = seconds / 60;
    let found = Map::from([
        ("seconds", Value::from(seconds)),
        (
            "since_iso",
            DateTime::from_unix(since.as_secs_f64())
                .map(|at| at.iso('T'))
                .into(),
        ),
        ("since_t", since.as_secs().into()),
        ("days", (seconds / 86_400).into()),
        (
            "time",
            format!("{}:{}", minutes / 60 % 24, minutes % 60).into(),
        ),
        // Salt counts the lines of who(1), and there is always one.
        ("users", sessions(machine).max(1).into()),
    ]);
    Ok(found.into())
}

fn loadavg(machine: &dyn Observe) -> Result<Value, CallError> {
    let table = text(machine, "/proc/loadavg");
    let numbers: Vec<f64> = table
        .split_whitespace()
        .take(3)
        .filter_map(|word| word.parse().ok())
        .collect();
    let [one, five, fifteen] = *numbers else {
        return Err(CallError::execution(
            "status.loadavag is not available on your platform",
        ));
    };
    Ok(Map::from([("1-min", one), ("5-min", five), ("15-min", fifteen)]).into())
}

fn meminfo(table: &str) -> Map {
    table
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(':')?;
            let mut words = rest.split_whitespace();
            let mut entry = Map::from([("value", words.next()?)]);
            if let Some(unit) = words.next() {
                entry.insert("unit", unit);
            }
            Some((name.trim(), entry))
        })
        .collect()
}

fn cpuinfo(table: &str) -> Map {
    table
        .lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let (name, value) = (name.trim(), value.trim());
            let value = if matches!(name, "flags" | "Features") {
                value.split_whitespace().collect()
            } else {
                Value::from(value)
            };
            Some((name, value))
        })
        .collect()
}

/// A number of the kernel, or the word when it is none.
fn number(word: &str) -> Value {
    word.parse::<u64>()
        .map_or_else(|_| word.into(), Value::from)
}

fn cpustats(table: &str) -> Map {
    const KINDS: [&str; 8] = [
        "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
    ];
    table
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            let value: Value = match name {
                "cpu" => KINDS
                    .into_iter()
                    .zip(words.map(number))
                    .collect::<Map>()
                    .into(),
                "intr" | "softirq" => {
                    let parts = if name == "intr" { "irqs" } else { "softirqs" };
                    let total = number(words.next()?);
                    let rest: Value = words.map(number).collect();
                    Map::from([("total", total), (parts, rest)]).into()
                }
                _ => number(words.next()?),
            };
            Some((name, value))
        })
        .collect()
}

fn diskstats(table: &str) -> Map {
    const COLUMNS: [&str; 11] = [
        "reads_issued",
        "reads_merged",
        "sectors_read",
        "ms_spent_reading",
        "writes_completed",
        "writes_merged",
        "sectors_written",
        "ms_spent_writing",
        "io_in_progress",
        "ms_spent_in_io",
        "weighted_ms_spent_in_io",
    ];
    table
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (major, minor, device) = (words.next()?, words.next()?, words.next()?);
            let mut entry = Map::from([
                ("major", number(major)),
                ("minor", number(minor)),
                ("device", device.into()),
            ]);
            entry.extend(COLUMNS.into_iter().zip(words.map(number)));
            Some((device, entry))
        })
        .collect()
}

fn netdev(table: &str) -> Map {
    const COLUMNS: [&str; 16] = [
        "rx_bytes",
        "rx_packets",
        "rx_errs",
        "rx_drop",
        "rx_fifo",
        "rx_frame",
        "rx_compressed",
        "rx_multicast",
        "tx_bytes",
        "tx_packets",
        "tx_errs",
        "tx_drop",
        "tx_fifo",
        "tx_colls",
        "tx_carrier",
        "tx_compressed",
    ];
    table
        .lines()
        .filter_map(|line| {
            let (name, counts) = line.split_once(':')?;
            let mut entry = Map::from([("iface", name.trim())]);
            entry.extend(
                COLUMNS
                    .into_iter()
                    .zip(counts.split_whitespace().map(number)),
            );
            Some((name.trim(), entry))
        })
        .collect()
}

fn vmstats(table: &str) -> Map {
    table
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name, number(value.trim())))
        .collect()
}

/// The time in the machine's own zone.
fn local_time(format: &str, machine: &dyn Observe) -> Result<Value, CallError> {
    let now = machine.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let (offset, _) = Zone::local(machine).offset(seconds);
    DateTime::from_unix(now.as_secs_f64() + f64::from(offset))
        .map(|at| strftime(at, format).into())
        .ok_or_else(|| CallError::execution("the clock is out of range"))
}

/// How many sessions users have (`utmp(5)`).
fn sessions(machine: &dyn Observe) -> usize {
    const RECORD: usize = 384;
    const USER_PROCESS: i16 = 7;
    let table = machine.read(Path::new("/var/run/utmp"));
    table
        .ok()
        .flatten()
        .unwrap_or_default()
        .chunks_exact(RECORD)
        .filter(|record| {
            let kind = record.first_chunk().copied().map(i16::from_ne_bytes);
            // Byte 44 begins the user's name.
            kind == Some(USER_PROCESS) && record.get(44).is_some_and(|byte| *byte != 0)
        })
        .count()
}

/// What `/proc/mounts` writes for blanks in paths, as they are.
pub(crate) fn unescaped(path: &str) -> String {
    let mut out = path.to_owned();
    for (written, meant) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        out = out.replace(written, meant);
    }
    out
}

fn diskusage(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let (mut paths, mut types) = (Vec::new(), Vec::new());
    for wanted in args.positional() {
        let wanted = crate::python::str(wanted);
        if wanted.starts_with('/') {
            paths.push(wanted);
        } else {
            types.push(wanted);
        }
    }
    if paths.is_empty() || !types.is_empty() {
        for line in text(context.system, "/proc/self/mounts").lines() {
            let mut words = line.split_whitespace().skip(1);
            let (Some(path), Some(kind)) = (words.next(), words.next()) else {
                continue;
            };
            let path = unescaped(path);
            let wanted = types.is_empty() || types.iter().any(|glob| fnmatch(kind, glob));
            if wanted && !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    let mut found = Map::new();
    for path in paths {
        if let Ok(usage) = context.system.filesystem(Path::new(&path)) {
            let sizes = Map::from([("available", usage.available()), ("total", usage.total())]);
            found.insert(path, sizes);
        }
    }
    Ok(found.into())
}

/// The ids of the processes whose command line contains a text, our own left out.
pub(crate) fn processes(machine: &dyn Observe, wanted: &str) -> Vec<String> {
    let own = machine.identity().pid.to_string();
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let mut found: Vec<u32> = machine
        .list(Path::new("/proc"))
        .unwrap_or_default()
        .into_iter()
        .filter_map(|name| name.into_string().ok())
        .filter(|name| is_number(name) && *name != own)
        .filter(|name| {
            let line = text(machine, &format!("/proc/{name}/cmdline"));
            line.trim_end_matches('\0')
                .replace('\0', " ")
                .contains(wanted)
        })
        .filter_map(|name| name.parse().ok())
        .collect();
    found.sort_unstable();
    found.into_iter().map(|pid| pid.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::system::FakeSystem;
    use crate::yaml;

    fn call(machine: &FakeSystem, name: &str, args: Args) -> Result<Value, CallError> {
        let (registry, minion) = (Registry::builtin(), MinionData::default());
        registry.call(name, &args, &Context::new(&registry, machine, &minion))
    }

    #[track_caller]
    fn check(machine: &FakeSystem, name: &str, expected: &str) {
        let expected = yaml::load(expected).unwrap();
        assert_eq!(call(machine, name, Args::new()), Ok(expected), "{name}");
    }

    /// A record of `utmp(5)`.
    fn session(kind: u8, user: &[u8]) -> Vec<u8> {
        let mut record = vec![0; 384];
        record[0] = kind;
        record[44..44 + user.len()].copy_from_slice(user);
        record
    }

    #[test]
    fn uptime_counts_from_the_kernels_clock() {
        let machine = FakeSystem::new()
            .file("/proc/uptime", "93784.25 180000.00\n")
            .file(
                "/var/run/utmp",
                [session(7, b"a"), session(7, b"b"), session(8, b"c")].concat(),
            );

        check(
            &machine,
            "status.uptime",
            "{seconds: 93784, since_iso: '2023-11-13T20:10:15.750000', since_t: 1699906215,
              days: 1, time: '2:3', users: 2}",
        );
    }

    #[test]
    fn the_tables_of_the_kernel_become_mappings() {
        let machine = FakeSystem::new()
            .file("/proc/loadavg", "0.50 1.00 2.25 1/100 4242\n")
            .file("/proc/meminfo", "MemTotal:  1024 kB\nHugePages_Total: 0\n")
            .file(
                "/proc/cpuinfo",
                "processor : 0\nflags : a b\n\nprocessor : 1\nmodel name : X\nflags : a c\n",
            )
            .file("/proc/version", "Linux version 6.1\n")
            .file("/proc/vmstat", "nr_free_pages 5\n")
            .file(
                "/proc/stat",
                "cpu  1 2 3 4 5 6 7 8 9 10\nintr 3 1 2\nbtime 7\n",
            )
            .file(
                "/proc/diskstats",
                "   8  0 sda 1 2 3 4 5 6 7 8 9 10 11 12\n",
            )
            .file(
                "/proc/net/dev",
                "Inter-|   Receive\n face |bytes\n  lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
            );

        check(
            &machine,
            "status.loadavg",
            "{1-min: 0.5, 5-min: 1.0, 15-min: 2.25}",
        );
        check(
            &machine,
            "status.meminfo",
            "{MemTotal: {value: '1024', unit: kB}, HugePages_Total: {value: '0'}}",
        );
        check(
            &machine,
            "status.cpuinfo",
            "{processor: '1', flags: [a, c], model name: X}",
        );
        check(&machine, "status.nproc", "2");
        check(&machine, "status.version", "Linux version 6.1");
        check(&machine, "status.vmstats", "{nr_free_pages: 5}");
        check(
            &machine,
            "status.cpustats",
            "{cpu: {user: 1, nice: 2, system: 3, idle: 4, iowait: 5, irq: 6, softirq: 7, steal: 8},
              intr: {total: 3, irqs: [1, 2]}, btime: 7}",
        );
        let disks = call(&machine, "status.diskstats", Args::new()).unwrap();
        let disk = disks.get("sda").unwrap();
        assert_eq!(disk.get("weighted_ms_spent_in_io"), Some(&Value::Int(11)));
        let devices = call(&machine, "status.netdev", Args::new()).unwrap();
        let loopback = devices.get("lo").unwrap();
        assert_eq!(loopback.get("tx_compressed"), Some(&Value::Int(16)));
    }

    #[test]
    fn disk_usage_is_chosen_by_path_or_type() {
        let machine = FakeSystem::new().file(
            "/proc/self/mounts",
            "proc /proc proc rw 0 0\n/dev/sda / ext4 rw 0 0\n/dev/sdb /a\\040b xfs rw 0 0\n",
        );
        let keys = |args: &[&str]| {
            let args = args.iter().fold(Args::new(), |all, one| all.with(*one));
            let found = call(&machine, "status.diskusage", args).unwrap();
            let keys: Vec<Value> = found.as_map().unwrap().keys().cloned().collect();
            keys
        };

        assert_eq!(keys(&[]), ["/proc", "/", "/a b"].map(Value::from));
        assert_eq!(keys(&["ext*", "xfs"]), ["/", "/a b"].map(Value::from));
        assert_eq!(keys(&["/tmp", "nope"]), ["/tmp"].map(Value::from));
    }

    #[test]
    fn processes_are_found_by_their_command_line() {
        let machine = FakeSystem::new()
            .file("/proc/9/cmdline", "/usr/bin/python3\0x.py\0")
            .file("/proc/10/cmdline", "python3\0")
            .file("/proc/4242/cmdline", "python3 that is ourselves")
            .file("/proc/self/cmdline", "python3");

        let found = call(&machine, "status.pid", Args::new().with("python3"));

        assert_eq!(found, Ok("9\n10".into()));
    }

    #[test]
    fn the_time_is_local_and_formatted() {
        let machine = FakeSystem::new();

        let found = call(&machine, "status.time", Args::new().with("%Y-%m-%d %H:%M"));

        assert_eq!(found, Ok("2023-11-14 22:13".into()));
    }
}
