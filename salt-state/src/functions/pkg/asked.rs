//! `pkg.*` as far as it only asks: files, owners, versions on offer, names.

use std::collections::BTreeMap;
use std::path::Path;

use salt_proto::{Map, Value};

use super::manager::Manager;
use crate::args::Args;
use crate::context::Context;
use crate::functions::{lowpkg, tool};
use crate::jinja::date::DateTime;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "pkg.file_dict",
        "file_dict(*packages, **kwargs)",
        "The files of packages, by package.",
        |args, context| lowpkg::files_by_package(args, context, "pkg.file_dict"),
    );
    add(
        "pkg.file_list",
        "file_list(*packages, **kwargs)",
        "The files of packages.",
        |args, context| lowpkg::files(args, context, "pkg.file_list"),
    );
    add(
        "pkg.info_installed",
        "info_installed(*names, **kwargs)",
        "What is known of installed packages: version, source, description and more.",
        info_installed,
    );
    add(
        "pkg.list_downloaded",
        "list_downloaded(root=None, **kwargs)",
        "The package files that were fetched and are still there, by name and version.",
        |args, context| {
            apt(context, "pkg.list_downloaded")?;
            let root = args.optional_text("root").unwrap_or_default();
            downloaded(context.system, &root)
        },
    );
    add(
        "pkg.list_repo_pkgs",
        "list_repo_pkgs(*args, **kwargs)",
        "The versions on offer, newest first, by name.",
        list_repo_pkgs,
    );
    add(
        "pkg.normalize_name",
        "normalize_name(name)",
        "The name of a package without the architecture, if that is this machine's.",
        |args, context| {
            let manager = Manager::of(context, "pkg.normalize_name")?;
            let name = args.text("name")?;
            Ok(without_arch(manager, context, &name).to_owned().into())
        },
    );
    add(
        "pkg.parse_arch",
        "parse_arch(name)",
        "Name and architecture of a package, which may be nothing.",
        |args, context| {
            let manager = Manager::of(context, "pkg.parse_arch")?;
            let text = args.text("name")?;
            let is_dnf = matches!(manager, Manager::Dnf(_));
            let separator = if is_dnf { '.' } else { ':' };
            let (name, arch) = match text.rsplit_once(separator) {
                Some((name, arch)) if !is_dnf || is_rpm_arch(arch) => (name, Value::from(arch)),
                _ => (text.as_str(), Value::Null),
            };
            Ok(Map::from([("name", Value::from(name)), ("arch", arch)]).into())
        },
    );
    add(
        "pkg.services_need_restart",
        "services_need_restart(**kwargs)",
        "The services that use files which an upgrade has replaced, as checkrestart tells.",
        services_need_restart,
    );
    add(
        "pkg.show",
        "show(*names, **kwargs)",
        "What the lists of packages say of packages, by name and version.",
        show,
    );
    add(
        "pkg.which",
        "which(path)",
        "The package that a file belongs to, false when there is none.",
        |args, context| {
            apt(context, "pkg.which")?;
            let path = args.text("path")?;
            if !context.system.exists(Path::new(&path)) {
                return Ok(false.into());
            }
            let command = tool::plain("dpkg").args(["-S", path.as_str()]);
            let output = tool::ask(context.system, &command)?;
            if !output.is_success() {
                context.set_retcode(output.exit.code().into());
                return Ok(false.into());
            }
            let text = output.stdout_text();
            Ok(text.split(':').next().unwrap_or_default().trim().into())
        },
    );
}

/// Refuses another package manager than apt.
fn apt(context: &Context<'_>, function: &str) -> Result<(), CallError> {
    match Manager::of(context, function)? {
        Manager::Apt => Ok(()),
        _ => Err(CallError::Unavailable(function.to_owned())),
    }
}

fn is_rpm_arch(arch: &str) -> bool {
    matches!(
        arch,
        "noarch"
            | "x86_64"
            | "i386"
            | "i486"
            | "i586"
            | "i686"
            | "athlon"
            | "aarch64"
            | "armv7hl"
            | "ppc64"
            | "ppc64le"
            | "s390"
            | "s390x"
            | "riscv64"
            | "src"
            | "nosrc"
    )
}

/// A name without its architecture, where that goes without saying.
pub(crate) fn without_arch<'a>(manager: Manager, context: &Context<'_>, name: &'a str) -> &'a str {
    without_arch_on(
        manager,
        context.minion.grains.str("osarch").unwrap_or_default(),
        name,
    )
}

/// The same of a machine whose architecture is known.
pub(crate) fn without_arch_on<'a>(manager: Manager, own: &str, name: &'a str) -> &'a str {
    let separator = match manager {
        Manager::Apt => ':',
        Manager::Dnf(_) => '.',
        Manager::Apk => return name,
    };
    match name.rsplit_once(separator) {
        Some((short, arch)) if arch == own || matches!(arch, "all" | "any" | "noarch") => short,
        _ => name,
    }
}

fn info_installed(args: &Args, context: &Context<'_>) -> Answer {
    let mut all = Map::new();
    for one in lowpkg::described(args, context, "pkg.info_installed")? {
        if one.str("status") != Some("ii") {
            continue;
        }
        let name = one.str("package").unwrap_or_default().to_owned();
        let shown: Map = one
            .into_iter()
            .filter(|(key, _)| key.as_str() != Some("status"))
            .map(|(key, value)| {
                let key = match key.as_str() {
                    Some("package") => "name".into(),
                    Some("maintainer") => "packager".into(),
                    Some("section") => "group".into(),
                    Some("homepage") => "url".into(),
                    _ => key,
                };
                (key, value)
            })
            .collect();
        all.insert(name, shown);
    }
    Ok(all.into())
}

fn downloaded(machine: &dyn Observe, root: &str) -> Answer {
    let place = format!("{}/var/cache/apt/archives", root.trim_end_matches('/'));
    let place = Path::new(&place);
    let mut all: BTreeMap<String, Map> = BTreeMap::new();
    for file in machine.list(place).unwrap_or_default() {
        let path = place.join(&file);
        if path.extension().is_none_or(|ending| ending != "deb") {
            continue;
        }
        let Ok(Some(metadata)) = machine.metadata(&path) else {
            continue;
        };
        let control = lowpkg::control(machine, &path)?;
        let part = |key: &str| control.str(key).unwrap_or_default().to_owned();
        let seconds = metadata.changed.seconds;
        let at = DateTime::from_unix(seconds as f64).map(|at| at.iso('T'));
        all.entry(part("name")).or_default().insert(
            part("version"),
            Map::from([
                ("path", Value::from(path.to_string_lossy().into_owned())),
                ("size", metadata.size.into()),
                ("creation_date_time_t", seconds.into()),
                ("creation_date_time", at.unwrap_or_default().into()),
            ]),
        );
    }
    Ok(all.into_iter().collect::<Map>().into())
}

/// The stanzas of `apt-cache show`: fields with their first lines.
fn stanzas(text: &str) -> Vec<Vec<(&str, &str)>> {
    text.split("\n\n")
        .map(|stanza| {
            stanza
                .lines()
                .filter(|line| !line.starts_with([' ', '\t']))
                .filter_map(|line| line.split_once(':'))
                .map(|(key, value)| (key, value.trim()))
                .collect()
        })
        .collect()
}

fn field<'a>(stanza: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    stanza
        .iter()
        .find(|(key, _)| *key == name)
        .map(|(_, value)| *value)
}

fn list_repo_pkgs(args: &Args, context: &Context<'_>) -> Answer {
    let manager = Manager::of(context, "pkg.list_repo_pkgs")?;
    if manager != Manager::Apt {
        return Err(CallError::Unavailable("pkg.list_repo_pkgs".to_owned()));
    }
    if args.keywords().get("refresh").is_some_and(Value::is_true) {
        manager.refresh(context)?;
    }
    let names = lowpkg::names(args);
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut offer = |name: &str, version: &str| {
        let at = *places.entry(name.to_owned()).or_insert_with(|| {
            found.push((name.to_owned(), Vec::new()));
            found.len() - 1
        });
        if let Some((_, versions)) = found.get_mut(at)
            && !versions.iter().any(|known| known == version)
        {
            versions.push(version.to_owned());
        }
    };
    if names.is_empty() {
        let command = tool::plain("apt-cache").arg("dump");
        let text = tool::ask(context.system, &command)?.stdout_text();
        let mut name = "";
        for line in text.lines() {
            if let Some(package) = line.strip_prefix("Package:") {
                name = package.trim();
            } else if let Some(version) = line.strip_prefix(" Version:") {
                offer(name, version.trim());
            }
        }
    } else {
        let command = tool::plain("apt-cache").args(["show", "--"]).args(&names);
        let text = tool::ask(context.system, &command)?.stdout_text();
        for stanza in stanzas(&text) {
            if let (Some(name), Some(version)) =
                (field(&stanza, "Package"), field(&stanza, "Version"))
            {
                offer(name, version);
            }
        }
    }
    for (_, versions) in &mut found {
        versions.sort_by(|a, b| super::compare(manager, b, a));
    }
    Ok(found
        .into_iter()
        .map(|(name, versions)| (name, versions.into_iter().collect::<Value>()))
        .collect::<Map>()
        .into())
}

fn show(args: &Args, context: &Context<'_>) -> Answer {
    apt(context, "pkg.show")?;
    if args.keywords().get("refresh").is_some_and(Value::is_true) {
        Manager::Apt.refresh(context)?;
    }
    let names = lowpkg::names(args);
    if names.is_empty() {
        return Ok(Map::new().into());
    }
    let wanted: Vec<String> = match args.keywords().get("filter") {
        Some(Value::List(items)) => items.iter().map(crate::python::str).collect(),
        Some(Value::Str(text)) => text.split(',').map(|key| key.trim().to_owned()).collect(),
        _ => Vec::new(),
    };
    let wanted: Vec<String> = wanted.iter().map(|key| key.to_lowercase()).collect();
    let command = tool::plain("apt-cache").args(["show", "--"]).args(&names);
    let output = tool::ask(context.system, &command)?;
    if !output.is_success() {
        context.set_retcode(output.exit.code().into());
    }
    let text = output.stdout_text();
    let mut all: Vec<(String, Map)> = Vec::new();
    for stanza in stanzas(&text) {
        let (Some(name), Some(version)) = (field(&stanza, "Package"), field(&stanza, "Version"))
        else {
            continue;
        };
        let told: Map = stanza
            .iter()
            .filter(|(key, _)| !matches!(*key, "Package" | "Version"))
            .filter(|(key, _)| wanted.is_empty() || wanted.contains(&key.to_lowercase()))
            .map(|(key, value)| (*key, *value))
            .collect();
        if let Some((_, versions)) = all.iter_mut().find(|(known, _)| known == name) {
            versions.insert(version, told);
        } else {
            all.push((name.to_owned(), Map::from([(version, told)])));
        }
    }
    Ok(all.into_iter().collect::<Map>().into())
}

fn services_need_restart(_: &Args, context: &Context<'_>) -> Answer {
    apt(context, "pkg.services_need_restart")?;
    if context.system.which("checkrestart").is_none() {
        return Err(CallError::CommandNotFound(
            "'checkrestart' is needed. It is part of the 'debian-goodies' package which can be installed from official repositories.".to_owned(),
        ));
    }
    let command = tool::named(context.system, "checkrestart").args(["--machine", "--package"]);
    let output = tool::ask(context.system, &command)?;
    if !output.is_success() {
        context.set_retcode(output.exit.code().into());
    }
    let mut services: Vec<String> = Vec::new();
    for line in output.stdout_text().lines() {
        // SERVICE:package,service,restart command
        let Some(rest) = line.strip_prefix("SERVICE:") else {
            continue;
        };
        if let Some(service) = rest.split(',').nth(1)
            && !services.iter().any(|known| known == service)
        {
            services.push(service.to_owned());
        }
    }
    Ok(services.into_iter().collect())
}
