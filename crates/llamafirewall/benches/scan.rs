//! How long scanning takes: messages, plain text, and texts that are made to take long. `cargo bench -p llamafirewall`.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

#[path = "../tests/hostile/mod.rs"]
mod hostile;

use llamafirewall::{Configuration, Firewall, HiddenAsciiScanner, Message, RegexScanner, Role, UseCase};
use llamafirewall_ml::{Detector, DetectorError, Origin};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The best of several runs: other programs only ever add to it.
fn best(runs: usize, mut work: impl FnMut()) -> Duration {
    let run = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..runs).map(run).min().unwrap_or_default()
}

const PROSE: &str = "The committee met on Tuesday to look at the plans for the new library, and most of its members \
liked what they saw. There was some talk of money, as there always is, and of the old trees beside the road. Nobody \
wanted to see them cut, so the architect was asked to move the entrance a little to the west.\n";

/// Words of prose that come to 128 tokens of common English tokenizers.
const WORDS_OF_128_TOKENS: usize = 113;

/// The detector inside, on the one thread that it has.
fn detector() -> Result<(), DetectorError> {
    let detector = Detector::inside()?;
    let words: Vec<&str> = PROSE.split_whitespace().cycle().take(WORDS_OF_128_TOKENS).collect();
    let text = words.join(" ");
    for origin in [Origin::Typed, Origin::Fetched] {
        let time = best(200, || drop(detector.judge(origin, &text)));
        println!("detector, 128 tokens, {origin:?}: {:.2} ms", time.as_secs_f64() * 1e3);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let configuration = Configuration::new()
        .add_scanner(Role::User, Arc::new(RegexScanner::new()?))
        .add_scanner(Role::User, Arc::new(HiddenAsciiScanner::new()));
    let firewall = Firewall::new(configuration)?;
    let message = Message::user(&PROSE.repeat(4)[..1160]);
    let time =
        best(20, || (0..1000).for_each(|_| assert!(firewall.scan_blocking(&message, None).is_allowed())));
    println!("regex and hidden_ascii, 1000 messages of 1160 bytes: {:.2} us each", time.as_secs_f64() * 1e3);

    let general = Firewall::new(UseCase::General.configuration()?)?;
    let text = Message::user(PROSE.repeat((1 << 20) / PROSE.len()));
    for (name, firewall) in [("regex and hidden_ascii", &firewall), ("preset general", &general)] {
        let time = best(20, || assert!(firewall.scan_blocking(&text, None).is_allowed()));
        let rate = text.content.len() as f64 / time.as_secs_f64() / 1e6;
        println!("{name}, 1 MiB of prose: {rate:.0} MB/s");
    }
    detector()?;
    for piece in hostile::PIECES {
        let text = Message::user(hostile::megabyte(piece));
        let time = best(3, || drop(general.scan_blocking(&text, None)));
        println!("preset general, 1 MiB of {piece:?}: {:.1} ms", time.as_secs_f64() * 1e3);
    }
    Ok(())
}
