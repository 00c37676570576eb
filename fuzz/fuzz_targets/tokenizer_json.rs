//! Makes a tokenizer of arbitrary bytes, and encodes and decodes with it; the seeds are small tokenizer.json files.
#![no_main]

use torchless_base::TokenId;
use torchless_tokenizer::{Around, Beside, Controls, EncodeOptions, Special, Tokenizer};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // A text for the tokenizer stands behind the last zero byte.
    let cut = data.iter().rposition(|byte| *byte == 0).unwrap_or(data.len());
    let (file, text) = data.split_at(cut);
    let text = String::from_utf8_lossy(text);
    let Ok(tokenizer) = Tokenizer::from_bytes(file, Beside::default()) else { return };
    let options = EncodeOptions { special: Special::Parse, around: Around::ModelDefault };
    let ids = tokenizer.encode(&text, options);
    assert!(ids.iter().all(|id| id.index() < tokenizer.vocab_size()));
    let mut stream = tokenizer.stream(Controls::Show);
    let mut streamed: String = ids.iter().map(|id| stream.push(*id)).collect();
    streamed += &stream.flush();
    assert_eq!(streamed, String::from_utf8_lossy(&tokenizer.decode_bytes(&ids, Controls::Show)));
    let _ = tokenizer.encode_pair(&text, &text, options);
    let user = EncodeOptions { special: Special::Text, around: Around::Nothing };
    let ids: Vec<TokenId> = tokenizer.encode(&text, user);
    assert!(ids.iter().all(|id| !tokenizer.is_control(*id) || tokenizer.special_ids().unk == Some(*id)));
});
