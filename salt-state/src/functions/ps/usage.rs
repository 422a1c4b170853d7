//! Processors, memory, disks, networks and sessions.

use std::path::Path;
use std::time::Duration;

use salt_proto::{Map, Value};

use super::{Answer, LONGEST, no_order, number, numbers, percent, rounded, seconds, text};
use crate::args::Args;
use crate::context::Context;
use crate::functions::status::unescaped;
use crate::jinja::DateTime;
use crate::jinja::date::strftime;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, errno_text};
use crate::zone::Zone;

const TIMES: [&str; 10] = [
    "user",
    "nice",
    "system",
    "idle",
    "iowait",
    "irq",
    "softirq",
    "steal",
    "guest",
    "guest_nice",
];

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "ps.boot_time",
        "boot_time(time_format=None)",
        "When the machine was started: seconds since 1970, or in a format of strftime(3).",
        |args, context| {
            let boot = boot_time(context.system);
            let Some(format) = args.get("time_format").filter(|format| format.is_true()) else {
                return Ok(boot.into());
            };
            let Some(format) = format.as_str() else {
                return Err(CallError::invocation(format!(
                    "Invalid format string: strftime() argument 1 must be str, not {}",
                    format.type_name()
                )));
            };
            let at = i64::try_from(boot).unwrap_or(0);
            let (offset, _) = Zone::local(context.system).offset(at);
            let local = at.saturating_add(i64::from(offset));
            #[expect(clippy::cast_precision_loss, reason = "seconds")]
            let at = DateTime::from_unix(local as f64);
            Ok(at.map(|at| strftime(at, format)).into())
        },
    );
    add(
        "ps.cpu_percent",
        "cpu_percent(interval=0.1, per_cpu=False)",
        "How busy the processors are while watched for some seconds, in percent.",
        cpu_percent,
    );
    add(
        "ps.cpu_times",
        "cpu_times(per_cpu=False)",
        "The seconds the processors spent with each kind of work.",
        |args, context| {
            let table = text(context.system, "/proc/stat");
            let shown = |ticks: &Vec<u64>| {
                let times = ticks.iter().map(|ticks| Value::from(seconds(*ticks)));
                TIMES.into_iter().zip(times).collect::<Map>()
            };
            let (all, each) = processors(&table);
            Ok(if args.is_true("per_cpu") {
                each.iter().map(shown).collect()
            } else {
                shown(&all).into()
            })
        },
    );
    add(
        "ps.num_cpus",
        "num_cpus()",
        "How many processors there are.",
        |_, context| {
            let (_, each) = processors(&text(context.system, "/proc/stat"));
            Ok(each.len().into())
        },
    );
    add(
        "ps.total_physical_memory",
        "total_physical_memory()",
        "The bytes of memory.",
        |_, context| Ok(memory(context.system, "MemTotal").into()),
    );
    add(
        "ps.virtual_memory",
        "virtual_memory()",
        "How the memory is used, in bytes.",
        |_, context| Ok(virtual_memory(context.system).into()),
    );
    add(
        "ps.swap_memory",
        "swap_memory()",
        "How the space for swapping is used, in bytes.",
        |_, context| Ok(swap_memory(context.system).into()),
    );
    add(
        "ps.disk_io_counters",
        "disk_io_counters(device=None)",
        "What was read from and written to the disks, or one of them.",
        disk_io_counters,
    );
    add(
        "ps.network_io_counters",
        "network_io_counters(interface=None)",
        "What came and went over the network interfaces, or one of them.",
        network_io_counters,
    );
    add(
        "ps.disk_partitions",
        "disk_partitions(all=False)",
        "What is mounted from disks; with all, everything that is mounted.",
        |args, context| Ok(partitions(args, context.system).into_iter().collect()),
    );
    add(
        "ps.disk_partition_usage",
        "disk_partition_usage(all=False)",
        "What is mounted from disks, and how full it is; with all, everything.",
        |args, context| {
            let mut all = partitions(args, context.system);
            for one in &mut all {
                let at = one.str("mountpoint").unwrap_or_default().to_owned();
                one.extend(disk_usage(context.system, &at)?);
            }
            Ok(all.into_iter().collect())
        },
    );
    add(
        "ps.disk_usage",
        "disk_usage(path)",
        "How full the file system of a path is, in bytes and percent.",
        |args, context| Ok(disk_usage(context.system, &args.text("path")?)?.into()),
    );
    add(
        "ps.get_users",
        "get_users()",
        "Who is logged in.",
        |_, context| Ok(users(context.system)),
    );
}

/// When the machine was started, in seconds since 1970.
pub(super) fn boot_time(machine: &dyn Observe) -> u64 {
    let table = text(machine, "/proc/stat");
    let line = table.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}

/// The ticks of all processors together and of each.
fn processors(table: &str) -> (Vec<u64>, Vec<Vec<u64>>) {
    let (mut all, mut each) = (Vec::new(), Vec::new());
    for line in table.lines() {
        let Some((name, rest)) = line.split_once(' ') else {
            continue;
        };
        let mut ticks = numbers(rest);
        ticks.truncate(TIMES.len());
        if name == "cpu" {
            all = ticks;
        } else if name.starts_with("cpu") {
            each.push(ticks);
        }
    }
    (all, each)
}

/// How much of the time between two looks was spent with work: the guests' time is in
/// that of the users already, and waiting for disks is no work.
fn busy(before: &[u64], after: &[u64]) -> f64 {
    let grown: Vec<u64> = after
        .iter()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(*before))
        .collect();
    let of = |at: usize| grown.get(at).copied().unwrap_or(0);
    let all: u64 = grown.iter().take(8).sum();
    rounded(percent(all.saturating_sub(of(3) + of(4)), all))
}

fn cpu_percent(args: &Args, context: &Context<'_>) -> Answer {
    let time = match args.get("interval") {
        None => 0.1,
        Some(Value::Null) => 0.0,
        Some(given) => number(given).ok_or_else(|| no_order(">", given.type_name(), "float"))?,
    };
    if time < 0.0 {
        let given = args.get("interval").map(crate::python::str);
        let text = format!(
            "interval is not positive (got {})",
            given.unwrap_or_default()
        );
        return Err(CallError::exception("ValueError", text));
    }
    let machine = context.system;
    let (all, each) = processors(&text(machine, "/proc/stat"));
    machine.sleep(Duration::from_secs_f64(time.min(LONGEST)));
    let (all_after, each_after) = processors(&text(machine, "/proc/stat"));
    if args.is_true("per_cpu") {
        let pairs = each.iter().zip(&each_after);
        return Ok(pairs.map(|(before, after)| busy(before, after)).collect());
    }
    Ok(busy(&all, &all_after).into())
}

/// A line of `/proc/meminfo`, in bytes.
pub(super) fn memory(machine: &dyn Observe, key: &str) -> u64 {
    kibibytes(&text(machine, "/proc/meminfo"), key)
}

/// The sum of the lines of a table of the kernel that have a key, in bytes.
pub(super) fn kibibytes(table: &str, key: &str) -> u64 {
    let found = table.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == key).then(|| numbers(value).first().copied().unwrap_or(0))
    });
    found.sum::<u64>().saturating_mul(1024)
}

fn virtual_memory(machine: &dyn Observe) -> Map {
    let table = text(machine, "/proc/meminfo");
    let of = |key: &str| kibibytes(&table, key);
    let (total, available) = (of("MemTotal"), of("MemAvailable"));
    let used = total.saturating_sub(available);
    Map::from([
        ("total", Value::from(total)),
        ("available", available.into()),
        ("percent", rounded(percent(used, total)).into()),
        ("used", used.into()),
        ("free", of("MemFree").into()),
        ("active", of("Active").into()),
        ("inactive", of("Inactive").into()),
        ("buffers", of("Buffers").into()),
        ("cached", (of("Cached") + of("SReclaimable")).into()),
        ("shared", of("Shmem").into()),
        ("slab", of("Slab").into()),
    ])
}

fn swap_memory(machine: &dyn Observe) -> Map {
    let table = text(machine, "/proc/meminfo");
    let (total, free) = (
        kibibytes(&table, "SwapTotal"),
        kibibytes(&table, "SwapFree"),
    );
    let used = total.saturating_sub(free);
    let counters = text(machine, "/proc/vmstat");
    let pages = |key: &str| {
        let found = counters.lines().find_map(|line| {
            let (name, count) = line.split_once(' ')?;
            (name == key).then(|| count.trim().parse::<u64>().unwrap_or(0))
        });
        found.unwrap_or(0).saturating_mul(4096)
    };
    Map::from([
        ("total", Value::from(total)),
        ("used", used.into()),
        ("free", free.into()),
        ("percent", rounded(percent(used, total)).into()),
        ("sin", pages("pswpin").into()),
        ("sout", pages("pswpout").into()),
    ])
}

/// Sums rows of equal length; nothing when there is none.
fn sums(rows: &[Vec<u64>]) -> Option<Vec<u64>> {
    let mut rows = rows.iter();
    let mut all = rows.next()?.clone();
    for row in rows {
        for (sum, more) in all.iter_mut().zip(row) {
            *sum = sum.saturating_add(*more);
        }
    }
    Some(all)
}

/// The row of a name, or the sum of the rows that count; false when there is none.
fn counted<const N: usize>(
    wanted: Option<String>,
    rows: Vec<(String, bool, Vec<u64>)>,
    names: [&'static str; N],
) -> Value {
    let found = match wanted {
        Some(wanted) => rows
            .into_iter()
            .find(|(name, ..)| *name == wanted)
            .map(|(_, _, row)| row),
        None => {
            let rows: Vec<Vec<u64>> = rows
                .into_iter()
                .filter(|(_, counts, _)| *counts)
                .map(|(_, _, row)| row)
                .collect();
            sums(&rows)
        }
    };
    found.map_or(Value::Bool(false), |row| {
        names.into_iter().zip(row).collect::<Map>().into()
    })
}

fn disk_io_counters(args: &Args, context: &Context<'_>) -> Answer {
    let machine = context.system;
    let rows = text(machine, "/proc/diskstats")
        .lines()
        .filter_map(|line| {
            let name = line.split_whitespace().nth(2)?.to_owned();
            let all = numbers(line);
            let of = |at: usize| all.get(at).copied().unwrap_or(0);
            // The parts of a disk are in its own numbers already.
            let place = Path::new("/sys/block").join(name.replace('/', "!"));
            let counts = machine.exists(&place);
            let row = vec![
                of(3),
                of(7),
                of(5).saturating_mul(512),
                of(9).saturating_mul(512),
                of(6),
                of(10),
                of(4),
                of(8),
                of(12),
            ];
            Some((name, counts, row))
        })
        .collect();
    let names = [
        "read_count",
        "write_count",
        "read_bytes",
        "write_bytes",
        "read_time",
        "write_time",
        "read_merged_count",
        "write_merged_count",
        "busy_time",
    ];
    Ok(counted(args.optional_text("device"), rows, names))
}

fn network_io_counters(args: &Args, context: &Context<'_>) -> Answer {
    let rows = text(context.system, "/proc/net/dev")
        .lines()
        .filter_map(|line| {
            let (name, counts) = line.rsplit_once(':')?;
            let all = numbers(counts);
            let row = [8, 0, 9, 1, 2, 10, 3, 11]
                .map(|at| all.get(at).copied().unwrap_or(0))
                .to_vec();
            Some((name.trim().to_owned(), true, row))
        })
        .collect();
    let names = [
        "bytes_sent",
        "bytes_recv",
        "packets_sent",
        "packets_recv",
        "errin",
        "errout",
        "dropin",
        "dropout",
    ];
    Ok(counted(args.optional_text("interface"), rows, names))
}

fn partitions(args: &Args, machine: &dyn Observe) -> Vec<Map> {
    let kinds = text(machine, "/proc/filesystems");
    let of_disks: Vec<&str> = kinds
        .lines()
        .filter_map(|line| match line.split_once('\t') {
            Some(("nodev", "zfs")) => Some("zfs"),
            Some(("nodev", _)) => None,
            _ => Some(line.trim()),
        })
        .collect();
    let every = args.is_true("all");
    text(machine, "/proc/self/mounts")
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (device, place, kind, how) =
                (words.next()?, words.next()?, words.next()?, words.next()?);
            let device = if device == "none" { "" } else { device };
            if !every && (device.is_empty() || !of_disks.contains(&kind)) {
                return None;
            }
            Some(Map::from([
                ("device", unescaped(device)),
                ("mountpoint", unescaped(place)),
                ("fstype", kind.to_owned()),
                ("opts", how.to_owned()),
            ]))
        })
        .collect()
}

fn disk_usage(machine: &dyn Observe, path: &str) -> Result<Map, CallError> {
    let place = Path::new(path);
    let missing = || std::io::Error::from(rustix::io::Errno::NOENT);
    let found = match machine.metadata(place) {
        Ok(Some(_)) if !path.is_empty() => machine.filesystem(place),
        Ok(_) => Err(missing()),
        Err(error) => Err(error),
    };
    let found = found.map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => "FileNotFoundError",
            std::io::ErrorKind::PermissionDenied => "PermissionError",
            _ => "OSError",
        };
        CallError::exception(kind, errno_text(&error, Some(place)))
    })?;
    let used = found.blocks.saturating_sub(found.blocks_free);
    let used = used.saturating_mul(found.block_size);
    let for_all = used.saturating_add(found.available());
    Ok(Map::from([
        ("total", Value::from(found.total())),
        ("used", used.into()),
        ("free", found.available().into()),
        // Of what a user can have, as df(1) counts.
        ("percent", rounded(percent(used, for_all)).into()),
    ]))
}

/// The sessions of `utmp(5)`.
fn users(machine: &dyn Observe) -> Value {
    const RECORD: usize = 384;
    const USER_PROCESS: i16 = 7;
    let table = machine.read(Path::new("/var/run/utmp"));
    let table = table.ok().flatten().unwrap_or_default();
    table
        .chunks_exact(RECORD)
        .filter_map(|record| {
            let kind = record.first_chunk().copied().map(i16::from_ne_bytes)?;
            if kind != USER_PROCESS {
                return None;
            }
            let words = |from: usize, len: usize| {
                let bytes = record.get(from..from + len).unwrap_or_default();
                let end = bytes.iter().position(|byte| *byte == 0);
                let bytes = bytes.get(..end.unwrap_or(len)).unwrap_or_default();
                String::from_utf8_lossy(bytes).into_owned()
            };
            let int = |at: usize| {
                let bytes = record.get(at..)?.first_chunk().copied()?;
                Some(i32::from_ne_bytes(bytes))
            };
            let (line, host) = (words(8, 32), words(76, 256));
            let host = match &*host {
                "" | ":0" | ":0.0" => "localhost".to_owned(),
                _ => host,
            };
            let line = Some(line).filter(|line| !line.is_empty());
            Some(Map::from([
                ("name", Value::from(words(44, 32))),
                ("terminal", line.into()),
                ("host", host.into()),
                ("started", f64::from(int(340)?).into()),
                ("pid", int(4)?.into()),
            ]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_no_work_and_a_guest_counts_once() {
        let before = [100, 0, 50, 1000, 10, 0, 0, 0, 5, 0];
        let after = [130, 0, 60, 1040, 20, 0, 0, 0, 25, 0];

        assert!((busy(&before, &after) - 44.4).abs() < 1e-9);
        assert!(busy(&before, &before).abs() < 1e-9);
    }
}
