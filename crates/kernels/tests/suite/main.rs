//! Products of all tables; `cargo test kernels` selects them by the name of the module.

mod kernels_matmul;
