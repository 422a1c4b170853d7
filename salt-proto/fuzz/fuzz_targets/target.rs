#![no_main]

#[path = "../../tests/it/checks/target.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::target(data));
