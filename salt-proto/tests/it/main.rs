//! Behaviour of the crate through its public face.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod checks;
#[cfg(feature = "session")]
mod handshake;
#[cfg(feature = "session")]
mod jobs;
#[cfg(feature = "session")]
mod machines;
#[cfg(feature = "session")]
mod probes;
#[cfg(feature = "session")]
mod recorded;
#[cfg(feature = "session")]
mod replay_machines;
#[cfg(feature = "session")]
mod sessions;
mod vectors;
mod zmtp;
