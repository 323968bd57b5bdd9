//! See `wrapper::terminal::fuzz::screen`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wrapper::terminal::fuzz::screen(data));
