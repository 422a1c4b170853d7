#![no_main]

#[path = "../../tests/it/checks/compile.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::compile_tree(data));
