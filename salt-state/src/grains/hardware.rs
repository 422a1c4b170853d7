//! Kernel, processors, memory, disks and firmware.

use std::path::Path;

use salt_proto::{Map, Value};

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
    firmware(machine, grains);
    efi(machine, grains);
    grains.insert(
        "transactional",
        machine.which("transactional-update").is_some(),
    );
}

/// `[name, value]` for each word of the kernel's command line; the value is `None` for a
/// word with no or more than one `=`.
fn boot_parameters(machine: &dyn Observe) -> Value {
    words(&text(machine, "/proc/cmdline"))
        .iter()
        .map(|word| {
            let parts: Vec<&str> = word.split('=').collect();
            match *parts {
                [name, value] => Value::List(vec![name.into(), value.trim_matches('"').into()]),
                _ => Value::List(vec![
                    parts.first().copied().unwrap_or_default().into(),
                    Value::Null,
                ]),
            }
        })
        .collect()
}

/// Words of a command line; quotes keep blanks and are taken away.
fn words(line: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for ch in line.chars() {
        match quote {
            Some(end) if ch == end => quote = None,
            Some(_) => word.get_or_insert_default().push(ch),
            None if ch == '"' || ch == '\'' => {
                quote = Some(ch);
                word.get_or_insert_default();
            }
            None if ch.is_whitespace() => all.extend(word.take()),
            None => word.get_or_insert_default().push(ch),
        }
    }
    all.extend(word);
    all
}

fn processors(machine: &dyn Observe, grains: &mut Map) {
    let (mut count, mut model, mut flags) = (0_i64, "Unknown".to_owned(), Vec::new());
    for line in text(machine, "/proc/cpuinfo").lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.split(':').next().unwrap_or_default().trim();
        match key.trim() {
            "processor" => count += 1,
            // IBM Z states the number instead of listing them.
            "# processors" => count = value.parse().unwrap_or(count),
            // POWER has `cpu`; where there is a model name, it comes after the vendor.
            "vendor_id" | "model name" | "cpu" => model = value.to_owned(),
            // Old ARM kernels list the cores of one processor.
            "Processor" => {
                model = value.split('-').next().unwrap_or_default().to_owned();
                count = 1;
            }
            "flags" | "Features" => {
                flags = value.split_whitespace().map(str::to_owned).collect();
            }
            _ => {}
        }
    }
    grains.insert("num_cpus", count);
    grains.insert("cpu_model", model);
    grains.insert("cpu_flags", flags.into_iter().collect::<Value>());
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

/// What the firmware says of the machine.
fn firmware(machine: &dyn Observe, grains: &mut Map) {
    let dmi = [
        ("biosversion", "bios_version"),
        ("biosreleasedate", "bios_date"),
        ("boardname", "board_name"),
        ("manufacturer", "sys_vendor"),
        ("productname", "product_name"),
        ("serialnumber", "product_serial"),
        ("uuid", "product_uuid"),
    ];
    for (grain, file) in dmi {
        let found = line(machine, Path::new("/sys/class/dmi/id").join(file));
        if let Some(value) = found.filter(|value| is_telling(grain, value)) {
            let value = if grain == "uuid" {
                value.to_lowercase()
            } else {
                value
            };
            grains.insert(grain, value);
        }
    }
    let tree = [
        ("productname", "/proc/device-tree/model"),
        ("serialnumber", "/proc/device-tree/serial-number"),
    ];
    for (grain, path) in tree {
        if !grains.contains_key(grain)
            && let Some(value) = line(machine, path).filter(|value| !value.is_empty())
        {
            grains.insert(grain, value);
        }
    }
}

/// Makers leave placeholders in their tables; those are no answers.
fn is_telling(grain: &str, value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if lower.is_empty() || lower.starts_with("none") || has(&["to be filled"]) {
        return false;
    }
    match grain {
        "uuid" => is_uuid(&lower),
        "serialnumber" | "biosversion" => {
            let digits = lower.trim_start_matches('0');
            !digits.is_empty()
                && !digits.starts_with("1234567")
                && !has(&["sernum", "specified", "filled", "applicable"])
        }
        "manufacturer" => !has(&["manufacturer", "available"]) && !lower.starts_with("not"),
        _ => !has(&[
            "unknown",
            "unspecified",
            "not provided",
            "not defined",
            "not available",
            "not present",
            "not specified",
            "no asset",
        ]),
    }
}

fn is_uuid(text: &str) -> bool {
    let digits: String = text.chars().filter(|ch| *ch != '-').collect();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn efi(machine: &dyn Observe, grains: &mut Map) {
    let variables = ["/sys/firmware/efi/efivars", "/sys/firmware/efi/vars"]
        .into_iter()
        .map(Path::new)
        .find(|path| machine.exists(path));
    grains.insert("efi", variables.is_some());
    let secure = variables.is_some_and(|directory| {
        let names = machine.list(directory).unwrap_or_default();
        let mut found = names
            .iter()
            .filter(|name| name.to_string_lossy().starts_with("SecureBoot-"));
        let (Some(name), None) = (found.next(), found.next()) else {
            return false;
        };
        let path = directory.join(name);
        let path = if machine.is_dir(&path) {
            path.join("data")
        } else {
            path
        };
        let content = machine.read(&path).ok().flatten().unwrap_or_default();
        content.last() == Some(&1)
    });
    grains.insert("efi-secure-boot", secure);
}
