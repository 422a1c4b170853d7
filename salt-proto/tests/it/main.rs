//! Behaviour of the crate through its public face.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod checks;
mod vectors;
mod zmtp;
