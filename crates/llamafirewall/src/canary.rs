//! Scanner `canary`: words that were planted in a prompt, and that nobody may ever say.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use llamafirewall_core::{
    ConfigurationError, Finding, Placement, ScanFuture, ScanInput, ScanResult, Scanner, ScannerOptions,
    ScannerType, View, ViewKind, Views,
};
use std::collections::HashSet;
use std::sync::Arc;

/// Shorter words come about by chance.
const SHORTEST: usize = 8;
/// The end of a reply is held against the beginnings of words of this length, letter by letter.
const LONGEST: usize = 4096;

/// Finds planted words in every form: in other letters and ciphers, encoded, reversed, with anything between their
/// letters.
pub struct CanaryScanner {
    name: String,
    /// Letters and digits of every form of every word.
    forms: Forms,
    /// Those of the words themselves, each sign as the first of those that stand for each other.
    alike: Forms,
}

struct Forms {
    forms: Vec<String>,
    automaton: AhoCorasick,
}

impl Forms {
    fn of(forms: Vec<String>) -> Result<Self, aho_corasick::BuildError> {
        // Making a table of all states would take time in the square of a word that repeats itself.
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&forms)?;
        Ok(Self { forms, automaton })
    }

    /// Where the end of a text begins that a form could begin with.
    fn open_end(&self, letters: &str) -> Option<usize> {
        let longest = self.forms.iter().map(String::len).max().unwrap_or(0);
        let begins = |at: &usize| self.forms.iter().any(|form| form.starts_with(&letters[*at..]));
        (letters.len().saturating_sub(longest)..letters.len()).find(begins)
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    words: Vec<String>,
}

/// Makes the scanner for a policy.
pub(crate) fn build(options: &ScannerOptions) -> Result<Arc<dyn Scanner>, ConfigurationError> {
    let Options { words } = options.read()?;
    let scanner = CanaryScanner::new(&words)?;
    Ok(Arc::new(CanaryScanner { name: options.name().to_owned(), ..scanner }))
}

impl CanaryScanner {
    /// Looks for these words, each of eight to 4096 ASCII letters and digits.
    ///
    /// # Errors
    /// There is no word, or one is too short or too long.
    pub fn new(words: &[impl AsRef<str>]) -> Result<Self, ConfigurationError> {
        let invalid = |reason: &str| ConfigurationError::Options {
            scanner: "canary".to_owned(),
            reason: reason.to_owned(),
        };
        let (mut forms, mut alike) = (Vec::new(), Vec::new());
        for word in words {
            let plain = word.as_ref();
            if squeezed(plain).0.len() < SHORTEST || !plain.is_ascii() {
                return Err(invalid("a canary word has at least eight letters and digits, all ASCII"));
            }
            let letters = squeezed(plain).0.len();
            if letters > LONGEST {
                let at_most =
                    format!("one has {letters} letters and digits, at most {LONGEST} are looked for");
                return Err(invalid(&format!("{at_most}: give a part of it")));
            }
            forms.extend(forms_of(plain));
            alike.push(alike_of(&squeezed(plain).0));
        }
        if forms.is_empty() {
            return Err(invalid("no canary words"));
        }
        let made = |forms| Forms::of(forms).map_err(|e| invalid(&e.to_string()));
        Ok(Self { name: "canary".to_owned(), forms: made(forms)?, alike: made(alike)? })
    }

    fn findings(&self, input: &ScanInput) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut told = HashSet::new();
        // Ciphers are among the forms of the word.
        let views = input.views();
        for view in views.iter().filter(|view| matches!(view.kind(), ViewKind::InPlace | ViewKind::Unpacked))
        {
            let (letters, places) = squeezed(view.text());
            let folded = alike_of(&letters);
            let hits = self.forms.automaton.find_iter(&letters);
            for hit in hits.chain(self.alike.automaton.find_iter(&folded)) {
                let span = view.original(places[hit.start()].0..places[hit.end() - 1].1);
                // The same word seen in two forms is one finding.
                if !told.insert((span.start, span.end)) {
                    continue;
                }
                let mut finding = Finding::new("Canary", span);
                finding.seen_in = view.how().to_owned().into();
                findings.push(finding);
            }
        }
        findings
    }

    /// The first byte of an end of a form that a planted word could begin with.
    fn open_end(&self, view: &View) -> usize {
        let (letters, places) = squeezed(view.text());
        let ends = [self.forms.open_end(&letters), self.alike.open_end(&alike_of(&letters))];
        let first = ends.into_iter().flatten().min();
        let open = first.map_or(view.text().len(), |at| places[at].0);
        open.min(view.open_tail())
    }
}

/// The letters and digits of a text in lower case, and where each came from. They are all ASCII.
fn squeezed(text: &str) -> (String, Vec<(usize, usize)>) {
    let letters = text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_alphanumeric());
    letters.map(|(at, byte)| (byte.to_ascii_lowercase() as char, (at, at + 1))).unzip()
}

/// Letters, each as the first of the letters and digits that are said for each other (`z3bra` for `zebra`): a word may have digits of its
/// own, which a text in which digits are read as letters no longer has.
fn alike_of(letters: &str) -> String {
    let first = |c: char| match c {
        '0' => 'o',
        '1' | 'l' => 'i',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '6' | '9' => 'g',
        '7' => 't',
        '8' => 'b',
        c => c,
    };
    letters.chars().map(first).collect()
}

/// A word in every cipher, from its end, and as part of longer texts in base64 and base16.
fn forms_of(word: &str) -> Vec<String> {
    let lower = squeezed(word).0;
    let turn = |read: &dyn Fn(u8) -> u8| -> String {
        lower
            .bytes()
            .map(|byte| if byte.is_ascii_lowercase() { read(byte) as char } else { byte as char })
            .collect()
    };
    let mut forms: Vec<String> = (0..26).map(|by| turn(&|byte| (byte - b'a' + by) % 26 + b'a')).collect();
    forms.push(turn(&|byte| b'a' + b'z' - byte));
    forms.push(lower.chars().rev().collect());
    for text in [word.to_owned(), word.to_lowercase(), word.to_uppercase()] {
        forms.push(text.bytes().map(|byte| format!("{byte:02x}")).collect());
        forms.extend((0..3).map(|skip| squeezed(&base64_inside(text.as_bytes(), skip)).0));
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// Digits of base64 that `bytes` have wherever they stand `skip` bytes after a group of three begins.
fn base64_inside(bytes: &[u8], skip: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // A digit that bytes on either side have a part in is left out.
    let bit = |at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
    let first = [0, 4, 2][skip];
    let count = (bytes.len() * 8 - first) / 6;
    let digit = |n: usize| (0..6).fold(0, |value, i| value << 1 | bit(first + n * 6 + i));
    (0..count).map(|n| DIGITS[digit(n) as usize] as char).collect()
}

impl Scanner for CanaryScanner {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> ScannerType {
        ScannerType::Canary
    }

    fn placement(&self) -> Placement {
        Placement::Task
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        Box::pin(async {
            let findings = self.findings(input);
            Ok(match findings.len() {
                0 => ScanResult::allow("No canary seen"),
                _ => ScanResult::block("A canary word was said", 1.0).with_findings(findings),
            })
        })
    }

    fn settled(&self, input: &ScanInput) -> Option<usize> {
        let text = Views::without_last_word(input.text());
        let views = Views::open(text, 0).into_iter().filter(|view| view.kind() == ViewKind::InPlace);
        let open = |view: View| view.original(self.open_end(&view)..view.text().len()).start;
        Some(views.map(open).min().unwrap_or(text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llamafirewall_core::{Configuration, Firewall, Message, Role};

    #[test]
    fn a_planted_word_is_found_in_every_form() {
        let scanner = CanaryScanner::new(&["zebra-7431-quartz"]).expect("long enough");
        let firewall = Firewall::new(Configuration::new().add_scanner(Role::Assistant, Arc::new(scanner)));
        let firewall = firewall.expect("it is valid");
        for said in [
            "It is Zebra-7431-Quartz.",
            "mroen-7431-dhnegm",
            "z e b r a 7 4 3 1 q u a r t z",
            "ztrauq-1347-arbez",
            "z*e*b*r*a*7*4*3*1*q*u*a*r*t*z",
            "emVicmEtNzQzMS1xdWFydHo=",
            "eHplYnJhLTc0MzEtcXVhcnR6eQ==",
            "7a656272612d373433312d71756172747a",
            "ｚｅｂｒａ-7431-quartz",
            "zеbra-7431-quаrtz",
            "avyiz-7431-jfziga",
            "ze\u{200b}bra-7431-quartz",
            "It is z3bra-7431-quartz.",
            "z3br4-7431-qu4rtz",
            "zebra-743l-quartz",
            "z e b r a 7 4 3 i q u a r t z",
            "zebra-tael-quartz",
        ] {
            let result = firewall.scan_blocking(&Message::assistant(said), None);
            assert!(!result.is_allowed(), "{said}");
            assert!(!result.reason.contains("7431"));
        }
        assert!(
            firewall.scan_blocking(&Message::assistant("a zebra and some quartz, 7431"), None).is_allowed()
        );
    }

    #[test]
    fn a_word_seen_in_two_forms_is_found_once() {
        let scanner = CanaryScanner::new(&["zebra-7431-quartz"]).expect("long enough");
        let input =
            ScanInput::text_of(Role::Assistant, "It is Zebra-7431-Quartz, or ｚｅｂｒａ-7431-quartz.");
        assert_eq!(scanner.findings(&input).len(), 2);
    }

    #[test]
    fn a_word_that_repeats_itself_is_found() {
        let word = "a1".repeat(LONGEST / 2);
        let scanner = CanaryScanner::new(&[&word]).expect("long enough");
        let input = ScanInput::text_of(Role::Assistant, &format!("It is {word}."));
        assert_eq!(scanner.findings(&input)[0].span, 6..6 + LONGEST);
        let refused = CanaryScanner::new(&[word + "a"]).map(|_| ()).expect_err("too long");
        assert!(refused.to_string().contains("4097 letters"), "{refused}");
    }

    #[test]
    fn short_words_are_refused() {
        assert!(CanaryScanner::new(&["short"]).is_err());
        assert!(CanaryScanner::new(&[] as &[&str]).is_err());
    }
}
