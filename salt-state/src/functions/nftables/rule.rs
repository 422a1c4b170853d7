//! Rules of nft out of the keywords that states and iptables users know.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::python;
use crate::registry::{CallError, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "nftables.build_rule",
        "build_rule(table=None, chain=None, command=None, position='', full=None, family='ipv4', **kwargs)",
        "A rule out of keywords.",
        |args: &Args, _: &Context<'_>| {
            let family = args.optional_text("family").unwrap_or_default();
            let rule = build(&args.clean_keywords(), &family)?;
            let comment = if rule.is_empty() {
                ""
            } else {
                "Successfully built rule"
            };
            Ok(Map::from([
                ("comment", Value::from(comment)),
                ("rule", rule.into()),
                ("result", true.into()),
            ])
            .into())
        },
    );
}

/// The rule that keywords describe; empty for none.
pub(crate) fn build(words: &Map, family: &str) -> Result<String, CallError> {
    let given = |name: &str| words.get(name).map(python::str);
    let mut rule: Vec<String> = Vec::new();
    for (name, phrase) in [("if", "meta iifname"), ("of", "meta oifname")] {
        if let Some(value) = given(name) {
            rule.push(format!("{phrase} {value}"));
        }
    }
    let proto = given("proto").filter(|proto| !proto.is_empty());
    if proto.as_deref() == Some("icmp")
        && let Some(kind) = given("icmp-type")
    {
        rule.push(format!("icmp type {{ {kind} }}"));
    }
    if let Some(states) = words.get("connstate") {
        rule.push(format!("ct state {{ {} }}", python::str(states)));
    }
    let address = if family == "ipv6" { "ip6" } else { "ip" };
    for (name, side) in [("source", "saddr"), ("destination", "daddr")] {
        if let Some(value) = given(name) {
            rule.push(format!("{address} {side} {value}"));
        }
    }
    let proto = proto.unwrap_or_default();
    for (name, side) in [("dport", "dport"), ("sport", "sport")] {
        if let Some(ports) = given(name) {
            let ports = ports.replace(':', "-");
            rule.push(format!("{proto} {side} {{ {ports} }}"));
        }
    }
    for (name, side) in [("dports", "dport"), ("sports", "sport")] {
        if let Some(ports) = words.get(name) {
            rule.push(format!("{proto} {side} {{ {} }}", ports_of(ports)?));
        }
    }
    if let Some(counter) = words.get("counter")
        && counter.is_true()
    {
        rule.push("counter".to_owned());
    }
    let target = given("jump").or_else(|| given("target"));
    if let Some(target) = target {
        rule.push(target);
    }
    for (name, phrase) in [
        ("to-port", "redirect to "),
        ("to-ports", "--to-ports "),
        ("to-destination", ""),
        ("to-source", ""),
        ("reject-with", "reject with "),
    ] {
        if let Some(value) = given(name) {
            rule.push(format!("{phrase}{value}"));
        }
    }
    Ok(rule.join(" "))
}

/// Several ports, the largest first as Salt has them; a list counts as well.
fn ports_of(ports: &Value) -> Result<String, CallError> {
    let texts: Vec<String> = match ports {
        Value::List(ports) => ports.iter().map(python::str).collect(),
        other => python::str(other)
            .split(',')
            .map(|port| port.trim().to_owned())
            .collect(),
    };
    let mut numbers = Vec::new();
    for text in texts {
        let number: u32 = text.parse().map_err(|_| {
            let text = python::repr_str(&text);
            CallError::exception(
                "ValueError",
                format!("invalid literal for int() with base 10: {text}"),
            )
        })?;
        numbers.push(number);
    }
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let texts: Vec<String> = numbers.iter().map(u32::to_string).collect();
    Ok(texts.join(", "))
}

/// A rule in the form in which two ways to write it are one: nft shows sets of one member
/// without braces, puts names in quotes, sorts members and counts packets.
pub(super) fn normal(rule: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut set: Option<Vec<String>> = None;
    let spaced = rule
        .replace('{', " { ")
        .replace('}', " } ")
        .replace(',', " , ");
    let mut letters = spaced.split_whitespace().peekable();
    while let Some(word) = letters.next() {
        let word = word.trim_matches('"');
        match (word, &mut set) {
            ("{", _) => set = Some(Vec::new()),
            ("}", Some(members)) => {
                members.sort();
                let text = members.join(",");
                words.push(if members.len() > 1 {
                    format!("{{{text}}}")
                } else {
                    text
                });
                set = None;
            }
            (",", _) => {}
            (_, Some(members)) => members.push(word.to_owned()),
            ("meta", None) if matches!(letters.peek(), Some(&"iifname" | &"oifname")) => {}
            ("packets" | "bytes", None) if words.iter().any(|word| word == "counter") => {
                letters.next();
            }
            (_, None) => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nft_shows_is_what_was_asked_for() {
        for (asked, shown) in [
            ("tcp dport { 22 } accept", "tcp dport 22 accept"),
            ("meta iifname lo accept", "iifname \"lo\" accept"),
            (
                "tcp dport { 80,443 } accept",
                "tcp dport { 80, 443 } accept",
            ),
            (
                "ct state { related,established } accept",
                "ct state { established, related } accept",
            ),
            (
                "meta oifname eth0 counter accept",
                "oifname \"eth0\" counter packets 0 bytes 0 accept",
            ),
        ] {
            assert_eq!(normal(asked), normal(shown), "{asked}");
        }
        assert_ne!(normal("tcp dport 22 accept"), normal("tcp dport 22 drop"));
    }
}
