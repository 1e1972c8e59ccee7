//! Calls `crumb_tests::fuzzed::manifest_yaml`, which says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crumb_tests::fuzzed::manifest_yaml(data));
