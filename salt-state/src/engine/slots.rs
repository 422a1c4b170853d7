//! Slots: arguments that are the answer of an execution function, asked for right before
//! the state runs.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::Context;
use crate::registry::CallError;

const MARK: &str = "__slot__:salt:";

/// Replaces slots in a chunk: in texts, in the members of lists, and in the values of
/// mappings, one level deep.
///
/// # Errors
///
/// What the function reports, and arguments that are not of the form.
pub(super) fn fill(low: &mut Map, context: &Context<'_>) -> Result<(), CallError> {
    for (key, value) in low.iter_mut() {
        if key.as_str().is_some_and(|key| key.starts_with("__")) {
            continue;
        }
        match value {
            Value::Map(map) => fill_map(map, context)?,
            Value::List(_) => fill_list(value, context)?,
            other => fill_one(other, context)?,
        }
    }
    Ok(())
}

/// Replaces slots in the members of a list, and in the values of mappings in it.
pub(super) fn fill_list(value: &mut Value, context: &Context<'_>) -> Result<(), CallError> {
    if let Value::List(items) = value {
        for item in items {
            match item {
                Value::Map(map) => fill_map(map, context)?,
                other => fill_one(other, context)?,
            }
        }
    }
    Ok(())
}

/// Replaces slots in the values of a mapping.
pub(super) fn fill_map(map: &mut Map, context: &Context<'_>) -> Result<(), CallError> {
    for (_, value) in map.iter_mut() {
        fill_one(value, context)?;
    }
    Ok(())
}

fn fill_one(value: &mut Value, context: &Context<'_>) -> Result<(), CallError> {
    let Value::Str(text) = &*value else {
        return Ok(());
    };
    let Some(slot) = text.strip_prefix(MARK) else {
        return Ok(());
    };
    if let Some(answer) = answer(slot, context)? {
        *value = answer;
    }
    Ok(())
}

/// The answer of a slot; `None` when it has not the form of one or names an unknown
/// function, which leaves the text as it is.
fn answer(slot: &str, context: &Context<'_>) -> Result<Option<Value>, CallError> {
    let Some((function, rest)) = slot.split_once('(') else {
        return Ok(None);
    };
    let Some((inside, after)) = arguments(rest) else {
        return Ok(None);
    };
    let function = function.trim();
    if !context.registry.contains(function) {
        return Ok(None);
    }
    let args = read_arguments(inside)?;
    let mut answer = context.registry.call(function, &args, context)?;
    let (path, appended) = match after.split_once('~') {
        Some((path, text)) => (path, Some(text.trim())),
        None => (after, None),
    };
    if let Some(path) = path.trim().strip_prefix('.') {
        for step in path.split('.') {
            answer = answer.get(step).cloned().unwrap_or_default();
        }
    }
    if let (Some(text), Value::Str(answer)) = (appended, &mut answer) {
        answer.push_str(unquoted(text));
    }
    Ok(Some(answer))
}

fn unquoted(text: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
}

/// Splits at the parenthesis that closes the arguments.
fn arguments(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(letter),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')') if depth == 0 => {
                return Some((text.get(..at)?, text.get(at + 1..)?));
            }
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Arguments between commas: quotes keep blanks and commas, blanks outside of them
/// vanish, everything is text.
fn read_arguments(text: &str) -> Result<Args, CallError> {
    let mut args = Args::new();
    let (mut word, mut key, mut begun) = (String::new(), None::<String>, false);
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    let mut all: Vec<(Option<String>, String)> = Vec::new();
    for letter in text.chars() {
        if escaped {
            word.push(letter);
            escaped = false;
            continue;
        }
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => word.push(letter),
            (None, '"' | '\'') => {
                quote = Some(letter);
                begun = true;
            }
            (None, '\\') => escaped = true,
            (None, ' ' | '\t' | '\n' | '\r') => {}
            (None, ',') if depth == 0 => {
                all.push((key.take(), std::mem::take(&mut word)));
                begun = false;
            }
            // A second `=` starts over with what stands between as the name.
            (None, '=') if depth == 0 => {
                key = Some(std::mem::take(&mut word));
                begun = false;
            }
            (None, _) => {
                match letter {
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                word.push(letter);
            }
        }
    }
    if begun || !word.is_empty() || key.is_some() || !all.is_empty() {
        all.push((key, word));
    }
    for (key, word) in all {
        args = match key {
            // Quotes around nothing too.
            _ if word.is_empty() => return Err(CallError::exception("KeyError", "''")),
            Some(key) => args.keyword(&key, word),
            None => args.with(word),
        };
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MinionData;
    use crate::registry::Registry;
    use crate::system::FakeSystem;

    // Recorded from 3008.3.
    #[test]
    fn slots_are_read_as_salt_reads_them() {
        let registry = Registry::builtin();
        let (machine, minion) = (FakeSystem::new(), MinionData::default());
        let context = Context::new(&registry, &machine, &minion);
        for (slot, expected) in [
            ("test.echo(5)", "'5'"),
            (
                "test.arg(1, 2,a=3)",
                "{'args': ['1', '2'], 'kwargs': {'a': '3'}}",
            ),
            (
                "test.arg('a b', \"c,d\", k='x y')",
                "{'args': ['a b', 'c,d'], 'kwargs': {'k': 'x y'}}",
            ),
            ("test.arg(a b c)", "{'args': ['abc'], 'kwargs': {}}"),
            ("test.arg()", "{'args': [], 'kwargs': {}}"),
            (
                "test.arg(True,None,1.5,[1,2])",
                "{'args': ['True', 'None', '1.5', '[1,2]'], 'kwargs': {}}",
            ),
            ("test.arg(k=v).kwargs", "{'k': 'v'}"),
            ("test.arg(k=v).kwargs.nope.q", "None"),
            ("test.arg(k=v).kwargs.k ~ ' quoted '", "'v quoted '"),
            ("test.arg(k=v).kwargs.k~nospace", "'vnospace'"),
            ("test.arg(k=v", "'__slot__:salt:test.arg(k=v'"),
            ("test.false()", "False"),
            ("test.echo(a)b", "'a'"),
            (" test.echo(x)", "'x'"),
            ("test.arg(a=b=c)", "{'args': [], 'kwargs': {'b': 'c'}}"),
            ("test.echo(a(b)c)", "'a(b)c'"),
            ("test.echo('it''s')", "'its'"),
            ("test.arg('k=v')", "{'args': ['k=v'], 'kwargs': {}}"),
            ("nope.nope()", "'__slot__:salt:nope.nope()'"),
        ] {
            let mut low = Map::from([("v", format!("{MARK}{slot}"))]);
            fill(&mut low, &context).unwrap();
            let found = low.get("v").map(crate::python::repr).unwrap_or_default();
            assert_eq!(found, expected, "{slot}");
        }
    }
}
