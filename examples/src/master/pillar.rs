//! The pillar of a minion, compiled from `pillar_roots` and `ext_pillar` of the master.

use salt_proto::{Map, Value};
use salt_state::pillar::{self, Inputs};
use salt_state::render::{Machine, RegistryFunctions, World};
use salt_state::{Context, Host, MinionData, Registry};
use salt_transport::PillarQuery;

use crate::config::MasterConfig;
use crate::tree;

/// Compiles pillars by this configuration. What is wrong with the tree stands under
/// `_errors`, as Salt's master delivers it, and in the log.
pub(super) fn source(
    config: &MasterConfig,
) -> impl Fn(&PillarQuery<'_>) -> Map + Send + Sync + use<> {
    let tree = tree::local(&config.pillar_roots);
    let files = tree::local(&config.file_roots);
    let shown = config
        .pillar_opts
        .then(|| super::shown_options(&config.opts));
    let mut options = config.opts.clone();
    // What of the master's options minions may see is decided here.
    options.insert("pillar_opts", false);
    let registry = Registry::builtin();
    move |query| {
        let mut options = options.clone();
        for (key, asked) in [("saltenv", query.saltenv), ("pillarenv", query.pillarenv)] {
            match asked {
                Some(environment) => options.insert(key, environment),
                None => options.insert(key, Value::Null),
            };
        }
        let minion = MinionData {
            id: query.id.as_str().to_owned(),
            grains: query.grains.clone().into(),
            pillar: Map::new(),
            config: options,
        };
        let host = Host::new();
        let mut context = Context::new(&registry, &host, &minion);
        context.sources = Some(&files);
        let functions = RegistryFunctions::new(&context);
        let machine = Machine::of(&context);
        let world = World::new(&minion, &tree, &functions).on(&machine);
        let external = pillar::shipped(tree::shell);
        let mut inputs = Inputs::new(&world);
        inputs.external = Some(&external);
        if let Some(on_top) = query.pillar_override {
            inputs.command_line = on_top.clone();
        }
        let compiled = pillar::compile(&inputs);
        for error in &compiled.errors {
            tracing::error!(minion = %query.id, "pillar: {}", error.report());
        }
        let mut pillar = compiled.into_pillar();
        if let Some(shown) = &shown {
            pillar.insert("master", shown.clone());
        }
        pillar
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use salt_proto::MinionId;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// A directory that is gone when the test ends.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("salt-pillar-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::remove_dir_all(&path).ok();
            fs::create_dir_all(&path).expect("a directory");
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn master(dir: &Path, more: &str) -> MasterConfig {
        let root = dir.display();
        fs::create_dir_all(dir.join("pillar")).expect("a directory");
        fs::write(
            dir.join("master"),
            format!("root_dir: {root}\npillar_roots:\n  base: [{root}/pillar]\n{more}"),
        )
        .expect("a configuration");
        MasterConfig::read(dir, &Map::new()).expect("valid")
    }

    fn pillar_of(config: &MasterConfig, on_top: Option<&Map>) -> Map {
        let id = MinionId::parse("web1").expect("an id");
        let grains = Map::from([("os", "Debian")]);
        source(config)(&PillarQuery {
            id: &id,
            grains: &grains,
            saltenv: None,
            pillarenv: None,
            pillar_override: on_top,
        })
    }

    #[test]
    fn templates_includes_and_external_pillars_make_a_minions_pillar() {
        let dir = Directory::new("whole");
        let config = master(
            &dir.0,
            "ext_pillar:\n  - cmd_yaml: \"echo 'from: %s'\"\n  - cmd_json: echo '{\"deep\":{\"b\":2}}'\n  - static: {s: 1}\n",
        );
        let tree = dir.0.join("pillar");
        fs::write(
            tree.join("top.sls"),
            "base:\n  'os:Debian':\n    - match: grain\n    - web\n",
        )
        .expect("written");
        fs::write(
            tree.join("web.sls"),
            "include: [more]\nos: {{ grains.os }}\nid: {{ opts.id }}\n",
        )
        .expect("written");
        fs::write(tree.join("more.sls"), "deep: {a: 1}\n").expect("written");

        let pillar = pillar_of(&config, Some(&Map::from([("top", "most")])));

        assert_eq!(
            salt_state::python::repr(&pillar.into()),
            "{'deep': {'a': 1, 'b': 2}, 'os': 'Debian', 'id': 'web1', 'from': 'web1', 's': 1, 'top': 'most'}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_tree_is_told_and_the_rest_delivered() {
        let dir = Directory::new("broken");
        let config = master(&dir.0, "");
        let tree = dir.0.join("pillar");
        fs::write(tree.join("top.sls"), "base:\n  '*': [good, bad, none]\n").expect("written");
        fs::write(tree.join("good.sls"), "a: 1\n").expect("written");
        fs::write(tree.join("bad.sls"), "b: {{ nothing }}\n").expect("written");

        let pillar = pillar_of(&config, None);

        assert_eq!(pillar.get("a"), Some(&Value::Int(1)));
        assert_eq!(
            salt_state::python::repr(pillar.get("_errors").expect("errors")),
            "[\"Rendering SLS 'bad' failed. Please see master log for details.\", \
             \"Specified SLS 'none' in environment 'base' is not available on the salt master\"]"
        );
    }
}
