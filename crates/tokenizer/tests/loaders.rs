//! Tokenizers from every kind of file, on small files made here; needs no fixtures.

#![expect(clippy::unwrap_used, reason = "a test whose file does not load has failed")]

use serde_json::{Value, json};
use torchless_base::TokenId;
use torchless_tokenizer::{
    Around, Beside, Controls, EncodeOptions, GgufVocab, Special, Tokenizer, TokenizerError,
};

const BARE: EncodeOptions = EncodeOptions { special: Special::Text, around: Around::Nothing };
const PARSE: EncodeOptions = EncodeOptions { special: Special::Parse, around: Around::Nothing };
const WHOLE: EncodeOptions = EncodeOptions { special: Special::Parse, around: Around::ModelDefault };

fn raw(ids: &[TokenId]) -> Vec<u32> {
    ids.iter().map(|id| id.0).collect()
}

fn json_file(value: &Value) -> Tokenizer {
    Tokenizer::from_bytes(value.to_string().as_bytes(), Beside::default()).unwrap()
}

fn refused(file: &[u8]) -> String {
    Tokenizer::from_bytes(file, Beside::default()).unwrap_err().to_string()
}

fn unigram() -> Value {
    json!({
        "added_tokens": [{"id": 0, "content": "<unk>", "special": true, "normalized": false},
            {"id": 1, "content": "</s>", "special": true, "normalized": false}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Strip", "strip_left": true, "strip_right": true}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "</s>", "type_id": 1}}],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["</s>", 0.0], ["▁", -2.0],
            ["h", -4.0], ["i", -4.0], ["▁hi", -3.0], ["▁h", -3.5]]},
    })
}

#[test]
fn tokenizer_unigram_cuts_words_at_their_best() {
    let tokenizer = json_file(&unigram());
    assert_eq!(raw(&tokenizer.encode(" hi  hhi ", WHOLE)), [5, 2, 6, 3, 4, 1]);
    assert_eq!(raw(&tokenizer.encode("xyz", BARE)), [2, 0]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("hi hi", WHOLE)), "hi hi");
    let pair = tokenizer.encode_pair("hi", "h", WHOLE).unwrap();
    assert_eq!((raw(&pair.ids), pair.type_ids), (vec![5, 1, 6, 1], vec![0, 0, 1, 1]));
    let typed = tokenizer.encode_typed("hi", WHOLE);
    assert_eq!(typed.type_ids, [0, 0]);
    let mut bad = unigram();
    bad["model"]["unk_id"] = json!(99);
    assert!(refused(bad.to_string().as_bytes()).contains("model.unk_id is 99"));
    bad = unigram();
    bad["model"]["vocab"][3] = json!(["i", -4.0]);
    assert!(refused(bad.to_string().as_bytes()).contains("stand once"));
    bad = unigram();
    bad["model"]["vocab"][3][1] = json!(null);
    assert!(refused(bad.to_string().as_bytes()).contains("tokenizer.json"));
}

fn wordpiece() -> Value {
    let vocab: serde_json::Map<String, Value> =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "!", "größe", "grosse", "語"]
            .into_iter()
            .zip(0..)
            .map(|(text, id): (&str, u32)| (text.to_owned(), id.into()))
            .collect();
    let special =
        |id: u32, text: &str| json!({"id": id, "content": text, "special": true, "normalized": false});
    json!({
        "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": false, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 12, "vocab": vocab},
    })
}

#[test]
fn tokenizer_wordpiece_cleans_and_splits_as_bert() {
    let tokenizer = json_file(&wordpiece());
    let ids = tokenizer.encode("Unaffable! Größe語", WHOLE);
    assert_eq!(raw(&ids), [2, 4, 5, 6, 7, 8, 10, 3]);
    assert_eq!(tokenizer.decode(&ids), "unaffable! größe 語");
    assert_eq!(tokenizer.decode_bytes(&ids[..3], Controls::Show), b"[CLS] unaff");
    assert_eq!(raw(&tokenizer.encode("unununununun unx", BARE)), [1, 1]);
    assert_eq!(raw(&tokenizer.encode("[SEP]", PARSE)), [3]);
    assert!(!tokenizer.encode("[SEP]", BARE).contains(&TokenId(3)));
    let pair = tokenizer.encode_pair("un", "!", WHOLE).unwrap();
    assert_eq!((raw(&pair.ids), pair.type_ids), (vec![2, 4, 3, 7, 3], vec![0, 0, 0, 1, 1]));
}

#[test]
fn tokenizer_normalised_added_tokens_are_found_where_the_program_wrote_all() {
    let mut file = wordpiece();
    file["added_tokens"][3]["normalized"] = json!(true);
    file["added_tokens"][3]["content"] = json!("[sep]");
    file["model"]["vocab"]["[sep]"] = json!(3);
    file["model"]["vocab"].as_object_mut().unwrap().remove("[SEP]");
    let tokenizer = json_file(&file);
    assert_eq!(raw(&tokenizer.encode("un[SEP]un", PARSE)), [4, 3, 4], "lowered first");
    assert!(!tokenizer.encode("un[SEP]un", BARE).contains(&TokenId(3)));
}

#[test]
fn tokenizer_config_beside_counts_more_than_the_file() {
    let file = wordpiece().to_string();
    let config = json!({"added_tokens_decoder": {
        "3": {"content": "[SEP]", "special": true, "lstrip": true},
        "11": {"content": "[NEW]", "special": false, "normalized": false}}, "pad_token": "[PAD]"})
    .to_string();
    let map = json!({"pad_token": "[UNK]", "eos_token": {"content": "[SEP]"}}).to_string();
    let beside =
        Beside { tokenizer_config: Some(config.as_bytes()), special_tokens_map: Some(map.as_bytes()) };
    let tokenizer = Tokenizer::from_bytes(file.as_bytes(), beside).unwrap();
    assert_eq!(raw(&tokenizer.encode("un  [SEP][NEW]", PARSE)), [4, 3, 11]);
    assert_eq!((tokenizer.special_ids().pad, tokenizer.eos()), (Some(TokenId(0)), Some(TokenId(3))));
    let wrong = json!({"added_tokens_decoder": {"x": {"content": "a"}}}).to_string();
    let beside = Beside { tokenizer_config: Some(wrong.as_bytes()), ..Beside::default() };
    let error = Tokenizer::from_bytes(file.as_bytes(), beside).unwrap_err().to_string();
    assert!(error.contains("\"x\" is no token id"), "{error}");
}

/// One field of a protobuf message: its number, and bytes or a number.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(bytes);
    out
}

fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
    let mut message = field(1, text.as_bytes());
    message.push(2 << 3 | 5);
    message.extend(score.to_le_bytes());
    message.extend([3 << 3, kind]);
    field(1, &message)
}

/// A model of SentencePiece: type 1 is Unigram, 2 BPE.
fn sentencepiece(model_type: u8) -> Vec<u8> {
    let mut file = [piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("</s>", 0.0, 3)].concat();
    for (text, score) in [("▁", -3.0), ("h", -4.0), ("i", -4.0), ("▁h", -2.0), ("▁hi", -1.0)] {
        file.extend(piece(text, score, 1));
    }
    file.extend(piece("<tool>", 0.0, 4));
    file.extend(field(2, &[3 << 3, model_type]));
    file
}

#[test]
fn tokenizer_sentencepiece_models_are_read() {
    for (model_type, kind, first) in [(1, "Unigram", vec![]), (2, "SentencePiece BPE", vec![1])] {
        let tokenizer = Tokenizer::from_bytes(&sentencepiece(model_type), Beside::default()).unwrap();
        assert_eq!(tokenizer.describe().kind, kind);
        let ids = raw(&tokenizer.encode("  hi  hx ", WHOLE));
        assert_eq!(ids, [first, vec![7, 6, 0]].concat(), "{kind}");
        assert_eq!(tokenizer.decode(&tokenizer.encode("hi hi", BARE)), "hi hi");
        // The model's space stands before the text alone, not before each piece of it.
        assert_eq!(raw(&tokenizer.encode("hi<tool>hi", BARE)), [7, 8, 4, 5], "{kind}");
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(TokenId(1)), Some(TokenId(2))));
        assert_eq!(raw(&tokenizer.encode("</s>", PARSE)), [2]);
    }
    let with = |class: &str| {
        let config = json!({"tokenizer_class": class, "add_eos_token": true}).to_string();
        let beside = Beside { tokenizer_config: Some(config.as_bytes()), ..Beside::default() };
        Tokenizer::from_sentencepiece(&sentencepiece(1), beside)
    };
    assert_eq!(raw(&with("T5Tokenizer").unwrap().encode("hi", WHOLE)), [7, 2]);
    let error = with("XLMRobertaTokenizer").unwrap_err().to_string();
    assert!(error.contains("XLMRobertaTokenizer") && error.contains("tokenizer.json"), "{error}");
}

/// The map of a normaliser that makes a space of a tab.
fn tab_map() -> Vec<u8> {
    let (place, at) = (256 ^ 9, 768 ^ 9);
    let mut units = vec![0_u32; 1024];
    units[0] = 256 << 10;
    units[place] = 9 | 1 << 8 | ((place ^ at) as u32) << 10;
    units[at] = 1 << 31;
    let units = units.iter().flat_map(|unit| unit.to_le_bytes());
    4096_u32.to_le_bytes().into_iter().chain(units).chain(*b" \0").collect()
}

#[test]
fn tokenizer_sentencepiece_pieces_of_the_user_are_not_normalised() {
    for model_type in [1, 2] {
        let file = [sentencepiece(model_type), field(3, &field(2, &tab_map()))].concat();
        let encoded = |file: &[u8]| {
            raw(&Tokenizer::from_sentencepiece(file, Beside::default()).unwrap().encode("hi\thi", BARE))
        };
        assert_eq!(encoded(&file), [7, 7]);
        assert_eq!(encoded(&[file, piece("\t", 0.0, 4)].concat()), [7, 9, 4, 5]);
    }
}

#[test]
fn tokenizer_sentencepiece_models_that_are_broken_are_refused() {
    let error = |file: &[u8]| Tokenizer::from_sentencepiece(file, Beside::default()).unwrap_err().to_string();
    assert!(error(&[]).contains("list of tokens"));
    assert!(error(&sentencepiece(3)).contains("\"3\" (known: 1 (Unigram), 2 (BPE))"));
    assert!(error(&sentencepiece(1)[..40]).contains("cut off"));
    let nan = [sentencepiece(1), piece("x", f32::NAN, 1)].concat();
    assert!(error(&nan).contains("score of token 9 is NaN"));
    assert!(error(&[sentencepiece(1), piece("x", 0.0, 6)].concat()).contains("is none"));
    assert!(error(&[sentencepiece(1), piece("x", 0.0, 9)].concat()).contains("type of token 9 is 9"));
    assert!(error(&[sentencepiece(2), piece("h", 0.0, 1)].concat()).contains("ids 4 and 9"));
    let charsmap = [sentencepiece(1), field(3, &field(2, &[1, 2]))].concat();
    assert!(error(&charsmap).contains("fewer than 4 bytes"));
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - bytes.len()));
    let sign = |place: usize| char::from(SIGNS[(bits >> (18 - 6 * place)) as usize & 63]);
    (0..4).map(|place| if place <= bytes.len() { sign(place) } else { '=' }).collect()
}

#[test]
fn tokenizer_ranks_are_known_by_their_number() {
    let mut file: String = (0..=255_u8).map(|byte| format!("{} {byte}\n", base64(&[byte]))).collect();
    for rank in 256..50_256_u32 {
        let pair = [(rank >> 8) as u8, rank as u8];
        file += &format!("{} {rank}\n", base64(&pair));
    }
    let tokenizer = Tokenizer::from_bytes(file.as_bytes(), Beside::default()).unwrap();
    assert_eq!(tokenizer.describe().pre_split.as_deref(), Some("GPT-2"));
    let word = u32::from_be_bytes([0, 0, b'h', b'i']);
    assert_eq!(raw(&tokenizer.encode("hi!", BARE)), [word, u32::from(b'!')]);
    assert_eq!(raw(&tokenizer.encode("<|endoftext|>", PARSE)), [50_256]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("日本 hi", BARE)), "日本 hi");

    let few = "aGk= 0\naQ== 1\n";
    let error = refused(few.as_bytes());
    assert!(error.contains("2 ranks") && error.contains("128000 (Llama 3)"), "{error}");
    assert!(refused(b"aGk= 0\nnothing\n").contains("line 2"));
    assert!(refused(format!("{file}aGk= 1\n").as_bytes()).contains("50257 ranks"));
    let twice = file.replacen("aGk= ", "bm8= ", 1);
    assert!(refused(twice.as_bytes()).contains("has the ids"));
    let lacking = file.replacen("YQ== 97\n", "gICAgICAgICAgA== 97\n", 1);
    assert!(refused(lacking.as_bytes()).contains("no rank for the byte 0x61"));
}

#[test]
fn tokenizer_tekken_files_are_read() {
    let mut vocab: Vec<Value> =
        (0..=255_u8).map(|byte| json!({"rank": byte, "token_bytes": base64(&[byte])})).collect();
    vocab.push(json!({"rank": 256, "token_bytes": base64(b"hi"), "token_str": "hi"}));
    vocab.push(json!({"rank": 257, "token_bytes": base64(b"no"), "token_str": "no"}));
    let mut file = json!({
        "config": {"pattern": r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+",
            "num_vocab_tokens": 258, "default_vocab_size": 277, "default_num_special_tokens": 20, "version": "v3"},
        "vocab": vocab,
    });
    let tokenizer = json_file(&file);
    assert_eq!(tokenizer.vocab_size(), 277, "the last rank lies beyond it");
    assert_eq!(
        raw(&tokenizer.encode("hi[INST]no", WHOLE)),
        [1, 276, 3, 20 + u32::from(b'n'), 20 + u32::from(b'o')]
    );
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(TokenId(1)), Some(TokenId(2))));
    assert_eq!(tokenizer.decode(&tokenizer.encode("hi no", WHOLE)), "hi no");
    file["special_tokens"] = json!([{"rank": 0, "token_str": "<s>", "is_control": true}]);
    assert_eq!(json_file(&file).bos(), Some(TokenId(0)));
    file["special_tokens"] = json!([{"rank": 0, "token_str": "<s>"}, {"rank": 4, "token_str": "<s>"}]);
    assert!(refused(file.to_string().as_bytes()).contains("has the ids 0 and 4"));
    file["special_tokens"] = json!([{"rank": 0, "token_str": "<SPECIAL_7>"}]);
    assert!(refused(file.to_string().as_bytes()).contains("has the ids 0 and 7"));
    file["config"]["default_vocab_size"] = json!(279);
    assert!(refused(file.to_string().as_bytes()).contains("has 258 tokens of the 259"));
    file["config"]["default_vocab_size"] = json!(277);
    let lacking = |file: &mut Value, bytes: &[u8]| file["vocab"][97]["token_bytes"] = json!(base64(bytes));
    lacking(&mut file, b"yes");
    file["special_tokens"] = json!([]);
    assert!(refused(file.to_string().as_bytes()).contains("no token for the byte 0x61"));
    lacking(&mut file, b"a");
    file["special_tokens"] = json!([{"rank": 0, "token_str": "<s>", "is_control": true}]);
    file["special_tokens"][0]["rank"] = json!(20);
    assert!(refused(file.to_string().as_bytes()).contains("20 is more than the limit of 19"));
    file["vocab"][3]["token_bytes"] = json!("?");
    assert!(refused(file.to_string().as_bytes()).contains("not base64"));
}

#[test]
fn tokenizer_gguf_kinds_are_read() {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let t5 = GgufVocab {
        model: "t5",
        tokens: texts(&["<pad>", "</s>", "<unk>", "▁hi", "▁", "h", "i"]),
        types: Some(vec![3, 3, 2, 1, 1, 1, 1]),
        scores: Some(vec![0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -3.0]),
        add_space_prefix: Some(true),
        remove_extra_whitespaces: Some(true),
        ..GgufVocab::default()
    };
    assert_eq!(raw(&Tokenizer::from_gguf(t5.clone()).unwrap().encode("hi  ih", WHOLE)), [3, 4, 6, 5, 1]);
    let broken = GgufVocab { charsmap: Some(vec![1]), ..t5 };
    assert!(matches!(Tokenizer::from_gguf(broken), Err(TokenizerError::Charsmap { .. })));

    let bert = GgufVocab {
        model: "bert",
        tokens: texts(&["[CLS]", "[SEP]", "[UNK]", "▁un", "able", "▁!"]),
        types: Some(vec![3, 3, 2, 1, 1, 1]),
        cls: Some(0),
        sep: Some(1),
        unk: Some(2),
        ..GgufVocab::default()
    };
    let tokenizer = Tokenizer::from_gguf(bert.clone()).unwrap();
    let ids = tokenizer.encode("Ünable! ▁un", WHOLE);
    assert_eq!(raw(&ids), [0, 3, 4, 5, 2, 1], "a written sign is no beginning of a word");
    assert_eq!(tokenizer.decode(&ids), "unable !");
    assert_eq!(tokenizer.encode_pair("un", "un", WHOLE).unwrap().type_ids, [0, 0, 0, 1, 1]);

    // Which tokens stand around a text is a file's business, whether they do is not.
    let around = |file: GgufVocab<'_>| raw(&Tokenizer::from_gguf(file).unwrap().encode("un", WHOLE));
    for (bos, eos) in [(None, None), (Some(true), Some(true)), (Some(false), Some(false))] {
        assert_eq!(around(GgufVocab { add_bos: bos, add_eos: eos, ..bert.clone() }), [0, 3, 1]);
    }
    assert_eq!(around(GgufVocab { cls: Some(4), sep: Some(5), ..bert.clone() }), [4, 3, 5]);
    assert_eq!(around(GgufVocab { bos: Some(4), eos: Some(5), ..bert.clone() }), [4, 3, 1]);
    assert_eq!(around(GgufVocab { cls: None, sep: None, types: None, ..bert }), [0, 3, 1], "by their names");

    let rwkv = GgufVocab {
        model: "rwkv",
        tokens: texts(&["<s>", "a", "ab", "\\n", "\\xc3\\xa9", "\\\\"]),
        unk: Some(0),
        ..GgufVocab::default()
    };
    let tokenizer = Tokenizer::from_gguf(rwkv).unwrap();
    assert_eq!(raw(&tokenizer.encode("aba\né\\?", BARE)), [2, 1, 3, 4, 5, 0]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("ab\né\\", BARE)), "ab\né\\");
}

#[test]
fn tokenizer_files_of_no_kind_are_refused() {
    for file in [&b""[..], b"PK\x03\x04", b"hello world", b"\x80\x02}q\x00"] {
        let error = refused(file);
        assert!(error.contains("tokenizer.json, tekken.json"), "{error}");
    }
    assert!(refused(b"{}").contains("tokenizer.json"));
}

/// A quadratic step would take minutes here.
#[test]
fn tokenizer_json_ends_at_its_limits() {
    let file = |component: &str| {
        let model = r#""model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}"#;
        refused(format!("{{{component}, {model}}}").as_bytes())
    };
    let steps = vec![r#"{"type": "NFC"}"#; 1 << 16].join(",");
    let chain = format!(r#""normalizer": {{"type": "Sequence", "normalizers": [{steps}]}}"#);
    assert!(file(&chain).contains("more entries than the limit of 65536"), "{}", file(&chain));
    let merges = r#""a a","#.repeat(1 << 22);
    let model = format!(r#"{{"model": {{"type": "BPE", "vocab": {{"a": 0}}, "merges": [{merges}"a a"]}}}}"#);
    assert!(refused(model.as_bytes()).contains("more entries than the limit of 4194304"));
}

#[test]
fn tokenizer_names_what_it_reads_in_words() {
    let mut file = unigram();
    file["model"] = json!({"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]});
    assert!(refused(file.to_string().as_bytes()).contains("a merge is not two texts"));
    file["model"]["merges"] = json!([5]);
    let wrong = refused(file.to_string().as_bytes());
    assert!(wrong.contains(r#"a merge: "a b" or ["a", "b"]"#), "{wrong}");
    let config =
        Tokenizer::from_tokenizer_json(unigram().to_string().as_bytes(), Some(br#"{"bos_token": 5}"#));
    let wrong = config.err().unwrap().to_string();
    assert!(wrong.contains("expected the text of a token, or an o"), "{wrong}");
}

#[test]
fn tokenizer_time_stays_near_linear_on_hostile_text() {
    let long = 1 << 20;
    let normalized = |kind: &str| {
        let mut file = unigram();
        file["normalizer"] = json!({"type": kind});
        file["pre_tokenizer"]["split"] = json!(false);
        json_file(&file)
    };
    let all = [
        json_file(&unigram()),
        json_file(&wordpiece()),
        normalized("NFKC"),
        normalized("NFD"),
        Tokenizer::from_sentencepiece(&sentencepiece(1), Beside::default()).unwrap(),
        Tokenizer::from_sentencepiece(&sentencepiece(2), Beside::default()).unwrap(),
    ];
    for tokenizer in &all {
        for unit in ["h", " ", "\u{301}", "\u{315}\u{300}", "hi", "語", "\u{1F1E9}", "▁", "un"] {
            let text = unit.repeat(long / unit.len());
            let ids = tokenizer.encode(&text, WHOLE);
            assert!(ids.len() <= text.len() + 2);
            tokenizer.decode(&ids);
        }
    }
}

#[test]
fn tokenizer_streams_of_every_decoder_equal_the_whole() {
    let with = |decoder: Value| {
        let mut file = unigram();
        file["decoder"] = decoder;
        json_file(&file)
    };
    let all = [
        json_file(&unigram()),
        json_file(&wordpiece()),
        with(json!({"type": "BPEDecoder", "suffix": "h"})),
        with(json!({"type": "CTC", "pad_token": "i", "word_delimiter_token": "▁", "cleanup": true})),
        with(
            json!({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 2}]}),
        ),
    ];
    let mut seed = 7_u64;
    for tokenizer in &all {
        for _ in 0..500 {
            let mut ids = Vec::new();
            for _ in 0..seed % 9 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ids.push(TokenId((seed >> 33) as u32 % tokenizer.vocab_size() as u32));
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            for controls in [Controls::Hide, Controls::Show] {
                let mut stream = tokenizer.stream(controls);
                let streamed: String = ids.iter().map(|id| stream.push(*id)).collect();
                let whole = tokenizer.decode_bytes(&ids, controls);
                assert_eq!(streamed + &stream.flush(), String::from_utf8_lossy(&whole), "{ids:?}");
            }
        }
    }
}

/// A BPE model without merges.
fn letters(vocab: &Value, options: &Value, pre_tokenizer: &Value) -> Value {
    let mut model = json!({"type": "BPE", "unk_token": "<unk>", "vocab": vocab, "merges": []});
    let options = options.as_object().unwrap().clone();
    model.as_object_mut().unwrap().extend(options);
    json!({"pre_tokenizer": pre_tokenizer, "model": model})
}

fn added(file: &Value, id: u32, text: &str, normalizer: &Value) -> Tokenizer {
    let mut file = file.clone();
    file["added_tokens"] = json!([{"id": id, "content": text, "single_word": true, "normalized": false}]);
    file["normalizer"] = normalizer.clone();
    json_file(&file)
}

#[test]
fn tokenizer_json_models_do_not_make_what_was_only_added() {
    let ids = |tokenizer: &Tokenizer, text| raw(&tokenizer.encode(text, BARE));
    let lower = json!({"type": "Lowercase"});
    let vocab = json!({"<unk>": 0, "a": 1, "##b": 2, "##c": 3});
    let pieces = json!({"pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordPiece", "unk_token": "<unk>", "vocab": vocab}});
    let tokenizer = added(&pieces, 5, "ab", &lower);
    assert_eq!(ids(&tokenizer, "AB ABC ab"), [1, 2, 1, 2, 3, 5]);
    let words = json!({"pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<unk>": 0, "a": 1}}});
    assert_eq!(ids(&added(&words, 2, "ab", &lower), "AB ab"), [0, 2]);
    for ignore_merges in [false, true] {
        let options = json!({"ignore_merges": ignore_merges});
        let bpe = letters(&json!({"<unk>": 0, "a": 1, "b": 2}), &options, &json!(null));
        assert_eq!(ids(&added(&bpe, 3, "é", &lower), "aéb é"), [1, 0, 2, 0, 3]);
    }
}

#[test]
fn tokenizer_byte_level_heeds_what_writes_letters_that_are_missing() {
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
    let ids = |file: &Value, text| raw(&json_file(file).encode(text, BARE));
    let vocab = json!({"<unk>": 0, "a": 1, "b": 2});
    assert_eq!(ids(&letters(&vocab, &json!({"fuse_unk": true}), &bytes), "axyzb"), [1, 0, 2]);
    let mut all: serde_json::Map<_, _> =
        (0..256).map(|byte| (format!("<0x{byte:02X}>"), json!(byte))).collect();
    all.insert("a".to_owned(), json!(256));
    let options = json!({"byte_fallback": true, "unk_token": null});
    let file = letters(&all.into(), &options, &bytes);
    assert_eq!(ids(&file, "axé"), [256, 0x78, 0xC3, 0x83, 0xC2, 0xA9]);
    assert_eq!(json_file(&file).describe().uncovered_bytes, 0);
    let sign = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": false});
    let both = json!({"type": "Sequence", "pretokenizers": [bytes, sign]});
    let vocab = json!({"<unk>": 0, "a": 1, "▁": 2, "Ã": 3, "©": 4});
    assert_eq!(ids(&letters(&vocab, &json!({}), &both), "aé"), [2, 1, 3, 4]);
}

#[test]
fn tokenizer_metaspace_takes_for_the_first_what_the_text_begins_with() {
    let first = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"});
    let mut file = letters(&json!({"<unk>": 0, "a": 1, "▁": 2}), &json!({}), &first);
    let ids = |file: &Value, text| raw(&json_file(file).encode(text, BARE));
    assert_eq!(ids(&file, "a"), [2, 1]);
    file["normalizer"] = json!({"type": "Strip", "strip_left": true, "strip_right": false});
    assert_eq!((ids(&file, "a"), ids(&file, " a")), (vec![2, 1], vec![1]));
}

#[test]
fn tokenizer_json_decoders_see_joined_text_behind_byte_level() {
    let mut file = letters(&json!({"<unk>": 0, "a": 1, "b": 2, "Ġ": 3}), &json!({}), &json!(null));
    let with = |last: Value| json!({"type": "Sequence", "decoders": [{"type": "ByteLevel"}, last]});
    let ids = [3, 2, 3, 1].map(TokenId);
    file["decoder"] = with(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    assert_eq!(json_file(&file).decode(&ids), "b a");
    file["decoder"] = with(json!({"type": "Replace", "pattern": {"String": "a"}, "content": "x"}));
    assert!(refused(file.to_string().as_bytes()).contains("Replace behind Fuse, ByteLevel"));
    let words =
        json!({"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<unk>": 0, "hello": 1, "world": 2}});
    let tokenizer = json_file(&json!({"model": words, "decoder": null}));
    assert_eq!(tokenizer.decode(&[1, 2].map(TokenId)), "hello world");
    let mut stream = tokenizer.stream(Controls::Hide);
    assert_eq!([1, 2].map(|id| stream.push(TokenId(id))).concat(), "hello world");
}
