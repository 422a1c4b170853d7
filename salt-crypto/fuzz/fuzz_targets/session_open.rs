#![no_main]

#[path = "../../tests/it/fuzz_entries.rs"]
#[allow(dead_code, reason = "the other targets use the rest")]
mod fuzz_entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_entries::session_open(bytes));
