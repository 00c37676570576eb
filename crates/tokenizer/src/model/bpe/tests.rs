//! Merging on vocabularies made here, against plain searches.

use super::*;
use crate::testing::Random;

fn vocab(texts: &[&str]) -> Vocab {
    Vocab::new(texts.iter().map(|text| text.as_bytes().to_vec()).collect()).unwrap()
}

fn named(merges: &[(&str, &str)]) -> Vec<NamedMerge> {
    merges.iter().map(|(left, right)| ((*left).to_owned(), (*right).to_owned())).collect()
}

fn parts<'a>(vocab: &'a Vocab, merges: &'a [NamedMerge]) -> BpeParts<'a> {
    BpeParts {
        vocab,
        merges: Merges::Listed(merges),
        affixes: Affixes::default(),
        byte_level: true,
        byte_fallback: false,
        unknown: Unknown::default(),
        ignore_merges: false,
    }
}

/// A vocabulary over a, b, c that grows from random merges of what is there.
fn random_bpe(random: &mut Random) -> Bpe {
    let mut texts: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    let mut merges = Vec::new();
    for _ in 0..random.below(30) {
        let (left, right) = (random.pick(&texts).clone(), random.pick(&texts).clone());
        let joined = format!("{left}{right}");
        if joined.len() < 12 && !merges.contains(&(left.clone(), right.clone())) {
            if !texts.contains(&joined) {
                texts.push(joined);
            }
            merges.push((left, right));
        }
    }
    let vocab = Vocab::new(texts.into_iter().map(String::into_bytes).collect()).unwrap();
    Bpe::new(&parts(&vocab, &merges)).unwrap()
}

#[test]
fn scan_and_queues_merge_alike() {
    let mut random = Random::new(3);
    for _ in 0..500 {
        let bpe = random_bpe(&mut random);
        let ids: Vec<u32> = (0..random.below(200)).map(|_| random.below(3) as u32).collect();
        let (mut scan, mut queues) =
            (Space { ids: ids.clone(), ..Space::default() }, Space { ids, ..Space::default() });
        bpe.merge_by_scan(&mut scan);
        bpe.merge_by_queues(&mut queues);
        assert_eq!(scan.ids, queues.ids);
    }
}

#[test]
fn the_first_merge_of_the_list_wins() {
    let vocab = vocab(&["a", "b", "c", "bc", "ab", "abc"]);
    let merges = named(&[("b", "c"), ("a", "b"), ("a", "bc")]);
    let bpe = Bpe::new(&parts(&vocab, &merges)).unwrap();
    let mut out = Vec::new();
    bpe.encode_piece(b"abcab", &mut Scratch::default(), &mut out);
    assert_eq!(out, [5, 4]);
}

#[test]
fn merges_of_what_is_not_there_are_refused() {
    let vocab = vocab(&["a", "b", "ab"]);
    for (merges, why) in [
        (named(&[("a", "x")]), "its right half is not a token"),
        (named(&[("x", "a")]), "its left half is not a token"),
        (named(&[("b", "a")]), "what it makes is not a token"),
        (named(&[("a", "b"), ("a", "b")]), "it stands in the list twice"),
    ] {
        match Bpe::new(&parts(&vocab, &merges)) {
            Err(TokenizerError::Merge { why: found, .. }) => assert_eq!(found, why),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn no_merge_makes_a_control_token() {
    let mut vocab = vocab(&["<", "s", ">", "<s", "<s>"]);
    vocab.set_kind(4, Kind::Control);
    let merges = named(&[("<", "s"), ("<s", ">")]);
    for ignore_merges in [false, true] {
        let bpe = Bpe::new(&BpeParts { ignore_merges, ..parts(&vocab, &merges) }).unwrap();
        let mut out = Vec::new();
        bpe.encode_piece(b"<s>", &mut Scratch::default(), &mut out);
        assert_eq!(out, [3, 2]);
    }
}

#[test]
fn unknown_characters_fuse_where_asked() {
    let vocab = vocab(&["<unk>", "a", "▁"]);
    for (fuse, want) in [(true, vec![0, 1, 2, 0]), (false, vec![0, 0, 1, 2, 0, 0])] {
        let unknown = Unknown { id: Some(0), fuse };
        let bpe = Bpe::new(&BpeParts { byte_level: false, unknown, ..parts(&vocab, &[]) }).unwrap();
        let mut out = Vec::new();
        bpe.encode(
            Word { text: "xya▁zz", first: true, byte_chars: false },
            &mut Scratch::default(),
            &mut out,
        );
        assert_eq!(out, want);
    }
}

#[test]
fn affixes_tell_the_places_in_a_word_apart() {
    let texts = ["<unk>", "a", "b", "##b", "b</w>", "##b</w>", "a</w>", "ab", "ab</w>", "##bb</w>"];
    let vocab = vocab(&texts);
    let affixes = Affixes { continuing: "##".to_owned(), end: "</w>".to_owned() };
    let merges = named(&[("a", "##b"), ("a", "##b</w>"), ("##b", "##b</w>")]);
    let unknown = Unknown { id: Some(0), fuse: false };
    let bpe = Bpe::new(&BpeParts { affixes, unknown, byte_level: false, ..parts(&vocab, &merges) }).unwrap();
    for (word, want) in
        [("a", vec![6]), ("ab", vec![8]), ("abb", vec![7, 5]), ("bbb", vec![2, 9]), ("xb", vec![0, 5])]
    {
        let mut out = Vec::new();
        bpe.encode_piece(word.as_bytes(), &mut Scratch::default(), &mut out);
        assert_eq!(out, want, "{word}");
    }
}

/// Joins the neighbours that make the token of the lowest id, by looking at all of them each time.
fn plain_ranks(texts: &[&str], word: &str) -> Vec<u32> {
    let id = |text: &str| texts.iter().position(|token| *token == text);
    let mut parts: Vec<String> = word.chars().map(String::from).collect();
    loop {
        let joined = (1..parts.len()).filter_map(|at| Some((id(&(parts[at - 1].clone() + &parts[at]))?, at)));
        let Some((token, at)) = joined.min() else { break };
        parts.splice(at - 1..=at, [texts[token].to_owned()]);
    }
    parts.iter().map(|part| id(part).unwrap() as u32).collect()
}

#[test]
fn ranks_join_whatever_makes_a_token() {
    let mut random = Random::new(13);
    let all = ["ab", "ba", "abc", "bc", "ca", "cab", "abab", "bca", "cc", "aab"];
    for _ in 0..300 {
        let mut texts = vec!["a", "b", "c"];
        (0..8).for_each(|_| texts.push(*random.pick(&all)));
        let mut seen = std::collections::HashSet::new();
        texts.retain(|text| seen.insert(*text));
        let vocab = vocab(&texts);
        let bpe = Bpe::new(&BpeParts { merges: Merges::ById, ..parts(&vocab, &[]) }).unwrap();
        let word: String = (0..random.below(12)).map(|_| *random.pick(&['a', 'b', 'c'])).collect();
        let mut out = Vec::new();
        bpe.encode_piece(word.as_bytes(), &mut Scratch::default(), &mut out);
        assert_eq!(out, plain_ranks(&texts, &word), "{word} {texts:?}");
        let word = Word { text: &word, first: true, byte_chars: false };
        assert!(bpe.fewest(word) <= out.len(), "{word:?} {texts:?}");
    }
}
