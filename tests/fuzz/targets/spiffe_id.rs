//! Calls `crumb_tests::fuzzed::spiffe_id`, which says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crumb_tests::fuzzed::spiffe_id(data));
