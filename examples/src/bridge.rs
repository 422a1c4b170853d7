//! The bridge to a tree's own Python modules, where the configuration wants one.

use std::borrow::Cow;
use std::sync::Arc;

use salt_proto::Map;
use salt_state::grains::Grains;
use salt_state::{Bridge, BridgeSettings, MinionData, Registry, Sources, System};

use crate::config::MinionConfig;

/// A bridge for a tree; `None` unless the configuration has `python_bridge`.
pub(crate) fn new(
    config: &MinionConfig,
    system: Arc<dyn System>,
    sources: Option<Arc<dyn Sources>>,
    grains: Grains,
) -> Option<Bridge> {
    let settings = BridgeSettings::of(&config.opts)?;
    let minion = MinionData {
        id: config.id.clone(),
        grains,
        pillar: Map::new(),
        config: config.opts.clone(),
    };
    Some(Bridge::new(settings, system, sources, minion))
}

/// Lays the grains of the bridge's modules over others.
pub(crate) fn add_grains(bridge: Option<&Bridge>, grains: &mut Grains) {
    match bridge.map(Bridge::grains) {
        None => {}
        Some(Ok(found)) => grains.extend(found),
        Some(Err(error)) => tracing::warn!("the tree's grains modules are left out: {error}"),
    }
}

/// A registry that asks the bridge for what it does not have.
pub(crate) fn registry<'r>(
    ours: &'r Registry,
    bridge: Option<&Bridge>,
    minion: &MinionData,
) -> Cow<'r, Registry> {
    match bridge {
        None => Cow::Borrowed(ours),
        Some(bridge) => {
            let bridge = bridge.for_minion(minion.clone());
            Cow::Owned(ours.clone().with_foreign(Arc::new(bridge)))
        }
    }
}
