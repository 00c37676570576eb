//! Heads in a file whose configuration says that the embedding table is the head.

use super::goldens::{prompts, tolerance};
use super::made::{Written, folder, tensors_of};
use super::support::{Session, exact, fixtures, max_distance};
use torchless::{FileType, Source, convert_to_gguf};

/// What the fixture computes with `sign` times its table as a head that is in the file, and what the GGUF file of that does.
fn check_head(sign: f32) {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/llama_tied");
    let mut tensors = tensors_of(&base);
    let table = &tensors["model.embed_tokens.weight"];
    let values: Vec<f32> = table.values().iter().map(|v| sign * v).collect();
    let head = Written::floats(&table.shape, &values);
    tensors.insert("lm_head.weight".to_owned(), head);
    let model = folder(&base, &tensors, |_| {});
    let file = model.path().join("model.gguf");
    let whole = FileType::from_name("F32").unwrap();
    convert_to_gguf(&Source::Path(model.path().to_owned()), &file, whole, &mut |_, _| {}).unwrap();
    for prompt in prompts(&base) {
        let expected: Vec<f32> = prompt.logits.iter().map(|logit| sign * logit).collect();
        for path in [model.path(), &file] {
            let logits = Session::open(path, &exact()).prefill(&prompt.ids, 512);
            let distance = max_distance(&logits, &expected);
            assert!(distance < tolerance(&base), "{}: {distance}", path.display());
        }
    }
}

#[test]
fn a_head_that_is_another_than_the_table_is_used() {
    check_head(-1.0);
}

#[test]
fn a_head_that_is_a_copy_of_the_table_is_passed_over() {
    check_head(1.0);
}
