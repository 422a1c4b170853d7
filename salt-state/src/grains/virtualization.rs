//! Whether the machine is one.

use std::path::Path;
use std::time::Duration;

use salt_proto::Map;

use crate::system::{Command, Observe, Output};

use super::{line, text};

/// Values of `virtual` and `virtual_subtype`.
type Found = (String, Option<&'static str>);

pub(super) fn gather(machine: &dyn Observe, grains: &mut Map) {
    let product = grains.str("productname").unwrap_or_default();
    let (mut kind, mut subtype) = from_systemd(machine)
        .or_else(|| from_containers(machine))
        .or_else(|| from_xen(machine, product))
        .or_else(|| from_firmware(grains))
        .or_else(|| from_processor(machine))
        .unwrap_or_else(|| ("physical".to_owned(), None));
    if kind == "xen" && subtype.is_none() {
        subtype = from_xen(machine, product).and_then(|(_, subtype)| subtype);
    }
    if let Some((better, more)) = from_product(product) {
        kind = better.to_owned();
        subtype = more.or(subtype);
    }
    grains.insert("virtual", kind);
    if let Some(subtype) = subtype {
        grains.insert("virtual_subtype", subtype);
    }
}

/// Products that are more telling than what was found otherwise.
fn from_product(product: &str) -> Option<(&'static str, Option<&'static str>)> {
    [
        ("VirtualBox", "VirtualBox", None),
        ("Google", "gce", None),
        ("BHYVE", "bhyve", None),
        ("RHEV Hypervisor", "kvm", Some("rhev")),
        ("oVirt Node", "kvm", Some("ovirt")),
    ]
    .into_iter()
    .find(|(name, ..)| product.contains(name))
    .map(|(_, kind, subtype)| (kind, subtype))
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

fn from_xen(machine: &dyn Observe, product: &str) -> Option<Found> {
    let guest = line(machine, "/sys/hypervisor/type").as_deref() == Some("xen");
    let capabilities = line(machine, "/proc/xen/capabilities");
    if !guest && capabilities.is_none() {
        return None;
    }
    let privileged = capabilities.is_some_and(|text| text.contains("control_d"));
    let subtype = if privileged {
        "Xen Dom0"
    } else if product == "HVM domU" {
        "Xen HVM DomU"
    } else {
        "Xen PV DomU"
    };
    Some(("xen".to_owned(), Some(subtype)))
}

fn from_firmware(grains: &Map) -> Option<Found> {
    let maker = grains.str("manufacturer").unwrap_or_default();
    let product = grains.str("productname").unwrap_or_default();
    let found = |kind: &str, subtype| Some((kind.to_owned(), subtype));
    match maker {
        "QEMU" | "Bochs" | "Google" => found("kvm", None),
        "oVirt" => found("kvm", Some("ovirt")),
        "Nutanix" if product == "AHV" => found("kvm", Some("Nutanix AHV")),
        "Amazon EC2" if !product.contains(".metal") => found("Nitro", Some("Amazon EC2")),
        "Microsoft Corporation" if product == "Virtual Machine" => found("VirtualPC", None),
        _ if maker.starts_with("VMware") => found("VMware", None),
        _ if maker.starts_with("Parallels") => found("Parallels", None),
        _ if product == "OpenStack Nova" || product == "KVM" => found("kvm", None),
        _ => None,
    }
}

fn from_processor(machine: &dyn Observe) -> Option<Found> {
    text(machine, "/proc/cpuinfo")
        .contains("QEMU Virtual CPU")
        .then(|| ("kvm".to_owned(), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    fn found(machine: &FakeSystem, product: &str) -> (String, String) {
        let mut grains = Map::from([("productname", product)]);
        gather(machine, &mut grains);
        let text = |key| grains.str(key).unwrap_or_default().to_owned();
        (text("virtual"), text("virtual_subtype"))
    }

    /// Recorded with Salt 3008.3: the word of `systemd-detect-virt`, the product's name,
    /// `virtual` and `virtual_subtype`.
    #[test]
    fn the_words_of_systemd_and_the_products_name_become_salts() {
        for (word, product, kind, subtype) in [
            ("none", "", "physical", ""),
            ("kvm", "", "kvm", ""),
            ("qemu", "", "qemu", ""),
            ("vmware", "", "VMware", ""),
            ("microsoft", "Virtual Machine", "VirtualPC", ""),
            ("oracle", "", "oracle", ""),
            ("amazon", "", "Nitro", "Amazon EC2"),
            ("docker", "", "container", "Docker"),
            ("podman", "", "container", "Podman"),
            ("lxc", "", "container", "LXC"),
            ("lxc-libvirt", "", "container", "LXC"),
            ("systemd-nspawn", "", "systemd-nspawn", ""),
            ("wsl", "", "physical", ""),
            ("kvm", "VirtualBox", "VirtualBox", ""),
            ("kvm", "Google Compute Engine", "gce", ""),
            ("kvm", "RHEV Hypervisor", "kvm", "rhev"),
            ("kvm", "oVirt Node", "kvm", "ovirt"),
            ("none", "BHYVE", "bhyve", ""),
            ("kvm", "Droplet", "kvm", ""),
        ] {
            let machine = FakeSystem::new()
                .program("/usr/bin/systemd-detect-virt")
                .command("systemd-detect-virt", move |_| match word {
                    "none" => Output {
                        stdout: b"none\n".to_vec(),
                        ..Output::failure(1, "")
                    },
                    word => Output::success(format!("{word}\n")),
                });
            let expected = (kind.to_owned(), subtype.to_owned());
            assert_eq!(found(&machine, product), expected, "{word} {product}");
        }
    }

    #[test]
    fn a_container_shows_by_its_files() {
        let podman = FakeSystem::new().file("/run/.containerenv", "");
        let pod = FakeSystem::new().file("/proc/1/cgroup", "1:cpu:/kubepods/burstable/x\n");
        let lxc = FakeSystem::new().file("/proc/1/environ", "container=lxc\0");

        assert_eq!(found(&podman, "").1, "Podman");
        assert_eq!(found(&pod, "").1, "Docker");
        assert_eq!(found(&lxc, "").1, "LXC");
    }

    #[test]
    fn xen_is_told_apart_by_privilege_and_kind() {
        let host = FakeSystem::new().file("/proc/xen/capabilities", "control_d\n");
        let guest = FakeSystem::new().file("/sys/hypervisor/type", "xen\n");

        assert_eq!(found(&host, ""), ("xen".to_owned(), "Xen Dom0".to_owned()));
        assert_eq!(found(&guest, "HVM domU").1, "Xen HVM DomU");
        assert_eq!(found(&guest, "").1, "Xen PV DomU");
    }
}
