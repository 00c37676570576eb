//! Model specifications, the one decoder, loading, and the native Runner.
