//! What rpm knows: `lowpkg.*`, and the functions of `pkg` that are the same.

use std::path::Path;

use salt_proto::{Map, Value};

use super::{FAMILY, Installed, needs_rpm, one_or_all};
use crate::args::Args;
use crate::context::Context;
use crate::functions::pkg::compare_rpm;
use crate::functions::tool;
use crate::jinja::date::DateTime;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add_for(FAMILY, name, signature, doc, function);
    };
    for name in ["pkg.owner", "lowpkg.owner"] {
        add(
            name,
            "owner(*paths, **kwargs)",
            "The package that a file belongs to, empty when there is none; of several, by path.",
            owner,
        );
    }
    for name in ["pkg.file_list", "lowpkg.file_list"] {
        add(
            name,
            "file_list(*packages, **kwargs)",
            "The files of packages.",
            file_list,
        );
    }
    for name in ["pkg.file_dict", "lowpkg.file_dict"] {
        add(
            name,
            "file_dict(*packages, **kwargs)",
            "The files of packages, by package.",
            file_dict,
        );
    }
    for name in ["pkg.verify", "lowpkg.verify"] {
        add(
            name,
            "verify(*packages, **kwargs)",
            "How files differ from what their packages brought, by path.",
            |args, context| {
                needs_rpm(context, "lowpkg.verify")?;
                Ok(verify(context.system, &names(args), args.keywords())?.into())
            },
        );
    }
    for name in ["pkg.modified", "lowpkg.modified"] {
        add(
            name,
            "modified(*packages, **flags)",
            "The files that differ from what their packages brought, with what differs.",
            modified,
        );
    }
    add(
        "pkg.diff",
        "diff(*paths, **kwargs)",
        "How files differ from what their packages brought, as a diff.",
        diff,
    );
    add(
        "pkg.info_installed",
        "info_installed(*names, **kwargs)",
        "What is known of installed packages: version, source, description and more.",
        |args, context| {
            let mut all = Map::new();
            for (name, info) in described_all(args, context)? {
                // As other package managers call it.
                let rename = |info: Value| match info {
                    Value::Map(info) => renamed(info).into(),
                    other => other,
                };
                let shown = match info {
                    Value::List(all) => all.into_iter().map(rename).collect(),
                    one => rename(one),
                };
                all.insert(name, shown);
            }
            Ok(all.into())
        },
    );
    add(
        "lowpkg.info",
        "info(*packages, **kwargs)",
        "What rpm knows of installed packages.",
        |args, context| {
            Ok(described_all(args, context)?
                .into_iter()
                .collect::<Map>()
                .into())
        },
    );
    add(
        "lowpkg.list_pkgs",
        "list_pkgs(*packages, **kwargs)",
        "The versions of installed packages, without their releases.",
        |args, context| {
            needs_rpm(context, "lowpkg.list_pkgs")?;
            let text = tool::ask(context.system, &list(args))?.stdout_text();
            let mut all = Map::new();
            for line in text.lines().filter(|line| !is_missing(line)) {
                if let Some((name, version)) = line.split_once(' ') {
                    all.insert(name, version);
                }
            }
            Ok(all.into())
        },
    );
    add(
        "lowpkg.bin_pkg_info",
        "bin_pkg_info(path, saltenv='base')",
        "Name, version and architecture of a package file, here or of the state tree.",
        file_info,
    );
    add(
        "lowpkg.checksum",
        "checksum(*paths, **kwargs)",
        "Whether package files are whole, by path.",
        |args, context| {
            needs_rpm(context, "lowpkg.checksum")?;
            let paths = names(args);
            if paths.is_empty() {
                return Err(CallError::execution("No package files has been specified."));
            }
            let mut all = Map::new();
            for path in paths {
                let whole = context.system.exists(Path::new(&path)) && {
                    let command = rpm(args).args(["-K", "--quiet", path.as_str()]);
                    tool::ask(context.system, &command)?.is_success()
                };
                all.insert(path, whole);
            }
            Ok(all.into())
        },
    );
    for name in ["pkg.version_cmp", "lowpkg.version_cmp"] {
        let signature = if name == "pkg.version_cmp" {
            "version_cmp(pkg1, pkg2, ignore_epoch=False, **kwargs)"
        } else {
            "version_cmp(ver1, ver2, ignore_epoch=False)"
        };
        add(
            name,
            signature,
            "Returns -1, 0 or 1: whether the first version is older than, the same as, or newer than the second.",
            version_cmp,
        );
    }
}

fn version_cmp(args: &Args, context: &Context<'_>) -> Answer {
    needs_rpm(context, "lowpkg.version_cmp")?;
    let text = |names: [&str; 2]| -> Result<String, CallError> {
        let [one, other] = names;
        let text = match args.optional_text(one) {
            Some(text) => text,
            None => args.text(other)?,
        };
        Ok(match text.split_once(':') {
            Some((_, rest)) if args.is_true("ignore_epoch") => rest.to_owned(),
            _ => text,
        })
    };
    let (a, b) = (text(["pkg1", "ver1"])?, text(["pkg2", "ver2"])?);
    Ok(Value::Int(compare_rpm(&a, &b) as i64))
}

fn names(args: &Args) -> Vec<String> {
    args.positional().iter().map(python::str).collect()
}

/// A command of rpm, perhaps for a machine under another root.
fn rpm(args: &Args) -> Command {
    let command = tool::plain("rpm");
    match super::stated(args, "root") {
        Some(root) => command.args(["--root", &python::str(root)]),
        None => command,
    }
}

/// Whether a line says that a package is not there.
fn is_missing(line: &str) -> bool {
    line.contains("is not installed")
}

fn list(args: &Args) -> Command {
    const FORMAT: &str = "%{NAME} %{VERSION}\\n";

    let packages = names(args);
    let query = if packages.is_empty() { "-qa" } else { "-q" };
    rpm(args)
        .args([query, "--queryformat", FORMAT])
        .args(packages)
}

fn owner(args: &Args, context: &Context<'_>) -> Answer {
    needs_rpm(context, "pkg.owner")?;
    one_or_all(&names(args), |path| {
        let command = rpm(args).args(["-qf", "--queryformat", "%{name}", path]);
        let output = tool::ask(context.system, &command)?;
        let text = output.stdout_text();
        if !output.is_success() || text.contains("not owned") {
            return Ok("".into());
        }
        Ok(text.trim().into())
    })
}

fn file_list(args: &Args, context: &Context<'_>) -> Answer {
    needs_rpm(context, "pkg.file_list")?;
    let packages = names(args);
    let query = if packages.is_empty() { "-qla" } else { "-ql" };
    let command = rpm(args).arg(query).args(packages);
    let text = tool::ask(context.system, &command)?.stdout_text();
    let files: Value = text.lines().map(str::trim_end).collect();
    Ok(Map::from([("errors", Value::List(Vec::new())), ("files", files)]).into())
}

fn file_dict(args: &Args, context: &Context<'_>) -> Answer {
    needs_rpm(context, "pkg.file_dict")?;
    let text = tool::ask(context.system, &list(args))?.stdout_text();
    let mut errors: Vec<Value> = Vec::new();
    let mut packages: Vec<&str> = Vec::new();
    for line in text.lines() {
        if is_missing(line) {
            errors.push(line.into());
        } else if let Some((name, _)) = line.split_once(' ')
            && !packages.contains(&name)
        {
            packages.push(name);
        }
    }
    let mut all = Map::new();
    for package in packages {
        let command = rpm(args).args(["-ql", package]);
        let text = tool::ask(context.system, &command)?.stdout_text();
        all.insert(package, text.lines().map(str::trim_end).collect::<Value>());
    }
    Ok(Map::from([("errors", Value::List(errors)), ("packages", all.into())]).into())
}

/// What the letter before a path says of a file.
fn kind_of(letter: &str) -> Option<&'static str> {
    Some(match letter {
        "c" => "config",
        "d" => "doc",
        "g" => "ghost",
        "l" => "license",
        "r" => "readme",
        _ => return None,
    })
}

/// What `rpm -V` says: paths with what differs.
///
/// `options` are those of the function: `ignore_types` and `verify_options`.
pub(crate) fn verify(
    machine: &dyn Observe,
    packages: &[String],
    options: &Map,
) -> Result<Map, CallError> {
    let list = |name: &str| -> Vec<String> {
        options
            .get(name)
            .filter(|value| value.is_true())
            .map(super::items)
            .unwrap_or_default()
    };
    let ignored = list("ignore_types");
    let root = options.get("root").filter(|root| root.is_true());
    let mut command = tool::plain("rpm");
    if let Some(root) = root {
        command = command.args(["--root", &python::str(root)]);
    }
    command = command.args(
        list("verify_options")
            .iter()
            .map(|option| format!("--{}", option.trim_start_matches('-'))),
    );
    command = if packages.is_empty() {
        command.arg("-Va")
    } else {
        command.arg("-V").args(packages)
    };
    let text = tool::ask(machine, &command)?.stdout_text();
    let mut all = Map::new();
    for line in text.lines() {
        let Some((flags, letter, path)) = fields(line) else {
            continue;
        };
        let kind = letter.and_then(kind_of);
        if kind.is_some_and(|kind| ignored.iter().any(|ignored| ignored == kind)) {
            continue;
        }
        let mut map = Map::new();
        if flags == "missing" {
            map.insert("missing", true);
        } else {
            let mismatch: Vec<Value> = [
                ('S', "size"),
                ('M', "mode"),
                ('5', "md5sum"),
                ('D', "device major/minor number"),
                ('L', "readlink path"),
                ('U', "user"),
                ('G', "group"),
                ('T', "mtime"),
                ('P', "capabilities"),
            ]
            .into_iter()
            .filter(|(letter, _)| flags.contains(*letter))
            .map(|(_, word)| word.into())
            .collect();
            map.insert("mismatch", Value::List(mismatch));
        }
        if let Some(kind) = kind {
            map.insert("type", kind);
        }
        all.insert(path, map);
    }
    Ok(all)
}

/// Flags, what kind of file it is, and the path of a line of `rpm -V`.
fn fields(line: &str) -> Option<(&str, Option<&str>, &str)> {
    let (flags, rest) = line.trim().split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    if rest.starts_with('/') {
        return Some((flags, None, rest));
    }
    let (letter, path) = rest.split_once(char::is_whitespace)?;
    Some((flags, Some(letter), path.trim_start()))
}

fn modified(args: &Args, context: &Context<'_>) -> Answer {
    /// In the order of their places in a line.
    const FLAGS: [&str; 9] = [
        "size",
        "mode",
        "checksum",
        "device",
        "symlink",
        "owner",
        "group",
        "time",
        "capabilities",
    ];

    needs_rpm(context, "pkg.modified")?;
    let command = rpm(args).arg("-Va").args(names(args));
    let output = tool::ask(context.system, &command)?;
    let mut all = Map::new();
    for line in output.stdout_text().lines() {
        let Some((flags, letter, path)) = fields(line) else {
            continue;
        };
        // `missing` stands in the places of all but the last two.
        let mut words: Vec<&str> = FLAGS
            .into_iter()
            .zip(flags.chars())
            .filter(|(_, flag)| !matches!(flag, '.' | '?'))
            .map(|(word, _)| word)
            .collect();
        let holds = args.clean_keywords().iter().all(|(flag, wanted)| {
            let flag = python::str(flag);
            flag == "root" || words.contains(&flag.as_str()) == wanted.is_true()
        });
        if !holds {
            continue;
        }
        words.extend(letter.and_then(kind_of));
        all.insert(path, words.into_iter().collect::<Value>());
    }
    Ok(all.into())
}

/// What a package file says of itself; nothing where it is none.
pub(crate) fn described(
    machine: &dyn Observe,
    path: &Path,
) -> Result<Option<Installed>, CallError> {
    let command = tool::plain("rpm")
        .args([
            "-qp",
            "--queryformat",
            "%{NAME}_|-%{EPOCH}_|-%{VERSION}_|-%{RELEASE}_|-%{ARCH}_|-none_|-%{INSTALLTIME}",
        ])
        .arg(path);
    let output = tool::ask(machine, &command)?;
    let text = output.stdout_text();
    Ok(text.lines().next().and_then(Installed::parse))
}

fn file_info(args: &Args, context: &Context<'_>) -> Answer {
    needs_rpm(context, "lowpkg.bin_pkg_info")?;
    let path = args.text("path")?;
    let saltenv = args
        .optional_text("saltenv")
        .unwrap_or_else(|| "base".to_owned());
    let local = if path.starts_with('/') {
        if !context.system.exists(Path::new(&path)) {
            return Err(CallError::execution(format!(
                "{path} does not exist on minion"
            )));
        }
        path
    } else {
        let call = Args::new().with(path.as_str()).with(saltenv.as_str());
        match context.registry.call("cp.cache_file", &call, context)? {
            Value::Str(local) if !local.is_empty() => local,
            _ => {
                return Err(CallError::execution(format!(
                    "Unable to retrieve {path} from saltenv '{saltenv}'"
                )));
            }
        }
    };
    let Some(package) = described(context.system, Path::new(&local))? else {
        return Ok(Value::Null);
    };
    let own = super::own_arch(&context.minion.grains);
    Ok(Map::from([
        ("name", Value::from(package.shown(own))),
        ("version", package.full_version().into()),
        ("arch", package.arch.as_str().into()),
        ("repoid", "none".into()),
        ("install_date", Value::from(package.date())),
        (
            "install_date_time_t",
            package.at.map_or(Value::Null, Value::from),
        ),
    ])
    .into())
}

/// What can be asked of packages, and how rpm is asked for it.
const TOLD: [(&str, &str); 20] = [
    ("name", "name: %{NAME}\\n"),
    (
        "relocations",
        "relocations: %|PREFIXES?{[%{PREFIXES} ]}:{(not relocatable)}|\\n",
    ),
    ("version", "version: %{VERSION}\\n"),
    ("vendor", "vendor: %{VENDOR}\\n"),
    ("release", "release: %{RELEASE}\\n"),
    ("epoch", "%|EPOCH?{epoch: %{EPOCH}\\n}|"),
    ("build_date_time_t", "build_date_time_t: %{BUILDTIME}\\n"),
    ("build_date", "build_date: %{BUILDTIME}\\n"),
    (
        "install_date_time_t",
        "install_date_time_t: %|INSTALLTIME?{%{INSTALLTIME}}:{(not installed)}|\\n",
    ),
    (
        "install_date",
        "install_date: %|INSTALLTIME?{%{INSTALLTIME}}:{(not installed)}|\\n",
    ),
    ("build_host", "build_host: %{BUILDHOST}\\n"),
    ("group", "group: %{GROUP}\\n"),
    ("source_rpm", "source_rpm: %{SOURCERPM}\\n"),
    ("size", "size: %{LONGSIZE}\\n"),
    ("arch", "arch: %{ARCH}\\n"),
    ("license", "%|LICENSE?{license: %{LICENSE}\\n}|"),
    (
        "signature",
        "signature: %|DSAHEADER?{%{DSAHEADER:pgpsig}}:{%|RSAHEADER?{%{RSAHEADER:pgpsig}}:{%|SIGGPG?{%{SIGGPG:pgpsig}}:{%|SIGPGP?{%{SIGPGP:pgpsig}}:{(none)}|}|}|}|\\n",
    ),
    ("packager", "%|PACKAGER?{packager: %{PACKAGER}\\n}|"),
    ("url", "%|URL?{url: %{URL}\\n}|"),
    ("summary", "summary: %{SUMMARY}\\n"),
];

/// The last lines of what is told of a package.
const EDITION: &str = "edition: %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\n";
const DESCRIPTION: &str = "description:\\n%{DESCRIPTION}\\n";
const END: &str = "-----\\n";

/// What rpm knows of packages, sorted by name; with `all_versions`, lists.
fn described_all(args: &Args, context: &Context<'_>) -> Result<Vec<(String, Value)>, CallError> {
    needs_rpm(context, "lowpkg.info")?;
    let all_versions = super::stated(args, "all_versions").is_some();
    let wanted: Option<Vec<String>> = match super::stated(args, "attr") {
        Some(Value::Str(text)) => {
            Some(text.split(',').map(|word| word.trim().to_owned()).collect())
        }
        Some(other) => {
            return Err(CallError::exception(
                "AttributeError",
                format!("'{}' object has no attribute 'split'", other.type_name()),
            ));
        }
        None => None,
    };
    // Older releases of rpm know no LONGSIZE.
    let tags = tool::ask(context.system, &tool::plain("rpm").arg("--querytags"))?.stdout_text();
    let size = if tags.lines().any(|tag| tag == "LONGSIZE") {
        "LONGSIZE"
    } else {
        "SIZE"
    };
    let asks = |name: &str| {
        TOLD.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, format)| format.replace("LONGSIZE", size))
    };
    let mut format = String::new();
    let describes = match &wanted {
        None => {
            TOLD.iter()
                .filter_map(|(name, _)| asks(name))
                .for_each(|part| format.push_str(&part));
            true
        }
        Some(names) => {
            let parts = names.iter().filter_map(|name| asks(name));
            parts.for_each(|part| format.push_str(&part));
            if !names.iter().any(|name| name == "name") {
                format.push_str(&asks("name").unwrap_or_default());
            }
            names.iter().any(|name| name == "description")
        }
    };
    format.push_str(EDITION);
    if describes {
        format.push_str(DESCRIPTION);
    }
    format.push_str(END);
    let packages = names(args);
    let command = rpm(args);
    let command = if packages.is_empty() {
        command.arg("-qa")
    } else {
        command.arg("-q").args(packages)
    };
    let output = tool::ask(context.system, &command.args(["--queryformat", &format]))?;
    let mut all: std::collections::BTreeMap<String, Vec<(String, Map)>> = Default::default();
    for record in output.stdout_text().split("\n-----") {
        let Some((name, edition, map)) = record_of(record) else {
            continue;
        };
        all.entry(name).or_default().push((edition, map));
    }
    Ok(all
        .into_iter()
        .map(|(name, mut list)| {
            list.sort_by(|(a, _), (b, _)| compare_rpm(a, b));
            if all_versions {
                let maps = list.into_iter().rev().map(|(edition, mut map)| {
                    map.insert("edition", edition);
                    Value::from(map)
                });
                return (name, maps.collect());
            }
            let newest = list.pop().map(|(_, map)| map).unwrap_or_default();
            (name, newest.into())
        })
        .collect())
}

/// Name, edition and the rest of what is told of one package.
fn record_of(record: &str) -> Option<(String, String, Map)> {
    let (mut name, mut edition, mut map) = (None, String::new(), Map::new());
    let mut lines = record.lines();
    while let Some(line) = lines.next() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match key {
            "name" => name = Some(value.to_owned()),
            "edition" => value.clone_into(&mut edition),
            "description" => {
                let text: Vec<&str> = lines.by_ref().collect();
                map.insert("description", text.join("\n"));
            }
            "build_date" | "install_date" => {
                let at = value.parse::<f64>().ok().and_then(DateTime::from_unix);
                if let Some(at) = at {
                    map.insert(key, format!("{}Z", at.iso('T')));
                }
            }
            "build_date_time_t" | "install_date_time_t" => {
                if let Ok(at) = value.parse::<i64>() {
                    map.insert(key, at);
                }
            }
            _ => {
                map.insert(key, value);
            }
        }
    }
    Some((name?, edition, map))
}

/// As other package managers call what is known of a package.
fn renamed(info: Map) -> Map {
    info.into_iter()
        .map(|(key, value)| match key.as_str() {
            Some("source_rpm") => ("source".into(), value),
            _ => (key, value),
        })
        .collect()
}

fn diff(args: &Args, context: &Context<'_>) -> Answer {
    needs_rpm(context, "pkg.diff")?;
    let mut all = Map::new();
    let mut packages: Vec<String> = Vec::new();
    for path in names(args) {
        let call = Args {
            positional: vec![path.as_str().into()],
            ..Args::new()
        };
        let package = python::str(&owner(&call, context)?);
        if package.is_empty() {
            all.insert(path, "N/A");
        } else if !packages.contains(&package) {
            packages.push(package);
        }
    }
    if packages.is_empty() {
        return Ok(all.into());
    }
    let mut call = Args::new();
    for package in packages {
        call = call.with(package);
    }
    context.registry.call("pkg.download", &call, context)?;
    // What Salt 3008.3 does with what it fetched.
    Err(CallError::exception(
        "TypeError",
        "string indices must be integers, not 'str'",
    ))
}
