//! Opens arbitrary bytes; the seeds are safetensors files.
#![no_main]

mod touch;

libfuzzer_sys::fuzz_target!(|data: &[u8]| touch::open_and_touch(data));
