//! The recorded compiles: every case against 3008.3, and 3006.27 where it differs.

use std::fs;
use std::path::{Path, PathBuf};

use salt_proto::target::Release;
use salt_proto::{Map, Value};
use salt_state::compile::{Compiled, Inputs, What, compile};
use salt_state::render::{RegistryFunctions, Template, World};
use salt_state::{Context, Diagnostic, FakeSystem, MinionData, Registry, Roots, pillar, yaml};
use serde_json::Value as Json;

use crate::golden::{decode, same};

/// Cases with files in Python, which run against stand-ins written here.
const STAND_INS: [&str; 6] = [
    "pillar-ext-pillar-error",
    "pillar-ext-pillar-first",
    "pillar-ext-pillar-module",
    "render-py-error",
    "render-py-include-extend",
    "render-shebang-py",
];

#[test]
fn all_recorded_compiles_agree_with_salt_3008() {
    let wrong = run(Release::V3008, "expected.3008.json");

    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn all_recorded_compiles_agree_with_salt_3006() {
    let wrong = run(Release::V3006, "expected.3006.json");

    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn run(release: Release, golden: &str) -> Vec<String> {
    let only = std::env::var("CASE").ok();
    let mut wrong = Vec::new();
    let mut ran = 0;
    for directory in directories("cases") {
        let name = directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if only
            .as_ref()
            .is_some_and(|only| !name.contains(only.as_str()))
        {
            continue;
        }
        let Ok(text) = fs::read_to_string(directory.join(golden)) else {
            continue;
        };
        let expected: Json = serde_json::from_str(&text).expect("a golden is JSON");
        ran += 1;
        let got = Case::read(&directory).check(release, &expected);
        if let Err(difference) = got {
            wrong.push(format!("{name}: {difference}"));
        }
    }
    println!("{} of {ran} compiles as {golden}", ran - wrong.len());
    println!("with stand-ins for Python: {}", STAND_INS.join(", "));
    wrong
}

/// The directories of recorded cases in a folder of `tests`, by name.
pub(crate) fn directories(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut all: Vec<PathBuf> = fs::read_dir(root)
        .expect("the cases are there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_dir())
        .collect();
    all.sort();
    all
}

struct Case {
    directory: PathBuf,
    meta: Value,
    minion: MinionData,
    files: Roots,
    pillar_files: Roots,
}

impl Case {
    fn read(directory: &Path) -> Self {
        let load = |name: &str| match fs::read_to_string(directory.join(name)) {
            Ok(text) => yaml::load(&text).expect("valid YAML"),
            Err(_) => Value::Null,
        };
        let meta = load("case.yaml");
        let id = meta
            .get("id")
            .map_or_else(|| "minion.example.org".to_owned(), salt_state::python::str);
        let mut grains = default_grains();
        grains.insert("id", id.as_str());
        if let Value::Map(more) = load("grains.yaml") {
            grains.extend(more);
        }
        let mut config = Map::from([
            ("cachedir", Value::from("@SANDBOX@/cache")),
            ("default_top", Value::from("base")),
        ]);
        if let Some(Value::Map(more)) = meta.get("config") {
            config.extend(more.clone());
        }
        Self {
            files: roots(directory, "file_roots", &meta),
            pillar_files: roots(directory, "pillar_roots", &meta),
            minion: MinionData {
                id,
                grains: grains.into(),
                pillar: Map::new(),
                config,
            },
            meta,
            directory: directory.to_owned(),
        }
    }

    fn check(mut self, release: Release, expected: &Json) -> Result<(), String> {
        let registry = Registry::builtin();
        let machine = FakeSystem::new();
        let mut errors = Vec::new();

        let compiled = {
            let minion = self.minion.clone();
            let context = Context::new(&registry, &machine, &minion);
            let functions = RegistryFunctions::new(&context);
            let foreign = |renderer: &str, template: &Template<'_>, _: &str| {
                (renderer == "py").then(|| self.python(template))
            };
            let mut world = World::new(&minion, &self.pillar_files, &functions);
            world.release = release;
            world.foreign = Some(&foreign);
            let external = external_pillars();
            let command_line = match self.meta.get("pillar") {
                Some(Value::Map(map)) => map.clone(),
                _ => Map::new(),
            };
            pillar::compile(&pillar::Inputs {
                external: Some(&external),
                command_line,
                ..pillar::Inputs::new(&world)
            })
        };
        errors.extend(compiled.errors);
        compare_value(
            "pillar",
            expected,
            Some(&Value::Map(compiled.pillar.clone())),
        )?;
        if self.meta.get("stop").is_some() {
            return compare_errors(expected, &errors);
        }
        self.minion.pillar = compiled.pillar;

        let minion = self.minion.clone();
        let context = Context::new(&registry, &machine, &minion);
        let functions = RegistryFunctions::new(&context);
        let foreign = |renderer: &str, template: &Template<'_>, _: &str| {
            (renderer == "py").then(|| self.python(template))
        };
        let mut world = World::new(&minion, &self.files, &functions);
        world.release = release;
        world.foreign = Some(&foreign);
        let mut inputs = Inputs::new(&world);
        inputs.keep_stages = true;
        inputs.what = self.what();
        inputs.exclude = match self.meta.get("exclude") {
            Some(Value::Str(names)) => names.split(',').map(Value::from).collect(),
            Some(Value::List(entries)) => entries.clone(),
            _ => Vec::new(),
        };
        let done = compile(&inputs);
        errors.extend(done.errors.iter().cloned());
        compare(expected, &done, &errors)
    }

    fn what(&self) -> What {
        let environment = self
            .minion
            .config
            .str("saltenv")
            .unwrap_or("base")
            .to_owned();
        match self.meta.get("target") {
            Some(Value::List(names)) => What::Sls {
                environment,
                names: names.clone(),
            },
            _ => What::Highstate,
        }
    }

    /// What the cases' Python files would render to.
    fn python(&self, template: &Template<'_>) -> Result<Value, String> {
        let name = self
            .directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let json = match &*name {
            "render-py-error" => return Err(String::new()),
            "render-py-include-extend" => {
                r#"{"include": ["t"], "s": {"test": ["nop"]}}"#.to_owned()
            }
            _ => format!(
                r#"{{"x": {{"test.nop": [{{"os": "Ubuntu"}}, {{"sls": "{}"}}, {{"env": "{}"}}, {{"echo": "hi"}}]}}}}"#,
                template.sls, template.environment
            ),
        };
        let json: Json = serde_json::from_str(&json).expect("JSON");
        Ok(decode(&json))
    }
}

/// The external pillars of the cases, written in Rust.
fn external_pillars() -> pillar::Externals {
    let mut all = pillar::Externals::new();
    all.insert(
        "boom".to_owned(),
        Box::new(|_, call| {
            let argument = call.positional.first().map(salt_state::python::str);
            Err(format!("boom {}", argument.unwrap_or_default()))
        }),
    );
    all.insert("demo".to_owned(), Box::new(demo));
    all
}

fn demo(pillar: &mut Map, call: &pillar::Call<'_>) -> Result<Value, String> {
    let mut had: Vec<&str> = pillar.keys().filter_map(Value::as_str).collect();
    had.sort_unstable();
    let had: Value = had.into_iter().collect();
    if let Some(flag) = call.named.get("flag") {
        let mut ext = Map::from([("id", Value::from(call.id)), ("had", had)]);
        ext.insert("flag", flag.clone());
        return Ok(Value::Map(Map::from([
            ("ext", Value::Map(ext)),
            ("a", Value::from("ext")),
        ])));
    }
    if call.positional == [Value::Int(1)] {
        return Ok(Value::Map(Map::from([("e", "ext"), ("both", "ext")])));
    }
    Ok(Value::Map(Map::from([
        ("list_or_scalar", Value::List(call.positional.clone())),
        ("had2", had),
    ])))
}

pub(crate) fn roots(directory: &Path, kind: &str, meta: &Value) -> Roots {
    let mut names: Vec<String> = match fs::read_dir(directory.join(kind)) {
        Ok(entries) => entries
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect(),
        Err(_) => vec!["base".to_owned()],
    };
    names.sort_by_key(|name| (name != "base", name.clone()));
    if let Some(Value::List(order)) = meta.get(&format!("{kind}_order")) {
        let place = |name: &String| {
            let base = name.split('@').next().unwrap_or_default();
            order.iter().position(|known| known.as_str() == Some(base))
        };
        names.sort_by_key(|name| (place(name), name.clone()));
    }
    names.iter().fold(Roots::new(), |roots, name| {
        let environment = name.split('@').next().unwrap_or_default();
        roots.root(environment, directory.join(kind).join(name))
    })
}

pub(crate) fn default_grains() -> Map {
    let text = include_str!("../cases/grains.json");
    let json: Json = serde_json::from_str(text).expect("JSON");
    match decode(&json) {
        Value::Map(map) => map,
        _ => Map::new(),
    }
}

fn compare(expected: &Json, done: &Compiled, errors: &[Diagnostic]) -> Result<(), String> {
    compare_errors(expected, errors)?;
    let fatal = errors.iter().any(|error| error.exception);
    if let Some(matches) = &done.matches {
        let matches: Map = matches
            .iter()
            .map(|(environment, names)| (environment.as_str(), Value::List(names.clone())))
            .collect();
        compare_value("matches", expected, Some(&Value::Map(matches)))?;
    }
    if expected.get("top").is_some() {
        compare_value("top", expected, done.top.as_ref())?;
    }
    let rendered: Map = done
        .rendered
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    if !fatal && expected.get("rendered").is_some() {
        compare_value("rendered", expected, Some(&Value::Map(rendered)))?;
    }
    compare_value("high", expected, done.high.as_ref())?;
    let low = done.low.as_ref().map(|chunks| {
        chunks
            .iter()
            .map(|chunk| Value::Map(chunk.low.clone()))
            .collect()
    });
    compare_value("low", expected, low.as_ref())
}

fn compare_value(what: &str, expected: &Json, found: Option<&Value>) -> Result<(), String> {
    let wanted = expected.get(what).map(decode);
    match (&wanted, found) {
        (None, _) => Ok(()),
        (Some(wanted), Some(found)) if same(wanted, found) => Ok(()),
        (Some(wanted), found) => {
            let found = found.map_or_else(|| "nothing".to_owned(), salt_state::python::repr);
            Err(format!(
                "{what}\n  expected {}\n  found    {found}",
                salt_state::python::repr(wanted)
            ))
        }
    }
}

fn compare_errors(expected: &Json, found: &[Diagnostic]) -> Result<(), String> {
    let mut wanted = expected["errors"].as_array().cloned().unwrap_or_default();
    // Those of the run that the recording tried afterwards; nothing was compiled wrongly.
    wanted.retain(|error| error["stage"] != "order");
    let before_traceback = |text: &str| {
        text.split("<traceback>")
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    };
    let fits = wanted.len() == found.len()
        && wanted.iter().zip(found).all(|(wanted, found)| {
            if wanted.get("exception").is_some() {
                return found.exception;
            }
            if wanted["stage"] != found.stage.name() {
                return false;
            }
            let text = wanted["message"].as_str().unwrap_or_default();
            if text.contains("<traceback>") {
                found.message.starts_with(&before_traceback(text))
            } else {
                text == found.message
            }
        });
    if fits {
        return Ok(());
    }
    let found: Vec<_> = found
        .iter()
        .map(|error| (error.stage.name(), &error.message))
        .collect();
    Err(format!(
        "errors\n  expected {}\n  found    {found:?}",
        expected["errors"]
    ))
}
