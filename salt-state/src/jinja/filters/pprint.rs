//! Python's `pprint.pformat`.

use crate::jinja::methods::lines;
use crate::jinja::value::{DictClass, Value, compare, repr_str};
use crate::jinja::{Result, Runtime, lexer};

const WIDTH: usize = 80;

/// Python's `pprint.pformat(value)`.
///
/// # Errors
/// Nesting too deep, or what an object raises.
pub(crate) fn pformat(rt: &Runtime<'_>, value: &Value) -> Result<String> {
    let mut printer = Printer {
        rt,
        out: String::new(),
        open: Vec::new(),
    };
    printer.format(value, 0, 0, 0)?;
    Ok(printer.out)
}

struct Printer<'r, 'e> {
    rt: &'r Runtime<'e>,
    out: String,
    open: Vec<usize>,
}

fn len(text: &str) -> usize {
    text.chars().count()
}

impl Printer<'_, '_> {
    fn format(
        &mut self,
        value: &Value,
        indent: usize,
        allowance: usize,
        level: usize,
    ) -> Result<()> {
        let _level = self.rt.enter()?;
        let text = short(self.rt, value, &mut self.open)?;
        self.rt.charge_bytes(text.len())?;
        if len(&text) <= WIDTH.saturating_sub(indent + allowance) {
            self.out.push_str(&text);
            return Ok(());
        }
        match value {
            Value::Str(string) if !string.is_markup() => {
                self.string(string, indent, allowance, level + 1);
            }
            Value::List(list) => {
                self.open.push(list.address());
                self.items(&list.to_vec(), ("[", "]"), indent, allowance, level + 1)?;
                self.open.pop();
            }
            Value::Tuple(items) => {
                let end = if items.len() == 1 { ",)" } else { ")" };
                self.items(items, ("(", end), indent, allowance, level + 1)?;
            }
            Value::Set(set) if !set.is_empty() => {
                let members = set.members().into_iter().map(|m| (m, Value::None));
                let members = sorted(members.collect()).into_iter().map(|(m, _)| m);
                let members: Vec<Value> = members.collect();
                let (start, end) = if set.is_frozen() {
                    ("frozenset({", "})")
                } else {
                    ("{", "}")
                };
                let more = len(start) - 1;
                self.items(&members, (start, end), indent + more, allowance, level + 1)?;
            }
            Value::Dict(dict) if dict.class() == DictClass::Ordered && !dict.is_empty() => {
                let name = "OrderedDict(";
                self.out.push_str(name);
                let entries = dict.entries().into_iter();
                let pairs = entries.map(|(k, v)| Value::tuple(vec![k, v])).collect();
                self.format(
                    &Value::list(pairs),
                    indent + len(name),
                    allowance + 1,
                    level + 1,
                )?;
                self.out.push(')');
            }
            Value::Dict(dict) if dict.class() == DictClass::Dict => {
                self.open.push(dict.address());
                self.dict(sorted(dict.entries()), indent, allowance, level + 1)?;
                self.open.pop();
            }
            _ => self.out.push_str(&text),
        }
        Ok(())
    }

    fn break_line(&mut self, indent: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    fn items(
        &mut self,
        items: &[Value],
        brackets: (&str, &str),
        indent: usize,
        allowance: usize,
        level: usize,
    ) -> Result<()> {
        self.out.push_str(brackets.0);
        let allowance = allowance + len(brackets.1);
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.out.push(',');
                self.break_line(indent + 1);
            }
            let last = at + 1 == items.len();
            self.format(item, indent + 1, if last { allowance } else { 1 }, level)?;
        }
        self.out.push_str(brackets.1);
        Ok(())
    }

    fn dict(
        &mut self,
        entries: Vec<(Value, Value)>,
        indent: usize,
        allowance: usize,
        level: usize,
    ) -> Result<()> {
        self.out.push('{');
        let count = entries.len();
        for (at, (key, value)) in entries.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
                self.break_line(indent + 1);
            }
            let key = short(self.rt, &key, &mut self.open)?;
            self.out.push_str(&key);
            self.out.push_str(": ");
            let last = at + 1 == count;
            let allowance = if last { allowance + 1 } else { 1 };
            self.format(&value, indent + 1 + len(&key) + 2, allowance, level)?;
        }
        self.out.push('}');
        Ok(())
    }

    /// Breaks a long string after its lines and words.
    fn string(&mut self, text: &str, indent: usize, allowance: usize, level: usize) {
        let (mut indent, mut allowance) = (indent, allowance);
        if level == 1 {
            indent += 1;
            allowance += 1;
        }
        let width = i64::try_from(WIDTH).unwrap_or(80) - i64::try_from(indent).unwrap_or(0);
        let allowance = i64::try_from(allowance).unwrap_or(0);
        let fits = |text: &str, width: i64| i64::try_from(len(text)).unwrap_or(0) <= width;
        let all = lines(text, true);
        let mut chunks = Vec::new();
        for (at, line) in all.iter().enumerate() {
            let last_line = at + 1 == all.len();
            let line_width = if last_line { width - allowance } else { width };
            let whole = repr_str(line);
            if fits(&whole, line_width) {
                chunks.push(whole);
                continue;
            }
            let words = words(line);
            let mut current = String::new();
            for (at, word) in words.iter().enumerate() {
                let last = last_line && at + 1 == words.len();
                let candidate = format!("{current}{word}");
                let width = if last { width - allowance } else { width };
                if fits(&repr_str(&candidate), width) {
                    current = candidate;
                } else {
                    if !current.is_empty() {
                        chunks.push(repr_str(&current));
                    }
                    (*word).clone_into(&mut current);
                }
            }
            if !current.is_empty() {
                chunks.push(repr_str(&current));
            }
        }
        if let [only] = chunks.as_slice() {
            self.out.push_str(only);
            return;
        }
        if level == 1 {
            self.out.push('(');
        }
        for (at, chunk) in chunks.iter().enumerate() {
            if at > 0 {
                self.break_line(indent);
            }
            self.out.push_str(chunk);
        }
        if level == 1 {
            self.out.push(')');
        }
    }
}

/// Words with the blanks after them.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let blank = rest.find(lexer::is_space).unwrap_or(rest.len());
        let tail = rest.get(blank..).unwrap_or("");
        let end = rest.len() - tail.trim_start_matches(lexer::is_space).len();
        let (word, tail) = rest.split_at(end);
        words.push(word);
        rest = tail;
    }
    words
}

/// The order of keys: their own, else that of their types' names.
fn order(a: &Value, b: &Value) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    match (compare("<", a, b), compare("<", b, a)) {
        (Ok(true), _) => Ordering::Less,
        (_, Ok(true)) => Ordering::Greater,
        (Ok(_), Ok(_)) => Ordering::Equal,
        _ => a.type_name().cmp(b.type_name()),
    }
}

fn sorted(entries: Vec<(Value, Value)>) -> Vec<(Value, Value)> {
    // An insertion sort cannot be upset by an order that is none.
    let mut done: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let at = done
            .iter()
            .rposition(|other| order(&other.0, &entry.0).is_le())
            .map_or(0, |at| at + 1);
        done.insert(at, entry);
    }
    done
}

/// `repr`, with the keys of dicts in order.
fn short(rt: &Runtime<'_>, value: &Value, open: &mut Vec<usize>) -> Result<String> {
    let _level = rt.enter()?;
    rt.charge(1)?;
    let joined = |items: &[Value], open: &mut Vec<usize>| -> Result<String> {
        let texts = items.iter().map(|item| short(rt, item, open));
        Ok(texts.collect::<Result<Vec<_>>>()?.join(", "))
    };
    match value {
        Value::List(list) => {
            if open.contains(&list.address()) {
                return Ok(format!("<Recursion on list with id={}>", list.address()));
            }
            open.push(list.address());
            let items = joined(&list.to_vec(), open)?;
            open.pop();
            Ok(format!("[{items}]"))
        }
        Value::Tuple(items) => {
            let end = if items.len() == 1 { ",)" } else { ")" };
            Ok(format!("({}{end}", joined(items, open)?))
        }
        Value::Dict(dict) if dict.class() == DictClass::Dict => {
            if open.contains(&dict.address()) {
                return Ok(format!("<Recursion on dict with id={}>", dict.address()));
            }
            open.push(dict.address());
            let mut parts = Vec::new();
            for (key, value) in sorted(dict.entries()) {
                let (key, value) = (short(rt, &key, open)?, short(rt, &value, open)?);
                parts.push(format!("{key}: {value}"));
            }
            open.pop();
            Ok(format!("{{{}}}", parts.join(", ")))
        }
        other => other.repr(),
    }
}
