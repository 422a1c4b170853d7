//! Whether the machine is one.

use std::path::Path;
use std::time::Duration;

use salt_proto::Map;

use crate::system::{Command, Observe, Output};

use super::{line, text};

/// Values of `virtual` and `virtual_subtype`.
type Found = (String, Option<&'static str>);

pub(super) fn gather(machine: &dyn Observe, grains: &mut Map) {
    let (kind, subtype) = from_systemd(machine)
        .or_else(|| from_containers(machine))
        .or_else(|| from_xen(machine))
        .or_else(|| from_firmware(grains))
        .or_else(|| from_processor(machine))
        .unwrap_or_else(|| ("physical".to_owned(), None));
    grains.insert("virtual", kind);
    if let Some(subtype) = subtype {
        grains.insert("virtual_subtype", subtype);
    }
}

/// `systemd-detect-virt` knows most; its words are translated into Salt's.
fn from_systemd(machine: &dyn Observe) -> Option<Found> {
    machine.which("systemd-detect-virt")?;
    let ask = Command::new("systemd-detect-virt").timeout(Duration::from_secs(5));
    let output = machine.query(&ask).ok().filter(Output::is_success)?;
    let word = output.stdout_text().trim().to_owned();
    let container = |subtype| Some(("container".to_owned(), Some(subtype)));
    match word.as_str() {
        "qemu" | "kvm" | "oracle" | "xen" | "bochs" | "chroot" | "uml" | "systemd-nspawn" => {
            Some((word, None))
        }
        "vmware" => Some(("VMware".to_owned(), None)),
        "microsoft" => Some(("VirtualPC".to_owned(), None)),
        "amazon" => Some(("Nitro".to_owned(), Some("Amazon EC2"))),
        "docker" => container("Docker"),
        "podman" => container("Podman"),
        word if word.starts_with("lxc") => container("LXC"),
        _ => None,
    }
}

fn from_containers(machine: &dyn Observe) -> Option<Found> {
    let container = |subtype| Some(("container".to_owned(), Some(subtype)));
    if machine.exists(Path::new("/run/.containerenv")) {
        return container("Podman");
    }
    if machine.exists(Path::new("/.dockerenv")) {
        return container("Docker");
    }
    let groups = text(machine, "/proc/1/cgroup");
    if groups.contains("/docker/") || groups.contains("/kubepods") {
        return container("Docker");
    }
    if groups.contains("/lxc/") || text(machine, "/proc/1/environ").contains("container=lxc") {
        return container("LXC");
    }
    if machine.is_dir(Path::new("/proc/vz")) {
        let host = machine.is_file(Path::new("/proc/vz/version"));
        let kind = if host { "openvzhn" } else { "openvzve" };
        return Some((kind.to_owned(), None));
    }
    None
}

fn from_xen(machine: &dyn Observe) -> Option<Found> {
    let guest = line(machine, "/sys/hypervisor/type").as_deref() == Some("xen");
    let capabilities = line(machine, "/proc/xen/capabilities");
    if !guest && capabilities.is_none() {
        return None;
    }
    let privileged = capabilities.is_some_and(|text| text.contains("control_d"));
    let subtype = if privileged {
        "Xen Dom0"
    } else {
        "Xen PV DomU"
    };
    Some(("xen".to_owned(), Some(subtype)))
}

fn from_firmware(grains: &Map) -> Option<Found> {
    let maker = grains.str("manufacturer").unwrap_or_default();
    let product = grains.str("productname").unwrap_or_default();
    let found = |kind: &str, subtype| Some((kind.to_owned(), subtype));
    if product.contains("VirtualBox") {
        return found("VirtualBox", None);
    }
    match maker {
        "QEMU" | "Bochs" | "Google" => found("kvm", None),
        "oVirt" => found("kvm", Some("ovirt")),
        "Nutanix" if product == "AHV" => found("kvm", Some("Nutanix AHV")),
        "Amazon EC2" if !product.contains(".metal") => found("Nitro", Some("Amazon EC2")),
        "Microsoft Corporation" if product == "Virtual Machine" => found("VirtualPC", None),
        _ if maker.starts_with("VMware") => found("VMware", None),
        _ if maker.starts_with("Parallels") => found("Parallels", None),
        _ if product.contains("RHEV Hypervisor") => found("kvm", Some("rhev")),
        _ if product == "OpenStack Nova" || product == "KVM" => found("kvm", None),
        _ if product.to_ascii_uppercase().contains("BHYVE") => found("bhyve", None),
        _ => None,
    }
}

fn from_processor(machine: &dyn Observe) -> Option<Found> {
    text(machine, "/proc/cpuinfo")
        .contains("QEMU Virtual CPU")
        .then(|| ("kvm".to_owned(), None))
}
