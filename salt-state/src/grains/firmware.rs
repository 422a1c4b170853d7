//! What the firmware says of the machine: the SMBIOS tables as the kernel shows them in
//! `/sys/class/dmi/id`, or the device tree of boards that have none, and EFI.
//!
//! Values are told as they stand there: `tests/vectors/grains/firmware.json` shows that
//! Salt takes makers' placeholders (`To Be Filled By O.E.M.`, `None`) from these files
//! as they are.

use std::path::Path;

use salt_proto::Map;

use crate::system::Observe;

use super::line;

/// The kernel's file for each grain.
const TABLES: [(&str, &str); 8] = [
    ("biosversion", "bios_version"),
    ("biosvendor", "bios_vendor"),
    ("biosreleasedate", "bios_date"),
    ("boardname", "board_name"),
    ("manufacturer", "sys_vendor"),
    ("productname", "product_name"),
    ("serialnumber", "product_serial"),
    ("uuid", "product_uuid"),
];

/// The properties of a device tree's root that stand in, the better one first.
const TREE: [(&str, &str); 3] = [
    ("productname", "model"),
    ("serialnumber", "serial-number"),
    ("serialnumber", "system-id"),
];

pub(super) fn gather(machine: &dyn Observe, grains: &mut Map) {
    for (grain, file) in TABLES {
        let Some(value) = line(machine, Path::new("/sys/class/dmi/id").join(file)) else {
            continue;
        };
        let value = match grain {
            "uuid" => value.to_lowercase(),
            _ => value,
        };
        grains.insert(grain, value);
    }
    for (grain, property) in TREE {
        if grains.contains_key(grain) {
            continue;
        }
        let found = line(machine, Path::new("/proc/device-tree").join(property));
        if let Some(value) = found.filter(|value| !value.is_empty()) {
            grains.insert(grain, value);
        }
    }
    efi(machine, grains);
}

/// Whether EFI started the machine, and whether it let only signed programs run: the
/// variable `SecureBoot` of the UEFI specification, whose value is one byte. The kernel's
/// `efivars` puts four bytes of attributes before it, its older `vars` gives each variable
/// a directory.
fn efi(machine: &dyn Observe, grains: &mut Map) {
    let variables = ["/sys/firmware/efi/efivars", "/sys/firmware/efi/vars"]
        .into_iter()
        .map(Path::new)
        .find(|path| machine.exists(path));
    let secure = variables.is_some_and(|directory| {
        let names = machine.list(directory).unwrap_or_default();
        let mut named = names
            .iter()
            .filter(|name| name.to_string_lossy().starts_with("SecureBoot-"));
        let (Some(name), None) = (named.next(), named.next()) else {
            return false;
        };
        let variable = directory.join(name);
        let path = match machine.is_dir(&variable) {
            true => variable.join("data"),
            false => variable,
        };
        let content = machine.read(&path).ok().flatten().unwrap_or_default();
        content.last() == Some(&1)
    });
    grains.insert("efi", variables.is_some());
    grains.insert("efi-secure-boot", secure);
}
