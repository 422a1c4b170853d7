//! What must hold for any bytes that are read as YAML.

use salt_state::yaml::{self, DumpOptions};

/// Loading ends with a value or an error with a place inside the text; a value that is
/// written and read again is the same, in either style.
pub(crate) fn yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let limits = yaml::Limits {
        bytes: 1 << 20,
        nodes: 50_000,
        ..yaml::Limits::default()
    };
    let node = match yaml::parse(text, 1, &limits) {
        Ok(Some(node)) => node,
        Ok(None) => return,
        Err(error) => {
            let lines = text
                .split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
                .count();
            if let Some(mark) = error.mark() {
                assert!(mark.line <= lines, "{error}");
            }
            return;
        }
    };
    let Ok(value) = node.expand(limits.nodes) else {
        return;
    };
    for flow_style in [None, Some(false), Some(true)] {
        let options = DumpOptions {
            flow_style,
            ..DumpOptions::default()
        };
        let written = yaml::dump(&value, &options);
        match yaml::load(&written) {
            Ok(again) => assert!(alike(&value, &again), "{text:?}\n{written}\n{again:?}"),
            // A key of over a thousand bytes cannot be read back, as in Salt.
            Err(error) => assert!(
                written.len() > 100 || written.contains('?'),
                "{error}\n{written}"
            ),
        }
    }
    // The other reader of the same grammar must end too.
    drop(yaml::parse_yamlex(text, 1, &limits));
}

/// Equality that calls NaN equal to itself.
fn alike(a: &salt_proto::Value, b: &salt_proto::Value) -> bool {
    use salt_proto::Value;
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a == b || a.is_nan() && b.is_nan(),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|((ak, av), (bk, bv))| alike(ak, bk) && alike(av, bv))
        }
        _ => a == b,
    }
}
