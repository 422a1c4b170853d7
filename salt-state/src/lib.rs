//! Placeholder crate page.

pub mod jinja;
pub mod python;
pub mod yaml;
