//! libFuzzer's entry to [`fuzz::provisioning`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::provisioning::run(input));
