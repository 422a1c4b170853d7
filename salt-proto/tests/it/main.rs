//! Behaviour of the crate through its public face.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "session")]
mod authority;
mod checks;
mod corpora;
#[cfg(feature = "session")]
mod handshake;
#[cfg(feature = "session")]
mod jobs;
mod limits;
mod loads;
#[cfg(feature = "session")]
mod machines;
#[cfg(feature = "session")]
mod pair;
#[cfg(feature = "session")]
mod probes;
mod properties;
#[cfg(feature = "session")]
mod recorded;
#[cfg(feature = "session")]
mod replay_machines;
#[cfg(feature = "session")]
mod sessions;
#[cfg(feature = "session")]
mod trust;
mod vectors;
mod zmtp;
