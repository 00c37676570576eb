//! How long scanning takes: messages, plain text, and texts that are made to take long. `cargo bench -p llamafirewall`.
//! With `--messages FILE --scanners patterns|code_shield [--rounds N]`, for `benches/compare/firewall.py`, it prints microseconds of each
//! text of a JSON list, the best of the rounds.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

#[path = "../tests/hostile/mod.rs"]
mod hostile;

use llamafirewall::{
    CodeShieldScanner, Configuration, Firewall, HiddenAsciiScanner, Message, RegexScanner, Role, UseCase,
};
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

/// What follows [`PROSE`], so that both come to 128 tokens of common English tokenizers (111 words) and nothing is said twice.
const MORE_PROSE: &str = "After lunch the treasurer read a letter from the school, whose pupils had drawn what they hoped to \
find on the shelves: maps, comics, books about whales, and a quiet corner with cushions. The chair thanked everybody, promised \
an answer before the holidays, and closed the meeting shortly after five.";

/// The detector inside, on the one thread that it has.
fn detector() -> Result<(), DetectorError> {
    let detector = Detector::inside()?;
    let text = format!("{PROSE}{MORE_PROSE}");
    for origin in [Origin::Typed, Origin::Fetched] {
        let time = best(200, || drop(detector.judge(origin, &text)));
        println!("detector, 128 tokens, {origin:?}: {:.2} ms", time.as_secs_f64() * 1e3);
    }
    Ok(())
}

/// The value behind an argument.
fn given(name: &str) -> Option<String> {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).cloned()
}

fn patterns() -> Result<Firewall, Box<dyn std::error::Error>> {
    let configuration = Configuration::new()
        .add_scanner(Role::User, Arc::new(RegexScanner::new()?))
        .add_scanner(Role::User, Arc::new(HiddenAsciiScanner::new()));
    Ok(Firewall::new(configuration)?)
}

/// Microseconds of each text of a file.
fn messages(file: &str) -> Result<(), Box<dyn std::error::Error>> {
    let texts: Vec<String> = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let rounds = given("--rounds").map_or(Ok(5), |rounds| rounds.parse())?;
    let firewall = match given("--scanners").as_deref() {
        Some("patterns") => patterns()?,
        Some("code_shield") => {
            Firewall::new(Configuration::new().add_scanner(Role::User, Arc::new(CodeShieldScanner::new())))?
        }
        other => return Err(format!("--scanners is patterns or code_shield, not {other:?}").into()),
    };
    let messages: Vec<Message> = texts.into_iter().map(Message::user).collect();
    let mut times = vec![Duration::MAX; messages.len()];
    for _ in 0..rounds {
        for (message, time) in messages.iter().zip(&mut times) {
            *time = best(1, || drop(firewall.scan_blocking(message, None))).min(*time);
        }
    }
    times.iter().for_each(|time| println!("{:.2}", time.as_secs_f64() * 1e6));
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(file) = given("--messages") {
        return messages(&file);
    }
    let firewall = patterns()?;
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
