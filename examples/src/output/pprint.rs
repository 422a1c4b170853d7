//! Python's `pprint`: keys sorted, broken where a line would pass 80 columns.

use salt_proto::Value;
use salt_state::python;

const WIDTH: usize = 80;

pub(super) fn show(value: &Value) -> String {
    let mut out = String::new();
    write(&sorted(value), 0, 0, &mut out);
    out
}

/// Maps in the order in which `pprint` shows them.
fn sorted(value: &Value) -> Value {
    match value {
        Value::List(items) => items.iter().map(sorted).collect(),
        Value::Map(map) => {
            let mut entries: Vec<_> = map
                .iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect();
            entries.sort_by_key(|(key, _)| python::str(key));
            entries.into_iter().collect::<salt_proto::Map>().into()
        }
        other => other.clone(),
    }
}

/// `indent` is the column the value begins in, `after` what follows it on its last line.
fn write(value: &Value, indent: usize, after: usize, out: &mut String) {
    let flat = python::repr(value);
    let fits = indent + flat.chars().count() + after <= WIDTH;
    match value {
        Value::List(items) if !fits && !items.is_empty() => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                let last = n + 1 == items.len();
                write(item, indent + 1, if last { after + 1 } else { 1 }, out);
                if !last {
                    out.push_str(",\n");
                    out.push_str(&" ".repeat(indent + 1));
                }
            }
            out.push(']');
        }
        Value::Map(map) if !fits && !map.is_empty() => {
            out.push('{');
            for (n, (key, value)) in map.iter().enumerate() {
                let last = n + 1 == map.len();
                let key = python::repr(key);
                out.push_str(&key);
                out.push_str(": ");
                write(
                    value,
                    indent + 1 + key.chars().count() + 2,
                    if last { after + 1 } else { 1 },
                    out,
                );
                if !last {
                    out.push_str(",\n");
                    out.push_str(&" ".repeat(indent + 1));
                }
            }
            out.push('}');
        }
        _ => out.push_str(&flat),
    }
}
