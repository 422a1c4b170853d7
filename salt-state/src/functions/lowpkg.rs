//! `lowpkg.*`: what dpkg knows, beneath `pkg.*`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use salt_proto::{Map, Value};

use super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::jinja::date::DateTime;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "lowpkg.bin_pkg_info",
        "bin_pkg_info(path, saltenv='base')",
        "Name, version and architecture of a package file, here or of the state tree.",
        file_info,
    );
    add(
        "lowpkg.file_dict",
        "file_dict(*packages, **kwargs)",
        "The files of packages, by package.",
        |args, context| files_by_package(args, context, "lowpkg.file_dict"),
    );
    add(
        "lowpkg.file_list",
        "file_list(*packages, **kwargs)",
        "The files of packages.",
        |args, context| files(args, context, "lowpkg.file_list"),
    );
    add(
        "lowpkg.info",
        "info(*packages, **kwargs)",
        "What dpkg knows of packages: maintainer, version, description and more.",
        |args, context| {
            let all = described(args, context, "lowpkg.info")?;
            Ok(all
                .into_iter()
                .map(|one| (one.str("package").unwrap_or_default().to_owned(), one))
                .collect::<Map>()
                .into())
        },
    );
    add(
        "lowpkg.list_pkgs",
        "list_pkgs(*packages, **kwargs)",
        "The versions of installed packages.",
        list,
    );
    add(
        "lowpkg.unpurge",
        "unpurge(*packages)",
        "Says of packages that they are to be kept.",
        unpurge,
    );
}

/// Refuses a machine that has no dpkg.
fn needs_dpkg(context: &Context<'_>, function: &str) -> Result<(), CallError> {
    let family = context.minion.grains.str("os_family").unwrap_or_default();
    if family == "Debian" && context.system.which("dpkg-query").is_some() {
        return Ok(());
    }
    Err(CallError::Unavailable(function.to_owned()))
}

pub(crate) fn names(args: &Args) -> Vec<String> {
    args.positional().iter().map(python::str).collect()
}

/// Asks dpkg; in place of an answer, what Salt returns when it fails.
fn ask(context: &Context<'_>, command: &Command) -> Result<Result<Output, Value>, CallError> {
    let output = tool::ask(context.system, command)?;
    if output.is_success() {
        return Ok(Ok(output));
    }
    context.set_retcode(output.exit.code().into());
    let said = output.stderr_text();
    Ok(Err(format!("Error:  {}", said.trim_end()).into()))
}

/// A question for dpkg-query about packages, or about all.
fn query(format: &str, names: &[String]) -> Command {
    let command = tool::plain("dpkg-query").args([&format!("-f={format}"), "-W"]);
    if names.is_empty() {
        command
    } else {
        command.arg("--").args(names)
    }
}

fn list(args: &Args, context: &Context<'_>) -> Answer {
    needs_dpkg(context, "lowpkg.list_pkgs")?;
    let format = "${db:Status-Status}\t${binary:Package}\t${Version}\n";
    let output = match ask(context, &query(format, &names(args)))? {
        Ok(output) => output,
        Err(said) => return Ok(said),
    };
    let mut found = Map::new();
    for line in output.stdout_text().lines() {
        if let [state, name, version] = line.split('\t').collect::<Vec<_>>().as_slice()
            && *state == "installed"
        {
            found.insert(*name, *version);
        }
    }
    Ok(found.into())
}

/// The files of each package, or what is returned in their place.
type Listed = Result<Vec<(String, Vec<String>)>, Value>;

fn listed(args: &Args, context: &Context<'_>, function: &str) -> Result<Listed, CallError> {
    needs_dpkg(context, function)?;
    let format = "${db:Status-Status}\t${binary:Package}\n";
    let output = match ask(context, &query(format, &names(args)))? {
        Ok(output) => output,
        Err(said) => return Ok(Err(said)),
    };
    let mut all = Vec::new();
    for line in output.stdout_text().lines() {
        let Some(("installed", name)) = line.split_once('\t') else {
            continue;
        };
        let command = tool::plain("dpkg").args(["-L", name]);
        let text = tool::ask(context.system, &command)?.stdout_text();
        let files = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        all.push((name.to_owned(), files));
    }
    Ok(Ok(all))
}

/// `file_list` of this module and of `pkg`.
pub(crate) fn files(args: &Args, context: &Context<'_>, function: &str) -> Answer {
    let all = match listed(args, context, function)? {
        Ok(all) => all,
        Err(said) => return Ok(said),
    };
    let files: BTreeSet<String> = all.into_iter().flat_map(|(_, files)| files).collect();
    Ok(Map::from([
        ("errors", Value::List(Vec::new())),
        ("files", files.into_iter().collect()),
    ])
    .into())
}

/// `file_dict` of this module and of `pkg`.
pub(crate) fn files_by_package(args: &Args, context: &Context<'_>, function: &str) -> Answer {
    let all = match listed(args, context, function)? {
        Ok(all) => all,
        Err(said) => return Ok(said),
    };
    let packages: Map = all
        .into_iter()
        .map(|(name, files)| (name, files.into_iter().collect::<Value>()))
        .collect();
    Ok(Map::from([
        ("errors", Value::List(Vec::new())),
        ("packages", packages.into()),
    ])
    .into())
}

/// What is told of a package, with the field that dpkg has it in. The description is the
/// last, as it has several lines.
const TOLD: [(&str, &str); 11] = [
    ("package", "Package"),
    ("architecture", "Architecture"),
    ("maintainer", "Maintainer"),
    ("source", "source:Package"),
    ("version", "Version"),
    ("section", "Section"),
    ("origin", "Origin"),
    ("homepage", "Homepage"),
    ("status", "db:Status-Abbrev"),
    ("install_date", "db-fsys:Last-Modified"),
    ("description", "Description"),
];

/// Between two fields and between two packages of an answer.
const FIELD: char = '\u{1f}';
const PACKAGE: char = '\u{1e}';

/// What dpkg knows of packages, sorted as it sorts them.
pub(crate) fn described(
    args: &Args,
    context: &Context<'_>,
    function: &str,
) -> Result<Vec<Map>, CallError> {
    needs_dpkg(context, function)?;
    let wrong: Vec<String> = args
        .clean_keywords()
        .iter()
        .filter(|(key, _)| key.as_str() != Some("failhard"))
        .map(|(key, value)| format!("{}={}", python::str(key), python::str(value)))
        .collect();
    if !wrong.is_empty() {
        return Err(CallError::invocation(format!(
            "The following keyword arguments are not valid: {}",
            wrong.join(", ")
        )));
    }
    let format: Vec<String> = TOLD
        .iter()
        .map(|(_, field)| format!("${{{field}}}{FIELD}"))
        .collect();
    let format = format!("{}{PACKAGE}", format.concat());
    let output = tool::ask(context.system, &query(&format, &names(args)))?;
    if !output.is_success() {
        context.set_retcode(output.exit.code().into());
        if args
            .keywords()
            .get("failhard")
            .is_none_or(|fails| fails.is_true())
        {
            return Err(CallError::execution(format!(
                "Error getting packages information: {}",
                output.stderr_text().trim_end()
            )));
        }
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for record in output.stdout_text().split(PACKAGE) {
        let mut one = Map::new();
        for ((key, _), value) in TOLD.iter().zip(record.split(FIELD)) {
            let value = match *key {
                "description" if !value.is_empty() => format!("{value}\n"),
                "install_date" => match value
                    .trim()
                    .parse::<f64>()
                    .ok()
                    .and_then(DateTime::from_unix)
                {
                    Some(at) => format!("{}Z", at.iso('T')),
                    None => continue,
                },
                _ => value.trim().to_owned(),
            };
            if !value.is_empty() {
                one.insert(*key, value);
            }
        }
        let Some(name) = one.str("package").map(str::to_owned) else {
            continue;
        };
        if let Some(licences) = licences(context.system, &name) {
            one.insert("license", licences);
        }
        all.push(one);
    }
    Ok(all)
}

/// The licences that the copyright file of a package names.
fn licences(machine: &dyn Observe, name: &str) -> Option<String> {
    let path = Path::new("/usr/share/doc").join(name).join("copyright");
    let text = machine.text(&path).ok()??;
    let named: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("License:"))
        .map(str::trim)
        .filter(|licence| !licence.is_empty())
        .collect();
    let named: Vec<&str> = named.into_iter().collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// Name, version and architecture as `dpkg -I` shows them of a package file.
pub(crate) fn control(machine: &dyn Observe, path: &Path) -> Result<Map, CallError> {
    let command = tool::plain("dpkg").arg("-I").arg(path);
    let output = tool::ask(machine, &command)?;
    if !output.is_success() {
        return Err(CallError::execution(format!(
            "Unable to get info for {}: {}",
            path.display(),
            output.stderr_text().trim_end()
        )));
    }
    let text = output.stdout_text();
    let fields: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.trim_start().split_once(": "))
        .rev()
        .collect();
    Ok(["name", "version", "arch"]
        .into_iter()
        .zip(["Package", "Version", "Architecture"])
        .filter_map(|(key, field)| Some((key, fields.get(field)?.trim())))
        .collect())
}

fn file_info(args: &Args, context: &Context<'_>) -> Answer {
    needs_dpkg(context, "lowpkg.bin_pkg_info")?;
    let path = args.text("path")?;
    let saltenv = args
        .optional_text("saltenv")
        .unwrap_or_else(|| "base".to_owned());
    let local = if let Some(local) = path.strip_prefix("file://") {
        local.to_owned()
    } else if path.starts_with("salt://") || crate::files::source::is_remote(&path) {
        let call = Args::new().with(path.as_str()).with(saltenv.as_str());
        match context.registry.call("cp.cache_file", &call, context)? {
            Value::Str(local) if !local.is_empty() => local,
            _ => {
                return Err(CallError::execution(format!(
                    "Unable to retrieve {path} from saltenv '{saltenv}'"
                )));
            }
        }
    } else if context.system.exists(Path::new(&path)) {
        path
    } else {
        return Err(CallError::execution(format!(
            "{path} does not exist on minion"
        )));
    };
    Ok(control(context.system, Path::new(&local))?.into())
}

fn unpurge(args: &Args, context: &Context<'_>) -> Answer {
    needs_dpkg(context, "lowpkg.unpurge")?;
    let names = names(args);
    if names.is_empty() {
        return Ok(Map::new().into());
    }
    let manager = super::pkg::manager::Manager::of(context, "lowpkg.unpurge")?;
    let before = manager.purge_desired(context.system)?;
    let lines: String = names
        .iter()
        .map(|name| format!("{name} install\n"))
        .collect();
    let command = tool::plain("dpkg").arg("--set-selections").stdin(lines);
    let output = tool::run(context, &command)?;
    if !output.is_success() {
        context.set_retcode(output.exit.code().into());
    }
    let after = manager.purge_desired(context.system)?;
    Ok(super::pkg::change::changes(&before, &after).into())
}
