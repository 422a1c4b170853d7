//! Salt's wire protocol: messages, framing and sans-IO state machines.

mod value;

pub use value::{DateTime, Map, Value};
