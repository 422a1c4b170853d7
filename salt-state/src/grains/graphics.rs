//! Graphics processors, as lspci(8) names them.
//!
//! What Salt makes of lspci's answer is recorded in `tests/vectors/grains/hardware.json`.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::system::{Command, Observe, Output};

use super::line;

/// The makers that have a name of their own among the grains.
const MAKERS: [&str; 7] = [
    "nvidia", "amd", "ati", "intel", "matrox", "vmware", "aspeed",
];

pub(super) fn add_asked(machine: &dyn Observe, config: &Map, grains: &mut Map) {
    let wanted = config.get("enable_gpu_grains").is_none_or(Value::is_true);
    let all = match wanted && has_display(machine) {
        true => listed(machine),
        false => Vec::new(),
    };
    grains.insert("num_gpus", all.len());
    grains.insert("gpus", Value::List(all));
}

/// Whether lspci can have anything to tell: a device of PCI's base class 3.
fn has_display(machine: &dyn Observe) -> bool {
    let devices = Path::new("/sys/bus/pci/devices");
    machine
        .list(devices)
        .unwrap_or_default()
        .iter()
        .filter_map(|name| line(machine, devices.join(name).join("class")))
        .any(|class| class.starts_with("0x03"))
}

/// The display devices in the answer of `lspci -vmm`: paragraphs of `Name:<tab>value`.
fn listed(machine: &dyn Observe) -> Vec<Value> {
    if machine.which("lspci").is_none() {
        return Vec::new();
    }
    let answer = machine
        .query(&Command::new("lspci").arg("-vmm"))
        .ok()
        .filter(Output::is_success)
        .map(|output| output.stdout_text())
        .unwrap_or_default();
    answer.split("\n\n").filter_map(device).collect()
}

fn device(paragraph: &str) -> Option<Value> {
    let field = |wanted: &str| {
        paragraph
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value.trim())
    };
    let class = field("Class")?.to_ascii_lowercase();
    if ![
        "vga compatible controller",
        "3d controller",
        "display controller",
    ]
    .contains(&class.as_str())
    {
        return None;
    }
    let vendor = field("Vendor").unwrap_or_default().to_ascii_lowercase();
    let words: Vec<&str> = vendor.split(|c: char| !c.is_alphanumeric()).collect();
    let maker = MAKERS.into_iter().find(|maker| words.contains(maker));
    let device = Map::from([
        ("vendor", maker.unwrap_or("unknown")),
        ("model", field("Device").unwrap_or_default()),
    ]);
    Some(device.into())
}
