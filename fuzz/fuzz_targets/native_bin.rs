//! Opens arbitrary bytes; the seeds are native .bin files.
#![no_main]

mod touch;

libfuzzer_sys::fuzz_target!(|data: &[u8]| touch::open_and_touch(data));
