//! Whether the machine is one.
//!
//! Several voices speak in turn, and a later one corrects what was heard before: a
//! program that knows, OpenVZ's and Xen's files, the processor's name, the product's name
//! and the control groups of the first process. Which voices count, for what and in which
//! order is what the recordings in `tests/vectors/grains/virtual.json` show; the words are
//! those of systemd-detect-virt(1) and virt-what(1).

use std::path::Path;
use std::time::Duration;

use salt_proto::Map;

use crate::system::{Command, Observe};

use super::{line, text};

/// The grains `virtual` and `virtual_subtype` as they are known so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Verdict {
    kind: Option<&'static str>,
    subtype: Option<&'static str>,
}

impl Verdict {
    const fn of(kind: &'static str) -> Self {
        Self {
            kind: Some(kind),
            subtype: None,
        }
    }

    const fn with(kind: &'static str, subtype: &'static str) -> Self {
        Self {
            kind: Some(kind),
            subtype: Some(subtype),
        }
    }

    /// What `later` says counts; about what it is silent, this stays.
    fn corrected(self, later: Self) -> Self {
        Self {
            kind: later.kind.or(self.kind),
            subtype: later.subtype.or(self.subtype),
        }
    }
}

pub(super) fn add_asked(machine: &dyn Observe, grains: &mut Map) {
    let maker = grains.str("manufacturer").unwrap_or_default();
    let product = grains.str("productname").unwrap_or_default();
    let found = asked(machine, maker, product)
        .corrected(open_vz(machine))
        .corrected(xen(machine, product))
        .corrected(processor(machine))
        .corrected(of_product(product));
    let found = container(machine, found);
    grains.insert("virtual", found.kind.unwrap_or("physical"));
    if let Some(subtype) = found.subtype {
        grains.insert("virtual_subtype", subtype);
    }
}

/// What a program says whose business this is. `virt-what`, a slow script, is asked where
/// systemd has no answer or one that it words differently.
fn asked(machine: &dyn Observe, maker: &str, product: &str) -> Verdict {
    let first = said_by(machine, "systemd-detect-virt", of_systemd);
    if first.kind.is_some_and(|kind| kind != "VirtualPC") {
        return first;
    }
    if machine.which("virt-what").is_some() {
        return first.corrected(said_by(machine, "virt-what", of_virt_what));
    }
    // dmidecode(8) prints the tables that the kernel shows in files, so it does not have
    // to run; but Salt looks at them here only where it is installed.
    match first.kind.is_none() && machine.which("dmidecode").is_some() {
        true => of_maker(maker, product),
        false => first,
    }
}

/// The first line of a program's answer that has a meaning.
fn said_by(machine: &dyn Observe, program: &str, meaning: fn(&str) -> Option<Verdict>) -> Verdict {
    if machine.which(program).is_none() {
        return Verdict::default();
    }
    let ask = Command::new(program).timeout(Duration::from_secs(10));
    machine
        .query(&ask)
        .ok()
        .filter(crate::system::Output::is_success)
        .and_then(|answer| {
            answer
                .stdout_text()
                .lines()
                .find_map(|word| meaning(word.trim()))
        })
        .unwrap_or_default()
}

fn of_systemd(word: &str) -> Option<Verdict> {
    Some(match word {
        "amazon" => Verdict::with("Nitro", "Amazon EC2"),
        "bochs" => Verdict::of("bochs"),
        "chroot" => Verdict::of("chroot"),
        "docker" => Verdict::with("container", "Docker"),
        "kvm" => Verdict::of("kvm"),
        "lxc" | "lxc-libvirt" => Verdict::with("container", "LXC"),
        "microsoft" => Verdict::of("VirtualPC"),
        "oracle" => Verdict::of("oracle"),
        "podman" => Verdict::with("container", "Podman"),
        "qemu" => Verdict::of("qemu"),
        "systemd-nspawn" => Verdict::of("systemd-nspawn"),
        "uml" => Verdict::of("uml"),
        "vmware" => Verdict::of("VMware"),
        "xen" => Verdict::of("xen"),
        _ => return None,
    })
}

fn of_virt_what(word: &str) -> Option<Verdict> {
    Some(match word {
        "docker" => Verdict::with("container", "Docker"),
        "hyperv" => Verdict::of("HyperV"),
        "ibm_power-kvm" | "kvm" => Verdict::of("kvm"),
        "ibm_power-lpar_dedicated" => Verdict::with("LPAR", "dedicated"),
        "ibm_power-lpar_shared" => Verdict::with("LPAR", "shared"),
        "lxc" => Verdict::with("container", "LXC"),
        "nutanix_ahv" => Verdict::with("kvm", "Nutanix AHV"),
        "parallels" => Verdict::of("Parallels"),
        "qemu" => Verdict::of("qemu"),
        "uml" => Verdict::of("uml"),
        "vmware" => Verdict::of("VMware"),
        "xen" => Verdict::of("xen"),
        _ => return None,
    })
}

/// Whose hardware it pretends to be.
fn of_maker(maker: &str, product: &str) -> Verdict {
    let made_by = |name: &str| maker.contains(name);
    if made_by("VMware") || product.contains("VMware") {
        Verdict::of("VMware")
    } else if made_by("Microsoft") && product == "Virtual Machine" {
        Verdict::of("VirtualPC")
    } else if made_by("Parallels") {
        Verdict::of("Parallels")
    } else if made_by("oVirt") {
        Verdict::with("kvm", "ovirt")
    } else if made_by("Nutanix") && product == "AHV" {
        Verdict::with("kvm", "Nutanix AHV")
    } else if made_by("BHYVE") {
        Verdict::of("bhyve")
    } else if made_by("QEMU") || made_by("Bochs") || made_by("Google") {
        Verdict::of("kvm")
    } else {
        Verdict::default()
    }
}

/// OpenVZ has `/proc/vz` on both sides, the node's own version only on the node.
fn open_vz(machine: &dyn Observe) -> Verdict {
    let has = |name| machine.exists(&Path::new("/proc/vz").join(name));
    if has("version") {
        Verdict::of("openvzhn")
    } else if has("veinfo") {
        Verdict::of("openvzve")
    } else {
        Verdict::default()
    }
}

/// Xen's files are in `/proc/xen` (Dom0 and older guests) and on its own bus.
fn xen(machine: &dyn Observe, product: &str) -> Verdict {
    let full = product == "HVM domU";
    let capabilities = line(machine, "/proc/xen/capabilities");
    if capabilities
        .as_deref()
        .is_some_and(|text| text.contains("control_d"))
    {
        return Verdict::with("xen", "Xen Dom0");
    }
    let console = || machine.exists(Path::new("/sys/bus/xen/drivers/xenconsole"));
    let disk = || {
        let devices = machine.list(Path::new("/sys/bus/xen/devices"));
        let is_disk = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("vbd-");
        devices.unwrap_or_default().iter().any(is_disk)
    };
    if capabilities.is_none() && !console() && !(full && disk()) {
        return Verdict::default();
    }
    Verdict::with("xen", if full { "Xen HVM DomU" } else { "Xen PV DomU" })
}

fn processor(machine: &dyn Observe) -> Verdict {
    match text(machine, "/proc/cpuinfo").contains("QEMU Virtual CPU") {
        true => Verdict::of("kvm"),
        false => Verdict::default(),
    }
}

/// Products that are more telling than what was found otherwise.
fn of_product(product: &str) -> Verdict {
    let all = [
        ("BHYVE", Verdict::of("bhyve")),
        ("Google", Verdict::of("gce")),
        ("RHEV Hypervisor", Verdict::with("kvm", "rhev")),
        ("VirtualBox", Verdict::of("VirtualBox")),
        ("oVirt Node", Verdict::with("kvm", "ovirt")),
    ];
    all.into_iter()
        .find(|(name, _)| product.contains(name))
        .map(|(_, verdict)| verdict)
        .unwrap_or_default()
}

/// In which container the first process is. A pod is in one, whatever runs below it.
fn container(machine: &dyn Observe, found: Verdict) -> Verdict {
    let groups = text(machine, "/proc/1/cgroup");
    let below = |path: &str| groups.contains(&format!(":{path}"));
    let said = text(machine, "/proc/1/environ");
    if said.contains("container=lxc") || below("/lxc/") {
        Verdict::with("container", "LXC")
    } else if below("/kubepods/") {
        Verdict::with(found.kind.unwrap_or("virtual"), "kubernetes")
    } else if below("/docker/") || below("/system.slice/docker") {
        Verdict::with("container", "Docker")
    } else {
        found
    }
}
