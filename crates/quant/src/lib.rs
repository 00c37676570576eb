//! Tensor element types: one table row each, with the reference codec.
