//! libFuzzer's entry to [`fuzz::session_pair`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::session_pair::run(input));
