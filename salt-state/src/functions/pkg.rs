//! `pkg.*`: what is installed, and how versions compare. The package manager is the one
//! that the grain `os_family` names.

use std::cmp::Ordering;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::Command;

pub(crate) mod apk;
pub(crate) mod asked;
pub(crate) mod change;
pub(crate) mod dnf;
mod keys;
pub(crate) mod manager;
pub(crate) mod repo;

use manager::Manager;

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    apk::register(registry);
    asked::register(registry);
    change::register(registry);
    dnf::register(registry);
    keys::register(registry);
    offers(registry);
    repo::register(registry);
    registry.add(
        "pkg.version",
        "version(*names, **kwargs)",
        "Returns the version of an installed package, empty when it is not; of several, by name.",
        |args, context| {
            let installed = installed(context, "pkg.version")?;
            let mut names = Vec::new();
            let mut has_pattern = false;
            for name in args.positional().iter().map(crate::python::str) {
                if name.contains(['*', '?', '[']) {
                    has_pattern = true;
                    let known = installed.keys().filter_map(Value::as_str);
                    let found = known.filter(|known| crate::fnmatch(known, &name));
                    names.extend(found.map(str::to_owned));
                } else {
                    names.push(name);
                }
            }
            let version = |name: &String| {
                installed
                    .get(name.as_str())
                    .cloned()
                    .unwrap_or_else(|| "".into())
            };
            Ok(match names.as_slice() {
                [] => Map::new().into(),
                [name] if !has_pattern => version(name),
                several => several
                    .iter()
                    .map(|name| (name.as_str(), version(name)))
                    .collect::<Map>()
                    .into(),
            })
        },
    );
    registry.add(
        "pkg.list_pkgs",
        "list_pkgs(versions_as_list=False, removed=False, purge_desired=False, **kwargs)",
        "Returns the versions of all installed packages.",
        |args, context| {
            let installed = if args.is_true("removed") || args.is_true("purge_desired") {
                let manager = Manager::of(context, "pkg.list_pkgs")?;
                let mut found = if args.is_true("removed") {
                    manager.installed(context.system, true)?
                } else {
                    Default::default()
                };
                if args.is_true("purge_desired") {
                    found.extend(manager.purge_desired(context.system)?);
                }
                found.into_iter().collect()
            } else {
                installed(context, "pkg.list_pkgs")?
            };
            if !args.is_true("versions_as_list") {
                return Ok(installed.into());
            }
            let lists = installed
                .into_iter()
                .map(|(name, version)| (name, Value::List(vec![version])));
            Ok(lists.collect::<Map>().into())
        },
    );
    registry.add(
        "pkg.version_cmp",
        "version_cmp(pkg1, pkg2, ignore_epoch=False, **kwargs)",
        "Returns -1, 0 or 1: whether the first version is older than, the same as, or newer than the second.",
        version_cmp,
    );
}

fn offers(registry: &mut Registry) {
    for name in ["pkg.latest_version", "pkg.available_version"] {
        registry.add(
            name,
            "latest_version(*names, **kwargs)",
            "The version that an upgrade would install, empty when what is there is current; of several, by name.",
            |args, context| {
                let manager = Manager::of(context, "pkg.latest_version")?;
                if args.keywords().get("refresh").is_none_or(Value::is_true) {
                    manager.refresh(context)?;
                }
                let installed = manager.installed(context.system, false)?;
                let shows_installed = args.keywords().get("show_installed").is_some_and(Value::is_true);
                let from = args.keywords().get("fromrepo").map(crate::python::str);
                let latest = |name: &String| -> String {
                    let offered = manager.candidate_from(context.system, name, from.as_deref());
                    match (offered, installed.get(name)) {
                        (Some(offered), Some(now))
                            if !shows_installed
                                && compare(manager, &offered, now) != Ordering::Greater =>
                        {
                            String::new()
                        }
                        (offered, _) => offered.unwrap_or_default(),
                    }
                };
                let names: Vec<String> = args.positional().iter().map(crate::python::str).collect();
                Ok(match names.as_slice() {
                    [] => "".into(),
                    // Salt's answer has the name where the lists have no such package.
                    [name] if !manager.knows(context.system, name, from.as_deref()) => {
                        Map::from([(name.as_str(), "")]).into()
                    }
                    [name] => latest(name).into(),
                    several => several
                        .iter()
                        .map(|name| (name.as_str(), latest(name)))
                        .collect::<Map>()
                        .into(),
                })
            },
        );
    }
    registry.add(
        "pkg.upgrade_available",
        "upgrade_available(name, **kwargs)",
        "Whether there is a newer version of a package than the one installed.",
        |args, context| {
            let manager = Manager::of(context, "pkg.upgrade_available")?;
            let name = args.text("name")?;
            if args.keywords().get("refresh").is_none_or(Value::is_true) {
                manager.refresh(context)?;
            }
            if !manager.knows(context.system, &name, None) {
                // Salt takes the answer for a version.
                return Ok(true.into());
            }
            let offered = manager.candidate(context.system, &name);
            let installed = manager.installed(context.system, false)?;
            Ok(match (offered, installed.get(&name)) {
                (Some(offered), Some(now)) => compare(manager, &offered, now) == Ordering::Greater,
                (offered, None) => offered.is_some(),
                (None, Some(_)) => false,
            }
            .into())
        },
    );
    registry.add(
        "pkg.list_upgrades",
        "list_upgrades(refresh=True, dist_upgrade=True, **kwargs)",
        "The versions that an upgrade of everything would install, by name.",
        |args, context| {
            let manager = Manager::of(context, "pkg.list_upgrades")?;
            if args.is_true("refresh") {
                manager.refresh(context)?;
            }
            let found = manager.upgrades(context.system, args.is_true("dist_upgrade"))?;
            Ok(found.into_iter().collect::<Map>().into())
        },
    );
    registry.add(
        "pkg.get_selections",
        "get_selections(pattern=None, state=None)",
        "The names of the packages by what is to become of them.",
        |args, context| {
            let manager = Manager::of(context, "pkg.get_selections")?;
            let pattern = args
                .optional_text("pattern")
                .unwrap_or_else(|| "*".to_owned());
            let state = args.optional_text("state");
            let mut map = Map::new();
            if let Some(state) = &state {
                map.insert(state.as_str(), Value::List(Vec::new()));
            }
            for (name, is) in manager.selections(context.system, &pattern)? {
                if state.as_ref().is_some_and(|state| *state != is) {
                    continue;
                }
                let list = map.get_or_insert_with(is, || Value::List(Vec::new()));
                if let Value::List(names) = list {
                    names.push(name.into());
                }
            }
            Ok(map.into())
        },
    );
    registry.add(
        "pkg.owner",
        "owner(*paths, **kwargs)",
        "The package that a file belongs to, empty when there is none; of several, by path.",
        |args, context| {
            let manager = Manager::of(context, "pkg.owner")?;
            let owner = |path: &String| -> Result<String, CallError> {
                let command = match manager {
                    Manager::Apt => super::tool::plain("dpkg").args(["-S", path.as_str()]),
                    Manager::Dnf(_) => {
                        super::tool::plain("rpm").args(["-qf", "--queryformat", "%{NAME}", path])
                    }
                    Manager::Apk => super::tool::plain("apk").args(["info", "-W", path]),
                };
                let output = super::tool::ask(context.system, &command)?;
                if !output.is_success() {
                    context.set_retcode(output.exit.code().into());
                    return Ok(String::new());
                }
                let text = output.stdout_text();
                Ok(match manager {
                    Manager::Apt => text.split(':').next().unwrap_or_default().trim().to_owned(),
                    _ => text.trim().to_owned(),
                })
            };
            let paths: Vec<String> = args.positional().iter().map(crate::python::str).collect();
            match paths.as_slice() {
                [] => Ok("".into()),
                [path] => Ok(owner(path)?.into()),
                several => {
                    let mut map = Map::new();
                    for path in several {
                        map.insert(path.as_str(), owner(path)?);
                    }
                    Ok(map.into())
                }
            }
        },
    );
}

/// Whether epochs are left out of a comparison: as stated, else where the version asked
/// for has none.
pub(crate) fn ignores_epoch(args: &Args, wanted: &str) -> bool {
    match args.given("ignore_epoch") {
        Some(stated) => stated.is_true(),
        None => !wanted.contains(':'),
    }
}

/// A version, or a comparison with one, without its epoch.
pub(crate) fn without_epoch(version: &str) -> String {
    let start = version
        .find(|c| !matches!(c, '<' | '>' | '=' | '!'))
        .unwrap_or(version.len());
    let (operator, version) = version.split_at(start);
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    format!("{operator}{version}")
}

/// How two versions compare in a manager's order.
pub(crate) fn compare(manager: Manager, a: &str, b: &str) -> Ordering {
    match manager {
        Manager::Apt | Manager::Apk => compare_deb(a, b),
        Manager::Dnf(_) => compare_rpm(a, b),
    }
}

/// Whether a version is what was asked for: that version, one that matches a pattern, or
/// one for which comparisons (`>=1.0,<2.0`) hold.
pub(crate) fn satisfies(manager: Manager, version: &str, wanted: &str) -> bool {
    // Salt takes several comparisons at once for one that no version fits.
    if manager != Manager::Apk && wanted.contains(',') {
        return false;
    }
    wanted.split(',').map(str::trim).all(|wanted| {
        let end = wanted
            .find(|c| !matches!(c, '<' | '>' | '=' | '!'))
            .unwrap_or(wanted.len());
        let (operator, bound) = wanted.split_at(end);
        let bound = bound.trim();
        if matches!(operator, "" | "=" | "==") {
            return crate::fnmatch(version, bound)
                || compare(manager, version, bound) == Ordering::Equal;
        }
        let order = compare(manager, version, bound);
        match operator {
            ">=" => order != Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">" => order == Ordering::Greater,
            "<" => order == Ordering::Less,
            "!=" | "<>" => order != Ordering::Equal,
            _ => false,
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Deb,
    Rpm,
}

/// The package format of this machine.
fn format(context: &Context<'_>, function: &str) -> Result<Format, CallError> {
    let family = context.minion.grains.str("os_family").unwrap_or_default();
    match family {
        "Debian" if context.system.which("dpkg-query").is_some() => Ok(Format::Deb),
        "RedHat" | "Suse" if context.system.which("rpm").is_some() => Ok(Format::Rpm),
        _ => Err(CallError::Unavailable(function.to_owned())),
    }
}

/// Versions by name, sorted.
fn installed(context: &Context<'_>, function: &str) -> Result<Map, CallError> {
    let command = match format(context, function)? {
        Format::Deb => Command::new("dpkg-query").args([
            "--showformat",
            "${Status} ${Package} ${Version} ${Architecture}\n",
            "-W",
        ]),
        Format::Rpm => Command::new("rpm").args([
            "-qa",
            "--queryformat",
            "install ok installed %{NAME} %{EPOCHNUM}:%{VERSION}-%{RELEASE} %{ARCH}\n",
        ]),
    };
    let output = context
        .system
        .query(&command)
        .map_err(|error| CallError::execution(error.to_string()))?;
    let mut found: Vec<(String, String)> = output
        .stdout_text()
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, _, state, name, version, ..] = words.as_slice() else {
                return None;
            };
            let version = version.strip_prefix("0:").unwrap_or(version);
            (*state == "installed" && !version.is_empty())
                .then(|| ((*name).to_owned(), version.to_owned()))
        })
        .collect();
    found.sort();
    Ok(found
        .into_iter()
        .map(|(name, version)| (name, Value::from(version)))
        .collect())
}

fn version_cmp(args: &Args, context: &Context<'_>) -> Answer {
    let format = format(context, "pkg.version_cmp")?;
    let ignore_epoch = args.is_true("ignore_epoch");
    let text = |name: &str| -> Result<String, CallError> {
        let text = args.text(name)?;
        Ok(match text.split_once(':') {
            Some((_, rest)) if ignore_epoch => rest.to_owned(),
            _ => text,
        })
    };
    let (a, b) = (text("pkg1")?, text("pkg2")?);
    let is_version = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    if format == Format::Deb && !(is_version(&a) && is_version(&b)) {
        return Ok(Value::Null);
    }
    let order = match format {
        Format::Deb => compare_deb(&a, &b),
        Format::Rpm => compare_rpm(&a, &b),
    };
    Ok(Value::Int(order as i64))
}

/// Epoch, version, release.
fn parts(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, release) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.parse().unwrap_or(0), upstream, release)
}

/// As section 5.6.12 of Debian's policy says.
fn compare_deb(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    a.0.cmp(&b.0)
        .then_with(|| deb_part(a.1, b.1))
        .then_with(|| deb_part(a.2, b.2))
}

fn deb_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    // The end comes after `~` and before all else, letters before other characters.
    let weight = |byte: Option<&u8>| match byte {
        None => 0,
        Some(c) if c.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    };
    while !a.is_empty() || !b.is_empty() {
        loop {
            let in_text = |rest: &[u8]| rest.first().is_some_and(|c| !c.is_ascii_digit());
            if !in_text(a) && !in_text(b) {
                break;
            }
            let order = weight(a.first()).cmp(&weight(b.first()));
            if order != Ordering::Equal {
                return order;
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let order = number(&mut a, &mut b);
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Compares the digits in front, of any length, and takes them away.
fn number(a: &mut &[u8], b: &mut &[u8]) -> Ordering {
    let take = |rest: &mut &[u8]| -> Vec<u8> {
        let length = rest.iter().take_while(|c| c.is_ascii_digit()).count();
        let (digits, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        *rest = tail;
        digits.iter().copied().skip_while(|c| *c == b'0').collect()
    };
    let (x, y) = (take(a), take(b));
    x.len().cmp(&y.len()).then_with(|| x.cmp(&y))
}

/// As rpm compares epoch, version and release; a release only where both state one.
pub(crate) fn compare_rpm(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    let order = a.0.cmp(&b.0).then_with(|| rpm_part(a.1, b.1));
    if a.2.is_empty() || b.2.is_empty() {
        return order;
    }
    order.then_with(|| rpm_part(a.2, b.2))
}

fn rpm_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    let apart = |c: &u8| !c.is_ascii_alphanumeric() && *c != b'~' && *c != b'^';
    loop {
        let skip = |rest: &[u8]| rest.iter().take_while(|c| apart(c)).count();
        a = a.get(skip(a)..).unwrap_or_default();
        b = b.get(skip(b)..).unwrap_or_default();
        match (a.first(), b.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                a = a.get(1..).unwrap_or_default();
                b = b.get(1..).unwrap_or_default();
                continue;
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (Some(b'^'), None) => return Ordering::Greater,
            (None, Some(b'^')) => return Ordering::Less,
            (Some(b'^'), _) => return Ordering::Less,
            (_, Some(b'^')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) => match (x.is_ascii_digit(), y.is_ascii_digit()) {
                (true, false) => return Ordering::Greater,
                (false, true) => return Ordering::Less,
                (true, true) => {
                    let order = number(&mut a, &mut b);
                    if order != Ordering::Equal {
                        return order;
                    }
                }
                (false, false) => {
                    let letters =
                        |rest: &[u8]| rest.iter().take_while(|c| c.is_ascii_alphabetic()).count();
                    let (x, y) = (letters(a), letters(b));
                    let order = a.get(..x).cmp(&b.get(..y));
                    if order != Ordering::Equal {
                        return order;
                    }
                    a = a.get(x..).unwrap_or_default();
                    b = b.get(y..).unwrap_or_default();
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::system::{FakeSystem, Output};

    #[test]
    fn versions_compare_as_dpkg_and_rpm_compare_them() {
        // Each older than the next; checked with `dpkg --compare-versions`.
        let deb = [
            "1.0~rc1", "1.0", "1.0-1", "1.0-1+b1", "1.0a", "1.0.1", "1.2", "1.10", "1:0.1", "2:0",
        ];
        for pair in deb.windows(2) {
            let [a, b] = pair else { continue };
            assert_eq!(compare_deb(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(compare_deb(b, a), Ordering::Greater, "{a} {b}");
        }
        assert_eq!(compare_deb("1.0", "01.00"), Ordering::Equal);
        let rpm = [
            "1.0~rc1", "1.0", "1.0^git1", "1.0.a", "1.0.1", "1.10", "1:0.1",
        ];
        for pair in rpm.windows(2) {
            let [a, b] = pair else { continue };
            assert_eq!(compare_rpm(a, b), Ordering::Less, "{a} {b}");
        }
        assert_eq!(compare_rpm("1.0-1", "1.0"), Ordering::Equal);
    }

    #[test]
    fn an_absent_package_has_an_empty_version() {
        let system = FakeSystem::new()
            .program("/usr/bin/dpkg-query")
            .command("dpkg-query", |_| {
                Output::success("install ok installed bash 5.2-1 amd64\ndeinstall ok config-files vim 9 amd64\n")
            });
        let minion = MinionData {
            grains: Map::from([("os_family", "Debian")]).into(),
            ..MinionData::default()
        };
        let registry = Registry::builtin();
        let context = Context::new(&registry, &system, &minion);

        let ask = |name: &str| registry.call("pkg.version", &Args::new().with(name), &context);

        assert_eq!(ask("bash").ok(), Some("5.2-1".into()));
        assert_eq!(ask("vim").ok(), Some("".into()));
    }
}
