//! The scanners that policies can name, one line each.

use crate::{canary, code_shield, hidden_text, judged, patterns, prompt_guard, tool_allow_list};
use llamafirewall_core::{BuildScanner, Registry};

/// Name in policies, and what makes the scanner.
const BUILTIN: &[(&str, BuildScanner)] = &[
    ("agent_alignment", judged::build_alignment),
    ("canary", canary::build),
    ("code_shield", code_shield::build),
    ("hidden_ascii", hidden_text::build),
    ("pii_detection", judged::build_pii),
    ("prompt_guard", prompt_guard::build),
    ("regex", patterns::build),
    ("secrets", patterns::build_secrets),
    ("tool_allow_list", tool_allow_list::build),
];

/// Every scanner of this crate; applications may add their own.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    for (name, build) in BUILTIN {
        // The names of the table differ, which a test holds.
        let registered = registry.register(name, build);
        debug_assert!(registered.is_ok(), "{name} stands twice");
    }
    registry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once() {
        assert_eq!(registry().names().count(), BUILTIN.len());
    }
}
