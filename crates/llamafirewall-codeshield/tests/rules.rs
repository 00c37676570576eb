//! Every rule on code in which the original finds something, and on code in which it does not.
//!
//! The files in `cases/` hold the code; above each piece stands the rule and whether it finds something. Where the
//! original decides otherwise, that is said too. Its verdicts on `patterns.txt` are those of Python's `re`, on the other
//! files those of semgrep 1.185, run over the same pieces with the original's rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use llamafirewall_codeshield::{Language, RuleInfo, rules, scan_code};

const FILES: [(&str, &[Language]); 7] = [
    ("c.txt", &[Language::C, Language::Cpp]),
    ("csharp.txt", &[Language::CSharp]),
    ("java.txt", &[Language::Java]),
    ("javascript.txt", &[Language::JavaScript, Language::TypeScript]),
    ("python.txt", &[Language::Python]),
    ("typescript.txt", &[Language::JavaScript, Language::TypeScript]),
    ("patterns.txt", &[]),
];

/// Rules that the original asks semgrep for and that are patterns here, as they are there: `pattern-regex`.
const TEXTUAL: [&str; 4] = [
    "blowfish-encryption-usage",
    "des-algorithm-usage",
    "ecb-mode-encryption-usage",
    "unauthenticated-encryption-usage",
];

struct Case {
    rule: String,
    matches: bool,
    original: bool,
    code: String,
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn cases(name: &str) -> Vec<Case> {
    let path = here().join("tests/cases").join(name);
    let text = std::fs::read_to_string(path).expect("the file of cases can be read");
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        let Some(head) = line.strip_prefix("== ") else {
            let case = cases.last_mut().expect("a heading stands first");
            case.code.push_str(line);
            case.code.push('\n');
            continue;
        };
        let (rule, verdict) = head.split_once(": ").expect("a rule and a verdict");
        let (matches, original) = match verdict {
            "match" => (true, true),
            "none" => (false, false),
            "match (original: none)" => (true, false),
            "none (original: match)" => (false, true),
            other => panic!("no verdict: {other}"),
        };
        cases.push(Case { rule: rule.to_owned(), matches, original, code: String::new() });
    }
    cases
}

fn language_of(rule: &str) -> Option<Language> {
    let info = rules().find(|info| info.id == rule);
    info.unwrap_or_else(|| panic!("no rule is called {rule}")).language
}

fn check(name: &str, case: &Case, language: Option<Language>) -> Option<String> {
    let report = scan_code(&case.code, language);
    let matches = report.issues.iter().any(|issue| issue.rule == case.rule);
    let is_right = matches == case.matches && report.unread.is_empty();
    (!is_right).then(|| format!("{name}, {} as {language:?}: {matches}\n{}", case.rule, case.code))
}

#[test]
fn every_case_is_decided_as_it_says() {
    let mut wrong = Vec::new();
    for (name, languages) in FILES {
        for case in cases(name) {
            if languages.is_empty() {
                wrong.extend(check(name, &case, language_of(&case.rule)));
            }
            wrong.extend(languages.iter().filter_map(|language| check(name, &case, Some(*language))));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Code that says nothing of its language is scanned by the rules of every language.
#[test]
fn code_without_a_language_loses_no_match() {
    let mut missed = Vec::new();
    for (name, _) in FILES {
        for case in cases(name).iter().filter(|case| case.matches) {
            missed.extend(check(name, case, None));
        }
    }
    assert!(missed.is_empty(), "{} cases differ:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn every_rule_has_cases_of_both_kinds() {
    let all: Vec<Case> = FILES.iter().flat_map(|(name, _)| cases(name)).collect();
    for info in rules() {
        for matches in [true, false] {
            let has = all.iter().any(|case| case.rule == info.id && case.matches == matches);
            assert!(has, "{} has no case that gives {matches}", info.id);
        }
    }
}

/// How a rule compares with the original's: `equal` where both decide every case alike.
fn verdicts() -> BTreeMap<String, &'static str> {
    let mut kinds: BTreeMap<String, BTreeSet<(bool, bool)>> = BTreeMap::new();
    for case in FILES.iter().flat_map(|(name, _)| cases(name)) {
        kinds.entry(case.rule).or_default().insert((case.matches, case.original));
    }
    let verdict = |kinds: &BTreeSet<(bool, bool)>| match (
        kinds.contains(&(true, false)),
        kinds.contains(&(false, true)),
    ) {
        (false, false) => "equal",
        (true, false) => "wider",
        (false, true) => "narrower",
        (true, true) => "partial",
    };
    kinds.iter().map(|(rule, kinds)| (rule.clone(), verdict(kinds))).collect()
}

fn comes_from_semgrep(info: &RuleInfo) -> bool {
    info.reads_trees || TEXTUAL.contains(&info.id)
}

#[test]
fn the_numbers_are_those_of_the_original() {
    assert_eq!(rules().filter(|info| !comes_from_semgrep(info)).count(), 38);
    assert_eq!(rules().filter(comes_from_semgrep).count(), 70);
    let names: BTreeSet<&str> = rules().map(|info| info.id).collect();
    assert_eq!(names.len(), 108, "a name stands twice");
    let verdicts = verdicts();
    let equal = |info: &RuleInfo| verdicts.get(info.id) == Some(&"equal");
    assert_eq!(rules().filter(|info| comes_from_semgrep(info) && equal(info)).count(), 60);
    assert_eq!(rules().filter(|info| !comes_from_semgrep(info) && equal(info)).count(), 35);
}

/// The page of the guide has a row for every rule, and says of each what the cases say.
#[test]
fn the_table_of_the_guide_is_true() {
    let page = here().join("../../docs/firewall/codeshield.md");
    let page = std::fs::read_to_string(page).expect("the page can be read");
    let verdicts = verdicts();
    let mut expected: Vec<String> = rules()
        .map(|info| {
            let language = info.language.map_or("any", Language::name);
            let kind = if info.reads_trees { "tree" } else { "text" };
            let from = if comes_from_semgrep(&info) { "semgrep" } else { "regex" };
            let verdict = verdicts[info.id];
            format!("| `{}` | {language} | {} | {from} | {kind} | {verdict} |", info.id, info.cwe)
        })
        .collect();
    let mut rows: Vec<&str> =
        page.lines().filter(|line| line.matches(" | ").count() == 5 && line.starts_with("| `")).collect();
    expected.sort();
    rows.sort_unstable();
    let missing: Vec<&String> = expected.iter().filter(|row| !rows.contains(&row.as_str())).collect();
    assert!(missing.is_empty(), "rows that the page lacks:\n{missing:#?}");
    assert_eq!(rows.len(), expected.len(), "the page has rows of no rule");
}
