//! Every page is checked, and every block and link on it can be relied on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use torchless_guide_tests::{PAGES, markdown};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n  {}", findings.join("\n  "));
}

/// Markdown files of `directory`, and of those folders in it that `descend` takes, as paths below the root.
fn markdown_files(directory: &str, descend: fn(&str) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(root().join(directory)).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
        if entry.file_type().expect("a kind of file").is_dir() {
            if descend(&path) {
                found.extend(markdown_files(&path, descend));
            }
        } else if path.ends_with(".md") {
            found.insert(path);
        }
    }
    found
}

#[test]
fn every_page_is_on_the_list() {
    let listed: BTreeSet<String> = PAGES.iter().map(|page| page.path.to_string()).collect();
    let written = markdown_files("", |path| path == "docs" || path.starts_with("docs/"));
    assert_eq!(listed, written);
}

#[test]
fn every_chapter_is_in_the_table_of_contents() {
    let summary = PAGES.iter().find(|page| page.path == "docs/SUMMARY.md").unwrap();
    let linked: BTreeSet<String> =
        markdown::links(summary.text).iter().map(|(_, to)| format!("docs/{to}")).collect();
    let chapters = PAGES.iter().map(|page| page.path).filter(|path| path.starts_with("docs/"));
    let missing = chapters.filter(|path| *path != summary.path && !linked.contains(*path)).map(String::from);
    assert_none(&missing.collect::<Vec<_>>());
}

#[test]
fn every_block_is_of_a_kind_that_is_checked() {
    let mut findings = Vec::new();
    for page in PAGES {
        let fences = markdown::fences(page.text).unwrap_or_else(|fault| panic!("{}: {fault}", page.path));
        findings.extend(
            fences.iter().filter_map(markdown::fence_fault).map(|fault| format!("{}: {fault}", page.path)),
        );
    }
    assert_none(&findings);
}

/// Says what is wrong with a link of the page at `path`, as far as files can tell.
fn link_fault(path: &str, text: &str, to: &str) -> Option<String> {
    if to.starts_with("https://") {
        return None;
    }
    let (file, anchor) = to.split_once('#').unwrap_or((to, ""));
    let target = root().join(path).parent().map(|directory| directory.join(file))?;
    let target_text = if file.is_empty() { Ok(text.to_string()) } else { std::fs::read_to_string(&target) };
    match target_text {
        _ if target.is_dir() && !file.is_empty() => None,
        Ok(text) if anchor.is_empty() || markdown::anchors(&text).iter().any(|known| known == anchor) => None,
        Ok(_) => Some(format!("no heading '{anchor}' behind {to}")),
        Err(error) => Some(format!("{to}: {error}")),
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut findings = Vec::new();
    for page in PAGES {
        for (line, to) in markdown::links(page.text) {
            findings.extend(
                link_fault(page.path, page.text, to).map(|fault| format!("{}:{line}: {fault}", page.path)),
            );
        }
    }
    assert_none(&findings);
}

/// Text of all Rust files below `directory`.
fn rust_text(directory: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all += &rust_text(&path);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            all += &std::fs::read_to_string(path).expect("text");
        }
    }
    all
}

#[test]
fn every_path_and_every_test_that_is_named_exists() {
    let code = rust_text(&root().join("crates"));
    let is_path = |span: &str| span.starts_with("crates/") || span.starts_with("scripts/");
    // The names of tests are sentences; nothing else on these pages has as many words, but for some keys
    // of files and names of rules, which stand in the code in quotes.
    let is_test = |span: &str| {
        span.matches('_').count() >= 3 && span.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
    };
    let stands = |name: &str| {
        let forms = [format!("fn {name}("), format!(" {name}: "), format!("\"{name}\"")];
        forms.iter().any(|form| code.contains(form))
    };
    let mut findings = Vec::new();
    for page in PAGES {
        for (line, span) in markdown::code_spans(page.text) {
            let path = span.split_whitespace().next().unwrap_or_default();
            let missing = (is_path(span) && !root().join(path).exists()) || (is_test(span) && !stands(span));
            findings.extend(missing.then(|| format!("{}:{line}: there is no {span}", page.path)));
        }
    }
    assert_none(&findings);
}

#[test]
fn a_broken_link_is_found() {
    assert!(link_fault("docs/x.md", "# Here", "nowhere.md").is_some());
    assert!(link_fault("docs/x.md", "# Here", "#there").is_some());
    assert!(link_fault("docs/x.md", "# Here", "../STYLE.md#nothing-of-the-sort").is_some());
    assert_eq!(link_fault("docs/x.md", "# Here", "#here"), None);
    assert_eq!(link_fault("docs/x.md", "# Here", "../STYLE.md"), None);
}

#[test]
fn the_table_of_tensor_types_is_the_one_in_the_code() {
    let page = PAGES.iter().find(|page| page.path == "docs/optimization/quantization.md").unwrap();
    let shown: Vec<&str> =
        page.text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| type")).collect();
    let rows = torchless_quant::TensorType::ALL.iter().map(|kind| {
        let info = kind.info();
        let bytes = info.block_bytes + info.scale_bytes;
        let bits = bytes as f64 * 8.0 / info.block_len as f64;
        format!("| {} | {} | {bytes} | {bits} |", info.name, info.block_len)
    });
    assert_eq!(shown, rows.collect::<Vec<_>>());
}
