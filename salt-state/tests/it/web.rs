//! `http.*` against what Salt 3008.3 returned, with an imitation of curl that answers as
//! the recorded server did.

#![expect(
    clippy::unwrap_used,
    reason = "a recording that cannot be read fails the test"
)]

use salt_proto::{Map, Value};
use salt_state::{Command, Context, FakeSystem, MinionData, Output, Registry};
use serde_json::Value as Json;

use crate::golden::{decode, step_arguments};

const RECORDED: &str = include_str!("../vectors/states/http.json");

/// A setting of the configuration that curl reads.
fn setting<'a>(config: &'a str, name: &str) -> Option<&'a str> {
    let start = format!("{name} = \"");
    config
        .lines()
        .find_map(|line| line.strip_prefix(start.as_str())?.strip_suffix('"'))
}

fn curl(command: &Command) -> Output {
    let config = String::from_utf8(command.stdin.clone().unwrap_or_default()).unwrap();
    let url = setting(&config, "url").unwrap();
    // Nothing of the request may be seen in the list of processes.
    assert!(!command.line().contains("http://"), "{}", command.line());
    if url.contains(".invalid/") {
        return Output::failure(6, "curl: (6) Could not resolve host\n");
    }
    let Some(path) = url.strip_prefix("http://127.0.0.1:18099") else {
        return Output::failure(7, "curl: (7) Failed to connect\n");
    };
    let (status, kind, body) = match path {
        "/json" => (
            "200 OK",
            "application/json",
            "{\"a\": 1, \"b\": [\"x\", null, true, 1.5]}",
        ),
        "/yaml" => ("200 OK", "text/plain", "a: 1\nb: [x, y]\n"),
        "/404" => ("404 Not Found", "text/plain", "nothing here"),
        "/500" => ("500 Internal Server Error", "text/plain", "broken"),
        "/204" => ("204 No Content", "text/plain", ""),
        _ => ("200 OK", "text/plain", "hello world\n"),
    };
    let before = if path == "/redir" {
        "HTTP/1.1 302 Found\r\nLocation: /text\r\n\r\n"
    } else {
        ""
    };
    let body = if config.contains("head\n") { "" } else { body };
    Output::success(format!(
        "{before}HTTP/1.0 {status}\r\nContent-Type: {kind}\r\n\r\n{body}"
    ))
}

#[test]
fn web_servers_are_asked_as_salt_asks_them() {
    let cases: Vec<Json> = serde_json::from_str(RECORDED).unwrap();
    let (registry, minion) = (Registry::builtin(), MinionData::default());
    let machine = FakeSystem::new().command("curl", curl);
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in &cases {
        let call = case["call"].as_str().unwrap();
        for step in case["steps"].as_array().unwrap() {
            let context = Context::new(&registry, &machine, &minion);
            let is_call = step["mode"] == "call";
            let args = step_arguments(case, step);
            count += 1;
            let expected = decode(&step["ret"]);
            let got = if is_call {
                match registry.call(call, &args, &context) {
                    Ok(value) => value,
                    Err(error) => Map::from([("text", error.to_string())]).into(),
                }
            } else {
                let ret = registry.call("state.single", &args, &context).unwrap();
                ret.as_map().unwrap().values().next().unwrap().clone()
            };
            let shown = |value: &Value| {
                let mut map = value.as_map().cloned().unwrap_or_default();
                if !is_call {
                    map.retain(|key, _| {
                        matches!(key.as_str(), Some("result" | "changes" | "comment"))
                    });
                }
                let mut pairs: Vec<(String, Value)> = map
                    .iter()
                    .map(|(key, value)| (salt_state::python::str(key), value.clone()))
                    .collect();
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                pairs
            };
            if shown(&got) != shown(&expected) {
                wrong.push(format!("{case}\nexpected {expected:?}\n     got {got:?}"));
            }
        }
    }
    println!("{count} recorded calls checked");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    assert!(count > 60);
}
