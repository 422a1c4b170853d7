#![no_main]

#[path = "../../tests/it/checks/event.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::event(data));
