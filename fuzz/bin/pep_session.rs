//! libFuzzer's entry to [`fuzz::pep_session`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::pep_session::run(input));
