//! Scanning a message or a piece of code.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

use crate::code::{Code, Wrapping, with_line_feeds};
use crate::fences::{self, Division, Stretch, overlapping, stretches};
use crate::issue::{Issue, Severity, Treatment};
use crate::json;
use crate::language::{Language, Named};
use crate::parts::{self, Asked};
use crate::patterns::{self, Known, PATTERNS, Pattern};
use crate::rules::{TreeRule, needles};
use crate::syntax::{Inert, MAX_BYTES, NodeId, Outcome, Tree, within};

/// At most so many places of one rule are listed; the first ones.
pub(crate) const PLACES_PER_RULE: usize = 64;

/// How deeply JSON within strings of JSON is read.
const DEEPEST: usize = 3;

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Places at fault in the order of the text, each once, of one rule at most the first 64.
    pub issues: Vec<Issue>,
    /// Code that was not analysed to the end: too long, or too much work. Its issues may be missing.
    pub unread: Vec<Range<usize>>,
}

impl Report {
    /// Whether anything was found.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        !self.issues.is_empty()
    }

    /// What should happen to the code: an error blocks, anything else warns, and so does code that was not read.
    #[must_use]
    pub fn treatment(&self) -> Treatment {
        let worst = self.issues.iter().map(Issue::treatment).max().unwrap_or(Treatment::Ignore);
        if self.unread.is_empty() { worst } else { worst.max(Treatment::Warn) }
    }
}

/// A rule, for lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its name in the Python CodeShield.
    pub id: &'static str,
    /// Its language; `None` for secrets.
    pub language: Option<Language>,
    /// The weakness, such as `CWE-78`.
    pub cwe: &'static str,
    /// How bad its issues are.
    pub severity: Severity,
    /// Whether it looks at syntax trees, and not at plain text.
    pub reads_trees: bool,
}

/// All rules: first those over plain text.
pub fn rules() -> impl Iterator<Item = RuleInfo> {
    let of_text = PATTERNS.iter().map(|pattern| RuleInfo {
        id: pattern.id,
        language: pattern.language,
        cwe: pattern.cwe,
        severity: pattern.severity,
        reads_trees: false,
    });
    let of_trees = Language::ALL.into_iter().flat_map(|language| {
        language.tree_rules().iter().map(move |rule| RuleInfo {
            id: rule.id,
            language: Some(language),
            cwe: rule.cwe,
            severity: rule.severity,
            reads_trees: true,
        })
    });
    of_text.chain(of_trees)
}

/// Scans one piece of code. Without a language, rules of every language hold, as far as the code can be read as that
/// language.
#[must_use]
pub fn scan_code(code: &str, language: Option<Language>) -> Report {
    let named = language.map_or(Named::Nothing, Named::Known);
    scan_whole(code, named)
}

/// Scans a text that says by a name what it is written in throughout, such as a file by its ending: `py`, `rs`. A name that is no
/// language's says that it may be anything, and it is scanned as a message.
#[must_use]
pub fn scan_named(text: &str, name: &str) -> Report {
    match Named::by(name) {
        Named::Nothing => scan_message(text),
        named => scan_whole(text, named),
    }
}

/// Scans a message. Code between fences is read as the language that its fence names; where it names none, where the
/// code cannot be read as that language, and outside of fences, rules of every language hold. Where it names a language that no rules
/// exist for, those of the language hold that the code is of all the same, if any, and secrets are looked for.
#[must_use]
pub fn scan_message(text: &str) -> Report {
    let text = with_line_feeds(text);
    scan_stretches(&text, stretches(&text))
}

/// Of a message that goes on: up to where it is judged for good, whatever follows. That is the end of the last fence
/// that closed, or the start of the one that is open; a scan may begin anew there.
#[must_use]
pub fn settled(text: &str) -> usize {
    // A carriage return at the end may be half of the end of a line.
    fences::settled(&with_line_feeds(text.strip_suffix('\r').unwrap_or(text)))
}

/// Makes the tables that scans use, so that the first scan is as fast as the others.
pub fn prepare() {
    patterns::prepare();
    needles::wanted("");
    for grammar in Language::ALL.into_iter().flat_map(Language::grammars) {
        grammar.vocabulary();
    }
}

fn scan_whole(text: &str, named: Named) -> Report {
    let text = with_line_feeds(text);
    scan_stretches(&text, whole(&text, named))
}

/// A text that is one stretch.
fn whole(text: &str, named: Named) -> Division {
    let whole = Stretch { named, ..Stretch::outside(0..text.len()) };
    Division { stretches: vec![whole], named: Vec::new(), unread: Vec::new() }
}

fn scan_stretches(text: &str, division: Division) -> Report {
    let (mut report, is_whole) = within(text.len(), || read_stretches(text, division, 0));
    if !is_whole {
        report.unread.push(0..text.len());
    }
    finish(text, report)
}

fn read_stretches(text: &str, division: Division, depth: usize) -> Report {
    let mut report = Report { unread: division.unread, ..Report::default() };
    let mut clean = HashMap::new();
    for stretch in division.stretches {
        let code = Code::of(text, stretch.range.clone(), stretch.wrapping);
        match (stretch.named, stretch.is_doubtful) {
            (Named::Nothing, true) => {
                let named = overlapping(&division.named, &stretch.range);
                read_unnamed(&code, (named, depth), &mut report);
            }
            (Named::Other, true) => read_parts(&code, &mut report),
            // Where all of a fence can be read as what it says, it is.
            (Named::Known(language), true) if is_within_clean(text, &stretch, (language, &mut clean)) => {}
            (named, is_doubtful) => {
                read_rules(&code, (Scope::of(&code.text, named), is_doubtful), &mut report);
                if named == Named::Nothing {
                    read_json(&code, depth, &mut report);
                }
            }
        }
    }
    report
}

fn read_rules(code: &Code<'_>, (scope, is_doubtful): (Scope, bool), report: &mut Report) {
    if scope != Scope::Secrets {
        read_trees(code, (scope, is_doubtful), report);
    }
    read_patterns(code, (scope, is_doubtful), report);
}

/// Reads lines that in another reading are partly those of fences that name their language. What is found in these counts only if
/// all of it can be read as one language: with fences in its strings and comments.
fn read_unnamed(code: &Code<'_>, (named, depth): (&[Stretch], usize), report: &mut Report) {
    let before = report.issues.len();
    read_rules(code, (Scope::Every, true), report);
    read_json(code, depth, report);
    let is_named = |issue: &Issue| !overlapping(named, &issue.span).is_empty();
    if !report.issues[before..].iter().any(is_named) {
        return;
    }
    let mut found = report.issues.split_off(before);
    let mut languages = Language::suggested_by(&code.text).chain(RULED);
    match languages.find(|language| inert(&code.text, *language).is_some()) {
        Some(language) => read_rules(code, (Scope::Of(language), true), report),
        None => {
            found.retain(|issue| !is_named(issue));
            report.issues.append(&mut found);
        }
    }
}

/// Whether a stretch lies in a fence that can be read as what it says from end to end. Each fence is read once.
fn is_within_clean(
    text: &str,
    stretch: &Stretch,
    (language, known): (Language, &mut HashMap<usize, bool>),
) -> bool {
    let Some(fence) = stretch.within.clone() else { return false };
    let is_clean = || is_clean(&Code::of(text, fence.clone(), stretch.wrapping).text, language);
    *known.entry(fence.start).or_insert_with(is_clean)
}

/// Reads what is in doubt under the name of a language without rules: what is code of another from end to end, all of it or between
/// empty lines.
fn read_parts(code: &Code<'_>, report: &mut Report) {
    let scope = Scope::of(&code.text, Named::Other);
    if scope != Scope::Secrets {
        return read_rules(code, (scope, true), report);
    }
    for language in Language::suggested_by(&code.text).filter(|language| !language.grammars().is_empty()) {
        let asked = Asked {
            language,
            is_wanted: &|part| Language::suggested_by(part).any(|suggested| suggested == language),
            is_code: &|part| is_clean(part, language),
        };
        for part in parts::code(&code.text, &asked) {
            read_rules(&code.slice(part), (Scope::Of(language), true), report);
        }
    }
}

/// Reads the strings of JSON as messages of their own.
fn read_json(code: &Code<'_>, depth: usize, report: &mut Report) {
    if depth >= DEEPEST {
        return;
    }
    for string in json::strings(&code.text) {
        let text = with_line_feeds(&string.code.text);
        let has_fences = fences::has_fences(&text);
        let named = match string.named {
            Named::Nothing if string.is_phrase && !is_statement(&text) && !text.contains('<') => Named::Other,
            named => named,
        };
        let mut inner = match named {
            named if named != Named::Nothing && !has_fences => {
                read_stretches(&text, whole(&text, named), depth + 1)
            }
            _ => read_stretches(&text, stretches(&text), depth + 1),
        };
        if named == Named::Other {
            let all = Code::of(&text, 0..text.len(), Wrapping::default());
            read_json(&all, depth + 1, &mut inner);
        }
        let place = |span: Range<usize>| code.place(string.code.place(span));
        report.unread.extend(inner.unread.into_iter().map(place));
        let placed = |issue: Issue| Issue { span: place(issue.span.clone()), ..issue };
        report.issues.extend(inner.issues.into_iter().map(placed));
    }
}

/// Whether a line is more than a signature or a title: a statement that has an end, sets something or says a value, in a language that it can
/// be read as.
fn is_statement(line: &str) -> bool {
    let is_more = line.trim_end().ends_with(';') || line.contains(['"', '\'']) || line.contains(" = ");
    is_more && !needles::wanted(line).is_empty() && RULED.iter().any(|language| is_clean(line, *language))
}

/// Whose rules hold for code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Of(Language),
    Every,
    /// No language's: secrets alone.
    Secrets,
}

impl Scope {
    fn of(code: &str, named: Named) -> Self {
        match named {
            Named::Known(language) => Self::Of(language),
            Named::Nothing => Self::Every,
            // A wrong name hides nothing: what looks like a language with rules and can be read as it from end to end, is.
            Named::Other => {
                let mut suggested = Language::suggested_by(code);
                suggested.find(|language| is_clean(code, *language)).map_or(Self::Secrets, Self::Of)
            }
        }
    }

    fn language(self) -> Option<Language> {
        match self {
            Self::Of(language) => Some(language),
            Self::Every | Self::Secrets => None,
        }
    }
}

/// Runs the rules over plain text on a stretch: those of its language, and where it is not of that language after all,
/// those of every language.
fn read_patterns(code: &Code<'_>, (scope, is_doubtful): (Scope, bool), report: &mut Report) {
    let reading = Reading { code: &code.text, scope, is_doubtful, inert: OnceCell::new() };
    report.issues.extend(patterns::find(&code.text, &reading).into_iter().map(|hit| Issue {
        rule: hit.pattern.id,
        cwe: hit.pattern.cwe,
        severity: hit.pattern.severity,
        message: hit.pattern.message,
        language: hit.pattern.language,
        span: code.place(hit.start..hit.end),
        line: 0,
    }));
}

/// Code, and what reading it as the language that it says it is tells about it.
struct Reading<'t> {
    code: &'t str,
    scope: Scope,
    is_doubtful: bool,
    inert: OnceCell<Option<Pieces>>,
}

/// Where the pieces of code begin, and where they are no code.
type Pieces = Vec<(usize, Inert)>;

impl Reading<'_> {
    /// `None` where part of the code cannot be read.
    fn inert(&self) -> Option<&Pieces> {
        self.inert.get_or_init(|| inert(self.code, self.scope.language()?)).as_ref()
    }
}

impl Known for Reading<'_> {
    fn holds(&self, pattern: &Pattern) -> bool {
        match (pattern.language, self.scope) {
            // Any other reading of the same text has its secrets, and the names of functions of other languages.
            (None, _) if self.is_doubtful => false,
            (Some(rule), Scope::Of(language)) if self.is_doubtful => language.is_ruled_by(rule),
            (Some(rule), Scope::Every) if self.is_doubtful => {
                Language::suggested_by(self.code).any(|language| language.is_ruled_by(rule))
            }
            (Some(rule), Scope::Of(language)) => language.is_ruled_by(rule) || self.inert().is_none(),
            (Some(_), Scope::Secrets) => false,
            (None, _) | (_, Scope::Every) => true,
        }
    }

    fn is_inert(&self, at: usize) -> Option<bool> {
        let pieces = self.inert()?;
        let later = pieces.partition_point(|(start, _)| *start <= at);
        let (start, inert) = &pieces[later.checked_sub(1)?];
        Some(inert.has(at - start))
    }
}

/// Whether code can be read as a language from end to end; any can as one without a grammar.
fn is_clean(code: &str, language: Language) -> bool {
    language.grammars().is_empty() || inert(code, language).is_some()
}

/// `None` where a piece cannot be read from end to end.
fn inert(code: &str, language: Language) -> Option<Pieces> {
    let of = |piece: Range<usize>| {
        let tree = first_clean(&code[piece.clone()], language)?;
        Some((piece.start, tree.inert()))
    };
    pieces(code).map(of).collect()
}

/// The tree of the first grammar that reads the code from end to end.
fn first_clean(code: &str, language: Language) -> Option<Tree<'_>> {
    language.grammars().iter().find_map(|&grammar| Tree::parse_clean(code, grammar))
}

/// The same, or where there is none, the tree that leaves least unread, if the code says that it is of this language, or else that of the
/// last grammar: words in prose may look like code to the others.
fn best_tree(code: &str, language: Language, is_named: bool) -> Option<Tree<'_>> {
    let (last, others) = language.grammars().split_last()?;
    let clean = if others.is_empty() { None } else { first_clean(code, language) };
    if clean.is_some() {
        return clean;
    }
    let others = if is_named { others } else { &[] };
    let trees = others.iter().chain([last]).filter_map(|&grammar| Tree::parse(code, grammar));
    trees.min_by_key(Tree::broken_bytes)
}

/// Code in pieces that can be parsed, cut between lines. A single line that is too long stays as it is.
fn pieces(code: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = &code[from..];
        if rest.is_empty() {
            return None;
        }
        let most = rest.floor_char_boundary(MAX_BYTES);
        let cut = match rest[..most].rfind('\n') {
            _ if most == rest.len() => most,
            Some(end) => end + 1,
            None => rest.find('\n').map_or(rest.len(), |end| end + 1),
        };
        from += cut;
        Some(from - cut..from)
    })
}

/// In order, each place once, with lines.
fn finish(text: &str, mut report: Report) -> Report {
    report.issues.sort_by(|a, b| (a.span.start, a.span.end, a.rule).cmp(&(b.span.start, b.span.end, b.rule)));
    report.unread.sort_by_key(|range| (range.start, range.end));
    report.unread.dedup();
    report.issues.dedup_by(|a, b| a.rule == b.rule && a.span == b.span);
    let mut places = HashMap::new();
    report.issues.retain(|issue| {
        let seen = places.entry(issue.rule).or_insert(0);
        *seen += 1;
        *seen <= PLACES_PER_RULE
    });
    let (mut line, mut reached) = (1, 0);
    for issue in &mut report.issues {
        line += text[reached..issue.span.start].matches('\n').count();
        reached = issue.span.start;
        issue.line = line;
    }
    report
}

/// The languages that rules over trees are written for.
const RULED: [Language; 5] =
    [Language::C, Language::CSharp, Language::Java, Language::JavaScript, Language::Python];

/// Runs the rules over trees on a stretch: those of its language, and where it is not of that language after all,
/// those of every language on the statements that can be read. Code is parsed only for rules whose words it has.
fn read_trees(code: &Code<'_>, (scope, is_doubtful): (Scope, bool), report: &mut Report) {
    let wanted = needles::wanted(&code.text);
    if wanted.is_empty() {
        return;
    }
    let own = scope.language().filter(|language| !language.grammars().is_empty());
    let before = report.issues.len();
    if own.is_some_and(|language| read_as(code, language, (&wanted, !is_doubtful), report)) {
        return;
    }
    let own_places: Vec<Range<usize>> =
        report.issues[before..].iter().map(|issue| issue.span.clone()).collect();
    let others = report.issues.len();
    for language in RULED.into_iter().filter(|of| !own.is_some_and(|own| own.is_ruled_by(*of))) {
        if wanted.iter().any(|(of, _)| *of == language) {
            read_as(code, language, (&wanted, false), report);
        }
    }
    // What a rule of the code's own language says of a place is not said once more by another's.
    let mut found = report.issues.split_off(others);
    found.retain(|issue| !own_places.iter().any(|own| own.contains(&issue.span.start)));
    report.issues.append(&mut found);
}

/// Runs the wanted rules that hold for a language; says whether the code could be read as that language throughout. Code that
/// does not say it is of this language counts only as far as its statements can be read.
fn read_as(
    code: &Code<'_>,
    language: Language,
    (wanted, is_named): (&[(Language, &'static TreeRule)], bool),
    report: &mut Report,
) -> bool {
    let mut is_clean = true;
    for piece in pieces(&code.text) {
        let is_whole = read_piece(code, piece.clone(), (language, wanted, is_named), report);
        if !is_whole && !is_named {
            for part in parts_of(&code.text[piece.clone()], language) {
                let part = piece.start + part.start..piece.start + part.end;
                read_piece(code, part, (language, wanted, false), report);
            }
        }
        is_clean &= is_whole;
    }
    is_clean
}

/// Code of a language between empty lines, where a rule may find something.
fn parts_of(text: &str, language: Language) -> Vec<Range<usize>> {
    let is_wanted = |part: &str| needles::wanted(part).iter().any(|(of, _)| language.is_ruled_by(*of));
    parts::code(text, &Asked { language, is_wanted: &is_wanted, is_code: &|part| is_clean(part, language) })
}

fn read_piece(
    code: &Code<'_>,
    piece: Range<usize>,
    (language, wanted, is_named): (Language, &[(Language, &'static TreeRule)], bool),
    report: &mut Report,
) -> bool {
    let Some(tree) = best_tree(&code.text[piece.clone()], language, is_named) else {
        report.unread.push(code.place(piece));
        return false;
    };
    for (of, rule) in wanted.iter().filter(|(of, _)| language.is_ruled_by(*of)) {
        let mut found: Vec<NodeId> = Vec::new();
        (rule.check)(&tree, &mut found);
        found.retain(|&id| is_named || tree.is_clean_at(id));
        found.truncate(PLACES_PER_RULE);
        let places = found.into_iter().map(|id| code.place(tree.span(id, piece.start)));
        report.issues.extend(places.map(|place| issue(rule, *of, place)));
    }
    if tree.outcome() == Outcome::GaveUp {
        report.unread.push(code.place(piece));
    }
    tree.is_clean()
}

fn issue(rule: &TreeRule, language: Language, span: Range<usize>) -> Issue {
    Issue {
        rule: rule.id,
        cwe: rule.cwe,
        severity: rule.severity,
        message: rule.message,
        language: Some(language),
        span,
        line: 0,
    }
}
