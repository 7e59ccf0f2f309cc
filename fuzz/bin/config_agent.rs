//! libFuzzer's entry to [`fuzz::config_agent`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::config_agent::run(input));
