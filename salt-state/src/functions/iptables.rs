//! `iptables.*`: the packet filter, through its own programs.

use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::{Context, MinionData};
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, Output, WriteOptions, errno_text};

use super::tool;

type Answer = Result<Value, CallError>;

/// Options that belong behind `--jump`, in the order Salt puts them there.
const OF_TARGETS: &[&str] = &[
    "add-set",
    "and-mark",
    "and-tos",
    "checksum-fill",
    "clamp-mss-to-pmtu",
    "clustermac",
    "ctevents",
    "ctmask",
    "del-set",
    "ecn-tcp-remove",
    "exist",
    "expevents",
    "gateway",
    "hash-init",
    "hashmode",
    "helper",
    "label",
    "local-node",
    "log-ip-options",
    "log-level",
    "log-prefix",
    "log-tcp-options",
    "log-tcp-sequence",
    "log-uid",
    "map-set",
    "mask",
    "mss",
    "new",
    "nfmask",
    "nflog-group",
    "nflog-prefix",
    "nflog-range",
    "nflog-threshold",
    "nodst",
    "notrack",
    "on-ip",
    "on-port",
    "or-mark",
    "or-tos",
    "persistent",
    "queue-balance",
    "queue-bypass",
    "queue-num",
    "random",
    "random-fully",
    "rateest-ewmalog",
    "rateest-interval",
    "rateest-name",
    "reject-with",
    "restore",
    "restore-mark",
    "sack-perm",
    "save-mark",
    "selctx",
    "set-class",
    "set-dscp",
    "set-dscp-class",
    "set-mark",
    "set-mss",
    "set-tos",
    "set-xmark",
    "strip-options",
    "timeout",
    "timestamp",
    "to",
    "to-destination",
    "to-ports",
    "to-source",
    "total-nodes",
    "tproxy-mark",
    "ttl-dec",
    "ttl-inc",
    "ttl-set",
    "type",
    "ulog-cprange",
    "ulog-nlgroup",
    "ulog-prefix",
    "ulog-qthreshold",
    "wscale",
    "xor-mark",
    "xor-tos",
    "zone",
    "zone-orig",
    "zone-reply",
    "dst-pfx",
    "hl-dec",
    "hl-inc",
    "hl-set",
    "hmark-dport-mask",
    "hmark-dst-prefix",
    "hmark-mod",
    "hmark-offset",
    "hmark-proto-mask",
    "hmark-rnd",
    "hmark-spi-mask",
    "hmark-sport-mask",
    "hmark-src-prefix",
    "hmark-tuple",
    "led-always-blink",
    "led-delay",
    "led-trigger-id",
    "queue-cpu-fanout",
    "src-pfx",
    "to-port",
    "ttl",
];

/// Keywords that are never part of a rule.
const NOT_OF_RULES: &[&str] = &[
    "name", "save", "state", "fun", "order", "table", "chain", "family", "command", "position",
    "full", "rules",
];

pub(super) fn register(registry: &mut Registry) {
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "iptables.version",
        "version(family='ipv4')",
        "The version of the program.",
        |args, context| {
            let output = ask(context.system, &family(args), &["--version"])?;
            let text = output.stdout_text();
            Ok(text.split_whitespace().nth(1).unwrap_or_default().into())
        },
    );
    add(
        "iptables.build_rule",
        "build_rule(table='filter', chain=None, command=None, position='', full=None, family='ipv4', **kwargs)",
        "Makes the text of a rule from its parts.",
        |args, context| {
            let rule = match rule(args.keywords()) {
                Ok(rule) => rule,
                Err(text) => return Ok(text.into()),
            };
            if !args.is_true("full") {
                return Ok(rule.into());
            }
            for (part, text) in [
                ("table", "Table"),
                ("chain", "Chain"),
                ("command", "Command"),
            ] {
                if !args.is_true(part) {
                    return Ok(format!("Error: {text} needs to be specified").into());
                }
            }
            let line = Line::of(args, args.text("command")?, rule);
            Ok(line.text(context.system)?.into())
        },
    );
    add(
        "iptables.get_saved_rules",
        "get_saved_rules(conf_file=None, family='ipv4')",
        "The rules of the file that is loaded at boot.",
        |args, context| Ok(parsed(&saved(args, context)?).into()),
    );
    add(
        "iptables.get_rules",
        "get_rules(family='ipv4')",
        "The rules that are in force.",
        |args, context| Ok(parsed(&dump(context.system, &family(args), None)?).into()),
    );
    add(
        "iptables.get_policy",
        "get_policy(table='filter', chain=None, family='ipv4')",
        "The policy of a chain.",
        |args, context| {
            if !args.is_true("chain") {
                return Ok(needs("Chain"));
            }
            let text = dump(context.system, &family(args), None)?;
            Ok(policy(&text, &args.text("table")?, &args.text("chain")?).into())
        },
    );
    add(
        "iptables.get_saved_policy",
        "get_saved_policy(table='filter', chain=None, conf_file=None, family='ipv4')",
        "The policy of a chain in the file that is loaded at boot.",
        |args, context| {
            if !args.is_true("chain") {
                return Ok(needs("Chain"));
            }
            let text = saved(args, context)?;
            Ok(policy(&text, &args.text("table")?, &args.text("chain")?).into())
        },
    );
    add(
        "iptables.set_policy",
        "set_policy(table='filter', chain=None, policy=None, family='ipv4')",
        "Sets the policy of a chain.",
        |args, context| {
            for (part, text) in [("chain", "Chain"), ("policy", "Policy")] {
                if !args.is_true(part) {
                    return Ok(needs(text));
                }
            }
            let words = ["-P".to_owned(), args.text("chain")?, args.text("policy")?];
            Ok(or_true(changed(args, context, &words)?))
        },
    );
    add(
        "iptables.save",
        "save(filename=None, family='ipv4')",
        "Writes the rules that are in force to the file that is loaded at boot.",
        |args, context| {
            let path = conf_file(
                args.optional_text("filename"),
                &family(args),
                context.minion,
            )?;
            Ok(save(context, &path, &family(args))?.into())
        },
    );
    add(
        "iptables.check",
        "check(table='filter', chain=None, rule=None, family='ipv4')",
        "Whether there is such a rule.",
        |args, context| {
            for (part, text) in [("chain", "Chain"), ("rule", "Rule")] {
                if !args.is_true(part) {
                    return Ok(needs(text));
                }
            }
            Ok(check(context.system, args, &args.text("rule")?)?.into())
        },
    );
    add(
        "iptables.check_chain",
        "check_chain(table='filter', chain=None, family='ipv4')",
        "Whether there is such a chain.",
        |args, context| {
            if !args.is_true("chain") {
                return Ok(needs("Chain"));
            }
            let table = args.text("table")?;
            Ok(has_chain(context.system, &table, &args.text("chain")?, &family(args))?.into())
        },
    );
    for (name, signature, doc, verb) in [
        (
            "iptables.new_chain",
            "new_chain(table='filter', chain=None, family='ipv4')",
            "Makes a chain.",
            (|args, context| on_chain(args, context, "-N")) as fn(&Args, &Context<'_>) -> Answer,
        ),
        (
            "iptables.delete_chain",
            "delete_chain(table='filter', chain=None, family='ipv4')",
            "Removes a chain.",
            |args, context| on_chain(args, context, "-X"),
        ),
    ] {
        add(name, signature, doc, verb);
    }
    add(
        "iptables.append",
        "append(table='filter', chain=None, rule=None, family='ipv4')",
        "Puts a rule at the end of a chain.",
        |args, context| {
            for (part, text) in [("chain", "Chain"), ("rule", "Rule")] {
                if !args.is_true(part) {
                    return Ok(needs(text));
                }
            }
            let rule = args.text("rule")?;
            if check(context.system, args, &rule)? {
                return Ok(false.into());
            }
            let mut words = vec!["-A".to_owned(), args.text("chain")?];
            words.extend(split_words(&rule)?);
            Ok(changed(args, context, &words)?.is_empty().into())
        },
    );
    add(
        "iptables.insert",
        "insert(table='filter', chain=None, position=None, rule=None, family='ipv4')",
        "Puts a rule at a place of a chain.",
        |args, context| {
            if !args.is_true("chain") {
                return Ok(needs("Chain"));
            }
            if !args.is_true("position") {
                return Ok("Error: Position needs to be specified or use append (-A)".into());
            }
            if !args.is_true("rule") {
                return Ok(needs("Rule"));
            }
            let (rule, chain) = (args.text("rule")?, args.text("chain")?);
            if check(context.system, args, &rule)? {
                return Ok(false.into());
            }
            let mut position = args.int("position")?;
            if position < 0 {
                let text = dump(context.system, &family(args), None)?;
                let count = count(&text, &args.text("table")?, &chain);
                position = (count + position + 1).max(1);
            }
            let mut words = vec!["-I".to_owned(), chain, position.to_string()];
            words.extend(split_words(&rule)?);
            Ok(changed(args, context, &words)?.into())
        },
    );
    add(
        "iptables.delete",
        "delete(table, chain=None, position=None, rule=None, family='ipv4')",
        "Removes a rule by its place or its text.",
        |args, context| {
            if args.is_true("position") && args.is_true("rule") {
                return Ok("Error: Only specify a position or a rule, not both".into());
            }
            let mut words = vec!["-D".to_owned(), args.text("chain")?];
            match args.given("position").filter(|at| at.is_true()) {
                Some(at) => words.push(python::str(at)),
                None => words.extend(split_words(
                    &args.optional_text("rule").unwrap_or_default(),
                )?),
            }
            Ok(changed(args, context, &words)?.into())
        },
    );
    add(
        "iptables.flush",
        "flush(table='filter', chain='', family='ipv4')",
        "Removes all rules of a chain or a table.",
        |args, context| {
            let mut words = vec!["-F".to_owned()];
            words.extend(
                args.optional_text("chain")
                    .filter(|chain| !chain.is_empty()),
            );
            Ok(changed(args, context, &words)?.into())
        },
    );
}

/// A rule as words.
fn split_words(rule: &str) -> Result<Vec<String>, CallError> {
    super::split_words(rule)
        .ok_or_else(|| CallError::exception("ValueError", "No closing quotation"))
}

fn needs(what: &str) -> Value {
    format!("Error: {what} needs to be specified").into()
}

fn io(error: &std::io::Error, path: &Path) -> CallError {
    CallError::execution(errno_text(error, Some(path)))
}

/// `ipv4` or `ipv6`, as the caller stated it.
pub(crate) fn family(args: &Args) -> String {
    args.optional_text("family")
        .unwrap_or_else(|| "ipv4".to_owned())
}

fn program(machine: &dyn Observe, family: &str, suffix: &str) -> Result<PathBuf, CallError> {
    let name = if family == "ipv6" {
        "ip6tables"
    } else {
        "iptables"
    };
    tool::program(machine, &format!("{name}{suffix}"))
}

fn ask(machine: &dyn Observe, family: &str, words: &[&str]) -> Result<Output, CallError> {
    let command = Command::new(program(machine, family, "")?).args(words);
    tool::ask(machine, &command)
}

/// Whether the program can wait for others that hold its lock.
fn waits(machine: &dyn Observe, family: &str) -> Result<bool, CallError> {
    Ok(ask(machine, family, &["--help"])?
        .stdout_text()
        .contains("--wait"))
}

/// What a command said, on either stream.
fn all(output: &Output) -> String {
    format!("{}{}", output.stdout_text(), output.stderr_text())
        .trim()
        .to_owned()
}

/// Runs a command on a table; what it says is an error.
fn changed(args: &Args, context: &Context<'_>, words: &[String]) -> Result<String, CallError> {
    let family = family(args);
    let mut command = Command::new(program(context.system, &family, "")?);
    if waits(context.system, &family)? {
        command = command.arg("--wait");
    }
    command = command
        .args(["-t".to_owned(), args.text("table")?])
        .args(words);
    Ok(all(&tool::run(context, &command)?))
}

/// Some functions return true for silence.
fn or_true(said: String) -> Value {
    if said.is_empty() {
        true.into()
    } else {
        said.into()
    }
}

fn on_chain(args: &Args, context: &Context<'_>, verb: &str) -> Answer {
    if !args.is_true("chain") {
        return Ok(needs("Chain"));
    }
    let words = [verb.to_owned(), args.text("chain")?];
    Ok(or_true(changed(args, context, &words)?))
}

/// Whether there is such a rule.
pub(crate) fn check(machine: &dyn Observe, args: &Args, rule: &str) -> Result<bool, CallError> {
    let command = Command::new(program(machine, &family(args), "")?)
        .args([
            "-t".to_owned(),
            args.text("table")?,
            "-C".to_owned(),
            args.text("chain")?,
        ])
        .args(split_words(rule)?);
    Ok(all(&tool::ask(machine, &command)?).is_empty())
}

/// The rules in the form of `iptables-save`, of one table or of all.
pub(crate) fn dump(
    machine: &dyn Observe,
    family: &str,
    table: Option<&str>,
) -> Result<String, CallError> {
    let mut command = Command::new(program(machine, family, "-save")?);
    if let Some(table) = table {
        command = command.args(["-t", table]);
    }
    Ok(tool::ask(machine, &command)?.stdout_text())
}

/// Whether a table has a chain.
pub(crate) fn has_chain(
    machine: &dyn Observe,
    table: &str,
    chain: &str,
    family: &str,
) -> Result<bool, CallError> {
    let start = format!(":{chain} ");
    Ok(dump(machine, family, Some(table))?
        .lines()
        .any(|line| line.starts_with(&start)))
}

/// The policy of a chain in a dump; `None` for a chain that is not there.
pub(crate) fn policy(dump: &str, table: &str, chain: &str) -> Option<String> {
    in_table(dump, table).find_map(|line| {
        let mut words = line.strip_prefix(':')?.split_whitespace();
        (words.next() == Some(chain)).then(|| words.next().unwrap_or_default().to_owned())
    })
}

fn in_table<'a>(dump: &'a str, table: &'a str) -> impl Iterator<Item = &'a str> {
    dump.lines()
        .skip_while(move |line| line.strip_prefix('*') != Some(table))
        .skip(1)
        .take_while(|line| !line.starts_with('*'))
}

fn count(dump: &str, table: &str, chain: &str) -> i64 {
    let start = format!("-A {chain} ");
    i64::try_from(
        in_table(dump, table)
            .filter(|line| line.starts_with(&start))
            .count(),
    )
    .unwrap_or(i64::MAX)
}

/// The rules of the file that is loaded at boot; none when it is missing.
fn saved(args: &Args, context: &Context<'_>) -> Result<String, CallError> {
    let path = conf_file(
        args.optional_text("conf_file"),
        &family(args),
        context.minion,
    )?;
    let text = context.system.text(&path);
    Ok(text.map_err(|error| io(&error, &path))?.unwrap_or_default())
}

/// The file that is loaded at boot.
///
/// # Errors
///
/// For systems of which Salt knows none.
pub(crate) fn conf_file(
    stated: Option<String>,
    family: &str,
    minion: &MinionData,
) -> Result<PathBuf, CallError> {
    if let Some(path) = stated {
        return Ok(PathBuf::from(path));
    }
    let v6 = family == "ipv6";
    let path = match minion.grains.str("os_family").unwrap_or_default() {
        "RedHat" if v6 => "/etc/sysconfig/ip6tables",
        "RedHat" => "/etc/sysconfig/iptables",
        "Arch" if v6 => "/etc/iptables/ip6tables.rules",
        "Arch" => "/etc/iptables/iptables.rules",
        "Debian" if v6 => "/etc/iptables/rules.v6",
        "Debian" => "/etc/iptables/rules.v4",
        "Gentoo" if v6 => "/var/lib/ip6tables/rules-save",
        "Gentoo" => "/var/lib/iptables/rules-save",
        "Suse" => "/etc/sysconfig/scripts/SuSEfirewall2-custom",
        "Void" if v6 => "/etc/iptables/ip6tables.rules",
        "Void" => "/etc/iptables/iptables.rules",
        os => {
            return Err(CallError::exception(
                "salt.exceptions.SaltException",
                format!(
                    "Saving iptables to file is not supported on {os}. Please file an issue with SaltStack"
                ),
            ));
        }
    };
    Ok(PathBuf::from(path))
}

/// Writes the rules in force to a file and says so.
///
/// # Errors
///
/// When they cannot be asked for or written.
pub(crate) fn save(context: &Context<'_>, path: &Path, family: &str) -> Result<String, CallError> {
    if let Some(parent) = path.parent() {
        context
            .system
            .create_dir_all(parent, 0o755)
            .map_err(|error| io(&error, parent))?;
    }
    let rules = tool::run(
        context,
        &Command::new(program(context.system, family, "-save")?),
    )?;
    let text = rules.stdout_text().trim_end().to_owned() + "\n";
    context
        .system
        .write(path, text.as_bytes(), &WriteOptions::new())
        .map_err(|error| io(&error, path))?;
    Ok(format!("Wrote 1 lines to \"{}\"", path.display()))
}

/// The policies and rules of a dump by table and chain, each option with its words.
pub(crate) fn parsed(dump: &str) -> Map {
    let mut tables = Map::new();
    let mut table = String::new();
    for line in dump.lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
            tables.insert(name, Map::new());
            continue;
        }
        let Some(chains) = tables.get_mut(&table).and_then(Value::as_map_mut) else {
            continue;
        };
        if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            let name = words.next().unwrap_or_default();
            let policy = words.next().unwrap_or_default();
            let counters = words.next().unwrap_or_default();
            let counters = counters.trim_matches(['[', ']']);
            let (packets, bytes) = counters.split_once(':').unwrap_or(("0", "0"));
            let mut entry = Map::from([("policy", policy)]);
            entry.insert("packet count", packets);
            entry.insert("byte count", bytes);
            entry.insert("rules", Value::List(Vec::new()));
            entry.insert("rules_comment", Map::new());
            chains.insert(name, entry);
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let Ok(words) = split_words(rule) else {
                continue;
            };
            let Some((chain, words)) = words.split_first() else {
                continue;
            };
            let (entry, comment) = parsed_rule(words);
            let Some(chain) = chains.get_mut(chain).and_then(Value::as_map_mut) else {
                continue;
            };
            if let Some(comment) = comment
                && let Some(comments) = chain.get_mut("rules_comment").and_then(Value::as_map_mut)
            {
                comments.insert(comment, entry.clone());
            }
            if let Some(Value::List(rules)) = chain.get_mut("rules") {
                rules.push(entry.into());
            }
        }
    }
    tables
}

fn parsed_rule(words: &[String]) -> (Map, Option<String>) {
    let mut entry = Map::new();
    let mut comment = None;
    let (mut option, mut negated) = (String::new(), false);
    for word in words {
        let name = word
            .strip_prefix("--")
            .or_else(|| word.strip_prefix('-').filter(|name| name.len() == 1));
        if let Some(name) = name {
            option = match name {
                "p" => "protocol",
                "m" => "match",
                "s" => "source",
                "d" => "destination",
                "i" => "in_interface",
                "o" => "out_interface",
                "j" => "jump",
                "g" => "goto",
                "dport" => "destination_port",
                "sport" => "source_port",
                "dports" => "destination_ports",
                "sports" => "source_ports",
                other => other,
            }
            .replace('-', "_");
            if entry.get(&option).is_none() {
                entry.insert(option.as_str(), Value::List(Vec::new()));
            }
            if negated && let Some(Value::List(items)) = entry.get_mut(&option) {
                items.push("!".into());
            }
            negated = false;
        } else if word == "!" {
            negated = true;
        } else if let Some(Value::List(items)) = entry.get_mut(&option) {
            if option == "comment" {
                comment = Some(word.clone());
            }
            items.push(word.as_str().into());
        }
    }
    (entry, comment)
}

/// A whole command line.
pub(crate) struct Line {
    table: String,
    chain: String,
    family: String,
    command: String,
    position: String,
    rule: String,
}

impl Line {
    /// The line that does `command` with a rule, from a caller's arguments.
    pub(crate) fn of(args: &Args, command: impl Into<String>, rule: String) -> Self {
        let part = |name| {
            args.given(name)
                .filter(|value| value.is_true())
                .map(python::str)
                .unwrap_or_default()
        };
        Self {
            table: part("table"),
            chain: part("chain"),
            family: family(args),
            command: command.into(),
            position: part("position"),
            rule,
        }
    }

    /// As it would be typed.
    ///
    /// # Errors
    ///
    /// When the program is not installed.
    pub(crate) fn text(&self, machine: &dyn Observe) -> Result<String, CallError> {
        let program = program(machine, &self.family, "")?;
        let wait = if waits(machine, &self.family)? {
            "--wait"
        } else {
            ""
        };
        let dashes = if self.command.len() == 1 { "-" } else { "--" };
        Ok(format!(
            "{} {wait} -t {} {dashes}{} {} {} {}",
            program.display(),
            self.table,
            self.command,
            self.chain,
            self.position,
            self.rule
        ))
    }
}

/// Takes the mark of negation off: `!x`, `! x` and `not x` are `! ` and `x`.
fn negated(value: &str) -> (&'static str, &str) {
    match value
        .strip_prefix('!')
        .or_else(|| value.strip_prefix("not "))
    {
        Some(rest) => ("! ", rest.trim()),
        None => ("", value),
    }
}

/// The text of a rule from its parts.
///
/// # Errors
///
/// What is wrong with them, in Salt's words.
pub(crate) fn rule(parts: &Map) -> Result<String, String> {
    let mut left = parts.clone();
    left.retain(|key, _| {
        let key = key.as_str().unwrap_or_default();
        !key.starts_with("__") && !NOT_OF_RULES.contains(&key)
    });
    let mut rule: Vec<String> = Vec::new();
    let mut plain = |rule: &mut Vec<String>, name: &str, option: &str| {
        if let Some(value) = left.remove(name) {
            let text = python::str(&value);
            let (not, text) = negated(&text);
            rule.push(format!("{not}{option} {text}"));
        }
    };
    plain(&mut rule, "if", "-i");
    plain(&mut rule, "of", "-o");
    let has_protocol = parts.contains_key("proto") || parts.contains_key("protocol");
    if parts.contains_key("proto") {
        plain(&mut rule, "proto", "-p");
        left.remove("protocol");
    } else {
        plain(&mut rule, "protocol", "-p");
    }
    let matches = match left.remove("match") {
        None => Vec::new(),
        Some(Value::List(items)) => items.iter().map(python::str).collect(),
        Some(one) => python::str(&one).split(',').map(str::to_owned).collect(),
    };
    let named = |name: &str| matches.iter().any(|known| known == name);
    rule.extend(matches.iter().map(|name| format!("-m {name}")));
    if let Some(sets) = left.remove("match-set") {
        let sets = match sets {
            Value::List(items) => items,
            one => vec![one],
        };
        for set in sets {
            let text = python::str(&set);
            let (not, text) = negated(&text);
            rule.push(format!("-m set {not}--match-set {text}"));
        }
    }
    if let Some(states) = left.remove("connstate") {
        if !named("state") {
            rule.push("-m state".to_owned());
        }
        let text = python::str(&states);
        let (not, text) = negated(&text);
        rule.push(format!("{not}--state {text}"));
    }
    for name in ["dport", "sport"] {
        if let Some(port) = left.remove(name) {
            let text = python::str(&port);
            let (not, text) = negated(&text);
            rule.push(format!("{not}--{name} {text}"));
        }
    }
    let mut multiport = named("multiport");
    for name in ["dports", "sports"] {
        let Some(ports) = left.remove(name) else {
            continue;
        };
        if !has_protocol {
            return Err("Error: protocol must be specified".to_owned());
        }
        if !multiport {
            rule.push("-m multiport".to_owned());
            multiport = true;
        }
        let text = match &ports {
            Value::List(items) => items.iter().map(python::str).collect::<Vec<_>>().join(","),
            one => python::str(one),
        };
        let (not, text) = negated(&text);
        rule.push(format!("{not}--{name} {text}"));
    }
    if let Some(comment) = left.remove("comment") {
        if !named("comment") {
            rule.push("-m comment".to_owned());
        }
        rule.push(format!("--comment \"{}\"", python::str(&comment)));
    }
    if let Some(set) = left.remove("set") {
        let text = python::str(&set);
        let (not, text) = negated(&text);
        rule.push(if set.is_true() {
            format!("{not}--match-set {text}")
        } else {
            "--set".to_owned()
        });
    }
    let mut behind = Vec::new();
    if let Some(target) = left.remove("jump") {
        behind.push(("jump", target));
    }
    for name in OF_TARGETS {
        if let Some(value) = left.remove(name) {
            behind.push((name, value));
        }
    }
    for (name, value) in &left {
        let name = python::str(name);
        let dashes = if name.len() == 1 { "-" } else { "--" };
        let text = if value.is_null() {
            String::new()
        } else {
            python::str(value)
        };
        let (not, text) = negated(&text);
        rule.push(format!("{not}{dashes}{name} {text}").trim_end().to_owned());
    }
    for (name, value) in behind {
        let text = if value.is_null() {
            String::new()
        } else {
            python::str(&value)
        };
        rule.push(if name != "jump" && text.contains(' ') {
            format!("--{name} \"{text}\"")
        } else {
            format!("--{name} {text}").trim_end().to_owned()
        });
    }
    Ok(rule.join(" "))
}
