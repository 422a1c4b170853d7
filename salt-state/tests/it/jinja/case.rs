//! One template as a case: rendered here, and in `tests/tools/jinja_judge.py`.

use std::collections::BTreeMap;
use std::rc::Rc;

use salt_proto::Value as Plain;
use salt_state::jinja::{
    DataError, Dict, DictClass, Environment, Error, Host, Key, Loaded, Options, UndefinedKind,
    Value, Vars,
};
use salt_state::yaml;
use serde_json::{Map, Value as Json, json};

/// The answer of this engine to a case, in the judge's form.
pub(crate) fn answer(case: &Json) -> Json {
    let environment = environment(case);
    let context = match case.get("context") {
        Some(Json::Object(object)) => vars(object),
        _ => Vars::new(),
    };
    let salt = environment.is_salt();
    let template = case.get("template").and_then(Json::as_str).unwrap_or("");
    let context = if salt { salt_context(context) } else { context };
    let mut environment = environment;
    if salt {
        for (name, value) in &context {
            environment.add_global(name, value.clone());
        }
    }
    let id = case.get("id").cloned().unwrap_or_default();
    match environment.render_str(template, context) {
        Ok(rendered) => {
            check_spans(&rendered);
            let mut text = rendered.text;
            if salt && template.ends_with('\n') {
                text.push('\n');
            }
            json!({"id": id, "text": text})
        }
        Err(error) => json!({"id": id, "error": failure(&error, salt)}),
    }
}

/// The spans of a rendering are in order and lie inside the text.
fn check_spans(rendered: &salt_state::jinja::Rendered) {
    let mut last = 0;
    for span in &rendered.spans {
        assert!(span.start >= last && span.start < rendered.text.len());
        assert!(rendered.text.is_char_boundary(span.start));
        assert!(rendered.locate(span.start).is_some());
        last = span.start;
    }
}

fn failure(error: &Error, salt: bool) -> Json {
    let (class, message) = if salt {
        ("SaltRenderError", error.salt_message())
    } else {
        let class = error.kind().class();
        let class = class.rsplit('.').next().unwrap_or(class);
        (class, error.to_string())
    };
    json!({"class": class, "message": message})
}

fn environment(case: &Json) -> Environment<'static> {
    let salt = case.get("salt").and_then(Json::as_bool).unwrap_or(false);
    let mut options = Options::default();
    options.limits.steps = 1_000_000;
    if salt {
        options.undefined = UndefinedKind::Strict;
    }
    if let Some(Json::Object(wanted)) = case.get("options") {
        // Salt's own setting holds the options of SLS files.
        let wanted = match wanted.get("jinja_sls_env") {
            Some(Json::Object(own)) => own,
            _ => wanted,
        };
        for (name, value) in wanted {
            set_option(&mut options, name, value);
        }
    }
    let mut environment = if salt {
        Environment::salt(options)
    } else {
        Environment::new(options)
    };
    let mut templates: BTreeMap<String, String> = BTreeMap::new();
    if let Some(Json::Object(all)) = case.get("templates") {
        for (name, text) in all {
            templates.insert(name.clone(), text.as_str().unwrap_or("").to_owned());
        }
    }
    environment.set_loader(move |request| {
        let Some(text) = templates.get(request.name) else {
            return Ok(None);
        };
        Ok(Some(Loaded {
            text: text.clone(),
            path: Some(format!("@ROOT@/cache/files/base/{}", request.name)),
            globals: Vec::new(),
        }))
    });
    environment.set_host(TestHost);
    environment
}

fn set_option(options: &mut Options, name: &str, value: &Json) {
    let text = || value.as_str().unwrap_or("").to_owned();
    let flag = value.as_bool().unwrap_or(false);
    match name {
        "block_start_string" => options.block_start = text(),
        "block_end_string" => options.block_end = text(),
        "variable_start_string" => options.variable_start = text(),
        "variable_end_string" => options.variable_end = text(),
        "comment_start_string" => options.comment_start = text(),
        "comment_end_string" => options.comment_end = text(),
        "line_statement_prefix" => options.line_statement_prefix = Some(text()),
        "line_comment_prefix" => options.line_comment_prefix = Some(text()),
        "newline_sequence" => options.newline_sequence = text(),
        "trim_blocks" => options.trim_blocks = flag,
        "lstrip_blocks" => options.lstrip_blocks = flag,
        "keep_trailing_newline" => options.keep_trailing_newline = flag,
        "autoescape" => options.autoescape = flag,
        "undefined" => {
            options.undefined = match text().as_str() {
                "strict" => UndefinedKind::Strict,
                "chainable" => UndefinedKind::Chainable,
                "debug" => UndefinedKind::Debug,
                _ => UndefinedKind::Default,
            };
        }
        other => panic!("no option {other}"),
    }
}

/// What the judge's templates find besides the case's own variables.
fn salt_context(own: Vars) -> Vars {
    let minion = || Dict::from_iter([("id", Value::from("minion.example.org"))]);
    let grains = Dict::from_iter([
        ("os", Value::from("Debian")),
        ("id", "minion.example.org".into()),
    ]);
    let mut context: Vars = [
        ("opts", Value::Dict(minion())),
        ("saltenv", "base".into()),
        ("sls", "s".into()),
        ("tplfile", "s.sls".into()),
        ("tpldir", ".".into()),
        ("tpldot", "".into()),
        ("salt", Value::Dict(Dict::new())),
        ("grains", Value::Dict(grains)),
        ("pillar", Value::Dict(Dict::new())),
    ]
    .into_iter()
    .map(|(name, value)| (Rc::from(name), value))
    .collect();
    context.extend(own);
    context
}

fn vars(object: &Map<String, Json>) -> Vars {
    object
        .iter()
        .map(|(name, value)| (Rc::from(name.as_str()), value_of(value)))
        .collect()
}

/// A JSON value as Python reads it.
pub(crate) fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match n.as_i64() {
            Some(n) => Value::Int(n),
            None => Value::Float(n.as_f64().unwrap_or(0.0)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::list(items.iter().map(value_of).collect()),
        Json::Object(object) => Value::Dict(
            object
                .iter()
                .map(|(key, value)| (key.as_str(), value_of(value)))
                .collect(),
        ),
    }
}

/// YAML from this crate, and a clock and randomness that stand still.
struct TestHost;

impl Host for TestHost {
    fn load_yaml(&self, text: &str) -> Result<Value, DataError> {
        let node = yaml::parse(text, 0, &yaml::Limits::default());
        match node {
            Ok(Some(node)) => Ok(of_node(&node)),
            Ok(None) => Ok(Value::None),
            Err(error) => Err(DataError {
                message: error.to_string(),
                place: None,
            }),
        }
    }

    fn now(&self) -> salt_state::jinja::Result<f64> {
        Ok(1_700_000_000.0)
    }

    fn random(&self, bytes: &mut [u8]) -> salt_state::jinja::Result<()> {
        bytes.fill(7);
        Ok(())
    }

    fn dump_yaml(&self, value: &Value, flow_style: bool) -> Result<String, DataError> {
        let options = yaml::DumpOptions {
            flow_style: Some(flow_style),
            ..yaml::DumpOptions::default()
        };
        Ok(yaml::dump(&sorted(value)?, &options))
    }
}

/// A plain value whose dicts are sorted by key; ordered dicts stay.
fn sorted(value: &Value) -> Result<Plain, DataError> {
    let all = |items: &[Value]| items.iter().map(sorted).collect::<Result<Vec<_>, _>>();
    Ok(match value {
        Value::None => Plain::Null,
        Value::Bool(b) => Plain::Bool(*b),
        Value::Int(n) => Plain::Int(*n),
        Value::Float(x) => Plain::Float(*x),
        Value::Str(text) => Plain::from(&**text),
        Value::List(list) => Plain::List(all(&list.to_vec())?),
        Value::Tuple(items) => Plain::List(all(items)?),
        Value::Dict(dict) => {
            let mut entries = dict.entries();
            let text = |value: &Value| value.as_str().map(str::to_owned);
            if dict.class() == DictClass::Dict && entries.iter().all(|(k, _)| text(k).is_some()) {
                entries.sort_by_key(|(key, _)| text(key));
            }
            let mut map = salt_proto::Map::new();
            for (key, value) in entries {
                map.insert(sorted(&key)?, sorted(&value)?);
            }
            Plain::Map(map)
        }
        // Salt's dumper writes NULL for what it does not know, where null is for None.
        _ => Plain::Null,
    })
}

fn of_node(node: &yaml::Node) -> Value {
    match &node.data {
        yaml::Data::Scalar(value) => Value::from_plain(value),
        yaml::Data::List(items) => Value::list(items.borrow().iter().map(of_node).collect()),
        yaml::Data::Map(entries) => {
            let dict = Dict::new();
            for (key, entry) in entries.borrow().iter() {
                let key = Key::new(Value::from_plain(key)).unwrap();
                dict.insert(key, of_node(&entry.value));
            }
            Value::Dict(dict)
        }
    }
}

/// Where an answer differs from the judge's, if it does.
pub(crate) fn difference(case: &Json, ours: &Json, theirs: &Json) -> Option<String> {
    let error = |answer: &Json| {
        let error = answer.get("error")?;
        let message = error.get("message")?.as_str()?;
        Some((error.get("class")?.as_str()?.to_owned(), message.to_owned()))
    };
    let text = |answer: &Json| answer.get("text")?.as_str().map(str::to_owned);
    if let (Some(ours), Some(theirs)) = (error(ours), error(theirs))
        && is_meant(&ours, &theirs)
    {
        return None;
    }
    let indexed = |(_, message): (String, String)| message.contains("index out of range");
    let template = case.get("template").and_then(Json::as_str).unwrap_or("");
    if template.contains("|xml") && error(theirs).is_some_and(indexed) {
        return None;
    }
    let same = match (text(ours), text(theirs), error(ours), error(theirs)) {
        (Some(a), Some(b), ..) => a == b || a == b.replace("NULL", "null"),
        (None, None, Some(a), Some(b)) => same_error(&a, &b),
        _ => false,
    };
    let show = |answer: &Json| match (text(answer), error(answer)) {
        (Some(text), _) => format!("{text:?}"),
        (_, Some((class, message))) => format!("{class}: {}", normal(&message)),
        _ => answer.to_string(),
    };
    (!same).then(|| {
        let id = case.get("id").cloned().unwrap_or_default();
        format!(
            "case {id}\n{template}\n  ours:   {}\n  theirs: {}",
            show(ours),
            show(theirs)
        )
    })
}

/// Whether two errors differ for one of the reasons at the top of `jinja.rs`.
fn is_meant(ours: &(String, String), theirs: &(String, String)) -> bool {
    let deep = "maximum recursion depth exceeded";
    ours.1.contains("complex numbers")
        || ours.1.contains(deep) && theirs.1.contains(deep)
        || ours.1.contains("too many steps") && theirs.0 == "TimeoutError"
        || theirs.0 == "TypeError" && theirs.1 == "'NoneType' object is not subscriptable"
}

/// Errors are compared without Python's tracebacks.
fn same_error(ours: &(String, String), theirs: &(String, String)) -> bool {
    ours.0 == theirs.0 && normal(&ours.1) == normal(&theirs.1)
}

/// Takes tracebacks out of a message: Salt prints one after the message, and
/// again, shortened, inside the excerpt.
pub(crate) fn normal(message: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in message.lines() {
        if line.starts_with("Traceback (most recent call last):") {
            inside = true;
        } else if inside && (line.starts_with("; line ") || line == "---" || line == "[...]") {
            inside = false;
            if line != "[...]" {
                kept.push(line);
            }
        } else if !inside {
            kept.push(line);
        }
    }
    kept.retain(|line| *line != "[...]" && !line.trim().is_empty());
    kept.join("\n")
}
