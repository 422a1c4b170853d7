//! Where dnf's packages come from: the sections of `*.repo` files.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

/// The settings of which a source needs one, and no more.
const PLACES: [&str; 3] = ["baseurl", "mirrorlist", "metalink"];

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add_for("RedHat", name, signature, doc, function);
    };
    add(
        "pkg.list_repos",
        "list_repos(basedir=None, **kwargs)",
        "The sources of packages, by name.",
        |args, context| {
            let mut all = Map::new();
            for file in files(context.system, &directories(context.system, args)?) {
                for section in File::read(context.system, &file)?.sections {
                    let mut map = section.to_map();
                    map.insert("file", file.to_string_lossy().into_owned());
                    all.insert(section.name, map);
                }
            }
            Ok(all.into())
        },
    );
    add(
        "pkg.get_repo",
        "get_repo(repo, basedir=None, **kwargs)",
        "What is known of a source of packages, an empty mapping when there is none.",
        |args, context| {
            let name = args.text("repo")?;
            Ok(known(context.system, args, &name)?
                .unwrap_or_default()
                .into())
        },
    );
    add(
        "pkg.mod_repo",
        "mod_repo(repo, basedir=None, **kwargs)",
        "Adds a source of packages or changes it.",
        |args, context| {
            let name = args.text("repo")?;
            Ok(change(context, &name, &args.clean_keywords(), args)?.into())
        },
    );
    add(
        "pkg.del_repo",
        "del_repo(repo, basedir=None, **kwargs)",
        "Removes a source of packages.",
        |args, context| Ok(remove(context, &args.text("repo")?, args)?.into()),
    );
}

/// What a source states, as `pkg.get_repo` returns it.
pub(crate) fn known(
    machine: &dyn Observe,
    args: &Args,
    name: &str,
) -> Result<Option<Map>, CallError> {
    for file in files(machine, &directories(machine, args)?) {
        let found = File::read(machine, &file)?;
        if let Some(section) = found.sections.iter().find(|section| section.name == name) {
            return Ok(Some(section.to_map()));
        }
    }
    Ok(None)
}

/// A file of sources.
#[derive(Clone, Debug, Default)]
struct File {
    /// What stands before the first section, as it is.
    header: String,
    sections: Vec<Section>,
}

#[derive(Clone, Debug, Default)]
struct Section {
    name: String,
    /// Settings in their order.
    settings: Vec<(String, String)>,
    comments: Vec<String>,
}

impl Section {
    fn to_map(&self) -> Map {
        let mut map: Map = self
            .settings
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        if !self.comments.is_empty() {
            map.insert("comments", self.comments.iter().collect::<Value>());
        }
        map
    }

    fn lines(&self) -> String {
        let mut text = format!("[{}]", self.name);
        for (key, value) in &self.settings {
            text.push_str(&format!("\n{key}={}", value.replace('\n', "\n ")));
        }
        for comment in &self.comments {
            text.push_str(&format!("\n# {comment}"));
        }
        text.push('\n');
        text
    }
}

impl File {
    fn parse(text: &str) -> Self {
        let mut file = Self::default();
        let mut in_value = false;
        for line in text.lines() {
            let bare = line.trim();
            if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                file.sections.push(Section {
                    name: name.0.to_owned(),
                    ..Section::default()
                });
                in_value = false;
                continue;
            }
            let Some(section) = file.sections.last_mut() else {
                file.header.push_str(line);
                file.header.push('\n');
                continue;
            };
            if bare.is_empty() {
                continue;
            }
            if bare.starts_with('#') {
                section.comments.push(bare_comment(bare));
                continue;
            }
            if bare.starts_with(';') {
                continue;
            }
            let last = section.settings.last_mut().filter(|_| in_value);
            if let (true, Some((_, value))) = (line.starts_with([' ', '\t']), last) {
                value.push('\n');
                value.push_str(bare);
                continue;
            }
            if let Some(at) = bare.find(['=', ':'])
                && let Some((key, value)) = bare.split_at_checked(at)
            {
                let value = value.get(1..).unwrap_or_default().trim().to_owned();
                section.settings.push((key.trim().to_lowercase(), value));
                in_value = true;
            }
        }
        file
    }

    fn read(machine: &dyn Observe, path: &Path) -> Result<Self, CallError> {
        let text = machine
            .text(path)
            .map_err(|error| CallError::execution(errno_text(&error, Some(path))))?;
        Ok(Self::parse(&text.unwrap_or_default()))
    }
}

/// A comment without its mark.
fn bare_comment(line: &str) -> String {
    line.trim_start_matches(['#', ';', ' ', '\t'])
        .trim_end()
        .to_owned()
}

/// The directories to look in: those stated, those of dnf's configuration, or the usual.
fn directories(machine: &dyn Observe, args: &Args) -> Result<Vec<String>, CallError> {
    let words = |text: &str| -> Vec<String> {
        text.split([',', '\n'])
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect()
    };
    let stated = match args
        .given("basedir")
        .or_else(|| args.keywords().get("basedir"))
    {
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(other) => words(&python::str(other)),
    };
    let all = if stated.is_empty() {
        configured(machine)
            .map(|text| words(&text.replace(' ', ",")))
            .filter(|all| !all.is_empty())
            .unwrap_or_else(|| vec!["/etc/yum/repos.d".to_owned(), "/etc/yum.repos.d".to_owned()])
    } else {
        stated
    };
    Ok(all)
}

/// `reposdir` of dnf's configuration.
fn configured(machine: &dyn Observe) -> Option<String> {
    let places = ["/etc/dnf/dnf.conf", "/etc/yum/yum.conf", "/etc/yum.conf"];
    let text = places
        .iter()
        .find_map(|path| machine.text(Path::new(path)).ok().flatten())?;
    let file = File::parse(&text);
    let main = file
        .sections
        .iter()
        .find(|section| section.name == "main")?;
    let found = main.settings.iter().find(|(key, _)| key == "reposdir")?;
    Some(found.1.clone())
}

/// The files of sources in some directories.
fn files(machine: &dyn Observe, directories: &[String]) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for directory in directories {
        let directory = Path::new(directory);
        for name in machine.list(directory).unwrap_or_default() {
            if name.to_string_lossy().ends_with(".repo") {
                all.push(directory.join(name));
            }
        }
    }
    all
}

fn write(context: &Context<'_>, path: &Path, text: &str) -> Result<(), CallError> {
    let options = WriteOptions {
        follow: true,
        ..WriteOptions::new()
    };
    context
        .system
        .write(path, text.as_bytes(), &options)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))
}

/// How a value is written: truths as numbers.
pub(crate) fn written(value: &Value) -> String {
    match value {
        Value::Bool(truth) => i64::from(*truth).to_string(),
        other => python::str(other),
    }
}

/// The other settings that say where packages are.
fn others(than: &str) -> String {
    let names = PLACES.iter().copied().filter(|name| *name != than);
    names.collect::<Vec<_>>().join(" or ")
}

/// Sets settings of a source, which is made if there is none, and returns what its file
/// says then.
pub(crate) fn change(
    context: &Context<'_>,
    repo: &str,
    wanted: &Map,
    args: &Args,
) -> Result<Map, CallError> {
    let machine = context.system;
    let mut removed: Vec<String> = Vec::new();
    let mut set: Vec<(String, Value)> = Vec::new();
    for (key, value) in wanted {
        let key = python::str(key);
        if matches!(key.as_str(), "saltenv" | "basedir" | "strict_config") {
            continue;
        }
        if value.is_null() || value.as_str() == Some("") {
            removed.push(key);
        } else {
            set.push((key, value.clone()));
        }
    }
    let stated: Vec<&str> = PLACES
        .into_iter()
        .filter(|place| wanted.contains_key(place))
        .collect();
    if stated.len() > 1 {
        return Err(CallError::invocation(format!(
            "One and only one of {} can be used",
            PLACES.join(", ")
        )));
    }
    let sets = |key: &str| set.iter().any(|(known, _)| known == key);
    if removed.iter().any(|key| key == "name") {
        return Err(CallError::invocation("The repo name cannot be deleted"));
    }
    let directories = directories(machine, args)?;
    let mut found = None;
    for path in files(machine, &directories) {
        let file = File::read(machine, &path)?;
        if file.sections.iter().any(|section| section.name == repo) {
            found = Some((path, file));
            break;
        }
    }
    let (path, mut file) = match found {
        Some(found) => {
            let there = found.1.sections.iter().find(|section| section.name == repo);
            let has = |place: &str| {
                there.is_some_and(|section| section.settings.iter().any(|(key, _)| key == place))
            };
            let gone = PLACES
                .into_iter()
                .find(|place| has(place) && removed.iter().any(|key| key == place));
            if let Some(gone) = gone
                && !PLACES.iter().any(|place| sets(place))
            {
                return Err(CallError::invocation(format!(
                    "Cannot delete {gone} without specifying {}",
                    others(gone)
                )));
            }
            found
        }
        None => {
            let exists = |directory: &&String| {
                machine
                    .metadata(Path::new(directory.as_str()))
                    .is_ok_and(|found| found.is_some())
            };
            let Some(directory) = directories.iter().find(exists) else {
                let names: Vec<String> = directories
                    .iter()
                    .map(|one| python::repr_str(one))
                    .collect();
                return Err(CallError::invocation(format!(
                    "The repo does not exist and needs to be created, but none of the following basedir directories exist: [{}]",
                    names.join(", ")
                )));
            };
            if !sets("name") {
                return Err(CallError::invocation(
                    "The repo does not exist and needs to be created, but a name was not given",
                ));
            }
            if !PLACES.iter().any(|place| sets(place)) {
                return Err(CallError::invocation(format!(
                    "The repo does not exist and needs to be created, but none of {} was given",
                    PLACES.join(", ")
                )));
            }
            let path = Path::new(directory).join(format!("{repo}.repo"));
            let mut file = File::read(machine, &path)?;
            file.sections.push(Section {
                name: repo.to_owned(),
                ..Section::default()
            });
            (path, file)
        }
    };
    // A new place takes the place of the old.
    if let Some(place) = PLACES.into_iter().find(|place| sets(place)) {
        removed.extend(
            PLACES
                .into_iter()
                .filter(|other| *other != place)
                .map(str::to_owned),
        );
    }
    if let Some(section) = file
        .sections
        .iter_mut()
        .find(|section| section.name == repo)
    {
        section
            .settings
            .retain(|(key, _)| !removed.iter().any(|gone| gone == key));
        for (key, value) in &set {
            if key == "comments" {
                section.comments = comments(value);
                continue;
            }
            let text = written(value);
            match section.settings.iter_mut().find(|(known, _)| known == key) {
                Some((_, old)) => *old = text,
                None => section.settings.push((key.clone(), text)),
            }
        }
    }
    let mut text = file.header.clone();
    for section in &file.sections {
        text.push_str(&section.lines());
        text.push('\n');
    }
    write(context, &path, &text)?;
    let mut sections = Map::new();
    for section in &file.sections {
        let mut map = section.to_map();
        map.remove("comments");
        if section.name == repo {
            for (key, value) in &set {
                if key != "comments" {
                    map.insert(key.as_str(), value.clone());
                }
            }
        }
        sections.insert(section.name.as_str(), map);
    }
    Ok(Map::from([(path.to_string_lossy().into_owned(), sections)]))
}

/// Comments without their marks.
pub(crate) fn comments(value: &Value) -> Vec<String> {
    let bare = |value: &Value| bare_comment(&python::str(value));
    match value {
        Value::List(items) => items.iter().map(bare).collect(),
        other => vec![bare(other)],
    }
}

/// Takes a source away, with its file when it was the only one there, and says so.
pub(crate) fn remove(context: &Context<'_>, repo: &str, args: &Args) -> Result<String, CallError> {
    let machine = context.system;
    let directories = directories(machine, args)?;
    for path in files(machine, &directories) {
        let mut file = File::read(machine, &path)?;
        if !file.sections.iter().any(|section| section.name == repo) {
            continue;
        }
        file.sections.retain(|section| section.name != repo);
        if file.sections.is_empty() {
            machine
                .remove(&path)
                .map_err(|error| CallError::execution(errno_text(&error, Some(&path))))?;
            return Ok(format!(
                "File {} containing repo {repo} has been removed",
                path.display()
            ));
        }
        let mut text = file.header.clone();
        for section in &file.sections {
            text.push_str(&format!("\n{}\n", section.lines()));
        }
        write(context, &path, &text)?;
        return Ok(format!(
            "Repo {repo} has been removed from {}",
            path.display()
        ));
    }
    let names: Vec<String> = directories
        .iter()
        .map(|one| python::repr_str(one))
        .collect();
    Ok(format!(
        "Error: the {repo} repo does not exist in [{}]",
        names.join(", ")
    ))
}

/// The sources with whether they are switched on, in the order of their files.
pub(crate) fn names(machine: &dyn Observe) -> Result<Vec<(String, bool)>, CallError> {
    let mut all = Vec::new();
    for path in files(machine, &directories(machine, &Args::new())?) {
        for section in File::read(machine, &path)?.sections {
            let enabled = section
                .settings
                .iter()
                .find(|(key, _)| key == "enabled")
                .is_none_or(|(_, value)| {
                    matches!(
                        value.to_ascii_lowercase().as_str(),
                        "1" | "yes" | "true" | "on"
                    )
                });
            all.push((section.name, enabled));
        }
    }
    Ok(all)
}
