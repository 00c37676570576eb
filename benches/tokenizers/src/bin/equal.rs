//! Random and hostile strings through both sides: all ids, and the types of pairs, must be equal.
//!
//! `TORCHLESS_FIXTURES=... cargo run --release --bin equal [STRINGS PER VOCABULARY]`

use std::process::ExitCode;

use torchless_tokenizer::{Around, Controls, EncodeOptions, Special};
use torchless_tokenizer_peers::{Both, all, fixtures};

/// SplitMix64, so that every run sees the same strings.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

const BITS: &[&str] = &[
    "hello",
    " world",
    "The",
    " quick",
    "ing",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\t",
    "\r\n",
    " \n ",
    "é",
    "e\u{301}",
    "ﬁ",
    "①",
    "½",
    "日本語",
    "한국어",
    "\u{1112}\u{1161}\u{11AB}",
    "тест",
    "العربية",
    "हिन्दी",
    "ไทย",
    "🦙",
    "👩‍👩‍👧",
    "🇩🇪🇫🇷",
    "123",
    "1234567",
    "0.5",
    "'s",
    "'LL",
    "don't",
    "▁",
    "##ing",
    "<0x41>",
    "-",
    "--",
    "...",
    "…",
    "“",
    "”",
    "\u{0}",
    "\u{1}",
    "\u{AD}",
    "\u{200B}",
    "\u{200D}",
    "\u{FEFF}",
    "\u{FFFD}",
    "\u{301}",
    "\u{301}\u{302}\u{303}",
    "Größe",
    "İ",
    "ß",
    "ΑΣ",
    "ǅ",
    "\u{3000}",
    "\u{A0}",
    "\u{2028}",
    "http://a.b/c?d=e",
    "x_y",
    "CamelCase",
    "ＦＵＬＬ",
    "ｱｲｳ",
    "豈",
    "\u{1F468}\u{1F3FD}",
    "[",
    "]",
    "<",
    ">",
    "|",
    "#",
    "@",
    "\\",
    "def f():\n\treturn 1",
    "\u{E000}",
    "\u{10FFFF}",
];

fn text(random: &mut Random, added: &[String]) -> String {
    let mut text = String::new();
    for _ in 0..random.below(14) {
        match random.below(12) {
            0 => text.extend(char::from_u32(random.below(0x11_0000) as u32)),
            1 => text.extend(char::from_u32(random.below(0x3000) as u32)),
            2 => text.push(char::from(random.below(128) as u8)),
            3 if !added.is_empty() => text.push_str(&added[random.below(added.len())]),
            4 => {
                let bit = BITS[random.below(BITS.len())];
                text.push_str(&bit.repeat(random.below(40)));
            }
            5 => text.push(' '),
            _ => text.push_str(BITS[random.below(BITS.len())]),
        }
    }
    text
}

fn differ(both: &Both, text: &str, second: Option<&str>) -> Option<String> {
    let (ours, theirs) = match second {
        Some(second) => {
            let options = EncodeOptions { special: Special::Parse, around: Around::ModelDefault };
            let ours = both.ours.encode_pair(text, second, options).expect("the template of a pair");
            // Their faster way gives all types as 0 where the file has no post-processor.
            let theirs = both.peer.encode((text, second), true).expect("a pair");
            if !both.name.contains("GGUF") && ours.type_ids != theirs.get_type_ids() {
                return Some(format!("types of {text:?} {second:?}"));
            }
            (ours.ids, theirs)
        }
        None => {
            let options = EncodeOptions { special: Special::Parse, around: Around::Nothing };
            (both.ours.encode(text, options), both.peer.encode_fast(text, false).expect("a text"))
        }
    };
    let ours: Vec<u32> = ours.iter().map(|id| id.0).collect();
    (ours != theirs.get_ids())
        .then(|| format!("{text:?} {second:?}\n  ours   {ours:?}\n  theirs {:?}", theirs.get_ids()))
}

/// Whether the texts of both sides are equal; bytes that are no text come out differently by design.
fn decodes_alike(both: &Both, text: &str) -> bool {
    let theirs = both.peer.encode_fast(text, false).expect("a text");
    let ids: Vec<_> = theirs.get_ids().iter().copied().map(torchless_base::TokenId).collect();
    let ours = String::from_utf8_lossy(&both.ours.decode_bytes(&ids, Controls::Show)).into_owned();
    let theirs = both.peer.decode(theirs.get_ids(), false).expect("ids");
    ours == theirs || theirs.contains('\u{FFFD}')
}

fn main() -> ExitCode {
    let Some(root) = fixtures() else { return ExitCode::FAILURE };
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(10_000);
    let mut failed = 0;
    for both in all(&root) {
        let mut random = Random(2026);
        let (mut unlike, mut shown, mut undecoded) = (0, 0, 0);
        for round in 0..count {
            let first = text(&mut random, &both.added);
            let pair =
                (round % 8 == 0 && !both.name.contains("GGUF")).then(|| text(&mut random, &both.added));
            if let Some(what) = differ(&both, &first, pair.as_deref()) {
                unlike += 1;
                if shown < 3 {
                    shown += 1;
                    println!("{}: {what}", both.name);
                }
            }
            undecoded += usize::from(!both.name.contains("GGUF") && !decodes_alike(&both, &first));
        }
        println!("{}: {} of {count} equal; {undecoded} decoded otherwise", both.name, count - unlike);
        failed += unlike;
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
