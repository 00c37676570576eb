//! The Device trait, the CPU device and a Recorder that writes calls down.

#![forbid(unsafe_code)]
