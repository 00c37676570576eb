//! Rules on Rust source. Knows enough of the lexer to tell code from comments and literals, and no more.

/// Module names that say nothing about what is inside.
pub const BANNED_MODULES: &[&str] =
    &["utils", "util", "common", "helpers", "helper", "misc", "manager", "managers"];

/// `source` with comments and the inside of string and character literals blanked; lines stay where they are.
#[must_use]
pub fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = at + blank_length(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// How many characters from `at` on are a comment or a literal; 0 where code stands.
fn blank_length(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let in_word = at > 0 && is_word(chars[at - 1]);
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|&&c| c != '\n').count(),
        ['/', '*', ..] => block_comment(rest),
        ['r', '#' | '"', ..] if !in_word => raw_string(rest, 1),
        ['b' | 'c', 'r', '#' | '"', ..] if !in_word => raw_string(rest, 2),
        ['"', ..] => quoted(rest, '"'),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

/// A raw string whose hashes begin at `prefix`; 0 for a raw identifier such as `r#type`.
fn raw_string(rest: &[char], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|&&c| c == '#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&'"') {
        return 0;
    }
    let closes = |at: usize| {
        rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    (open + 1..rest.len()).find(|&at| closes(at)).map_or(rest.len(), |at| at + 1 + hashes)
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Words of a text, each with its line (from 1) and the character after it.
fn words(text: &str) -> impl Iterator<Item = (usize, &str, Option<char>)> {
    text.lines().enumerate().flat_map(|(line, content)| {
        content.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).map(move |word| {
            let end = word.as_ptr() as usize - content.as_ptr() as usize + word.len();
            (line + 1, word, content[end..].chars().next())
        })
    })
}

/// Lines on which the keyword `unsafe` stands in code.
#[must_use]
pub fn unsafe_lines(source: &str) -> Vec<usize> {
    words(&code_only(source)).filter(|(_, word, _)| *word == "unsafe").map(|(line, ..)| line).collect()
}

/// Lines whose code names the lint `lint`, as an attribute that sets it would.
#[must_use]
pub fn lines_naming(source: &str, lint: &str) -> Vec<usize> {
    words(&code_only(source)).filter(|(_, word, _)| *word == lint).map(|(line, ..)| line).collect()
}

/// Lines whose code names a socket type of the standard library.
#[must_use]
pub fn socket_lines(source: &str) -> Vec<usize> {
    let sockets = ["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener", "UnixDatagram"];
    words(&code_only(source)).filter(|(_, word, _)| sockets.contains(word)).map(|(line, ..)| line).collect()
}

/// Whether a crate root forbids unsafe code.
#[must_use]
pub fn forbids_unsafe(root: &str) -> bool {
    code_only(root).lines().any(|line| line.replace(' ', "") == "#![forbid(unsafe_code)]")
}

/// Whether a module says what it is before anything else.
#[must_use]
pub fn opens_with_docs(source: &str) -> bool {
    source
        .lines()
        .next()
        .is_some_and(|line| line.strip_prefix("//! ").is_some_and(|words| !words.trim().is_empty()))
}

/// Lines that stand for code to come: `todo!` and `unimplemented!`, and notes in capitals that promise it.
#[must_use]
pub fn placeholder_lines(source: &str) -> Vec<usize> {
    let code = code_only(source);
    let macros = words(&code)
        .filter(|(_, word, next)| matches!(*word, "todo" | "unimplemented") && *next == Some('!'));
    let mut lines: Vec<usize> = macros.map(|(line, ..)| line).collect();
    lines.extend(promise_lines(source));
    lines.sort_unstable();
    lines
}

/// Lines of any text file with a note in capitals that promises code to come.
#[must_use]
pub fn promise_lines(text: &str) -> Vec<usize> {
    let promises = [concat!("TO", "DO"), concat!("FIX", "ME")];
    words(text).filter(|(_, word, _)| promises.contains(word)).map(|(line, ..)| line).collect()
}

/// Banned module names in the path of a file and in the `mod` items inside it.
#[must_use]
pub fn banned_modules(path: &str, source: &str) -> Vec<String> {
    let is_banned = |name: &str| {
        let twin = (name.starts_with("fast_") || name.starts_with("lazy_"))
            && !path.starts_with("crates/torchless/");
        let phase = name
            .strip_prefix("phase")
            .is_some_and(|rest| rest.trim_start_matches('_').parse::<u32>().is_ok());
        BANNED_MODULES.contains(&name) || twin || phase
    };
    let code = code_only(source);
    let all: Vec<&str> = words(&code).map(|(_, word, _)| word).collect();
    let inside = all.windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1]);
    let parts = path.trim_end_matches(".rs").split('/').chain(inside);
    parts.filter(|name| is_banned(name)).map(String::from).collect()
}

/// Lines that contain one of `names`, whatever the case; a name of up to four letters counts as a whole word only.
#[must_use]
pub fn lines_with_names(text: &str, names: &[String]) -> Vec<usize> {
    let has = |line: &str| {
        let line = line.to_lowercase();
        names.iter().any(|name| {
            if name.len() > 4 {
                return line.contains(name.as_str());
            }
            line.split(|c: char| !c.is_alphanumeric())
                .any(|word| word.trim_end_matches(|c: char| c.is_numeric()) == name)
        })
    };
    text.lines().enumerate().filter(|(_, line)| has(line)).map(|(line, _)| line + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_unsafe(source: &str, lines: &[usize]) {
        assert_eq!(unsafe_lines(source), lines, "{source}");
    }

    #[test]
    fn unsafe_counts_in_code_only() {
        check_unsafe("fn f() {\n    unsafe { g() }\n}", &[2]);
        check_unsafe("unsafe impl Send for T {}\nunsafe fn g() {}", &[1, 2]);
        check_unsafe("// unsafe\n/* unsafe /* unsafe */ unsafe */", &[]);
        check_unsafe("let a = \"unsafe \\\" unsafe\"; let b = r#\"unsafe \" unsafe\"#;", &[]);
        check_unsafe("let a = br\"unsafe\"; let q = '\"'; unsafe {}", &[1]);
        check_unsafe("fn f<'a>(x: &'a str) { let n = '\\''; unsafe {} }", &[1]);
        check_unsafe("#![forbid(unsafe_code)]", &[]);
        check_unsafe("let r#unsafe_name = 1;\nlet s = \"line\n\"; unsafe {}", &[3]);
    }

    #[test]
    fn a_lint_is_found_where_an_attribute_names_it() {
        let source = "// about unwrap_used\n#[expect(clippy::unwrap_used, reason = \"x\")]\nfn f() {}";
        assert_eq!(lines_naming(source, "unwrap_used"), [2]);
    }

    #[test]
    fn sockets_are_found() {
        assert_eq!(socket_lines("// TcpStream\nuse std::net::{TcpListener, IpAddr};"), [2]);
    }

    #[test]
    fn forbidding_has_one_spelling() {
        assert!(forbids_unsafe("//! Docs.\n\n#![forbid(unsafe_code)]\n"));
        assert!(!forbids_unsafe("//! Docs.\n// #![forbid(unsafe_code)]\n"));
        assert!(!forbids_unsafe("#![deny(unsafe_code)]"));
    }

    #[test]
    fn docs_come_first() {
        assert!(opens_with_docs("//! What it is.\n"));
        assert!(!opens_with_docs("use std::fmt;\n//! late\n"));
        assert!(!opens_with_docs("//!\n"));
        assert!(!opens_with_docs("// plain\n"));
        assert!(!opens_with_docs(""));
    }

    #[test]
    fn placeholders_are_found() {
        let (todo, note) = (concat!("to", "do!()"), concat!("TO", "DO"));
        assert_eq!(placeholder_lines(&format!("fn f() {{\n    {todo}\n}}\n// {note}: later\n")), [2, 4]);
        assert_eq!(
            placeholder_lines(&format!("let s = \"{todo}\"; // the todo list\n")),
            Vec::<usize>::new()
        );
    }

    #[test]
    fn banned_names_are_found_in_paths_and_items() {
        assert_eq!(banned_modules("crates/a/src/utils.rs", ""), ["utils"]);
        assert_eq!(banned_modules("crates/a/tests/common/mod.rs", ""), ["common"]);
        assert_eq!(banned_modules("crates/a/src/lib.rs", "pub(crate) mod helpers;"), ["helpers"]);
        assert_eq!(banned_modules("crates/a/src/lazy_llama.rs", "mod phase_2 {}"), ["lazy_llama", "phase_2"]);
        assert_eq!(banned_modules("crates/torchless/src/lazy_mistral.rs", ""), Vec::<String>::new());
        assert_eq!(
            banned_modules("crates/a/src/rope.rs", "// mod utils\nmod manager_of_blocks;"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn architecture_names_are_found_inside_identifiers() {
        let names = ["llama".to_string(), "phi".to_string()];
        assert_eq!(
            lines_with_names("struct LlamaLayer;\n// Phi3 differs\nlet graphic = sophia;", &names),
            [1, 2]
        );
    }
}
