//! libFuzzer's entry to [`fuzz::message_bytes`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::message_bytes::run(input));
