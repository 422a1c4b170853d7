#![no_main]

#[path = "../../tests/it/checks/ziti_message.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::ziti_message(data));
