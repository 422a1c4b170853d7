//! `pkg.*` of dnf as far as it only asks: what is installed, what is on offer.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use salt_proto::{Map, Value};

use super::{
    FAMILY, Package, Versions, dnf, expire_lists, installed, items, joined, listed, needs_rpm,
    normalized, one_or_all, options, own_arch, refresh, settings, stated, versions,
};
use crate::args::Args;
use crate::context::Context;
use crate::functions::pkg::compare_rpm;
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::Observe;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add_for(FAMILY, name, signature, doc, function);
    };
    add(
        "pkg.list_pkgs",
        "list_pkgs(versions_as_list=False, **kwargs)",
        "The versions of all installed packages.",
        list_pkgs,
    );
    add(
        "pkg.version",
        "version(*names, **kwargs)",
        "The version of an installed package, empty when it is not; of several, by name.",
        version,
    );
    for name in ["pkg.latest_version", "pkg.available_version"] {
        add(
            name,
            "latest_version(*names, **kwargs)",
            "The version that an upgrade would install, empty when what is there is current; of several, by name.",
            |args, context| {
                needs_rpm(context, "pkg.latest_version")?;
                latest_version(args, context)
            },
        );
    }
    add(
        "pkg.upgrade_available",
        "upgrade_available(name, **kwargs)",
        "Whether there is a newer version of a package than the one installed.",
        |args, context| {
            needs_rpm(context, "pkg.upgrade_available")?;
            let call = Args {
                positional: vec![args.text("name")?.into()],
                keywords: args.keywords().clone(),
                ..Args::new()
            };
            Ok(latest_version(&call, context)?.is_true().into())
        },
    );
    for name in ["pkg.list_upgrades", "pkg.list_updates"] {
        add(
            name,
            "list_upgrades(refresh=True, **kwargs)",
            "The versions that an upgrade of everything would install, by name.",
            |args, context| {
                needs_rpm(context, "pkg.list_upgrades")?;
                if args.is_true("refresh") {
                    expire_lists(context, args)?;
                }
                let found = upgrades(context.system, own_arch(&context.minion.grains), args)?;
                Ok(found.into_iter().collect::<Map>().into())
            },
        );
    }
    for name in ["pkg.refresh_db", "pkg.clean_metadata"] {
        add(
            name,
            "refresh_db(**kwargs)",
            "Reads the lists of packages again: true when there are upgrades, none when there are none, false when it failed.",
            |args, context| {
                needs_rpm(context, "pkg.refresh_db")?;
                refresh(context, args)
            },
        );
    }
    add(
        "pkg.list_repo_pkgs",
        "list_repo_pkgs(*args, **kwargs)",
        "The versions on offer, newest first, by name.",
        list_repo_pkgs,
    );
    add(
        "pkg.list_downloaded",
        "list_downloaded(**kwargs)",
        "The package files that were fetched and are still there, by name and version.",
        |_, context| {
            needs_rpm(context, "pkg.list_downloaded")?;
            Ok(downloaded(context.system)?
                .into_iter()
                .collect::<Map>()
                .into())
        },
    );
    add(
        "pkg.normalize_name",
        "normalize_name(name)",
        "The name of a package without the architecture, if that is this machine's.",
        |args, context| {
            let name = args.text("name")?;
            Ok(normalized(own_arch(&context.minion.grains), &name).into())
        },
    );
    add(
        "pkg.parse_arch",
        "parse_arch(name)",
        "Name and architecture of a package, which may be nothing.",
        |args, _| {
            let text = args.text("name")?;
            let (name, arch) = match text.rsplit_once('.') {
                Some((name, arch)) if super::is_arch(arch) => (name, Value::from(arch)),
                _ => (text.as_str(), Value::Null),
            };
            Ok(Map::from([("name", Value::from(name)), ("arch", arch)]).into())
        },
    );
    add(
        "pkg.list_patches",
        "list_patches(refresh=False, **kwargs)",
        "The advisories that are known, with their packages and whether those are installed.",
        |args, context| {
            needs_rpm(context, "pkg.list_patches")?;
            if args.is_true("refresh") {
                refresh(context, &Args::new())?;
            }
            Ok(patches(context.system)?.into())
        },
    );
    add(
        "pkg.list_installed_patches",
        "list_installed_patches(**kwargs)",
        "The advisories that are installed.",
        |_, context| {
            needs_rpm(context, "pkg.list_installed_patches")?;
            let all = patches(context.system)?;
            Ok(all
                .into_iter()
                .filter(|(_, patch)| patch.get("installed").is_some_and(Value::is_true))
                .collect::<Map>()
                .into())
        },
    );
    add(
        "pkg.services_need_restart",
        "services_need_restart(**kwargs)",
        "The services that use files which an upgrade has replaced.",
        |_, context| {
            needs_rpm(context, "pkg.services_need_restart")?;
            if !context.system.exists(Path::new("/run/systemd/system")) {
                return Err(CallError::execution(
                    "systemd is required to list outdated services.",
                ));
            }
            let command = dnf(["--quiet", "needs-restarting"]);
            let text = tool::ask(context.system, &command)?.stdout_text();
            let mut services: Vec<String> = Vec::new();
            for line in text.lines() {
                // 123 : /usr/bin/program with arguments
                let Some(pid) = line.split_once(':').map(|(pid, _)| pid.trim()) else {
                    continue;
                };
                if pid.is_empty() || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
                    continue;
                }
                let unit = tool::plain("systemctl").args(["status", pid]);
                let status = tool::ask(context.system, &unit)?.stdout_text();
                let service = status
                    .lines()
                    .next()
                    .and_then(|line| {
                        line.split_whitespace()
                            .find(|word| word.ends_with(".service"))
                    })
                    .and_then(|word| word.strip_suffix(".service"));
                if let Some(service) = service
                    && !services.iter().any(|known| known == service)
                {
                    services.push(service.to_owned());
                }
            }
            Ok(services.into_iter().collect())
        },
    );
    add(
        "pkg.download",
        "download(*packages, **kwargs)",
        "Fetches package files and returns where they are, by name.",
        download,
    );
}

fn list_pkgs(args: &Args, context: &Context<'_>) -> Answer {
    needs_rpm(context, "pkg.list_pkgs")?;
    if args.is_true("removed") || args.is_true("purge_desired") {
        return Ok(Map::new().into());
    }
    let keyword = |name: &str| args.keywords().get(name).is_some_and(Value::is_true);
    if keyword("removed") || keyword("purge_desired") {
        return Ok(Map::new().into());
    }
    let own = own_arch(&context.minion.grains);
    if let Some(wanted) = stated(args, "attr") {
        let all = installed(context.system)?;
        return Ok(attributes_of(&all, &items(wanted)).into());
    }
    let all = versions(context.system, own)?;
    Ok(as_stated(args, all))
}

/// Versions as lists, if those were asked for.
fn as_stated(args: &Args, all: Versions) -> Value {
    let lists = args.is_true("versions_as_list")
        || args
            .keywords()
            .get("versions_as_list")
            .is_some_and(Value::is_true);
    if lists {
        let lists = all
            .into_iter()
            .map(|(name, list)| (name, list.into_iter().collect::<Value>()));
        lists.collect::<Map>().into()
    } else {
        joined(all).into_iter().collect::<Map>().into()
    }
}

/// What is asked of each installed package, in the order of their versions.
pub(crate) fn attributes_of(packages: &[super::Installed], wanted: &[String]) -> Map {
    const ALL: [&str; 6] = [
        "epoch",
        "version",
        "release",
        "arch",
        "install_date",
        "install_date_time_t",
    ];
    let everything = wanted.iter().any(|name| name == "all");
    let wants = |name: &str| {
        matches!(name, "version" | "arch")
            || everything
            || wanted.iter().any(|wanted| wanted == name)
    };
    let mut all: BTreeMap<String, Vec<(String, Map)>> = BTreeMap::new();
    for package in packages {
        let map: Map = ALL
            .into_iter()
            .filter(|name| wants(name))
            .map(|name| {
                let value = match name {
                    "epoch" => Value::from(package.epoch.clone()),
                    "version" => package.version.as_str().into(),
                    "release" => package.release.as_str().into(),
                    "arch" => package.arch.as_str().into(),
                    "install_date" => Value::from(package.date()),
                    _ => package.at.map_or(Value::Null, Value::from),
                };
                (name, value)
            })
            .collect();
        let list = all.entry(package.name.clone()).or_default();
        if !list.iter().any(|(_, known)| *known == map) {
            list.push((package.full_version(), map));
        }
    }
    let sorted = all.into_iter().map(|(name, mut list)| {
        list.sort_by(|(a, _), (b, _)| a.cmp(b));
        let list: Value = list.into_iter().map(|(_, map)| Value::from(map)).collect();
        (name, list)
    });
    sorted.collect()
}

fn version(args: &Args, context: &Context<'_>) -> Answer {
    needs_rpm(context, "pkg.version")?;
    let asked: Vec<String> = args.positional().iter().map(python::str).collect();
    if asked.is_empty() {
        return Ok(Map::new().into());
    }
    let all = versions(context.system, own_arch(&context.minion.grains))?;
    let Value::Map(all) = as_stated(args, all) else {
        return Ok(Map::new().into());
    };
    let mut names = Vec::new();
    let mut has_pattern = false;
    for name in asked {
        if name.contains(['*', '?', '[']) {
            has_pattern = true;
            let known = all.keys().filter_map(Value::as_str);
            let found = known.filter(|known| crate::fnmatch(known, &name));
            names.extend(found.map(str::to_owned));
        } else {
            names.push(name);
        }
    }
    let one = |name: &String| all.get(name).cloned().unwrap_or_else(|| "".into());
    Ok(match names.as_slice() {
        [name] if !has_pattern => one(name),
        several => several
            .iter()
            .map(|name| (name.as_str(), one(name)))
            .collect::<Map>()
            .into(),
    })
}

fn latest_version(args: &Args, context: &Context<'_>) -> Answer {
    let names: Vec<String> = args.positional().iter().map(python::str).collect();
    if names.is_empty() {
        return Ok("".into());
    }
    if args.keywords().get("refresh").is_none_or(Value::is_true) {
        refresh(context, args)?;
    }
    let own = own_arch(&context.minion.grains);
    let now = versions(context.system, own)?;
    let latest = latest(context.system, own, &names, &now, args)?;
    one_or_all(&names, |name| {
        Ok(latest.get(name).cloned().unwrap_or_default().into())
    })
}

/// The newest versions on offer, of those names for which there is one that is newer than
/// what is installed.
pub(crate) fn latest(
    machine: &dyn Observe,
    own: &str,
    names: &[String],
    now: &Versions,
    args: &Args,
) -> Result<BTreeMap<String, String>, CallError> {
    let command = dnf(["--quiet"])
        .args(options(args))
        .args(["list", "available"])
        .args(names);
    let text = tool::ask(machine, &command)?.stdout_text();
    let mut offers = listed(own, &text);
    offers.sort_by(|a, b| compare_rpm(&b.version, &a.version));
    let mut found = BTreeMap::new();
    for name in names {
        let short = normalized(own, name);
        let Some(offer) = offers.iter().find(|offer| offer.name == short) else {
            continue;
        };
        let known = now.get(short).map(Vec::as_slice).unwrap_or_default();
        let is_newer = known
            .iter()
            .all(|known| compare_rpm(&offer.version, known) == Ordering::Greater);
        if is_newer {
            found.insert(name.clone(), offer.version.clone());
        }
    }
    Ok(found)
}

/// What an upgrade would install, by name.
pub(crate) fn upgrades(
    machine: &dyn Observe,
    own: &str,
    args: &Args,
) -> Result<BTreeMap<String, String>, CallError> {
    let command = dnf(["--quiet"])
        .args(options(args))
        .args(["list", "--upgrades"]);
    let output = tool::ask(machine, &command)?;
    Ok(listed(own, &output.stdout_text())
        .into_iter()
        .map(|package| (package.name, package.version))
        .collect())
}

/// The sources that are asked for what is on offer.
fn sources(machine: &dyn Observe, args: &Args) -> Result<Vec<String>, CallError> {
    if let Some(from) = stated(args, "fromrepo").or_else(|| stated(args, "repo")) {
        return Ok(items(from));
    }
    let list = |name: &str| stated(args, name).map(items).unwrap_or_default();
    let (more, less) = (list("enablerepo"), list("disablerepo"));
    let matches = |list: &[String], name: &str| list.iter().any(|one| crate::fnmatch(name, one));
    let mut names = Vec::new();
    for (name, enabled) in super::repos::names(machine)? {
        if matches(&less, &name) {
            continue;
        }
        if enabled || matches(&more, &name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// What each source offers.
pub(crate) fn on_offer(
    machine: &dyn Observe,
    own: &str,
    names: &[String],
    args: &Args,
) -> Result<Vec<(String, Vec<Package>)>, CallError> {
    let mut all = Vec::new();
    for repo in sources(machine, args)? {
        let mut command = dnf([
            "--quiet",
            "--showduplicates",
            "repository-packages",
            repo.as_str(),
            "list",
        ]);
        if stated(args, "cacheonly").is_some() {
            command = command.arg("-C");
        }
        let command = command.args(settings(args)).args(names);
        let output = tool::ask(machine, &command)?;
        if !output.is_success() {
            continue;
        }
        all.push((repo, listed(own, &output.stdout_text())));
    }
    Ok(all)
}

/// Versions, newest first, each once.
fn newest_first<'a>(packages: impl Iterator<Item = &'a Package>) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let list = all.entry(package.name.clone()).or_default();
        if !list.contains(&package.version) {
            list.push(package.version.clone());
        }
    }
    for list in all.values_mut() {
        list.sort_by(|a, b| compare_rpm(b, a));
    }
    all
}

/// All versions on offer, newest first, by name.
pub(crate) fn all_versions(
    machine: &dyn Observe,
    own: &str,
    names: &[String],
    args: &Args,
) -> Result<BTreeMap<String, Vec<String>>, CallError> {
    let offers = on_offer(machine, own, names, args)?;
    Ok(newest_first(
        offers.iter().flat_map(|(_, packages)| packages),
    ))
}

fn list_repo_pkgs(args: &Args, context: &Context<'_>) -> Answer {
    needs_rpm(context, "pkg.list_repo_pkgs")?;
    let own = own_arch(&context.minion.grains);
    let names: Vec<String> = args.positional().iter().map(python::str).collect();
    let offers = on_offer(context.system, own, &names, args)?;
    let lists = |all: BTreeMap<String, Vec<String>>| -> Map {
        all.into_iter()
            .map(|(name, list)| (name, list.into_iter().collect::<Value>()))
            .collect()
    };
    if stated(args, "byrepo").is_some() {
        return Ok(offers
            .iter()
            .filter(|(_, packages)| !packages.is_empty())
            .map(|(repo, packages)| (repo.as_str(), lists(newest_first(packages.iter()))))
            .collect::<Map>()
            .into());
    }
    Ok(lists(newest_first(
        offers.iter().flat_map(|(_, packages)| packages),
    ))
    .into())
}

/// Where dnf keeps what it fetched.
const CACHE: &str = "/var/cache/dnf";

/// The package files in dnf's cache, by name and version.
pub(crate) fn downloaded(machine: &dyn Observe) -> Result<BTreeMap<String, Map>, CallError> {
    let mut files = Vec::new();
    let mut left = vec![(Path::new(CACHE).to_owned(), 0)];
    while let Some((place, depth)) = left.pop() {
        for name in machine.list(&place).unwrap_or_default() {
            let path = place.join(&name);
            if machine.is_dir(&path) {
                // The caches of sources, then their packages.
                if depth < 3 {
                    left.push((path, depth + 1));
                }
            } else if name.to_string_lossy().ends_with(".rpm") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut all: BTreeMap<String, Map> = BTreeMap::new();
    for path in files {
        let (Some(package), Ok(Some(metadata))) = (
            super::rpm::described(machine, &path)?,
            machine.metadata(&path),
        ) else {
            continue;
        };
        let seconds = metadata.changed.seconds;
        let at = crate::jinja::date::DateTime::from_unix(seconds as f64);
        all.entry(package.name.clone()).or_default().insert(
            package.full_version(),
            Map::from([
                ("path", Value::from(path.to_string_lossy().into_owned())),
                ("size", metadata.size.into()),
                ("creation_date_time_t", seconds.into()),
                (
                    "creation_date_time",
                    at.map(|at| at.iso('T')).unwrap_or_default().into(),
                ),
            ]),
        );
    }
    Ok(all)
}

/// Advisories with their packages and whether they are installed.
pub(crate) fn patches(machine: &dyn Observe) -> Result<Map, CallError> {
    let command = dnf(["--quiet", "updateinfo", "list", "all"]);
    let text = tool::ask(machine, &command)?.stdout_text();
    let mut all = Map::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (there, id, package) = match words.as_slice() {
            ["i", id, _, package] => (true, *id, *package),
            [id, _, package] => (false, *id, *package),
            _ => continue,
        };
        let entry = all.get_or_insert_with(id, || {
            Map::from([
                ("installed", Value::from(there)),
                ("summary", Value::List(Vec::new())),
            ])
            .into()
        });
        if let Some(entry) = entry.as_map_mut() {
            if !there {
                entry.insert("installed", false);
            }
            if let Some(Value::List(packages)) = entry.get_mut("summary") {
                packages.push(package.into());
            }
        }
    }
    Ok(all)
}

fn download(args: &Args, context: &Context<'_>) -> Answer {
    const TO: &str = "/var/cache/dnf/packages";

    needs_rpm(context, "pkg.download")?;
    if context.system.which("yumdownloader").is_none() {
        return Err(CallError::execution(
            "'yumdownloader' command not available",
        ));
    }
    let names: Vec<String> = args.positional().iter().map(python::str).collect();
    if names.is_empty() {
        return Err(CallError::invocation("No packages were specified"));
    }
    let failed = |error: std::io::Error| {
        CallError::execution(crate::system::errno_text(&error, Some(Path::new(TO))))
    };
    context
        .system
        .create_dir_all(Path::new(TO), 0o755)
        .map_err(failed)?;
    let files = || -> Vec<String> {
        let all = context.system.list(Path::new(TO)).unwrap_or_default();
        all.iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    };
    // What is there of them from before would be taken for what is fetched now.
    let is_of = |file: &str, name: &str| {
        file.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    for file in files() {
        if names.iter().any(|name| is_of(&file, name)) {
            context
                .system
                .remove(&Path::new(TO).join(file))
                .map_err(failed)?;
        }
    }
    let command = tool::plain("yumdownloader")
        .args(["-q", &format!("--destdir={TO}")])
        .args(&names);
    tool::run(context, &command)?;
    let mut fetched = Map::new();
    for file in files() {
        for name in &names {
            if is_of(&file, name) {
                fetched.insert(name.as_str(), format!("{TO}/{file}"));
            }
        }
    }
    if fetched.is_empty() {
        return Err(CallError::execution(format!(
            "Unable to download any of the following packages: {}",
            names.join(", ")
        )));
    }
    let missing: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !fetched.contains_key(name))
        .collect();
    if !missing.is_empty() {
        fetched.insert(
            "_error",
            format!(
                "The following package(s) failed to download: {}",
                missing.join(", ")
            ),
        );
    }
    Ok(fetched.into())
}
