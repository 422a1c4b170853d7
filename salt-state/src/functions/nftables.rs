//! `nftables.*`: the packet filter, through `nft`.

use std::path::Path;

use salt_proto::{Map, Value};

use super::tool;
use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::system::{Command, Observe, WriteOptions};

type Answer = Result<Value, CallError>;

mod rule;

pub(crate) use rule::build;

/// Where rules are saved unless somebody says so.
const SAVED: &str = "/etc/nftables";

pub(super) fn register(registry: &mut Registry) {
    rule::register(registry);
    let add = &mut |name, signature, doc, function: fn(&Args, &Context<'_>) -> Answer| {
        registry.add(name, signature, doc, function);
    };
    add(
        "nftables.version",
        "version()",
        "The version of nft.",
        |_, context| {
            let output = tool::ask(context.system, &nft(context.system, ["--version"]))?;
            let text = output.stdout_text();
            Ok(text
                .split_whitespace()
                .nth(1)
                .map_or(Value::Null, Value::from))
        },
    );
    add(
        "nftables.list_tables",
        "list_tables(family='ipv4')",
        "The tables of a family.",
        |args, context| Ok(tables(context.system, family(args)?)?.into_iter().collect()),
    );
    add(
        "nftables.get_rules",
        "get_rules(family='ipv4')",
        "The rules of a family, table by table.",
        |args, context| Ok(rules(context.system, family(args)?)?.into_iter().collect()),
    );
    add(
        "nftables.get_rules_json",
        "get_rules_json(family='ipv4')",
        "The rules of a family as data.",
        |args, context| {
            Ok(ruleset(context.system, family(args)?)?
                .into_iter()
                .collect())
        },
    );
    add(
        "nftables.get_saved_rules",
        "get_saved_rules(conf_file=None)",
        "The lines of a file with rules, without comments.",
        saved_rules,
    );
    add(
        "nftables.save",
        "save(filename=None, family='ipv4')",
        "Saves the rules of all families.",
        |args, context| Ok(save(context, args.optional_text("filename").as_deref())?.into()),
    );
    add(
        "nftables.check_table",
        "check_table(table=None, family='ipv4')",
        "Whether there is a table.",
        |args, context| Ok(check_table(context.system, &Spot::of(args)?)?.into_value()),
    );
    add(
        "nftables.check_chain",
        "check_chain(table='filter', chain=None, family='ipv4')",
        "Whether there is a chain.",
        |args, context| Ok(check_chain(context.system, &Spot::of(args)?)?.into_value()),
    );
    add(
        "nftables.check",
        "check(table='filter', chain=None, rule=None, family='ipv4')",
        "Whether there is a rule.",
        |args, context| {
            let rule = args.optional_text("rule");
            Ok(check(context.system, &Spot::of(args)?, rule.as_deref())?.into_value())
        },
    );
    add(
        "nftables.get_rule_handle",
        "get_rule_handle(table='filter', chain=None, rule=None, family='ipv4')",
        "The number of a rule.",
        |args, context| {
            let spot = Spot::of(args)?;
            let rule = args.optional_text("rule");
            match handle(context.system, &spot, rule.as_deref())? {
                Ok(handle) => {
                    Ok(
                        Map::from([("result", Value::from(true)), ("handle", handle.into())])
                            .into(),
                    )
                }
                Err(said) => Ok(said.into_value()),
            }
        },
    );
    add(
        "nftables.new_table",
        "new_table(table, family='ipv4')",
        "Makes a table.",
        |args, context| Ok(new_table(context, &Spot::of(args)?)?.into_value()),
    );
    add(
        "nftables.delete_table",
        "delete_table(table, family='ipv4')",
        "Removes a table.",
        |args, context| Ok(delete_table(context, &Spot::of(args)?)?.into_value()),
    );
    add(
        "nftables.new_chain",
        "new_chain(table='filter', chain=None, table_type=None, hook=None, priority=None, family='ipv4')",
        "Makes a chain.",
        |args, context| Ok(new_chain(context, &Spot::of(args)?, args)?.into_value()),
    );
    add(
        "nftables.delete_chain",
        "delete_chain(table='filter', chain=None, family='ipv4')",
        "Removes a chain.",
        |args, context| Ok(delete_chain(context, &Spot::of(args)?)?.into_value()),
    );
    add(
        "nftables.append",
        "append(table='filter', chain=None, rule=None, family='ipv4')",
        "Adds a rule behind the others.",
        |args, context| added(args, context, "add"),
    );
    add(
        "nftables.insert",
        "insert(table='filter', chain=None, position=None, rule=None, family='ipv4')",
        "Adds a rule before the others, or at a position.",
        |args, context| added(args, context, "insert"),
    );
    add(
        "nftables.delete",
        "delete(table, chain=None, position=None, rule=None, family='ipv4')",
        "Removes a rule, by its number or as it is written.",
        |args, context| {
            let (rule, position) = (args.optional_text("rule"), args.optional_text("position"));
            let spot = Spot::of(args)?;
            Ok(delete_rule(context, &spot, position.as_deref(), rule.as_deref())?.into_value())
        },
    );
    add(
        "nftables.flush",
        "flush(table='filter', chain='', family='ipv4')",
        "Removes the rules of a table or of one chain.",
        |args, context| Ok(flush(context, &Spot::of(args)?)?.into_value()),
    );
    add(
        "nftables.get_policy",
        "get_policy(table='filter', chain=None, family='ipv4')",
        "What becomes of packets that no rule of a chain matches.",
        |args, context| {
            let spot = Spot::of(args)?;
            Ok(match &spot.chain {
                None => "Error: Chain needs to be specified".into(),
                Some(_) => base(context.system, &spot)?
                    .and_then(|chain| chain.get("policy").cloned())
                    .unwrap_or_default(),
            })
        },
    );
    add(
        "nftables.set_policy",
        "set_policy(table='filter', chain=None, policy=None, family='ipv4')",
        "Says what becomes of packets that no rule of a chain matches.",
        |args, context| {
            let spot = Spot::of(args)?;
            let error = match (&spot.chain, args.given("policy")) {
                (None, _) => "Error: Chain needs to be specified",
                (_, None) => "Error: Policy needs to be specified",
                (_, Some(policy)) => {
                    return Ok(set_policy(context, &spot, &python::str(policy))?.into());
                }
            };
            Ok(error.into())
        },
    );
}

fn nft<I: IntoIterator<Item: Into<std::ffi::OsString>>>(
    machine: &dyn Observe,
    words: I,
) -> Command {
    tool::named(machine, "nft").args(words)
}

fn added(args: &Args, context: &Context<'_>, verb: &str) -> Answer {
    let (rule, position) = (args.optional_text("rule"), args.optional_text("position"));
    let spot = Spot::of(args)?;
    let said = add_rule(context, verb, &spot, position.as_deref(), rule.as_deref())?;
    Ok(said.into_value())
}

/// nft's own name for a family.
fn protocol(family: &str) -> Result<&'static str, CallError> {
    Ok(match family {
        "ipv4" | "ip4" | "ip" => "ip",
        "ipv6" | "ip6" => "ip6",
        "inet" => "inet",
        "arp" => "arp",
        "bridge" => "bridge",
        "netdev" => "netdev",
        other => return Err(CallError::exception("KeyError", python::repr_str(other))),
    })
}

fn family(args: &Args) -> Result<&'static str, CallError> {
    protocol(
        &args
            .optional_text("family")
            .unwrap_or_else(|| "ipv4".to_owned()),
    )
}

/// Where something is: a family, a table, a chain.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    /// The family as it was written.
    pub(crate) family: String,
    protocol: &'static str,
    pub(crate) table: Option<String>,
    pub(crate) chain: Option<String>,
}

impl Spot {
    /// Out of `family`, `table` and `chain`.
    pub(crate) fn of(args: &Args) -> Result<Self, CallError> {
        let text = |name: &str| args.optional_text(name).filter(|text| !text.is_empty());
        Ok(Self {
            family: text("family").unwrap_or_else(|| "ipv4".to_owned()),
            protocol: family(args)?,
            table: text("table"),
            chain: text("chain"),
        })
    }

    fn table(&self) -> &str {
        self.table.as_deref().unwrap_or_default()
    }

    fn chain(&self) -> &str {
        self.chain.as_deref().unwrap_or_default()
    }

    fn in_table(&self) -> String {
        format!("table {} in family {}", self.table(), self.family)
    }
}

/// An answer of Salt's functions: whether, and what there is to say.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) result: bool,
    pub(crate) comment: String,
}

impl Said {
    fn new(result: bool, comment: impl Into<String>) -> Self {
        Self {
            result,
            comment: comment.into(),
        }
    }

    fn into_value(self) -> Value {
        Map::from([
            ("comment", Value::from(self.comment)),
            ("result", self.result.into()),
        ])
        .into()
    }
}

fn json(text: &str) -> Result<Vec<Value>, CallError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let value = crate::render::json::parse(text, 0)
        .map_err(|error| CallError::execution(error.message))?
        .to_value();
    let list = value.get("nftables").and_then(Value::as_list);
    Ok(list.map(<[Value]>::to_vec).unwrap_or_default())
}

const NUMERIC: [&str; 3] = ["--numeric"; 3];

/// Everything of a family as data.
fn ruleset(machine: &dyn Observe, protocol: &str) -> Result<Vec<Value>, CallError> {
    let command = nft(machine, NUMERIC).args(["--json", "list", "ruleset", protocol]);
    json(&tool::ask(machine, &command)?.stdout_text())
}

fn tables(machine: &dyn Observe, protocol: &str) -> Result<Vec<Value>, CallError> {
    let command = nft(machine, ["--json"])
        .args(NUMERIC)
        .args(["list", "tables", protocol]);
    let all = json(&tool::ask(machine, &command)?.stdout_text())?;
    Ok(all
        .iter()
        .filter_map(|one| one.get("table").cloned())
        .collect())
}

fn rules(machine: &dyn Observe, protocol: &str) -> Result<Vec<String>, CallError> {
    let mut all = Vec::new();
    for table in tables(machine, protocol)? {
        let Some(name) = table.get("name").and_then(Value::as_str) else {
            continue;
        };
        let command = nft(machine, NUMERIC).args(["list", "table", protocol, name]);
        let text = tool::ask(machine, &command)?.stdout_text();
        all.push(text.trim_end().to_owned());
    }
    Ok(all)
}

/// Saves the rules of all families; what was written.
pub(crate) fn save(context: &Context<'_>, path: Option<&str>) -> Result<String, CallError> {
    let mut text = "#! nft -f\n\n".to_owned();
    for protocol in ["ip", "ip6", "inet", "arp", "bridge", "netdev"] {
        for table in rules(context.system, protocol)? {
            text.push_str(&table);
            text.push('\n');
        }
    }
    let path = Path::new(path.unwrap_or(SAVED));
    context
        .system
        .write(path, text.as_bytes(), &WriteOptions::new())?;
    Ok(text)
}

fn saved_rules(args: &Args, context: &Context<'_>) -> Answer {
    let path = args
        .optional_text("conf_file")
        .unwrap_or_else(|| SAVED.to_owned());
    let text = context.system.text(Path::new(&path))?.ok_or_else(|| {
        CallError::exception(
            "FileNotFoundError",
            format!("[Errno 2] No such file or directory: '{path}'"),
        )
    })?;
    Ok(text
        .split_inclusive('\n')
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .map(str::to_owned)
        .collect())
}

/// Whether there is the table.
pub(crate) fn check_table(machine: &dyn Observe, spot: &Spot) -> Result<Said, CallError> {
    if spot.table.is_none() {
        return Ok(Said::new(false, "Table needs to be specified"));
    }
    let command = nft(machine, ["list", "tables", spot.protocol]);
    let text = tool::ask(machine, &command)?.stdout_text();
    let line = format!("table {} {}", spot.protocol, spot.table());
    let found = text.lines().any(|one| one.trim() == line);
    let verb = if found { "exists" } else { "does not exist" };
    let (table, family) = (spot.table(), &spot.family);
    Ok(Said::new(
        found,
        format!("Table {table} in family {family} {verb}"),
    ))
}

/// Whether there is the chain.
pub(crate) fn check_chain(machine: &dyn Observe, spot: &Spot) -> Result<Said, CallError> {
    if spot.table.is_none() {
        return Ok(Said::new(false, "Table needs to be specified"));
    }
    if spot.chain.is_none() {
        return Ok(Said::new(false, "Chain needs to be specified"));
    }
    let command = nft(machine, ["list", "table", spot.protocol, spot.table()]);
    let text = tool::ask(machine, &command)?.stdout_text();
    let line = format!("chain {} {{", spot.chain());
    let found = text.lines().any(|one| one.trim() == line);
    let verb = if found { "exists" } else { "does not exist" };
    let place = spot.in_table();
    Ok(Said::new(
        found,
        format!("Chain {} in {place} {verb}", spot.chain()),
    ))
}

/// Whether the table and the chain are there; what is missing otherwise.
fn located(machine: &dyn Observe, spot: &Spot) -> Result<Option<Said>, CallError> {
    if spot.table.is_none() {
        return Ok(Some(Said::new(false, "Table needs to be specified")));
    }
    if spot.chain.is_none() {
        return Ok(Some(Said::new(false, "Chain needs to be specified")));
    }
    let table = check_table(machine, spot)?;
    if !table.result {
        return Ok(Some(table));
    }
    let chain = check_chain(machine, spot)?;
    Ok((!chain.result).then_some(chain))
}

/// The line of a chain that is the rule, with its number.
fn find(machine: &dyn Observe, spot: &Spot, rule: &str) -> Result<Option<String>, CallError> {
    let words = [
        "--handle",
        "list",
        "chain",
        spot.protocol,
        spot.table(),
        spot.chain(),
    ];
    let text = tool::ask(machine, &nft(machine, words))?.stdout_text();
    let wanted = rule::normal(rule);
    Ok(text.lines().find_map(|line| {
        let (line, handle) = line.rsplit_once("# handle ")?;
        (rule::normal(line) == wanted).then(|| handle.trim().to_owned())
    }))
}

/// Whether there is the rule.
pub(crate) fn check(
    machine: &dyn Observe,
    spot: &Spot,
    rule: Option<&str>,
) -> Result<Said, CallError> {
    if spot.chain.is_none() {
        return Ok(Said::new(false, "Chain needs to be specified"));
    }
    let Some(rule) = rule else {
        return Ok(Said::new(false, "Rule needs to be specified"));
    };
    if let Some(missing) = located(machine, spot)? {
        return Ok(missing);
    }
    let found = find(machine, spot, rule)?.is_some();
    let verb = if found { "exists" } else { "does not exist" };
    let text = format!(
        "Rule {rule} in chain {} in {} {verb}",
        spot.chain(),
        spot.in_table()
    );
    Ok(Said::new(found, text))
}

/// The number of a rule, or why there is none.
fn handle(
    machine: &dyn Observe,
    spot: &Spot,
    rule: Option<&str>,
) -> Result<Result<String, Said>, CallError> {
    let said = check(machine, spot, rule)?;
    if !said.result {
        return Ok(Err(said));
    }
    Ok(find(machine, spot, rule.unwrap_or_default())?.ok_or(said))
}

fn done<I: IntoIterator<Item: Into<std::ffi::OsString>>>(
    context: &Context<'_>,
    words: I,
) -> Result<bool, CallError> {
    Ok(tool::run(context, &nft(context.system, words))?.is_success())
}

/// Makes the table.
pub(crate) fn new_table(context: &Context<'_>, spot: &Spot) -> Result<Said, CallError> {
    let said = check_table(context.system, spot)?;
    if said.result || spot.table.is_none() {
        return Ok(said);
    }
    let (table, family) = (spot.table(), &spot.family);
    Ok(if done(context, ["add", "table", spot.protocol, table])? {
        Said::new(true, format!("Table {table} in family {family} created"))
    } else {
        Said::new(
            false,
            format!("Table {table} in family {family} could not be created"),
        )
    })
}

/// Removes the table.
pub(crate) fn delete_table(context: &Context<'_>, spot: &Spot) -> Result<Said, CallError> {
    let said = check_table(context.system, spot)?;
    if !said.result {
        return Ok(said);
    }
    let (table, family) = (spot.table(), &spot.family);
    Ok(
        if done(context, ["delete", "table", spot.protocol, table])? {
            Said::new(true, format!("Table {table} in family {family} deleted"))
        } else {
            Said::new(
                false,
                format!("Table {table} in family {family} could not be deleted"),
            )
        },
    )
}

/// Makes the chain, as a base chain where type, hook and priority are stated.
pub(crate) fn new_chain(
    context: &Context<'_>,
    spot: &Spot,
    args: &Args,
) -> Result<Said, CallError> {
    if spot.chain.is_none() {
        return Ok(Said::new(false, "Chain needs to be specified"));
    }
    let table = check_table(context.system, spot)?;
    if !table.result {
        return Ok(table);
    }
    let place = spot.in_table();
    if check_chain(context.system, spot)?.result {
        let text = format!("Chain {} in {place} already exists", spot.chain());
        return Ok(Said::new(false, text));
    }
    let text = |name: &str| args.optional_text(name);
    let mut words: Vec<String> = [
        "--",
        "add",
        "chain",
        spot.protocol,
        spot.table(),
        spot.chain(),
    ]
    .map(str::to_owned)
    .to_vec();
    match (text("table_type"), text("hook"), text("priority")) {
        (None, None, None) => {}
        (Some(kind), Some(hook), Some(priority)) => {
            let base = [
                "{",
                "type",
                &kind,
                "hook",
                &hook,
                "priority",
                &format!("{priority};"),
                "}",
            ]
            .map(str::to_owned);
            words.extend(base);
        }
        _ => return Ok(Said::new(false, "Table_type, hook, and priority required.")),
    }
    Ok(if done(context, words)? {
        Said::new(true, format!("Chain {} in {place} created", spot.chain()))
    } else {
        Said::new(
            false,
            format!("Chain {} in {place} could not be created", spot.chain()),
        )
    })
}

/// Removes the chain.
pub(crate) fn delete_chain(context: &Context<'_>, spot: &Spot) -> Result<Said, CallError> {
    if let Some(missing) = located(context.system, spot)? {
        return Ok(missing);
    }
    let (place, chain) = (spot.in_table(), spot.chain());
    Ok(
        if done(
            context,
            ["delete", "chain", spot.protocol, spot.table(), chain],
        )? {
            Said::new(true, format!("Chain {chain} in {place} deleted"))
        } else {
            Said::new(
                false,
                format!("Chain {chain} in {place} could not be deleted"),
            )
        },
    )
}

/// Adds the rule: `add` behind the others, `insert` before them or at a position.
pub(crate) fn add_rule(
    context: &Context<'_>,
    verb: &str,
    spot: &Spot,
    position: Option<&str>,
    rule: Option<&str>,
) -> Result<Said, CallError> {
    let rule = match (&spot.chain, rule) {
        (Some(_), Some(rule)) if spot.table.is_some() => rule,
        (None, _) => return Ok(Said::new(false, "Chain needs to be specified")),
        (_, None) => return Ok(Said::new(false, "Rule needs to be specified")),
        _ => return Ok(Said::new(false, "Table needs to be specified")),
    };
    if let Some(missing) = located(context.system, spot)? {
        return Ok(missing);
    }
    let (place, chain) = (spot.in_table(), spot.chain());
    if find(context.system, spot, rule)?.is_some() {
        let text = format!("Rule {rule} chain {chain} in {place} already exists");
        return Ok(Said::new(false, text));
    }
    let mut words = vec![verb, "rule", spot.protocol, spot.table(), chain];
    if let Some(position) = position.filter(|position| *position != "0") {
        words.extend(["position", position]);
    }
    words.extend(rule.split_whitespace());
    Ok(if done(context, words)? {
        Said::new(
            true,
            format!("Added rule \"{rule}\" chain {chain} in {place}."),
        )
    } else {
        Said::new(
            false,
            format!("Failed to add rule \"{rule}\" chain {chain} in {place}."),
        )
    })
}

/// Removes the rule.
pub(crate) fn delete_rule(
    context: &Context<'_>,
    spot: &Spot,
    position: Option<&str>,
    rule: Option<&str>,
) -> Result<Said, CallError> {
    if position.is_some() && rule.is_some() {
        return Ok(Said::new(
            false,
            "Only specify a position or a rule, not both",
        ));
    }
    let (place, chain) = (spot.in_table(), spot.chain());
    let table = check_table(context.system, spot)?;
    if !table.result {
        return Ok(table);
    }
    let chain_there = check_chain(context.system, spot)?;
    if !chain_there.result {
        return Ok(chain_there);
    }
    let number = match (position, rule) {
        (Some(position), _) => position.to_owned(),
        (None, Some(rule)) => match find(context.system, spot, rule)? {
            Some(number) => number,
            None => {
                let text = format!("Rule {rule} chain {chain} in {place} does not exist");
                return Ok(Said::new(false, text));
            }
        },
        (None, None) => return Ok(Said::new(false, "Rule needs to be specified")),
    };
    let words = [
        "delete",
        "rule",
        spot.protocol,
        spot.table(),
        chain,
        "handle",
        &number,
    ];
    let shown = rule.unwrap_or("None");
    Ok(if done(context, words)? {
        Said::new(
            true,
            format!("Deleted rule \"{shown}\" in chain {chain} in {place}."),
        )
    } else {
        let text = format!(
            "Failed to delete rule \"{shown}\" in chain {chain}  table {} in family {}",
            spot.table(),
            spot.family
        );
        Said::new(false, text)
    })
}

/// Removes the rules of the table, or of the chain.
pub(crate) fn flush(context: &Context<'_>, spot: &Spot) -> Result<Said, CallError> {
    let table = check_table(context.system, spot)?;
    if !table.result {
        return Ok(table);
    }
    let place = spot.in_table();
    let Some(chain) = &spot.chain else {
        let result = done(context, ["flush", "table", spot.protocol, spot.table()])?;
        let text = if result {
            format!("Flushed rules from {place}.")
        } else {
            format!("Failed to flush rules from {place}.")
        };
        return Ok(Said::new(result, text));
    };
    let there = check_chain(context.system, spot)?;
    if !there.result {
        return Ok(there);
    }
    let result = done(
        context,
        ["flush", "chain", spot.protocol, spot.table(), chain],
    )?;
    let verb = if result { "Flushed" } else { "Failed to flush" };
    Ok(Said::new(
        result,
        format!("{verb} rules from chain {chain} in {place}."),
    ))
}

/// The chain as data, where it is a base chain.
fn base(machine: &dyn Observe, spot: &Spot) -> Result<Option<Map>, CallError> {
    let is_it = |chain: &Value| {
        let text = |key: &str| {
            chain
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        text("table") == spot.table() && text("name") == spot.chain() && chain.get("hook").is_some()
    };
    Ok(ruleset(machine, spot.protocol)?
        .iter()
        .filter_map(|one| one.get("chain"))
        .find(|chain| is_it(chain))
        .and_then(Value::as_map)
        .cloned())
}

/// The policy of the chain.
pub(crate) fn policy(machine: &dyn Observe, spot: &Spot) -> Result<Option<String>, CallError> {
    let chain = base(machine, spot)?;
    Ok(chain.and_then(|chain| chain.str("policy").map(str::to_owned)))
}

/// Sets the policy of the chain; whether that worked.
pub(crate) fn set_policy(
    context: &Context<'_>,
    spot: &Spot,
    policy: &str,
) -> Result<bool, CallError> {
    let Some(chain) = base(context.system, spot)? else {
        return Ok(false);
    };
    let part = |key: &str| chain.get(key).map(python::str).unwrap_or_default();
    let text = format!(
        "{{ type {} hook {} priority {}; policy {policy}; }}",
        part("type"),
        part("hook"),
        part("prio")
    );
    done(
        context,
        [
            "add",
            "chain",
            spot.protocol,
            spot.table(),
            spot.chain(),
            &text,
        ],
    )
}
