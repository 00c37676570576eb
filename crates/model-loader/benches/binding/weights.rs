//! A model of random weights: as large as small ones are, and of no use.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use torchless_formats::StringTable;
use torchless_formats::gguf::Header;
use torchless_quant::TensorType;

const VOCAB: usize = 32_000;
const DIM: usize = 768;
const FFN: usize = 2048;
const LAYERS: usize = 12;

/// The file, written if it is not there yet.
pub fn written() -> Result<PathBuf, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("random-120M-f16.gguf");
    if !path.exists() {
        let part = path.with_extension("part");
        write(BufWriter::new(File::create(&part)?))?;
        std::fs::rename(part, &path)?;
    }
    Ok(path)
}

fn write(out: impl Write) -> Result<(), Box<dyn Error>> {
    let mut writer = header()?.start(out)?;
    let mut state = 1_u64;
    while let Some((name, bytes)) = writer.pending() {
        // Norms, which are F32, are one; numbers in F16 are within 1/64 of zero.
        let data: Vec<u8> = if name.ends_with("norm.weight") {
            1.0_f32.to_le_bytes().repeat(bytes / 4)
        } else {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                [(state >> 40) as u8, 0x20 | (state >> 56) as u8 & 0x83]
            };
            (0..bytes / 2).flat_map(|_| next()).collect()
        };
        writer.write(&data)?;
    }
    writer.finish()?.flush()?;
    Ok(())
}

fn header() -> Result<Header, Box<dyn Error>> {
    let mut header = Header::new();
    header.put("general.architecture", "llama")?;
    for (key, value) in [
        ("block_count", LAYERS),
        ("context_length", 2048),
        ("embedding_length", DIM),
        ("feed_forward_length", FFN),
        ("attention.head_count", 12),
        ("attention.head_count_kv", 12),
        ("rope.dimension_count", 64),
    ] {
        header.put(&format!("llama.{key}"), value as u32)?;
    }
    header.put("llama.attention.layer_norm_rms_epsilon", 1e-5_f32)?;
    vocabulary(&mut header)?;
    header.tensor("token_embd.weight", TensorType::F16, &[VOCAB, DIM])?;
    for layer in 0..LAYERS {
        let mut tensor =
            |name: &str, ty, shape: &[usize]| header.tensor(&format!("blk.{layer}.{name}.weight"), ty, shape);
        for name in ["attn_norm", "ffn_norm"] {
            tensor(name, TensorType::F32, &[DIM])?;
        }
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            tensor(name, TensorType::F16, &[DIM, DIM])?;
        }
        tensor("ffn_gate", TensorType::F16, &[FFN, DIM])?;
        tensor("ffn_up", TensorType::F16, &[FFN, DIM])?;
        tensor("ffn_down", TensorType::F16, &[DIM, FFN])?;
    }
    header.tensor("output_norm.weight", TensorType::F32, &[DIM])?;
    header.tensor("output.weight", TensorType::F16, &[VOCAB, DIM])?;
    Ok(header)
}

fn vocabulary(header: &mut Header) -> Result<(), Box<dyn Error>> {
    let mut tokens = StringTable::new();
    for id in 0..VOCAB {
        let token = match id {
            0 => "<unk>".to_owned(),
            1 => "<s>".to_owned(),
            2 => "</s>".to_owned(),
            3..259 => format!("<0x{:02X}>", id - 3),
            _ => format!("\u{2581}{id}"),
        };
        if !tokens.push(&token) {
            return Err("the vocabulary is too long".into());
        }
    }
    let kind = |id| match id {
        0 => 2_i32,
        1 | 2 => 3,
        3..259 => 6,
        _ => 1,
    };
    header.put("tokenizer.ggml.model", "llama")?;
    header.put("tokenizer.ggml.tokens", tokens)?;
    header.put("tokenizer.ggml.scores", &*vec![0.0_f32; VOCAB])?;
    header.put("tokenizer.ggml.token_type", &*(0..VOCAB).map(kind).collect::<Vec<i32>>())?;
    // Nothing ends a reply, so that all are equally long.
    for (name, id) in [("bos", 1_u32), ("eos", 2), ("unknown", 0)] {
        header.put(&format!("tokenizer.ggml.{name}_token_id"), id)?;
    }
    Ok(())
}
