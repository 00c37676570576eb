//! The public behaviour of tokenizers on small vocabularies made here; needs no files.

#![expect(clippy::unwrap_used, reason = "a test whose vocabulary does not load has failed")]

use serde_json::{Value, json};
use torchless_base::TokenId;
use torchless_tokenizer::{
    Around, Beside, Controls, EncodeOptions, GgufVocab, Part, Special, Tokenizer, TokenizerError,
};

const PARSE: EncodeOptions = EncodeOptions { special: Special::Parse, around: Around::Nothing };
const BARE: EncodeOptions = EncodeOptions { special: Special::Text, around: Around::Nothing };

/// SplitMix64, so that every run sees the same inputs.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    /// Words, spaces, names of control tokens, and characters from all over Unicode.
    fn text(&mut self) -> String {
        const BITS: &[&str] = &[
            "hello",
            " world",
            "hell",
            "  ",
            "\n",
            "\t",
            "<s>",
            "</s>",
            "<|end|>",
            "<|im_end|>",
            "<tool>",
            "é",
            "🦙",
            "e\u{301}",
            "日本",
            "123",
            "'s",
            "▁",
            "<0x41>",
            "\r\n",
            "-",
            "\u{0}",
            "Größe",
        ];
        let mut text = String::new();
        for _ in 0..self.below(12) {
            match self.below(4) {
                0 => text.extend(char::from_u32(self.below(0x11_0000) as u32)),
                1 => text.push(char::from(self.below(128) as u8)),
                _ => text.push_str(BITS[self.below(BITS.len())]),
            }
        }
        text
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn raw(ids: &[TokenId]) -> Vec<u32> {
    ids.iter().map(|id| id.0).collect()
}

fn ids(ids: &[u32]) -> Vec<TokenId> {
    ids.iter().copied().map(TokenId).collect()
}

/// A SentencePiece vocabulary: three controls, all bytes, a user-defined token, some words.
fn spm_vocab() -> GgufVocab<'static> {
    let mut tokens: Vec<String> = strings(&["<unk>", "<s>", "</s>"]);
    let mut types = vec![2, 3, 3];
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    types.extend([6; 256]);
    tokens.push("<tool>".to_owned());
    types.push(4);
    let words = [
        "▁", "h", "e", "l", "o", "▁h", "el", "lo", "▁hel", "▁hello", "▁world", "w", "r", "d", "or", "<s",
        "s", ">", "<",
    ];
    tokens.extend(strings(&words));
    tokens.extend(strings(&["▁w", "▁wor", "ld"]));
    types.resize(tokens.len(), 1);
    let scores = (0..tokens.len()).map(|id| -(id as f32)).collect();
    GgufVocab {
        model: "llama",
        tokens: tokens.into_iter().map(String::into_bytes).collect(),
        scores: Some(scores),
        types: Some(types),
        ..GgufVocab::default()
    }
}

/// GPT-2's way to write a byte, made here a second time and differently.
fn byte_char(byte: u8) -> char {
    let printable = |b: u8| (33..=126).contains(&b) || (161..=172).contains(&b) || b >= 174;
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    if printable(byte) { char::from(byte) } else { char::from_u32(256 + before).unwrap() }
}

/// A byte-level vocabulary: all bytes, some merges, control and user-defined tokens.
fn byte_vocab(pre: &'static str) -> GgufVocab<'static> {
    let mut tokens: Vec<String> = (0..=255).map(|byte| byte_char(byte).to_string()).collect();
    let merges = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "Ġwor l", "Ġworl d", "1 2", "Ã ©"];
    tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
    let mut types = vec![1; tokens.len()];
    for (text, kind) in [("<s>", 3), ("<|end|>", 3), ("<|im_end|>", 3), ("<tool>", 4)] {
        tokens.push(text.to_owned());
        types.push(kind);
    }
    GgufVocab {
        model: "gpt2",
        pre: Some(pre),
        bos: Some(tokens.len() as u32 - 4),
        eos: Some(tokens.len() as u32 - 3),
        tokens: tokens.into_iter().map(String::into_bytes).collect(),
        types: Some(types),
        merges: Some(strings(&merges)),
        ..GgufVocab::default()
    }
}

fn metaspace_json() -> Value {
    let mut vocab = serde_json::Map::new();
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let words = strings(&["▁", "h", "e", "l", "o", "▁h", "el", "▁hel", "lo", "▁hello", "w"]);
    for (id, text) in strings(&["<unk>", "<s>", "</s>"]).into_iter().chain(bytes).chain(words).enumerate() {
        vocab.insert(text, id.into());
    }
    json!({
        "added_tokens": [
            {"id": 0, "content": "<unk>", "special": true},
            {"id": 1, "content": "<s>", "special": true},
            {"id": 2, "content": "</s>", "special": true},
            {"id": 270, "content": "<tool>", "special": false, "normalized": false},
        ],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "vocab": vocab, "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
            "merges": ["▁ h", "e l", "▁h el", ["l", "o"], "▁hel lo"]},
    })
}

fn load(json: &Value) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::from_tokenizer_json(json.to_string().as_bytes(), None)
}

fn native() -> Tokenizer {
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let words = strings(&["▁", "h", "e", "l", "o", "▁h", "el", "▁hel", "lo", "▁hello", "w"]);
    let texts = strings(&["<unk>", "<s>", "</s>"]).into_iter().chain(bytes).chain(words);
    let merges = [("▁", "h"), ("e", "l"), ("▁h", "el"), ("l", "o"), ("▁hel", "lo")];
    let merges = merges.map(|(left, right)| (left.to_owned(), right.to_owned()));
    Tokenizer::from_native(texts.enumerate().map(|(id, text)| (text, id as u32)), merges).unwrap()
}

fn all() -> Vec<Tokenizer> {
    vec![
        Tokenizer::from_gguf(spm_vocab()).unwrap(),
        Tokenizer::from_gguf(byte_vocab("gpt-2")).unwrap(),
        Tokenizer::from_gguf(byte_vocab("llama3")).unwrap(),
        Tokenizer::from_gguf(byte_vocab("deepseek-llm")).unwrap(),
        load(&metaspace_json()).unwrap(),
        native(),
    ]
}

#[test]
fn tokenizer_sentencepiece_merges_by_score() {
    let tokenizer = Tokenizer::from_gguf(spm_vocab()).unwrap();
    let of = |piece: &str| tokenizer.id_of(piece).unwrap().0;
    assert_eq!(raw(&tokenizer.encode("hello", EncodeOptions::TEXT)), [1, of("▁hello")]);
    assert_eq!(raw(&tokenizer.encode("é", BARE)), [of("▁"), of("<0xC3>"), of("<0xA9>")]);
    assert_eq!(raw(&tokenizer.encode("", BARE)), Vec::<u32>::new());
    assert_eq!(tokenizer.bos(), Some(TokenId(1)));
    assert_eq!(tokenizer.end_ids(), [TokenId(2)]);
}

#[test]
fn tokenizer_byte_level_merges_by_rank() {
    let tokenizer = Tokenizer::from_gguf(byte_vocab("gpt-2")).unwrap();
    let of = |piece: &str| tokenizer.id_of(piece).unwrap().0;
    assert_eq!(raw(&tokenizer.encode("hello world", EncodeOptions::TEXT)), [of("hello"), of("Ġworld")]);
    assert_eq!(raw(&tokenizer.encode("éhe", BARE)), [of("Ã©"), of("he")]);
    let llama3 = Tokenizer::from_gguf(byte_vocab("llama3")).unwrap();
    assert_eq!(llama3.encode("x", EncodeOptions::TEXT).first().copied(), llama3.bos());
}

#[test]
fn tokenizer_metaspace_is_the_same_from_json_and_native() {
    let (json, native) = (load(&metaspace_json()).unwrap(), native());
    let mut random = Random(5);
    for _ in 0..500 {
        let text = random.text().replace("<tool>", "");
        let (a, b) = (json.encode(&text, EncodeOptions::TEXT), native.encode(&text, EncodeOptions::TEXT));
        assert_eq!(a, b, "{text:?}");
        assert_eq!(json.decode(&a), native.decode(&b));
    }
    let of = |piece: &str| native.id_of(piece).unwrap().0;
    assert_eq!(
        raw(&native.encode("hello hew", EncodeOptions::TEXT)),
        [1, of("▁hello"), of("▁h"), of("e"), of("w")]
    );
}

#[test]
fn tokenizer_makes_control_tokens_only_from_control_parts() {
    let mut random = Random(11);
    for tokenizer in all() {
        for _ in 0..500 {
            let text = random.text();
            let ids = tokenizer.encode(&text, BARE);
            assert!(ids.iter().all(|&id| !tokenizer.is_control(id)), "{text:?} -> {ids:?}");
        }
        let (bos, name) = tokenizer.controls().find(|(_, name)| name == "<s>").unwrap();
        assert_eq!(tokenizer.encode(&name, PARSE), [bos]);
        let parts = [
            Part { text: "<s>", special: Special::Parse },
            Part { text: "h<s>", special: Special::Text },
            Part { text: "e<s>", special: Special::Parse },
        ];
        let ids = tokenizer.encode_parts(&parts, Around::Nothing);
        assert_eq!(ids.iter().filter(|&&id| id == bos).count(), 2);
        assert_eq!((ids.first(), ids.last()), (Some(&bos), Some(&bos)));
        let shown = tokenizer.decode_bytes(&ids, Controls::Show);
        assert!(String::from_utf8(shown).unwrap().ends_with("h<s>e<s>"));
        // A name that only comes together over a border is none.
        let parts =
            [Part { text: "<", special: Special::Parse }, Part { text: "s>", special: Special::Text }];
        assert!(!tokenizer.encode_parts(&parts, Around::Nothing).contains(&bos));
    }
}

#[test]
fn tokenizer_parts_are_one_text() {
    let tokenizer = Tokenizer::from_gguf(byte_vocab("gpt-2")).unwrap();
    let part = |text| Part { text, special: Special::Text };
    let whole = tokenizer.encode("hello world", BARE);
    assert_eq!(
        tokenizer.encode_parts(&[part("he"), part("llo w"), part(""), part("orld")], Around::Nothing),
        whole
    );
    assert_eq!(tokenizer.encode_parts(&[], Around::Nothing), []);
}

#[test]
fn tokenizer_round_trips_text() {
    let mut random = Random(17);
    for tokenizer in all() {
        for _ in 0..1000 {
            let text = random.text();
            let ids = tokenizer.encode(&text, EncodeOptions::TEXT);
            let back = tokenizer.decode(&ids);
            // Vocabularies with space signs read a written sign as a space, as their models do.
            let signs = tokenizer.describe().kind != "byte-level BPE";
            let text = if signs { text.replace('▁', " ") } else { text };
            // A user-defined token is a border: the model's space goes before each piece of text.
            if !(signs && text.contains("<tool>")) {
                assert_eq!(back, text);
            }
        }
    }
}

#[test]
fn tokenizer_stream_is_the_whole_and_never_half_a_character() {
    let mut random = Random(23);
    for tokenizer in all() {
        for round in 0..1000 {
            let ids: Vec<TokenId> = if round % 2 == 0 {
                tokenizer.encode(&random.text(), EncodeOptions::TEXT)
            } else {
                (0..random.below(30))
                    .map(|_| TokenId(random.below(tokenizer.vocab_size() + 3) as u32))
                    .collect()
            };
            for controls in [Controls::Hide, Controls::Show] {
                let mut stream = tokenizer.stream(controls);
                let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect();
                let joined = pieces.concat() + &stream.flush();
                let whole = tokenizer.decode_bytes(&ids, controls);
                assert_eq!(joined, String::from_utf8_lossy(&whole));
                if std::str::from_utf8(&whole).is_ok_and(|text| !text.contains('\u{FFFD}')) {
                    assert!(!pieces.concat().contains('\u{FFFD}'));
                }
            }
        }
    }
}

#[test]
fn tokenizer_stream_waits_for_the_rest_of_a_character() {
    let tokenizer = Tokenizer::from_gguf(spm_vocab()).unwrap();
    let byte = |byte: u8| tokenizer.id_of(&format!("<0x{byte:02X}>")).unwrap();
    let mut stream = tokenizer.stream(Controls::Hide);
    let given: Vec<String> = "🦙".bytes().map(|b| stream.push(byte(b))).collect();
    assert_eq!(given, ["", "", "", "🦙"]);
    stream.push(byte(0xF0));
    assert_eq!(stream.push(byte(b'a')), "\u{FFFD}a");
    stream.push(byte(0xE6));
    assert_eq!(stream.flush(), "\u{FFFD}");
    assert_eq!(stream.flush(), "");
}

#[test]
fn tokenizer_stream_keeps_a_space_where_it_continues() {
    let tokenizer = Tokenizer::from_gguf(spm_vocab()).unwrap();
    let world = tokenizer.id_of("▁world").unwrap();
    assert_eq!(tokenizer.stream(Controls::Hide).push(world), "world");
    assert_eq!(tokenizer.stream_continuing(Controls::Hide).push(world), " world");
    assert_eq!(tokenizer.decode(&ids(&[1, world.0, world.0])), "world world");
    assert_eq!(tokenizer.decode_bytes(&ids(&[1, world.0]), Controls::Show), b"<s> world");
}

#[test]
fn tokenizer_time_stays_near_linear_on_hostile_text() {
    let long = 1 << 18;
    for tokenizer in all() {
        for text in [
            "h".repeat(long),
            " ".repeat(long),
            "hello".repeat(long / 5),
            "é".repeat(long / 2),
            "<s".repeat(long / 2),
        ] {
            let ids = tokenizer.encode(&text, EncodeOptions::TEXT);
            assert_eq!(tokenizer.decode(&ids), text);
        }
    }
}

#[test]
fn tokenizer_gives_what_there_is_room_for_or_nothing() {
    let around = Around::Nothing;
    for tokenizer in all() {
        for text in
            ["h", "hello", "é", "<tool>", "hello world "].map(|text| text.repeat((1 << 17) / text.len()))
        {
            let parts = [Part { text: &text, special: Special::Text }];
            let ids = tokenizer.encode_parts(&parts, around);
            let within = |most: usize| tokenizer.encode_parts_within(&parts, around, most);
            assert_eq!(within(ids.len()).as_ref(), Some(&ids));
            for most in [ids.len() - 1, ids.len() / 2, 100, 0] {
                assert_eq!(within(most), None, "{most} of {}", ids.len());
            }
            // What was given up leaves nothing behind.
            assert_eq!(tokenizer.encode_parts(&parts, around), ids);
        }
    }
}

#[test]
fn tokenizer_describes_itself() {
    let tokenizer = Tokenizer::from_gguf(byte_vocab("llama3")).unwrap();
    let seen = tokenizer.describe();
    assert_eq!((seen.kind, seen.pre_split.as_deref(), seen.merges), ("byte-level BPE", Some("llama3"), 11));
    assert_eq!(seen.vocab_size, tokenizer.vocab_size());
    assert_eq!(seen.uncovered_bytes, 0);
    assert_eq!(seen.controls.len(), 3);
    // EOS by its id and both ends of a turn by their names.
    assert_eq!(seen.end.len(), 2);
    let mut other = byte_vocab("llama3");
    other.tokens[0] = b"!!".to_vec();
    assert_ne!(Tokenizer::from_gguf(other).unwrap().describe().fingerprint, seen.fingerprint);
}

/// Whatever types a file gives the tokens around turns: replies end at them, and texts do not make them.
#[test]
fn tokenizer_markup_of_turns_is_control_in_every_file() {
    let names = ["<|im_start|>", "<|im_end|>", "<b>"];
    let letters = "<>|_aebdimnrst".chars().map(|letter| letter.to_string());
    let tokens: Vec<String> = names.iter().map(|name| (*name).to_owned()).chain(letters).collect();
    let gguf = |kind| GgufVocab {
        model: "gpt2",
        tokens: tokens.iter().map(|token| token.as_bytes().to_vec()).collect(),
        types: Some((0..tokens.len()).map(|id| if id < names.len() { kind } else { 1 }).collect()),
        merges: Some(Vec::new()),
        ..GgufVocab::default()
    };
    let vocab: serde_json::Map<_, _> =
        tokens.iter().enumerate().map(|(id, t)| (t.clone(), json!(id))).collect();
    let added: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(id, name)| json!({"id": id, "content": name, "special": false}))
        .collect();
    let file = json!({"added_tokens": added, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
        "model": {"type": "BPE", "vocab": vocab, "merges": []}});
    let json = Tokenizer::from_bytes(file.to_string().as_bytes(), Beside::default()).unwrap();
    let files = [1, 3, 4].map(|kind| Tokenizer::from_gguf(gguf(kind)).unwrap());
    for tokenizer in files.iter().chain([&json]) {
        assert_eq!(raw(tokenizer.end_ids()), [1]);
        assert_eq!(raw(&tokenizer.encode("<|im_end|>a", EncodeOptions::CONTROL)), [1, 7]);
        let text = tokenizer.encode("<|im_end|><|im_start|>", EncodeOptions::TEXT);
        assert!(text.iter().all(|id| id.0 > 2), "{text:?}");
    }
    assert_eq!(
        raw(&files[2].encode("<b>", EncodeOptions::TEXT)),
        [2],
        "other added tokens are found everywhere"
    );
}

#[test]
fn tokenizer_takes_more_end_ids_within_the_vocabulary() {
    let mut tokenizer = native();
    tokenizer.add_end_ids(&ids(&[7, 2, 7])).unwrap();
    assert_eq!(raw(tokenizer.end_ids()), [2, 7]);
    assert!(tokenizer.is_end(TokenId(7)) && !tokenizer.is_end(TokenId(1)));
    assert!(matches!(
        tokenizer.add_end_ids(&ids(&[9999])),
        Err(TokenizerError::IdOutOfRange { id: 9999, .. })
    ));
}

/// What `change` breaks is refused with a message that names it.
fn refuses(vocab: fn() -> GgufVocab<'static>, change: impl FnOnce(&mut GgufVocab<'static>), named: &str) {
    let mut vocab = vocab();
    change(&mut vocab);
    let error = Tokenizer::from_gguf(vocab).unwrap_err().to_string();
    assert!(error.contains(named), "{error}");
}

#[test]
fn tokenizer_refuses_broken_metadata() {
    let byte = || byte_vocab("gpt-2");
    refuses(spm_vocab, |v| v.model = "plamo2", "\"plamo2\" (known: bert, gemma4, gpt2, llama, rwkv, t5)");
    refuses(byte, |v| v.pre = Some("nonesuch"), "nonesuch");
    refuses(spm_vocab, |v| v.tokens.clear(), "list of tokens");
    refuses(spm_vocab, |v| v.scores = None, "tokenizer.ggml.scores is missing");
    refuses(spm_vocab, |v| v.scores.as_mut().unwrap().truncate(3), "has 3 entries");
    refuses(spm_vocab, |v| v.scores.as_mut().unwrap()[7] = f32::NAN, "score of token 7 is NaN");
    refuses(spm_vocab, |v| v.scores.as_mut().unwrap()[7] = f32::INFINITY, "score of token 7 is inf");
    refuses(spm_vocab, |v| v.types.as_mut().unwrap()[5] = 9, "type of token 5 is 9");
    refuses(spm_vocab, |v| v.types.as_mut().unwrap().push(1), "token_type");
    refuses(spm_vocab, |v| v.tokens[10] = b"<0x-1>".to_vec(), "<0x-1>");
    refuses(spm_vocab, |v| v.tokens[11] = b"<0x0a>".to_vec(), "second for its byte");
    refuses(spm_vocab, |v| v.tokens[260] = v.tokens[261].clone(), "has the ids 260 and 261");
    refuses(spm_vocab, |v| v.eos = Some(u32::MAX), "eos_token_id is 4294967295");
    refuses(spm_vocab, |v| v.more_end_ids = vec![100_000], "an end token is 100000");
    refuses(byte, |v| v.merges = None, "tokenizer.ggml.merges is missing");
    refuses(byte, |v| v.merges.as_mut().unwrap()[0] = "he".to_owned(), "merge 0 \"he\"");
    refuses(byte, |v| v.merges.as_mut().unwrap()[0] = "h x".to_owned(), "what it makes is not a token");
    refuses(byte, |v| v.merges.as_mut().unwrap()[0] = "h 日".to_owned(), "right half");
    refuses(byte, |v| (v.bos, v.add_bos) = (None, Some(true)), "bos_token_id is missing");
    refuses(byte, |v| v.tokens[0] = vec![b'x'; 1 << 17], "131072 is more than the limit");
}

#[test]
fn tokenizer_takes_metadata_that_leave_things_out() {
    let plain = Tokenizer::from_gguf(GgufVocab { types: None, ..spm_vocab() }).unwrap();
    let typed = Tokenizer::from_gguf(spm_vocab()).unwrap();
    assert_eq!(plain.encode("hello é", BARE), typed.encode("hello é", BARE));
    let mut vocab = spm_vocab();
    vocab.add_space_prefix = Some(false);
    vocab.add_bos = Some(false);
    let tokenizer = Tokenizer::from_gguf(vocab).unwrap();
    assert_eq!(tokenizer.encode("h", EncodeOptions::TEXT), [tokenizer.id_of("h").unwrap()]);
    let mut vocab = spm_vocab();
    vocab.tokens[264] = Vec::new();
    vocab.tokens[265] = b"\xFF\xFE".to_vec();
    let tokenizer = Tokenizer::from_gguf(vocab).unwrap();
    assert_eq!(tokenizer.decode(&tokenizer.encode("hello", BARE)), "hello");
}

#[test]
fn tokenizer_json_refuses_what_it_does_not_know() {
    for (pointer, value, named) in [
        ("/model/type", json!("Nonesuch"), "known: BPE, Unigram, WordPiece, WordLevel"),
        ("/model/type", json!("Unigram"), "a list of texts with scores"),
        ("/model/continuing_subword_prefix", json!("##"), "continues no word"),
        ("/model/dropout", json!(0.1), "dropout"),
        ("/model/vocab", json!([["a", 0.0]]), "a map from texts to ids"),
        ("/model/merges", json!(["▁ x"]), "merge 0"),
        ("/model/merges", json!(["▁x"]), "merge 0"),
        ("/model/unk_token", json!("<none>"), "<none>"),
        ("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AQI="}), "fewer than 4 bytes"),
        ("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "?"}), "base64"),
        ("/normalizer", json!({"type": "Sequence", "normalizers": [{"type": "Lnmt"}]}), "Lnmt"),
        (
            "/normalizer/normalizers/1/content",
            json!("x".repeat(1000)),
            "make text longer: 4000 is more than the limit of 256",
        ),
        (
            "/pre_tokenizer",
            json!({"type": "Sequence", "pretokenizers": vec![json!({"type": "ByteLevel"}); 16]}),
            "make text longer",
        ),
        ("/decoder/decoders/0/content", json!("x".repeat(1000)), "makes text longer"),
        ("/pre_tokenizer", json!({"type": "UnicodeWords"}), "UnicodeWords"),
        ("/pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "FixedLength of 0"),
        (
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "(?<=a)b"}, "behavior": "Isolated"}),
            "(?<=a)b",
        ),
        (
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"String": "a"}, "behavior": "Sideways"}),
            "Sideways",
        ),
        (
            "/pre_tokenizer",
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "last"}),
            "last",
        ),
        ("/post_processor", json!({"type": "Nonesuch"}), "Nonesuch"),
        ("/post_processor/special_tokens", json!({}), "\"<s>\""),
        ("/post_processor/special_tokens/<s>/ids", json!([99999]), "99999"),
        ("/decoder", json!({"type": "CTC"}), "CTC"),
        ("/decoder", json!({"type": "BPEDecoder", "suffix": ""}), "empty suffix"),
        ("/decoder/decoders/3/content", json!("é"), "Strip behind Fuse"),
        ("/added_tokens/3/id", json!(4_000_000_000_u32), "highest token id"),
        ("/added_tokens/3/id", json!(5), "stand once"),
        ("/added_tokens/1/id", json!(2), "has the ids 1 and 2"),
        ("/model/byte_fallback", json!("yes"), "tokenizer.json"),
    ] {
        let mut json = metaspace_json();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match json.pointer_mut(parent).unwrap() {
            Value::Object(object) => drop(object.insert(key.to_owned(), value)),
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
            _ => panic!("{pointer}"),
        }
        let error = load(&json).err().map_or_else(|| format!("{pointer} loads"), |error| error.to_string());
        assert!(error.contains(named), "{pointer}: {error}");
    }
    let twice = br#"{"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}}"#;
    assert!(matches!(Tokenizer::from_tokenizer_json(twice, None), Err(TokenizerError::Duplicate { .. })));
    for text in [&b""[..], b"{", b"[]", b"\xFF", "[".repeat(100_000).as_bytes()] {
        assert!(matches!(Tokenizer::from_tokenizer_json(text, None), Err(TokenizerError::Json { .. })));
    }
}

#[test]
fn tokenizer_json_heeds_the_config_beside_it() {
    let json = metaspace_json().to_string();
    let with = |config: Value| {
        Tokenizer::from_tokenizer_json(json.as_bytes(), Some(config.to_string().as_bytes())).unwrap()
    };
    let tokenizer = with(json!({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": null}));
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(TokenId(1)), Some(TokenId(2))));
    assert_eq!(raw(&tokenizer.encode("h", EncodeOptions::TEXT))[0], 1);
    let asked = json!({
        "tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
        "add_bos_token": false, "add_eos_token": true,
    });
    let ids = raw(&with(asked).encode("h", EncodeOptions::TEXT));
    assert_eq!((ids.len(), ids[1]), (2, 2));
    let wrong =
        Tokenizer::from_tokenizer_json(json.as_bytes(), Some(br#"{"eos_token": "<nope>"}"#)).unwrap_err();
    assert!(wrong.to_string().contains("<nope>"), "{wrong}");
}

#[test]
fn tokenizer_json_adds_tokens_beside_the_vocabulary() {
    let tokenizer = load(&metaspace_json()).unwrap();
    let of = |piece: &str| tokenizer.id_of(piece).unwrap().0;
    assert_eq!(raw(&tokenizer.encode("h<tool>h", BARE)), [of("▁h"), 270, of("▁h")]);
    assert_eq!(tokenizer.vocab_size(), 271);
    let mut json = metaspace_json();
    json["added_tokens"][3]["id"] = json!(300);
    let tokenizer = load(&json).unwrap();
    assert_eq!(tokenizer.vocab_size(), 301);
    assert_eq!(tokenizer.decode(&ids(&[280, 300])), "<tool>");
}

/// Random damage to a good file: an error or a tokenizer that works, never a panic.
#[test]
fn tokenizer_json_survives_mutations() {
    let good = metaspace_json().to_string().into_bytes();
    let mut random = Random(31);
    let mut loaded = 0;
    for _ in 0..600 {
        let mut bad = good.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bad.len());
            match random.below(4) {
                0 => bad[at] = random.below(256) as u8,
                1 => drop(bad.remove(at)),
                2 => bad.insert(at, b"0123456789[]{}\",:\\-<>"[random.below(21)]),
                _ => {
                    let from = random.below(bad.len());
                    let piece: Vec<u8> = bad[from..(from + random.below(40)).min(bad.len())].to_vec();
                    bad.splice(at..at, piece);
                }
            }
        }
        if let Ok(tokenizer) = Tokenizer::from_tokenizer_json(&bad, None) {
            loaded += 1;
            let text = random.text();
            let ids = tokenizer.encode(&text, PARSE);
            assert!(ids.iter().all(|id| (id.0 as usize) < tokenizer.vocab_size()));
            tokenizer.decode(&ids);
            tokenizer.describe();
        }
    }
    assert!((20..580).contains(&loaded), "{loaded} of 600 load");
}

#[test]
fn tokenizer_is_shared_between_threads() {
    let tokenizer = Tokenizer::from_gguf(byte_vocab("llama3")).unwrap();
    let text = "hello world 123".repeat(200);
    let want = tokenizer.encode(&text, BARE);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20).for_each(|_| assert_eq!(tokenizer.encode(&text, BARE), want)));
        }
    });
}
