//! Runs chunks.

use salt_proto::Value;

/// A umask as Salt reads it: the digits are octal however they were written.
pub(crate) fn umask(value: &Value) -> Option<u32> {
    let text = crate::python::str(value);
    u32::from_str_radix(text.trim().trim_start_matches("0o"), 8).ok()
}
