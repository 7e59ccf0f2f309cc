//! libFuzzer's entry to [`fuzz::planner`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::planner::run(input));
