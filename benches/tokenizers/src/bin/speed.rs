//! How fast both sides encode one megabyte, each with one thread, turn and turn about; medians.
//!
//! `TORCHLESS_FIXTURES=... cargo run --release --bin speed [ROUNDS]`

use std::process::ExitCode;
use std::time::Instant;

use torchless_tokenizer::{Around, EncodeOptions, Special};
use torchless_tokenizer_peers::{all, fixtures};

const BARE: EncodeOptions = EncodeOptions { special: Special::Text, around: Around::Nothing };
const MEGABYTE: usize = 1 << 20;

/// A megabyte of the project's own sources and pages, no line of it twice.
fn corpus() -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut files, mut folders) = (Vec::new(), vec![root.join("crates"), root.join("docs")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the project").flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.retain(|file| file.extension().is_some_and(|ending| ending == "rs" || ending == "md"));
    files.sort();
    let (mut seen, mut text) = (std::collections::HashSet::new(), String::new());
    for line in files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .flat_map(|text| text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>())
    {
        if text.len() < MEGABYTE && (line == "\n" || seen.insert(line.clone())) {
            text.push_str(&line);
        }
    }
    text
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn main() -> ExitCode {
    let Some(root) = fixtures() else { return ExitCode::FAILURE };
    let rounds = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(7);
    let text = corpus();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    println!(
        "| vocabulary | kind | whole text, ours MB/s | theirs | ratio | by lines, ours MB/s | theirs | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for both in all(&root) {
        let mut seconds: [Vec<f64>; 4] = Default::default();
        let mut sum = 0;
        for _ in 0..rounds {
            let start = Instant::now();
            sum += both.ours.encode(&text, BARE).len();
            seconds[0].push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            sum += both.peer.encode_fast(text.as_str(), false).expect("a text").len();
            seconds[1].push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            sum += lines.iter().map(|line| both.ours.encode(line, BARE).len()).sum::<usize>();
            seconds[2].push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            sum += lines
                .iter()
                .map(|line| both.peer.encode_fast(*line, false).expect("a text").len())
                .sum::<usize>();
            seconds[3].push(start.elapsed().as_secs_f64());
        }
        assert!(sum > 0);
        let [ours, theirs, ours_lines, theirs_lines] = seconds.map(median);
        let speed = |seconds: f64| text.len() as f64 / 1e6 / seconds;
        println!(
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
            both.name,
            both.kind,
            speed(ours),
            speed(theirs),
            theirs / ours,
            speed(ours_lines),
            speed(theirs_lines),
            theirs_lines / ours_lines,
        );
    }
    ExitCode::SUCCESS
}
