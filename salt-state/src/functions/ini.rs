//! `ini.*`: files of sections and options.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "ini.get_ini",
        "get_ini(file_name, separator='=', encoding=None)",
        "All sections and options of a file.",
        |args, context| Ok(Ini::of(args, context.system)?.data().into()),
    );
    add(
        "ini.get_section",
        "get_section(file_name, section, separator='=', encoding=None)",
        "The options of a section.",
        |args, context| {
            let ini = Ini::of(args, context.system)?;
            let section = ini.section(&args.text("section")?);
            Ok(section.map(Section::data).unwrap_or_default().into())
        },
    );
    add(
        "ini.get_option",
        "get_option(file_name, section, option, separator='=', encoding=None)",
        "The value of an option.",
        |args, context| {
            let ini = Ini::of(args, context.system)?;
            let section = args.optional_text("section").unwrap_or_default();
            let value = ini
                .section(&section)
                .and_then(|section| section.get(&python::str(args.get("option")?)))
                .map(str::to_owned);
            Ok(value.into())
        },
    );
    add(
        "ini.set_option",
        "set_option(file_name, sections=None, separator='=', encoding=None, no_spaces=False)",
        "Sets options and says which differed.",
        |args, context| {
            let mut ini = Ini::of(args, context.system)?;
            ini.no_spaces = args.is_true("no_spaces");
            let sections = mapping(args.get("sections"))?;
            let changes = ini.set(&sections)?;
            ini.write(context)?;
            Ok(changes.into())
        },
    );
    add(
        "ini.remove_option",
        "remove_option(file_name, section, option, separator='=', encoding=None)",
        "Removes an option and says what it was.",
        |args, context| {
            let mut ini = Ini::of(args, context.system)?;
            let section = args.optional_text("section").unwrap_or_default();
            let was = ini.remove_option(&section, &args.text("option")?);
            ini.write(context)?;
            Ok(was.into())
        },
    );
    add(
        "ini.remove_section",
        "remove_section(file_name, section, separator='=', encoding=None)",
        "Removes a section and says what was in it.",
        |args, context| {
            let mut ini = Ini::of(args, context.system)?;
            let was = ini.remove_section(&args.text("section")?);
            if was.is_some() {
                ini.write(context)?;
            }
            Ok(was.map(Value::from).unwrap_or_default())
        },
    );
}

/// What Python's `.items()` needs.
///
/// # Errors
///
/// Python's for everything that is no mapping; none at all is an empty one.
pub(crate) fn mapping(value: Option<&Value>) -> Result<Map, CallError> {
    match value {
        Some(Value::Map(map)) => Ok(map.clone()),
        Some(other) if other.is_true() => Err(CallError::exception(
            "AttributeError",
            format!("'{}' object has no attribute 'items'", other.type_name()),
        )),
        _ => Ok(Map::new()),
    }
}

enum Line {
    Option(String, String),
    /// Comments, blank lines and everything that is no option.
    Other(String),
}

/// The lines below a heading; the first section of a file has no name.
#[derive(Default)]
pub(crate) struct Section {
    name: String,
    lines: Vec<Line>,
}

impl Section {
    /// The value of an option.
    pub(crate) fn get(&self, option: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| match line {
            Line::Option(name, value) if name == option => Some(value.as_str()),
            _ => None,
        })
    }

    /// All options.
    pub(crate) fn data(&self) -> Map {
        self.lines
            .iter()
            .filter_map(|line| match line {
                Line::Option(name, value) => Some((name.as_str(), value.as_str())),
                Line::Other(_) => None,
            })
            .collect()
    }

    fn set(&mut self, option: &str, text: &str) {
        for line in &mut self.lines {
            if let Line::Option(name, value) = line
                && name == option
            {
                text.clone_into(value);
                return;
            }
        }
        self.lines
            .push(Line::Option(option.to_owned(), text.to_owned()));
    }

    fn remove(&mut self, option: &str) -> Option<String> {
        let at = self
            .lines
            .iter()
            .position(|line| matches!(line, Line::Option(name, _) if name == option))?;
        match self.lines.remove(at) {
            Line::Option(_, value) => Some(value),
            Line::Other(_) => None,
        }
    }
}

/// A file.
pub(crate) struct Ini {
    path: PathBuf,
    separator: String,
    no_spaces: bool,
    sections: Vec<Section>,
}

impl Ini {
    /// Reads the file that a caller names; one that is not there is empty.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(crate) fn of(args: &Args, machine: &dyn Observe) -> Result<Self, CallError> {
        let path = match args.get("file_name") {
            Some(path) => python::str(path),
            None => args.text("name")?,
        };
        let separator = args
            .optional_text("separator")
            .unwrap_or_else(|| "=".to_owned());
        Self::read(Path::new(&path), &separator, machine)
    }

    /// Reads a file; one that is not there is empty.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(crate) fn read(
        path: &Path,
        separator: &str,
        machine: &dyn Observe,
    ) -> Result<Self, CallError> {
        let text = machine.text(path).map_err(|error| {
            CallError::execution(format!(
                "Unable to open file '{}'. Exception: {}",
                path.display(),
                errno_text(&error, Some(path))
            ))
        })?;
        let mut this = Self {
            path: path.to_owned(),
            separator: separator.to_owned(),
            no_spaces: false,
            sections: vec![Section::default()],
        };
        this.parse(&text.unwrap_or_default());
        Ok(this)
    }

    /// Writes options closed up, `name=value`.
    pub(crate) fn close_up(&mut self, no_spaces: bool) {
        self.no_spaces = no_spaces;
    }

    fn parse(&mut self, text: &str) {
        let mut at = 0;
        // An indented line goes on with the option before it.
        let mut goes_on = false;
        for line in text.lines() {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if let Some(name) = heading(line) {
                at = self.place(name);
                goes_on = false;
                continue;
            }
            let Some(section) = self.sections.get_mut(at) else {
                continue;
            };
            let indented = line.starts_with([' ', '\t']);
            let is_comment = line.trim_start().starts_with(['#', ';']);
            if indented
                && goes_on
                && !is_comment
                && let Some(Line::Option(_, value)) = section.lines.last_mut()
            {
                value.push('\n');
                value.push_str(line);
                continue;
            }
            let option = (!is_comment)
                .then(|| line.split_once(&self.separator))
                .flatten()
                .filter(|(name, _)| !name.trim().is_empty());
            goes_on = option.is_some();
            match option {
                Some((name, value)) => section.set(name.trim(), value.trim_start()),
                None => section.lines.push(Line::Other(line.to_owned())),
            }
        }
        for section in &mut self.sections {
            let is_blank = |line: &Line| matches!(line, Line::Other(text) if text.is_empty());
            while section.lines.last().is_some_and(is_blank) {
                section.lines.pop();
            }
            let leading = section
                .lines
                .iter()
                .take_while(|line| is_blank(line))
                .count();
            section.lines.drain(..leading);
        }
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(at) = self
            .sections
            .iter()
            .position(|section| section.name == name)
        {
            return at;
        }
        self.sections.push(Section {
            name: name.to_owned(),
            lines: Vec::new(),
        });
        self.sections.len() - 1
    }

    /// A section by name; the one without a name holds what is above the first heading.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The names of the sections.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sections
            .iter()
            .map(|section| section.name.as_str())
            .filter(|name| !name.is_empty())
    }

    /// Everything: options above the first heading by name, sections as mappings.
    pub(crate) fn data(&self) -> Map {
        let mut data = Map::new();
        for section in &self.sections {
            if section.name.is_empty() {
                data.extend(section.data());
            } else {
                data.insert(section.name.as_str(), section.data());
            }
        }
        data
    }

    /// Sets options and says which differed, in Salt's shape.
    ///
    /// # Errors
    ///
    /// Never for scalars and mappings of them.
    pub(crate) fn set(&mut self, sections: &Map) -> Result<Map, CallError> {
        let mut changes = Map::new();
        for (key, wanted) in sections {
            let key = python::str(key);
            let Value::Map(options) = wanted else {
                if matches!(wanted, Value::List(_)) {
                    return Err(CallError::exception(
                        "AttributeError",
                        "'str' object has no attribute 'items'",
                    ));
                }
                if let Some(difference) = self.set_one("", &key, &python::str(wanted)) {
                    changes.insert(key, difference);
                }
                continue;
            };
            let is_new = self.section(&key).is_none();
            let mut differences = Map::new();
            for (option, value) in options {
                let option = python::str(option);
                if let Some(difference) = self.set_one(&key, &option, &python::str(value)) {
                    differences.insert(option, difference);
                }
            }
            if is_new {
                self.place(&key);
                let after = self.section(&key).map(Section::data).unwrap_or_default();
                changes.insert(key, pair(Value::Null, after));
            } else if !differences.is_empty() {
                changes.insert(key, differences);
            }
        }
        Ok(changes)
    }

    fn set_one(&mut self, section: &str, option: &str, text: &str) -> Option<Map> {
        let at = self.place(section);
        let section = self.sections.get_mut(at)?;
        let before = section.get(option).map(str::to_owned);
        if before.as_deref() == Some(text) {
            return None;
        }
        section.set(option, text);
        Some(pair(before.into(), text))
    }

    /// Removes an option and says what it was.
    pub(crate) fn remove_option(&mut self, section: &str, option: &str) -> Option<String> {
        self.sections
            .iter_mut()
            .find(|known| known.name == section)?
            .remove(option)
    }

    /// Removes a section and says what was in it.
    pub(crate) fn remove_section(&mut self, name: &str) -> Option<Map> {
        let at = self
            .sections
            .iter()
            .position(|section| section.name == name)?;
        Some(self.sections.remove(at).data())
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            if !section.name.is_empty() {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&format!("[{}]\n", section.name));
            }
            for line in &section.lines {
                match line {
                    Line::Option(name, value) if self.no_spaces => {
                        text.push_str(&format!("{name}{}{value}\n", self.separator));
                    }
                    Line::Option(name, value) => {
                        text.push_str(&format!("{name} {} {value}\n", self.separator));
                    }
                    Line::Other(line) => {
                        text.push_str(line);
                        text.push('\n');
                    }
                }
            }
        }
        text
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn write(&self, context: &Context<'_>) -> Result<(), CallError> {
        let options = WriteOptions {
            follow: true,
            ..WriteOptions::new()
        };
        context
            .system
            .write(&self.path, self.text().as_bytes(), &options)
            .map_err(|error| {
                CallError::execution(format!(
                    "Unable to write file '{}'. Exception: {}",
                    self.path.display(),
                    errno_text(&error, Some(&self.path))
                ))
            })
    }
}

/// `{before: …, after: …}`.
pub(crate) fn pair(before: Value, after: impl Into<Value>) -> Map {
    Map::from([("before", before), ("after", after.into())])
}

/// The name between the brackets of a heading.
fn heading(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?.strip_suffix(']')?;
    (!name.is_empty()).then_some(name)
}
