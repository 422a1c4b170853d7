#![no_main]

#[path = "../../tests/it/checks/yaml.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::yaml(data));
