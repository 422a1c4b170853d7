//! `sysctl.*`: parameters of the kernel, now and after the next boot.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions, errno_text};

use super::tool;

type Answer = Result<Value, CallError>;

const HEADER: &str = "#\n# Kernel sysctl configuration\n#\n";

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "sysctl.default_config",
        "default_config()",
        "The file that holds parameters unless another is named.",
        |_, context| Ok(default_config(context.system).into()),
    );
    add(
        "sysctl.get",
        "get(name)",
        "A parameter as it is now.",
        |args, context| {
            let command = tool::named(context.system, "sysctl").args(["-n", &args.text("name")?]);
            let output = tool::ask(context.system, &command)?;
            if !output.is_success() {
                context.set_retcode(output.exit.code().into());
            }
            Ok(tool::said(&output).into())
        },
    );
    add(
        "sysctl.show",
        "show(config_file=False)",
        "All parameters as they are now, or those of a file.",
        |args, context| {
            if let Some(path) = args.given("config_file").filter(|path| path.is_true()) {
                let path = PathBuf::from(crate::python::str(path));
                return Ok(configured(context.system, &path)?
                    .into_iter()
                    .collect::<Map>()
                    .into());
            }
            let command = tool::named(context.system, "sysctl").arg("-a");
            let text = tool::ask(context.system, &command)?.stdout_text();
            Ok(text
                .lines()
                .filter_map(|line| line.split_once(" = "))
                .collect::<Map>()
                .into())
        },
    );
    add(
        "sysctl.assign",
        "assign(name, value)",
        "Sets a parameter until the next boot.",
        |args, context| {
            let (name, value) = (args.text("name")?, args.text("value")?);
            assign(context, &name, &value)?;
            Ok(Map::from([(name, value)]).into())
        },
    );
    add(
        "sysctl.persist",
        "persist(name, value, config=None)",
        "Sets a parameter now and for the next boots.",
        |args, context| {
            let config = args.optional_text("config");
            let config = config.unwrap_or_else(|| default_config(context.system).to_owned());
            let (name, value) = (args.text("name")?, args.text("value")?);
            Ok(persist(context, &name, &value, Path::new(&config))?.into())
        },
    );
}

/// The file that holds parameters unless another is named.
pub(crate) fn default_config(machine: &dyn Observe) -> &'static str {
    if machine.exists(Path::new("/run/systemd/system")) {
        "/etc/sysctl.d/99-salt.conf"
    } else {
        "/etc/sysctl.conf"
    }
}

/// A value with single blanks.
pub(crate) fn normal(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A parameter as it is now; `None` when it cannot be read.
pub(crate) fn current(machine: &dyn Observe, name: &str) -> Option<String> {
    let command = tool::named(machine, "sysctl").args(["-n", name]);
    tool::answer(machine, &command).map(|text| normal(&text))
}

/// The parameters that a file states.
pub(crate) fn configured(
    machine: &dyn Observe,
    path: &Path,
) -> Result<Vec<(String, String)>, CallError> {
    let text = read(machine, path)?.unwrap_or_default();
    Ok(text.lines().filter_map(parse).collect())
}

fn read(machine: &dyn Observe, path: &Path) -> Result<Option<String>, CallError> {
    machine
        .text(path)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))
}

fn parse(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (name, value) = line.split_once('=')?;
    Some((name.trim().to_owned(), normal(value)))
}

/// Sets a parameter until the next boot.
pub(crate) fn assign(context: &Context<'_>, name: &str, value: &str) -> Result<(), CallError> {
    // In a name with slashes a dot belongs to a word.
    let relative: String = if name.contains('/') {
        name.to_owned()
    } else {
        name.replace('.', "/")
    };
    let unsafe_name = relative
        .split('/')
        .any(|part| part.is_empty() || part == "..");
    if unsafe_name
        || !context
            .system
            .exists(&Path::new("/proc/sys").join(&relative))
    {
        return Err(CallError::execution(format!(
            "sysctl {name} does not exist"
        )));
    }
    let command = tool::named(context.system, "sysctl").args(["-w", &format!("{name}={value}")]);
    let output = tool::run(context, &command)?;
    let complained = !output.stderr_text().trim().is_empty();
    if output.is_success() && !complained {
        return Ok(());
    }
    Err(CallError::execution(format!(
        "sysctl -w failed: {}",
        tool::said(&output)
    )))
}

/// Sets a parameter now and for the next boots: `Updated` or `Already set`.
pub(crate) fn persist(
    context: &Context<'_>,
    name: &str,
    value: &str,
    path: &Path,
) -> Result<&'static str, CallError> {
    let machine = context.system;
    let wanted = normal(value);
    let text = read(machine, path)?;
    let mut lines: Vec<String> = match &text {
        Some(text) => text.lines().map(str::to_owned).collect(),
        None => HEADER.lines().map(str::to_owned).collect(),
    };
    let place = lines
        .iter()
        .position(|line| parse(line).is_some_and(|(known, _)| known == name));
    let there = place
        .and_then(|at| lines.get(at))
        .and_then(|line| parse(line));
    if there.is_some_and(|(_, now)| now == wanted) {
        if current(machine, name).as_deref() == Some(&wanted) {
            return Ok("Already set");
        }
        assign(context, name, &wanted)?;
        return Ok("Updated");
    }
    let line = format!("{name} = {value}");
    match place.and_then(|at| lines.get_mut(at)) {
        Some(old) => *old = line,
        None => lines.push(line),
    }
    if let Some(parent) = path.parent() {
        machine
            .create_dir_all(parent, 0o755)
            .map_err(|error| CallError::execution(errno_text(&error, Some(parent))))?;
    }
    let text = lines.join("\n") + "\n";
    let options = WriteOptions {
        follow: true,
        ..WriteOptions::new()
    };
    machine
        .write(path, text.as_bytes(), &options)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))?;
    assign(context, name, &wanted)?;
    Ok("Updated")
}
