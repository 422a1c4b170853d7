//! `x509.*` beside what Salt 3008.3 answered (`tests/tools/record_x509.py`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};
use salt_state::{Args, CallError, Context, Host, MinionData, Observe, Registry};
use serde_json::Value as Json;

struct Scene {
    directory: PathBuf,
    recorded: Json,
    registry: Registry,
    minion: MinionData,
}

impl Scene {
    /// A directory with the recorded keys and files; `None` where there is no `openssl`,
    /// which the functions need.
    fn new(name: &str) -> Option<Self> {
        if Host::new().which("openssl").is_none() {
            println!("no openssl here: {name} is not tried");
            return None;
        }
        let process = std::process::id();
        let directory = std::env::temp_dir().join(format!("salt-state-x509-{process}-{name}"));
        fs::create_dir_all(&directory).unwrap();
        let text = include_str!("../vectors/x509.json");
        let recorded: Json = serde_json::from_str(text).unwrap();
        for (name, key) in recorded["keys"].as_object().unwrap() {
            fs::write(directory.join(name), key.as_str().unwrap()).unwrap();
        }
        for file in recorded["files"].as_array().unwrap() {
            let name = file["name"].as_str().unwrap();
            fs::write(directory.join(name), file["text"].as_str().unwrap()).unwrap();
        }
        fs::write(directory.join("garbage"), "hello").unwrap();
        Some(Self {
            directory,
            recorded,
            registry: Registry::builtin(),
            minion: MinionData::default(),
        })
    }

    /// With the directory in the place of `W`.
    fn inside(&self, value: &Json) -> Value {
        let text = serde_json::to_string(value).unwrap();
        let directory = self.directory.display().to_string();
        let text = text
            .replace("\"W/", &format!("\"{directory}/"))
            .replace(" W/", &format!(" {directory}/"));
        salt_state::render::json::parse(&text, 0)
            .unwrap()
            .to_value()
    }

    fn call(&self, function: &str, args: &Args) -> Result<Value, CallError> {
        let host = Host::new();
        let context = Context::new(&self.registry, &host, &self.minion);
        self.registry.call(function, args, &context)
    }

    fn arguments(&self, positional: &Json, keywords: &Json) -> Args {
        let mut args = Args::new();
        if let Value::List(items) = self.inside(positional) {
            for item in items {
                args = args.with(item);
            }
        }
        if let Value::Map(map) = self.inside(keywords) {
            for (key, value) in map {
                args = args.keyword(key.as_str().unwrap(), value);
            }
        }
        args
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

#[test]
fn certificates_and_requests_are_encoded_as_salt_encodes_them() {
    let Some(scene) = Scene::new("encoded") else {
        return;
    };
    let mut identical = 0;
    for file in scene.recorded["files"].as_array().unwrap() {
        let name = file["name"].as_str().unwrap();
        let function = format!("x509.{}", file["function"].as_str().unwrap());
        let args = scene.arguments(&Json::Null, &file["kwargs"]);
        let made = scene.call(&function, &args).unwrap();
        let (made, theirs) = (made.as_str().unwrap(), file["text"].as_str().unwrap());
        if made == theirs {
            identical += 1;
            continue;
        }
        // Signatures by ECDSA differ every time, and so do times of revocation lists: what
        // is read from both is the same but for those.
        let read = match name.rsplit_once('.').unwrap().1 {
            "crt" => "x509.read_certificate",
            "csr" => "x509.read_csr",
            _ => "x509.read_crl",
        };
        let shown = |text: &str| {
            let mut shown = scene.call(read, &Args::new().with(text)).unwrap();
            let map = shown.as_map_mut().unwrap();
            for key in ["fingerprints", "last_update", "next_update"] {
                map.remove(key);
            }
            shown
        };
        assert_eq!(shown(made), shown(theirs), "{name}");
        let by_curve = file["kwargs"].to_string();
        assert!(
            by_curve.contains("ec.key") || by_curve.contains("p384") || by_curve.contains("p521"),
            "{name} is made with a key whose signatures do not differ:\n{made}\n{theirs}"
        );
    }
    assert_eq!(identical, 6);
}

#[test]
fn functions_answer_as_recorded() {
    let Some(scene) = Scene::new("functions") else {
        return;
    };
    let (mut answered, mut differences) = (0, Vec::new());
    for case in scene.recorded["functions"].as_array().unwrap() {
        let function = format!("x509.{}", case["function"].as_str().unwrap());
        let args = scene.arguments(&case["args"], &case["kwargs"]);
        let answer = scene.call(&function, &args);
        let what = format!("{function} {} {}", case["args"], case["kwargs"]);
        if let Some(raised) = case.get("raises") {
            let error = answer.unwrap_err();
            let text = scene.inside(&raised[1]);
            assert_eq!(error.to_string(), text.as_str().unwrap(), "{what}");
            let kind = raised[0].as_str().unwrap();
            assert!(
                error.traceback().contains(kind),
                "{what}: {}",
                error.traceback()
            );
        } else if case["returns"]
            .as_str()
            .is_some_and(|text| text.contains("PRIVATE KEY"))
        {
            assert!(answer.unwrap().as_str().unwrap().contains("PRIVATE KEY"));
        } else {
            let (answer, expected) = (answer.unwrap(), scene.inside(&case["returns"]));
            if answer != expected {
                differences.push(format!("{what}\n  {answer:?}\n  {expected:?}"));
            }
        }
        answered += 1;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(answered > 40);
}

/// Everything below a directory, with what is in it.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(snapshot(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn states_predict_change_and_rest_as_recorded() {
    let Some(scene) = Scene::new("states") else {
        return;
    };
    let (mut runs, mut differences) = (0, Vec::new());
    for case in scene.recorded["states"].as_array().unwrap() {
        let state = format!("x509.{}", case["state"].as_str().unwrap());
        for (at, expected) in case["answers"].as_array().unwrap().iter().enumerate() {
            let test = at % 2 == 0;
            let before = snapshot(&scene.directory);
            let args = scene
                .arguments(&Json::Null, &case["kwargs"])
                .keyword("test", test)
                .keyword("fun", state.as_str());
            let run = scene.call("state.single", &args).unwrap();
            let run: Vec<&Map> = run
                .as_map()
                .unwrap()
                .values()
                .map(|entry| entry.as_map().unwrap())
                .collect();
            let what = format!("{state} {} {at}", case["kwargs"]);
            let shown = |entry: &Map| -> Value {
                ["result", "comment", "changes"]
                    .into_iter()
                    .map(|key| (key, entry.get(key).cloned().unwrap_or_default()))
                    .collect::<Map>()
                    .into()
            };
            let wanted = scene.inside(expected);
            let own = shown(wanted.as_map().unwrap());
            if shown(run.first().unwrap()) != own {
                differences.push(format!(
                    "{what}\n  {:?}\n  {own:?}",
                    shown(run.first().unwrap())
                ));
            }
            let beside = wanted
                .get("beside")
                .and_then(Value::as_list)
                .unwrap_or_default();
            let found: Vec<Value> = run.iter().skip(1).map(|entry| shown(entry)).collect();
            if found != beside {
                differences.push(format!("beside {what}\n  {found:?}\n  {beside:?}"));
            }
            if test {
                assert_eq!(snapshot(&scene.directory), before, "{what} wrote");
            }
            runs += 1;
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(runs > 150, "{runs}");
}

#[test]
fn cut_and_changed_bytes_are_refused_or_read_and_never_more() {
    let Some(scene) = Scene::new("bytes") else {
        return;
    };
    for (name, read) in [
        ("all.crt", "x509.read_certificate"),
        ("ed.csr", "x509.read_csr"),
        ("list.crl", "x509.read_crl"),
    ] {
        let path = scene.directory.join(name);
        let text = fs::read_to_string(&path).unwrap();
        let encode = name
            .replace("all.crt", "certificate")
            .replace("ed.", "")
            .replace("list.", "");
        let args = Args::new().with(text).keyword("encoding", "der");
        let packed = scene.call(&format!("x509.encode_{encode}"), &args).unwrap();
        let bytes = decoded(packed.as_str().unwrap());
        for at in (0..bytes.len()).step_by(3) {
            let cut = bytes.get(..at).unwrap().to_vec();
            assert!(
                scene
                    .call(read, &Args::new().with(Value::Bytes(cut)))
                    .is_err()
            );
            let mut changed = bytes.clone();
            *changed.get_mut(at).unwrap() ^= 0x81;
            drop(scene.call(read, &Args::new().with(Value::Bytes(changed))));
        }
    }
}

fn decoded(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = chunk
            .iter()
            .fold(0u32, |all, c| all << 6 | u32::from(value(*c)));
        let bits = bits << (6 * (4 - chunk.len()));
        let bytes = bits.to_be_bytes();
        out.extend_from_slice(&bytes[1..chunk.len()]);
    }
    out
}
