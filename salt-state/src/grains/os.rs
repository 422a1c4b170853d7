//! Which distribution this is, from os-release(5) and `/etc/lsb-release`.
//!
//! Which of their values become which grain, and by which word Salt calls a distribution,
//! is what the recordings in `tests/vectors/grains/os-release.json` (whole files of
//! distributions) and `os-rules.json` (files with one thing changed) show.

use std::path::Path;

use salt_proto::{Map, Value};

use crate::system::{Command, Observe, Output};

use super::{digits_or_text, line, text};

pub(super) fn gather(machine: &dyn Observe, grains: &mut Map) {
    let facts = Release::of(machine);
    let family = facts.family();
    grains.insert("os", facts.os());
    grains.insert("os_family", family.as_str());
    grains.insert("osfullname", facts.full_name());
    grains.insert("oscodename", facts.codename());
    for (grain, value) in [
        ("lsb_distrib_id", &facts.lsb_id),
        ("lsb_distrib_release", &facts.lsb_release),
        ("lsb_distrib_codename", &facts.lsb_codename),
        ("lsb_distrib_description", &facts.lsb_description),
    ] {
        if let Some(value) = value {
            grains.insert(grain, value.as_str());
        }
    }
    let release = facts.release(machine);
    if !release.is_empty() {
        let info: Vec<Value> = release.split('.').map(digits_or_text).collect();
        if let Some(Value::Int(major)) = info.first() {
            grains.insert("osmajorrelease", *major);
        }
        grains.insert("osfinger", facts.finger(&release));
        grains.insert("osrelease_info", info);
    }
    grains.insert("osrelease", release);
    grains.insert("osarch", ());
    if machine.which("selinuxenabled").is_some() {
        grains.insert("selinux", selinux(machine));
    }
}

/// What the package manager says.
pub(super) fn add_asked(machine: &dyn Observe, grains: &mut Map) {
    let family = grains.str("os_family").unwrap_or_default();
    let architecture = architecture(machine, family, machine.kernel().machine);
    grains.insert("osarch", architecture);
}

/// What the release files say.
#[derive(Debug, Default)]
struct Release {
    /// `/etc/os-release`: its keys and values.
    fields: Map,
    lsb_id: Option<String>,
    lsb_release: Option<String>,
    lsb_codename: Option<String>,
    lsb_description: Option<String>,
}

impl Release {
    fn of(machine: &dyn Observe) -> Self {
        let found = ["/etc/os-release", "/usr/lib/os-release"]
            .into_iter()
            .map(Path::new)
            .find(|path| machine.exists(path));
        let lsb = lsb_release(&text(machine, "/etc/lsb-release"));
        let mut this = Self::default();
        if let Some(path) = found {
            this.fields = Map::from([("NAME", "Linux"), ("ID", "linux"), ("PRETTY_NAME", "Linux")]);
            let content = machine.text(path).ok().flatten().unwrap_or_default();
            this.fields.extend(assignments(&content));
        }
        let own = |name| this.fields.str(name).map(str::to_owned);
        if lsb.contains_key("DISTRIB_ID") {
            let said = |name| lsb.str(name).map(str::to_owned);
            this.lsb_id = said("DISTRIB_ID");
            this.lsb_release = said("DISTRIB_RELEASE");
            this.lsb_codename = said("DISTRIB_CODENAME");
            this.lsb_description = said("DISTRIB_DESCRIPTION");
            return this;
        }
        this.lsb_id = own("NAME").map(|name| name.trim().to_owned());
        this.lsb_codename = own("VERSION_CODENAME").or_else(|| own("PRETTY_NAME"));
        if matches!(this.os().as_str(), "Rocky" | "AlmaLinux") {
            this.lsb_codename = this.in_parentheses().or_else(|| this.lsb_codename.take());
        }
        this.lsb_release = match this.product() {
            Some(("opensuse", version)) => Some(version.to_owned()),
            _ if this.lacks_minor() => None,
            _ => this.fields.str("VERSION_ID").map(str::to_owned),
        };
        this
    }

    fn field(&self, name: &str) -> &str {
        self.fields.str(name).unwrap_or_default()
    }

    fn id(&self) -> &str {
        self.field("ID")
    }

    /// CentOS 7 and 8 keep the minor number to themselves.
    fn lacks_minor(&self) -> bool {
        let codename = self.lsb_codename.as_deref().unwrap_or_default();
        codename.contains("CentOS Linux 7") || codename.contains("CentOS Linux 8")
    }

    /// The name between parentheses in `VERSION="9.3 (Blue Onyx)"`.
    fn in_parentheses(&self) -> Option<String> {
        let (_, rest) = self.field("VERSION").split_once('(')?;
        Some(rest.split_once(')')?.0.to_owned())
    }

    /// Vendor, in small letters, and version in the product's CPE name, either form:
    /// `cpe:/o:opensuse:leap:15.5`, `cpe:2.3:o:suse:sles:15:*:…`.
    fn product(&self) -> Option<(&'static str, &str)> {
        let name = self.field("CPE_NAME");
        let rest = name
            .strip_prefix("cpe:2.3:")
            .or_else(|| name.strip_prefix("cpe:/"))?;
        let mut parts = rest.split(':').skip(1);
        let (vendor, _product, version) = (parts.next()?, parts.next()?, parts.next()?);
        let vendor = ["opensuse", "suse"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(vendor))?;
        Some((vendor, version))
    }

    fn is_suse(&self) -> bool {
        self.product().is_some()
    }

    fn full_name(&self) -> String {
        let name = self.field("NAME").trim();
        match (name, self.field("VERSION")) {
            ("openSUSE Leap", _) if self.is_suse() => "Leap".to_owned(),
            (_, "Tumbleweed") if self.is_suse() => "Tumbleweed".to_owned(),
            _ => name.to_owned(),
        }
    }

    /// The grain `os`: Salt's own word for some, else the name without "Linux".
    fn os(&self) -> String {
        if self.is_suse() {
            return "SUSE".to_owned();
        }
        let name = self.field("NAME").trim();
        match self.id() {
            "pop" if name.starts_with("Pop!") => return "Pop".to_owned(),
            "astra" if name.contains("Orel") => return "AstraLinuxCE".to_owned(),
            "astra" if name.contains("Smolensk") => return "AstraLinuxSE".to_owned(),
            _ => {}
        }
        let exact = NAMES.iter().find(|(known, _)| *known == name);
        let begun = || BEGINNINGS.iter().find(|(known, _)| name.starts_with(known));
        exact
            .or_else(begun)
            .map_or_else(|| without_linux(name), |(_, os)| (*os).to_owned())
    }

    /// A distribution that belongs to no family is one.
    fn family(&self) -> String {
        let os = self.os();
        let family = FAMILIES
            .iter()
            .find(|(_, members)| members.contains(&os.as_str()));
        family.map_or(os, |(family, _)| (*family).to_owned())
    }

    fn codename(&self) -> String {
        let codename = self.lsb_codename.as_deref().unwrap_or_default().trim();
        if codename.contains("Red Hat") {
            return self.in_parentheses().unwrap_or_default();
        }
        codename.to_owned()
    }

    fn release(&self, machine: &dyn Observe) -> String {
        if let Some(release) = &self.lsb_release {
            return release.trim().to_owned();
        }
        if self.lacks_minor() {
            return number_in(machine, "/etc/centos-release")
                .unwrap_or_else(|| self.field("VERSION_ID").to_owned());
        }
        if self.id() == "debian" {
            // What becomes the next release has no number yet: `trixie/sid`.
            return line(machine, "/etc/debian_version").unwrap_or_default();
        }
        match self.field("VERSION_ID") {
            "" => number_in(machine, "/etc/gentoo-release").unwrap_or_default(),
            version => version.to_owned(),
        }
    }

    /// Name and release in one word: the whole release where two of a year differ.
    fn finger(&self, release: &str) -> String {
        let os = self.os();
        let name = match os.as_str() {
            "Debian" | "Raspbian" | "AlmaLinux" => os.clone(),
            _ => self.full_name(),
        };
        let release = match os.as_str() {
            "Ubuntu" | "Pop" | "NixOS" => release,
            _ => release.split('.').next().unwrap_or_default(),
        };
        format!("{name}-{release}")
    }
}

/// Names with a word of Salt's own.
const NAMES: [(&str, &str); 7] = [
    ("Enterprise", "OEL"),
    ("Fedora Remix for WSL", "Fedora"),
    ("Linux Mint", "Mint"),
    ("Oracle Linux Server", "OEL"),
    ("Photon", "VMware Photon OS"),
    ("SLES", "SUSE"),
    ("neon", "KDE neon"),
];

/// Names that stand for all that begin like them.
const BEGINNINGS: [(&str, &str); 6] = [
    ("Alibaba Cloud Linux", "Alinux"),
    ("AlmaLinux", "AlmaLinux"),
    ("Amazon Linux", "Amazon"),
    ("Red Hat Enterprise Linux", "RedHat"),
    ("Scientific", "ScientificLinux"),
    ("Univention", "Univention"),
];

/// The families and who belongs to them besides the one with the family's name.
const FAMILIES: [(&str, &[&str]); 6] = [
    (
        "Arch",
        &[
            "Antergos",
            "Arch ARM",
            "EndeavourOS",
            "Manjaro",
            "Manjaro ARM",
        ],
    ),
    (
        "Debian",
        &[
            "AstraLinuxCE",
            "AstraLinuxSE",
            "Cumulus",
            "Deepin",
            "Devuan",
            "GCEL",
            "IDMS",
            "KDE neon",
            "Kali",
            "Linaro",
            "Mendel",
            "Mint",
            "OSMC",
            "Parrot OS",
            "Pop",
            "Raspbian",
            "Trisquel",
            "TurnKey",
            "Ubuntu",
            "Univention",
            "antiX",
            "elementary",
            "elementary OS",
        ],
    ),
    ("Gentoo", &["Funtoo"]),
    ("Mandriva", &["Mandrake"]),
    (
        "RedHat",
        &[
            "ALT",
            "Alinux",
            "AlmaLinux",
            "AlterOS",
            "Amazon",
            "CentOS",
            "CentOS Stream",
            "CloudLinux",
            "Fedora",
            "OEL",
            "OVS",
            "RED OS",
            "RES",
            "Rocky",
            "Sangoma",
            "ScientificLinux",
            "VMware Photon OS",
            "Virtuozzo",
            "XCP",
            "XCP-ng",
            "XenServer",
            "openEuler",
        ],
    ),
    (
        "Suse",
        &[
            "SLED",
            "SLES_SAP",
            "SUSE",
            "SUSE Enterprise Server",
            "openSUSE",
            "openSUSE Leap",
            "openSUSE Tumbleweed",
        ],
    ),
];

/// A name without "Linux" and "GNU/Linux" where a separator stands before it.
fn without_linux(name: &str) -> String {
    let mut kept = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.to_ascii_lowercase().find("linux") {
        let (before, after) = rest.split_at(at);
        let (word, after) = after.split_at("linux".len());
        match without_separator(before) {
            Some(before) => kept.push_str(before),
            None => kept.extend([before, word]),
        }
        rest = after;
    }
    kept.push_str(rest);
    kept.trim().to_owned()
}

/// What is before ` `, `/` or ` GNU/` at the end; `None` when no separator is there.
fn without_separator(text: &str) -> Option<&str> {
    let cut = |text: &'_ str| {
        let last = text.chars().next_back()?;
        (!last.is_alphanumeric() && last != '_').then(|| text.len() - last.len_utf8())
    };
    let gnu = text
        .len()
        .checked_sub("gnu/".len())
        .and_then(|at| text.split_at_checked(at))
        .filter(|(_, tail)| tail.eq_ignore_ascii_case("gnu/"))
        .and_then(|(head, _)| cut(head));
    text.get(..gnu.or_else(|| cut(text))?)
}

/// The first word of a release file that begins with a digit: `CentOS Linux release
/// 7.9.2009 (Core)`.
fn number_in(machine: &dyn Observe, path: &str) -> Option<String> {
    line(machine, path)?
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
        .map(str::to_owned)
}

/// The lines of `/etc/lsb-release`; a value without quotes ends at a blank, and an empty
/// one is none.
fn lsb_release(text: &str) -> Map {
    let mut all = Map::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let quoted = ['"', '\'']
            .into_iter()
            .find_map(|quote| value.strip_prefix(quote)?.split(quote).next());
        let plain = || value.split_whitespace().next();
        if let Some(value) = quoted.or_else(plain).filter(|value| !value.is_empty()) {
            all.insert(name, value);
        }
    }
    all
}

/// `NAME="value"` lines as a shell reads them: os-release(5).
fn assignments(text: &str) -> Map {
    let mut all = Map::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = line.split_once('=') {
            all.insert(name, unquoted(value));
        }
    }
    all
}

fn unquoted(value: &str) -> String {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(literal) = inside('\'') {
        return literal.to_owned();
    }
    let mut out = String::with_capacity(value.len());
    let mut characters = inside('"').unwrap_or(value).chars();
    while let Some(ch) = characters.next() {
        match ch {
            '\\' => match characters.next() {
                Some(special @ ('\\' | '$' | '"' | '`')) => out.push(special),
                other => out.extend(['\\'].into_iter().chain(other)),
            },
            other => out.push(other),
        }
    }
    out
}

/// What the package manager calls the processor: dpkg has words of its own, rpm only for
/// the processors that the kernel names more finely.
fn architecture(machine: &dyn Observe, family: &str, cpu: String) -> String {
    let asked = match family {
        "Debian" => Command::new("dpkg").arg("--print-architecture"),
        "RedHat" | "Suse" if cpu.starts_with("arm") && machine.which("rpm").is_some() => {
            Command::new("rpm").args(["--eval", "%{_host_cpu}"])
        }
        _ => return cpu,
    };
    machine
        .query(&asked)
        .ok()
        .filter(Output::is_success)
        .map(|output| output.stdout_text().trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or(cpu)
}

/// Whether SELinux is on, and, where getenforce(8) is installed, what it would say; read
/// where that program reads it.
fn selinux(machine: &dyn Observe) -> Map {
    let enforced = match line(machine, "/sys/fs/selinux/enforce").as_deref() {
        Some("1") => "Enforcing",
        Some(_) => "Permissive",
        None => "Disabled",
    };
    let mut found = Map::from([("enabled", enforced != "Disabled")]);
    if machine.which("getenforce").is_some() {
        found.insert("enforced", enforced);
    }
    found
}
