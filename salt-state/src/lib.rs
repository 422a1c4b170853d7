//! Placeholder crate page.

pub mod python;
pub mod yaml;
