//! YAML against answers recorded from PyYAML under Salt 3008.3's loader and dumper.

use salt_state::yaml::{self, DumpOptions, Kind};
use serde_json::Value as Json;

use crate::golden::{decode, same};

fn recorded(name: &str) -> Vec<Json> {
    let path = format!("{}/tests/vectors/yaml/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the recording is there");
    serde_json::from_str(&text).expect("the recording is JSON")
}

#[test]
fn documents_load_as_salts_loader_loads_them() {
    let mut wrong = Vec::new();
    let cases = recorded("load.json");

    for case in &cases {
        let text = case["text"].as_str().expect("text");
        let (expected, found) = match yaml::load(text) {
            Ok(value) if !case["value"].is_null() || case.get("value").is_some() => {
                if same(&decode(&case["value"]), &value) {
                    continue;
                }
                (case["value"].to_string(), format!("{value:?}"))
            }
            Ok(value) => (case.to_string(), format!("{value:?}")),
            Err(error) => {
                // Errors of Python's own number parsing are worded only nearly the same.
                if case["error"] == error.to_string() || case.get("other").is_some() {
                    continue;
                }
                (case.to_string(), error.to_string())
            }
        };
        wrong.push(format!(
            "{text:?}\n  expected {expected}\n  found    {found}"
        ));
    }

    println!(
        "{} of {} documents as recorded",
        cases.len() - wrong.len(),
        cases.len()
    );
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Documents of `tests/tools/yaml_judge.py`; `YAML_DOCUMENTS` names others of them.
#[test]
fn generated_documents_load_or_fail_as_in_salts_loader() {
    let path = std::env::var("YAML_DOCUMENTS").unwrap_or_else(|_| {
        format!(
            "{}/tests/vectors/yaml/generated.jsonl",
            env!("CARGO_MANIFEST_DIR")
        )
    });
    let recorded = std::fs::read_to_string(path).expect("the recording is there");
    let (mut values, mut errors, mut wrong) = (0, 0, Vec::new());

    for line in recorded.lines() {
        let case: Json = serde_json::from_str(line).expect("JSON");
        let text = case["text"].as_str().expect("text");
        let (same, found) = match yaml::load(text) {
            Ok(value) => {
                values += 1;
                let same = case
                    .get("value")
                    .is_some_and(|expected| same(&decode(expected), &value));
                (same, salt_state::python::repr(&value))
            }
            Err(error) => {
                errors += 1;
                // Exceptions of Python's own, which Salt does not foresee, have other words.
                let same = case["error"] == error.to_string() || case.get("other").is_some();
                (same, error.to_string())
            }
        };
        if !same {
            wrong.push(format!("{case}\n    found {found}"));
        }
    }

    println!(
        "{} of {} generated documents as recorded: {values} values, {errors} errors",
        values + errors - wrong.len(),
        values + errors
    );
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(values > 300 && errors > 300);
}

#[test]
fn values_dump_as_salts_dumper_dumps_them() {
    let cases = recorded("dump.json");
    let mut wrong = Vec::new();

    for case in &cases {
        let options = DumpOptions {
            flow_style: case["flow"].as_bool(),
            sort_keys: true,
            ..DumpOptions::default()
        };
        let text = yaml::dump(&decode(&case["value"]), &options);
        if case["text"] != text {
            wrong.push(format!("{}\n  found {text:?}", case));
        }
    }

    println!(
        "{} of {} values as recorded",
        cases.len() - wrong.len(),
        cases.len()
    );
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn scanner_errors_reach_salts_report_without_a_place() {
    let error = yaml::load("a: b: c").expect_err("not YAML");

    assert_eq!(error.kind(), Kind::Scanner);
    assert_eq!(
        error.salt_text(),
        "mapping values are not allowed in this context"
    );
    assert_eq!(
        error.mark().map(|mark| (mark.line, mark.column)),
        Some((0, 4))
    );
}
