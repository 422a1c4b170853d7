//! What a minion asks about itself: pillar, options, top data.

use super::load;
use crate::value::{Map, Value};

load! {
    /// `_pillar`: compile the pillar of the sender.
    PillarRequest = "_pillar" {
        /// The sender's grains. Claimed, not proved. Without them the pillar is empty.
        grains: Option<Map> = "grains",
        /// The environment: text or nil.
        saltenv: Option<Value> = "saltenv",
        /// The pillar environment: text or nil.
        pillarenv: Option<Value> = "pillarenv",
        /// Values to lay over the compiled pillar: a map or nil.
        pillar_override: Option<Value> = "pillar_override",
        /// Whatever the minion's configuration adds.
        extra_minion_data: Option<Value> = "extra_minion_data",
        /// The version of the reply's form: `2`.
        ver: Option<String> = "ver",
        /// An external pillar to compile on demand. Refuse it unless allowed by
        /// configuration (CVE-2025-22237).
        ext: Option<Value> = "ext",
        /// Whether external pillars may drop their caches.
        clean_cache: Option<Value> = "clean_cache",
    }
}

load! {
    /// `_master_opts`: the master's options that concern states.
    MasterOpts = "_master_opts" {
        /// Only what concerns environments.
        env_only: Option<bool> = "env_only",
    }
}

load! {
    /// `_master_tops`: top file data of master-side modules.
    MasterTops = "_master_tops" {
        /// The minion's whole configuration with its grains.
        opts: Option<Map> = "opts",
    }
}
