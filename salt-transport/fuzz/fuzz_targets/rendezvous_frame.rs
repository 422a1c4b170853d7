#![no_main]

#[path = "../../tests/it/checks/rendezvous_frame.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::rendezvous_frame(data));
