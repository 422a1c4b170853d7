//! The package managers behind `pkg.*`, behind one enum: how each is asked, and how told.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::functions::tool;
use crate::registry::CallError;
use crate::system::{Command, Observe, Output};

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    /// `apt-get` over `dpkg`.
    Apt,
    /// `dnf` over `rpm`, on a machine of this architecture.
    Dnf(&'static str),
    /// `apk` of Alpine.
    Apk,
}

/// What to do with packages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Packages, as the manager takes them (`name`, `name=version`) or paths of files.
    pub(crate) targets: Vec<String>,
    /// The targets are files.
    pub(crate) files: bool,
    /// Take them from this release or repository.
    pub(crate) from: Option<String>,
    /// Accept packages that nobody signed.
    pub(crate) skip_verify: bool,
    /// Whether recommended packages come along; default: as the manager likes.
    pub(crate) recommends: Option<bool>,
    /// Install again what is there.
    pub(crate) reinstall: bool,
    /// Accept older versions than those there are.
    pub(crate) downgrade: bool,
    /// Fetch, but do not install.
    pub(crate) download_only: bool,
    /// Install only what is there in an older version.
    pub(crate) only_upgrade: bool,
    /// Change packages that are held.
    pub(crate) held: bool,
}

impl Manager {
    /// The one of this machine.
    pub(crate) fn of(context: &Context<'_>, function: &str) -> Result<Self, CallError> {
        Self::find(context.system, &context.minion.grains)
            .ok_or_else(|| CallError::Unavailable(function.to_owned()))
    }

    /// The one of a machine of which that is known.
    pub(crate) fn find(machine: &dyn Observe, grains: &crate::grains::Grains) -> Option<Self> {
        let own = || super::dnf::arch(grains.str("osarch").unwrap_or_default());
        let (manager, program) = match grains.str("os_family").unwrap_or_default() {
            "Debian" => (Self::Apt, "dpkg-query"),
            "RedHat" => (Self::Dnf(own()), "rpm"),
            "Alpine" => (Self::Apk, "apk"),
            _ => return None,
        };
        machine.which(program).is_some().then_some(manager)
    }

    /// Versions of what is installed, by name; with `removed`, of what was removed but has
    /// left its configuration behind.
    pub(crate) fn installed(
        self,
        machine: &dyn Observe,
        removed: bool,
    ) -> Result<BTreeMap<String, String>, CallError> {
        let command = match self {
            Self::Apt => Self::dpkg_status(),
            Self::Dnf(_) if removed => return Ok(BTreeMap::new()),
            Self::Dnf(own) => return Ok(super::dnf::joined(super::dnf::versions(machine, own)?)),
            Self::Apk if removed => return Ok(BTreeMap::new()),
            Self::Apk => return super::apk::installed(machine),
        };
        let text = tool::ask(machine, &command)?.stdout_text();
        let mut found = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, _, state, name, version, ..] = words.as_slice() else {
                continue;
            };
            let version = version.strip_prefix("0:").unwrap_or(version);
            let wanted = if removed { "config-files" } else { "installed" };
            if *state == wanted && !version.is_empty() {
                found.insert((*name).to_owned(), version.to_owned());
            }
        }
        Ok(found)
    }

    /// What is installed although it is wanted gone.
    pub(crate) fn purge_desired(
        self,
        machine: &dyn Observe,
    ) -> Result<BTreeMap<String, String>, CallError> {
        let mut found = BTreeMap::new();
        if self != Self::Apt {
            return Ok(found);
        }
        let text = tool::ask(machine, &Self::dpkg_status())?.stdout_text();
        for line in text.lines() {
            if let ["purge", _, "installed", name, version, ..] =
                line.split(' ').collect::<Vec<_>>().as_slice()
            {
                found.insert((*name).to_owned(), (*version).to_owned());
            }
        }
        Ok(found)
    }

    /// The question for what dpkg has.
    fn dpkg_status() -> Command {
        tool::plain("dpkg-query").args([
            "--showformat",
            "${Status} ${Package} ${Version} ${Architecture}\n",
            "-W",
        ])
    }

    /// What apt would choose, and from where.
    fn policy(name: &str, from: Option<&str>) -> Command {
        let command = tool::plain("apt-cache").args(["-q", "policy", name]);
        match from {
            Some(from) => command.args(["-o", &format!("APT::Default-Release={from}")]),
            None => command,
        }
    }

    /// Whether the lists of packages have one of that name.
    pub(crate) fn knows(self, machine: &dyn Observe, name: &str, from: Option<&str>) -> bool {
        if self != Self::Apt {
            return true;
        }
        let heading = format!("{name}:");
        tool::answer(machine, &Self::policy(name, from))
            .is_some_and(|text| text.lines().any(|line| line == heading))
    }

    /// The version that would be installed now; `None` when the package is unknown.
    pub(crate) fn candidate(self, machine: &dyn Observe, name: &str) -> Option<String> {
        self.candidate_from(machine, name, None)
    }

    /// The same, from a release.
    pub(crate) fn candidate_from(
        self,
        machine: &dyn Observe,
        name: &str,
        from: Option<&str>,
    ) -> Option<String> {
        match self {
            Self::Apt => {
                let text = tool::answer(machine, &Self::policy(name, from))?;
                let heading = format!("{name}:");
                text.lines()
                    .skip_while(|line| *line != heading)
                    .filter_map(|line| line.trim().strip_prefix("Candidate:"))
                    .map(|version| version.trim().to_owned())
                    .find(|version| !version.is_empty() && version != "(none)")
            }
            Self::Dnf(own) => {
                let (names, now) = ([name.to_owned()], BTreeMap::new());
                let args = crate::args::Args::new();
                super::dnf::asked::latest(machine, own, &names, &now, &args)
                    .ok()?
                    .remove(name)
            }
            Self::Apk => {
                let (names, now) = ([name.to_owned()], BTreeMap::new());
                super::apk::latest(machine, &names, &now).ok()?.remove(name)
            }
        }
    }

    /// All versions of a package that can be installed.
    pub(crate) fn versions(self, machine: &dyn Observe, name: &str) -> Vec<String> {
        match self {
            Self::Apt => {
                let command = tool::plain("apt-cache").args(["-q", "madison", name]);
                let text = tool::answer(machine, &command).unwrap_or_default();
                text.lines()
                    .filter_map(|line| line.split('|').nth(1))
                    .map(|version| version.trim().to_owned())
                    .collect()
            }
            _ => self.candidate(machine, name).into_iter().collect(),
        }
    }

    /// What an upgrade would install, by name, with all dependencies.
    pub(crate) fn upgrades(
        self,
        machine: &dyn Observe,
        dist_upgrade: bool,
    ) -> Result<BTreeMap<String, String>, CallError> {
        let mut found = BTreeMap::new();
        match self {
            Self::Apt => {
                let verb = if dist_upgrade {
                    "dist-upgrade"
                } else {
                    "upgrade"
                };
                let command = tool::plain("apt-get").args(["--just-print", verb]);
                let output = tool::ask(machine, &command)?;
                if !output.is_success() {
                    return Err(CallError::execution(format!(
                        "Failed to get upgrades: {}",
                        tool::said(&output)
                    )));
                }
                for line in output.stdout_text().lines() {
                    // Conf name (version repository [architecture])
                    let Some(rest) = line.strip_prefix("Conf ") else {
                        continue;
                    };
                    if let Some((name, rest)) = rest.split_once(" (")
                        && let Some(version) = rest.split_whitespace().next()
                    {
                        found.insert(name.to_owned(), version.to_owned());
                    }
                }
            }
            Self::Dnf(own) => {
                return super::dnf::asked::upgrades(machine, own, &crate::args::Args::new());
            }
            Self::Apk => return super::apk::upgrades(machine),
        }
        Ok(found)
    }

    /// What installing or removing would do, dependencies included: names with the version
    /// that will be there, or none. `None` when the manager does not tell.
    pub(crate) fn simulate(
        self,
        machine: &dyn Observe,
        verb: &str,
        targets: &[String],
    ) -> Option<Vec<(String, Option<String>)>> {
        if self == Self::Apk {
            return super::apk::simulate(machine, verb, targets);
        }
        if self != Self::Apt {
            return None;
        }
        // It would log the problem it was given, even though it only prints.
        let command = tool::plain("apt-get")
            .args(["-o", "Dir::Log::Planner=/dev/null"])
            .args(["-q", "-y", "--just-print", verb, "--"])
            .args(targets);
        let text = tool::answer(machine, &command)?;
        let mut steps = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                // Inst name [old] (new repository [architecture])
                (Some("Inst"), Some(name)) => {
                    let version = words.find_map(|word| word.strip_prefix('('));
                    let version = version.map(|version| version.trim_end_matches(')').to_owned());
                    steps.push((name.to_owned(), version));
                }
                (Some("Remv" | "Purg"), Some(name)) => steps.push((name.to_owned(), None)),
                _ => {}
            }
        }
        Some(steps)
    }

    /// A command of the manager that asks nothing back.
    fn command(self) -> Command {
        match self {
            Self::Apt => tool::plain("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .env("APT_LISTCHANGES_FRONTEND", "none")
                .env("APT_LISTBUGS_FRONTEND", "none")
                .env("UCF_FORCE_CONFFOLD", "1")
                .arg("-q"),
            Self::Dnf(_) => tool::plain("dnf").args(["-y", "--quiet"]),
            Self::Apk => tool::plain("apk").arg("--quiet"),
        }
    }

    /// Reads the lists of packages again.
    ///
    /// # Errors
    ///
    /// When that fails, with what the manager complained about.
    pub(crate) fn refresh(self, context: &Context<'_>) -> Result<Output, CallError> {
        let command = match self {
            Self::Apt => self.command().arg("update"),
            Self::Dnf(_) => {
                super::dnf::refresh(context, &crate::args::Args::new())?;
                return Ok(Output::success(""));
            }
            Self::Apk => return super::apk::refresh(context),
        };
        let output = tool::run(context, &command)?;
        if output.is_success() {
            return Ok(output);
        }
        context.set_retcode(output.exit.code().into());
        Err(CallError::execution(tool::said(&output)))
    }

    /// How a version is asked for.
    pub(crate) fn target(self, name: &str, version: &str) -> String {
        match self {
            Self::Dnf(_) => format!("{name}-{version}"),
            Self::Apt => format!("{name}={version}"),
            // Salt leaves the version out.
            Self::Apk => name.to_owned(),
        }
    }

    /// Installs.
    pub(crate) fn install(
        self,
        context: &Context<'_>,
        request: &Request,
    ) -> Result<Output, CallError> {
        let mut command = self.command();
        match self {
            Self::Apt => {
                command = command.args([
                    "-y",
                    "-o",
                    "DPkg::Options::=--force-confold",
                    "-o",
                    "DPkg::Options::=--force-confdef",
                ]);
                if request.held {
                    command = command.arg("--allow-change-held-packages");
                }
                if request.downgrade {
                    command = command.arg("--allow-downgrades");
                }
                match request.recommends {
                    Some(true) => command = command.arg("--install-recommends"),
                    Some(false) => command = command.arg("--no-install-recommends"),
                    None => {}
                }
                if request.skip_verify {
                    command = command.arg("--allow-unauthenticated");
                }
                if let Some(from) = &request.from {
                    command = command.args(["-t", from]);
                }
                command = command.arg("install");
                if request.reinstall {
                    command = command.arg("--reinstall");
                }
                if request.only_upgrade {
                    command = command.arg("--only-upgrade");
                }
                if request.download_only {
                    command = command.arg("--download-only");
                }
            }
            Self::Dnf(_) => {
                if let Some(from) = &request.from {
                    command = command.arg(format!("--repo={from}"));
                }
                if request.skip_verify {
                    command = command.arg("--nogpgcheck");
                }
                if request.recommends == Some(false) {
                    command = command.arg("--setopt=install_weak_deps=False");
                }
                if request.download_only {
                    command = command.arg("--downloadonly");
                }
                command = command.arg(if request.reinstall {
                    "reinstall"
                } else if request.downgrade {
                    "downgrade"
                } else {
                    "install"
                });
            }
            Self::Apk => command = command.arg("add"),
        }
        self.patiently(context, &command.arg("--").args(&request.targets))
    }

    /// Runs a command that needs dpkg's lock; while another holds it, waits and tries again.
    fn patiently(self, context: &Context<'_>, command: &Command) -> Result<Output, CallError> {
        /// How often, with 2, 4, 8, … seconds in between.
        const TRIES: u32 = 9;

        let mut output = tool::run(context, command)?;
        for attempt in 1..TRIES {
            if self != Self::Apt
                || output.is_success()
                || !output.stderr_text().contains("Could not get lock")
            {
                break;
            }
            context
                .system
                .sleep(std::time::Duration::from_secs(1 << attempt));
            output = tool::run(context, command)?;
        }
        Ok(output)
    }

    /// Removes; with `purge`, configuration too.
    pub(crate) fn remove(
        self,
        context: &Context<'_>,
        names: &[String],
        purge: bool,
    ) -> Result<Output, CallError> {
        let command = match self {
            Self::Apt => self
                .command()
                .args(["-y", if purge { "purge" } else { "remove" }]),
            Self::Dnf(_) => self.command().arg("remove"),
            Self::Apk if purge => self.command().args(["del", "--purge"]),
            Self::Apk => self.command().arg("del"),
        };
        self.patiently(context, &command.arg("--").args(names))
    }

    /// Upgrades everything.
    pub(crate) fn upgrade(
        self,
        context: &Context<'_>,
        dist_upgrade: bool,
        download_only: bool,
    ) -> Result<Output, CallError> {
        let mut command = self.command();
        match self {
            Self::Apt => {
                command = command.args([
                    "-y",
                    "-o",
                    "DPkg::Options::=--force-confold",
                    "-o",
                    "DPkg::Options::=--force-confdef",
                ]);
                if download_only {
                    command = command.arg("--download-only");
                }
                command = command.arg(if dist_upgrade {
                    "dist-upgrade"
                } else {
                    "upgrade"
                });
            }
            Self::Dnf(_) | Self::Apk => command = command.arg("upgrade"),
        }
        self.patiently(context, &command)
    }

    /// The packages with what is to become of them (`install`, `hold`, …).
    pub(crate) fn selections(
        self,
        machine: &dyn Observe,
        pattern: &str,
    ) -> Result<BTreeMap<String, String>, CallError> {
        if let Self::Dnf(own) = self {
            let now = super::dnf::versions(machine, own)?;
            let held = super::dnf::holds::of_all(machine, &now)?;
            return Ok(held
                .into_iter()
                .map(|name| (name, "hold".to_owned()))
                .collect());
        }
        if self != Self::Apt {
            return Ok(BTreeMap::new());
        }
        let command = tool::plain("dpkg").args(["--get-selections", pattern]);
        let text = tool::ask(machine, &command)?.stdout_text();
        Ok(text
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                Some((words.next()?.to_owned(), words.next()?.to_owned()))
            })
            .collect())
    }

    /// Says what is to become of a package.
    pub(crate) fn select(
        self,
        context: &Context<'_>,
        name: &str,
        state: &str,
    ) -> Result<Output, CallError> {
        let command = match self {
            Self::Apt => tool::plain("dpkg")
                .arg("--set-selections")
                .stdin(format!("{name} {state}\n")),
            Self::Dnf(_) => {
                let verb = if state == "hold" { "add" } else { "delete" };
                self.command().args(["versionlock", verb, name])
            }
            Self::Apk => {
                return Err(CallError::execution(
                    "apk cannot hold packages at their version",
                ));
            }
        };
        tool::run(context, &command)
    }
}
