//! `disk.status`: how full a file system is.

use std::path::Path;

use salt_proto::Value;

use crate::args::Args;
use crate::plan::Plan;
use crate::python;
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::errno_text;

type Answer = Result<Plan, CallError>;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "disk.status",
        "status(name, maximum=None, minimum=None, absolute=False, free=False)",
        "Whether the use of a file system is within bounds: percent, or with absolute\n\
         kilobytes; with free, of what is left.",
        status,
    );
}

/// A bound as a number; the complaint when it is none, or no percentage.
fn bound(args: &Args, key: &str, absolute: bool) -> Result<Option<i64>, String> {
    let Some(value) = args.given(key) else {
        return Ok(None);
    };
    let text = python::str(value);
    let digits = match text.strip_suffix('%') {
        Some(digits) if !absolute => digits,
        _ => text.as_str(),
    };
    let number: i64 = match value {
        Value::Int(number) => *number,
        _ => digits
            .trim()
            .parse()
            .map_err(|_| format!("{key} must be an integer "))?,
    };
    if !absolute && !(0..=100).contains(&number) {
        return Err(format!("{key} must be in the range [0, 100] "));
    }
    Ok(Some(number))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a percentage with one digit behind the point"
)]
fn status(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let (absolute, free) = (args.is_true("absolute"), args.is_true("free"));
    let bounds = ["minimum", "maximum"].map(|key| bound(args, key, absolute));
    let complaints: Vec<&str> = bounds
        .iter()
        .filter_map(|bound| bound.as_ref().err().map(String::as_str))
        .collect();
    if !complaints.is_empty() {
        return Ok(Plan::fail(complaints.concat()));
    }
    let [minimum, maximum] = bounds.map(Result::unwrap_or_default);
    if minimum
        .zip(maximum)
        .is_some_and(|(minimum, maximum)| minimum >= maximum)
    {
        return Ok(Plan::fail("minimum must be less than maximum "));
    }
    let path = Path::new(&name);
    if !check.system.is_dir(path) {
        return Ok(Plan::fail(format!(
            "Disk mount {name} not present. Directory {name} does not exist or is not a directory"
        )));
    }
    let usage = check
        .system
        .filesystem(path)
        .map_err(|error| CallError::execution(errno_text(&error, Some(path))))?;
    let used = usage
        .blocks
        .saturating_sub(usage.blocks_free)
        .saturating_mul(usage.block_size);
    let left = usage.available();
    let percent = match used.saturating_add(left) {
        0 => 0.0,
        both => (used as f64 / both as f64 * 1000.0).round() / 10.0,
    };
    let (amount, text) = match (absolute, free) {
        (true, _) => {
            let kilobytes = if free { left } else { used } >> 10;
            (kilobytes as f64, kilobytes.to_string())
        }
        (false, false) => (percent, python::float(percent)),
        (false, true) => (100.0 - percent, python::float(100.0 - percent)),
    };
    let unit = if absolute { "KB" } else { "%" };
    let what = if free { "available" } else { "used" };
    for (bound, outside, word) in [
        (
            minimum,
            minimum.is_some_and(|it| amount < it as f64),
            "below minimum",
        ),
        (
            maximum,
            maximum.is_some_and(|it| amount > it as f64),
            "above maximum",
        ),
    ] {
        if let Some(bound) = bound.filter(|_| outside) {
            return Ok(Plan::fail(format!(
                "Disk {what} space is {word} of {bound} {unit} at {text} {unit}"
            )));
        }
    }
    Ok(Plan::unchanged("Disk used space in acceptable range"))
}

#[cfg(test)]
mod tests {
    use salt_proto::{Map, Value};

    use super::*;
    use crate::context::{Context, MinionData};
    use crate::system::FakeSystem;

    /// Half of the blocks of the fake are free.
    fn said(named: &[(&str, Value)]) -> (Option<bool>, Value) {
        let (registry, minion) = (Registry::builtin(), MinionData::default());
        let machine = FakeSystem::new().directory("/srv");
        let context = Context::new(&registry, &machine, &minion);
        let low = Map::new();
        let check = Check::new(&context, &low, false);
        let mut args = Args::new().keyword("name", "/srv");
        for (key, value) in named {
            args = args.keyword(key, value.clone());
        }
        let plan = registry.check("disk.status", &args, &check).unwrap();
        (plan.result, plan.comment)
    }

    #[test]
    fn bounds_are_kept_or_not_in_the_words_of_salt() {
        let fine = (Some(true), "Disk used space in acceptable range".into());
        assert_eq!(said(&[]), fine);
        assert_eq!(said(&[("maximum", "90%".into())]), fine);
        for (named, text) in [
            (
                vec![("minimum", Value::from("99%"))],
                "Disk used space is below minimum of 99 % at 50.0 %",
            ),
            (
                vec![("maximum", 1.into()), ("free", true.into())],
                "Disk available space is above maximum of 1 % at 50.0 %",
            ),
            (
                vec![("maximum", 10.into()), ("absolute", true.into())],
                "Disk used space is above maximum of 10 KB at 2097152 KB",
            ),
            (vec![("maximum", "x".into())], "maximum must be an integer "),
            (
                vec![("maximum", 101.into())],
                "maximum must be in the range [0, 100] ",
            ),
            (
                vec![("minimum", 50.into()), ("maximum", 20.into())],
                "minimum must be less than maximum ",
            ),
        ] {
            assert_eq!(said(&named), (Some(false), text.into()), "{named:?}");
        }
    }
}
