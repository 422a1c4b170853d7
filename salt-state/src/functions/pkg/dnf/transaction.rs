//! What dnf would do, read from what it shows before it asks whether to go on.

use super::{Versions, dnf, listed_words};
use crate::functions::tool;
use crate::registry::CallError;
use crate::system::{Command, Observe};

/// One call of dnf that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// What comes before the verb, without the answer to its question.
    pub(crate) before: Vec<String>,
    /// `install`, `downgrade`, `reinstall`, `remove` or `upgrade`.
    pub(crate) verb: &'static str,
    /// Options after the verb and what it works on.
    pub(crate) targets: Vec<String>,
}

impl Step {
    /// The command that does it.
    pub(crate) fn command(&self) -> Command {
        self.with("-y")
    }

    fn with(&self, answer: &str) -> Command {
        let quiet = self.before.iter().any(|word| word == "--quiet");
        let command = match (quiet, answer) {
            (true, "-y") => dnf(["--quiet", answer]),
            _ => dnf([answer]),
        };
        let rest = self.before.iter().filter(|word| *word != "--quiet");
        command.args(rest).arg(self.verb).args(&self.targets)
    }

    /// What would be installed afterwards; nothing where dnf does not tell.
    pub(crate) fn foretold(
        &self,
        machine: &dyn Observe,
        own: &str,
        now: &Versions,
    ) -> Result<Option<Versions>, CallError> {
        if self.verb == "reinstall" {
            return Ok(Some(now.clone()));
        }
        let output = tool::ask(machine, &self.with("--assumeno"))?;
        let text = output.stdout_text();
        if !text.contains("Dependencies resolved.") {
            return Ok(None);
        }
        Ok(Some(after(&text, own, now)))
    }
}

/// What a line of a heading does with the packages below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Add,
    Replace,
    Remove,
    Nothing,
}

/// The packages that are installed after a transaction which dnf shows as a table.
fn after(text: &str, own: &str, now: &Versions) -> Versions {
    let mut all = now.clone();
    let mut does = Does::Nothing;
    let mut words: Vec<&str> = Vec::new();
    let mut in_table = false;
    for line in text.lines() {
        if line.starts_with("====") {
            continue;
        }
        if line == "Transaction Summary" {
            break;
        }
        if !line.starts_with(' ') {
            does = match line.split_whitespace().next().unwrap_or_default() {
                "Installing" | "Installing:" => Does::Add,
                "Upgrading" | "Upgrading:" | "Downgrading" | "Downgrading:" => Does::Replace,
                "Removing" | "Removing:" => Does::Remove,
                _ => Does::Nothing,
            };
            in_table = in_table || does != Does::Nothing;
            words.clear();
            continue;
        }
        if !in_table {
            continue;
        }
        let here: Vec<&str> = line.split_whitespace().collect();
        if let ["replacing", full, _] = here.as_slice() {
            words.clear();
            all.remove(super::normalized(own, full));
            continue;
        }
        words.extend(here);
        // name, architecture, version, source, size and its unit, however they are broken
        // over lines; a size of bytes has no unit.
        if words.len() < 5 {
            continue;
        }
        if let Some((name, version)) = listed_words(own, &words) {
            match does {
                Does::Add => {
                    let list = all.entry(name).or_default();
                    list.push(version);
                    list.sort();
                    list.dedup();
                }
                Does::Replace => {
                    all.insert(name, vec![version]);
                }
                Does::Remove => {
                    if let Some(list) = all.get_mut(&name) {
                        list.retain(|known| *known != version);
                        if list.is_empty() {
                            all.remove(&name);
                        }
                    }
                }
                Does::Nothing => {}
            }
        }
        words.clear();
    }
    all
}

/// What would be installed after some steps; nothing where dnf tells of none.
pub(crate) fn foretold(
    machine: &dyn Observe,
    own: &str,
    now: &Versions,
    steps: &[Step],
) -> Result<Option<Versions>, CallError> {
    let mut all = now.clone();
    let mut told = false;
    for step in steps {
        if let Some(after) = step.foretold(machine, own, &all)? {
            told = true;
            all = after;
        }
    }
    Ok(told.then_some(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "\
Dependencies resolved.
================================================================================
 Package           Architecture       Version           Repository         Size
================================================================================
Installing:
 epsilon           noarch             2.0-1             base              6.5 k
     replacing  delta.noarch 1.0-1
 a-name-that-is-longer-than-its-column-and-so-has-a-line-of-its-own
                   noarch             1:1.0-1           base              6.4 k
 kernel            x86_64             2-1               base              6.4 k
Upgrading:
 arched            i686               1.1-1             base              6.4 k
Downgrading:
 beta              noarch             1:0.4-1           base              6.4 k
Removing dependent packages:
 alpha             noarch             1.0-1             @base              12  

Transaction Summary
================================================================================
Install  1 Package
";

    #[test]
    fn a_table_of_dnf_says_what_will_be_installed() {
        let list = |pairs: &[(&str, &[&str])]| -> Versions {
            pairs
                .iter()
                .map(|(name, all)| {
                    let all = all.iter().map(|one| (*one).to_owned()).collect();
                    ((*name).to_owned(), all)
                })
                .collect()
        };
        let now = list(&[
            ("alpha", &["1.0-1"]),
            ("arched.i686", &["1.0-1"]),
            ("beta", &["1:0.5-1"]),
            ("delta", &["1.0-1"]),
            ("kernel", &["1-1"]),
        ]);

        let then = after(SHOWN, "x86_64", &now);

        let long = "a-name-that-is-longer-than-its-column-and-so-has-a-line-of-its-own";
        let expected = list(&[
            (long, &["1:1.0-1"]),
            ("arched.i686", &["1.1-1"]),
            ("beta", &["1:0.4-1"]),
            ("epsilon", &["2.0-1"]),
            ("kernel", &["1-1", "2-1"]),
        ]);
        assert_eq!(then, expected);
    }
}
