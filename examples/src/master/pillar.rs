//! The pillar of a minion, from `pillar_roots`: plain YAML files named by a top file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use salt_proto::{Facts, Map, Target, Value};
use salt_transport::PillarQuery;

use crate::config::MasterConfig;

/// Compiles pillars by this configuration.
pub(super) fn source(
    config: &MasterConfig,
) -> impl Fn(&PillarQuery<'_>) -> Map + Send + Sync + use<> {
    let roots = config.pillar_roots.clone();
    let nodegroups = config.nodegroups.clone();
    let options = config
        .pillar_opts
        .then(|| super::shown_options(&config.opts));
    move |query| {
        let mut compiled = Compiled {
            nodegroups: &nodegroups,
            query,
            pillar: Map::new(),
            errors: Vec::new(),
        };
        for (env, roots) in &roots {
            if query.pillarenv.is_none_or(|wanted| wanted == env) {
                compiled.environment(env, roots);
            }
        }
        let mut pillar = compiled.pillar;
        if let Some(options) = &options {
            pillar.insert("master", options.clone());
        }
        if let Some(laid_over) = query.pillar_override {
            merge(&mut pillar, laid_over.clone());
        }
        if !compiled.errors.is_empty() {
            for error in &compiled.errors {
                tracing::error!(minion = %query.id, "pillar: {error}");
            }
            pillar.insert("_errors", compiled.errors.into_iter().collect::<Value>());
        }
        pillar
    }
}

struct Compiled<'a> {
    nodegroups: &'a Map,
    query: &'a PillarQuery<'a>,
    pillar: Map,
    errors: Vec<String>,
}

impl Compiled<'_> {
    fn environment(&mut self, env: &str, roots: &[PathBuf]) {
        let Some(top) = self.read(roots, &["top.sls".to_owned()], "top") else {
            return;
        };
        let Some(Value::Map(targets)) = top.get(env) else {
            return;
        };
        let mut seen = BTreeSet::new();
        for (target, items) in targets {
            let Some(items) = items.as_list() else {
                self.errors
                    .push(format!("top.sls: the entries of {target:?} are no list"));
                continue;
            };
            if !self.matches(target, items) {
                continue;
            }
            for name in items.iter().filter_map(Value::as_str) {
                if seen.insert(name.to_owned()) {
                    self.file(env, roots, name);
                }
            }
        }
    }

    fn matches(&mut self, target: &Value, items: &[Value]) -> bool {
        let kind = items
            .iter()
            .find_map(|item| item.get("match")?.as_str())
            .unwrap_or("compound");
        let nothing = Map::new();
        let facts = Facts {
            id: self.query.id.as_str(),
            grains: self.query.grains,
            // A pillar cannot choose itself.
            pillar: &nothing,
            nodegroups: self.nodegroups,
        };
        match Target::parse(kind, target, ":") {
            Ok(target) => target.matches(&facts),
            Err(error) => {
                self.errors.push(format!("top.sls: {target:?}: {error}"));
                false
            }
        }
    }

    fn file(&mut self, env: &str, roots: &[PathBuf], name: &str) {
        let path = name.replace('.', "/");
        match self.read(
            roots,
            &[format!("{path}.sls"), format!("{path}/init.sls")],
            name,
        ) {
            Some(Value::Map(map)) => merge(&mut self.pillar, map),
            Some(Value::Null) => {}
            Some(_) => self
                .errors
                .push(format!("SLS '{name}' does not render to a dictionary")),
            None => self.errors.push(format!(
                "Specified SLS '{name}' in environment '{env}' is not available on the salt master"
            )),
        }
    }

    /// The first of these files that a root has.
    fn read(&mut self, roots: &[PathBuf], names: &[String], sls: &str) -> Option<Value> {
        let files = roots
            .iter()
            .flat_map(|root| names.iter().map(move |name| Path::join(root, name)));
        for file in files {
            let Ok(text) = std::fs::read_to_string(&file) else {
                continue;
            };
            return match salt_state::yaml::load(&text) {
                Ok(value) => Some(value),
                Err(error) => {
                    self.errors.push(format!(
                        "Rendering SLS '{sls}' failed, render error:\n{error}"
                    ));
                    Some(Value::Null)
                }
            };
        }
        None
    }
}

/// Maps key by key; everything else is replaced.
fn merge(into: &mut Map, from: Map) {
    for (key, value) in from {
        match (into.get_value_mut(&key), value) {
            (Some(Value::Map(old)), Value::Map(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}
