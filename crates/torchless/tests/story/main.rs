//! The model inside: the file, what it tells, and how much of that it has read before.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod grammar;

use grammar::{Grammar, SplitMix64, Verdict};
use std::collections::HashSet;
use torchless::formats::Format;
use torchless::{
    DoneReason, EncodeOptions, Event, GenerateOptions, Model, ModelOptions, Prompt, SamplerConfig, Source,
    Special, Summary, TokenId,
};

const FILE: &[u8] = include_bytes!("../../../../assets/story/story.gguf");
const GRAMMAR: &str = include_str!("../../../../training/story_model/grammar.json");
const SEEDS: u64 = 20;
const TOKENS: usize = 100;
/// Length of the runs whose novelty is counted.
const RUN: usize = 12;

fn open() -> Model {
    let options = ModelOptions { threads: Some(1), ..ModelOptions::default() };
    Model::open(&Source::Inside, &options, &mut |_, _| {}).unwrap()
}

fn tell(model: &Model, temperature: f32, seed: u64, tokens: usize) -> (String, Summary) {
    let sampler = SamplerConfig { temperature, seed, ..SamplerConfig::default() };
    let options = GenerateOptions { sampler, max_tokens: Some(tokens), ..GenerateOptions::default() };
    let prompt = model.admit(Prompt::Text(String::new())).unwrap();
    let mut text = String::new();
    for event in model.generate(&prompt, &options).unwrap() {
        match event.unwrap() {
            Event::Text(more) => text += &more,
            Event::Done(summary) => return (text, summary),
            Event::Prompt { .. } | Event::Reasoning(_) | Event::ToolCall(_) => {}
        }
    }
    panic!("no end");
}

#[test]
fn a_cancelled_reply_tells_how_much_of_the_prompt_was_read() {
    let options = ModelOptions { threads: Some(1), max_seq_len: Some(20_000), ..ModelOptions::default() };
    let model = Model::open(&Source::Inside, &options, &mut |_, _| {}).unwrap();
    let prompt = model.admit(Prompt::Text("One day a dog ran home. ".repeat(1500))).unwrap();
    let generation = model.generate(&prompt, &GenerateOptions::default()).unwrap();
    let canceller = generation.canceller();
    let mut read = 0;
    for event in generation {
        match event.unwrap() {
            Event::Prompt { done, .. } => {
                read = done;
                canceller.cancel();
            }
            Event::Done(summary) => {
                assert_eq!((summary.reason, summary.prompt_read), (DoneReason::Cancelled, read));
                assert!(0 < read && read < summary.prompt_tokens, "{summary:?}");
            }
            _ => {}
        }
    }
}

#[test]
fn the_file_is_small_and_quantised() {
    assert!(FILE.len() < 2_000_000, "{} bytes", FILE.len());
    let checkpoint = Source::Inside.checkpoint().unwrap();
    assert_eq!(checkpoint.format, Format::Gguf);
    let spec = torchless::spec(&Source::Inside, &checkpoint).unwrap();
    assert_eq!(spec.arch, "llama");
    for tensor in checkpoint.tensors.iter() {
        let want = if tensor.shape.len() == 1 { "F32" } else { "Q8_0" };
        assert_eq!(tensor.ty.info().name, want, "{}", tensor.name);
    }
}

#[test]
fn the_likeliest_story_is_a_story() {
    let (text, summary) = tell(&open(), 0.0, 0, 400);
    assert!(text.is_ascii() && !text.starts_with(' ') && text.len() > 100, "{text}");
    let verdict = Grammar::read(GRAMMAR).recognise(&text);
    assert_eq!((summary.reason, verdict), (DoneReason::Stop, Verdict::Story), "{text}");
}

#[test]
fn most_tales_are_stories_and_new() {
    let (model, grammar) = (open(), Grammar::read(GRAMMAR));
    let tales: Vec<_> = (0..SEEDS).map(|seed| tell(&model, 0.7, seed, TOKENS)).collect();
    let accepted = |(text, summary): &&(String, Summary)| {
        let verdict = grammar.recognise(text);
        eprintln!("{verdict:?} {text}");
        verdict == Verdict::Story || (verdict == Verdict::Beginning && summary.reason == DoneReason::Length)
    };
    let stories = tales.iter().filter(accepted).count();
    assert!(stories >= 18, "{stories} of {SEEDS}");

    let text: Vec<String> = grammar.training_text().collect();
    let words = |text: &str| text.split(' ').map(word).collect::<Vec<_>>();
    let told: Vec<_> = tales.iter().map(|(text, _)| words(text)).collect();
    let seen = seen_share(&told, text.iter().map(|story| words(story)));
    eprintln!("12-grams of words in the training text: {seen:.3}");
    assert!(seen < 0.5, "{seen} of all 12-grams of words");

    let told: Vec<_> = tales.iter().map(|(_, summary)| ids(&summary.tokens)).collect();
    let options = EncodeOptions { special: Special::Text, around: torchless::Around::Nothing };
    let seen = seen_share(&told, text.iter().map(|story| ids(&model.tokenizer().encode(story, options))));
    eprintln!("12-grams of tokens in the training text: {seen:.3}");
    assert!(seen < 0.5, "{seen} of all 12-grams of tokens");
}

fn ids(tokens: &[TokenId]) -> Vec<u64> {
    tokens.iter().map(|t| u64::from(t.0) + 1).collect()
}

/// FNV-1a.
fn word(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3))
}

/// Calls `each` with a hash of every run: a polynomial that rolls along.
fn runs(items: &[u64], mut each: impl FnMut(u64)) {
    const BASE: u64 = 0x9E37_79B9_7F4A_7C15;
    let leaving = BASE.wrapping_pow(RUN as u32);
    let mut hash = 0u64;
    for (i, &item) in items.iter().enumerate() {
        hash = hash.wrapping_mul(BASE).wrapping_add(item);
        if i >= RUN {
            hash = hash.wrapping_sub(items[i - RUN].wrapping_mul(leaving));
        }
        if i + 1 >= RUN {
            each(hash);
        }
    }
}

/// Share of the runs in `told` that stand in `known`.
fn seen_share(told: &[Vec<u64>], known: impl Iterator<Item = Vec<u64>>) -> f64 {
    let mut all = Vec::new();
    told.iter().for_each(|items| runs(items, |hash| all.push(hash)));
    let asked: HashSet<u64> = all.iter().copied().collect();
    let mut found = HashSet::new();
    for story in known {
        runs(&story, |hash| {
            if asked.contains(&hash) {
                found.insert(hash);
            }
        });
    }
    assert!(all.len() > told.len(), "tales of more than {RUN} words");
    all.iter().filter(|hash| found.contains(hash)).count() as f64 / all.len() as f64
}

#[test]
fn novelty_counts_runs_of_twelve() {
    let told = [(0..14).collect::<Vec<u64>>()];
    let share =
        |known: &[(u64, u64)]| seen_share(&told, known.iter().map(|&(first, end)| (first..end).collect()));
    assert_eq!(share(&[(0, 14)]), 1.0);
    assert_eq!(share(&[(1, 13), (1, 14)]), 2.0 / 3.0);
    assert_eq!(share(&[(0, 11), (5, 14)]), 0.0);
}

#[test]
fn random_numbers_are_splitmix64() {
    // The reference implementation's first words for this seed.
    let mut random = SplitMix64(1_234_567);
    let words: Vec<_> = (0..3).map(|_| random.next()).collect();
    assert_eq!(words, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
}

#[test]
fn told_stories_are_recognised_and_spoiled_ones_are_not() {
    let grammar = Grammar::read(GRAMMAR);
    let mut random = SplitMix64(2024);
    for _ in 0..20 {
        let story = grammar.tell(&mut random);
        assert_eq!(grammar.recognise(&story), Verdict::Story, "{story}");
        for cut in [0, 1, story.len() / 3, story.len() / 2, story.len() - 1] {
            assert_eq!(grammar.recognise(&story[..cut]), Verdict::Beginning, "{}", &story[..cut]);
        }
        let (head, tail) = story.split_at(story.len() / 2);
        for wrong in
            [format!("{story} "), format!("{head}#{tail}"), story.to_lowercase(), format!(" {story}")]
        {
            assert!(matches!(grammar.recognise(&wrong), Verdict::Neither(_)), "{wrong}");
        }
    }
}

const SMALL: &str = r#"{
    "format": 1, "corpus": { "seed": 5, "stories": 40 }, "start": "all",
    "tables": { "child": { "fields": ["name", "they"], "rows": [["Ann", "she"], ["Annie", "she"], ["Bo", "he"]] } },
    "slots": { "hero": { "table": "child" }, "friend": { "table": "child", "unlike": ["hero"] } },
    "rules": {
        "all": ["{hero.name} met {friend.name}<how>. {hero.They} <did>, and {hero.they} <did>.", "{hero.name} <did>."],
        "how": ["", " again"], "did": ["ran", "ran home"]
    }
}"#;

#[test]
fn names_stay_the_same_within_a_story() {
    let grammar = Grammar::read(SMALL);
    use Verdict::{Beginning, Neither, Story};
    for (text, want) in [
        ("Ann met Bo. She ran, and she ran home.", Story),
        ("Annie met Ann again. She ran home, and she ran.", Story),
        ("Bo ran.", Story),
        ("Ann", Beginning),
        ("Annie ran h", Beginning),
        ("", Beginning),
        ("Ann met Ann. She ran", Neither(11)),
        ("Ann met Ann", Beginning),
        ("Ann met Bo. He", Neither(12)),
        ("Ann met Bo. She ran, and he", Neither(25)),
        ("Bo ran. ", Neither(7)),
        ("bo ran.", Neither(0)),
    ] {
        assert_eq!(grammar.recognise(text), want, "{text}");
    }
    let told: HashSet<_> = grammar.training_text().collect();
    assert!(told.len() > 10);
    assert!(told.iter().all(|story| grammar.recognise(story) == Story));
}
