//! Where Debian's packages come from: the lines of `sources.list` and the paragraphs of
//! `.sources` files.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::functions::tool;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions, errno_text};

const LIST: &str = "/etc/apt/sources.list";
const PARTS: &str = "/etc/apt/sources.list.d";

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "pkg.list_repos",
        "list_repos(**kwargs)",
        "The sources of packages, by address.",
        |_, context| {
            let mut all = Map::new();
            for (file, entry) in entries(context.system)? {
                let list = all.get_or_insert_with(entry.uri.as_str(), || Value::List(Vec::new()));
                if let Value::List(list) = list {
                    list.push(entry.to_map(&file).into());
                }
            }
            Ok(all.into())
        },
    );
    registry.add(
        "pkg.get_repo",
        "get_repo(repo, **kwargs)",
        "What is known of a source of packages, an empty mapping when there is none.",
        |args, context| {
            let wanted = Entry::named(&args.text("repo")?)?;
            Ok(find(context.system, &wanted)?
                .map_or_else(Map::new, |(file, entry)| entry.to_map(&file))
                .into())
        },
    );
    registry.add(
        "pkg.mod_repo",
        "mod_repo(repo, saltenv='base', aptkey=True, **kwargs)",
        "Adds a source of packages or changes it.",
        |args, context| {
            let name = args.text("repo")?;
            let change = Change::new(&name, args)?;
            let file = apply(context, &change)?;
            let entry = change.find(context.system, &change.entry)?;
            let map = entry.map_or_else(Map::new, |(file, entry)| entry.to_map(&file));
            if args.keywords().get("refresh").is_none_or(Value::is_true) {
                let manager = super::manager::Manager::of(context, "pkg.mod_repo")?;
                manager.refresh(context)?;
            }
            tracing::info!(file = %file.display(), "changed a source of packages");
            Ok(Map::from([(name, map)]).into())
        },
    );
    registry.add(
        "pkg.del_repo",
        "del_repo(repo, **kwargs)",
        "Removes a source of packages.",
        |args, context| {
            let name = args.text("repo")?;
            let wanted = Entry::named(&name)?;
            match remove(context, &wanted)? {
                Some(files) => {
                    Ok(format!("Repo '{name}' has been removed from {}.", files.join(", ")).into())
                }
                None => Err(CallError::execution(format!(
                    "Repo {name} doesn't exist in the sources.list(s)"
                ))),
            }
        },
    );
}

/// One source of packages: a type, an address and a suite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `deb` or `deb-src`.
    pub(crate) kind: String,
    /// The address.
    pub(crate) uri: String,
    /// The suite.
    pub(crate) dist: String,
    /// All suites of the paragraph, where it is one.
    pub(crate) suites: Vec<String>,
    /// All types of the paragraph.
    pub(crate) types: Vec<String>,
    /// All addresses of the paragraph.
    pub(crate) uris: Vec<String>,
    /// Whether it stands in a paragraph and not in a line.
    pub(crate) in_paragraph: bool,
    /// The components.
    pub(crate) comps: Vec<String>,
    /// `arch=…`, `signed-by=…` and what else stands in brackets.
    pub(crate) options: Vec<(String, String)>,
    /// Whether it is switched off.
    pub(crate) disabled: bool,
    /// What stands behind it.
    pub(crate) comment: String,
}

impl Entry {
    /// A line of `sources.list`.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut entry = Self::default();
        let mut rest = line.trim();
        while let Some(more) = rest.strip_prefix('#') {
            entry.disabled = true;
            rest = more.trim_start();
        }
        let (rest, comment) = match rest.split_once('#') {
            Some((rest, comment)) => (rest, comment.trim()),
            None => (rest, ""),
        };
        comment.clone_into(&mut entry.comment);
        let (kind, rest) = rest.trim().split_once(char::is_whitespace)?;
        if !matches!(kind, "deb" | "deb-src") {
            return None;
        }
        kind.clone_into(&mut entry.kind);
        let mut rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix('[') {
            let (options, more) = inner.split_once(']')?;
            for option in options.split_whitespace() {
                let (key, value) = option.split_once('=')?;
                entry.options.push((key.to_owned(), value.to_owned()));
            }
            rest = more;
        }
        let mut words = rest.split_whitespace().map(str::to_owned);
        entry.uri = words.next()?;
        entry.dist = words.next()?;
        entry.comps = words.collect();
        // A line that only reads like one is none: an address has a scheme.
        if !entry.uri.contains(':') && !entry.uri.starts_with('/') {
            return None;
        }
        entry.suites = vec![entry.dist.clone()];
        entry.types = vec![entry.kind.clone()];
        entry.uris = vec![entry.uri.clone()];
        Some(entry)
    }

    /// The source that somebody named by a whole line.
    pub(crate) fn named(name: &str) -> Result<Self, CallError> {
        let name = name.trim();
        if let Some(ppa) = name.strip_prefix("ppa:") {
            return Err(CallError::execution(format!(
                "The release of ppa:{ppa} has to be stated as a whole line"
            )));
        }
        Self::parse(name).ok_or_else(|| {
            CallError::execution(format!(
                "Name {name} is not valid. This must be the complete repo entry as seen in the \
                 sources file"
            ))
        })
    }

    /// As a line of `sources.list`.
    pub(crate) fn line(&self) -> String {
        let mut line = String::new();
        if self.disabled {
            line.push_str("# ");
        }
        line.push_str(&self.kind);
        if !self.options.is_empty() {
            let options: Vec<String> = self
                .options
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            line.push_str(&format!(" [{}]", options.join(" ")));
        }
        line.push_str(&format!(" {} {}", self.uri, self.dist));
        for comp in &self.comps {
            line.push(' ');
            line.push_str(comp);
        }
        if !self.comment.is_empty() {
            line.push_str(&format!(" #{}", self.comment));
        }
        line
    }

    fn option(&self, key: &str) -> &str {
        self.options
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    /// The architectures it is for; none: all.
    pub(crate) fn architectures(&self) -> Vec<&str> {
        let stated = self.option("arch");
        stated.split(',').filter(|arch| !arch.is_empty()).collect()
    }

    /// The file of the keys that sign it.
    pub(crate) fn signed_by(&self) -> &str {
        self.option("signed-by")
    }

    fn same_place(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.uri.trim_end_matches('/') == other.uri.trim_end_matches('/')
            && self.dist == other.dist
    }

    /// As `pkg.get_repo` returns it.
    pub(crate) fn to_map(&self, file: &Path) -> Map {
        Map::from([
            ("file", Value::from(file.to_string_lossy().into_owned())),
            ("comps", self.comps.iter().collect()),
            ("disabled", self.disabled.into()),
            ("enabled", (!self.disabled).into()),
            ("dist", self.dist.as_str().into()),
            ("suites", self.suites.iter().collect()),
            ("type", self.kind.as_str().into()),
            ("types", self.types.iter().collect()),
            ("uri", self.uri.as_str().into()),
            ("uris", self.uris.iter().collect()),
            ("line", self.line().into()),
            ("architectures", self.architectures().into_iter().collect()),
            ("signedby", self.signed_by().into()),
        ])
    }
}

fn read(machine: &dyn Observe, path: &Path) -> Result<String, CallError> {
    Ok(machine
        .text(path)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))?
        .unwrap_or_default())
}

fn write(context: &Context<'_>, path: &Path, text: &str) -> Result<(), CallError> {
    let failed = |error: std::io::Error| CallError::execution(errno_text(&error, Some(path)));
    let machine = context.system;
    if text.is_empty() && path != Path::new(LIST) {
        return machine.remove(path).map_err(failed);
    }
    if let Some(parent) = path.parent() {
        machine.create_dir_all(parent, 0o755).map_err(failed)?;
    }
    let options = WriteOptions {
        follow: true,
        ..WriteOptions::new()
    };
    machine
        .write(path, text.as_bytes(), &options)
        .map_err(failed)
}

/// The files that state sources, in the order in which apt reads them.
fn files(machine: &dyn Observe) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from(LIST)];
    for name in machine.list(Path::new(PARTS)).unwrap_or_default() {
        let text = name.to_string_lossy();
        if text.ends_with(".list") || text.ends_with(".sources") {
            files.push(Path::new(PARTS).join(&*text));
        }
    }
    files
}

fn is_paragraphs(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "sources")
}

/// All sources with the files that state them.
pub(crate) fn entries(machine: &dyn Observe) -> Result<Vec<(PathBuf, Entry)>, CallError> {
    let mut all = Vec::new();
    for path in files(machine) {
        let text = read(machine, &path)?;
        if is_paragraphs(&path) {
            for paragraph in paragraphs(&text) {
                let found = paragraph.entries();
                all.extend(found.into_iter().map(|entry| (path.clone(), entry)));
            }
        } else {
            let found = text.lines().filter_map(Entry::parse);
            all.extend(found.map(|entry| (path.clone(), entry)));
        }
    }
    Ok(all)
}

/// The source at the same place as a wanted one.
pub(crate) fn find(
    machine: &dyn Observe,
    wanted: &Entry,
) -> Result<Option<(PathBuf, Entry)>, CallError> {
    Ok(entries(machine)?
        .into_iter()
        .find(|(_, entry)| entry.same_place(wanted)))
}

/// A paragraph of a `.sources` file: fields with their values, in order.
#[derive(Clone, Debug, Default)]
struct Paragraph {
    /// Lines as they are, with the name of the field they belong to.
    lines: Vec<(String, String)>,
}

fn paragraphs(text: &str) -> Vec<Paragraph> {
    let mut all = Vec::new();
    let mut current = Paragraph::default();
    let mut field = String::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            if !current.lines.is_empty() {
                all.push(std::mem::take(&mut current));
            }
            field.clear();
            continue;
        }
        if !line.starts_with([' ', '\t', '#'])
            && let Some((name, _)) = line.split_once(':')
        {
            field = name.trim().to_ascii_lowercase();
        }
        let owner = if line.starts_with('#') {
            String::new()
        } else {
            field.clone()
        };
        current.lines.push((owner, line.to_owned()));
    }
    if !current.lines.is_empty() {
        all.push(current);
    }
    all
}

impl Paragraph {
    fn value(&self, name: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (owner, line) in &self.lines {
            if owner == name {
                let value = line.split_once(':').map_or(line.as_str(), |(key, value)| {
                    if key.trim().eq_ignore_ascii_case(name) {
                        value
                    } else {
                        line.as_str()
                    }
                });
                words.extend(value.split_whitespace().map(str::to_owned));
            }
        }
        words
    }

    fn set(&mut self, name: &str, value: &str) {
        let key = name.to_ascii_lowercase();
        let line = format!("{name}: {value}");
        let at = self.lines.iter().position(|(owner, _)| *owner == key);
        self.lines.retain(|(owner, _)| *owner != key);
        if value.is_empty() {
            return;
        }
        let at = at.unwrap_or(self.lines.len()).min(self.lines.len());
        self.lines.insert(at, (key, line));
    }

    fn entries(&self) -> Vec<Entry> {
        let disabled = self.value("enabled").first().is_some_and(|value| {
            matches!(value.to_ascii_lowercase().as_str(), "no" | "false" | "0")
        });
        let suites = self.value("suites");
        let comps = self.value("components");
        let mut options = Vec::new();
        let architectures = self.value("architectures");
        if !architectures.is_empty() {
            options.push(("arch".to_owned(), architectures.join(",")));
        }
        let signed_by = self.value("signed-by");
        if let [path] = signed_by.as_slice() {
            options.push(("signed-by".to_owned(), path.clone()));
        }
        let mut all = Vec::new();
        let (types, uris) = (self.value("types"), self.value("uris"));
        for kind in &types {
            for uri in &uris {
                for dist in &suites {
                    all.push(Entry {
                        kind: kind.clone(),
                        uri: uri.clone(),
                        dist: dist.clone(),
                        suites: suites.clone(),
                        types: types.clone(),
                        uris: uris.clone(),
                        in_paragraph: true,
                        comps: comps.clone(),
                        options: options.clone(),
                        disabled,
                        comment: String::new(),
                    });
                }
            }
        }
        all
    }

    fn of(entry: &Entry) -> Self {
        let mut this = Self::default();
        this.update(entry);
        this
    }

    fn update(&mut self, entry: &Entry) {
        for (name, values) in [
            ("Types", &entry.types),
            ("URIs", &entry.uris),
            ("Suites", &entry.suites),
        ] {
            if self.value(&name.to_ascii_lowercase()) != *values {
                self.set(name, &values.join(" "));
            }
        }
        self.set("Components", &entry.comps.join(" "));
        self.set("Signed-By", entry.signed_by());
        self.set("Architectures", &entry.architectures().join(" "));
        let has_switch = self.lines.iter().any(|(owner, _)| owner == "enabled");
        if entry.disabled || has_switch {
            self.set("Enabled", if entry.disabled { "no" } else { "yes" });
        }
    }

    fn text(&self) -> String {
        self.lines
            .iter()
            .map(|(_, line)| format!("{line}\n"))
            .collect()
    }
}

/// What a source shall become.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The source as it was named.
    pub(crate) name: Entry,
    /// The source as it shall be.
    pub(crate) entry: Entry,
    file: Option<PathBuf>,
    clean_file: bool,
    states_switch: bool,
    states_comment: bool,
    /// What is said of all suites, types and addresses of a paragraph.
    suites: Option<Vec<String>>,
    types: Option<Vec<String>>,
    uris: Option<Vec<String>>,
}

impl Change {
    /// From the arguments that `pkg.mod_repo` and `pkgrepo.managed` share.
    pub(crate) fn new(name: &str, args: &Args) -> Result<Self, CallError> {
        let named = Entry::named(name)?;
        let mut entry = named.clone();
        let keywords = args.keywords();
        let text = |key: &str| {
            keywords
                .get(key)
                .filter(|value| value.is_true())
                .map(python::str)
        };
        let list = |key: &str| -> Option<Vec<String>> {
            match keywords.get(key).filter(|value| value.is_true())? {
                Value::List(items) => Some(items.iter().map(python::str).collect()),
                other => Some(
                    python::str(other)
                        .split(',')
                        .map(|word| word.trim().to_owned())
                        .collect(),
                ),
            }
        };
        // Types, addresses and suites may also stand in one text, as they do in the file.
        let words = |key: &str| -> Option<Vec<String>> {
            let words: Vec<String> = list(key)?
                .iter()
                .flat_map(|item| item.split_whitespace())
                .map(str::to_owned)
                .collect();
            (!words.is_empty()).then_some(words)
        };
        if let Some(dist) = text("dist") {
            entry.suites = vec![dist.clone()];
            entry.dist = dist;
        }
        if let Some(comps) = list("comps") {
            entry.comps = comps;
        }
        let mut option = |key: &str, value: String| {
            entry.options.retain(|(known, _)| known != key);
            entry.options.push((key.to_owned(), value));
        };
        if let Some(architectures) = list("architectures") {
            option("arch", architectures.join(","));
        }
        if let Some(path) = text("signedby") {
            option("signed-by", path);
        }
        if let Some(comments) = list("comments") {
            entry.comment = comments.join(" ");
        }
        let switch = match (keywords.get("disabled"), keywords.get("enabled")) {
            (Some(disabled), _) => Some(is_yes(disabled)),
            (None, Some(enabled)) => Some(!is_yes(enabled)),
            (None, None) => None,
        };
        if let Some(disabled) = switch {
            entry.disabled = disabled;
        }
        Ok(Self {
            suites: words("suites"),
            types: words("types"),
            uris: words("uris"),
            states_comment: !entry.comment.is_empty(),
            name: named,
            entry,
            file: text("file").map(PathBuf::from),
            clean_file: keywords.get("clean_file").is_some_and(Value::is_true),
            states_switch: switch.is_some(),
        })
    }

    /// Whether a source that is there is as it shall be.
    pub(crate) fn agrees(&self, known: &Entry) -> bool {
        let sorted = |comps: &[String]| {
            let mut comps = comps.to_vec();
            comps.sort();
            comps
        };
        let after = self.onto(known);
        sorted(&known.comps) == sorted(&self.entry.comps)
            && known.uris == after.uris
            && known.suites == after.suites
            && known.types == after.types
            && known.disabled == self.wants_disabled(known)
            && known.architectures() == self.entry.architectures()
            && known.signed_by() == self.entry.signed_by()
    }

    fn wants_disabled(&self, known: &Entry) -> bool {
        if self.states_switch {
            self.entry.disabled
        } else {
            known.disabled && self.entry.disabled
        }
    }

    /// A source in a paragraph that is not there yet.
    fn whole(&self) -> Entry {
        let mut entry = self.entry.clone();
        for (field, stated) in [
            (&mut entry.suites, &self.suites),
            (&mut entry.types, &self.types),
            (&mut entry.uris, &self.uris),
        ] {
            if let Some(stated) = stated {
                field.clone_from(stated);
            }
        }
        entry.in_paragraph = true;
        entry
    }

    /// The source that is there already: at the place of one, else in a paragraph at
    /// one of the places that are stated beside it.
    pub(crate) fn find(
        &self,
        machine: &dyn Observe,
        named: &Entry,
    ) -> Result<Option<(PathBuf, Entry)>, CallError> {
        let all = entries(machine)?;
        let named = all.iter().find(|(_, entry)| entry.same_place(named));
        if let Some(found) = named {
            return Ok(Some(found.clone()));
        }
        let whole = self.whole();
        let meets = |entry: &Entry| {
            let bare = |uri: &str| uri.trim_end_matches('/').to_owned();
            whole.types.contains(&entry.kind)
                && whole.suites.contains(&entry.dist)
                && whole.uris.iter().any(|uri| bare(uri) == bare(&entry.uri))
        };
        Ok(all
            .into_iter()
            .find(|(_, entry)| entry.in_paragraph && meets(entry)))
    }

    /// What becomes of a source that is there.
    pub(crate) fn onto(&self, known: &Entry) -> Entry {
        let mut entry = self.entry.clone();
        entry.disabled = self.wants_disabled(known);
        if known.in_paragraph {
            entry.in_paragraph = true;
            entry
                .suites
                .clone_from(self.suites.as_ref().unwrap_or(&known.suites));
            entry
                .types
                .clone_from(self.types.as_ref().unwrap_or(&known.types));
            let respelled = |uri: &String| {
                if *uri == known.uri {
                    entry.uri.clone()
                } else {
                    uri.clone()
                }
            };
            entry.uris = match &self.uris {
                Some(uris) => uris.clone(),
                None => known.uris.iter().map(respelled).collect(),
            };
            if let (Some(first), false) = (entry.uris.first(), entry.uris.contains(&entry.uri)) {
                entry.uri.clone_from(first);
            }
        }
        if !self.states_comment {
            entry.comment.clone_from(&known.comment);
        }
        entry
    }
}

fn is_yes(value: &Value) -> bool {
    match value {
        Value::Str(text) => matches!(
            text.to_ascii_lowercase().as_str(),
            "1" | "yes" | "true" | "on"
        ),
        other => other.is_true(),
    }
}

/// Writes a source into its file and returns that.
pub(crate) fn apply(context: &Context<'_>, change: &Change) -> Result<PathBuf, CallError> {
    let machine = context.system;
    let known = change.find(machine, &change.entry)?;
    let path = match (&change.file, &known) {
        (Some(path), None) => path.clone(),
        (Some(path), Some(_)) if change.clean_file => path.clone(),
        (_, Some((path, _))) => path.clone(),
        (None, None) => PathBuf::from(LIST),
    };
    let entry = match &known {
        Some((_, known)) => change.onto(known),
        None => change.entry.clone(),
    };
    let text = if change.clean_file {
        String::new()
    } else {
        read(machine, &path)?
    };
    let text = if is_paragraphs(&path) {
        let known = known.filter(|(_, known)| known.in_paragraph);
        match known {
            Some((_, known)) => in_paragraphs(&text, &known, &entry),
            None => in_paragraphs(&text, &entry, &change.whole()),
        }
    } else {
        in_lines(&text, &entry)
    };
    write(context, &path, &text)?;
    Ok(path)
}

fn in_lines(text: &str, entry: &Entry) -> String {
    let mut out = String::new();
    let mut placed = false;
    for line in text.lines() {
        match Entry::parse(line) {
            Some(known) if known.same_place(entry) => {
                if !placed {
                    out.push_str(&entry.line());
                    out.push('\n');
                }
                placed = true;
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    if !placed {
        out.push_str(&entry.line());
        out.push('\n');
    }
    out
}

fn in_paragraphs(text: &str, known: &Entry, entry: &Entry) -> String {
    let mut all = paragraphs(text);
    let place = all.iter().position(|paragraph| {
        paragraph
            .entries()
            .iter()
            .any(|there| there.same_place(known))
    });
    match place.and_then(|at| all.get_mut(at)) {
        Some(paragraph) => paragraph.update(entry),
        None => all.push(Paragraph::of(entry)),
    }
    join(&all)
}

fn join(all: &[Paragraph]) -> String {
    all.iter()
        .map(Paragraph::text)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Removes a source from all files and says which those were; `None` when it was in none.
pub(crate) fn remove(
    context: &Context<'_>,
    wanted: &Entry,
) -> Result<Option<Vec<String>>, CallError> {
    let machine = context.system;
    let mut changed = Vec::new();
    for path in files(machine) {
        let text = read(machine, &path)?;
        let new = if is_paragraphs(&path) {
            let mut all = paragraphs(&text);
            for paragraph in &mut all {
                if !paragraph
                    .entries()
                    .iter()
                    .any(|known| known.same_place(wanted))
                {
                    continue;
                }
                let mut suites = paragraph.value("suites");
                let mut comps = paragraph.value("components");
                comps.retain(|comp| !wanted.comps.contains(comp));
                if suites.len() == 1 && !comps.is_empty() {
                    paragraph.set("Components", &comps.join(" "));
                    continue;
                }
                suites.retain(|suite| *suite != wanted.dist);
                if suites.is_empty() {
                    paragraph.lines.clear();
                } else {
                    paragraph.set("Suites", &suites.join(" "));
                }
            }
            all.retain(|paragraph| !paragraph.lines.is_empty());
            join(&all)
        } else {
            text.split_inclusive('\n')
                .filter(
                    |line| !matches!(Entry::parse(line), Some(known) if known.same_place(wanted)),
                )
                .collect()
        };
        if new != text {
            write(context, &path, &new)?;
            changed.push(path.to_string_lossy().into_owned());
        }
    }
    Ok((!changed.is_empty()).then_some(changed))
}

/// Puts the key of a source where it belongs: into the file that the source names, else
/// among the keys that apt trusts for everything.
pub(crate) fn install_key(
    context: &Context<'_>,
    change: &Change,
    args: &Args,
) -> Result<(), CallError> {
    let keywords = args.keywords();
    let text = |key: &str| {
        keywords
            .get(key)
            .filter(|value| value.is_true())
            .map(python::str)
    };
    let aptkey = args.get("aptkey").is_none_or(Value::is_true);
    let signed_by = change.entry.signed_by();
    let target = (!signed_by.is_empty()).then(|| PathBuf::from(signed_by));
    let urls = match keywords.get("key_url") {
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        _ => text("key_url").into_iter().collect::<Vec<_>>(),
    };
    for url in urls {
        let call = Args::new().with(url.as_str());
        let cached = context.registry.call("cp.cache_file", &call, context)?;
        let Some(path) = cached.as_str().filter(|path| !path.is_empty()) else {
            return Err(CallError::execution(format!(
                "Error: failed to cache the key {url}"
            )));
        };
        let key = context
            .system
            .read(Path::new(path))
            .map_err(|error| CallError::execution(errno_text(&error, Some(Path::new(path)))))?
            .unwrap_or_default();
        add_key(context, &key, target.as_deref(), aptkey)?;
    }
    if let Some(key) = text("key_text") {
        add_key(context, key.as_bytes(), target.as_deref(), aptkey)?;
    }
    let (Some(id), Some(server)) = (text("keyid"), text("keyserver")) else {
        return Ok(());
    };
    let command = if aptkey && target.is_none() {
        tool::named(context.system, "apt-key").args([
            "adv",
            "--batch",
            "--keyserver",
            &server,
            "--logger-fd",
            "1",
            "--recv-keys",
            &id,
        ])
    } else {
        let keyring =
            target.unwrap_or_else(|| PathBuf::from(format!("/etc/apt/keyrings/{id}.gpg")));
        tool::named(context.system, "gpg")
            .args(["--no-default-keyring", "--batch", "--keyring"])
            .arg(keyring)
            .args(["--keyserver", &server, "--recv-keys", &id])
    };
    let output = tool::run(context, &command)?;
    if output.is_success() {
        return Ok(());
    }
    Err(CallError::execution(format!(
        "Error: key retrieval failed: {}",
        tool::said(&output)
    )))
}

fn add_key(
    context: &Context<'_>,
    key: &[u8],
    target: Option<&Path>,
    aptkey: bool,
) -> Result<(), CallError> {
    let armored = key.starts_with(b"-----BEGIN PGP");
    let target = match target {
        Some(target) => target,
        None if aptkey && context.system.which("apt-key").is_some() => {
            let command = tool::named(context.system, "apt-key").args(["add", "-"]);
            let output = tool::run(context, &command.stdin(key))?;
            if output.is_success() {
                return Ok(());
            }
            return Err(CallError::execution(format!(
                "Error: failed to add key: {}",
                tool::said(&output)
            )));
        }
        None => {
            return Err(CallError::execution(
                "The source needs signed-by, which says where its key is kept",
            ));
        }
    };
    // A file that ends in .asc may stay in letters.
    let keep = !armored || target.extension().is_some_and(|ending| ending == "asc");
    let content = if keep {
        key.to_vec()
    } else {
        let command = tool::named(context.system, "gpg").args(["--batch", "--dearmor"]);
        let output = tool::run(context, &command.stdin(key))?;
        if !output.is_success() {
            return Err(CallError::execution(format!(
                "Failed to decrypt the key {}",
                target.display()
            )));
        }
        output.stdout
    };
    if let Some(parent) = target.parent() {
        context
            .system
            .create_dir_all(parent, 0o755)
            .map_err(|error| CallError::execution(errno_text(&error, Some(parent))))?;
    }
    context
        .system
        .write(target, &content, &WriteOptions::new().mode(0o644))
        .map_err(|error| CallError::execution(errno_text(&error, Some(target))))
}
