//! `virtualenv.*`: virtual environments of Python, made by `virtualenv` or by Python's own
//! `venv`.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

use super::pip::install::several;
use super::tool;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "virtualenv.create",
        "create(path, venv_bin=None, system_site_packages=False, distribute=False, clear=False, python=None, extra_search_dir=None, never_download=None, prompt=None, pip=False, symlinks=None, upgrade=None, user=None, use_vt=False, saltenv='base', **kwargs)",
        "Makes a virtual environment.",
        |args, context| Ok(create(args, context)?.into()),
    );
    add(
        "virtualenv.get_site_packages",
        "get_site_packages(venv)",
        "Where a virtual environment keeps its packages.",
        |args, context| {
            let script = "import sysconfig; print(sysconfig.get_path('purelib'))";
            inside(args, script, &[], context)
        },
    );
    add(
        "virtualenv.get_distribution_path",
        "get_distribution_path(venv, distribution)",
        "Where a virtual environment keeps a distribution.",
        |args, context| {
            let script = "import sys, importlib.metadata as m; \
                          print(str(m.distribution(sys.argv[1]).locate_file('')))";
            inside(args, script, &[args.text("distribution")?], context)
        },
    );
    add(
        "virtualenv.get_resource_path",
        "get_resource_path(venv, package=None, resource=None)",
        "Where a virtual environment keeps a file of a package.",
        |args, context| {
            let script = format!("{LOCATE}; print(path)");
            inside(args, &script, &resource(args)?, context)
        },
    );
    add(
        "virtualenv.get_resource_content",
        "get_resource_content(venv, package=None, resource=None)",
        "What is in a file of a package of a virtual environment.",
        |args, context| {
            let script = format!("{LOCATE}; print(open(path, 'rb').read())");
            inside(args, &script, &resource(args)?, context)
        },
    );
    add(
        "virtualenv.virtualenv_ver",
        "virtualenv_ver(venv_bin, user=None, **kwargs)",
        "The version of virtualenv as a list of numbers.",
        |args, context| {
            let program = args.text("venv_bin")?;
            let command = tool::named(context.system, &program).arg("--version");
            let output = tool::ask(context.system, &command)?;
            let text = output.stdout_text();
            let numbers = text
                .split_whitespace()
                .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
                .map(|word| {
                    word.split('.')
                        .filter_map(|part| part.parse::<i64>().ok())
                        .map(Value::from)
                        .collect::<Value>()
                });
            numbers.ok_or_else(|| {
                CallError::execution(format!(
                    "Unable to get the virtualenv version output using '{program}': {}",
                    tool::said(&output)
                ))
            })
        },
    );
}

/// Python that finds the file of a package.
const LOCATE: &str = "import os, sys, importlib.util; \
                      spec = importlib.util.find_spec(sys.argv[1]); \
                      path = os.path.join(os.path.dirname(spec.origin), sys.argv[2])";

fn resource(args: &Args) -> Result<[String; 2], CallError> {
    for key in ["package", "resource"] {
        if args.given(key).is_none() {
            return Err(CallError::invocation(format!("Missing argument: {key}")));
        }
    }
    Ok([args.text("package")?, args.text("resource")?])
}

/// What a script says inside a virtual environment.
fn inside(args: &Args, script: &str, words: &[String], context: &Context<'_>) -> Answer {
    let venv = args.text("venv")?;
    let python = Path::new(&venv).join("bin/python");
    if !context.system.exists(&python) {
        return Err(CallError::execution(format!(
            "Path '{venv}' does not appear to be a virtualenv: '{}' not found.",
            python.display()
        )));
    }
    let command = tool::plain(python).args(["-c", script]).args(words);
    let output = tool::ask(context.system, &command)?;
    if output.is_success() {
        Ok(output.stdout_text().trim_end().into())
    } else {
        Err(CallError::execution(tool::said(&output)))
    }
}

/// The interpreter that somebody asks for.
fn interpreter(args: &Args, machine: &dyn Observe) -> Result<Option<String>, CallError> {
    let Some(python) = args
        .optional_text("python")
        .filter(|python| !python.is_empty())
    else {
        return Ok(None);
    };
    match machine.which(&python) {
        Some(_) => Ok(Some(python)),
        None => Err(CallError::execution(format!(
            "Cannot find requested python ({python})."
        ))),
    }
}

/// The command that makes an environment.
fn command(args: &Args, context: &Context<'_>) -> Result<Command, CallError> {
    let machine = context.system;
    let stated = args
        .optional_text("venv_bin")
        .or_else(|| context.setting("venv_bin").map(str::to_owned))
        .filter(|program| !program.is_empty());
    let program = stated.unwrap_or_else(|| {
        let has = machine.which("virtualenv").is_some();
        if has { "virtualenv" } else { "venv" }.to_owned()
    });
    let is_venv = program == "venv" || program.ends_with("pyvenv");
    let refused: &[&str] = if is_venv {
        &["extra_search_dir", "never_download"]
    } else {
        &["symlinks", "upgrade"]
    };
    for key in refused {
        if args.is_true(key) {
            return Err(CallError::execution(format!(
                "The `{key}`(`--{}`) option is not supported by '{program}'",
                key.replace('_', "-")
            )));
        }
    }
    let python = interpreter(args, machine)?;
    let mut command = if program == "venv" {
        tool::named(machine, python.as_deref().unwrap_or("python3")).args(["-m", "venv"])
    } else {
        let mut command = tool::named(machine, &program);
        if let Some(python) = python.filter(|_| !is_venv) {
            command = command.arg(format!("--python={python}"));
        }
        for place in several(args.given("extra_search_dir")) {
            command = command.arg(format!("--extra-search-dir={place}"));
        }
        if args.is_true("never_download") {
            command = command.arg("--never-download");
        }
        command
    };
    if let Some(prompt) = args
        .optional_text("prompt")
        .filter(|prompt| !prompt.is_empty())
    {
        command = if is_venv {
            command.args(["--prompt".to_owned(), prompt])
        } else {
            command.arg(format!("--prompt='{prompt}'"))
        };
    }
    for (key, option) in [
        ("symlinks", "--symlinks"),
        ("upgrade", "--upgrade"),
        ("clear", "--clear"),
        ("system_site_packages", "--system-site-packages"),
    ] {
        if args.is_true(key) {
            command = command.arg(option);
        }
    }
    command = command.arg(args.text("path")?);
    as_user(command, args.optional_text("user").as_deref(), machine)
}

/// Has a command run as somebody, at home.
pub(crate) fn as_user(
    mut command: Command,
    user: Option<&str>,
    machine: &dyn Observe,
) -> Result<Command, CallError> {
    if let Some(name) = user.filter(|name| !name.is_empty()) {
        let user = machine
            .user(name)?
            .ok_or_else(|| CallError::execution(format!("User '{name}' is not available")))?;
        command = command.env("HOME", user.home.clone()).env("USER", name);
        command.cwd = Some(user.home).filter(|home| machine.is_dir(home));
        command.user = Some(name.to_owned());
    }
    Ok(command)
}

fn entry(output: &Output) -> Map {
    Map::from([
        ("pid", Value::from(i64::from(output.pid))),
        ("retcode", i64::from(output.exit.code()).into()),
        ("stdout", output.stdout_text().trim_end().into()),
        ("stderr", output.stderr_text().trim_end().into()),
    ])
}

/// Makes an environment: what `cmd.run_all` says.
///
/// # Errors
///
/// When there is no program for it, and for options it does not have.
pub(crate) fn create(args: &Args, context: &Context<'_>) -> Result<Map, CallError> {
    let command = command(args, context)?;
    let output = tool::run(context, &command)?;
    Ok(entry(&output))
}

/// The Python of an environment.
pub(crate) fn python_of(venv: &str) -> PathBuf {
    Path::new(venv).join("bin/python")
}

/// What an environment's Python says of its version.
pub(crate) fn version_of(
    venv: &str,
    user: Option<&str>,
    machine: &dyn Observe,
) -> Result<String, CallError> {
    let command = as_user(tool::plain(python_of(venv)).arg("-V"), user, machine)?;
    let output = tool::ask(machine, &command)?;
    let said = output.stderr_text();
    Ok(if said.trim().is_empty() {
        output.stdout_text().trim().to_owned()
    } else {
        said.trim().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::system::FakeSystem;

    /// The words are those of Salt 3008.3.
    fn line(args: Args) -> Result<String, String> {
        let registry = Registry::new();
        let machine = FakeSystem::new()
            .program("/usr/bin/virtualenv")
            .program("/usr/bin/python3");
        let minion = MinionData::default();
        let context = Context::new(&registry, &machine, &minion);
        command(&args.keyword("path", "/v"), &context)
            .map(|command| command.line())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn both_programs_get_their_own_options() {
        let with = |program: &str| Args::new().keyword("venv_bin", program);

        assert_eq!(line(Args::new()).unwrap(), "/usr/bin/virtualenv /v");
        assert_eq!(
            line(with("venv").keyword("clear", true)).unwrap(),
            "/usr/bin/python3 -m venv --clear /v"
        );
        assert_eq!(
            line(with("venv").keyword("prompt", "x")).unwrap(),
            "/usr/bin/python3 -m venv --prompt x /v"
        );
        assert_eq!(
            line(
                with("virtualenv")
                    .keyword("python", "python3")
                    .keyword("prompt", "x")
            )
            .unwrap(),
            "/usr/bin/virtualenv --python=python3 --prompt='x' /v"
        );
        assert_eq!(
            line(with("virtualenv").keyword("symlinks", true)).unwrap_err(),
            "The `symlinks`(`--symlinks`) option is not supported by 'virtualenv'"
        );
        assert_eq!(
            line(with("venv").keyword("extra_search_dir", "/x")).unwrap_err(),
            "The `extra_search_dir`(`--extra-search-dir`) option is not supported by 'venv'"
        );
        assert_eq!(
            line(with("venv").keyword("python", "/nope")).unwrap_err(),
            "Cannot find requested python (/nope)."
        );
    }
}
