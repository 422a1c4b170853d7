//! `virtualenv.managed`: a virtual environment of Python with packages in it.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::files::source;
use crate::functions::pip::Pip;
use crate::functions::virtualenv::{create, python_of, version_of};
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "virtualenv.manage",
        "manage(name, venv_bin=None, requirements=None, system_site_packages=False, distribute=False, use_wheel=False, clear=False, python=None, extra_search_dir=None, never_download=None, prompt=None, user=None, cwd=None, index_url=None, extra_index_url=None, pre_releases=False, no_deps=False, pip_download=None, pip_download_cache=None, pip_exists_action=None, pip_ignore_installed=False, proxy=None, use_vt=False, env_vars=None, no_use_wheel=False, pip_upgrade=False, pip_pkgs=None, pip_no_cache_dir=False, pip_cache_dir=None, process_dependency_links=False, no_binary=None, **kwargs)",
        "Makes sure that there is a virtual environment of Python, with packages in it.",
        managed,
    );
    registry.add_state(
        "virtualenv.managed",
        "managed(name, venv_bin=None, requirements=None, system_site_packages=False, distribute=False, use_wheel=False, clear=False, python=None, extra_search_dir=None, never_download=None, prompt=None, user=None, cwd=None, index_url=None, extra_index_url=None, pre_releases=False, no_deps=False, pip_download=None, pip_download_cache=None, pip_exists_action=None, pip_ignore_installed=False, proxy=None, use_vt=False, env_vars=None, no_use_wheel=False, pip_upgrade=False, pip_pkgs=None, pip_no_cache_dir=False, pip_cache_dir=None, process_dependency_links=False, no_binary=None, **kwargs)",
        "Makes sure that there is a virtual environment of Python, with packages in it.",
        managed,
    );
}

/// The arguments of the state and what `virtualenv.create` calls them.
const FOR_CREATE: [&str; 9] = [
    "venv_bin",
    "system_site_packages",
    "distribute",
    "clear",
    "python",
    "extra_search_dir",
    "never_download",
    "prompt",
    "user",
];

/// The arguments of the state and what `pip.install` calls them.
const FOR_PIP: [(&str, &str); 22] = [
    ("pip_pkgs", "pkgs"),
    ("requirements", "requirements"),
    ("user", "user"),
    ("cwd", "cwd"),
    ("index_url", "index_url"),
    ("extra_index_url", "extra_index_url"),
    ("pip_download", "download"),
    ("pip_download_cache", "download_cache"),
    ("pip_exists_action", "exists_action"),
    ("pip_ignore_installed", "ignore_installed"),
    ("pip_upgrade", "upgrade"),
    ("pip_no_cache_dir", "no_cache_dir"),
    ("pip_cache_dir", "cache_dir"),
    ("pre_releases", "pre_releases"),
    ("no_deps", "no_deps"),
    ("proxy", "proxy"),
    ("env_vars", "env_vars"),
    ("use_wheel", "use_wheel"),
    ("no_use_wheel", "no_use_wheel"),
    ("no_binary", "no_binary"),
    ("process_dependency_links", "process_dependency_links"),
    ("saltenv", "saltenv"),
];

fn call(args: &Args, names: &[(&str, &str)]) -> Args {
    let mut call = Args::new();
    for (from, to) in names {
        if let Some(value) = args.given(from).filter(|value| value.is_true()) {
            call = call.keyword(to, value.clone());
        }
    }
    call
}

fn managed(args: &Args, check: &Check<'_>) -> Answer {
    let machine = check.system;
    let name = args.text("name")?;
    let there = machine.exists(&python_of(&name));
    if let Some(file) = args.optional_text("requirements")
        && file.starts_with("salt://")
        && !matches!(
            source::content(&file, check.environment(), check.context),
            Ok(Some(_))
        )
    {
        return Ok(Plan::fail(format!(
            "pip requirements file '{file}' not found"
        )));
    }
    let clear = args.is_true("clear");
    let user = args.optional_text("user");
    let pip = call(args, &FOR_PIP)
        .keyword("bin_env", name.as_str())
        .keyword("saltenv", check.environment());
    let mut cleared = Changes::none();
    if there && clear {
        let pip = Pip::of(&pip, machine)?;
        let packages: Value = pip.freeze(machine)?.into_iter().collect();
        if packages.is_true() {
            cleared.insert("cleared_packages", packages);
        }
        cleared.insert("old", version_of(&name, user.as_deref(), machine)?);
    }
    let installs = args.is_true("requirements") || args.is_true("pip_pkgs");
    let makes = !there || clear;
    if !makes && !installs {
        return Ok(Plan::unchanged("virtualenv exists")
            .when_testing(format!("Virtualenv {name} is already created")));
    }
    let names: Vec<(&str, &str)> = FOR_CREATE.iter().map(|key| (*key, *key)).collect();
    let create = call(args, &names).keyword("path", name.as_str());
    let comment = match (makes, clear) {
        (true, true) => "Cleared existing virtualenv",
        (true, false) => "Created new virtualenv",
        (false, _) => "virtualenv exists",
    };
    let would = match (there, clear) {
        (true, true) => format!("Virtualenv {name} is set to be cleared"),
        (true, false) => format!("Virtualenv {name} is already created"),
        (false, _) => format!("Virtualenv {name} is set to be created"),
    };
    let shown = cleared.clone();
    let work = Work {
        name,
        user,
        create: makes.then_some(create),
        pip: installs.then_some(pip),
        changes: cleared,
        comment,
    };
    let plan = Plan::change(comment, shown.clone(), move |context| work.done(context))
        .when_testing(would)
        .test_changes(shown);
    // What pip would do to an environment that is there, nobody can say.
    Ok(if makes { plan } else { plan.test_result(true) })
}

/// What is to be done.
struct Work {
    name: String,
    user: Option<String>,
    create: Option<Args>,
    pip: Option<Args>,
    changes: Changes,
    comment: &'static str,
}

impl Work {
    fn done(mut self, context: &Context<'_>) -> Result<Done, CallError> {
        let machine = context.system;
        let part = |ran: &Value, key: &str| {
            let map = ran.as_map();
            map.and_then(|map| map.get(key))
                .map(python::str)
                .unwrap_or_default()
        };
        if let Some(args) = &self.create {
            let ran = Value::from(create(args, context)?);
            if part(&ran, "retcode") != "0" {
                let said = format!("{}{}", part(&ran, "stdout"), part(&ran, "stderr"));
                return Ok(Done::failed(said));
            }
            let version = version_of(&self.name, self.user.as_deref(), machine)?;
            self.changes.insert("new", version);
        }
        let mut comment = self.comment.to_owned();
        let mut result = true;
        if let Some(args) = &self.pip {
            let pip = Pip::of(args, machine)?;
            let before = pip.freeze(machine)?;
            let ran = context.registry.call("pip.install", args, context)?;
            if part(&ran, "retcode") != "0" {
                result = false;
                comment = format!(
                    "{comment}\n{}\n{}",
                    part(&ran, "stdout"),
                    part(&ran, "stderr")
                );
            }
            let after = pip.freeze(machine)?;
            let only = |these: &[String], those: &[String]| -> Value {
                let only: Vec<Value> = these
                    .iter()
                    .filter(|line| !those.contains(line))
                    .map(|line| line.as_str().into())
                    .collect();
                if only.is_empty() {
                    "".into()
                } else {
                    only.into()
                }
            };
            let (new, old) = (only(&after, &before), only(&before, &after));
            if new.is_true() || old.is_true() {
                let packages = Map::from([("new", new), ("old", old)]);
                self.changes.insert("packages", packages);
            }
        }
        Ok(Done::with_comment(comment)
            .changes(self.changes)
            .result(result))
    }
}
