//! Well-known model shapes with random weights: anyone can measure without a download.
//!
//! Weights are random blocks of the right type, not quantised floats: speed depends on bytes and shapes alone. Scales
//! are chosen so that activations stay finite.

use crate::export::fallback;
use torchless_formats::gguf::{Array, Value, ValueType};
use torchless_formats::{Bytes, FormatError, StringTable, gguf};
use torchless_quant::TensorType;

/// A model's sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Name on the command line.
    pub name: &'static str,
    /// Width.
    pub dim: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
    /// Inner width of the feed-forward part, of each expert where there are some.
    pub hidden: usize,
    /// How many experts there are, and how many of them a token goes to; none in a dense model.
    pub experts: Option<(usize, usize)>,
    /// Tokens.
    pub vocab: usize,
    /// The head is the embedding table.
    pub tied: bool,
    /// Base of the rotary frequencies.
    pub theta: f32,
}

macro_rules! shape {
    ($name:literal, $dim:literal x $layers:literal, $heads:literal / $kv:literal x $hd:literal, $hidden:literal, $vocab:literal, $tied:literal, $theta:literal) => {
        Shape {
            name: $name,
            dim: $dim,
            layers: $layers,
            heads: $heads,
            kv_heads: $kv,
            head_dim: $hd,
            hidden: $hidden,
            experts: None,
            vocab: $vocab,
            tied: $tied,
            theta: $theta,
        }
    };
}

/// All shapes.
pub const SHAPES: &[Shape] = &[
    shape!("smollm2-135m", 576 x 30, 9 / 3 x 64, 1536, 49152, true, 100000.0),
    shape!("qwen2.5-0.5b", 896 x 24, 14 / 2 x 64, 4864, 151936, true, 1000000.0),
    shape!("llama-3.2-1b", 2048 x 16, 32 / 8 x 64, 8192, 128256, true, 500000.0),
    shape!("llama-3.2-3b", 3072 x 28, 24 / 8 x 128, 8192, 128256, true, 500000.0),
    shape!("mistral-7b", 4096 x 32, 32 / 8 x 128, 14336, 32000, false, 10000.0),
    shape!("llama-3.1-8b", 4096 x 32, 32 / 8 x 128, 14336, 128256, false, 500000.0),
    // Four of 48 layers, so that it fits anywhere.
    Shape {
        experts: Some((128, 8)),
        ..shape!("qwen3-30b-a3b-4-layers", 2048 x 4, 32 / 4 x 128, 768, 151936, true, 1000000.0)
    },
];

/// What llama.cpp calls a file of mixed types, or one type for all matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Every matrix of one type.
    Plain(TensorType),
    /// Q4_K, with Q6_K for half of the value and down projections and for the head.
    Q4KM,
}

impl Mix {
    /// By its name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("Q4_K_M") {
            return Some(Mix::Q4KM);
        }
        Self::plain().find(|ty| ty.info().name.eq_ignore_ascii_case(name)).map(Mix::Plain)
    }

    /// Every name that [`Mix::from_name`] knows.
    pub fn names() -> Vec<&'static str> {
        Self::plain().map(|ty| ty.info().name).chain(["Q4_K_M"]).collect()
    }

    /// Types that weights of GGUF files have and that are written there; integers and doubles are not among them.
    fn plain() -> impl Iterator<Item = TensorType> {
        let usual = |ty: &TensorType| {
            let info = ty.info();
            let written = info.ggml_id.is_some() && info.scale_bytes == 0;
            written && (info.encode.is_some() || info.integers.is_some())
        };
        TensorType::ALL.iter().copied().filter(usual).filter(|ty| *ty != TensorType::Q8_K)
    }

    /// llama.cpp gives the more sensitive matrices of a k-quant mix more bits: the first and last eighth of the layers and
    /// every third one between.
    fn of(self, role: &str, layer: usize, layers: usize) -> TensorType {
        match self {
            Mix::Plain(ty) => ty,
            Mix::Q4KM => {
                let eighth = layers / 8;
                let more = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
                match role {
                    "token_embd" | "output" => TensorType::Q6_K,
                    "attn_v" | "ffn_down" if more => TensorType::Q6_K,
                    _ => TensorType::Q4_K,
                }
            }
        }
    }
}

/// One tensor to be made.
struct Planned {
    name: String,
    ty: TensorType,
    shape: Vec<usize>,
}

impl Shape {
    /// By its name.
    pub fn by_name(name: &str) -> Option<&'static Shape> {
        SHAPES.iter().find(|s| s.name == name)
    }

    fn tensors(&self, mix: Mix) -> Vec<Planned> {
        let matrix = |role: &str, layer: Option<usize>, shape: [usize; 2]| Planned {
            name: layer.map_or(format!("{role}.weight"), |i| format!("blk.{i}.{role}.weight")),
            ty: fallback(mix.of(role, layer.unwrap_or(0), self.layers), shape[1]),
            shape: shape.to_vec(),
        };
        let norm = |name: String| Planned { name, ty: TensorType::F32, shape: vec![self.dim] };
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let mut all =
            vec![matrix("token_embd", None, [self.vocab, self.dim]), norm("output_norm.weight".to_owned())];
        if !self.tied {
            all.push(matrix("output", None, [self.vocab, self.dim]));
        }
        for i in 0..self.layers {
            all.push(norm(format!("blk.{i}.attn_norm.weight")));
            all.push(norm(format!("blk.{i}.ffn_norm.weight")));
            for (role, shape) in [
                ("attn_q", [q, self.dim]),
                ("attn_k", [kv, self.dim]),
                ("attn_v", [kv, self.dim]),
                ("attn_output", [self.dim, q]),
            ] {
                all.push(matrix(role, Some(i), shape));
            }
            let parts = [
                ("ffn_gate", [self.hidden, self.dim]),
                ("ffn_up", [self.hidden, self.dim]),
                ("ffn_down", [self.dim, self.hidden]),
            ];
            match self.experts {
                None => all.extend(parts.map(|(role, shape)| matrix(role, Some(i), shape))),
                Some((experts, _)) => {
                    all.extend(parts.map(|(role, shape)| Planned {
                        name: format!("blk.{i}.{role}_exps.weight"),
                        ty: fallback(mix.of(role, i, self.layers), shape[1]),
                        shape: [&[experts], &shape[..]].concat(),
                    }));
                    all.extend(self.beside_experts(i));
                }
            }
        }
        all
    }

    /// What a layer of Qwen 3 with experts has besides: the router and the norms of heads.
    fn beside_experts(&self, layer: usize) -> [Planned; 3] {
        let (experts, _) = self.experts.unwrap_or_default();
        let of = |role: &str, shape: Vec<usize>| Planned {
            name: format!("blk.{layer}.{role}.weight"),
            ty: TensorType::F32,
            shape,
        };
        [
            of("ffn_gate_inp", vec![experts, self.dim]),
            of("attn_q_norm", vec![self.head_dim]),
            of("attn_k_norm", vec![self.head_dim]),
        ]
    }

    /// What GGUF calls the architecture.
    fn architecture(&self) -> &'static str {
        if self.experts.is_some() { "qwen3moe" } else { "llama" }
    }

    fn metadata(&self) -> Vec<(String, Value)> {
        let int = |n: usize| Value::Int(ValueType::U32, n as i128);
        let text = |s: &str| Value::String(s.to_owned());
        let mut all = vec![
            ("general.architecture".to_owned(), text(self.architecture())),
            ("general.name".to_owned(), text(&format!("random weights in the shape of {}", self.name))),
        ];
        for (key, value) in [
            ("context_length", int(32768)),
            ("embedding_length", int(self.dim)),
            ("block_count", int(self.layers)),
            ("feed_forward_length", int(self.hidden)),
            ("attention.head_count", int(self.heads)),
            ("attention.head_count_kv", int(self.kv_heads)),
            ("attention.key_length", int(self.head_dim)),
            ("attention.value_length", int(self.head_dim)),
            ("rope.dimension_count", int(self.head_dim)),
            ("vocab_size", int(self.vocab)),
            ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("rope.freq_base", Value::F32(self.theta)),
        ] {
            all.push((format!("{}.{key}", self.architecture()), value));
        }
        if let Some((experts, used)) = self.experts {
            for (key, n) in [
                ("expert_count", experts),
                ("expert_used_count", used),
                ("expert_feed_forward_length", self.hidden),
            ] {
                all.push((format!("{}.{key}", self.architecture()), int(n)));
            }
        }
        all.extend(self.vocabulary());
        all
    }

    /// A vocabulary that loads everywhere: bytes first, then made-up words.
    fn vocabulary(&self) -> Vec<(String, Value)> {
        let mut tokens = StringTable::new();
        for i in 0..self.vocab {
            let token = match i {
                0 => "<unk>".to_owned(),
                1 => "<s>".to_owned(),
                2 => "</s>".to_owned(),
                3..=258 => format!("<0x{:02X}>", i - 3),
                _ => format!("\u{2581}w{i}"),
            };
            let fits = tokens.push(&token);
            debug_assert!(fits, "a few megabytes of text");
        }
        let types = (0..self.vocab).map(|i| match i {
            0 => 2i32,
            1 | 2 => 3,
            3..=258 => 6,
            _ => 1,
        });
        let types: Vec<u8> = types.flat_map(i32::to_le_bytes).collect();
        let scores: Vec<u8> = (0..self.vocab).flat_map(|i| (-(i as f32)).to_le_bytes()).collect();
        let numbers = |ty, bytes: Vec<u8>| Value::Array(Array::Numbers { ty, bytes: Bytes::from(bytes) });
        let id = |n| Value::Int(ValueType::U32, n);
        vec![
            ("tokenizer.ggml.model".to_owned(), Value::String("llama".to_owned())),
            ("tokenizer.ggml.tokens".to_owned(), Value::Array(Array::Strings(tokens))),
            ("tokenizer.ggml.scores".to_owned(), numbers(ValueType::F32, scores)),
            ("tokenizer.ggml.token_type".to_owned(), numbers(ValueType::I32, types)),
            ("tokenizer.ggml.bos_token_id".to_owned(), id(1)),
            ("tokenizer.ggml.eos_token_id".to_owned(), id(2)),
            ("tokenizer.ggml.unknown_token_id".to_owned(), id(0)),
        ]
    }

    /// Writes a GGUF with random weights. Rows that are no whole number of a type's blocks get the type that `quantize` gives them.
    ///
    /// # Errors
    /// `out` fails.
    pub fn write(&self, mix: Mix, out: &mut dyn std::io::Write) -> Result<(), FormatError> {
        let mut header = gguf::Header::new();
        for (key, value) in self.metadata() {
            header.put(&key, value)?;
        }
        let tensors = self.tensors(mix);
        for t in &tensors {
            header.tensor(&t.name, t.ty, &t.shape)?;
        }
        let mut data = header.start(out)?;
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        for t in &tensors {
            let cols = t.shape.last().copied().unwrap_or(1);
            let rows: usize = t.shape.iter().rev().skip(1).product();
            let mut row = vec![0; t.ty.row_bytes(cols).unwrap_or(0)];
            for _ in 0..rows {
                if t.shape.len() == 1 {
                    row.chunks_exact_mut(4).for_each(|v| v.copy_from_slice(&1f32.to_le_bytes()));
                } else {
                    random.row(t.ty, cols, &mut row);
                }
                data.write(&row)?;
            }
        }
        data.finish().map(drop)
    }
}

/// splitmix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Random blocks with scales that keep a row's values near `1 / sqrt(cols)`.
    fn row(&mut self, ty: TensorType, cols: usize, out: &mut [u8]) {
        let size = 1.0 / (cols as f32).sqrt();
        match ty {
            TensorType::F32 => {
                for v in out.chunks_exact_mut(4) {
                    let value = f32::from_bits(size.to_bits() ^ (self.next() as u32 & 0x807F_FFFF));
                    v.copy_from_slice(&value.to_le_bytes());
                }
            }
            TensorType::F16 => self.halves(half::f16::from_f32(size).to_bits(), 0x83FF, out),
            TensorType::BF16 => self.halves(half::bf16::from_f32(size).to_bits(), 0x807F, out),
            _ => {
                for chunk in out.chunks_mut(8) {
                    chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
                }
                self.scales(ty, size, out);
            }
        }
    }

    /// Values with a given exponent; sign and mantissa, the bits in `noise`, are random.
    fn halves(&mut self, value: u16, noise: u16, out: &mut [u8]) {
        for v in out.chunks_exact_mut(2) {
            v.copy_from_slice(&(value ^ (self.next() as u16 & noise)).to_le_bytes());
        }
    }

    /// Overwrites the f16 scales of each block; `at` lists where they lie, with the largest quant that each multiplies.
    fn scales(&mut self, ty: TensorType, size: f32, out: &mut [u8]) {
        let at: &[(usize, f32)] = match ty {
            TensorType::Q4_0 | TensorType::IQ4_NL => &[(0, 8.0)],
            TensorType::Q4_1 => &[(0, 8.0), (2, -1.0)],
            TensorType::Q5_0 => &[(0, 16.0)],
            TensorType::Q5_1 => &[(0, 16.0), (2, -1.0)],
            TensorType::Q8_0 => &[(0, 128.0)],
            TensorType::Q2_K => &[(80, 24.0), (82, 24.0)],
            TensorType::Q3_K => &[(108, 128.0)],
            TensorType::Q4_K => &[(0, 512.0), (2, 64.0)],
            TensorType::Q5_K => &[(0, 1024.0), (2, 64.0)],
            TensorType::Q6_K => &[(208, 4096.0)],
            TensorType::IQ1_S => &[(0, 16.0)],
            TensorType::IQ2_XXS | TensorType::IQ2_XS | TensorType::IQ2_S => &[(0, 166.0)],
            TensorType::IQ3_XXS | TensorType::IQ3_S => &[(0, 470.0)],
            TensorType::IQ4_XS => &[(0, 4064.0)],
            TensorType::TQ1_0 => &[(52, 1.0)],
            TensorType::TQ2_0 => &[(64, 2.0)],
            TensorType::Q1_0 => &[(0, 1.0)],
            TensorType::Q2_0 => &[(0, 2.0)],
            _ => &[],
        };
        for block in out.chunks_exact_mut(ty.info().block_bytes) {
            odd_scale(ty, size, block);
            for &(offset, largest) in at {
                let scale = half::f16::from_f32(size / largest);
                block[offset..offset + 2].copy_from_slice(&scale.to_le_bytes());
            }
        }
    }
}

/// Scales that are no half in one place.
fn odd_scale(ty: TensorType, size: f32, block: &mut [u8]) {
    match ty {
        // The exponent of a float is one with the same bias; the greatest level is 6.
        TensorType::MXFP4 => block[0] = ((size / 6.0).to_bits() >> 23) as u8,
        // The least that there is.
        TensorType::NVFP4 => block[..4].fill(1),
        TensorType::IQ1_M => {
            let scale = half::f16::from_f32(size / 16.0).to_bits();
            for i in 0..4 {
                block[49 + 2 * i] = block[49 + 2 * i] & 15 | ((scale >> (4 * i) & 15) as u8) << 4;
            }
        }
        _ => {}
    }
}
