//! `file.tidied`, `file.pruned` and `file.retention_schedule`: removing what is old.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use super::{Answer, expanded, named, texts};
use crate::args::Args;
use crate::files::regex::{Flags, Pattern};
use crate::files::source::os_error;
use crate::jinja::date::DateTime;
use crate::plan::{Changes, Done, Plan};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::{Metadata, Observe, System, Timestamp, errno_text};

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "file.tidied",
        "tidied(name, age=0, matches=None, rmdirs=False, size=0, exclude=None, full_path_match=False, followlinks=False, time_comparison='atime', age_size_logical_operator='OR', age_size_only=None, rmlinks=True, **kwargs)",
        "Removes what is old or large from a directory.",
        tidied,
    );
    registry.add_state(
        "file.pruned",
        "pruned(name, recurse=False, ignore_errors=False, older_than=None)",
        "Removes empty directories.",
        pruned,
    );
    registry.add_state(
        "file.retention_schedule",
        "retention_schedule(name, retain, strptime_format=None, timezone=None)",
        "Removes copies of a directory that a schedule does not keep.",
        retention,
    );
}

/// `1k`, `2M`, …, in bytes; a bare number is bytes.
fn bytes(given: Option<&Value>) -> u64 {
    let text = given.map(python::str).unwrap_or_default().to_lowercase();
    let text = text.trim();
    if let Ok(plain) = text.parse::<u64>() {
        return plain;
    }
    let (number, unit) =
        text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let factor: u64 = match unit {
        "b" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        "p" => 1 << 50,
        _ => return 0,
    };
    number
        .trim()
        .parse::<u64>()
        .unwrap_or(0)
        .saturating_mul(factor)
}

struct Rules {
    matches: Vec<Pattern>,
    exclude: Vec<Pattern>,
    full_path: bool,
    follow: bool,
    rmdirs: bool,
    rmlinks: bool,
    age: i64,
    size: u64,
    time: String,
    both: bool,
    only: Option<String>,
    today: i64,
}

impl Rules {
    fn fits(&self, path: &Path, meta: &Metadata) -> Result<bool, CallError> {
        let whole = path.to_string_lossy();
        let name = if self.full_path {
            whole.as_ref()
        } else {
            whole.rsplit('/').next().unwrap_or(&whole)
        };
        let at_start = |patterns: &[Pattern]| -> Result<bool, CallError> {
            for pattern in patterns {
                if pattern.find(name)?.is_some_and(|(start, _)| start == 0) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        if !at_start(&self.matches)? || at_start(&self.exclude)? {
            return Ok(false);
        }
        let at = match self.time.as_str() {
            "ctime" => meta.changed,
            "mtime" => meta.modified,
            _ => meta.accessed,
        };
        let age = self.today.saturating_sub(at.seconds.div_euclid(86_400));
        // A negative age means: younger than.
        let old = if self.age < 0 {
            age <= self.age.saturating_neg()
        } else {
            age >= self.age
        };
        let large = meta.size >= self.size;
        Ok(match self.only.as_deref() {
            Some("age") => old,
            Some("size") => large,
            _ if self.both => old && large,
            _ => old || large,
        })
    }

    fn look(
        &self,
        top: &Path,
        depth: u32,
        system: &dyn Observe,
        into: &mut Vec<PathBuf>,
    ) -> Result<(), CallError> {
        if depth > 100 {
            return Ok(());
        }
        let fails = |error| os_error(error, top);
        let mut below = Vec::new();
        for name in system.list(top).map_err(fails)? {
            let path = top.join(name);
            if let Some(meta) = system.link_metadata(&path).map_err(fails)? {
                below.push((path, meta));
            }
        }
        for (path, meta) in &below {
            let enters = meta.is_dir() || (self.follow && meta.is_link() && system.is_dir(path));
            if enters {
                self.look(path, depth + 1, system, into)?;
            }
        }
        for (path, meta) in &below {
            if meta.is_dir() {
                continue;
            }
            if meta.is_link() && !self.rmlinks {
                continue;
            }
            let to_dir = meta.is_link() && system.is_dir(path);
            if to_dir && !self.follow && !self.rmdirs && !self.rmlinks {
                continue;
            }
            // A link is as old and as large as what it leads to.
            let target = system.metadata(path).map_err(fails)?;
            if self.fits(path, target.as_ref().unwrap_or(meta))? {
                into.push(path.clone());
            }
        }
        if self.rmdirs {
            for (path, meta) in &below {
                if meta.is_dir() && self.fits(path, meta)? {
                    into.push(path.clone());
                }
            }
        }
        Ok(())
    }
}

fn tidied(args: &Args, check: &Check<'_>) -> Answer {
    let name = match named(args, "tidied", check)? {
        Ok(name) => name,
        Err(plan) => return Ok(plan),
    };
    let path = PathBuf::from(&name);
    if !check.system.is_dir(&path) {
        return Ok(Plan::fail(format!(
            "{name} does not exist or is not a directory."
        )));
    }
    let compiled = |key: &str, default: &str| -> Result<Vec<Pattern>, CallError> {
        let given = texts(args.given(key).filter(|given| given.is_true()));
        let given = if given.is_empty() && !default.is_empty() {
            vec![default.to_owned()]
        } else {
            given
        };
        given
            .iter()
            .map(|regex| Pattern::new(regex, Flags::default()))
            .collect()
    };
    let rules = Rules {
        matches: compiled("matches", ".*")?,
        exclude: compiled("exclude", "")?,
        full_path: args.is_true("full_path_match"),
        follow: args.is_true("followlinks"),
        rmdirs: args.is_true("rmdirs"),
        rmlinks: args.is_true("rmlinks"),
        age: args.optional_int("age")?.unwrap_or(0),
        size: bytes(args.given("size")),
        time: args.optional_text("time_comparison").unwrap_or_default(),
        both: args
            .optional_text("age_size_logical_operator")
            .is_some_and(|operator| operator.eq_ignore_ascii_case("and")),
        only: args
            .optional_text("age_size_only")
            .map(|only| only.to_lowercase()),
        today: Timestamp::from(check.system.now())
            .seconds
            .div_euclid(86_400),
    };
    let mut todo = Vec::new();
    rules.look(&path, 0, check.system, &mut todo)?;
    if todo.is_empty() {
        return Ok(Plan::unchanged(format!(
            "Nothing to remove from directory {name}"
        )));
    }
    let shown: Value = todo
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let count = todo.len();
    Ok(Plan::change(
        format!("Removed {count} files or directories from directory {name}"),
        Changes::of("removed", shown),
        move |context| {
            for path in &todo {
                if let Err(error) = context.system.remove_all(path) {
                    return Ok(Done::failed(errno_text(&error, Some(path))));
                }
            }
            Ok(Done::as_planned())
        },
    )
    .when_testing(format!("{name} is set for tidy")))
}

/// Empty directories that go: those below first.
pub(crate) fn prune(
    path: &Path,
    recurse: bool,
    older: Option<i64>,
    system: &dyn System,
    deleted: &mut Vec<Value>,
    errors: &mut Vec<Value>,
) -> std::io::Result<()> {
    if recurse {
        for name in system.list(path)? {
            let below = path.join(name);
            let own = system.link_metadata(&below)?;
            if own.is_some_and(|own| own.is_dir()) {
                prune(&below, true, older, system, deleted, errors)?;
            }
        }
    }
    if let (Some(days), Some(found)) = (older, system.metadata(path)?) {
        let now = Timestamp::from(system.now()).seconds;
        if now - found.modified.seconds < days.saturating_mul(86_400) {
            return Ok(());
        }
    }
    let shown: Value = path.to_string_lossy().into_owned().into();
    match system.remove(path) {
        Ok(()) => deleted.push(shown),
        Err(error) => {
            let text = errno_text(&error, Some(path));
            errors.push([shown, text.into()].into_iter().collect());
        }
    }
    Ok(())
}

fn pruned(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    let path = PathBuf::from(&name);
    if !check.system.is_dir(&path) {
        return Ok(Plan::unchanged(format!("Directory {name} is not present")));
    }
    let ignore = args.is_true("ignore_errors");
    let recurse = args.is_true("recurse") || ignore;
    let older = args.optional_int("older_than")?;
    let would = format!("Directory {name} is set for removal");
    let comment = if recurse {
        format!("Recursively removed empty directories under {name}")
    } else {
        format!("Removed directory {name}")
    };
    let changes = Changes::of("deleted", name.as_str());
    Ok(Plan::change(comment, changes, move |context| {
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        prune(
            &path,
            recurse,
            older,
            context.system,
            &mut deleted,
            &mut errors,
        )
        .map_err(|error| os_error(error, &path))?;
        let gone = !context.system.exists(&path);
        if gone || (recurse && ignore && !deleted.is_empty()) {
            return Ok(if recurse {
                Done::as_planned().changes(Changes::of("deleted", deleted))
            } else {
                Done::as_planned()
            });
        }
        let changes = Changes::of("deleted", deleted).with("errors", errors);
        Ok::<_, CallError>(
            Done::failed(format!("Failed to remove directory {name}")).changes(changes),
        )
    })
    .when_testing(would))
}

/// Reads a time by a format, as far as `strptime` is used for names of copies.
pub(crate) fn strptime(text: &str, format: &str) -> Option<DateTime> {
    let mut letters = format.chars();
    let mut rest = text;
    let (mut year, mut month, mut day) = (1900_i64, 1_i64, 1_i64);
    let (mut hour, mut minute, mut second) = (0_i64, 0_i64, 0_i64);
    let number = |rest: &mut &str, most: usize| -> Option<i64> {
        let digits = rest
            .bytes()
            .take(most)
            .take_while(u8::is_ascii_digit)
            .count();
        let (digits, tail) = rest.split_at_checked(digits)?;
        *rest = tail;
        digits.parse().ok()
    };
    while let Some(c) = letters.next() {
        if c != '%' {
            rest = rest.strip_prefix(c)?;
            continue;
        }
        match letters.next()? {
            'Y' => year = number(&mut rest, 4)?,
            'y' => {
                let short = number(&mut rest, 2)?;
                year = if short < 69 {
                    2000 + short
                } else {
                    1900 + short
                };
            }
            'm' => month = number(&mut rest, 2)?,
            'd' => day = number(&mut rest, 2)?,
            'H' => hour = number(&mut rest, 2)?,
            'M' => minute = number(&mut rest, 2)?,
            'S' => second = number(&mut rest, 2)?,
            'f' => {
                number(&mut rest, 6)?;
            }
            's' => {
                let seconds = number(&mut rest, 18)?;
                #[expect(clippy::cast_precision_loss, reason = "seconds of our age fit")]
                return rest
                    .is_empty()
                    .then(|| DateTime::from_unix(seconds as f64))
                    .flatten();
            }
            'b' => {
                const MONTHS: [&str; 12] = [
                    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov",
                    "dec",
                ];
                let (name, tail) = rest.split_at_checked(3)?;
                let at = MONTHS
                    .iter()
                    .position(|known| known.eq_ignore_ascii_case(name))?;
                month = i64::try_from(at).ok()? + 1;
                rest = tail;
            }
            'a' => rest = rest.get(3..)?,
            '%' => rest = rest.strip_prefix('%')?,
            _ => return None,
        }
    }
    if !rest.is_empty() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..62).contains(&second) {
        return None;
    }
    let first = crate::jinja::Date {
        year: u16::try_from(year).ok()?,
        month: u8::try_from(month).ok()?,
        day: u8::try_from(day).ok()?,
    };
    // A day that its month does not have comes back as another.
    let date = crate::jinja::Date::from_days(first.days())?;
    (date.day == first.day).then_some(DateTime {
        date,
        hour: u8::try_from(hour).ok()?,
        minute: u8::try_from(minute).ok()?,
        second: u8::try_from(second).ok()?,
        microsecond: 0,
        offset: None,
    })
}

fn retention(args: &Args, check: &Check<'_>) -> Answer {
    let name = expanded(&super::path_name(args)?, check);
    let path = PathBuf::from(&name);
    if name.is_empty() {
        return Ok(Plan::fail("Must provide name to file.retention"));
    }
    if !path.is_absolute() || !check.system.is_dir(&path) {
        return Ok(Plan::fail(
            "Name provided to file.retention must be a directory",
        ));
    }
    let retain = match args.given("retain") {
        Some(Value::Map(retain)) => retain.clone(),
        other => {
            let kind = other.map_or("NoneType", Value::type_name);
            return Err(CallError::exception(
                "AttributeError",
                format!("'{kind}' object has no attribute 'items'"),
            ));
        }
    };
    let format = args.optional_text("strptime_format");
    let fails = |error| os_error(error, &path);
    let mut ignored = vec![".".to_owned(), "..".to_owned()];
    let mut copies: Vec<(i64, DateTime, String)> = Vec::new();
    for file in check.system.list(&path).map_err(fails)? {
        let file = file.to_string_lossy().into_owned();
        let at = match &format {
            Some(format) => strptime(&file, format),
            None => {
                let found = check.system.metadata(&path.join(&file)).map_err(fails)?;
                #[expect(clippy::cast_precision_loss, reason = "seconds of our age fit")]
                found.and_then(|found| DateTime::from_unix(found.modified.seconds as f64))
            }
        };
        match at {
            Some(at) => copies.push((at.unix(), at, file)),
            None => ignored.push(file),
        }
    }
    copies.sort_by(|a, b| (b.0, &b.2).cmp(&(a.0, &a.2)));
    let mut keep: Vec<&str> = Vec::new();
    for (rule, count) in &retain {
        let rule = python::str(rule);
        let most = match count {
            Value::Str(all) if all == "all" => usize::MAX,
            Value::Int(count) => usize::try_from(*count).unwrap_or(0),
            other => python::str(other).parse().unwrap_or(0),
        };
        let period = |at: &DateTime| -> Option<(u16, i64)> {
            let date = at.date;
            Some(match rule.as_str() {
                "first_of_year" => (date.year, 0),
                "first_of_month" => (date.year, i64::from(date.month)),
                "first_of_week" => {
                    // Weeks begin on Monday.
                    let days = date.days();
                    (0, days - i64::from(date.weekday()))
                }
                "first_of_day" => (0, date.days()),
                "first_of_hour" => (0, date.days() * 24 + i64::from(at.hour)),
                _ => return None,
            })
        };
        if rule == "most_recent" {
            keep.extend(copies.iter().take(most).map(|(_, _, file)| file.as_str()));
            continue;
        }
        // From the newest to the oldest, the last seen of a period is its first.
        let mut firsts: Vec<((u16, i64), &str)> = Vec::new();
        for (_, at, file) in &copies {
            let Some(key) = period(at) else {
                return Err(CallError::exception("KeyError", format!("'{rule}'")));
            };
            match firsts.last_mut() {
                Some(last) if last.0 == key => last.1 = file,
                _ => firsts.push((key, file)),
            }
        }
        keep.extend(firsts.into_iter().take(most).map(|(_, file)| file));
    }
    let (mut retained, mut deleted) = (Vec::new(), Vec::new());
    for (_, _, file) in &copies {
        if keep.contains(&file.as_str()) {
            retained.push(file.clone());
        } else {
            deleted.push(file.clone());
        }
    }
    let count = deleted.len();
    let comment = format!("{count} backups were removed from {name}.\n");
    let would = format!("{count} backups would have been removed from {name}.\n");
    if deleted.is_empty() {
        return Ok(Plan::unchanged(if check.is_test() {
            would
        } else {
            comment
        }));
    }
    ignored.sort();
    ignored.reverse();
    let list = |items: &[String]| -> Value { items.iter().map(String::as_str).collect() };
    let changes = Map::from([
        ("retained", list(&retained)),
        ("deleted", list(&deleted)),
        ("ignored", list(&ignored)),
    ]);
    Ok(Plan::change(comment, changes, move |context| {
        for file in &deleted {
            let path = path.join(file);
            if let Err(error) = context.system.remove_all(&path) {
                return Ok(Done::failed(errno_text(&error, Some(&path))));
            }
        }
        Ok::<_, CallError>(Done::as_planned())
    })
    .when_testing(would))
}
