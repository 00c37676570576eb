//! Paths: folders, shards, parts of split models, and what is no model at all.

use std::fs;
use std::path::Path;

use serde_json::json;
use torchless_formats::gguf::Header;
use torchless_formats::{
    Access, Checkpoint, Format, FormatError, Metadata, OpenOptions, TokenizerSource, open, tokenizer_at,
};
use torchless_quant::TensorType;

mod places;
use places::{Folder, open_ok};

fn try_open(path: &Path) -> Result<Checkpoint, FormatError> {
    open(path, &OpenOptions::default())
}

/// The error must name the path's last part and say `what`.
fn check_refused(path: &Path, what: &str) {
    let error = try_open(path).err().unwrap_or_else(|| panic!("{} opened", path.display())).to_string();
    assert!(error.contains(what), "{error}\n  does not say: {what}");
    assert!(error.starts_with(&*path.parent().expect("a path in a folder").to_string_lossy()), "{error}");
}

/// A safetensors file with one f32 vector per name.
fn safetensors(names: &[&str]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    for (at, name) in names.iter().enumerate() {
        let place = json!({"dtype": "F32", "shape": [2], "data_offsets": [8 * at, 8 * at + 8]});
        header.insert((*name).to_owned(), place);
    }
    let header = serde_json::to_vec(&header).expect("a map is JSON");
    [&(header.len() as u64).to_le_bytes()[..], &header, &vec![0; 8 * names.len()]].concat()
}

#[test]
fn loader_opens_a_folder() {
    let folder = Folder::new("folder");
    let file = folder.write("model.safetensors", safetensors(&["a", "b"]));
    check_refused(&folder.0, "has no config.json");
    let lone = open_ok(&file);
    assert!(matches!(&lone.metadata, Metadata::HuggingFace { config, .. } if config.is_null()));
    folder.write("config.json", r#"{"model_type": "llama"}"#);
    folder.write("generation_config.json", r#"{"eos_token_id": [1, 2]}"#);
    folder.write("tokenizer.json", "{}");
    folder.write(
        "tokenizer_config.json",
        r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}"#,
    );
    for path in [&folder.0, &file] {
        let checkpoint = open_ok(path);
        assert_eq!((checkpoint.format, checkpoint.tensors.len()), (Format::Safetensors, 2));
        assert_eq!(checkpoint.files[0].path, file);
        let Metadata::HuggingFace { config, generation_config } = checkpoint.metadata else {
            panic!("no config")
        };
        assert_eq!((&config["model_type"], generation_config.is_some()), (&json!("llama"), true));
        let TokenizerSource::HuggingFace { chat_template, .. } = checkpoint.tokenizer else {
            panic!("no tokenizer")
        };
        assert_eq!(chat_template.as_deref(), Some("d"));
    }
    check_refused(&folder.0.join("config.json"), "a JSON file without weights");
    folder.write("config.json", r#"["llama"]"#);
    check_refused(&folder.0.join("model.safetensors"), "is not a JSON object");
}

#[test]
fn loader_finds_tokenizers_without_weights() {
    let find = |path: &Path| tokenizer_at(path, &OpenOptions::default()).expect("a path that can be read");
    let file = |path: &Path| match find(path) {
        Some(TokenizerSource::File { bytes, tokenizer_config, .. }) => (bytes.to_vec(), tokenizer_config),
        other => panic!("{other:?}"),
    };
    let folder = Folder::new("tokenizers");
    assert!(find(&folder.0).is_none());
    let ranks = folder.write("qwen.tiktoken", "aGk= 0\n");
    assert_eq!(file(&folder.0).0, file(&ranks).0);
    let model = folder.write("tokenizer.model.v3", "\n");
    folder.write("tokenizer.model", "\n\n");
    folder.write("special_tokens_map.json", r#"{"bos_token": "<s>", "eos_token": "</s>"}"#);
    assert_eq!(file(&folder.0), (b"\n\n".to_vec(), Some(json!({"bos_token": "<s>", "eos_token": "</s>"}))));
    folder.write("tokenizer_config.json", r#"{"bos_token": null, "eos_token": "<e>"}"#);
    assert_eq!(file(&model), (b"\n".to_vec(), Some(json!({"bos_token": "<s>", "eos_token": "<e>"}))));
    let json = folder.write("tokenizer.json", "{}");
    for path in [&folder.0, &json] {
        assert!(matches!(find(path), Some(TokenizerSource::HuggingFace { .. })));
    }
    let weights = folder.write("model.safetensors", safetensors(&["a"]));
    assert!(find(&weights).is_none());
    assert!(tokenizer_at(&folder.0.join("missing.json"), &OpenOptions::default()).is_err());
}

/// A model that was saved anew over shards of an older one: transformers looks for the single file first.
#[test]
fn loader_prefers_a_single_file_to_an_index() {
    let folder = Folder::new("both");
    folder.write("config.json", "{}");
    let shard = "model-00001-of-00001.safetensors";
    folder.write(shard, safetensors(&["old"]));
    let map = json!({"weight_map": {"old": shard}});
    folder.write("model.safetensors.index.json", map.to_string());
    let names = || open_ok(&folder.0).tensors.names().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(), ["old"]);
    folder.write("model.safetensors", safetensors(&["new"]));
    assert_eq!(names(), ["new"]);
}

#[test]
fn loader_joins_shards_by_their_index() {
    let folder = Folder::new("shards");
    folder.write("config.json", "{}");
    let first = folder.write("model-00001-of-00002.safetensors", safetensors(&["a"]));
    folder.write("model-00002-of-00002.safetensors", safetensors(&["b", "c"]));
    check_refused(&folder.0.join("model-00001-of-00002.safetensors"), "no model.safetensors.index.json");
    let index = |map: serde_json::Value| {
        folder.write("model.safetensors.index.json", json!({"metadata": {}, "weight_map": map}).to_string())
    };
    let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    let path = index(json!({"a": one, "b": two, "c": two}));
    for path in [&folder.0, &path, &first] {
        let checkpoint = open_ok(path);
        assert_eq!(checkpoint.tensors.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(checkpoint.files.len(), 2);
    }
    index(json!({"a": one, "b": two}));
    check_refused(&first, "tensor 'c': is in this shard but not in the index");
    index(json!({"a": one, "b": two, "c": two, "d": two}));
    check_refused(&first, "tensor 'd': is in the index but not in this shard");
    index(json!({"a": one, "b": "model-00003-of-00003.safetensors"}));
    check_refused(&first, "model-00003-of-00003.safetensors: ");
    for name in
        ["../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..\\x.safetensors", "", "config.json"]
    {
        index(json!({"a": one, "b": name}));
        check_refused(&first, "not the name of a file in the same folder");
    }
    index(json!({"a": 7}));
    check_refused(&first, "not the name of a file in the same folder");
    index(json!([]));
    check_refused(&first, "'weight_map'");
}

/// One part of a split model with one tensor.
fn part(number: u16, count: u16, total: i32, tensor: &str) -> Vec<u8> {
    let write = || -> Result<Vec<u8>, FormatError> {
        let mut header = Header::new();
        if number == 0 {
            header.put("general.architecture", "llama")?;
        }
        header.put("split.no", number)?;
        header.put("split.count", count)?;
        header.put("split.tensors.count", total)?;
        header.tensor(tensor, TensorType::F32, &[2])?;
        let mut writer = header.start(Vec::new())?;
        writer.write(&[0; 8])?;
        writer.finish()
    };
    write().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn loader_joins_the_parts_of_a_split_model() {
    let folder = Folder::new("split");
    let name = |number: u16| format!("m-{number:05}-of-00003.gguf");
    let paths: Vec<_> = (0..3u16)
        .map(|at| folder.write(&name(at + 1), part(at, 3, 3, ["a", "b", "c"][usize::from(at)])))
        .collect();
    for path in &paths {
        let checkpoint = open_ok(path);
        assert_eq!(checkpoint.tensors.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(
            checkpoint.files.iter().map(|file| &file.path).collect::<Vec<_>>(),
            paths.iter().collect::<Vec<_>>()
        );
        let Metadata::Gguf(metadata) = checkpoint.metadata else { panic!("not GGUF") };
        assert_eq!(metadata.get::<&str>("general.architecture").unwrap(), "llama");
    }
    check_refused(&folder.write("renamed.gguf", part(1, 3, 3, "b")), "must end in '-00002-of-00003.gguf'");
    folder.write(&name(3), part(2, 3, 3, "a"));
    check_refused(&paths[0], "tensor 'a': the tensor stands twice");
    folder.write(&name(3), part(1, 3, 3, "c"));
    check_refused(&paths[0], "is not part 3 of 3");
    folder.write(&name(3), part(2, 4, 3, "c"));
    check_refused(&paths[0], "is not part 3 of 3");
    for at in 0..3u16 {
        folder.write(&name(at + 1), part(at, 3, 4, ["a", "b", "c"][usize::from(at)]));
    }
    check_refused(&paths[1], "announces 4 tensors, but the parts hold 3");
    fs::remove_file(&paths[2]).unwrap();
    check_refused(&paths[0], "m-00003-of-00003.gguf: ");
    check_refused(&folder.write("one.gguf", part(5, 3, 3, "a")), "part 5 (counted from 0)");
}

#[test]
fn loader_says_what_a_foreign_file_is() {
    let folder = Folder::new("foreign");
    let cases: [(&str, &[u8], &str); 12] = [
        ("model.pt", b"PK\x03\x04\x00\x00", "a zip archive, such as a pickled PyTorch model"),
        ("old.pt", b"\x80\x02}q\x00", "a Python pickle"),
        ("page.gguf", b"\n<!DOCTYPE html><html>", "an HTML page"),
        ("pointer.gguf", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        ("a.ggml", b"lmgg\x00\x00", "a GGML file"),
        ("b.bin", b"tjgg\x03\x00", "a GGJT file"),
        ("v1.gguf", b"GGUF\x01\x00\x00\x00", "GGUF version 1 is not supported (versions 2 and 3 are"),
        ("big.gguf", b"GGUF\x00\x00\x00\x03", "a big-endian GGUF file"),
        ("m.mog", b"MOG\x00\x01\x00\x00\x00", "a MOG file"),
        ("m.gz", b"\x1f\x8b\x08\x00", "a gzip archive"),
        (
            "x.bin",
            b"hello, world",
            "in no known model format (it begins with \"hello, w\") (give a GGUF file",
        ),
        ("empty.gguf", b"", "is empty (0 bytes)"),
    ];
    for (name, bytes, what) in cases {
        check_refused(&folder.write(name, bytes), what);
    }
    let llama2c: Vec<u8> = [64i32, 172, 5, 8, 4, 512, 512].iter().flat_map(|n| n.to_le_bytes()).collect();
    check_refused(&folder.write("stories.bin", llama2c), "a llama2.c checkpoint");
    check_refused(&folder.0.join("missing.gguf"), "missing.gguf: ");
    let pickled = Folder::new("pickled");
    pickled.write("config.json", "{}");
    pickled.write("pytorch_model.bin", "x");
    check_refused(&pickled.0, "it has pytorch_model.bin, a pickle, which is never read");
}

/// Opening must not wait for a writer.
#[cfg(unix)]
#[test]
fn loader_refuses_what_is_no_regular_file() {
    let folder = Folder::new("irregular");
    let fifo = folder.0.join("model.gguf");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    if made.is_ok_and(|status| status.success()) {
        check_refused(&fifo, "is a FIFO, not a regular file");
        folder.write("config.json", "{}");
        fs::rename(&fifo, folder.0.join("model.safetensors")).unwrap();
        check_refused(&folder.0.join("model.safetensors"), "is a FIFO, not a regular file");
        check_refused(&folder.0, "is a FIFO, not a regular file");
    } else {
        eprintln!("skipped: no mkfifo");
    }
    check_refused(Path::new("/dev/null"), "is a character device, not a regular file");
}

#[test]
fn loader_reads_without_mapping_when_asked() {
    let folder = Folder::new("access");
    let path = folder.write("model.safetensors", safetensors(&["a"]));
    let mut options = OpenOptions::default();
    assert!(open(&path, &options).unwrap().tensors.get("a").unwrap().data.is_mapped());
    options.access = Access::Read;
    assert!(!open(&path, &options).unwrap().tensors.get("a").unwrap().data.is_mapped());
}
