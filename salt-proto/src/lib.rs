//! Salt's wire protocol: messages, framing and sans-IO state machines.

pub mod frame;
mod value;
pub mod zmtp;

pub use value::{DateTime, Map, Value};
