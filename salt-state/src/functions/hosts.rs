//! `hosts.*`: the table of addresses and names in `/etc/hosts`.

use std::path::PathBuf;

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::{CallError, Registry};
use crate::system::{Observe, WriteOptions, errno_text};

type Answer = Result<Value, CallError>;

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "hosts.list_hosts",
        "list_hosts()",
        "The addresses with their names and comments.",
        |_, context| {
            let hosts = Hosts::read(context)?;
            let mut all = Map::new();
            for (ip, names) in hosts.addresses() {
                let mut entry = Map::from([("aliases", names.into_iter().collect::<Value>())]);
                if let Some(comment) = hosts.comment(&ip) {
                    entry.insert("comment", comment);
                }
                all.insert(ip, entry);
            }
            Ok(all.into())
        },
    );
    add(
        "hosts.get_ip",
        "get_ip(host)",
        "The first address of a name, empty text when there is none.",
        |args, context| {
            let host = args.text("host")?;
            let found = Hosts::read(context)?
                .addresses()
                .into_iter()
                .find(|(_, names)| names.contains(&host));
            Ok(found.map(|(ip, _)| ip).unwrap_or_default().into())
        },
    );
    add(
        "hosts.get_alias",
        "get_alias(ip)",
        "The names of an address.",
        |args, context| {
            let names = Hosts::read(context)?.names(&args.text("ip")?);
            Ok(names.into_iter().collect())
        },
    );
    add(
        "hosts.has_pair",
        "has_pair(ip, alias)",
        "Whether an address has a name.",
        |args, context| {
            let alias = args.text("alias")?;
            Ok(Hosts::read(context)?
                .names(&args.text("ip")?)
                .contains(&alias)
                .into())
        },
    );
    add(
        "hosts.set_host",
        "set_host(ip, alias, comment=None)",
        "Gives an address the names it shall have, and no others.",
        |args, context| {
            let mut hosts = Hosts::read(context)?;
            let comment = args.optional_text("comment");
            hosts.set(&args.text("ip")?, &args.text("alias")?, comment.as_deref());
            hosts.write(context)?;
            Ok(true.into())
        },
    );
    add(
        "hosts.add_host",
        "add_host(ip, alias)",
        "Gives an address a further name.",
        |args, context| {
            let mut hosts = Hosts::read(context)?;
            hosts.add(&args.text("ip")?, &args.text("alias")?);
            hosts.write(context)?;
            Ok(true.into())
        },
    );
    add(
        "hosts.rm_host",
        "rm_host(ip, alias)",
        "Takes a name from an address.",
        |args, context| {
            let mut hosts = Hosts::read(context)?;
            hosts.remove(&args.text("ip")?, &args.text("alias")?);
            hosts.write(context)?;
            Ok(true.into())
        },
    );
    add(
        "hosts.set_comment",
        "set_comment(ip, comment)",
        "Puts a comment behind the names of an address.",
        |args, context| {
            let mut hosts = Hosts::read(context)?;
            let set = hosts.set_comment(&args.text("ip")?, &args.text("comment")?);
            if set {
                hosts.write(context)?;
            }
            Ok(set.into())
        },
    );
}

/// The table, line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts {
    path: PathBuf,
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// An address with names, as it was written until it is changed.
    Entry {
        ip: String,
        names: Vec<String>,
        comment: Option<String>,
        text: Option<String>,
    },
    Other(String),
}

impl Line {
    fn parse(text: &str) -> Self {
        let (entry, comment) = match text.split_once('#') {
            Some((entry, comment)) => (entry, Some(comment.trim().to_owned())),
            None => (text, None),
        };
        let mut words = entry.split_whitespace().map(str::to_owned);
        let names = |words: &mut dyn Iterator<Item = String>| words.collect::<Vec<_>>();
        match words.next() {
            Some(ip) => {
                let names = names(&mut words);
                if names.is_empty() {
                    return Self::Other(text.to_owned());
                }
                Self::Entry {
                    ip,
                    names,
                    comment,
                    text: Some(text.to_owned()),
                }
            }
            None => Self::Other(text.to_owned()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Other(text)
            | Self::Entry {
                text: Some(text), ..
            } => text.clone(),
            Self::Entry {
                ip, names, comment, ..
            } => {
                let names = names.join(" ");
                match comment.as_deref().filter(|comment| !comment.is_empty()) {
                    Some(comment) => format!("{ip}\t\t{names}\t\t# {comment}"),
                    None => format!("{ip}\t\t{names}"),
                }
            }
        }
    }
}

impl Hosts {
    /// Reads the table; the setting `hosts.file` names another file.
    pub(crate) fn read(context: &Context<'_>) -> Result<Self, CallError> {
        Self::of(context.system, context.setting("hosts.file"))
    }

    /// Reads the table.
    pub(crate) fn of(machine: &dyn Observe, path: Option<&str>) -> Result<Self, CallError> {
        let path = PathBuf::from(path.unwrap_or("/etc/hosts"));
        let text = machine
            .text(&path)
            .map_err(|error| CallError::execution(errno_text(&error, Some(&path))))?
            .unwrap_or_default();
        Ok(Self {
            path,
            lines: text.lines().map(Line::parse).collect(),
        })
    }

    /// Writes the table.
    pub(crate) fn write(&self, context: &Context<'_>) -> Result<(), CallError> {
        let mut text: String = self
            .lines
            .iter()
            .map(|line| format!("{}\n", line.text()))
            .collect();
        if self.lines.is_empty() {
            text.clear();
        }
        let options = WriteOptions {
            follow: true,
            ..WriteOptions::new()
        };
        context
            .system
            .write(&self.path, text.as_bytes(), &options)
            .map_err(|error| CallError::execution(errno_text(&error, Some(&self.path))))
    }

    /// The addresses with their names, each address once.
    pub(crate) fn addresses(&self) -> Vec<(String, Vec<String>)> {
        let mut all: Vec<(String, Vec<String>)> = Vec::new();
        for line in &self.lines {
            if let Line::Entry { ip, names, .. } = line {
                match all.iter_mut().find(|(known, _)| known == ip) {
                    Some((_, known)) => known.extend(names.iter().cloned()),
                    None => all.push((ip.clone(), names.clone())),
                }
            }
        }
        all
    }

    /// The names of an address.
    pub(crate) fn names(&self, ip: &str) -> Vec<String> {
        self.addresses()
            .into_iter()
            .find(|(known, _)| known == ip)
            .map(|(_, names)| names)
            .unwrap_or_default()
    }

    /// The comment behind the names of an address.
    pub(crate) fn comment(&self, ip: &str) -> Option<&str> {
        self.lines.iter().rev().find_map(|line| match line {
            Line::Entry {
                ip: known,
                comment: Some(comment),
                ..
            } if known == ip && !comment.is_empty() => Some(comment.as_str()),
            _ => None,
        })
    }

    /// Gives an address exactly these names (several are separated by blanks); with no
    /// names the address leaves the table.
    pub(crate) fn set(&mut self, ip: &str, alias: &str, comment: Option<&str>) {
        let names: Vec<String> = alias.split_whitespace().map(str::to_owned).collect();
        let mut placed = names.is_empty();
        self.lines.retain_mut(|line| {
            let Line::Entry {
                ip: known,
                names: there,
                comment: said,
                text,
            } = line
            else {
                return true;
            };
            if known != ip {
                return true;
            }
            if placed {
                return false;
            }
            placed = true;
            there.clone_from(&names);
            *said = comment.map(str::to_owned);
            *text = None;
            true
        });
        if !placed {
            self.lines.push(Line::Entry {
                ip: ip.to_owned(),
                names,
                comment: comment.map(str::to_owned),
                text: None,
            });
        }
    }

    /// Gives an address a further name.
    pub(crate) fn add(&mut self, ip: &str, alias: &str) {
        for line in &mut self.lines {
            if let Line::Entry {
                ip: known,
                names,
                text,
                ..
            } = line
                && known == ip
            {
                if !names.iter().any(|name| name == alias) {
                    names.push(alias.to_owned());
                    *text = None;
                }
                return;
            }
        }
        self.lines.push(Line::Entry {
            ip: ip.to_owned(),
            names: vec![alias.to_owned()],
            comment: None,
            text: None,
        });
    }

    /// Takes a name from an address; an address without names leaves the table.
    pub(crate) fn remove(&mut self, ip: &str, alias: &str) {
        self.lines.retain_mut(|line| {
            let Line::Entry {
                ip: known,
                names,
                comment,
                text,
            } = line
            else {
                return true;
            };
            if known != ip || !names.iter().any(|name| name == alias) {
                return true;
            }
            names.retain(|name| name != alias);
            // Salt leaves one blank before the comment here.
            *text = comment
                .as_deref()
                .filter(|comment| !comment.is_empty())
                .map(|comment| format!("{ip}\t\t{} # {comment}", names.join(" ")));
            !names.is_empty()
        });
    }

    /// Puts a comment behind an address; false when the address is unknown.
    pub(crate) fn set_comment(&mut self, ip: &str, said: &str) -> bool {
        let mut found = false;
        for line in &mut self.lines {
            if let Line::Entry {
                ip: known,
                comment,
                text,
                ..
            } = line
                && known == ip
            {
                found = true;
                if comment.as_deref() != Some(said) {
                    *comment = Some(said.to_owned());
                    *text = None;
                }
            }
        }
        found
    }
}
