//! See `wrapper::proxy::fuzz::http`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wrapper::proxy::fuzz::http(data));
