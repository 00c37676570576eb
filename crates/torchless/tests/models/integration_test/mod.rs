//! One module per oracle.

mod adapters;
mod architectures;
mod converted;
mod encoders;
mod encoders_deberta;
mod encoders_gguf;
mod goldens;
mod listed;
mod made;
mod malformed;
mod on_devices;
mod packed;
mod placed;
mod quantised;
mod returned;
mod sharded;
mod stacked_adapters;
mod support;
mod tied;
