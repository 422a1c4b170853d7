//! The bridge to a tree's own Python modules, with a stand-in for Python.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use salt_proto::{Map, Value};
use salt_state::{
    Args, Bridge, BridgeSettings, CallError, Context, Host, MemorySources, MinionData, Registry,
    Roots, Sources,
};

/// Answers as the program in the bridge does, and writes down what it is asked.
const STAND_IN: &str = r#"#!/bin/sh
log=LOG
answer() { printf '%s\n' "$1"; }
while IFS= read -r line; do
    printf '%s\n' "$line" >> "$log"
    case $line in
    *'"do": "start"'*) answer '{"ok": true}' ;;
    *'"do": "know"'*) answer '{"ok": true}' ;;
    *'"do": "catalog"'*) answer '{"ok": {"modules": {"functions": {"mine.fun": {"by_position": [["a"], ["b", 2]], "by_name": [], "rest": null, "extra": "kwargs", "doc": "Does."}}, "missing": {}}, "states": {"functions": {"moon.present": {"by_position": [["name"], ["phase", "new"]], "by_name": [], "rest": null, "extra": null, "doc": ""}, "moon.mod_watch": {"by_position": [["name"], ["sfun", null]], "by_name": [], "rest": null, "extra": "kwargs", "doc": ""}, "moon.mod_aggregate": {"by_position": [["low"], ["chunks"], ["running"]], "by_name": [], "rest": null, "extra": null, "doc": ""}}, "missing": {"mars": "no rover"}}}}' ;;
    *'"do": "grains"'*) answer '{"ok": {"grains": {"orbit": "low"}, "failed": {"bad.one": "ValueError: no"}}}' ;;
    *'"do": "aggregate"'*) answer '{"ok": {"low": {"state": "moon", "fun": "present", "name": "one", "__id__": "one", "__sls__": "night", "__env__": "base", "order": 10000, "phase": "both"}, "chunks": []}}' ;;
    *'"do": "call"'*'"hang"'*) sleep 60 ;;
    *'"do": "call"'*'"raise"'*) answer '{"error": {"type": "ValueError", "text": "no", "trace": "Traceback (most recent call last):\n  File \"salt://_modules/mine.py\", line 1, in fun\nValueError: no\n"}}' ;;
    *'"do": "call"'*) answer '{"ok": [1, {"!bytes": "/w=="}]}' ;;
    *'"fun": "mod_watch"'*) answer '{"ok": {"name": "one", "result": true, "changes": {"watched": true}, "comment": "watched"}}' ;;
    *'"test": true'*) answer '{"ok": {"name": "one", "result": null, "changes": {"phase": "full"}, "comment": "would rise"}}' ;;
    *'"do": "state"'*) answer '{"ok": {"name": "one", "result": true, "changes": {}, "comment": "rose"}}' ;;
    *) exit 1 ;;
    esac
done
"#;

struct Scene {
    directory: PathBuf,
    minion: MinionData,
}

impl Scene {
    fn new(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("salt-state-bridge-{}-{name}", std::process::id()));
        fs::create_dir_all(directory.join("cache")).unwrap();
        let program = directory.join("python-stand-in");
        let log = directory.join("log").display().to_string();
        fs::write(&program, STAND_IN.replace("LOG", &log)).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let text = |path: PathBuf| path.display().to_string();
        let config = Map::from([
            ("cachedir", text(directory.join("cache"))),
            ("python_bridge", text(program)),
        ]);
        Self {
            minion: MinionData {
                id: "web-1".to_owned(),
                config,
                ..MinionData::default()
            },
            directory,
        }
    }

    fn tree() -> MemorySources {
        MemorySources::new()
            .file("base", "_modules/mine.py", "def fun(a): pass\n")
            .file("base", "_states/moon.py", "")
            .file("base", "_states/mars.py", "")
            .file("base", "_grains/sky.py", "")
            .file(
                "base",
                "night.sls",
                "one:\n  moon.present:\n    - watch:\n      - test: change\n\nchange:\n  test.succeed_with_changes: []\n\nearth:\n  mars.present: []\n",
            )
    }

    fn bridge(&self, tree: MemorySources) -> Bridge {
        let settings = BridgeSettings::of(&self.minion.config).unwrap();
        let tree: Arc<dyn Sources> = Arc::new(tree);
        let host = Arc::new(Host::new());
        Bridge::new(settings, host, Some(tree), self.minion.clone())
    }

    fn call(&self, function: &str, args: &Args) -> Result<Value, CallError> {
        let registry = Registry::builtin().with_foreign(Arc::new(self.bridge(Self::tree())));
        let (host, tree) = (Host::new(), Self::tree());
        let mut context = Context::new(&registry, &host, &self.minion);
        context.sources = Some(&tree);
        registry.call(function, args, &context)
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn left_behind(&self) -> usize {
        let place = self.directory.join("cache/python_bridge");
        fs::read_dir(place).map_or(0, Iterator::count)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

fn entry<'v>(run: &'v Value, tag: &str) -> &'v Map {
    run.get(tag).and_then(Value::as_map).unwrap()
}

#[test]
fn a_trees_function_is_called_with_its_arguments_checked_first() {
    let scene = Scene::new("function");

    let args = Args::new().with(1).keyword("c", 3);
    assert_eq!(
        scene.call("mine.fun", &args),
        Ok(Value::List(vec![1.into(), Value::Bytes(vec![0xff])]))
    );
    assert!(
        scene
            .asked()
            .contains(r#"{"do": "call", "function": "mine.fun", "args": [1], "kwargs": {"c": 3}}"#)
    );
    assert_eq!(scene.left_behind(), 0);

    let missing = scene.call("mine.fun", &Args::new()).unwrap_err();
    assert!(matches!(missing, CallError::Arguments(_)), "{missing:?}");
    let unknown = scene.call("mine.other", &Args::new()).unwrap_err();
    assert_eq!(unknown, CallError::Unavailable("mine.other".to_owned()));
}

#[test]
fn what_a_trees_function_raises_keeps_its_traceback() {
    let scene = Scene::new("raise");

    let error = scene
        .call("mine.fun", &Args::new().with("raise"))
        .unwrap_err();

    assert_eq!(
        error.job_text("mine.fun", ""),
        "The minion function caused an exception: Traceback (most recent call last):\n  File \"salt://_modules/mine.py\", line 1, in fun\nValueError: no\n"
    );
}

#[test]
fn a_function_that_hangs_is_ended_and_the_next_call_has_a_new_python() {
    let scene = Scene::new("hang");
    let settings = BridgeSettings {
        timeout: Some(Duration::from_millis(700)),
        ..BridgeSettings::of(&scene.minion.config).unwrap()
    };
    let tree: Arc<dyn Sources> = Arc::new(Scene::tree());
    let host = Host::new();
    let bridge = Bridge::new(
        settings,
        Arc::new(Host::new()),
        Some(tree),
        scene.minion.clone(),
    );
    let registry = Registry::builtin().with_foreign(Arc::new(bridge));
    let context = Context::new(&registry, &host, &scene.minion);

    let error = registry
        .call("mine.fun", &Args::new().with("hang"), &context)
        .unwrap_err();
    assert_eq!(
        error,
        CallError::execution("the Python bridge failed: timed out after 700ms")
    );
    assert!(
        registry
            .call("mine.fun", &Args::new().with(1), &context)
            .is_ok()
    );
    assert_eq!(scene.asked().matches(r#""do": "start""#).count(), 2);
}

#[test]
fn a_trees_states_run_among_ours_with_their_requisites() {
    let scene = Scene::new("states");

    let run = scene
        .call("state.apply", &Args::new().with("night"))
        .unwrap();

    let moon = entry(&run, "moon_|-one_|-one_|-present");
    assert_eq!(moon.str("comment"), Some("watched"));
    assert_eq!(
        moon.get("changes"),
        Some(&Map::from([("watched", true)]).into())
    );
    assert_eq!(moon.get("__run_num__"), Some(&Value::Int(2)));
    let mars = entry(&run, "mars_|-earth_|-earth_|-present");
    assert_eq!(
        mars.str("comment"),
        Some(
            "State 'mars.present' was not found in SLS 'night'\nReason: 'mars' __virtual__ returned False: no rover\n"
        )
    );
    let asked = scene.asked();
    let watched = asked.lines().last().unwrap();
    assert!(watched.contains(r#""fun": "mod_watch""#) && watched.contains(r#""sfun": "present""#));
    // Only the reasons of `mod_watch` name it.
    assert!(
        !asked.contains(r#", "watch": ["#),
        "requisites are ours: {asked}"
    );
    assert_eq!(scene.left_behind(), 0);
}

#[test]
fn a_dry_run_asks_for_a_dry_run() {
    let scene = Scene::new("test");

    let args = Args::new()
        .with("moon.present")
        .keyword("name", "one")
        .keyword("test", true);
    let run = scene.call("state.single", &args).unwrap();

    let moon = entry(&run, "moon_|-one_|-one_|-present");
    assert_eq!(moon.get("result"), Some(&Value::Null));
    assert_eq!(moon.str("comment"), Some("would rise"));
    assert!(!scene.asked().contains(r#""test": false"#));
}

#[test]
fn a_trees_state_may_join_chunks() {
    let mut scene = Scene::new("aggregate");
    scene.minion.config.insert("state_aggregate", true);

    scene
        .call("state.apply", &Args::new().with("night"))
        .unwrap();

    let asked = scene.asked();
    assert!(asked.contains(r#""function": "moon.mod_aggregate""#));
    let state = asked
        .lines()
        .find(|line| line.contains(r#""do": "state""#))
        .unwrap();
    assert!(state.contains(r#""phase": "both""#), "{state}");
}

#[test]
fn grains_of_the_tree_are_gathered_and_one_that_fails_is_left_out() {
    let scene = Scene::new("grains");

    let grains = scene.bridge(Scene::tree()).grains();

    assert_eq!(grains, Ok(Map::from([("orbit", "low")])));
}

#[test]
fn nothing_is_started_for_a_tree_without_modules_or_for_what_is_ours() {
    let scene = Scene::new("nothing");
    let bare = MemorySources::new().file("base", "top.sls", "");
    let host = Host::new();
    let registry = Registry::builtin().with_foreign(Arc::new(scene.bridge(bare)));
    let context = Context::new(&registry, &host, &scene.minion);

    assert!(registry.call("mine.fun", &Args::new(), &context).is_err());
    assert!(!registry.has_state("moon.present"));
    assert_eq!(scene.bridge(MemorySources::new()).grains(), Ok(Map::new()));

    let registry = Registry::builtin().with_foreign(Arc::new(scene.bridge(Scene::tree())));
    assert!(registry.contains("test.ping") && !registry.contains("test.no_such"));
    assert!(registry.has_state("file.managed") && !registry.has_state("host.mod_watch"));
    assert_eq!(scene.asked(), "");
}

#[test]
fn a_python_that_is_not_there_is_told_where_the_function_is_missed() {
    let mut scene = Scene::new("missing");
    scene
        .minion
        .config
        .insert("python_bridge", "/no/such/python");

    let error = scene.call("mine.fun", &Args::new().with(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "'mine.fun' is not available.\nHint: salt://_modules/mine.py is Python code, and the setting `python_bridge` does not help: there is no program /no/such/python"
    );

    let run = scene
        .call("state.apply", &Args::new().with("night"))
        .unwrap();
    assert_eq!(
        entry(&run, "moon_|-one_|-one_|-present").str("comment"),
        Some(
            "State 'moon.present' was not found in SLS 'night'\nReason: 'moon.present' is not available.\nHint: salt://_states/moon.py is Python code, and the setting `python_bridge` does not help: there is no program /no/such/python\n"
        )
    );
}

#[test]
fn a_tree_without_a_bridge_names_the_file_and_the_setting() {
    let scene = Scene::new("off");
    let tree_dir = scene.directory.join("tree");
    fs::create_dir_all(tree_dir.join("_states")).unwrap();
    fs::write(tree_dir.join("_states/moon.py"), "").unwrap();
    fs::write(tree_dir.join("night.sls"), "one:\n  moon.present: []\n").unwrap();
    let tree = Roots::new().root("base", Path::new(&tree_dir));
    let (registry, host) = (Registry::builtin(), Host::new());
    let mut context = Context::new(&registry, &host, &scene.minion);
    context.sources = Some(&tree);

    let args = Args::new().with("night");
    let run = registry.call("state.apply", &args, &context).unwrap();

    assert_eq!(
        entry(&run, "moon_|-one_|-one_|-present").str("comment"),
        Some(
            "State 'moon.present' was not found in SLS 'night'\nReason: 'moon.present' is not available.\nHint: salt://_states/moon.py is Python code; the setting `python_bridge` names a Salt that runs it\n"
        )
    );
}
