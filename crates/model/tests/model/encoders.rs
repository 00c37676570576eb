//! Small encoders made on the spot: what loads, what is refused, what a device is asked, and facts of the result.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use serde_json::{Value, json};
use std::sync::Arc;
use torchless_base::TokenId;
use torchless_device::{CpuDevice, CpuOptions, Recorder};
use torchless_formats::{Checkpoint, Metadata, open_bytes};
use torchless_kernels::Precision;
use torchless_model::ModelError;
use torchless_model::encoder::{
    EncodeError, Encoder, EncoderOptions, EncoderText, Pooling, Scores, Want, encoder_spec, is_encoder,
    load_encoder,
};

const DIM: usize = 8;

/// A configuration and its tensors, to be spoiled.
#[derive(Clone)]
struct Tiny {
    config: Value,
    tensors: Vec<(String, Vec<usize>)>,
}

impl Tiny {
    fn tensor(mut self, name: &str, shape: Option<&[usize]>) -> Self {
        self.tensors.retain(|(n, _)| n != name);
        self.tensors.extend(shape.map(|s| (name.to_owned(), s.to_vec())));
        self
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    fn linear(self, name: &str, [rows, cols]: [usize; 2]) -> Self {
        self.tensor(&format!("{name}.weight"), Some(&[rows, cols]))
            .tensor(&format!("{name}.bias"), Some(&[rows]))
    }

    fn norm(self, name: &str) -> Self {
        self.tensor(&format!("{name}.weight"), Some(&[DIM])).tensor(&format!("{name}.bias"), Some(&[DIM]))
    }

    /// A BERT of one layer that classifies texts.
    fn bert() -> Self {
        let config = json!({
            "model_type": "bert", "architectures": ["BertForSequenceClassification"], "vocab_size": 11,
            "hidden_size": DIM, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12,
            "max_position_embeddings": 6, "type_vocab_size": 2, "id2label": {"0": "SAFE", "1": "BAD"},
        });
        let layer = "bert.encoder.layer.0";
        Self { config, tensors: Vec::new() }
            .tensor("bert.embeddings.word_embeddings.weight", Some(&[11, DIM]))
            .tensor("bert.embeddings.position_embeddings.weight", Some(&[6, DIM]))
            .tensor("bert.embeddings.token_type_embeddings.weight", Some(&[2, DIM]))
            .norm("bert.embeddings.LayerNorm")
            .linear(&format!("{layer}.attention.self.query"), [DIM, DIM])
            .linear(&format!("{layer}.attention.self.key"), [DIM, DIM])
            .linear(&format!("{layer}.attention.self.value"), [DIM, DIM])
            .linear(&format!("{layer}.attention.output.dense"), [DIM, DIM])
            .norm(&format!("{layer}.attention.output.LayerNorm"))
            .linear(&format!("{layer}.intermediate.dense"), [12, DIM])
            .linear(&format!("{layer}.output.dense"), [DIM, 12])
            .norm(&format!("{layer}.output.LayerNorm"))
            .linear("bert.pooler.dense", [DIM, DIM])
            .linear("classifier", [2, DIM])
    }

    /// A DeBERTa of one layer with a convolution.
    fn deberta() -> Self {
        let config = json!({
            "model_type": "deberta-v2", "architectures": ["DebertaV2ForTokenClassification"], "vocab_size": 11,
            "hidden_size": DIM, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12,
            "max_position_embeddings": 9, "relative_attention": true, "position_buckets": 4,
            "norm_rel_ebd": "layer_norm", "share_att_key": true, "pos_att_type": "c2p|p2c",
            "position_biased_input": false, "conv_kernel_size": 3,
        });
        let layer = "deberta.encoder.layer.0";
        Self { config, tensors: Vec::new() }
            .tensor("deberta.embeddings.word_embeddings.weight", Some(&[11, DIM]))
            .norm("deberta.embeddings.LayerNorm")
            .tensor("deberta.encoder.rel_embeddings.weight", Some(&[8, DIM]))
            .norm("deberta.encoder.LayerNorm")
            .tensor("deberta.encoder.conv.conv.weight", Some(&[DIM, DIM, 3]))
            .tensor("deberta.encoder.conv.conv.bias", Some(&[DIM]))
            .norm("deberta.encoder.conv.LayerNorm")
            .linear(&format!("{layer}.attention.self.query_proj"), [DIM, DIM])
            .linear(&format!("{layer}.attention.self.key_proj"), [DIM, DIM])
            .linear(&format!("{layer}.attention.self.value_proj"), [DIM, DIM])
            .linear(&format!("{layer}.attention.output.dense"), [DIM, DIM])
            .norm(&format!("{layer}.attention.output.LayerNorm"))
            .linear(&format!("{layer}.intermediate.dense"), [12, DIM])
            .linear(&format!("{layer}.output.dense"), [DIM, 12])
            .norm(&format!("{layer}.output.LayerNorm"))
            .linear("classifier", [2, DIM])
    }

    fn checkpoint(&self) -> Checkpoint {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (i, (name, shape)) in self.tensors.iter().enumerate() {
            let start = data.len();
            for j in 0..shape.iter().product::<usize>() {
                let x = ((i * 31 + j * 17) % 23) as f32 / 23.0 - 0.4;
                data.extend(x.to_le_bytes());
            }
            let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
            header.insert(name.clone(), entry);
        }
        let header = Value::Object(header).to_string();
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
        let mut checkpoint = open_bytes(Arc::new(bytes)).unwrap();
        checkpoint.metadata = Metadata::HuggingFace { config: self.config.clone(), generation_config: None };
        checkpoint
    }

    fn load(&self) -> Result<Encoder, ModelError> {
        let options =
            CpuOptions { kernels: torchless_kernels::best(), threads: 1, precision: Precision::Exact };
        let device = Box::new(CpuDevice::new(options));
        load_encoder(&self.checkpoint(), device, &EncoderOptions::default(), &mut |_, _| {})
    }

    #[track_caller]
    fn refused(&self, words: &[&str]) {
        let error = self.load().err().expect("it should have been refused").to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error}");
        }
    }
}

fn ids(ids: &[u32]) -> Vec<TokenId> {
    ids.iter().map(|&id| TokenId(id)).collect()
}

fn text(ids: &[TokenId]) -> EncoderText<'_> {
    EncoderText { ids, types: &[] }
}

#[test]
fn a_whole_model_loads_and_says_what_it_is() {
    let (bert, deberta) = (Tiny::bert(), Tiny::deberta());
    assert!(is_encoder(&bert.checkpoint()) && is_encoder(&deberta.checkpoint()));
    let spec = encoder_spec(&bert.checkpoint()).unwrap();
    assert_eq!((spec.context, spec.labels()), (6, &["SAFE".to_owned(), "BAD".to_owned()][..]));
    let bert = bert.load().unwrap();
    let tokens = ids(&[1, 2, 3]);
    let logits = bert.encode(&[text(&tokens)], Want::Logits).unwrap();
    assert_eq!((logits.len(), logits[0].len()), (1, 2));
    let pooled = |pooling| bert.encode(&[text(&tokens)], Want::Pooled(pooling)).unwrap().swap_remove(0);
    let pooler = pooled(Pooling::Pooler);
    assert!(pooler.iter().all(|x| x.abs() < 1.0) && pooler != pooled(Pooling::First));
    let logits = deberta.load().unwrap().encode(&[text(&tokens)], Want::Logits).unwrap();
    assert_eq!(logits[0].len(), 3 * 2, "one row per token");
}

#[test]
fn missing_unused_and_misshapen_tensors_are_named() {
    let bert = Tiny::bert();
    let query = "bert.encoder.layer.0.attention.self.query.weight";
    bert.clone().tensor(query, None).refused(&["missing", query]);
    bert.clone().tensor(query, Some(&[DIM, 4])).refused(&[query, "[8, 4]", "[8, 8]"]);
    bert.clone().tensor("bert.extra.weight", Some(&[2])).refused(&["unused", "bert.extra.weight"]);
    bert.clone().tensor("lm_head.bias", Some(&[2])).refused(&["unused", "lm_head.bias"]);
    let deberta = Tiny::deberta();
    deberta
        .tensor("deberta.encoder.rel_embeddings.weight", Some(&[7, DIM]))
        .refused(&["rel_embeddings", "[8, 8]"]);
}

#[test]
fn what_a_checkpoint_may_have_beside_is_left_out() {
    let tiny = Tiny::bert()
        .tensor("bert.embeddings.position_ids", Some(&[1, 6]))
        .tensor("cls.predictions.bias", Some(&[11]));
    assert!(tiny.load().is_ok());
}

#[test]
fn the_norm_of_distances_may_stay_where_there_are_none() {
    let tiny = Tiny::deberta()
        .with("relative_attention", json!(false))
        .tensor("deberta.encoder.rel_embeddings.weight", None);
    tiny.load().unwrap();
    let other = tiny.tensor("deberta.encoder.LayerNorm.scale", Some(&[DIM]));
    other.refused(&["unused", "deberta.encoder.LayerNorm.scale"]);
}

#[test]
fn norms_may_have_their_older_names() {
    let new = Tiny::bert();
    let mut old = new.clone();
    for (name, _) in &mut old.tensors {
        *name =
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    }
    let tokens = ids(&[1, 2, 3]);
    let run = |tiny: &Tiny| tiny.load().unwrap().encode(&[text(&tokens)], Want::Logits).unwrap();
    assert_eq!(run(&new), run(&old));
}

#[test]
fn keys_that_change_the_arithmetic_are_read_or_refused() {
    let bert = Tiny::bert;
    bert().with("something_new", json!(1)).refused(&["something_new"]);
    bert().with("position_embedding_type", json!("relative_key")).refused(&["relative_key", "absolute"]);
    bert().with("is_decoder", json!(true)).refused(&["is_decoder"]);
    bert().with("hidden_act", json!("mish")).refused(&["mish", "gelu"]);
    bert().with("num_attention_heads", json!(3)).refused(&["hidden_size", "3 heads"]);
    bert().with("num_hidden_layers", json!(100_000)).refused(&["num_hidden_layers"]);
    bert().with("architectures", json!(["BertForQuestionAnswering"])).refused(&["BertForQuestionAnswering"]);
    bert().with("architectures", Value::Null).refused(&["architectures"]);
    bert().with("id2label", json!({"0": "A", "2": "B"})).refused(&["id2label"]);
    bert().with("num_labels", json!(3)).refused(&["num_labels"]);
    bert().with("model_type", json!("bertha")).refused(&["bertha", "modernbert"]);
    let deberta = Tiny::deberta;
    deberta().with("pos_att_type", json!(["p2p"])).refused(&["pos_att_type"]);
    deberta().with("conv_kernel_size", json!(4)).refused(&["conv_kernel_size", "odd"]);
    deberta().with("norm_rel_ebd", json!("batch")).refused(&["norm_rel_ebd"]);
    deberta().with("position_buckets", json!(1_u64 << 40)).refused(&["position_buckets"]);
}

#[test]
fn what_published_files_have_beside_is_passed_over() {
    let beside = [
        ("position_embedding_type", json!("absolute")),
        ("gradient_checkpointing", json!(false)),
        ("pruned_heads", json!({})),
        ("mask_token_id", json!(4)),
        (
            "sentence_transformers",
            json!({"version": "5.0", "activation_fn": "torch.nn.modules.linear.Identity"}),
        ),
        ("label2id", json!({"SAFE": 0, "BAD": 1})),
        ("classifier_dropout", Value::Null),
    ];
    let all = beside.into_iter().fold(Tiny::bert(), |tiny, (key, value)| tiny.with(key, value));
    let spec = encoder_spec(&all.checkpoint()).unwrap();
    assert_eq!(spec.head.as_ref().unwrap().scores, Scores::Identity);
    all.with("architectures", json!(["BertModel"])).refused(&["unused", "classifier"]);
}

#[test]
fn a_nomic_bert_in_the_keys_of_its_authors_is_one_in_those_of_transformers() {
    let theirs = json!({
        "model_type": "nomic_bert", "architectures": ["NomicBertModel"], "activation_function": "swiglu",
        "causal": false, "fused_bias_fc": true, "layer_norm_epsilon": 1e-12, "max_trained_positions": 2048,
        "mlp_fc1_bias": false, "n_embd": 16, "n_head": 2, "n_inner": 24, "n_layer": 2, "n_positions": 64,
        "prenorm": false, "qkv_proj_bias": false, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": false, "rotary_emb_scale_base": null, "rotary_scaling_factor": null,
        "scale_attn_weights": true, "summary_type": "cls_index", "type_vocab_size": 2, "use_flash_attn": true,
        "use_rms_norm": false, "vocab_size": 11,
    });
    let ours = json!({
        "model_type": "nomic_bert", "architectures": ["NomicBertModel"], "hidden_act": "silu", "layer_norm_eps": 1e-12,
        "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 2,
        "max_position_embeddings": 64, "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
        "vocab_size": 11,
    });
    let spec =
        |config: &Value| encoder_spec(&Tiny { config: config.clone(), tensors: Vec::new() }.checkpoint());
    assert_eq!(spec(&theirs).unwrap(), spec(&ours).unwrap());
    for (key, value) in
        [("prenorm", json!(true)), ("rotary_scaling_factor", json!(2)), ("rotary_emb_fraction", json!(0.5))]
    {
        let mut other = theirs.clone();
        other[key] = value;
        let error = spec(&other).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn layers_of_a_modernbert_see_what_either_spelling_says() {
    let old = json!({
        "model_type": "modernbert", "architectures": ["ModernBertModel"], "hidden_size": 16, "num_attention_heads": 2,
        "num_hidden_layers": 5, "intermediate_size": 24, "vocab_size": 11, "local_attention": 9,
        "global_attn_every_n_layers": 2, "global_rope_theta": 160000.0, "local_rope_theta": 10000.0,
        "norm_eps": 1e-5, "layer_norm_eps": 1e-5, "position_embedding_type": "absolute",
    });
    let new = json!({
        "model_type": "modernbert", "architectures": ["ModernBertModel"], "hidden_size": 16, "num_attention_heads": 2,
        "num_hidden_layers": 5, "intermediate_size": 24, "vocab_size": 11, "local_attention": 9,
        "layer_types": ["full_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"],
    });
    let spec =
        |config: &Value| encoder_spec(&Tiny { config: config.clone(), tensors: Vec::new() }.checkpoint());
    let old = spec(&old).unwrap();
    assert_eq!(old, spec(&new).unwrap());
    let windows: Vec<_> = old.layers.iter().map(|layer| layer.attention.window).collect();
    assert_eq!(windows, [None, Some(4), None, Some(4), None]);
    let mut short = new.clone();
    short["layer_types"] = json!(["full_attention"]);
    assert!(spec(&short).unwrap_err().to_string().contains("layer_types"));
}

#[test]
fn texts_that_do_not_fit_are_refused_with_both_numbers() {
    let bert = Tiny::bert().load().unwrap();
    let (long, wrong, good) = (ids(&[1; 7]), ids(&[1, 11]), ids(&[1, 2]));
    let run =
        |text: EncoderText<'_>| bert.encode(&[EncoderText { ids: &good, types: &[] }, text], Want::Hidden);
    assert_eq!(run(text(&long)), Err(EncodeError::TooLong { text: 1, tokens: 7, limit: 6 }));
    assert_eq!(run(text(&[])), Err(EncodeError::Empty { text: 1 }));
    assert_eq!(run(text(&wrong)), Err(EncodeError::Token { text: 1, token: TokenId(11), last: 10 }));
    for types in [&[0u32][..], &[0, 2]] {
        let refused = run(EncoderText { ids: &good, types });
        assert!(matches!(refused, Err(EncodeError::Types { text: 1, .. })), "{refused:?}");
    }
    assert!(run(EncoderText { ids: &good, types: &[0, 1] }).is_ok());
    let tokens = ids(&[1]);
    let deberta = Tiny::deberta().load().unwrap();
    let typed = deberta.encode(&[EncoderText { ids: &tokens, types: &[0] }], Want::Hidden);
    assert!(matches!(typed, Err(EncodeError::Types { .. })), "{typed:?}");
    let pooled = deberta.encode(&[text(&tokens)], Want::Pooled(Pooling::Pooler));
    assert!(matches!(pooled, Err(EncodeError::Missing { .. })), "{pooled:?}");
}

#[test]
fn texts_together_are_texts_alone() {
    for tiny in [Tiny::bert(), Tiny::deberta()] {
        let encoder = tiny.load().unwrap();
        let all = [ids(&[3]), ids(&[1, 2, 3, 4, 5, 6]), ids(&[9, 9]), ids(&[1, 10, 3])];
        let texts: Vec<_> = all.iter().map(|ids| text(ids)).collect();
        for want in [Want::Hidden, Want::Logits, Want::Pooled(Pooling::Last)] {
            let together = encoder.encode(&texts, want).unwrap();
            for (one, found) in texts.iter().zip(&together) {
                assert_eq!(&encoder.encode(&[*one], want).unwrap()[0], found, "{want:?}");
            }
        }
    }
}

#[test]
fn a_device_is_asked_for_nothing_else() {
    let recorder = Recorder::new();
    let transcript = recorder.transcript();
    let tiny = Tiny::deberta();
    let encoder =
        load_encoder(&tiny.checkpoint(), Box::new(recorder), &EncoderOptions::default(), &mut |_, _| {})
            .unwrap();
    let (one, two) = (ids(&[1, 2, 3]), ids(&[4]));
    encoder.encode(&[text(&one), text(&two)], Want::Logits).unwrap();
    insta::assert_snapshot!(transcript.text());
}
