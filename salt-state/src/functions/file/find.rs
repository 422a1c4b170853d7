//! `file.find`: searching a tree by name, kind, size, owner, age and content.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use salt_proto::Value;

use super::{expression, glob, group_name, home, matches, user_name};
use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{FileKind, Metadata};

/// How many paths are looked at, at most.
const MAX_SEEN: usize = 1_000_000;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "file.find",
        "find(path, *args, **kwargs)",
        "Searches below the paths that match a shell pattern. Criteria: name, iname, regex,\n\
         iregex, type, size, owner, group, mtime, grep, mindepth, maxdepth; `print` says\n\
         what is returned.",
        find,
    );
}

/// What a path must have.
enum Criterion {
    Name(fancy_regex::Regex),
    Path(fancy_regex::Regex),
    Kinds(String),
    Size(f64, f64),
    Owner(u32),
    Group(u32),
    /// Seconds of age: at least, or at most.
    Age(f64, bool),
    Content(fancy_regex::Regex),
}

#[derive(Default)]
struct Search {
    criteria: Vec<Criterion>,
    least_depth: i64,
    most_depth: Option<i64>,
    print: Option<Vec<String>>,
}

fn find(args: &Args, context: &Context<'_>) -> Result<Value, CallError> {
    let search = match Search::new(args, context) {
        Ok(search) => search,
        Err(Wrong::Option(text)) => return Ok(format!("error: {text}").into()),
        Err(Wrong::Call(error)) => return Err(error),
    };
    let start = home(args.str("path")?, context);
    let mut found: Vec<Value> = Vec::new();
    let mut seen = 0_usize;
    for root in glob(&start, context) {
        let root = PathBuf::from(root.to_string_lossy().trim_end_matches('/'));
        let root = if root.as_os_str().is_empty() {
            PathBuf::from("/")
        } else {
            root
        };
        let mut todo = vec![(root, 0_i64)];
        while let Some((path, depth)) = todo.pop() {
            seen += 1;
            if seen > MAX_SEEN {
                return Err(CallError::execution(format!(
                    "more than {MAX_SEEN} paths are too many to search"
                )));
            }
            if depth >= search.least_depth
                && let Some(shown) = search.look(&path, context)
            {
                found.push(shown);
            }
            let directory = matches!(context.system.link_metadata(&path),
                Ok(Some(meta)) if meta.kind == FileKind::Directory);
            if directory && search.most_depth.is_none_or(|most| depth < most) {
                let names = context.system.list(&path).unwrap_or_default();
                todo.extend(names.into_iter().map(|name| (path.join(name), depth + 1)));
            }
        }
    }
    found.sort_by_cached_key(crate::python::repr);
    Ok(found.into())
}

/// Why a search cannot be done: Salt returns some of that as text.
enum Wrong {
    Option(String),
    Call(CallError),
}

impl From<CallError> for Wrong {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl Search {
    fn new(args: &Args, context: &Context<'_>) -> Result<Self, Wrong> {
        let mut search = Self::default();
        for (key, value) in &args.clean_keywords() {
            let key = key.as_str().unwrap_or_default();
            if let "mindepth" | "maxdepth" = key {
                let Value::Int(depth) = value else {
                    let text = "'>=' not supported between instances of 'str' and 'int'";
                    return Err(CallError::exception("TypeError", text).into());
                };
                match key {
                    "mindepth" => search.least_depth = *depth,
                    _ => search.most_depth = Some(*depth),
                }
                continue;
            }
            let text = crate::python::str(value);
            let known = [
                "name", "iname", "regex", "iregex", "type", "size", "owner", "group", "mtime",
                "grep", "print",
            ];
            if !known.contains(&key) {
                return Err(Wrong::Option(format!("invalid option \"{key}\"")));
            }
            if !value.is_true() {
                return Err(Wrong::Option(format!("missing value for \"{key}\" option")));
            }
            if key == "print" {
                let fields = text.split([',', ' ']).filter(|field| !field.is_empty());
                search.print = Some(fields.map(str::to_owned).collect());
                continue;
            }
            search.criteria.push(criterion(key, &text, context)?);
        }
        Ok(search)
    }

    /// What is to be shown of a path, if it is wanted.
    fn look(&self, path: &Path, context: &Context<'_>) -> Option<Value> {
        // What a link leads to counts, and a dangling one itself.
        let meta = match context.system.metadata(path) {
            Ok(Some(meta)) => meta,
            _ => context.system.link_metadata(path).ok().flatten()?,
        };
        let fits = self
            .criteria
            .iter()
            .all(|criterion| criterion.fits(path, &meta, context));
        if !fits {
            return None;
        }
        let whole = || Value::from(path.to_string_lossy().into_owned());
        let Some(fields) = &self.print else {
            return Some(whole());
        };
        let mut shown: Vec<Value> = fields
            .iter()
            .filter_map(|field| show(field, path, &meta, context))
            .collect();
        Some(if fields.len() == 1 && shown.len() == 1 {
            shown.remove(0)
        } else {
            shown.into()
        })
    }
}

fn criterion(key: &str, text: &str, context: &Context<'_>) -> Result<Criterion, Wrong> {
    let regex = |pattern: &str, ignore_case: bool| {
        expression(&format!("^(?:{pattern})"), ignore_case)
            .map_err(|_| Wrong::Option(format!("invalid regular expression: \"{text}\"")))
    };
    // Only these letters of a shell pattern mean anything here.
    let of_glob = || {
        format!(
            "{}$",
            text.replace('.', "\\.")
                .replace('?', ".?")
                .replace('*', ".*")
        )
    };
    Ok(match key {
        "name" => Criterion::Name(regex(&of_glob(), false)?),
        "iname" => Criterion::Name(regex(&of_glob(), true)?),
        "regex" => Criterion::Path(regex(text, false)?),
        "iregex" => Criterion::Path(regex(text, true)?),
        "type" => {
            let kinds: String = text.replace(',', "");
            if let Some(unknown) = kinds.chars().find(|kind| !"bcdfpls".contains(*kind)) {
                return Err(Wrong::Option(format!("invalid file type \"{unknown}\"")));
            }
            Criterion::Kinds(kinds)
        }
        "size" => {
            let (least, most) =
                size(text).ok_or_else(|| Wrong::Option(format!("invalid size: \"{text}\"")))?;
            Criterion::Size(least, most)
        }
        "owner" => {
            let known = context
                .system
                .user(text)
                .ok()
                .flatten()
                .map(|user| user.uid);
            let uid = known.or_else(|| text.parse().ok());
            Criterion::Owner(uid.ok_or_else(|| Wrong::Option(format!("no such user \"{text}\"")))?)
        }
        "group" => {
            let known = context
                .system
                .group(text)
                .ok()
                .flatten()
                .map(|group| group.gid);
            let gid = known.or_else(|| text.parse().ok());
            Criterion::Group(gid.ok_or_else(|| Wrong::Option(format!("no such group \"{text}\"")))?)
        }
        "mtime" => {
            let (age, older) = age(text)
                .ok_or_else(|| Wrong::Option(format!("invalid time interval: '{text}'")))?;
            Criterion::Age(age, older)
        }
        _ => Criterion::Content(
            expression(text, false)
                .map_err(|_| Wrong::Option(format!("invalid regular expression: \"{text}\"")))?,
        ),
    })
}

/// `[+-]N[bkmgt]`: bytes from and to; without a sign, the whole unit that begins there.
fn size(text: &str) -> Option<(f64, f64)> {
    let (sign, rest) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.chars().next(), rest),
        None => (None, text),
    };
    let digits = rest.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: f64 = match rest.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" => 1024.0,
        "m" => 1_048_576.0,
        "g" => 1_073_741_824.0,
        "t" => 1_099_511_627_776.0,
        _ => return None,
    };
    if digits.is_empty() || digits.chars().any(|c| !c.is_ascii_digit() && c != '.') {
        return None;
    }
    let bytes = digits.parse::<f64>().ok()? * unit;
    Some(match sign {
        Some('+') => (bytes, f64::INFINITY),
        Some('-') => (0.0, bytes),
        _ => (bytes, bytes + unit - 1.0),
    })
}

/// `[+-]1w2d3h4m5s`: seconds, and whether a file must be older than that.
fn age(text: &str) -> Option<(f64, bool)> {
    let older = !text.starts_with('-');
    let mut rest = text.trim_start_matches(['+', '-']);
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(end)?;
        let mut letters = tail.chars();
        let unit = match letters.next()? {
            'w' => 604_800.0,
            'd' => 86_400.0,
            'h' => 3_600.0,
            'm' => 60.0,
            's' => 1.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = letters.as_str();
    }
    Some((seconds, older))
}

impl Criterion {
    fn fits(&self, path: &Path, meta: &Metadata, context: &Context<'_>) -> bool {
        match self {
            Self::Name(regex) => matches(regex, &name(path)),
            Self::Path(regex) => matches(regex, &path.to_string_lossy()),
            Self::Kinds(kinds) => kinds.contains(kind(meta)),
            #[expect(
                clippy::cast_precision_loss,
                reason = "sizes of files are far below 2^53"
            )]
            Self::Size(least, most) => (*least..=*most).contains(&(meta.size as f64)),
            Self::Owner(uid) => meta.uid == *uid,
            Self::Group(gid) => meta.gid == *gid,
            Self::Age(age, older) => {
                let now = context
                    .system
                    .now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0.0, |since| since.as_secs_f64());
                let is = now - modified(meta);
                if *older { is >= *age } else { is <= *age }
            }
            Self::Content(regex) => {
                meta.kind == FileKind::File
                    && context
                        .system
                        .text(path)
                        .ok()
                        .flatten()
                        .is_some_and(|text| text.lines().any(|line| matches(regex, line)))
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds since 1970 are far below 2^53"
)]
fn modified(meta: &Metadata) -> f64 {
    meta.modified.seconds as f64
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn kind(meta: &Metadata) -> char {
    match meta.kind {
        FileKind::File => 'f',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::BlockDevice => 'b',
        FileKind::CharDevice => 'c',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
    }
}

fn show(field: &str, path: &Path, meta: &Metadata, context: &Context<'_>) -> Option<Value> {
    Some(match field {
        "path" => path.to_string_lossy().into_owned().into(),
        "name" => name(path).into(),
        "size" => meta.size.into(),
        "type" => kind(meta).to_string().into(),
        "mode" => (meta.mode & 0o7777).into(),
        "mtime" => meta.modified.seconds.into(),
        "user" | "owner" => user_name(meta.uid, context),
        "group" => group_name(meta.gid, context),
        "md5" if meta.kind == FileKind::File => super::sum(path, "md5", context).ok()?.into(),
        "md5" => "".into(),
        _ => return None,
    })
}
