//! Which distribution this is, from `os-release`.

use salt_proto::{Map, Value};

use crate::system::{Command, Observe, Output};

use super::{digits_or_text, line, text};

pub(super) fn gather(machine: &dyn Observe, grains: &mut Map) {
    let facts = Release::of(machine);
    let family = facts.family();
    let cpu = machine.kernel().machine;
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
    grains.insert("osarch", architecture(machine, &family, cpu));
    if machine.which("selinuxenabled").is_some() {
        grains.insert("selinux", selinux(machine));
    }
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
            .map(|path| text(machine, path))
            .find(|text| !text.is_empty())
            .unwrap_or_default();
        let mut this = Self {
            fields: Map::from([("NAME", "Linux"), ("ID", "linux"), ("PRETTY_NAME", "Linux")]),
            ..Self::default()
        };
        this.fields.extend(assignments(&found));

        let mut lsb = assignments(&text(machine, "/etc/lsb-release"));
        lsb.retain(|_, value| value.is_true());
        let lsb = |name| lsb.str(name).map(str::to_owned);
        if let Some(id) = lsb("DISTRIB_ID") {
            this.lsb_id = Some(id);
            this.lsb_release = lsb("DISTRIB_RELEASE");
            this.lsb_codename = lsb("DISTRIB_CODENAME");
            this.lsb_description = lsb("DISTRIB_DESCRIPTION");
            return this;
        }
        let own = |name| this.fields.str(name).map(str::to_owned);
        this.lsb_id = own("NAME");
        this.lsb_release = own("VERSION_ID");
        this.lsb_codename = own("VERSION_CODENAME").or_else(|| own("PRETTY_NAME"));
        if matches!(this.id(), "rocky" | "almalinux") {
            this.lsb_codename = this.in_parentheses().or_else(|| this.lsb_codename.take());
        }
        if this.lacks_minor() {
            this.lsb_release = None;
        }
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

    /// Who the SUSE family says made it: `cpe:/o:opensuse:leap:15.5`.
    fn is_suse(&self) -> bool {
        let cpe = self.field("CPE_NAME");
        let rest = cpe
            .strip_prefix("cpe:/")
            .or_else(|| cpe.strip_prefix("cpe:2.3:"))
            .unwrap_or_default();
        matches!(rest.split(':').nth(1), Some("suse" | "opensuse"))
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
        let known = match self.id() {
            "almalinux" => "AlmaLinux",
            "alinux" => "Alinux",
            "altlinux" => "ALT",
            "arch" => "Arch",
            "archarm" => "Arch ARM",
            "astra" if name.contains("Orel") => "AstraLinuxCE",
            "astra" if name.contains("Smolensk") => "AstraLinuxSE",
            "cloudlinux" => "CloudLinux",
            "debian" => "Debian",
            "fedora" => "Fedora",
            "gentoo" => "Gentoo",
            "linuxmint" => "Mint",
            "manjaro" => "Manjaro",
            "mendel" => "Mendel",
            "neon" => "KDE neon",
            "ol" => "OEL",
            "photon" => "VMware Photon OS",
            "pop" => "Pop",
            "poky" => "Poky",
            "raspbian" => "Raspbian",
            "rhel" => "RedHat",
            "rocky" => "Rocky",
            "scientific" => "ScientificLinux",
            "univention" => "Univention",
            "virtuozzo" => "Virtuozzo",
            "void" => "Void",
            _ => return without_linux(name),
        };
        known.to_owned()
    }

    fn family(&self) -> String {
        let os = self.os();
        let family = match os.as_str() {
            "AstraLinuxCE" | "AstraLinuxSE" | "Cumulus" | "Deepin" | "Devuan" | "IDMS"
            | "KDE neon" | "Kali" | "Linaro" | "Mendel" | "Mint" | "OSMC" | "Parrot OS" | "Pop"
            | "Raspbian" | "Trisquel" | "TurnKey" | "Ubuntu" | "Univention" | "antiX"
            | "elementary" | "elementary OS" | "neon" => "Debian",
            "ALT" | "Alinux" | "AlmaLinux" | "AlmaLinux Kitten" | "AlterOS" | "Amazon"
            | "CentOS" | "CentOS Stream" | "CloudLinux" | "Fedora" | "OEL" | "OVS" | "RED OS"
            | "RES" | "RedHat" | "Rocky" | "Sangoma" | "ScientificLinux" | "VMware Photon OS"
            | "Virtuozzo" | "XCP" | "XCP-ng" | "XenServer" | "openEuler" => "RedHat",
            "SLED"
            | "SLES"
            | "SLES_SAP"
            | "openSUSE"
            | "openSUSE Leap"
            | "openSUSE Tumbleweed"
            | "SUSE" => "Suse",
            "Antergos" | "Arch ARM" | "EndeavourOS" | "Manjaro" | "Manjaro ARM" => "Arch",
            "Funtoo" => "Gentoo",
            _ => return os,
        };
        family.to_owned()
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
            let line = line(machine, "/etc/centos-release").unwrap_or_default();
            return line
                .split_whitespace()
                .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
                .map_or_else(|| self.field("VERSION_ID").to_owned(), str::to_owned);
        }
        if self.id() == "debian" {
            // What becomes the next release has no number yet: `trixie/sid`.
            return line(machine, "/etc/debian_version").unwrap_or_default();
        }
        self.field("VERSION_ID").to_owned()
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

/// Takes "Linux" and "GNU/Linux" with the character before it out of a name.
fn without_linux(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let mut out = String::new();
    let mut rest = 0;
    while let Some(found) = lower.get(rest..).and_then(|text| text.find("linux")) {
        let at = rest + found;
        let end = at + "linux".len();
        let before = name.get(rest..at).unwrap_or_default();
        let before = match before
            .len()
            .checked_sub(4)
            .and_then(|cut| before.split_at_checked(cut))
        {
            Some((start, gnu)) if gnu.eq_ignore_ascii_case("gnu/") => start,
            _ => before,
        };
        let mut characters = before.chars();
        match characters.next_back() {
            Some(last) if !last.is_alphanumeric() && last != '_' => {
                out.push_str(characters.as_str());
            }
            _ => out.push_str(name.get(rest..end).unwrap_or_default()),
        }
        rest = end;
    }
    out.push_str(name.get(rest..).unwrap_or_default());
    out.trim().to_owned()
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
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out
}

/// What the package manager calls the processor.
fn architecture(machine: &dyn Observe, family: &str, cpu: String) -> String {
    if family != "Debian" {
        return cpu;
    }
    let asked = Command::new("dpkg").arg("--print-architecture");
    machine
        .query(&asked)
        .ok()
        .filter(Output::is_success)
        .map(|output| output.stdout_text().trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| match cpu.as_str() {
            "x86_64" => "amd64".to_owned(),
            "i386" | "i486" | "i586" | "i686" => "i386".to_owned(),
            "aarch64" => "arm64".to_owned(),
            "armv7l" | "armv8l" => "armhf".to_owned(),
            "armv5tel" | "armv6l" => "armel".to_owned(),
            "ppc64le" => "ppc64el".to_owned(),
            _ => cpu,
        })
}

/// Whether SELinux is on, and what `getenforce(8)` would say.
fn selinux(machine: &dyn Observe) -> Map {
    let enforced = match line(machine, "/sys/fs/selinux/enforce").as_deref() {
        Some("1") => "Enforcing",
        Some(_) => "Permissive",
        None => "Disabled",
    };
    Map::from([
        ("enabled", Value::Bool(enforced != "Disabled")),
        ("enforced", enforced.into()),
    ])
}
