//! How parameters go to a library whose structs have grown, shrunk and been reordered: as blobs, measured before use.
//!
//! `llama_model_params` and `llama_context_params` are passed and returned by value, and no two years have had the same.
//! [`call`] passes them without knowing their size, [`footprint`] measures what a library calls its defaults, and
//! [`layout`] says where a field lies, or that nobody knows.

pub mod call;
pub mod footprint;
pub mod layout;
pub mod params;
