//! A small classifier traced here, and the folder with a real one where the environment names it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use tch::{CModule, Device, Kind, Tensor};

/// Labels of the small classifier.
pub const LABELS: i64 = 3;

/// A module that averages embeddings of the tokens that are no padding, and what its arguments are.
pub fn traced(masked: bool) -> CModule {
    let random = |shape: [i64; 2]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let (table, head) = (random([64, 8]), random([8, LABELS]));
    let classify = |ids: &Tensor, mask: &Tensor| {
        let mask = mask.to_kind(Kind::Float).unsqueeze(-1);
        let sum =
            (Tensor::embedding(&table, ids, -1, false, false) * &mask).sum_dim_intlist(1, false, Kind::Float);
        (sum / mask.sum_dim_intlist(1, false, Kind::Float)).matmul(&head)
    };
    let ids = Tensor::from_slice(&[1_i64, 5, 9, 2, 1, 7, 2, 0]).view([2, 4]);
    let mask = ids.ne(0).to_kind(Kind::Int64);
    let inputs = if masked { vec![ids, mask] } else { vec![ids] };
    let mut body = |given: &[Tensor]| {
        let mask = given.get(1).map_or_else(|| given[0].ne(0), Tensor::shallow_clone);
        vec![classify(&given[0], &mask)]
    };
    tch::no_grad(|| CModule::create_by_tracing("Small", "forward", &inputs, &mut body)).expect("a trace")
}

/// A folder with the small classifier under these names, and a tokenizer whose words are `t0` to `t63`.
pub fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let module = traced(true);
    for name in names {
        module.save(folder.path().join(name)).expect("a file");
    }
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer()).expect("a file");
    folder
}

pub fn tokenizer() -> String {
    let vocab: serde_json::Map<_, _> = (0..64).map(|id| (format!("t{id}"), id.into())).collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "t3" },
    })
    .to_string()
}

pub fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().expect("a path in UTF-8").to_owned()
}

/// The folder with `promptguard.pt`, `config.json`, `model.safetensors` and `tokenizer.json` that `scripts/libtorch.sh` makes.
pub fn given() -> Option<PathBuf> {
    let found = std::env::var_os("LLAMAFIREWALL_TCH_MODEL").map(PathBuf::from);
    if found.is_none() {
        eprintln!("skipped: LLAMAFIREWALL_TCH_MODEL is not set (scripts/libtorch.sh sets it)");
    }
    found
}
