//! Python's string formatting: `%`, `str.format` and format specifications.

mod float;
mod percent;
mod spec;
mod template;

pub(crate) use float::{fixed, round_half_even};
pub(crate) use percent::percent;
pub(crate) use template::str_format;
