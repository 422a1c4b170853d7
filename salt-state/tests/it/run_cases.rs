//! The recorded runs: every case against 3008.3, and 3006.27 where it differs, on a real
//! directory with real commands.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use salt_proto::{Map, Value};
use salt_state::render::{RegistryFunctions, World};
use salt_state::{
    Args, CallError, Changes, Check, Context, Done, Host, MinionData, Plan, Registry, Roots,
    Signature, WriteOptions, pillar, yaml,
};
use serde_json::Value as Json;

use crate::cases::{default_grains, roots};
use crate::golden::decode;

/// Cases with state modules in Python, which run against stand-ins written here.
const STAND_INS: [&str; 5] = [
    "run-custom-mod-watch",
    "run-exception",
    "run-malformed-no-changes",
    "run-skip-req",
    "run-sub-state-run",
];

#[test]
fn all_recorded_runs_agree_with_salt_3008() {
    let wrong = run("3008", "expected.3008.json");

    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn all_recorded_runs_agree_with_salt_3006() {
    let wrong = run("3006", "expected.3006.json");

    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn run(release: &str, golden: &str) -> Vec<String> {
    let only = std::env::var("CASE").ok();
    let mut wrong = Vec::new();
    let mut ran = 0;
    for directory in crate::cases::directories("cases-run") {
        let name = file_name(&directory);
        if only
            .as_ref()
            .is_some_and(|only| !name.contains(only.as_str()))
        {
            continue;
        }
        // What 3006 does not do differently was recorded once.
        let text = fs::read_to_string(directory.join(golden))
            .or_else(|_| fs::read_to_string(directory.join("expected.3008.json")))
            .expect("a golden");
        let expected: Json = serde_json::from_str(&text).expect("a golden is JSON");
        ran += 1;
        let sandbox = Sandbox::new(&directory, release);
        if let Err(difference) = Case::read(&sandbox, release).check(&expected) {
            wrong.push(format!("{name}: {difference}"));
        }
    }
    println!("{} of {ran} runs as {golden}", ran - wrong.len());
    println!("with stand-ins for Python: {}", STAND_INS.join(", "));
    wrong
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A copy of a case with `@ROOT@` replaced by its own work directory, removed afterwards.
struct Sandbox(PathBuf);

impl Sandbox {
    fn new(case: &Path, release: &str) -> Self {
        let unique = format!(
            "salt-run-{}-{release}-{}",
            std::process::id(),
            file_name(case)
        );
        let this = Self(std::env::temp_dir().join(unique));
        fs::create_dir_all(this.root()).expect("a work directory");
        let root = this.root().to_string_lossy().into_owned();
        copy(case, &this.0, &root);
        this
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn copy(from: &Path, to: &Path, root: &str) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let target = to.join(file_name(&path));
        if path.is_dir() {
            copy(&path, &target, root);
        } else {
            let text = fs::read(&path).expect("readable");
            let text = String::from_utf8_lossy(&text).replace("@ROOT@", root);
            fs::write(target, text).expect("writable");
        }
    }
}

struct Case {
    meta: Value,
    minion: MinionData,
    files: Roots,
    pillar_files: Roots,
    root: PathBuf,
}

impl Case {
    fn read(sandbox: &Sandbox, release: &str) -> Self {
        let load = |name: &str| match fs::read_to_string(sandbox.0.join(name)) {
            Ok(text) => yaml::load(&text).expect("valid YAML"),
            Err(_) => Value::Null,
        };
        let meta = load("case.yaml");
        let id = "minion.example.org";
        let mut grains = default_grains();
        grains.insert("id", id);
        if let Value::Map(more) = load("grains.yaml") {
            grains.extend(more);
        }
        let cache = sandbox.0.join("cache").to_string_lossy().into_owned();
        let mut config = Map::from([
            ("cachedir", Value::from(cache)),
            ("default_top", "base".into()),
            ("salt_release", release.into()),
        ]);
        if let Some(Value::Map(more)) = meta.get("config") {
            config.extend(more.clone());
        }
        Self {
            files: roots(&sandbox.0, "file_roots", &meta),
            pillar_files: roots(&sandbox.0, "pillar_roots", &meta),
            minion: MinionData {
                id: id.to_owned(),
                grains: grains.into(),
                pillar: Map::new(),
                config,
            },
            root: sandbox.root(),
            meta,
        }
    }

    fn steps(&self) -> Vec<Value> {
        match self.meta.get("steps") {
            Some(Value::List(steps)) => steps.clone(),
            _ => {
                let target = self.meta.get("target").cloned().unwrap_or_default();
                let mut step = Map::from([("fun", Value::from("state.apply"))]);
                step.insert("args", Value::List(vec![target]));
                vec![step.into()]
            }
        }
    }

    fn check(mut self, expected: &Json) -> Result<(), String> {
        let registry = with_stand_ins(Registry::builtin(), &self.root);
        let machine = Host::new();
        self.minion.pillar = self.pillar(&registry, &machine, &Map::new());
        let wanted = expected["steps"].as_array().cloned().unwrap_or_default();
        let mut at = 0;
        for step in self.steps() {
            if let Some(Value::Map(files)) = step.get("write") {
                for (path, text) in files {
                    fs::write(salt_state::python::str(path), salt_state::python::str(text))
                        .expect("writable");
                }
                continue;
            }
            if let Some(Value::List(paths)) = step.get("remove") {
                for path in paths {
                    fs::remove_file(salt_state::python::str(path)).expect("removable");
                }
                continue;
            }
            let expected = wanted.get(at).ok_or("fewer steps were recorded")?;
            self.step(&step, expected, &registry, &machine)
                .map_err(|difference| format!("step {at}: {difference}"))?;
            at += 1;
        }
        Ok(())
    }

    fn step(
        &self,
        step: &Value,
        expected: &Json,
        registry: &Registry,
        machine: &Host,
    ) -> Result<(), String> {
        let function = step.get("fun").and_then(Value::as_str).unwrap_or_default();
        let mut args = Args::new();
        for arg in step
            .get("args")
            .and_then(Value::as_list)
            .unwrap_or_default()
        {
            args = args.with(arg.clone());
        }
        if let Some(Value::Map(kwargs)) = step.get("kwargs") {
            for (key, value) in kwargs {
                args = args.keyword(&salt_state::python::str(key), value.clone());
            }
        }
        if self.meta.get("test").is_some_and(Value::is_true) {
            args = args.keyword("test", true);
        }
        let compile = |asked: &Map| {
            let command_line = match asked.get("pillar") {
                Some(Value::Map(more)) => more.clone(),
                _ => Map::new(),
            };
            Ok(self.pillar(registry, machine, &command_line))
        };
        let mut context = Context::new(registry, machine, &self.minion);
        context.sources = Some(&self.files);
        context.compile_pillar = Some(&compile);

        let answer = registry.call(function, &args, &context);

        let root = self.root.to_string_lossy();
        if let Some(kind) = expected.get("exception").and_then(Json::as_str) {
            let error = answer.err().ok_or_else(|| format!("{kind} was expected"))?;
            let found = match &error {
                CallError::Invocation(_) => "SaltInvocationError",
                CallError::Exception { kind, .. } => kind.as_str(),
                _ => "",
            };
            let text = error.to_string().replace(&*root, "@ROOT@");
            let message = expected["message"].as_str().unwrap_or_default();
            return if found == kind && text == message {
                Ok(())
            } else {
                Err(format!("{kind}: {message}, found {found}: {text}"))
            };
        }
        let answer = answer.map_err(|error| error.traceback())?;
        let wanted = decode(&expected["return"]);
        let found = tidy(&answer, &root);
        if !same(&wanted, &found) {
            return Err(format!(
                "return\n  expected {}\n  found    {}",
                salt_state::python::repr(&wanted),
                salt_state::python::repr(&found)
            ));
        }
        let mut code = context.retcode();
        if code == 0 && answer == Value::Bool(false) && function == "state.sls_exists" {
            code = 1;
        }
        if expected["retcode"].as_i64() != Some(code) {
            return Err(format!(
                "retcode {} expected, found {code}",
                expected["retcode"]
            ));
        }
        let files = self.snapshot();
        let wanted = decode(&expected["files"]);
        if same(&wanted, &Value::Map(files.clone())) {
            return Ok(());
        }
        Err(format!(
            "files\n  expected {}\n  found    {}",
            salt_state::python::repr(&wanted),
            salt_state::python::repr(&Value::Map(files))
        ))
    }

    fn pillar(&self, registry: &Registry, machine: &Host, command_line: &Map) -> Map {
        let context = Context::new(registry, machine, &self.minion);
        let functions = RegistryFunctions::new(&context);
        let world = World::new(&self.minion, &self.pillar_files, &functions);
        pillar::compile(&pillar::Inputs {
            command_line: command_line.clone(),
            ..pillar::Inputs::new(&world)
        })
        .into_pillar()
    }

    /// Everything below the work directory, as it was recorded.
    fn snapshot(&self) -> Map {
        let mut found = Map::new();
        let mut open = vec![self.root.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).expect("readable") {
                let path = entry.expect("readable").path();
                let facts = fs::symlink_metadata(&path).expect("facts");
                let mode = format!("{:04o}", facts.permissions().mode() & 0o7777);
                let shown = if facts.is_symlink() {
                    let target = fs::read_link(&path).expect("a link");
                    Map::from([("link", target.to_string_lossy().into_owned())])
                } else if facts.is_dir() {
                    open.push(path.clone());
                    Map::from([("dir", mode)])
                } else {
                    let content = fs::read(&path).expect("readable");
                    let content = String::from_utf8_lossy(&content).into_owned();
                    let root = self.root.to_string_lossy();
                    Map::from([
                        ("mode", mode),
                        ("content", content.replace(&*root, "@ROOT@")),
                    ])
                };
                let name = path.strip_prefix(&self.root).unwrap_or(&path);
                found.insert(name.to_string_lossy().into_owned(), shown);
            }
        }
        found
    }
}

/// An answer with what differs from run to run taken out, as the recording did.
fn tidy(value: &Value, root: &str) -> Value {
    match value {
        Value::Map(map) => map
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), Some("duration" | "start_time")))
            .map(|(key, value)| {
                let value = match (key.as_str(), value) {
                    (Some("pid"), Value::Int(_)) => "@PID@".into(),
                    _ => tidy(value, root),
                };
                (tidy(key, root), value)
            })
            .collect::<Map>()
            .into(),
        Value::List(items) => items.iter().map(|item| tidy(item, root)).collect(),
        Value::Str(text) => text.replace(root, "@ROOT@").into(),
        other => other.clone(),
    }
}

/// Equality without regard to the order of members, and with texts up to a traceback.
fn same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Map(wanted), Value::Map(found)) => {
            wanted.len() == found.len()
                && wanted.iter().all(|(key, value)| {
                    found.get_value(key).is_some_and(|found| same(value, found))
                })
        }
        (Value::List(wanted), Value::List(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(a, b)| same(a, b))
        }
        (Value::Str(wanted), Value::Str(found)) => match wanted.split_once("<traceback>") {
            Some((before, _)) => found.starts_with(before),
            None => wanted == found,
        },
        _ => std::mem::discriminant(wanted) == std::mem::discriminant(found) && wanted == found,
    }
}

type Answer = Result<Plan, CallError>;

/// What the state modules in the cases' `extmods` do, in Rust.
fn with_stand_ins(registry: Registry, root: &Path) -> Registry {
    let raw = |json: &'static str| {
        move |args: &Args, _: &Check<'_>| -> Answer {
            let json: Json = serde_json::from_str(json).expect("JSON");
            let mut value = decode(&json);
            if let Some(map) = value.as_map_mut() {
                map.insert("name", args.get("name").cloned().unwrap_or_default());
            }
            Ok(Plan::raw(value))
        }
    };
    let init = root.join("init");
    let mut registry = registry
        .state("boom.go", |args: &Args, _: &Check<'_>| -> Answer {
            let text = format!("kaboom {}", args.text("name")?);
            Err(CallError::exception("ValueError", text))
        })
        .state("boom.wrong", |_: &Args, _: &Check<'_>| -> Answer {
            Ok(Plan::raw("not a dict"))
        })
        .state("boom.nochanges", raw(r#"{"result": true, "comment": ""}"#))
        .state(
            "boom.badchanges",
            raw(r#"{"result": true, "comment": "", "changes": [1]}"#),
        )
        .state(
            "boom.listcomment",
            raw(r#"{"result": 1, "comment": ["a", "b"], "changes": {}}"#),
        )
        .state(
            "boom.strresult",
            raw(r#"{"result": "", "comment": "", "changes": {}}"#),
        )
        .state(
            "sk.it",
            raw(r#"{"result": true, "comment": "", "changes": {"a": 1}, "skip_req": true}"#),
        )
        .state(
            "sub.go",
            raw(
                r#"{"result": true, "comment": "outer", "changes": {}, "sub_state_run": [{"low": {"state": "sub", "__id__": "inner", "name": "inner-name", "fun": "did"}, "changes": {"x": 1}, "result": true, "comment": "inner", "name": "inner"}]}"#,
            ),
        )
        .state_with(
            "svc.running",
            Signature::parse("running(name, flag=None)").expect("a signature"),
            "",
            move |_: &Args, check: &Check<'_>| -> Answer {
                // mod_init in the recording wrote the first ID to a file.
                let id = check.low.get("__id__").map(salt_state::python::str);
                let line = format!("{}\n", id.unwrap_or_default());
                if check.system.exists(&init) {
                    return Ok(Plan::unchanged("running"));
                }
                let init = init.clone();
                Ok(Plan::change("running", Changes::none(), move |context| {
                    context
                        .system
                        .write(&init, line.as_bytes(), &WriteOptions::new())?;
                    Ok(Done::as_planned())
                }))
            },
        )
        .state_with(
            "svc.mod_watch",
            Signature::parse("mod_watch(name, sfun=None, flag=None, **kwargs)")
                .expect("a signature"),
            "",
            |args: &Args, _: &Check<'_>| -> Answer {
                let names: Value = args
                    .keywords()
                    .keys()
                    .filter(|key| !key.as_str().is_some_and(|key| key.starts_with('_')))
                    .cloned()
                    .collect();
                let shown = |key| args.get(key).map(salt_state::python::str).unwrap_or_default();
                let text = format!(
                    "sfun={} flag={} kw={}",
                    shown("sfun"),
                    shown("flag"),
                    salt_state::python::repr(&names)
                );
                let name = args.text("name")?;
                Ok(Plan::answer(true, text, Changes::of(&name, "restarted")))
            },
        );
    registry.add_mod_init("svc", |_, _| Ok(true));
    registry
}
