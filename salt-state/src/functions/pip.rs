//! `pip.*`: packages of Python, through the machine's `pip` or that of a virtual
//! environment.
//!
//! Salt's own interpreter has no counterpart here: without `bin_env` the machine's
//! `python3 -m pip` does the work, else its `pip3` or `pip`. From `pip` 9 on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

use super::tool;

pub(crate) mod install;
pub(crate) mod requirement;
pub(crate) mod version;

use requirement::normalized;
use version::{Phase, Version};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "pip.version",
        "version(bin_env=None, cwd=None, user=None)",
        "The version of pip.",
        |args, context| {
            Ok(Pip::of(args, context.system)?
                .version(context.system)?
                .into())
        },
    );
    add(
        "pip.normalize",
        "normalize(name)",
        "The name of a package as names are compared.",
        |args, _| Ok(normalized(&args.text("name")?).into()),
    );
    add(
        "pip.list",
        "list(prefix=None, bin_env=None, user=None, cwd=None, env_vars=None, **kwargs)",
        "The packages that are installed, with their versions.",
        |args, context| {
            let pip = Pip::of(args, context.system)?;
            Ok(starting(pip.list(context.system)?, args).into())
        },
    );
    add(
        "pip.freeze",
        "freeze(bin_env=None, user=None, cwd=None, use_vt=False, env_vars=None, **kwargs)",
        "The packages that are installed, as a file of requirements has them.",
        |args, context| {
            let lines = Pip::of(args, context.system)?.freeze(context.system)?;
            Ok(lines.into_iter().collect())
        },
    );
    add(
        "pip.list_freeze_parse",
        "list_freeze_parse(prefix=None, bin_env=None, user=None, cwd=None, env_vars=None, **kwargs)",
        "The packages that pip.freeze shows, with their versions.",
        |args, context| {
            let pip = Pip::of(args, context.system)?;
            let mut found = Map::from([("pip", pip.version(context.system)?)]);
            for line in pip.freeze(context.system)? {
                if let Some(editable) = line.strip_prefix("-e ") {
                    if let Some((address, name)) = editable.rsplit_once("#egg=") {
                        found.insert(normalized(name), address);
                    }
                } else if let Some((name, version)) =
                    line.split_once("===").or_else(|| line.split_once("=="))
                {
                    found.insert(normalized(name), version);
                }
            }
            Ok(starting(found, args).into())
        },
    );
    add(
        "pip.is_installed",
        "is_installed(pkgname, bin_env=None, user=None, cwd=None)",
        "Whether a package is installed.",
        |args, context| {
            let name = args.text("pkgname")?.to_lowercase();
            let all = Pip::of(args, context.system)?.list(context.system)?;
            Ok(all.contains_key(&name).into())
        },
    );
    add(
        "pip.list_upgrades",
        "list_upgrades(bin_env=None, user=None, cwd=None)",
        "The packages that there are newer versions of.",
        |args, context| {
            Ok(Pip::of(args, context.system)?
                .upgrades(context.system)?
                .into())
        },
    );
    add(
        "pip.upgrade_available",
        "upgrade_available(pkg, bin_env=None, user=None, cwd=None)",
        "Whether there is a newer version of a package.",
        |args, context| {
            let newer = Pip::of(args, context.system)?.upgrades(context.system)?;
            Ok(newer.contains_key(&args.text("pkg")?).into())
        },
    );
    add(
        "pip.list_all_versions",
        "list_all_versions(pkg, bin_env=None, include_alpha=False, include_beta=False, include_rc=False, user=None, cwd=None, index_url=None, extra_index_url=None)",
        "The versions of a package that can be installed.",
        |args, context| {
            let phases = [
                (Phase::Alpha, "include_alpha"),
                (Phase::Beta, "include_beta"),
                (Phase::Candidate, "include_rc"),
            ];
            let wanted: Vec<Phase> = phases
                .into_iter()
                .filter(|(_, key)| args.is_true(key))
                .map(|(phase, _)| phase)
                .collect();
            let pip = Pip::of(args, context.system)?;
            let index = Index::of(args);
            let all = pip.versions(&args.text("pkg")?, &wanted, &index, context.system)?;
            Ok(match all.is_empty() {
                true => Value::Null,
                false => all.into_iter().collect(),
            })
        },
    );
    add(
        "pip.install",
        install::SIGNATURE,
        "Installs packages.",
        install::install,
    );
    add(
        "pip.uninstall",
        "uninstall(pkgs=None, requirements=None, bin_env=None, log=None, proxy=None, timeout=None, user=None, cwd=None, saltenv='base', use_vt=False, extra_args=None)",
        "Removes packages.",
        install::uninstall,
    );
    add(
        "pip.upgrade",
        "upgrade(bin_env=None, user=None, cwd=None, use_vt=False)",
        "Installs the newest version of everything that is installed.",
        |args, context| upgrade(args, context).map(Value::from),
    );
}

/// The entries whose names begin with `prefix`.
fn starting(mut all: Map, args: &Args) -> Map {
    if let Some(prefix) = args.optional_text("prefix") {
        let prefix = prefix.to_lowercase();
        all.retain(|name, _| name.as_str().is_some_and(|name| name.starts_with(&prefix)));
    }
    all
}

/// Where other packages than those of the usual index are.
#[derive(Default)]
pub(crate) struct Index {
    words: Vec<String>,
}

impl Index {
    /// What a caller says about it.
    pub(crate) fn of(args: &Args) -> Self {
        let mut words = Vec::new();
        for (key, option) in [
            ("index_url", "--index-url"),
            ("extra_index_url", "--extra-index-url"),
        ] {
            if let Some(url) = args.optional_text(key).filter(|url| !url.is_empty()) {
                words.extend([option.to_owned(), url]);
            }
        }
        Self { words }
    }
}

/// A `pip`, and as whom and where it is run.
#[derive(Clone, Debug)]
pub(crate) struct Pip {
    words: Vec<OsString>,
    user: Option<String>,
    cwd: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
}

/// A failure with what the program said, as Salt adds it to a message.
fn with_info(message: &str, output: &Output) -> CallError {
    let mut text = format!("{message}Additional info follows:\n");
    let pid = output.pid.to_string();
    let code = output.exit.code().to_string();
    for (key, value) in [
        ("pid", pid),
        ("retcode", code),
        ("stderr", output.stderr_text()),
        ("stdout", output.stdout_text()),
    ] {
        text.push_str(&format!("\n{key}:"));
        for line in value.trim_end().lines() {
            text.push_str(&format!("\n    {line}"));
        }
    }
    CallError::execution(text)
}

impl Pip {
    /// The one that a caller means with `bin_env`, `user`, `cwd` and `env_vars`.
    ///
    /// # Errors
    ///
    /// When there is none (`CommandNotFound`), and for arguments without sense.
    pub(crate) fn of(args: &Args, machine: &dyn Observe) -> Result<Self, CallError> {
        let mut pip = Self {
            words: program(args.optional_text("bin_env").as_deref(), machine)?,
            user: None,
            cwd: None,
            env: Vec::new(),
        };
        // A whole environment is named by its directory.
        if let Some(venv) = args.optional_text("bin_env").map(PathBuf::from)
            && machine.is_dir(&venv)
        {
            pip.env.push(("VIRTUAL_ENV".into(), venv.into_os_string()));
        }
        if let Some(name) = args.optional_text("user").filter(|name| !name.is_empty()) {
            let user = machine
                .user(&name)?
                .ok_or_else(|| CallError::execution(format!("User '{name}' is not available")))?;
            pip.env.extend([
                ("HOME".into(), user.home.clone().into_os_string()),
                ("USER".into(), name.clone().into()),
                ("LOGNAME".into(), name.clone().into()),
            ]);
            pip.cwd = Some(user.home).filter(|home| machine.is_dir(home));
            pip.user = Some(name);
        }
        if let Some(cwd) = args.optional_text("cwd").filter(|cwd| !cwd.is_empty()) {
            let path = PathBuf::from(&cwd);
            if !path.is_absolute() || !machine.is_dir(&path) {
                return Err(CallError::execution(format!(
                    "Specified cwd '{cwd}' either not absolute or does not exist"
                )));
            }
            pip.cwd = Some(path);
        }
        match args.given("env_vars") {
            Some(Value::Map(variables)) => {
                for (name, value) in variables {
                    pip.env
                        .push((python::str(name).into(), python::str(value).into()));
                }
            }
            Some(other) if other.is_true() => {
                return Err(CallError::execution(format!(
                    "env_vars {} is not a dictionary",
                    python::str(other)
                )));
            }
            _ => {}
        }
        Ok(pip)
    }

    /// A command of it.
    pub(crate) fn command<I: IntoIterator<Item: Into<OsString>>>(&self, words: I) -> Command {
        let mut all = self.words.iter().cloned();
        let mut command = tool::plain(all.next().unwrap_or_default())
            .args(all)
            .args(words);
        command.user.clone_from(&self.user);
        command.cwd.clone_from(&self.cwd);
        for (name, value) in &self.env {
            command = command.env(name, value);
        }
        command
    }

    /// Its version.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(crate) fn version(&self, machine: &dyn Observe) -> Result<String, CallError> {
        let output = tool::ask(machine, &self.command(["--version"]))?;
        let text = output.stdout_text();
        let version = text
            .strip_prefix("pip ")
            .and_then(|rest| rest.split_whitespace().next());
        match version {
            Some(version) => Ok(version.to_owned()),
            None => Err(CallError::CommandNotFound(format!(
                "Could not find a `pip` binary: {}",
                tool::said(&output)
            ))),
        }
    }

    fn json(&self, words: &[&str], machine: &dyn Observe) -> Result<Vec<Map>, CallError> {
        let output = tool::ask(machine, &self.command(words))?;
        if !output.is_success() {
            return Err(with_info("", &output));
        }
        let text = output.stdout_text();
        let parsed = crate::render::json::parse(text.trim(), 0).map(|node| node.to_value());
        match parsed {
            Ok(Value::List(items)) => Ok(items
                .into_iter()
                .filter_map(|item| match item {
                    Value::Map(map) => Some(map),
                    _ => None,
                })
                .collect()),
            _ => Err(with_info("Invalid JSON. ", &output)),
        }
    }

    /// What is installed: versions by normalized name.
    ///
    /// # Errors
    ///
    /// When `pip` fails, with what it said.
    pub(crate) fn list(&self, machine: &dyn Observe) -> Result<Map, CallError> {
        let words = ["list", "--format=json", "--disable-pip-version-check"];
        let mut all = Map::new();
        for item in self.json(&words, machine)? {
            if let (Some(name), Some(version)) = (item.str("name"), item.str("version")) {
                all.insert(normalized(name), version);
            }
        }
        Ok(all)
    }

    /// What is installed, as a file of requirements has it.
    ///
    /// # Errors
    ///
    /// When `pip` fails, with what it said.
    pub(crate) fn freeze(&self, machine: &dyn Observe) -> Result<Vec<String>, CallError> {
        let words = ["freeze", "--all", "--disable-pip-version-check"];
        let output = tool::ask(machine, &self.command(words))?;
        if !output.is_success() {
            return Err(with_info("", &output));
        }
        Ok(output.stdout_text().lines().map(str::to_owned).collect())
    }

    /// What there are newer versions of: `2.0 [wheel]` by name.
    ///
    /// # Errors
    ///
    /// When `pip` fails, with what it said.
    pub(crate) fn upgrades(&self, machine: &dyn Observe) -> Result<Map, CallError> {
        let words = [
            "list",
            "--outdated",
            "--disable-pip-version-check",
            "--format=json",
        ];
        let mut all = Map::new();
        for item in self.json(&words, machine)? {
            if let (Some(name), Some(latest)) = (item.str("name"), item.str("latest_version")) {
                let kind = item.str("latest_filetype").unwrap_or_default();
                all.insert(name, format!("{latest} [{kind}]"));
            }
        }
        Ok(all)
    }

    /// The versions of a package that can be installed, the oldest first; what comes
    /// before a release only where its kind is asked for.
    ///
    /// # Errors
    ///
    /// When `pip` cannot be started.
    pub(crate) fn versions(
        &self,
        name: &str,
        phases: &[Phase],
        index: &Index,
        machine: &dyn Observe,
    ) -> Result<Vec<String>, CallError> {
        let mut command = self.command(["--disable-pip-version-check", "index", "versions", name]);
        command = command.args(&index.words);
        // Without it, pip knows of releases only.
        if !phases.is_empty() {
            command = command.arg("--pre");
        }
        let output = tool::ask(machine, &command)?;
        let text = output.stdout_text();
        let Some(line) = text
            .lines()
            .find_map(|line| line.strip_prefix("Available versions:"))
        else {
            return Ok(Vec::new());
        };
        let mut all: Vec<(Version, String)> = line
            .split(',')
            .map(str::trim)
            .filter_map(|text| Some((Version::parse(text)?, text.to_owned())))
            .filter(|(version, _)| match version.phase() {
                Some(phase) => phases.contains(&phase),
                None => !version.is_prerelease(),
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all.into_iter().map(|(_, text)| text).collect())
    }
}

/// How `pip` is started.
fn program(bin_env: Option<&str>, machine: &dyn Observe) -> Result<Vec<OsString>, CallError> {
    let module = |python: &Path| vec![python.into(), "-m".into(), "pip".into()];
    let runnable =
        |path: &Path| path.is_absolute() && machine.which(&path.to_string_lossy()).is_some();
    let Some(bin_env) = bin_env.filter(|path| !path.is_empty()) else {
        let Some(python) = machine.which("python3") else {
            return match machine.which("pip3").or_else(|| machine.which("pip")) {
                Some(pip) => Ok(vec![pip.into()]),
                None => Err(CallError::CommandNotFound(
                    "Could not find a `pip` binary".to_owned(),
                )),
            };
        };
        return Ok(module(&python));
    };
    let path = Path::new(bin_env);
    if machine.is_dir(path) {
        let below = [path.join("bin"), path.to_owned()];
        for directory in &below {
            for python in ["python", "python3"] {
                let python = directory.join(python);
                if runnable(&python) {
                    return Ok(module(&python));
                }
            }
        }
        return Err(CallError::CommandNotFound(format!(
            "Could not find a pip binary in virtualenv {bin_env}"
        )));
    }
    if !runnable(path) {
        return Err(CallError::CommandNotFound(format!(
            "Access denied to {bin_env}, could not find a pip binary"
        )));
    }
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Ok(if name.is_some_and(|name| name.starts_with("python")) {
        module(path)
    } else {
        vec![path.into()]
    })
}

/// Upgrades everything: `changes`, `result` and `comment`.
///
/// # Errors
///
/// When `pip` cannot say what is installed.
pub(crate) fn upgrade(args: &Args, context: &Context<'_>) -> Result<Map, CallError> {
    let machine = context.system;
    let pip = Pip::of(args, machine)?;
    let before = pip.list(machine)?;
    let mut comment = String::new();
    for name in pip.upgrades(machine)?.keys() {
        let name = python::str(name);
        let command = pip.command([
            "install",
            "-U",
            "--disable-pip-version-check",
            name.as_str(),
        ]);
        let output = tool::run(context, &command)?;
        let said = output.stderr_text().trim().to_owned();
        if !output.is_success() {
            return Ok(Map::from([
                ("changes", Value::from(Map::new())),
                ("result", false.into()),
                ("comment", said.into()),
            ]));
        }
        comment = said;
    }
    let after = pip.list(machine)?;
    let mut changes = Map::new();
    for (name, new) in &after {
        let old = before.get_value(name).cloned().unwrap_or_else(|| "".into());
        if old != *new {
            let change = Map::from([("old", old), ("new", new.clone())]);
            changes.insert(name.clone(), change);
        }
    }
    for (name, old) in &before {
        if after.get_value(name).is_none() {
            let change = Map::from([("old", old.clone()), ("new", "".into())]);
            changes.insert(name.clone(), change);
        }
    }
    Ok(Map::from([
        ("changes", Value::from(changes)),
        ("result", true.into()),
        ("comment", comment.into()),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::FakeSystem;

    fn machine() -> FakeSystem {
        FakeSystem::new()
            .program("/ve/bin/python")
            .program("/ve/bin/pip")
            .directory("/empty")
    }

    #[test]
    fn a_virtual_environment_a_python_and_a_pip_are_told_apart() {
        let machine = machine();
        let words = |bin_env: &str| {
            program(Some(bin_env), &machine)
                .map(|words| {
                    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
                    words.join(" ")
                })
                .map_err(|error| error.to_string())
        };

        assert_eq!(words("/ve").unwrap(), "/ve/bin/python -m pip");
        assert_eq!(words("/ve/bin").unwrap(), "/ve/bin/python -m pip");
        assert_eq!(words("/ve/bin/pip").unwrap(), "/ve/bin/pip");
        assert_eq!(
            words("/empty").unwrap_err(),
            "Could not find a pip binary in virtualenv /empty"
        );
        assert_eq!(
            words("relative").unwrap_err(),
            "Access denied to relative, could not find a pip binary"
        );
    }

    #[test]
    fn versions_are_listed_from_the_oldest_with_what_is_asked_for() {
        let machine = machine().command("/ve/bin/python", |_| {
            Output::success(
                "alpha (2.0)\nAvailable versions: 2.1rc1, 2.0, 1.1b2, 1.1, 1.0a1, 1.0\n",
            )
        });
        let pip = Pip::of(&Args::new().keyword("bin_env", "/ve"), &machine).unwrap();
        let versions = |phases: &[Phase]| {
            pip.versions("alpha", phases, &Index::default(), &machine)
                .unwrap()
        };

        assert_eq!(versions(&[]), ["1.0", "1.1", "2.0"]);
        assert_eq!(versions(&[Phase::Alpha]), ["1.0a1", "1.0", "1.1", "2.0"]);
        assert_eq!(
            versions(&[Phase::Candidate]),
            ["1.0", "1.1", "2.0", "2.1rc1"]
        );
    }

    #[test]
    fn what_a_failed_command_said_is_part_of_the_error() {
        let output = Output {
            pid: 7,
            ..Output::success("garbage\n")
        };
        assert_eq!(
            with_info("Invalid JSON. ", &output).to_string(),
            "Invalid JSON. Additional info follows:\n\npid:\n    7\nretcode:\n    0\nstderr:\nstdout:\n    garbage"
        );
    }
}
