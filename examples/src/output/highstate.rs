//! The outputter of state runs: each state, and a summary.

use std::collections::BTreeMap;

use salt_proto::{Map, Value};
use salt_state::python;

use super::{Style, nested};

const GREEN: &str = "0;32";
const CYAN: &str = "0;36";
const RED: &str = "0;31";
const YELLOW: &str = "0;1;33";
const LIGHT_RED: &str = "0;1;31";

/// How much of a state run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// All of every state.
    #[default]
    Full,
    /// A line for every state.
    Terse,
    /// All of those that failed, a line for the others.
    Mixed,
    /// All of those that failed or changed something, a line for the others.
    Changes,
}

/// What is shown of state runs (`state_output` and its kin).
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the settings are independent switches"
)]
pub struct States {
    /// How much of each; `state_output`.
    pub detail: Detail,
    /// Call states by their ID alone (`full_id`, `terse_id`, …).
    pub by_id: bool,
    /// Show those without changes too; `state_verbose`. Default yes.
    pub verbose: bool,
    /// The summary has percentages; `state_output_pct`.
    pub percent: bool,
    /// Show when each began and how long it took; `state_output_profile`. Default yes.
    pub profile: bool,
    /// The lines of [`Detail::Terse`] in columns; `state_tabular`.
    pub tabular: bool,
}

impl Default for States {
    fn default() -> Self {
        Self {
            detail: Detail::Full,
            by_id: false,
            verbose: true,
            percent: false,
            profile: true,
            tabular: false,
        }
    }
}

impl States {
    /// What a configuration says.
    pub fn of(config: &Map) -> Self {
        let mut this = Self::default();
        if let Some(output) = config.str("state_output") {
            this = this.with_output(output);
        }
        let stated = |key: &str, usual: bool| config.get(key).map_or(usual, Value::is_true);
        this.verbose = stated("state_verbose", true) && !stated("state_output_diff", false);
        this.percent = stated("state_output_pct", false);
        this.profile = stated("state_output_profile", true);
        this.tabular = stated("state_tabular", false);
        this
    }

    /// The same with another `state_output`: `full`, `terse`, `mixed` or `changes`, with `_id` behind it or not.
    #[must_use]
    pub fn with_output(mut self, output: &str) -> Self {
        let first = output
            .split(',')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase();
        let (name, by_id) = match first.strip_suffix("_id") {
            Some(name) => (name, true),
            None => (first.as_str(), false),
        };
        self.by_id = by_id;
        self.detail = match name {
            "terse" => Detail::Terse,
            "mixed" => Detail::Mixed,
            "changes" => Detail::Changes,
            _ => Detail::Full,
        };
        self
    }
}

pub(super) fn show(value: &Value, style: Style) -> String {
    let Value::Map(hosts) = value else {
        return nested::show(value, style);
    };
    let shown: Vec<String> = hosts
        .iter()
        .map(|(host, data)| one_host(&python::str(host), data, style).0)
        .collect();
    shown.join("\n")
}

/// A host's run, and whether it changed anything.
fn one_host(host: &str, data: &Value, style: Style) -> (String, bool) {
    let paint = |code: &str, text: &str| paint(style.color, code, text);
    match data {
        Value::Map(entries) => run(host, entries, style),
        Value::List(errors) => {
            let mut lines = vec![
                paint(LIGHT_RED, &format!("{host}:")),
                format!("    {}", paint(LIGHT_RED, "Data failed to compile:")),
            ];
            for error in errors {
                lines.push(paint(
                    LIGHT_RED,
                    &format!("----------\n    {}", python::str(error)),
                ));
            }
            (lines.join("\n"), true)
        }
        other => {
            let head = paint(CYAN, &format!("{host}:"));
            (
                format!(
                    "{head}\n{}",
                    paint(GREEN, &format!("    {}", python::str(other)))
                ),
                true,
            )
        }
    }
}

#[derive(Default)]
struct Counts {
    succeeded: usize,
    failed: usize,
    unchanged: usize,
    changed: usize,
    warnings: usize,
    total: usize,
    millis: f64,
}

fn run(host: &str, entries: &Map, style: Style) -> (String, bool) {
    let mut sorted: BTreeMap<(i64, usize), (Vec<String>, &Map)> = BTreeMap::new();
    for (at, (tag, entry)) in entries.iter().enumerate() {
        let parts: Vec<String> = python::str(tag).split("_|-").map(str::to_owned).collect();
        if let (Value::Map(entry), 4) = (entry, parts.len()) {
            let number = entry
                .get("__run_num__")
                .and_then(Value::as_int)
                .unwrap_or(0);
            sorted.insert((number, at), (parts, entry));
        }
    }
    let filled = |value: &Value| value.as_map().is_some_and(|map| !map.is_empty());
    if sorted.is_empty() && entries.iter().any(|(_, value)| filled(value)) {
        // Data of states that did not run: `state.show_highstate` and the like.
        let whole = Value::Map(Map::from([(host, entries.clone())]));
        return (nested::show(&whole, style), true);
    }
    let mut counts = Counts::default();
    let mut head = GREEN;
    let mut shown = String::new();
    for (parts, entry) in sorted.values() {
        counts.total += 1;
        counts.millis += entry.get("duration").map_or(0.0, float);
        let (changed, changes) = changes_of(entry, style);
        counts.changed += usize::from(changed);
        let result = entry.get("result").unwrap_or(&Value::Null);
        let color = if result.is_null() {
            counts.unchanged += 1;
            head = YELLOW;
            YELLOW
        } else if result.is_true() {
            counts.succeeded += 1;
            if changed { CYAN } else { GREEN }
        } else {
            counts.failed += 1;
            head = RED;
            RED
        };
        let states = style.states;
        if !states.verbose && !changed && result.is_true() {
            continue;
        }
        let terse = match states.detail {
            Detail::Full => false,
            Detail::Terse => true,
            Detail::Mixed => result.is_null() || result.is_true(),
            Detail::Changes => result.is_true() && !changed,
        };
        shown.push('\n');
        if terse {
            shown.push_str(&line(parts, entry, result, changed, color, style));
        } else {
            let warned = entry.get("warnings").is_some_and(Value::is_true);
            counts.warnings += usize::from(warned);
            shown.push_str(&full(parts, entry, result, &changes, color, style));
        }
    }
    let title = paint(style.color, head, &format!("{host}:"));
    let changed = counts.changed > 0;
    (
        format!("{title}{shown}\n{}", summary(host, &counts, style)),
        changed,
    )
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Float(x) => *x,
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
        Value::Int(n) => *n as f64,
        other => python::str(other)
            .trim_end_matches(" ms")
            .parse()
            .unwrap_or(0.0),
    }
}

fn paint(color: bool, code: &str, text: &str) -> String {
    if color {
        format!("\u{1b}[{code}m{text}\u{1b}[0;0m")
    } else {
        text.to_owned()
    }
}

/// Whether there are changes, and how they look.
fn changes_of(entry: &Map, style: Style) -> (bool, String) {
    let Some(changes) = entry.get("changes").filter(|changes| changes.is_true()) else {
        return (false, String::new());
    };
    if changes.get("out").and_then(Value::as_str) == Some("highstate")
        && let Some(Value::Map(hosts)) = changes.get("ret")
    {
        let mut text = String::new();
        let mut changed = false;
        for (host, data) in hosts {
            let (inner, inner_changed) = one_host(&python::str(host), data, style);
            changed |= inner_changed;
            text.push('\n');
            let lines: Vec<String> = inner
                .split('\n')
                .map(|line| format!("{:14}{line}", ""))
                .collect();
            text.push_str(&lines.join("\n"));
        }
        return (changed, text);
    }
    let style = Style {
        indent: Some(14),
        ..style
    };
    (true, format!("\n{}", nested::show(changes, style)))
}

fn full(
    parts: &[String],
    entry: &Map,
    result: &Value,
    changes: &str,
    color: &str,
    style: Style,
) -> String {
    let paint = |text: &str| paint(style.color, color, text);
    let [state, id, name, function] = parts else {
        return String::new();
    };
    let mut lines = vec![
        paint("----------"),
        format!("    {}", paint(&format!("      ID: {id}"))),
        format!("    {}", paint(&format!("Function: {state}.{function}"))),
    ];
    if id != name && !style.states.by_id {
        lines.push(format!("    {}", paint(&format!("    Name: {name}"))));
    }
    lines.push(format!(
        "    {}",
        paint(&format!("  Result: {}", python::str(result)))
    ));
    let comment = entry.get("comment").map(python::str).unwrap_or_default();
    let comment = comment.trim().replace('\n', &format!("\n{:14}", ""));
    lines.push(format!("    {}", paint(&format!(" Comment: {comment}"))));
    if style.states.profile {
        if let Some(start) = entry.get("start_time") {
            lines.push(format!(
                "    {}",
                paint(&format!(" Started: {}", python::str(start)))
            ));
        }
        if let Some(duration) = entry.get("duration") {
            lines.push(format!(
                "    {}",
                paint(&format!("Duration: {} ms", python::str(duration)))
            ));
        }
    }
    lines.push(paint(&format!("     Changes:   {changes}")));
    let warnings = warnings(entry);
    if !warnings.is_empty() {
        let text = format!(" Warnings: {}", warnings.join(" ").replace('\n', " "));
        lines.push(format!("   {}", self::paint(style.color, LIGHT_RED, &text)));
    }
    lines.join("\n")
}

fn warnings(entry: &Map) -> Vec<String> {
    match entry.get("warnings") {
        Some(Value::List(all)) => all.iter().map(python::str).collect(),
        _ => Vec::new(),
    }
}

/// A state in one line.
fn line(
    parts: &[String],
    entry: &Map,
    result: &Value,
    changed: bool,
    color: &str,
    style: Style,
) -> String {
    let [state, id, name, function] = parts else {
        return String::new();
    };
    let name = if style.states.by_id { id } else { name };
    let word = match (result, changed) {
        (Value::Null, _) => "Differs",
        (result, false) if result.is_true() => "Clean",
        (result, true) if result.is_true() => "Changed",
        _ => "Failed",
    };
    let start = entry
        .get("start_time")
        .map(python::str)
        .filter(|_| style.states.profile);
    let duration = entry.get("duration").map(python::str).unwrap_or_default();
    let text = if style.states.tabular {
        let when = start
            .map(|start| format!("{start} [{duration:>7} ms] "))
            .unwrap_or_default();
        format!("{when}{state:>10}.{function:<10} {word:<7}   Name: {name}")
    } else {
        let when = start
            .map(|start| format!(" - Started: {start} - Duration: {duration} ms"))
            .unwrap_or_default();
        format!(" Name: {name} - Function: {state}.{function} - Result: {word}{when}")
    };
    let text = paint(style.color, color, &text);
    let warnings = warnings(entry);
    let before = match warnings.is_empty() {
        true => String::new(),
        false => {
            let end = if style.states.tabular { "\n" } else { "" };
            paint(
                style.color,
                LIGHT_RED,
                &format!("Warnings:\n{}", warnings.join("\n")),
            ) + end
        }
    };
    if style.states.tabular {
        format!("{before}{text}")
    } else {
        format!("{before} {text}")
    }
}

fn summary(host: &str, counts: &Counts, style: Style) -> String {
    let paint = |code: &str, text: &str| paint(style.color, code, text);
    let widest = match counts.total {
        0 => 0,
        _ => [counts.succeeded, counts.failed, counts.unchanged]
            .iter()
            .map(|n| n.to_string().len())
            .max()
            .unwrap_or(0),
    };
    // The longest label, a colon, a blank.
    let width = "Succeeded".len() + widest + 2;
    let row = |label: &str, value: &str| {
        let room = width.saturating_sub(label.len() + 2);
        format!("{label}: {value:>room$}")
    };
    let rule = "-".repeat(width);
    let succeeded = counts.succeeded + counts.unchanged;
    let mut lines = vec![paint(CYAN, &format!("\nSummary for {host}\n{rule}"))];
    let mut beside = Vec::new();
    if counts.unchanged > 0 {
        beside.push(paint(YELLOW, &format!("unchanged={}", counts.unchanged)));
    }
    if counts.changed > 0 {
        beside.push(paint(GREEN, &format!("changed={}", counts.changed)));
    }
    let beside = if beside.is_empty() {
        String::new()
    } else {
        format!(" ({})", beside.join(", "))
    };
    lines.push(paint(GREEN, &row("Succeeded", &succeeded.to_string())) + &beside);
    let failed = if counts.failed > 0 { RED } else { CYAN };
    lines.push(paint(failed, &row("Failed", &counts.failed.to_string())));
    if style.states.percent {
        let all = succeeded + counts.failed;
        lines.push(paint(GREEN, &row("Success %", &percent(succeeded, all))));
        lines.push(paint(
            failed,
            &row("Failure %", &percent(counts.failed, all)),
        ));
    }
    if counts.warnings > 0 {
        lines.push(paint(
            LIGHT_RED,
            &row("Warnings", &counts.warnings.to_string()),
        ));
    }
    let room = width.saturating_sub(7);
    lines.push(paint(
        CYAN,
        &format!("{rule}\nTotal states run: {:>room$}", counts.total),
    ));
    if style.states.profile {
        let room = width.saturating_sub(5);
        let (time, unit) = if counts.millis > 999.0 {
            (counts.millis / 1000.0, "s")
        } else {
            (counts.millis, "ms")
        };
        lines.push(paint(
            CYAN,
            &format!("Total run time: {time:>room$.3} {unit}"),
        ));
    }
    lines.join("\n")
}

/// A share of a hundred, with at most two digits behind the point, as Python prints it.
fn percent(part: usize, all: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "numbers of states")]
    let share = if all == 0 {
        0.0
    } else {
        part as f64 / all as f64 * 100.0
    };
    python::float((share * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by `salt.output.out_format` of Salt 3008.3.
    const GOLDENS: &str = include_str!("../../tests/vectors/highstate.json");

    #[test]
    fn state_runs_are_shown_as_salt_shows_them() {
        let goldens: serde_json::Value = serde_json::from_str(GOLDENS).unwrap();
        let mut wrong = Vec::new();
        let mut checked = 0;
        for case in goldens["cases"].as_array().unwrap() {
            let name = case["value"].as_str().unwrap();
            let value = crate::output::tests::value(&goldens["values"][name]);
            let Value::Map(options) = crate::output::tests::value(&case["opts"]) else {
                panic!("options are a mapping");
            };
            let style = Style {
                color: options.get("color").is_some_and(Value::is_true),
                indent: None,
                states: States::of(&options),
            };
            let shown = show(&Map::from([("local", value)]).into(), style);
            checked += 1;
            if shown != case["text"].as_str().unwrap() {
                wrong.push(format!(
                    "{name} {}\n{}\n--- not\n{shown}",
                    case["opts"],
                    case["text"].as_str().unwrap()
                ));
            }
        }
        println!("highstate goldens checked: {checked}");
        assert!(checked >= 60);
        assert!(
            wrong.is_empty(),
            "{} differ\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }
}
