//! What must hold for any text that is rendered as a template.

use std::collections::BTreeMap;

use salt_state::jinja::{
    DataError, Dict, Environment, Host, Limits, Loaded, Options, UndefinedKind, Value, Vars,
};
use salt_state::yaml;

const LIMITS: Limits = Limits {
    steps: 100_000,
    output: 1 << 20,
    depth: 60,
    stack: 1 << 20,
};

/// The first byte chooses options, the rest is up to four texts separated by NUL: the
/// template, and `a.j`, `b.j` and `c.yaml`, which it may load. Rendering ends within its
/// limits; a text knows where each of its bytes comes from, an error has a message and a
/// place in a text that exists.
pub(crate) fn render(data: &[u8]) {
    let Some((flags, texts)) = data.split_first() else {
        return;
    };
    let mut texts = texts
        .split(|byte| *byte == 0)
        .map(|text| String::from_utf8_lossy(text).into_owned());
    let template = texts.next().unwrap_or_default();
    let files: BTreeMap<&str, String> = ["a.j", "b.j", "c.yaml"].into_iter().zip(texts).collect();
    let mut environment = environment(*flags);
    environment.set_loader(|request| {
        Ok(files.get(request.name).map(|text| Loaded {
            text: text.clone(),
            ..Loaded::default()
        }))
    });

    match environment.render_str(&template, context()) {
        Ok(rendered) => {
            assert!(rendered.text.len() <= LIMITS.output);
            let mut last = 0;
            for span in &rendered.spans {
                assert!(span.start >= last && span.start < rendered.text.len());
                assert!(rendered.text.is_char_boundary(span.start));
                last = span.start;
            }
            for at in 0..rendered.text.len().min(64) {
                assert!(rendered.locate(at).is_some());
            }
        }
        Err(error) => {
            assert!(!error.salt_message().is_empty());
            for place in error.trace() {
                // A carriage return alone ends a line too.
                let ends = place.source.text.matches(['\n', '\r']).count();
                assert!(place.line > 0 && place.column > 0);
                assert!(place.line as usize <= ends + 1);
            }
        }
    }
}

fn environment<'h>(flags: u8) -> Environment<'h> {
    let options = Options {
        undefined: match flags & 3 {
            0 => UndefinedKind::Default,
            1 => UndefinedKind::Chainable,
            2 => UndefinedKind::Debug,
            _ => UndefinedKind::Strict,
        },
        trim_blocks: flags & 4 != 0,
        lstrip_blocks: flags & 8 != 0,
        autoescape: flags & 16 != 0,
        line_statement_prefix: (flags & 32 != 0).then(|| "%%".to_owned()),
        limits: LIMITS,
        ..Options::default()
    };
    let mut environment = if flags & 64 == 0 {
        Environment::salt(options)
    } else {
        Environment::new(options)
    };
    environment.set_host(Still);
    environment
}

fn context() -> Vars {
    let pair = |name: &str, value| (name.into(), value);
    let list = |items: &[i64]| Value::list(items.iter().map(|n| Value::Int(*n)).collect());
    Vars::from_iter([
        pair("a", Value::Int(7)),
        pair("s", Value::from("Hello World")),
        pair("x", Value::Float(1.5)),
        pair("items", list(&[3, 1, 2])),
        pair(
            "d",
            Value::Dict(Dict::from_iter([
                ("key", Value::from("value")),
                ("l", list(&[1])),
            ])),
        ),
        pair("nothing", Value::None),
    ])
}

/// YAML, and a clock and randomness that stand still.
struct Still;

impl Host for Still {
    fn load_yaml(&self, text: &str) -> Result<Value, DataError> {
        let limits = yaml::Limits {
            nodes: 10_000,
            ..yaml::Limits::default()
        };
        match yaml::parse(text, 0, &limits) {
            Ok(Some(node)) => {
                node.check_size(limits.nodes)
                    .map_err(|error| DataError::new(error.to_string()))?;
                Ok(Value::from_plain(&node.to_value()))
            }
            Ok(None) => Ok(Value::None),
            Err(error) => Err(DataError::new(error.to_string())),
        }
    }

    fn now(&self) -> salt_state::jinja::Result<f64> {
        Ok(1_700_000_000.0)
    }

    fn random(&self, bytes: &mut [u8]) -> salt_state::jinja::Result<()> {
        bytes.fill(7);
        Ok(())
    }
}
