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
        ("biosvendor", "bios_vendor"),
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
    if lower.is_empty() || lower.starts_with("none") {
        return false;
    }
    match grain {
        "uuid" => is_uuid(&lower),
        "serialnumber" | "biosversion" => {
            let counted = lower.strip_prefix('0').unwrap_or(&lower);
            !lower.bytes().all(|byte| byte == b'0')
                && !counted.starts_with("1234567")
                && !has(&[
                    "sernum",
                    "partnumber",
                    "part-number",
                    "part_number",
                    "specified",
                    "filled",
                    "applicable",
                ])
        }
        "manufacturer" => {
            !has(&["manufacturer", "to be filled", "available", "asset"])
                && !lower.starts_with("not")
        }
        _ => {
            let absent = [
                "asset",
                "provided",
                "defined",
                "available",
                "present",
                "specified",
            ]
            .into_iter()
            .any(|what| {
                let said = |no: &str| lower.contains(&format!("{no} {what}"));
                said("no") || said("not") || said("none")
            });
            !absent && !has(&["to be filled", "unknown", "unspecified"])
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::{FakeSystem, Kernel};

    fn gathered(machine: &FakeSystem) -> Map {
        let mut grains = Map::new();
        gather(machine, &mut grains);
        grains
    }

    /// Recorded with Salt 3008.3: what its tables say and which of it counts.
    #[test]
    fn placeholders_of_the_firmware_are_no_answers() {
        let check = |grain: &str, telling: &[&str], empty: &[&str]| {
            for value in telling {
                assert!(is_telling(grain, value), "{grain} {value}");
            }
            for value in empty {
                assert!(!is_telling(grain, value), "{grain} {value}");
            }
        };
        check(
            "manufacturer",
            &["Dell Inc.", "N/A", "Unknown", "System Product Name", "0"],
            &[
                "To Be Filled By O.E.M.",
                "None",
                "Not Specified",
                "System manufacturer",
                "Asset Tag",
                "Notebook",
            ],
        );
        check(
            "productname",
            &[
                "Not Applicable",
                "undefined",
                "NoAsset",
                "Not Settable",
                "Notebook",
                "12345678",
            ],
            &[
                "Unknown",
                "Unspecified",
                "No Asset Tag",
                "not present",
                "Not Available",
                "none",
            ],
        );
        check(
            "serialnumber",
            &[
                "VMware-56 4d",
                "1.0",
                "Not Available",
                "Part Number",
                "9J12345",
                "Unknown",
            ],
            &[
                "0",
                "00000000",
                "0123456789",
                "1234567X",
                "SerNum0",
                "Not Specified",
                "part_number",
            ],
        );
        check(
            "uuid",
            &["03000200-0400-0500-0006-000700080009"],
            &["INVALID", "1.0"],
        );
    }

    #[test]
    fn the_firmwares_tables_are_read() {
        let machine = FakeSystem::new()
            .file("/sys/class/dmi/id/bios_version", "2.17\n")
            .file("/sys/class/dmi/id/bios_date", "04/01/2024\n")
            .file("/sys/class/dmi/id/sys_vendor", "Dell Inc.\n")
            .file("/sys/class/dmi/id/product_name", "PowerEdge R640\n")
            .file(
                "/sys/class/dmi/id/product_serial",
                "To Be Filled By O.E.M.\n",
            )
            .file(
                "/sys/class/dmi/id/product_uuid",
                "4C4C4544-0033-4A10-8051-B4C04F4A4E32\n",
            );

        let found = gathered(&machine);

        assert_eq!(found.str("biosversion"), Some("2.17"));
        assert_eq!(found.str("biosreleasedate"), Some("04/01/2024"));
        assert_eq!(found.str("manufacturer"), Some("Dell Inc."));
        assert_eq!(found.str("productname"), Some("PowerEdge R640"));
        assert_eq!(
            found.str("uuid"),
            Some("4c4c4544-0033-4a10-8051-b4c04f4a4e32")
        );
        assert_eq!(found.get("serialnumber"), None);
    }

    #[test]
    fn processors_of_other_kinds_are_counted() {
        let check = |cpuinfo: &str, count: i64, model: &str| {
            let machine = FakeSystem::new().file("/proc/cpuinfo", cpuinfo);
            let found = gathered(&machine);
            assert_eq!(found.get("num_cpus"), Some(&Value::Int(count)), "{cpuinfo}");
            assert_eq!(found.str("cpu_model"), Some(model), "{cpuinfo}");
        };
        check(
            "processor : 0\nmodel name : A: b\nprocessor : 1\nmodel name : A\n",
            2,
            "A",
        );
        check(
            "processor : 0\nBogoMIPS : 1\nFeatures : fp asimd\n",
            1,
            "Unknown",
        );
        check("vendor_id : IBM/S390\n# processors : 4\n", 4, "IBM/S390");
        check(
            "processor : 0\ncpu : POWER9, altivec\n",
            1,
            "POWER9, altivec",
        );
        check("", 0, "Unknown");
    }

    #[test]
    fn boot_parameters_are_pairs() {
        let machine = FakeSystem::new().file(
            "/proc/cmdline",
            "quiet a=\"b c\" root=UUID=x console=tty0\n",
        );

        let expected = crate::yaml::load("[[quiet, ~], [a, b c], [root, ~], [console, tty0]]");
        assert_eq!(
            gathered(&machine).get("kernelparams"),
            Some(&expected.unwrap())
        );
    }

    #[test]
    fn disks_are_told_from_ssds_and_virtual_devices_left_out() {
        let machine = FakeSystem::new()
            .link("/sys/block/sda", "../devices/pci0/sda")
            .link("/sys/block/nvme0n1", "../devices/pci0/nvme0n1")
            .link("/sys/block/loop0", "../devices/virtual/block/loop0")
            .file("/sys/devices/pci0/sda/queue/rotational", "1\n")
            .file("/sys/devices/pci0/nvme0n1/queue/rotational", "0\n")
            .file("/sys/devices/virtual/block/loop0/queue/rotational", "1\n");

        let found = gathered(&machine);

        assert_eq!(found.get("disks"), Some(&Value::List(vec!["sda".into()])));
        assert_eq!(
            found.get("ssds"),
            Some(&Value::List(vec!["nvme0n1".into()]))
        );
    }

    #[test]
    fn secure_boot_is_the_last_byte_of_its_variable() {
        let variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61";
        let on = gathered(&FakeSystem::new().file(variable, [6, 0, 0, 0, 1]));
        let off = gathered(&FakeSystem::new().file(variable, [6, 0, 0, 0, 0]));
        let without = gathered(&FakeSystem::new());

        let both = |found: &Map| {
            (
                found.get("efi").cloned(),
                found.get("efi-secure-boot").cloned(),
            )
        };
        let truth = |a: bool, b: bool| (Some(Value::Bool(a)), Some(Value::Bool(b)));
        assert_eq!(both(&on), truth(true, true));
        assert_eq!(both(&off), truth(true, false));
        assert_eq!(both(&without), truth(false, false));
    }

    #[test]
    fn memory_is_in_mebibytes() {
        let machine = FakeSystem::new()
            .file(
                "/proc/meminfo",
                "MemTotal:  24684096 kB\nSwapTotal: 2047 kB\n",
            )
            .with_kernel(Kernel {
                name: "Linux".to_owned(),
                machine: "aarch64".to_owned(),
                ..Kernel::default()
            });

        let found = gathered(&machine);

        assert_eq!(found.get("mem_total"), Some(&Value::Int(24105)));
        assert_eq!(found.get("swap_total"), Some(&Value::Int(1)));
        assert_eq!(found.str("cpuarch"), Some("aarch64"));
    }
}
