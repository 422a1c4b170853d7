#![no_main]

#[path = "../../tests/it/checks/zmtp.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::zmtp(data));
