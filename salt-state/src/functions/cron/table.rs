//! A table of cron, taken apart and put together.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::python;
use crate::registry::CallError;
use crate::system::Observe;

/// Above it everything is left alone.
const TAG: &str = "# Lines below here are managed by Salt, do not edit";
const IDENTIFIER: &str = "SALT_CRON_IDENTIFIER";
const DISABLED: &str = "#DISABLED#";

/// The names of the five times.
pub(crate) const TIMES: [&str; 5] = ["minute", "hour", "daymonth", "month", "dayweek"];

/// A command and when it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Minute, hour, day of the month, month and day of the week; empty with `special`.
    pub(crate) times: Vec<String>,
    /// `@daily` and the like.
    pub(crate) special: Option<String>,
    /// The command.
    pub(crate) cmd: String,
    /// Whether it is switched off.
    pub(crate) commented: bool,
    /// What stands above it.
    pub(crate) comment: Option<String>,
    /// The name by which it is found again.
    pub(crate) identifier: Option<String>,
    /// Which of the times may be anything.
    pub(crate) random: Vec<usize>,
}

impl Entry {
    /// From the arguments that `cron.set_job` and `cron.present` share; the command is
    /// `cmd` or `name`.
    pub(crate) fn from_args(args: &Args, machine: &dyn Observe) -> Result<Self, CallError> {
        let cmd = match args.get("cmd") {
            Some(cmd) => python::str(cmd),
            None => args.text("name")?,
        };
        let special = args
            .optional_text("special")
            .filter(|special| !special.is_empty());
        let mut random = Vec::new();
        let times = if special.is_some() {
            Vec::new()
        } else {
            TIMES
                .iter()
                .enumerate()
                .map(|(field, name)| {
                    let value = args.get(name);
                    if value.is_some_and(|value| python::str(value).eq_ignore_ascii_case("random"))
                    {
                        random.push(field);
                    }
                    super::time(value, field, machine)
                })
                .collect()
        };
        let comment = args.given("comment").map(python::str);
        let identifier = match args.given("identifier") {
            None | Some(Value::Bool(_)) => None,
            Some(other) => Some(python::str(other)),
        };
        Ok(Self {
            times,
            special,
            cmd,
            commented: args.is_true("commented"),
            comment,
            identifier,
            random,
        })
    }

    /// As `cron.list_tab` shows it.
    pub(crate) fn to_map(&self) -> Map {
        let mut map = Map::new();
        match &self.special {
            Some(special) => {
                map.insert("spec", special.as_str());
            }
            None => {
                for (name, time) in TIMES.iter().zip(&self.times) {
                    map.insert(*name, time.as_str());
                }
            }
        }
        map.insert("cmd", self.cmd.as_str());
        map.insert("identifier", self.identifier.clone());
        map.insert("comment", self.comment.clone());
        map.insert("commented", self.commented);
        map
    }

    /// Whether this is what is meant by a command with an identifier. One that is there
    /// by its command alone is found by the command.
    fn is(&self, cmd: &str, identifier: Option<&str>) -> bool {
        match (self.identifier.as_deref(), identifier) {
            (Some(known), Some(wanted)) if known == wanted => true,
            (Some(known), Some(_)) => known == self.cmd && self.cmd == cmd,
            _ => self.cmd == cmd,
        }
    }

    /// Whether a wanted entry is there as it shall be.
    pub(crate) fn agrees(&self, wanted: &Self) -> bool {
        let times = self
            .times
            .iter()
            .zip(&wanted.times)
            .enumerate()
            .all(|(field, (now, time))| now == time || wanted.random.contains(&field));
        times
            && self.special == wanted.special
            && self.cmd == wanted.cmd
            && self.commented == wanted.commented
            && (wanted.comment.is_none()
                || self.comment.as_deref().unwrap_or_default()
                    == wanted.comment.as_deref().unwrap_or_default())
    }

    fn write(&self, out: &mut String) {
        let comment = self.comment.as_deref().unwrap_or_default().trim_end();
        let mut above = String::new();
        if !comment.is_empty() {
            above.push_str("# ");
            above.push_str(&comment.replace('\n', "\n# "));
        }
        if let Some(identifier) = &self.identifier {
            if above.is_empty() {
                above.push('#');
            }
            above.push_str(&format!(" {IDENTIFIER}:{identifier}"));
        }
        if !above.is_empty() {
            out.push_str(&above);
            out.push('\n');
        }
        if self.commented {
            out.push_str(DISABLED);
        }
        match &self.special {
            Some(special) => out.push_str(special),
            None => out.push_str(&self.times.join(" ")),
        }
        out.push(' ');
        out.push_str(&self.cmd);
        out.push('\n');
    }
}

/// A user's table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// The lines above what Salt manages.
    pub(crate) pre: Vec<String>,
    /// Variables.
    pub(crate) env: Vec<(String, String)>,
    /// Commands with times.
    pub(crate) crons: Vec<Entry>,
    /// Commands that run `@daily` and the like.
    pub(crate) special: Vec<Entry>,
}

impl Table {
    /// Takes a table apart.
    pub(crate) fn parse(text: &str) -> Self {
        let mut table = Self::default();
        let mut managed = false;
        let (mut comment, mut identifier): (Option<String>, Option<String>) = (None, None);
        for line in text.lines() {
            if line.starts_with(TAG) {
                managed = true;
                continue;
            }
            if !managed {
                table.pre.push(line.to_owned());
                continue;
            }
            let (line, commented) = match line.strip_prefix(DISABLED) {
                Some(rest) => (rest, true),
                None => (line, false),
            };
            if let Some(said) = line.strip_prefix('#') {
                let (said, id) = match said.split_once(&format!("{IDENTIFIER}:")) {
                    Some((said, id)) => (said, Some(id.trim_end().to_owned())),
                    None => (said, None),
                };
                let said = said.trim();
                comment = match comment.take() {
                    Some(before) if said.is_empty() => Some(before),
                    Some(before) => Some(format!("{before}\n{said}")),
                    None => (!said.is_empty()).then(|| said.to_owned()),
                };
                identifier = id.or(identifier);
                continue;
            }
            let entry = Entry {
                commented,
                comment: comment.take(),
                identifier: identifier.take(),
                ..Entry::default()
            };
            table.line(line, entry);
        }
        table
    }

    fn line(&mut self, line: &str, mut entry: Entry) {
        let trimmed = line.trim_start();
        if trimmed.starts_with('@') {
            let (special, cmd) = trimmed
                .split_once(char::is_whitespace)
                .unwrap_or((trimmed, ""));
            entry.special = Some(special.to_owned());
            cmd.trim_start().clone_into(&mut entry.cmd);
            self.special.push(entry);
            return;
        }
        let mut rest = trimmed;
        let mut times = Vec::new();
        while times.len() < 5 {
            let Some((word, more)) = rest.split_once(char::is_whitespace) else {
                break;
            };
            times.push(word.to_owned());
            rest = more.trim_start();
        }
        let looks_like_times = times.len() == 5
            && times
                .first()
                .is_some_and(|word| word.starts_with(|c: char| c == '*' || c.is_ascii_digit()));
        if looks_like_times {
            entry.times = times;
            rest.clone_into(&mut entry.cmd);
            self.crons.push(entry);
        } else if let Some((name, value)) = line.split_once('=') {
            self.env
                .push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }

    /// Puts a table together.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for line in &self.pre {
            out.push_str(line);
            out.push('\n');
        }
        out.push_str(TAG);
        out.push('\n');
        for (name, value) in &self.env {
            let value = if value.is_empty() { "\"\"" } else { value };
            out.push_str(&format!("{name}={value}\n"));
        }
        for entry in self.crons.iter().chain(&self.special) {
            entry.write(&mut out);
        }
        out
    }

    /// The entry that a wanted one would replace.
    pub(crate) fn find(&self, wanted: &Entry) -> Option<&Entry> {
        let list = if wanted.special.is_some() {
            &self.special
        } else {
            &self.crons
        };
        list.iter()
            .find(|entry| entry.is(&wanted.cmd, wanted.identifier.as_deref()))
    }

    /// Whether there is an entry with a command or an identifier.
    pub(crate) fn has(&self, cmd: &str, identifier: Option<&str>, special: bool) -> bool {
        let list = if special { &self.special } else { &self.crons };
        list.iter().any(|entry| entry.is(cmd, identifier))
    }

    /// Puts an entry there: `present`, `updated` or `new`. One that changes goes to the
    /// end.
    pub(crate) fn put(&mut self, wanted: &Entry) -> &'static str {
        let mut entry = wanted.clone();
        let word = match self.find(wanted) {
            None => "new",
            Some(known) if known.agrees(wanted) => return "present",
            Some(known) => {
                if entry.comment.is_none() {
                    entry.comment.clone_from(&known.comment);
                }
                for field in &wanted.random {
                    if let (Some(time), Some(now)) =
                        (entry.times.get_mut(*field), known.times.get(*field))
                    {
                        time.clone_from(now);
                    }
                }
                "updated"
            }
        };
        let special = wanted.special.is_some();
        self.take(&wanted.cmd, wanted.identifier.as_deref(), special);
        entry.random.clear();
        if special {
            self.special.push(entry);
        } else {
            self.crons.push(entry);
        }
        word
    }

    /// Takes an entry out; whether it was there.
    pub(crate) fn take(&mut self, cmd: &str, identifier: Option<&str>, special: bool) -> bool {
        let list = if special {
            &mut self.special
        } else {
            &mut self.crons
        };
        let Some(at) = list.iter().position(|entry| entry.is(cmd, identifier)) else {
            return false;
        };
        list.remove(at);
        true
    }

    /// Sets a variable: `present`, `updated` or `new`.
    pub(crate) fn put_env(&mut self, name: &str, value: &str) -> &'static str {
        match self.env.iter().position(|(known, _)| known == name) {
            Some(at) if self.env.get(at).is_some_and(|(_, now)| now == value) => "present",
            Some(at) => {
                self.env.remove(at);
                self.env.push((name.to_owned(), value.to_owned()));
                "updated"
            }
            None => {
                self.env.push((name.to_owned(), value.to_owned()));
                "new"
            }
        }
    }

    /// As `cron.list_tab` shows it.
    pub(crate) fn into_map(self) -> Map {
        let entries = |entries: &[Entry]| {
            entries
                .iter()
                .map(|entry| entry.to_map())
                .collect::<Value>()
        };
        let env: Value = self
            .env
            .iter()
            .map(|(name, value)| Map::from([("name", name.as_str()), ("value", value.as_str())]))
            .collect();
        Map::from([
            ("pre", self.pre.iter().collect::<Value>()),
            ("crons", entries(&self.crons)),
            ("special", entries(&self.special)),
            ("env", env),
        ])
    }
}
