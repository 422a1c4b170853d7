#![no_main]

#[path = "../../tests/it/checks/jinja.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::render(data));
