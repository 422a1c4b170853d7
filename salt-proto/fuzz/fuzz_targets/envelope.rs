#![no_main]

#[path = "../../tests/it/checks/envelope.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::envelope(data));
