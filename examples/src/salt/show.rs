//! Prints values by an outputter, where the command line wants them.

use std::fs::OpenOptions;
use std::io::{self, Write as _};

use salt_proto::{Map, Value};

use super::command::Output;
use super::screen::Screen;
use crate::output::{self, States, Style};

/// What [`output::show`] can print by; what it does not know it prints as `nested`.
const KNOWN: &[&str] = &[
    "highstate",
    "json",
    "nested",
    "newline_values_only",
    "no_return",
    "pprint",
    "quiet",
    "raw",
    "txt",
    "yaml",
];

/// How values are printed.
#[derive(Clone, Debug)]
pub struct Show {
    output: Output,
    style: Style,
}

impl Show {
    /// As the command line and the configuration (`opts`) want it. `terminal`: standard output is one.
    ///
    /// # Errors
    ///
    /// When the file of `--out-file` cannot be written.
    pub fn new(output: &Output, opts: &Map, terminal: bool) -> io::Result<Self> {
        if let Some(path) = &output.file {
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            let file = options.open(path)?;
            if !output.append {
                file.set_len(0)?;
            }
        }
        let mut states = States::of(opts);
        if let Some(detail) = &output.state_output {
            states = states.with_output(detail);
        }
        if let Some(verbose) = output.state_verbose {
            states.verbose = verbose;
        }
        Ok(Self {
            style: Style {
                states,
                color: match output.color {
                    Some(color) => color,
                    None => {
                        terminal
                            && output.file.is_none()
                            && opts.get("color").is_none_or(Value::is_true)
                    }
                },
                indent: output.indent,
            },
            output: output.clone(),
        })
    }

    /// Prints one value. `outputter` is what it wants to be printed by, if nothing else was asked for.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn print(&self, value: &Value, outputter: &str, screen: &mut Screen<'_>) -> io::Result<()> {
        let (outputter, complaint) = self.outputter(outputter);
        if let Some(complaint) = complaint {
            screen.err(&complaint)?;
        }
        let mut text = output::show(value, outputter, self.style);
        if text.is_empty() {
            return Ok(());
        }
        text.push('\n');
        match &self.output.file {
            None => screen.out(&text),
            Some(path) => OpenOptions::new()
                .append(true)
                .open(path)?
                .write_all(text.as_bytes()),
        }
    }

    /// The outputter, and a complaint when the one asked for does not exist.
    fn outputter<'a>(&'a self, wanted: &'a str) -> (&'a str, Option<String>) {
        match self.output.outputter.as_deref().unwrap_or(wanted) {
            "" => ("nested", None),
            "text" => ("txt", None),
            name if KNOWN.contains(&name) => (name, None),
            name => (
                "nested",
                Some(format!(
                    "[ERROR   ] Invalid outputter {name} specified, fall back to nested\n"
                )),
            ),
        }
    }
}
