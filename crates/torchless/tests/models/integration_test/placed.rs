//! A model whose parts lie on several devices gives the bits that it gives on one.

use super::on_devices::{cpu, golden_decoders, logits, runner};
use std::path::Path;
use torchless_device::{Parts, Placed};
use torchless_formats::{OpenOptions, open};
use torchless_model::spec;

/// The first layers on one device and the last on another, and layer by layer in turn.
fn ways(layers: usize) -> Vec<Parts> {
    let halves = |i: usize| usize::from(2 * i >= layers);
    vec![
        Parts { start: 0, layers: (0..layers).map(halves).collect(), end: 1 },
        Parts { start: 0, layers: (0..layers).map(|i| 1 - i % 2).collect(), end: 0 },
        Parts { start: 1, layers: vec![0; layers], end: 2 },
    ]
}

fn check(path: &Path) {
    let checkpoint = open(path, &OpenOptions::default()).unwrap();
    let alone = logits(runner(&checkpoint, cpu()));
    for parts in ways(spec(&checkpoint).unwrap().layers.len()) {
        let devices = (0..3).map(|_| cpu()).collect();
        let apart = logits(runner(&checkpoint, Box::new(Placed::new(devices, parts.clone()))));
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert!(bits(&alone) == bits(&apart), "{} {parts:?}", path.display());
    }
}

#[test]
fn the_model_inside_apart_equals_itself_together() {
    check(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/story/story.gguf")));
}

#[test]
fn every_decoder_apart_equals_itself_together() {
    golden_decoders().iter().for_each(|case| check(case));
}
