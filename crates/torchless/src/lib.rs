//! Runs open-weight language models on this machine: the library people depend on.

#![forbid(unsafe_code)]
