//! Models from file to logits and text.

mod integration_test;
