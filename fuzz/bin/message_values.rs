//! libFuzzer's entry to [`fuzz::message_values`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::message_values::run(input));
