//! What `salt` prints of a job's answers, and the status it ends with.

use salt_proto::{Jid, Map, Return, Value};

use super::command::Command;
use super::{EX_GENERIC, EX_NO_RETURN, Exit, docs};

/// Something to print.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// As it is.
    Plain(String),
    /// By an outputter: the one asked for, or else this one (empty: nested).
    Shown(Value, String),
}

/// The answers to one job so far.
#[derive(Debug)]
pub(super) struct Report<'a> {
    command: &'a Command,
    jid: Jid,
    /// All returns, in the order they came, for `--static` and documentation.
    returns: Map,
    outputter: String,
    failed: Vec<String>,
    silent: Vec<String>,
    returned: usize,
    worst: i64,
}

impl<'a> Report<'a> {
    /// A report, and what is printed before the first answer.
    pub(super) fn new(command: &'a Command, jid: Jid) -> (Self, Option<Piece>) {
        let collects = command.is_static || command.is_doc();
        let header = match (command.verbose, command.show_jid) {
            _ if collects => None,
            (true, _) => Some(format!(
                "Executing job with jid {jid}\n-------------------------------------------\n\n"
            )),
            (false, true) => Some(format!("jid: {jid}\n")),
            (false, false) => None,
        };
        let report = Self {
            command,
            jid,
            returns: Map::new(),
            outputter: String::new(),
            failed: Vec::new(),
            silent: Vec::new(),
            returned: 0,
            worst: 0,
        };
        (report, header.map(Piece::Plain))
    }

    /// A return.
    pub(super) fn returned(&mut self, ret: Return) -> Option<Piece> {
        let id = ret.id.as_str().to_owned();
        let code = ret.exit_code();
        self.returned += 1;
        self.worst = self.worst.max(code);
        if code != 0 {
            self.failed.push(id.clone());
        }
        let outputter = ret.out.unwrap_or_default();
        if self.collects() {
            self.returns.insert(id, ret.value);
            self.outputter = outputter;
            return None;
        }
        Some(Piece::Shown(Map::from([(id, ret.value)]).into(), outputter))
    }

    /// A minion without a return.
    pub(super) fn missing(&mut self, id: String) -> Option<Piece> {
        if self.command.is_doc() {
            self.silent.push(id);
            return None;
        }
        if self.command.is_static || self.command.hide_timeout {
            return None;
        }
        self.worst = self.worst.max(1);
        let text = missing_text(&self.jid);
        self.silent.push(id.clone());
        let value = Map::from([(id, text)]).into();
        Some(Piece::Shown(value, "no_return".to_owned()))
    }

    fn collects(&self) -> bool {
        self.command.is_static || self.command.is_doc()
    }

    /// What is printed at the end.
    pub(super) fn end(self) -> (Vec<Piece>, Exit) {
        if self.command.is_doc() {
            let asked = self.returned + self.silent.len();
            return documentation(self.command, &self.returns, asked);
        }
        if self.command.is_static {
            return together(self.returns, self.outputter);
        }
        let mut pieces = Vec::new();
        if self.command.summary && self.command.output.outputter.is_none() {
            pieces.push(Piece::Plain(self.summary()));
        }
        let exit = if self.worst == 0 {
            Exit::default()
        } else {
            let text = "ERROR: Minions returned with non-zero exit code\n";
            Exit::failed(EX_GENERIC, text.to_owned())
        };
        (pieces, exit)
    }

    fn summary(&self) -> String {
        const LINE: &str = "-------------------------------------------";
        let (returned, silent) = (self.returned, self.silent.len());
        let mut text = format!(
            "\n\n{LINE}\nSummary\n{LINE}\n\
             # of minions targeted: {}\n\
             # of minions returned: {returned}\n\
             # of minions that did not return: {silent}\n\
             # of minions with errors: {}\n",
            returned + silent,
            self.failed.len(),
        );
        if self.command.verbose {
            for (what, ids) in [
                ("not responding", &self.silent),
                ("with failures", &self.failed),
            ] {
                if !ids.is_empty() {
                    text.push_str(&format!("Minions {what}: {}\n", ids.join(" ")));
                }
            }
        }
        text.push_str(LINE);
        text.push('\n');
        text
    }
}

/// What stands in for the return of a minion that sent none.
pub(super) fn missing_text(jid: &Jid) -> String {
    format!(
        "Minion did not return. [No response]\n{}",
        look_up_text(jid)
    )
}

/// How to see later what is not there yet.
pub(super) fn look_up_text(jid: &Jid) -> String {
    format!(
        "The minions may not have all finished running and any remaining minions will return upon completion. \
         To look up the return data for this job later, run the following command:\n\n\
         salt-run jobs.lookup_jid {jid}"
    )
}

/// Returns that are printed all at once.
pub(super) fn together(returns: Map, outputter: String) -> (Vec<Piece>, Exit) {
    let exit = if returns.is_empty() {
        no_return()
    } else {
        Exit::default()
    };
    (vec![Piece::Shown(returns.into(), outputter)], exit)
}

/// How a program ends that has nothing to print.
pub(super) fn no_return() -> Exit {
    Exit::failed(EX_NO_RETURN, "ERROR: No return received\n".to_owned())
}

fn documentation(command: &Command, returns: &Map, asked: usize) -> (Vec<Piece>, Exit) {
    if asked == 0 {
        return (Vec::new(), no_documentation());
    }
    let docs = docs::gather(returns);
    let pieces = match command.output.outputter {
        None => vec![Piece::Plain(docs::text(&docs))],
        Some(_) => docs
            .into_iter()
            .map(|(name, text)| Piece::Shown(Map::from([(name, text)]).into(), String::new()))
            .collect(),
    };
    (pieces, Exit::default())
}

/// How it ends when nobody could be asked for documentation.
pub(super) fn no_documentation() -> Exit {
    let text = "No minions found to gather docs from\n";
    Exit::failed(EX_NO_RETURN, text.to_owned())
}

#[cfg(test)]
mod tests {
    use salt_proto::{Functions, MinionId};

    use super::*;

    fn command(words: &[&str]) -> Command {
        let words = words.iter().map(|word| (*word).to_owned());
        Command::read(words, || Ok(String::new())).unwrap()
    }

    fn jid() -> Jid {
        "20261122031709740546".parse().unwrap()
    }

    fn ret(id: &str, code: i64) -> Return {
        let id = MinionId::parse(id).unwrap();
        Return::new(id, jid(), Functions::from("cmd.run"), "").with_retcode(code)
    }

    /// The plain pieces of a run, and its end.
    fn run(words: &[&str], returns: Vec<Return>, missing: &[&str]) -> (String, Exit) {
        let command = command(words);
        let (mut report, header) = Report::new(&command, jid());
        let mut pieces: Vec<Piece> = header.into_iter().collect();
        pieces.extend(returns.into_iter().filter_map(|ret| report.returned(ret)));
        pieces.extend(
            missing
                .iter()
                .filter_map(|id| report.missing((*id).to_owned())),
        );
        let (last, exit) = report.end();
        pieces.extend(last);
        let text = pieces
            .into_iter()
            .map(|piece| match piece {
                Piece::Plain(text) => text,
                Piece::Shown(value, out) => format!("<{out}|{value}>\n"),
            })
            .collect();
        (text, exit)
    }

    // Recorded from Salt 3008.3: `salt '*' cmd.run 'exit 3' -v --summary`.
    #[test]
    fn the_summary_counts_and_names() {
        let words = ["*", "cmd.run", "exit 3", "-v", "--summary"];
        let (text, exit) = run(&words, vec![ret("web2", 3), ret("web1", 0)], &["web9"]);

        let tail = text.split_once("\n\n\n").unwrap().1;
        assert_eq!(
            tail,
            "-------------------------------------------\n\
             Summary\n\
             -------------------------------------------\n\
             # of minions targeted: 3\n\
             # of minions returned: 2\n\
             # of minions that did not return: 1\n\
             # of minions with errors: 1\n\
             Minions not responding: web9\n\
             Minions with failures: web2\n\
             -------------------------------------------\n"
        );
        assert_eq!(exit.status, 1);
        assert_eq!(
            exit.stderr,
            "ERROR: Minions returned with non-zero exit code\n"
        );
        assert!(text.starts_with(
            "Executing job with jid 20261122031709740546\n-------------------------------------------\n\n"
        ));
    }

    #[test]
    fn with_an_outputter_there_is_no_summary() {
        let words = ["*", "cmd.run", "x", "--summary", "--out", "json"];
        assert_eq!(
            run(&words, vec![ret("web1", 0)], &[]).0,
            "<|{'web1': ''}>\n"
        );
    }

    #[test]
    fn a_static_run_prints_once_and_fails_only_without_any_return() {
        let words = ["*", "cmd.run", "x", "-s", "-v"];
        let (text, exit) = run(&words, vec![ret("b", 3), ret("a", 0)], &["c"]);
        assert_eq!((text.as_str(), exit.status), ("<|{'b': '', 'a': ''}>\n", 0));

        let (text, exit) = run(&words, Vec::new(), &["c"]);
        assert_eq!((text.as_str(), exit), ("<|{}>\n", no_return()));
    }

    #[test]
    fn a_hidden_minion_counts_for_nothing() {
        let words = ["*", "cmd.run", "x", "--hide-timeout"];
        assert_eq!(
            run(&words, Vec::new(), &["c"]),
            (String::new(), Exit::default())
        );
    }

    #[test]
    fn a_missing_minion_is_told_how_to_find_it_later() {
        let (text, exit) = run(&["*", "cmd.run", "x"], Vec::new(), &["c"]);
        assert!(text.contains("Minion did not return. [No response]"));
        assert!(text.contains("salt-run jobs.lookup_jid 20261122031709740546"));
        assert_eq!(exit.status, 1);
    }
}
