//! What happens around a chunk: being paused and stopped, events, and reading grains and
//! pillar anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use salt_proto::{Map, Value, msgpack};

use super::Engine;
use super::schedule::NodeId;
use crate::args::Args;
use crate::context::Context;
use crate::python;

/// Where `state.pause` leaves word for a job.
pub(crate) fn pause_file(jid: &str, context: &Context<'_>) -> Option<PathBuf> {
    let plain = !jid.is_empty() && jid.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    plain.then(|| {
        let cache = context
            .setting("cachedir")
            .unwrap_or("/var/cache/salt/minion");
        Path::new(cache).join("state_pause").join(jid)
    })
}

/// What was left there: by ID, or for all under `__all__`.
pub(crate) fn read_pauses(path: &Path, context: &Context<'_>) -> Option<Map> {
    let bytes = context.system.read(path).ok()??;
    match msgpack::decode(&bytes, &salt_proto::Limits::default()).ok()? {
        Value::Map(map) => Some(map),
        _ => None,
    }
}

impl Engine<'_> {
    /// Waits while the chunk is paused. False when the run is to end here.
    pub(super) fn may_go_on(&self, id: NodeId) -> bool {
        let context = self.base;
        if context.system.interrupted().is_some() {
            return false;
        }
        let Some(jid) = context.job.get("jid").map(python::str) else {
            return true;
        };
        let Some(path) = pause_file(&jid, context) else {
            return true;
        };
        let own = self.lows.get(id).and_then(|low| low.get("__id__"));
        let own = own.map(python::str).unwrap_or_default();
        let mut waited = 0;
        while let Some(pauses) = read_pauses(&path, context) {
            let Some(pause) = pauses.get("__all__").or_else(|| pauses.get(&own)) else {
                return true;
            };
            if pause.get("kill").is_some_and(Value::is_true) {
                return false;
            }
            let most = pause.get("duration").and_then(Value::as_int);
            if most.is_some_and(|most| waited >= most) {
                return true;
            }
            context.system.sleep(Duration::from_secs(1));
            waited += 1;
        }
        true
    }

    /// Removes the word that was left for this run.
    pub(super) fn forget_pauses(&self) {
        let context = self.base;
        let jid = context.job.get("jid").map(python::str);
        if let Some(path) = jid.and_then(|jid| pause_file(&jid, context))
            && context.system.exists(&path)
            && let Err(error) = context.system.remove(&path)
        {
            tracing::warn!(path = %path.display(), %error, "word for an ended run stays behind");
        }
    }

    /// Tells the master about an entry, when the chunk or the minion wants that.
    pub(super) fn fire(&self, low: &Map, entry: &Map) {
        let context = self.base;
        if context.master.is_none() {
            return;
        }
        let jid = context.job.get("jid").map(python::str).unwrap_or_default();
        let wants = low.get("fire_event").filter(|wants| wants.is_true());
        let id = &context.minion.id;
        let mut data = Map::from([("ret", Value::Map(entry.clone()))]);
        let tag = match wants {
            Some(wants) => {
                let part = match wants {
                    Value::Bool(_) => low.get("name").map(python::str).unwrap_or_default(),
                    other => python::str(other),
                };
                format!("salt/state_result/{jid}/{id}/{part}")
            }
            None => {
                let config = &context.minion.config;
                if !config.get("state_events").is_some_and(Value::is_true) {
                    return;
                }
                data.insert("len", self.total);
                let number = entry.get("__run_num__").map(python::str);
                format!("salt/job/{jid}/prog/{id}/{}", number.unwrap_or_default())
            }
        };
        let args = Args::new()
            .with(Value::Map(data))
            .with(tag)
            .keyword("preload", Map::from([("jid", jid)]));
        // An event that does not arrive changes nothing about the state.
        drop(context.registry.call("event.fire_master", &args, context));
    }

    /// Reads grains and pillar anew where the chunk asks for it.
    pub(super) fn reload(&mut self, low: &Map, entry: &Map) {
        let wants = |key: &str| {
            [low.get(key), entry.get(key)]
                .into_iter()
                .flatten()
                .any(Value::is_true)
        };
        let (grains, pillar) = (wants("reload_grains"), wants("reload_pillar"));
        if !grains && !pillar {
            return;
        }
        let mut minion = match &self.minion {
            Some(minion) => minion.as_ref().clone(),
            None => self.base.minion.clone(),
        };
        if grains {
            let directory = minion.config.str("config_dir").unwrap_or("/etc/salt");
            let fresh = crate::grains::gather(
                self.base.system,
                &minion.config,
                Path::new(&directory.to_owned()),
            );
            minion.grains.extend(fresh);
        }
        if pillar
            && let Some(compile) = self.base.compile_pillar
            && let Ok(fresh) = compile(&Map::new())
        {
            minion.pillar = fresh;
        }
        self.minion = Some(Arc::new(minion));
    }
}
