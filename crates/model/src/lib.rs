//! Model specifications, the one decoder, loading, and the native Runner.

#![forbid(unsafe_code)]
