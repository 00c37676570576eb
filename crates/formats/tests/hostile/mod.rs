//! Hostile native `.bin` files: a sound one, and ways to break it; and sound small files of the other formats.
//! Shared by a test and by the example that writes them out.

use serde_json::{Value, json};
use torchless_formats::gguf::Header;
use torchless_formats::{FormatError, StringTable};
use torchless_quant::TensorType;

/// One file that must be refused.
pub struct Case {
    /// File name without the ending.
    pub name: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Payload of the sound file: 2 x 64 f32, 2 x 64 int8, 2 scales and padding.
const PAYLOAD: usize = 512 + 128 + 64;

/// A header with one tensor of each kind.
fn header() -> Value {
    json!({
        "metadata": {"hidden_size": "64", "n_layers": "1", "sliding_window": "None", "quant": "int8"},
        "tokenizer": {"vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3}, "merges": ["a b"]},
        "tensors": {
            "a": {"dtype": "f32", "shape": [2, 64], "offset": 0},
            "b": {"dtype": "int8", "shape": [2, 64], "offset": 512, "scale_offset": 640, "scale_size": 2},
        },
    })
}

fn file(header: &str, payload: usize) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0x3f; payload]].concat()
}

/// The sound file that all cases start from.
pub fn sound() -> Vec<u8> {
    file(&header().to_string(), PAYLOAD)
}

/// The sound file with its first tensor in half precision, as wide again.
pub fn sound_f16() -> Vec<u8> {
    with(
        "/tensors/a",
        json!({"dtype": "f16", "shape": [2, 128], "offset": 0, "scale_offset": 0, "scale_size": 0}),
    )
}

/// The sound file with another length in front.
fn with_length(length: u64) -> Vec<u8> {
    let mut bytes = sound();
    bytes[..8].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// The sound file with the value at a JSON pointer replaced or added.
fn with(pointer: &str, value: Value) -> Vec<u8> {
    let mut header = header();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
    header.pointer_mut(parent).expect("the pointer leads somewhere")[key] = value;
    file(&header.to_string(), PAYLOAD)
}

/// The sound file without a top-level key.
fn without(key: &str) -> Vec<u8> {
    let mut header = header();
    header.as_object_mut().expect("the header is an object").remove(key);
    file(&header.to_string(), PAYLOAD)
}

/// The sound file without a key of a tensor.
fn tensor_without(tensor: &str, key: &str) -> Vec<u8> {
    let mut header = header();
    header["tensors"][tensor].as_object_mut().expect("a tensor is an object").remove(key);
    file(&header.to_string(), PAYLOAD)
}

/// The sound file with a piece of header text replaced, which must not depend on the order of keys.
fn with_text(from: &str, to: &str) -> Vec<u8> {
    let text = header().to_string();
    assert!(text.contains(from), "{from} is not in {text}");
    file(&text.replacen(from, to, 1), PAYLOAD)
}

fn cut(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes[..length].to_vec()
}

fn case(name: &'static str, why: &'static str, bytes: Vec<u8>) -> Case {
    Case { name, why, bytes }
}

/// All hostile files.
pub fn cases() -> Vec<Case> {
    [lengths(), documents(), shapes(), places(), scales(), tokenizers()].into_iter().flatten().collect()
}

fn lengths() -> Vec<Case> {
    let sound = sound();
    let header = u64::from_le_bytes(sound[..8].try_into().expect("eight bytes"));
    vec![
        case("empty", "no bytes at all", Vec::new()),
        case("one_byte", "cut within the length", cut(&sound, 1)),
        case("seven_bytes", "cut within the length", cut(&sound, 7)),
        case("only_length", "cut behind the length", cut(&sound, 8)),
        case("only_brace", "cut behind the first byte of the header", cut(&sound, 9)),
        case("half_header", "cut within the header", cut(&sound, 100)),
        case("no_payload", "cut behind the header", cut(&sound, 8 + header as usize)),
        case("half_payload", "cut within the first tensor", cut(&sound, sound.len() - 600)),
        case("last_scale_cut", "the last scale lacks a byte", cut(&sound, sound.len() - 57)),
        case("length_zero", "header of 0 bytes", with_length(0)),
        case("length_short", "header cut by its own length", with_length(header - 1)),
        case("length_long", "header reaches into the payload", with_length(header + 1)),
        case("length_past_end", "header ends past the file", with_length(1 << 20)),
        case("length_above_limit", "header above the limit", with_length((64 << 20) + 1)),
        case("length_2p63", "header of 2^63 bytes", with_length(1 << 63)),
        case("length_max", "length + 8 wraps around", with_length(u64::MAX)),
        case("length_wraps_by_7", "length + 8 wraps to 1", with_length(u64::MAX - 6)),
    ]
}

fn documents() -> Vec<Case> {
    let deep = format!("{{\"metadata\":{}", "[".repeat(100_000));
    let many: serde_json::Map<_, _> = (0..70_000).map(|i| (i.to_string(), json!("1"))).collect();
    let entry = json!({"dtype": "f32", "shape": [1], "offset": 0});
    let tensors: serde_json::Map<_, _> = (0..262_145).map(|i| (i.to_string(), entry.clone())).collect();
    let mut not_utf8 = sound();
    not_utf8[20] = 0xff;
    vec![
        case("header_not_utf8", "a byte that is no UTF-8", not_utf8),
        case("header_list", "the header is a list", file(&format!("[{}]", header()), PAYLOAD)),
        case("header_null", "the header is null", file("null", PAYLOAD)),
        case(
            "header_two_documents",
            "something follows the header's object",
            file(&format!("{}{{}}", header()), PAYLOAD),
        ),
        case(
            "header_nul_padding",
            "NUL bytes after the header's object",
            file(&format!("{}\0\0", header()), PAYLOAD),
        ),
        case("header_100000_deep", "100,000 open brackets", file(&deep, PAYLOAD)),
        case("metadata_nested", "metadata nested deeper than 4", with("/metadata/x", json!([[[[[[1]]]]]]))),
        case("metadata_70000_values", "more metadata than any model has", with("/metadata", many.into())),
        case("metadata_missing", "no metadata", without("metadata")),
        case("metadata_text", "metadata is text", with("/metadata", json!("f32"))),
        case(
            "metadata_twice",
            "two metadata objects",
            with_text("{\"metadata\":", "{\"metadata\":{},\"metadata\":"),
        ),
        case(
            "metadata_key_twice",
            "a key of the metadata twice",
            with_text("\"quant\":", "\"n_layers\":\"2\",\"quant\":"),
        ),
        case("unknown_part", "a top-level key that nobody knows", with("/adapters", json!({}))),
        case("tensors_missing", "no tensors", without("tensors")),
        case("tensors_list", "tensors are a list", with("/tensors", json!([]))),
        case("tensors_262145", "more tensors than allowed", with("/tensors", tensors.into())),
        case("tensor_twice", "a tensor twice", with_text("\"b\":{\"dtype\"", "\"a\":{\"dtype\"")),
        case(
            "tensor_unknown_key",
            "a key of a tensor that nobody knows",
            with("/tensors/a/stride", json!(2)),
        ),
        case("tensor_null", "a tensor is null", with("/tensors/a", json!(null))),
        case(
            "tensor_name_long",
            "a name of 5,000 bytes",
            with_text("\"a\":{\"dtype\"", &format!("\"{}\":{{\"dtype\"", "n".repeat(5000))),
        ),
        case("tensor_name_empty", "a name of no bytes", with_text("\"a\":{\"dtype\"", "\"\":{\"dtype\"")),
        case("dtype_unknown", "an element type that nobody knows", with("/tensors/a/dtype", json!("q4_0"))),
        case("dtype_number", "an element type given as a number", with("/tensors/a/dtype", json!(0))),
        case("dtype_missing", "no element type", tensor_without("a", "dtype")),
    ]
}

fn shapes() -> Vec<Case> {
    let shape = |value| with("/tensors/a/shape", value);
    vec![
        case("shape_negative", "a dimension of -2", shape(json!([-2, 64]))),
        case("shape_fraction", "a dimension of 2.5", shape(json!([2.5, 64]))),
        case("shape_text", "a dimension given as text", shape(json!(["2", "64"]))),
        case("shape_number", "the shape is a number", shape(json!(128))),
        case("shape_zero", "a dimension of 0", shape(json!([0, 64]))),
        case("shape_nine_dims", "nine dimensions", shape(json!([1, 1, 1, 1, 1, 1, 1, 2, 64]))),
        case("shape_1000_dims", "1,000 dimensions", shape(json!(vec![1; 1000]))),
        case("shape_wraps", "2^33 x 2^33 values", shape(json!([1u64 << 33, 1u64 << 33]))),
        case("shape_bytes_wrap", "2^62 values of 4 bytes", shape(json!([1u64 << 62]))),
        case("shape_2p64", "a dimension above 64 bits", with_text("[2,64]", "[18446744073709551616]")),
        case("shape_larger", "more values than the file has", shape(json!([200, 64]))),
    ]
}

fn places() -> Vec<Case> {
    let offset = |value| with("/tensors/a/offset", value);
    vec![
        case("offset_past_end", "data past the end", offset(json!(PAYLOAD))),
        case("offset_last_byte", "data begins at the last byte", offset(json!(PAYLOAD - 1))),
        case("offset_2p63", "offset of 2^63", offset(json!(1u64 << 63))),
        case("offset_wraps", "offset + size wraps around", offset(json!(u64::MAX - 100))),
        case("offset_negative", "offset of -64", offset(json!(-64))),
        case("offset_fraction", "offset of 0.5", offset(json!(0.5))),
        case("offset_text", "offset given as text", offset(json!("0"))),
        case("offset_missing", "no offset", tensor_without("a", "offset")),
        case("overlap", "two tensors share bytes", with("/tensors/b/offset", json!(448))),
        case("gap", "64 bytes that belong to no tensor", {
            let mut header = header();
            for (key, add) in [("offset", 576), ("scale_offset", 704)] {
                header["tensors"]["b"][key] = json!(add);
            }
            file(&header.to_string(), PAYLOAD + 64)
        }),
        case("trailing_bytes", "1,000 bytes behind the last tensor", [sound(), vec![7; 1000]].concat()),
    ]
}

fn scales() -> Vec<Case> {
    let scale = |key: &str, value| with(&format!("/tensors/b/{key}"), value);
    vec![
        case("scales_missing", "int8 without scales", tensor_without("b", "scale_size")),
        case("scales_too_few", "one scale for two groups", scale("scale_size", json!(1))),
        case("scales_too_many", "three scales for two groups", scale("scale_size", json!(3))),
        case("scales_2p62", "2^62 scales", scale("scale_size", json!(1u64 << 62))),
        case("scales_past_end", "scales past the end", scale("scale_offset", json!(PAYLOAD))),
        case("scales_wrap", "scale offset + size wraps around", scale("scale_offset", json!(u64::MAX - 3))),
        case("scales_in_data", "scales share bytes with the codes", scale("scale_offset", json!(576))),
        case("scales_of_f32", "an f32 tensor with scales", with("/tensors/a/scale_size", json!(2))),
        case("int8_row_of_32", "int8 rows that are no whole groups", scale("shape", json!([4, 32]))),
    ]
}

fn tokenizers() -> Vec<Case> {
    let vocab = |value| with("/tokenizer/vocab", value);
    let merges = |value| with("/tokenizer/merges", value);
    vec![
        case("vocab_list", "the vocabulary is a list", vocab(json!(["a", "b"]))),
        case("vocab_id_negative", "a token of id -1", vocab(json!({"a": -1}))),
        case("vocab_id_2p40", "a token of id 2^40", vocab(json!({"a": 1u64 << 40}))),
        case("vocab_id_twice", "two tokens of one id", vocab(json!({"a": 1, "b": 1}))),
        case("vocab_token_twice", "a token twice", with_text("\"b\":2", "\"a\":2")),
        case("merge_one_token", "a merge of one token", merges(json!(["ab"]))),
        case("merge_three_tokens", "a merge of three tokens", merges(json!([["a", "b", "c"]]))),
        case("merge_empty_half", "a merge with an empty half", merges(json!(["a "]))),
        case("merge_number", "a merge that is a number", merges(json!([7]))),
        case(
            "tokenizer_unknown_key",
            "a key of the tokenizer that nobody knows",
            with("/tokenizer/regex", json!("(a+)+")),
        ),
    ]
}

/// A GGUF file whose last tensor ends with the file.
pub fn small_gguf() -> Vec<u8> {
    let mut tokens = StringTable::new();
    assert!(tokens.push("<s>") && tokens.push("a"));
    let write = || -> Result<Vec<u8>, FormatError> {
        let mut header = Header::new();
        header.put("general.architecture", "llama")?;
        header.put("llama.block_count", 1u32)?;
        header.put("tokenizer.ggml.tokens", tokens)?;
        header.put("tokenizer.ggml.scores", [0.0f32, -1.0].as_slice())?;
        header.put("x.bool", true)?;
        header.tensor("token_embd.weight", TensorType::Q8_0, &[2, 32])?;
        header.tensor("output_norm.weight", TensorType::F32, &[8])?;
        let mut writer = header.start(Vec::new())?;
        writer.write(&[1; 68])?;
        writer.write(&[2; 32])?;
        writer.finish()
    };
    write().unwrap_or_else(|error| panic!("{error}"))
}

/// A safetensors file with a half-precision tensor and one of integers.
pub fn small_safetensors() -> Vec<u8> {
    let header = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"I64","shape":[1],"data_offsets":[12,20]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &[5; 20]].concat()
}
