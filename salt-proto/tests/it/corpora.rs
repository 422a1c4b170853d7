//! The kept inputs of the fuzz targets, replayed.

use crate::checks::{self, corpus};

#[test]
fn values() {
    corpus("msgpack")
        .iter()
        .for_each(|input| checks::msgpack::msgpack(input));
}

#[test]
fn envelopes() {
    corpus("envelope")
        .iter()
        .for_each(|input| checks::envelope::envelope(input));
}

#[test]
fn events() {
    corpus("event")
        .iter()
        .for_each(|input| checks::event::event(input));
}

#[test]
fn targets() {
    corpus("target")
        .iter()
        .for_each(|input| checks::target::target(input));
}

#[cfg(feature = "session")]
#[test]
fn what_a_master_is_sent() {
    corpus("master_core")
        .iter()
        .for_each(|input| checks::machines::master_core(input));
}

#[cfg(feature = "session")]
#[test]
fn what_a_minion_is_sent() {
    corpus("minion_link")
        .iter()
        .for_each(|input| checks::machines::minion_link(input));
}
