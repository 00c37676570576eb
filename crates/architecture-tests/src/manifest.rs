//! Rules on `Cargo.toml` files that `cargo metadata` does not show. Reads lines, not all of TOML.

/// Lints that the workspace must set; the gate turns warnings into errors.
pub const REQUIRED_LINTS: &[&str] = &[
    "missing_docs",
    "unsafe_op_in_unsafe_fn",
    "allow_attributes",
    "dbg_macro",
    "print_stdout",
    "todo",
    "undocumented_unsafe_blocks",
    "unwrap_used",
];

/// The lines of one section, without comments and blank lines.
fn section<'a>(manifest: &'a str, header: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .skip_while(move |line| *line != header)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|l| !l.is_empty())
}

/// Whether a member takes its lints from the workspace.
#[must_use]
pub fn inherits_lints(manifest: &str) -> bool {
    section(manifest, "[lints]").any(|line| line.replace(' ', "") == "workspace=true")
}

/// Required lints that the workspace manifest does not set to `warn`, `deny` or `forbid`.
#[must_use]
pub fn missing_lints(manifest: &str) -> Vec<&'static str> {
    let set: Vec<&str> = ["[workspace.lints.rust]", "[workspace.lints.clippy]"]
        .iter()
        .flat_map(|header| section(manifest, header))
        .filter(|line| ["\"warn\"", "\"deny\"", "\"forbid\""].iter().any(|level| line.ends_with(level)))
        .filter_map(|line| line.split('=').next())
        .map(str::trim)
        .collect();
    REQUIRED_LINTS.iter().copied().filter(|lint| !set.contains(lint)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inheritance_is_read_from_its_own_section() {
        assert!(inherits_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n[dependencies]\n"));
        assert!(!inherits_lints("[package]\nname = \"a\"\n[dependencies]\nworkspace = true\n"));
        assert!(!inherits_lints("[lints]\n# workspace = true\n[dependencies]\n"));
        assert!(!inherits_lints("[lints]\nworkspace = false\n"));
    }

    #[test]
    fn a_lint_that_is_absent_or_allowed_is_missing() {
        let complete: String = REQUIRED_LINTS.iter().map(|lint| format!("{lint} = \"deny\"\n")).collect();
        assert!(missing_lints(&format!("[workspace.lints.clippy]\n{complete}")).is_empty());
        let allowed = complete.replace("todo = \"deny\"", "todo = \"allow\"");
        assert_eq!(missing_lints(&format!("[workspace.lints.clippy]\n{allowed}")), ["todo"]);
        assert_eq!(missing_lints(&format!("[somewhere.else]\n{complete}")).len(), REQUIRED_LINTS.len());
    }
}
