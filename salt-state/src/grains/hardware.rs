//! Kernel, processors, memory and disks.
//!
//! The names in `/proc/cpuinfo` and `/proc/meminfo` are those of proc(5) and, for the
//! processors that have others, of the kernel's printing of them; what Salt makes of them
//! is recorded in `tests/vectors/grains/hardware.json`.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::functions::cmd::split_words;
use crate::system::Observe;

use super::{line, text};

pub(super) fn gather(machine: &dyn Observe, grains: &mut Map) {
    let kernel = machine.kernel();
    grains.insert("kernel", kernel.name);
    grains.insert("nodename", kernel.node);
    grains.insert("kernelrelease", kernel.release);
    grains.insert("kernelversion", kernel.version);
    grains.insert("cpuarch", kernel.machine);
    grains.insert("kernelparams", boot_parameters(machine));
    processors(machine, grains);
    memory(machine, grains);
    disks(machine, grains);
    grains.insert(
        "transactional",
        machine.which("transactional-update").is_some(),
    );
}

/// `[name, value]` for each word of the kernel's command line, split as a shell would;
/// the value is `None` for a word with no or more than one `=`. A line whose quotes do
/// not pair is split at its blanks.
fn boot_parameters(machine: &dyn Observe) -> Value {
    let line = text(machine, "/proc/cmdline");
    let plain = || line.split_whitespace().map(str::to_owned).collect();
    split_words(&line)
        .unwrap_or_else(plain)
        .iter()
        .map(|word| {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if !value.contains('=') => (name, value.into()),
                Some((name, _)) => (name, Value::Null),
                None => (word.as_str(), Value::Null),
            };
            Value::List(vec![name.into(), value])
        })
        .collect()
}

/// How many, of which kind and with which features. Where processors differ, the last
/// one that says so is told of.
fn processors(machine: &dyn Observe, grains: &mut Map) {
    let table = text(machine, "/proc/cpuinfo");
    let (mut count, mut model, mut features) = (0_i64, "Unknown", "");
    for line in table.lines() {
        let mut parts = line.split(':').map(str::trim);
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            continue;
        };
        match name {
            "processor" => count += 1,
            // Old ARM kernels name the kind before they list the processors.
            "Processor" => {
                count = 1;
                model = value.split('-').next().unwrap_or_default();
            }
            // IBM Z states how many there are.
            "# processors" => count = value.parse().unwrap_or(count),
            // POWER and SPARC have `cpu`.
            "model name" | "vendor_id" | "cpu" => model = value,
            // ARM has `Features`.
            "flags" | "Features" => features = value,
            _ => {}
        }
    }
    grains.insert("num_cpus", count);
    grains.insert("cpu_model", model);
    grains.insert("cpu_flags", features.split_whitespace().collect::<Value>());
}

/// Memory and swap in MiB.
fn memory(machine: &dyn Observe, grains: &mut Map) {
    let table = text(machine, "/proc/meminfo");
    let mebibytes = |wanted: &str| {
        table
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| *name == wanted)
            .and_then(|(_, value)| value.split_whitespace().next()?.parse::<i64>().ok())
            .unwrap_or(0)
            / 1024
    };
    grains.insert("mem_total", mebibytes("MemTotal"));
    grains.insert("swap_total", mebibytes("SwapTotal"));
}

/// Block devices that are not virtual, by whether they say that they rotate.
fn disks(machine: &dyn Observe, grains: &mut Map) {
    let (mut disks, mut ssds) = (Vec::new(), Vec::new());
    for name in machine.list(Path::new("/sys/block")).unwrap_or_default() {
        let entry = Path::new("/sys/block").join(&name);
        let is_virtual = machine
            .read_link(&entry)
            .is_ok_and(|target| target.starts_with("../devices/virtual"));
        if is_virtual {
            continue;
        }
        let name = name.to_string_lossy().into_owned();
        match line(machine, entry.join("queue/rotational")).as_deref() {
            Some("0") => ssds.push(name),
            Some("1") => disks.push(name),
            _ => {}
        }
    }
    grains.insert("disks", disks.into_iter().collect::<Value>());
    grains.insert("ssds", ssds.into_iter().collect::<Value>());
}
