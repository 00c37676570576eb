//! Fenced blocks, headings and links of a Markdown page. Knows the Markdown that this project writes, not all of it.

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Line of the opening fence, from 1.
    pub line: usize,
    /// What stands behind the backticks, such as `rust,no_run`.
    pub info: String,
    /// The lines between the fences.
    pub lines: Vec<String>,
}

/// All fenced blocks of a page.
///
/// # Errors
/// Names the line of a fence that is never closed.
pub fn fences(text: &str) -> Result<Vec<Fence>, String> {
    let mut done = Vec::new();
    let mut open: Option<Fence> = None;
    for (line, content) in text.lines().enumerate() {
        match (&mut open, content.trim_start().strip_prefix("```")) {
            (None, Some(info)) => {
                open = Some(Fence { line: line + 1, info: info.trim().to_string(), lines: Vec::new() });
            }
            (Some(_), Some("")) => done.extend(open.take()),
            (Some(fence), _) => fence.lines.push(content.to_string()),
            (None, None) => {}
        }
    }
    match open {
        Some(fence) => Err(format!("line {}: the fence is never closed", fence.line)),
        None => Ok(done),
    }
}

/// Says what is wrong with a block as one that a machine checks; nothing where all is well.
#[must_use]
pub fn fence_fault(fence: &Fence) -> Option<String> {
    let fault = match fence.info.as_str() {
        "rust" | "rust,no_run" | "rust,should_panic" | "console" | "python" | "text" | "toml" => None,
        "json" => serde_json::from_str::<serde_json::Value>(&fence.lines.join("\n"))
            .err()
            .map(|error| format!("not valid JSON: {error}")),
        "sh" => sh_fault(&fence.lines),
        "" => Some("a block without a language (plain output is 'text')".to_string()),
        other => Some(format!(
            "unknown language '{other}' (known: rust, rust,no_run, rust,should_panic, console, python, sh, json, toml, text)"
        )),
    };
    fault.map(|fault| format!("line {}: {fault}", fence.line))
}

/// A `sh` block is for the reader's own machine and is not run, so the command itself has no place in it.
fn sh_fault(lines: &[String]) -> Option<String> {
    let is_it = |command: &str| {
        let program = command.split_whitespace().next();
        program.is_some_and(|word| word == "torchless" || word.ends_with("/torchless"))
    };
    let runs_torchless = |line: &&String| line.split(['|', ';', '&']).any(is_it);
    lines
        .iter()
        .find(runs_torchless)
        .map(|line| format!("'{}' belongs into a console block, which is run", line.trim()))
}

/// Lines of a page outside fenced blocks, from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut lines = Vec::new();
    for (line, content) in text.lines().enumerate() {
        if content.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            lines.push((line + 1, content));
        }
    }
    lines
}

/// Targets of all inline links, with their lines.
#[must_use]
pub fn links(text: &str) -> Vec<(usize, &str)> {
    let in_line = |(line, content): (usize, &'_ str)| {
        content
            .match_indices("](")
            .filter_map(move |(at, _)| Some((line, at + 2, content[at + 2..].find(')')?)))
            .collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for (line, content) in prose(text) {
        found.extend(
            in_line((line, content))
                .into_iter()
                .map(|(line, from, length)| (line, &content[from..from + length])),
        );
    }
    found
}

/// Everything between single backticks, with its line.
#[must_use]
pub fn code_spans(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (line, content) in prose(text) {
        found.extend(content.split('`').skip(1).step_by(2).map(|span| (line, span)));
    }
    found
}

/// The anchors of a page's headings, as GitHub and mdBook spell them.
#[must_use]
pub fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| slug(line.trim_start_matches('#').trim())).collect()
}

fn slug(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .collect::<String>();
    kept.replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Fence {
        fences(text).unwrap().remove(0)
    }

    #[test]
    fn blocks_are_found_with_their_language() {
        let found = fences("a\n```rust,no_run\nlet x;\n```\n\n```\nplain\n```\n").unwrap();
        assert_eq!((found[0].line, found[0].info.as_str(), found[0].lines.len()), (2, "rust,no_run", 1));
        assert_eq!((found[1].line, found[1].info.as_str()), (6, ""));
    }

    #[test]
    fn an_open_fence_is_an_error() {
        assert_eq!(fences("x\n```sh\nls\n").unwrap_err(), "line 2: the fence is never closed");
    }

    #[test]
    fn blocks_nobody_checks_are_faults() {
        let has_fault = |text: &str| fence_fault(&only(text)).is_some();
        assert!(has_fault("```rust,ignore\nx\n```"));
        assert!(has_fault("```\nx\n```"));
        assert!(has_fault("```bash\nls\n```"));
        assert!(has_fault("```json\n{\"a\": }\n```"));
        assert!(has_fault("```sh\n./target/release/torchless model.gguf\n```"));
        assert!(has_fault("```sh\necho x | torchless model.gguf\n```"));
        assert!(!has_fault("```sh\ncargo doc --package torchless\n```"));
        assert!(!has_fault("```json\n{\"a\": 1}\n```"));
        assert!(!has_fault("```rust\nx\n```"));
    }

    #[test]
    fn links_and_anchors_are_found_outside_blocks() {
        let text = "# A *few* words: `x`\nsee [a](b.md) and [c](#d)\n```text\n[no](no.md)\n# no\n```\n## Chat /commands\n";
        assert_eq!(links(text), [(2, "b.md"), (2, "#d")]);
        assert_eq!(code_spans(text), [(1, "x")]);
        assert_eq!(anchors(text), ["a-few-words-x", "chat-commands"]);
    }
}
