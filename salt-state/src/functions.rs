//! Execution functions: what `salt '*' x.y`, `salt-call x.y` and `salt['x.y']` call.
//!
//! One file for each of Salt's modules. Names, arguments, return values and error texts
//! are those of Salt 3008.3, recorded by running it.

use std::collections::BTreeSet;

use salt_proto::{Map, Value};

use crate::registry::{CallError, Registry};

pub use state::control::{is_state_run, queue_directory};

pub(crate) mod aliases;
pub(crate) mod alternatives;
pub(crate) mod archive;
pub(crate) mod beacons;
pub(crate) mod cmd;
mod config;
mod cp;
pub(crate) mod cron;
mod data;
pub(crate) mod debconf;
mod defaults;
pub(crate) mod disk;
mod environ;
mod event;
mod file;
pub(crate) mod gem;
pub(crate) mod git;
mod grains;
pub(crate) mod group;
mod hashutil;
pub(crate) mod hosts;
pub(crate) mod http;
pub(crate) mod ini;
pub(crate) mod ip;
pub(crate) mod iptables;
mod key;
pub(crate) mod keyboard;
pub(crate) mod kmod;
pub(crate) mod locale;
mod log;
pub(crate) mod logrotate;
pub(crate) mod lowpkg;
pub(crate) mod lvm;
mod matching;
mod mine;
pub(crate) mod mount;
mod network;
pub(crate) mod nftables;
pub(crate) mod npm;
mod pillar;
pub(crate) mod pip;
pub(crate) mod pkg;
pub(crate) mod postgres;
mod ps;
mod publish;
mod random;
mod saltutil;
pub(crate) mod schedule;
mod sdb;
pub(crate) mod service;
pub(crate) mod shadow;
mod slsutil;
pub(crate) mod ssh;
mod state;
pub(crate) mod status;
mod sys;
pub(crate) mod sysctl;
pub(crate) mod sysfs;
mod templates;
mod test;
pub(crate) mod timezone;
pub(crate) mod tool;
pub(crate) mod user;
pub(crate) mod virtualenv;
pub(crate) mod x509;

/// Adds all of ours.
pub(crate) fn register(registry: &mut Registry) {
    for module in [
        aliases::register,
        alternatives::register,
        archive::register,
        beacons::register,
        cmd::register,
        config::register,
        cp::register,
        cron::register,
        data::register,
        debconf::register,
        defaults::register,
        disk::register,
        environ::register,
        event::register,
        file::register,
        gem::register,
        git::register,
        grains::register,
        group::register,
        hashutil::register,
        hosts::register,
        http::register,
        ini::register,
        ip::register,
        iptables::register,
        key::register,
        keyboard::register,
        kmod::register,
        locale::register,
        log::register,
        logrotate::register,
        lowpkg::register,
        lvm::register,
        matching::register,
        mine::register,
        mount::register,
        network::register,
        nftables::register,
        npm::register,
        pillar::register,
        pip::register,
        pkg::register,
        postgres::register,
        ps::register,
        publish::register,
        random::register,
        saltutil::register,
        schedule::register,
        sdb::register,
        service::register,
        shadow::register,
        slsutil::register,
        ssh::register,
        state::register,
        status::register,
        sys::register,
        sysctl::register,
        sysfs::register,
        templates::register,
        test::register,
        timezone::register,
        user::register,
        virtualenv::register,
        x509::register,
    ] {
        module(registry);
    }
}

pub(crate) use cmd::split_words;
pub(crate) use cp::{content, pattern_matches};
pub(crate) use test::hash;
pub(crate) use user::{group_info, next_number, number_range};

/// The modules that have functions, sorted.
fn modules(registry: &Registry) -> BTreeSet<String> {
    registry
        .names()
        .filter_map(|name| name.split_once('.'))
        .map(|(module, _)| module.to_owned())
        .collect()
}

/// Merges `merge` and the entry named `base` around what a lookup found, as all of
/// Salt's `filter_by` do: base below, merge above. A base that is no mapping counts only
/// where nothing was found.
fn layered(
    lookup: &Map,
    found: Option<&Value>,
    merge: Option<&Value>,
    base: Option<&str>,
    merge_lists: bool,
) -> Result<Value, CallError> {
    let refused = |text: &str| CallError::exception("salt.exceptions.SaltException", text);
    let base = base.and_then(|base| lookup.get(base));
    let found = found.cloned().unwrap_or_default();
    let mut result = match (base, found) {
        (Some(below), Value::Null) => below.clone(),
        (Some(Value::Map(below)), Value::Map(above)) => {
            let mut whole = below.clone();
            crate::data::update(&mut whole, &above, merge_lists);
            whole.into()
        }
        (Some(Value::Map(_)), _) => {
            return Err(refused(
                "filter_by default and look-up values must both be dictionaries.",
            ));
        }
        (_, found) => found,
    };
    match (merge.filter(|merge| merge.is_true()), &mut result) {
        (None, _) => {}
        (Some(merge @ Value::Map(_)), Value::Null) => result = merge.clone(),
        (Some(Value::Map(above)), Value::Map(whole)) => {
            crate::data::update(whole, above, merge_lists);
        }
        (Some(Value::Map(_)), _) => {
            return Err(CallError::exception(
                "TypeError",
                "Cannot update using non-dict types in dictupdate.update()",
            ));
        }
        (Some(_), _) => {
            return Err(refused("filter_by merge argument must be a dictionary."));
        }
    }
    Ok(result)
}
