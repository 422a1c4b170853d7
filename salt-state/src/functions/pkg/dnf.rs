//! `pkg.*` of machines where dnf installs packages of rpm (Salt's `yumpkg`).

use std::collections::BTreeMap;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

pub(crate) mod asked;
pub(crate) mod change;
pub(crate) mod groups;
pub(crate) mod holds;
pub(crate) mod repos;
mod rpm;
pub(crate) mod transaction;

type Answer = Result<Value, CallError>;

/// The grain `os_family` of the machines meant here.
const FAMILY: &str = "RedHat";

pub(super) fn register(registry: &mut Registry) {
    asked::register(registry);
    change::register(registry);
    groups::register(registry);
    holds::register(registry);
    repos::register(registry);
    rpm::register(registry);
}

/// Refuses a machine without rpm.
fn needs_rpm(context: &Context<'_>, function: &str) -> Result<(), CallError> {
    if context.system.which("rpm").is_some() {
        return Ok(());
    }
    Err(CallError::Unavailable(function.to_owned()))
}

pub(crate) use rpm::{described, verify};

/// A command of dnf.
pub(crate) fn dnf<I: IntoIterator<Item: Into<std::ffi::OsString>>>(args: I) -> Command {
    tool::plain("dnf").args(args)
}

/// A stated option, whether the signature knows it or not.
pub(crate) fn stated<'a>(args: &'a Args, name: &str) -> Option<&'a Value> {
    args.keywords()
        .get(name)
        .or_else(|| args.given(name))
        .filter(|value| value.is_true())
}

/// A list, or the items of a text, between which there are commas.
pub(crate) fn items(value: &Value) -> Vec<String> {
    match value {
        Value::List(items) => items.iter().map(python::str).collect(),
        other => python::str(other)
            .split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect(),
    }
}

/// Which sources a command uses.
pub(crate) fn repo_options(args: &Args) -> Vec<String> {
    let text = |name: &str| stated(args, name).map(python::str);
    if let Some(from) = text("fromrepo").or_else(|| text("repo")) {
        return vec!["--disablerepo=*".to_owned(), format!("--enablerepo={from}")];
    }
    let mut options = Vec::new();
    if let Some(repo) = text("disablerepo") {
        options.push(format!("--disablerepo={repo}"));
    }
    if let Some(repo) = text("enablerepo") {
        options.push(format!("--enablerepo={repo}"));
    }
    options
}

/// Settings of dnf for one command.
pub(crate) fn settings(args: &Args) -> Vec<String> {
    stated(args, "setopt")
        .map(items)
        .unwrap_or_default()
        .into_iter()
        .map(|item| format!("--setopt={item}"))
        .collect()
}

/// All options by which packages are chosen.
pub(crate) fn options(args: &Args) -> Vec<String> {
    let mut options = repo_options(args);
    if let Some(value) = stated(args, "disableexcludes") {
        options.push(format!("--disableexcludes={}", python::str(value)));
    }
    if let Some(value) = stated(args, "branch") {
        options.push(format!("--branch={}", python::str(value)));
    }
    options.extend(settings(args));
    options
}

/// One package of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// The name, with the architecture where that is another than the machine's.
    pub(crate) name: String,
    pub(crate) arch: String,
    /// Epoch, version and release.
    pub(crate) version: String,
    pub(crate) repo: String,
}

/// The architectures that rpm knows.
const ARCHES: [&str; 47] = [
    "x86_64",
    "athlon",
    "amd64",
    "ia32e",
    "ia64",
    "geode",
    "i386",
    "i486",
    "i586",
    "i686",
    "ppc",
    "ppc64",
    "ppc64le",
    "ppc64iseries",
    "ppc64pseries",
    "s390",
    "s390x",
    "sparc",
    "sparcv8",
    "sparcv9",
    "sparcv9v",
    "sparc64",
    "sparc64v",
    "alpha",
    "alphaev4",
    "alphaev45",
    "alphaev5",
    "alphaev56",
    "alphapca56",
    "alphaev6",
    "alphaev67",
    "alphaev68",
    "alphaev7",
    "armv5tel",
    "armv5tejl",
    "armv6l",
    "armv6hl",
    "armv7l",
    "armv7hl",
    "armv7hnl",
    "aarch64",
    "riscv64",
    "loongarch64",
    "noarch",
    "sh3",
    "sh4",
    "sh4a",
];

/// An architecture that rpm knows, empty for another.
pub(crate) fn arch(name: &str) -> &'static str {
    let known = ARCHES.into_iter().find(|known| *known == name);
    known.unwrap_or_default()
}

/// Whether a text is an architecture that rpm knows.
pub(crate) fn is_arch(name: &str) -> bool {
    !arch(name).is_empty()
}

/// A name without the architecture that goes without saying.
pub(crate) fn normalized<'a>(own: &str, name: &'a str) -> &'a str {
    match name.rsplit_once('.') {
        Some((short, arch)) if is_arch(arch) && (arch == own || arch == "noarch") => short,
        _ => name,
    }
}

/// The machine's architecture.
pub(crate) fn own_arch(grains: &crate::grains::Grains) -> &str {
    grains.str("osarch").unwrap_or_default()
}

/// The packages that `dnf list` and its like show: three words each, however the lines
/// are broken.
pub(crate) fn listed(own: &str, text: &str) -> Vec<Package> {
    let mut all = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    for line in text.lines() {
        let here: Vec<&str> = line.split_whitespace().collect();
        // `Available Packages`, `Last metadata expiration check: …`
        let is_heading = words.is_empty() && here.first().is_some_and(|word| !word.contains('.'));
        if is_heading {
            continue;
        }
        words.extend(here);
        if words.len() < 3 {
            continue;
        }
        if let [full, version, repo] = words.as_slice()
            && let Some((name, arch)) = full.rsplit_once('.')
            && is_arch(arch)
        {
            all.push(Package {
                name: if arch == own || arch == "noarch" {
                    name.to_owned()
                } else {
                    (*full).to_owned()
                },
                arch: arch.to_owned(),
                version: version.strip_prefix("0:").unwrap_or(version).to_owned(),
                repo: (*repo).to_owned(),
            });
        }
        words.clear();
    }
    all
}

/// The name, as lists have it, and the version of a line of a transaction.
fn listed_words(own: &str, words: &[&str]) -> Option<(String, String)> {
    let [name, arch, version, ..] = words else {
        return None;
    };
    let name = if *arch == own || *arch == "noarch" {
        (*name).to_owned()
    } else {
        format!("{name}.{arch}")
    };
    let version = version.strip_prefix("0:").unwrap_or(version);
    Some((name, version.to_owned()))
}

/// The question for all that is installed.
pub(crate) fn all_installed() -> Command {
    tool::plain("rpm").args([
        "-qa",
        "--nodigest",
        "--nosignature",
        "--queryformat",
        "%{NAME}_|-%{EPOCH}_|-%{VERSION}_|-%{RELEASE}_|-%{ARCH}_|-(none)_|-%{INSTALLTIME}\n",
    ])
}

/// An installed package as rpm tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    pub(crate) name: String,
    pub(crate) epoch: Option<String>,
    pub(crate) version: String,
    pub(crate) release: String,
    pub(crate) arch: String,
    /// Seconds since 1970.
    pub(crate) at: Option<i64>,
}

impl Installed {
    /// One line of the answer to [`all_installed`].
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let parts: Vec<&str> = line.split("_|-").collect();
        let [name, epoch, version, release, arch, _, at] = parts.as_slice() else {
            return None;
        };
        let stated = |text: &str| (!matches!(text, "" | "(none)" | "0")).then(|| text.to_owned());
        Some(Self {
            name: (*name).to_owned(),
            epoch: stated(epoch),
            version: (*version).to_owned(),
            release: (*release).to_owned(),
            arch: (*arch).to_owned(),
            at: at.trim().parse().ok(),
        })
    }

    /// The name in lists: with the architecture where that is another than the machine's.
    pub(crate) fn shown(&self, own: &str) -> String {
        if self.arch == own || matches!(self.arch.as_str(), "noarch" | "(none)" | "") {
            self.name.clone()
        } else {
            format!("{}.{}", self.name, self.arch)
        }
    }

    /// Epoch, version and release.
    pub(crate) fn full_version(&self) -> String {
        let epoch = self.epoch.as_ref().map(|epoch| format!("{epoch}:"));
        let release = match self.release.as_str() {
            "" | "(none)" => String::new(),
            release => format!("-{release}"),
        };
        format!("{}{}{release}", epoch.unwrap_or_default(), self.version)
    }

    /// When it was installed, as Salt writes it.
    pub(crate) fn date(&self) -> Option<String> {
        let at = crate::jinja::date::DateTime::from_unix(self.at? as f64)?;
        Some(format!("{}+00:00Z", at.iso('T')))
    }
}

/// All packages that are installed, as rpm lists them.
pub(crate) fn installed(machine: &dyn Observe) -> Result<Vec<Installed>, CallError> {
    let text = tool::ask(machine, &all_installed())?.stdout_text();
    Ok(text.lines().filter_map(Installed::parse).collect())
}

/// Versions by name; several of one, sorted.
pub(crate) fn versions(machine: &dyn Observe, own: &str) -> Result<Versions, CallError> {
    let mut all = Versions::new();
    for package in installed(machine)? {
        all.entry(package.shown(own))
            .or_default()
            .push(package.full_version());
    }
    for list in all.values_mut() {
        list.sort();
        list.dedup();
    }
    Ok(all)
}

/// Versions by name.
pub(crate) type Versions = BTreeMap<String, Vec<String>>;

/// Versions as one text each, as Salt has them.
pub(crate) fn joined(versions: Versions) -> BTreeMap<String, String> {
    versions
        .into_iter()
        .map(|(name, list)| (name, list.join(",")))
        .collect()
}

/// The command that forgets how old the lists of packages are.
fn expire(args: &Args) -> Command {
    dnf(["--quiet", "--assumeyes", "clean", "expire-cache"]).args(options(args))
}

/// Reads the lists of packages again: whether there are upgrades, nothing when there are
/// none, false when it failed.
pub(crate) fn refresh(context: &Context<'_>, args: &Args) -> Answer {
    let checks = args
        .keywords()
        .get("check_update")
        .is_none_or(Value::is_true);
    let cleaned = tool::run(context, &expire(args))?;
    if !checks {
        return Ok(cleaned.is_success().into());
    }
    let command = dnf(["--quiet", "--assumeyes", "check-update"]).args(options(args));
    let output = tool::run(context, &command)?;
    Ok(match output.exit.code() {
        0 => Value::Null,
        100 => true.into(),
        code => {
            context.set_retcode(code.into());
            false.into()
        }
    })
}

/// As [`refresh`], without asking for upgrades.
pub(crate) fn expire_lists(context: &Context<'_>, args: &Args) -> Result<Output, CallError> {
    tool::run(context, &expire(args))
}

/// A mapping of names with one text each, or that text alone when one name was asked for.
fn one_or_all(names: &[String], mut answer: impl FnMut(&str) -> Answer) -> Answer {
    match names {
        [] => Ok("".into()),
        [name] => answer(name),
        several => {
            let mut all = Map::new();
            for name in several {
                all.insert(name.as_str(), answer(name)?);
            }
            Ok(all.into())
        }
    }
}
