#![no_main]

#[path = "../../tests/it/checks/msgpack.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::msgpack(data));
