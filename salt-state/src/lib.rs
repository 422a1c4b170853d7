//! Placeholder crate page.

pub mod jinja;
pub mod python;
mod sources;
pub mod yaml;

pub use sources::{MemorySources, Roots, Sources};
