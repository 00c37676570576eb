//! Devices that list the largest logits give those of whole rows, and replies that are chosen from lists are the same replies.

use super::support::{Session, exact, fixtures, on_gpus};
use std::path::{Path, PathBuf};
use torchless::{Event, GenerateOptions, Model, ModelOptions, Placement, Prompt, RunPrecision, Source};
use torchless_base::{Logits, Runner, Scored, TokenId, Wanted};
use torchless_sampler::SamplerConfig;

const IDS: [u32; 11] = [3, 7, 1, 9, 4, 4, 2, 8, 6, 5, 3];
const COUNT: usize = 5;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// The largest of a row by sorting it.
fn largest(row: &[f32], count: usize) -> Vec<Scored> {
    let mut all: Vec<_> = (0..).zip(row).map(|(id, &logit)| Scored { token: TokenId(id), logit }).collect();
    all.sort_by(|a, b| b.logit.partial_cmp(&a.logit).unwrap());
    all.truncate(count);
    all
}

/// Two sequences from their start, of other numbers each time.
fn step(session: &mut Session, first: u32, wanted: Wanted) -> Logits {
    session.step_wanting(&[(first, 0, &IDS[..]), (first + 1, 0, &IDS[..4])], wanted)
}

fn check(path: &Path, options: &ModelOptions) {
    let options = ModelOptions { sequences: 4, max_seq_len: Some(32), ..options.clone() };
    let mut session = Session::open(path, &options);
    let can_list = options.placement != Placement::default() && session.runner.spec().logit_softcap.is_none();
    if can_list {
        return lists_begin_rows(&mut session, COUNT);
    }
    let whole = step(&mut session, 0, Wanted::Last);
    let other = step(&mut session, 2, Wanted::Largest(COUNT));
    assert!(other.list(0).is_none(), "{}", path.display());
    assert_eq!(bits(other.as_slice()), bits(whole.as_slice()), "{}", path.display());
}

/// Compares lists with whole rows, of a session that has made no step.
pub fn lists_begin_rows(session: &mut Session, count: usize) {
    let whole = step(session, 0, Wanted::Last);
    let listed = step(session, 2, Wanted::Largest(count));
    let name = session.runner.device_name().to_owned();
    for i in 0..2 {
        let list = listed.list(i).unwrap_or_else(|| panic!("{name}: no list"));
        assert!(list.len() >= count, "{name}: {} values", list.len());
        assert_eq!(list, largest(whole.row(i), list.len()), "{name}, row {i}");
        let mut again = Logits::default();
        session.runner.whole_row(i, &mut again).unwrap();
        assert_eq!(bits(again.as_slice()), bits(whole.row(i)), "{name}, row {i} again");
    }
}

fn story() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/story/story.gguf"))
}

#[test]
fn lists_are_what_whole_rows_begin_with() {
    check(&story(), &exact());
    for precision in [RunPrecision::Exact, RunPrecision::Fast] {
        let base = ModelOptions { precision, ..exact() };
        on_gpus(&base).iter().for_each(|options| check(&story(), options));
    }
}

#[test]
fn every_decoder_lists_what_its_rows_begin_with() {
    let Some(fixtures) = fixtures() else { return };
    let folders = std::fs::read_dir(fixtures.join("goldens")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let decoders: Vec<_> = folders.filter(|path| Session::try_open(path, &exact()).is_ok()).collect();
    assert!(decoders.len() > 10, "{} decoders", decoders.len());
    for options in on_gpus(&exact()) {
        decoders.iter().for_each(|path| check(path, &options));
    }
}

fn reply(model: &Model, sampler: SamplerConfig) -> String {
    let prompt = model.admit(Prompt::Text("Once upon a time".to_owned())).unwrap();
    let options = GenerateOptions { sampler, max_tokens: Some(40), ..GenerateOptions::default() };
    let mut text = String::new();
    for event in model.generate(&prompt, &options).unwrap() {
        if let Event::Text(part) = event.unwrap() {
            text.push_str(&part);
        }
    }
    text
}

/// Who asks for log probabilities gets whole rows.
#[test]
fn replies_from_lists_are_those_from_whole_rows() {
    let plain = SamplerConfig { temperature: 0.0, ..SamplerConfig::default() };
    let samplers = [
        plain.clone(),
        SamplerConfig { repeat_penalty: 1.2, ..plain.clone() },
        SamplerConfig { temperature: 0.9, top_k: 40, top_p: 0.95, seed: 3, ..plain.clone() },
        SamplerConfig { temperature: 1.5, top_k: 7, frequency_penalty: 0.4, seed: 4, ..plain.clone() },
        SamplerConfig { temperature: 0.8, top_p: 0.9, seed: 5, ..plain.clone() },
        SamplerConfig {
            temperature: 0.6,
            top_p: 0.95,
            min_p: 0.02,
            repeat_penalty: 1.1,
            seed: 6,
            ..plain.clone()
        },
        SamplerConfig { temperature: 1.0, min_p: 0.05, seed: 7, ..plain },
    ];
    for options in on_gpus(&exact()) {
        let model = Model::open(&Source::Inside, &options, &mut |_, _| {}).unwrap();
        for sampler in &samplers {
            let whole = SamplerConfig { logprobs: Some(0), ..sampler.clone() };
            assert_eq!(reply(&model, sampler.clone()), reply(&model, whole), "{sampler:?}");
        }
    }
}
