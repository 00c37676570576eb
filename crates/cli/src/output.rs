//! Where text goes: the model's to standard output, everything else to standard error.

use std::io::{IsTerminal, Write};

/// Writes to standard output and flushes, so that a stream is seen as it comes. Pipes and files get the text as it is; on a terminal
/// it shows control characters instead of obeying them, except for the ends of lines and tabs.
///
/// # Errors
/// Standard output is closed or full.
pub fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() && text.contains(char::is_control) {
        out.write_all(spelled(&text.replace("\r\n", "\n"), &['\n', '\t']).as_bytes())?;
    } else {
        out.write_all(text.as_bytes())?;
    }
    out.flush()
}

/// Writes one line of JSON to standard output, keys in alphabetical order.
///
/// # Errors
/// Standard output is closed or full.
pub fn json(value: &serde_json::Value) -> std::io::Result<()> {
    write(&format!("{}\n", sorted(value)))
}

/// JSON whose keys are in alphabetical order.
pub fn sorted(value: &serde_json::Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

/// Says something to the person on a line of standard error, control characters [`escaped`]: names and reasons come from files of
/// others. Where that cannot be written, the work goes on: what is said there decides nothing.
pub fn note(line: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{}\n", escaped(line)).as_bytes());
}

/// The text with its control characters spelled as in JSON, so that they steer no terminal and begin no line.
pub fn escaped(text: &str) -> String {
    spelled(text, &[])
}

/// The same, where some control characters may stay.
fn spelled(text: &str, but: &[char]) -> String {
    let spell = |c: char| match c {
        c if !c.is_control() || but.contains(&c) => c.to_string(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        c => format!("\\u{:04x}", u32::from(c)),
    };
    text.chars().map(spell).collect()
}

/// Sends log lines to standard error as `RUST_LOG` says; without it, warnings.
pub fn start_logging() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    // Where something listens already, it goes on listening.
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // What cannot be written is not reported there either, which would end in a panic.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).log_internal_errors(false);
    let _ = log.with_writer(std::io::stderr).try_init();
}

/// Bytes for people: `1.2 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::{escaped, size, spelled};

    #[test]
    fn control_characters_steer_nothing() {
        assert_eq!(escaped("é\u{1b}[2J\r\n\t\u{9b}"), "é\\u001b[2J\\r\\n\\t\\u009b");
        assert_eq!(spelled("a\tb\n\u{7}", &['\n', '\t']), "a\tb\n\\u0007");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!([0, 1023, 1024, 1536 << 20].map(size), ["0 B", "1023 B", "1.0 KiB", "1.5 GiB"]);
    }
}
