//! libFuzzer's entry to [`fuzz::pdp_session`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::pdp_session::run(input));
