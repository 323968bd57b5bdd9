//! See `wrapper::proxy::fuzz::sse`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wrapper::proxy::fuzz::sse(data));
