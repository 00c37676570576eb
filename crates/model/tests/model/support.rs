//! Small checkpoints made on the spot.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use std::sync::Arc;
use torchless_base::{BlockId, Logits, Runner, SeqId, StepPlan, TokenId, Wanted};
use torchless_device::{CpuDevice, CpuOptions};
use torchless_formats::gguf::{Header, Value, ValueType};
use torchless_formats::{Checkpoint, open_bytes};
use torchless_kernels::Precision;
use torchless_model::{LoadOptions, load, spec};
use torchless_quant::TensorType;

/// A GGUF LLaMA with two layers, and ways to spoil it.
pub struct Tiny {
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<(String, Vec<usize>)>,
}

pub const DIM: usize = 8;
pub const HEADS: usize = 2;
pub const KV_HEADS: usize = 1;
pub const HIDDEN: usize = 12;
pub const VOCAB: usize = 10;

pub fn int(n: usize) -> Value {
    Value::Int(ValueType::U32, n as i128)
}

impl Tiny {
    pub fn llama() -> Self {
        let mut metadata = vec![("general.architecture".to_owned(), Value::String("llama".to_owned()))];
        for (key, value) in [
            ("context_length", int(64)),
            ("embedding_length", int(DIM)),
            ("block_count", int(2)),
            ("feed_forward_length", int(HIDDEN)),
            ("attention.head_count", int(HEADS)),
            ("attention.head_count_kv", int(KV_HEADS)),
            ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("rope.dimension_count", int(DIM / HEADS)),
        ] {
            metadata.push((format!("llama.{key}"), value));
        }
        let mut tensors = vec![
            ("token_embd.weight".to_owned(), vec![VOCAB, DIM]),
            ("output_norm.weight".to_owned(), vec![DIM]),
            ("output.weight".to_owned(), vec![VOCAB, DIM]),
        ];
        let kv = KV_HEADS * DIM / HEADS;
        for i in 0..2 {
            for (name, shape) in [
                ("attn_norm", vec![DIM]),
                ("attn_q", vec![DIM, DIM]),
                ("attn_k", vec![kv, DIM]),
                ("attn_v", vec![kv, DIM]),
                ("attn_output", vec![DIM, DIM]),
                ("ffn_norm", vec![DIM]),
                ("ffn_gate", vec![HIDDEN, DIM]),
                ("ffn_up", vec![HIDDEN, DIM]),
                ("ffn_down", vec![DIM, HIDDEN]),
            ] {
                tensors.push((format!("blk.{i}.{name}.weight"), shape));
            }
        }
        Self { metadata, tensors }
    }

    /// Sets or adds a key.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.metadata.retain(|(k, _)| k != key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    /// Removes a key.
    pub fn without(mut self, key: &str) -> Self {
        self.metadata.retain(|(k, _)| k != key);
        self
    }

    /// Sets, adds or removes a tensor.
    pub fn tensor(mut self, name: &str, shape: Option<&[usize]>) -> Self {
        self.tensors.retain(|(n, _)| n != name);
        self.tensors.extend(shape.map(|s| (name.to_owned(), s.to_vec())));
        self
    }

    /// Its tensors with values that differ from one to the next.
    pub fn filled(&self) -> Vec<Filled> {
        let value = |i: usize, j: usize| ((i * 31 + j * 17) % 23) as f32 / 23.0 - 0.4;
        let filled = |(i, (name, shape)): (usize, &(String, Vec<usize>))| {
            let values = (0..shape.iter().product()).map(|j| value(i, j)).collect();
            Filled { name: name.clone(), shape: shape.clone(), values }
        };
        self.tensors.iter().enumerate().map(filled).collect()
    }

    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint_of(&self.filled())
    }

    /// The metadata with these tensors.
    pub fn checkpoint_of(&self, tensors: &[Filled]) -> Checkpoint {
        let mut header = Header::new();
        for (key, value) in &self.metadata {
            header.put(key, value.clone()).unwrap();
        }
        for tensor in tensors {
            header.tensor(&tensor.name, TensorType::F32, &tensor.shape).unwrap();
        }
        let mut data = header.start(Vec::new()).unwrap();
        for x in tensors.iter().flat_map(|tensor| &tensor.values) {
            data.write(&x.to_le_bytes()).unwrap();
        }
        let bytes: Vec<u8> = data.finish().unwrap();
        open_bytes(Arc::new(bytes)).unwrap()
    }
}

/// A tensor with its values.
#[derive(Clone)]
pub struct Filled {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// The logits of every position of a text, computed in single precision.
pub fn logits(checkpoint: &Checkpoint) -> Vec<f32> {
    let kernels = torchless_kernels::best();
    let options = CpuOptions { kernels, threads: 1, precision: Precision::Exact };
    let (spec, device) = (spec(checkpoint).unwrap(), Box::new(CpuDevice::new(options)));
    let mut runner = load(checkpoint, spec, device, &LoadOptions::default(), &mut |_, _| {}).unwrap();
    let (mut plan, mut logits) = (StepPlan::default(), Logits::default());
    plan.push((SeqId(0), 0), &[1, 2, 3, 5].map(TokenId), &[BlockId(0)], Wanted::All);
    runner.step(&plan, &mut logits).unwrap();
    logits.as_slice().to_vec()
}
