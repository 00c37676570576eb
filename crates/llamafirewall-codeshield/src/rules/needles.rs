//! Which rules over trees are worth parsing a text for: those of whose words it has one.

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::TreeRule;
use crate::language::Language;

struct Words {
    automaton: AhoCorasick,
    /// For each word its rule, and whether a bracket must follow.
    owners: Vec<(usize, bool)>,
    rules: Vec<(Language, &'static TreeRule)>,
}

/// The rules that could find something in a text. A word that ends with `(` also stands for itself with space before
/// the bracket.
pub(crate) fn wanted(text: &str) -> Vec<(Language, &'static TreeRule)> {
    let words = words();
    let mut is_wanted = vec![false; words.rules.len()];
    for hit in words.automaton.find_overlapping_iter(text) {
        let (rule, is_call) = words.owners[hit.pattern().as_usize()];
        is_wanted[rule] = is_wanted[rule] || !is_call || text[hit.end()..].trim_start().starts_with('(');
    }
    let rules = words.rules.iter().zip(is_wanted);
    rules.filter(|(_, is_wanted)| *is_wanted).map(|(rule, _)| *rule).collect()
}

fn words() -> &'static Words {
    static WORDS: OnceLock<Words> = OnceLock::new();
    WORDS.get_or_init(|| {
        let of = |language: Language| language.tree_rules().iter().map(move |rule| (language, rule));
        let rules: Vec<_> = Language::ALL.into_iter().flat_map(of).collect();
        let mut owners = Vec::new();
        let mut needles = Vec::new();
        for (at, (_, rule)) in rules.iter().enumerate() {
            for needle in rule.needles {
                owners.push((at, needle.ends_with('(')));
                needles.push(needle.trim_end_matches('('));
            }
        }
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(needles);
        let automaton = automaton.expect("the words of the tables fit an automaton");
        Words { automaton, owners, rules }
    })
}
