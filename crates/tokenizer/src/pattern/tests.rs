use super::*;

fn pieces<'t>(pattern: &str, text: &'t str) -> Vec<&'t str> {
    Pattern::new(pattern).unwrap().find_iter(text).map(|range| &text[range]).collect()
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

#[test]
fn words_numbers_and_spaces_are_told_apart() {
    assert_eq!(
        pieces(GPT2, "Hello  world's 42!?\n\n x"),
        ["Hello", " ", " world", "'s", " 42", "!?", "\n\n", " x"]
    );
    assert_eq!(pieces(GPT2, "Äpfel größer 三"), ["Äpfel", " größer", " 三"]);
    assert_eq!(pieces(GPT2, "   "), ["   "]);
}

#[test]
fn the_earlier_alternative_wins_even_if_shorter() {
    assert_eq!(pieces("a|ab|b", "ab"), ["a", "b"]);
    assert_eq!(pieces("a*?b|a", "aab"), ["aab"]);
    assert_eq!(pieces("(?:a|ab)(?:c|bcd)", "abcd"), ["abcd"]);
    assert_eq!(pieces("(?:ab|a)(?:c|bcd)", "abcd"), ["abc"]);
}

#[test]
fn counts_are_bounded_on_both_sides() {
    assert_eq!(pieces(r"\p{N}{1,3}", "1234567"), ["123", "456", "7"]);
    assert_eq!(pieces("a{2}", "aaaaa"), ["aa", "aa"]);
    assert_eq!(pieces("a{2,}b", "abaaab"), ["aaab"]);
    assert_eq!(pieces("x{y", "x{y"), ["x{y"]);
}

#[test]
fn look_ahead_sees_one_character_or_the_end() {
    assert_eq!(pieces(r"\s+(?!\S)", "  a  "), [" ", "  "]);
    assert_eq!(pieces("a(?=b)", "abaab"), ["a", "a"]);
    assert_eq!(pieces(r"\s+$", " a  "), ["  "]);
    assert_eq!(pieces("^a", "aaa"), ["a"]);
}

#[test]
fn case_is_ignored_only_inside_the_group() {
    assert_eq!(pieces("(?i:'s)|S", "'S's S s"), ["'S", "'s", "S"]);
    assert_eq!(pieces("(?i)ab", "aBAb"), ["aB", "Ab"]);
}

#[test]
fn possessive_repetition_gives_nothing_back() {
    assert_eq!(pieces("a++b", "aab"), ["aab"]);
    assert_eq!(pieces("a++a", "aaa"), Vec::<&str>::new());
    assert_eq!(pieces(r"[^\r\n\p{L}\p{N}]?+\p{L}+", " ab-c"), [" ab", "-c"]);
    assert_eq!(pieces(r"\s++$", "a  "), ["  "]);
    // As the pattern of cl100k_base has it.
    assert_eq!(pieces(r"\p{N}{1,3}+", "1234567"), ["123", "456", "7"]);
    assert_eq!(pieces("a{1,3}+a", "aaa aaaa"), ["aaaa"]);
    assert_eq!(pieces("a{2}+|b{2,}+b|c{0,2}+c", "aaa bbb cc ccc"), ["aa", "ccc"]);
}

#[test]
fn sets_can_be_intersected_and_nested() {
    assert_eq!(pieces(r"[\p{L}&&[^\p{Han}]]+", "ab三c"), ["ab", "c"]);
    assert_eq!(pieces(r" ?[^(\s|[.,!?…。])]+", "a (b|c, d"), ["a", "b", "c", " d"]);
}

#[test]
fn what_the_dialect_lacks_is_refused() {
    for source in
        ["(?<=a)b", "(?<!a)b", r"(a)\1", r"\bfoo", "(?=ab)c", "(?>a)", "(?P<n>a)", "(ab)++", "(?:a*)*b"]
    {
        assert!(matches!(Pattern::new(source), Err(PatternError::Unsupported { .. })), "{source}");
    }
    for source in ["(a", "a)", "[a", "*a", r"\", r"\p{Nope}", "a{3,2}", r"\x4", "[z-a]"] {
        assert!(matches!(Pattern::new(source), Err(PatternError::Syntax { .. })), "{source}");
    }
    for source in ["a*", "(?:)", "", "a|", "(?=a)", "$", "a{0}"] {
        assert_eq!(Pattern::new(source).unwrap_err(), PatternError::Empty, "{source}");
    }
}

#[test]
fn large_patterns_are_refused_before_they_cost() {
    for source in ["(?:(?:a{1000}){1000}){1000}", &"(".repeat(1000), "(?:a|b)*a(?:a|b){20}c", "a{9999}"] {
        assert!(matches!(Pattern::new(source), Err(PatternError::TooLarge { .. })), "{}", &source[..12]);
    }
}

#[test]
fn a_scan_that_fails_again_and_again_stays_linear() {
    let mut text = " ".repeat(1 << 20);
    text.push('x');
    assert_eq!(pieces(r"\s+$", &text), Vec::<&str>::new());
    assert_eq!(pieces(r"\s*[\r\n]+", &text), Vec::<&str>::new());
    let text = "a".repeat(1 << 18);
    assert_eq!(pieces("a*b|a", &text).len(), 1 << 18);
    assert_eq!(pieces("a*b|a*c|a{3}", &text).len(), (1 << 18) / 3);
    assert_eq!(pieces("(?:aa)*b|(?:aaa)*c|a", &text).len(), 1 << 18);
}

fn ruby<'t>(pattern: &str, text: &'t str) -> Vec<&'t str> {
    Pattern::ruby(pattern).unwrap().find_iter(text).map(|range| &text[range]).collect()
}

#[test]
fn ruby_has_ends_of_lines() {
    assert_eq!(ruby("a$", "a\na"), ["a", "a"]);
    assert_eq!(ruby("^a", "a\naa"), ["a", "a"]);
    assert_eq!(ruby(r"\s+$", "a  \n b"), ["  "]);
    assert_eq!(ruby(r"\Aa|b\z", "ab\nab"), ["a", "b"]);
    assert_eq!(ruby("a(?:\n^)?", "a\na\n"), ["a\n", "a"], "no line begins at the end");
}

#[test]
fn ruby_has_classes_of_unicode() {
    assert_eq!(ruby("[[:punct:]]", "a。b€"), ["。", "€"]);
    assert_eq!(ruby("[[:alpha:]]+", "aé1Ж"), ["aé", "Ж"]);
    assert_eq!(ruby("[^[:^digit:]]", "1٣a"), ["1", "٣"]);
    assert_eq!(ruby(r"\w+", "a½²\u{200D}"), ["a½²"]);
    assert_eq!(ruby(r"[^\w]", "a½\u{200D}"), ["½", "\u{200D}"]);
    assert_eq!(ruby("[[:graph:]]+[[:^print:]]", "a\t b\n"), ["a\t", "b\n"]);
    assert_eq!(ruby(r"(?i:\p{Lu})", "aA"), ["A"], "a property has its case");
    assert_eq!(ruby("xa{2}?", "xaaxa"), ["xaa", "x"]);
    assert_eq!(ruby("a(?i)b|c", "ac ab c aB"), ["ac", "ab", "aB"]);
}

#[test]
fn what_ruby_reads_otherwise_is_refused() {
    for source in [
        r"\pL",
        "[a~~b]",
        "[a--b]",
        r"\p{Script=Greek}",
        r"\p{IsGreek}",
        r"\u{61}",
        "[[:foo:]]",
        "(?i:ss)",
        "(?i:s(?:s))",
        "(?i)fix",
        "(?i:ſt)",
        "(?i:ß)",
        r"(?i:[\p{Lu}])",
    ] {
        assert!(matches!(Pattern::ruby(source), Err(PatternError::Unsupported { .. })), "{source}");
    }
    assert!(Pattern::ruby(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|s").is_ok());
}

/// Reference: leftmost-first by plain backtracking over the same tree.
fn backtrack(tree: &parse::Tree, text: &[char]) -> Vec<(usize, usize)> {
    type Next<'a> = &'a mut dyn FnMut(usize) -> Option<usize>;
    fn run(
        tree: &parse::Tree,
        node: &parse::Node,
        text: &[char],
        at: usize,
        next: Next<'_>,
    ) -> Option<usize> {
        use parse::Node;
        let has = |set: usize| {
            text.get(at).is_some_and(|&c| tree.sets[set].iter().any(|r| (r.0..=r.1).contains(&u32::from(c))))
        };
        match node {
            Node::Class(set) => {
                if has(*set) {
                    next(at + 1)
                } else {
                    None
                }
            }
            Node::Look { set, negated } => {
                if has(*set) != *negated {
                    next(at)
                } else {
                    None
                }
            }
            Node::StartOfText => {
                if at == 0 {
                    next(at)
                } else {
                    None
                }
            }
            Node::EndOfText => {
                if at == text.len() {
                    next(at)
                } else {
                    None
                }
            }
            Node::StartOfLine => {
                if at == 0 || (text[at - 1] == '\n' && at < text.len()) {
                    next(at)
                } else {
                    None
                }
            }
            Node::EndOfLine(_) => {
                if text.get(at).is_none_or(|c| *c == '\n') {
                    next(at)
                } else {
                    None
                }
            }
            Node::Concat(nodes) => match nodes.split_first() {
                None => next(at),
                Some((first, rest)) => {
                    let rest = parse::Node::Concat(rest.to_vec());
                    run(tree, first, text, at, &mut |at| run(tree, &rest, text, at, next))
                }
            },
            Node::Alternatives(nodes) => nodes.iter().find_map(|node| run(tree, node, text, at, next)),
            Node::Repeat { node: body, min, max, greedy } => {
                let again = |next: Next<'_>| {
                    if *max == Some(0) {
                        return None;
                    }
                    let less = parse::Node::Repeat {
                        node: body.clone(),
                        min: min.saturating_sub(1),
                        max: max.map(|max| max - 1),
                        greedy: *greedy,
                    };
                    run(tree, body, text, at, &mut |to| {
                        if to == at && *min == 0 { None } else { run(tree, &less, text, to, next) }
                    })
                };
                match (*min > 0, *greedy) {
                    (true, _) => again(next),
                    (false, true) => again(next).or_else(|| next(at)),
                    (false, false) => next(at).or_else(|| again(next)),
                }
            }
        }
    }
    let (mut found, mut at) = (Vec::new(), 0);
    while at < text.len() {
        match run(tree, &tree.root, text, at, &mut Some) {
            Some(end) if end > at => {
                found.push((at, end));
                at = end;
            }
            _ => at += 1,
        }
    }
    found
}

#[test]
fn the_table_agrees_with_backtracking_on_random_patterns() {
    let mut random = crate::testing::Random::new(7);
    let mut compared = 0;
    for round in 0..2000 {
        let source = random_pattern(&mut random, 3);
        let dialect = if round % 2 == 0 { Dialect::Rust } else { Dialect::Ruby };
        let compile = if round % 2 == 0 { Pattern::new } else { Pattern::ruby };
        let Ok(pattern) = compile(&source) else { continue };
        let tree = parse::parse(&source, dialect).unwrap();
        for _ in 0..12 {
            let text: String =
                (0..random.below(12)).map(|_| *random.pick(&['a', 'b', 'c', ' ', 'é', '\n'])).collect();
            let chars: Vec<char> = text.chars().collect();
            let got: Vec<String> = pattern.find_iter(&text).map(|range| text[range].to_owned()).collect();
            let want: Vec<String> =
                backtrack(&tree, &chars).iter().map(|&(from, to)| chars[from..to].iter().collect()).collect();
            assert_eq!(got, want, "{source:?} on {text:?}");
            compared += 1;
        }
    }
    assert!(compared > 2000, "only {compared} comparisons");
}

fn random_pattern(random: &mut crate::testing::Random, depth: usize) -> String {
    let atom = match random.below(if depth == 0 { 5 } else { 8 }) {
        0 => "a".to_owned(),
        1 => "b".to_owned(),
        2 => "[^a]".to_owned(),
        3 => r"\s".to_owned(),
        4 => "[ab]".to_owned(),
        5 => format!("(?:{}|{})", random_pattern(random, depth - 1), random_pattern(random, depth - 1)),
        6 => format!("{}{}", random_pattern(random, depth - 1), random_pattern(random, depth - 1)),
        _ => return format!("{}(?!b)", random_pattern(random, depth - 1)),
    };
    let suffix = *random.pick(&["", "", "", "*", "+", "?", "{1,2}", "*?", "+?", "(?=[ab])", "$"]);
    let atom = if random.below(6) == 0 { format!("(?:^|a){atom}") } else { atom };
    if suffix.is_empty() { atom } else { format!("(?:{atom}){suffix}") }
}
