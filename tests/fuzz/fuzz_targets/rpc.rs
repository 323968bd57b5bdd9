//! See `wrapper::proxy::fuzz::rpc`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wrapper::proxy::fuzz::rpc(data));
