#![no_main]

#[path = "../../tests/it/checks/machines.rs"]
#[expect(dead_code, reason = "two targets share the file")]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::master_core(data));
