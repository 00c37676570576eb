//! Scanner `tool_allow_list`: which tools may be called at all.

use llamafirewall_core::{
    ConfigurationError, Finding, Placement, ScanFuture, ScanInput, ScanResult, Scanner, ScannerOptions,
    ScannerType,
};
use std::sync::Arc;

/// Blocks calls of tools that are not on its list. Looks at a message's calls and not at its text.
#[derive(Clone, Debug)]
pub struct ToolAllowList {
    name: String,
    allowed: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    allow: Vec<String>,
}

/// Makes the scanner for a policy.
pub(crate) fn build(options: &ScannerOptions) -> Result<Arc<dyn Scanner>, ConfigurationError> {
    let Options { allow } = options.read()?;
    Ok(Arc::new(ToolAllowList { name: options.name().to_owned(), allowed: allow }))
}

impl ToolAllowList {
    /// Allows the tools of these names; a name that ends with `*` stands for every name that begins so.
    pub fn new(allowed: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { name: "tool_allow_list".to_owned(), allowed: allowed.into_iter().map(Into::into).collect() }
    }

    fn allows(&self, tool: &str) -> bool {
        self.allowed.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(start) => tool.starts_with(start),
            None => tool == allowed,
        })
    }
}

impl Scanner for ToolAllowList {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> ScannerType {
        ScannerType::ToolAllowList
    }

    fn placement(&self) -> Placement {
        Placement::Task
    }

    fn sees_calls(&self) -> bool {
        true
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        Box::pin(async {
            let calls = &input.message().tool_calls;
            let refused = calls.iter().filter(|call| !self.allows(&call.name)).count();
            Ok(match refused {
                0 => ScanResult::allow("No tool outside of the list is called"),
                _ => ScanResult::block(
                    format!("{refused} of {} calls are of tools that are not allowed", calls.len()),
                    1.0,
                )
                .with_findings(vec![Finding::of_called_tool("Tool not allowed")]),
            })
        })
    }

    fn settled(&self, input: &ScanInput) -> Option<usize> {
        Some(input.text().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llamafirewall_core::{Configuration, Firewall, Message, Role, ToolCall};

    #[test]
    fn names_and_beginnings_are_allowed() {
        let list = ToolAllowList::new(["search", "read_*"]);
        assert!(list.allows("search") && list.allows("read_file"));
        assert!(!list.allows("search2") && !list.allows("write_file") && !list.allows(""));
        assert!(!ToolAllowList::new([] as [&str; 0]).allows("search"));
    }

    #[test]
    fn a_reason_is_about_the_message_and_not_its_text() {
        let list = Arc::new(ToolAllowList::new(["search"]));
        let hidden = Arc::new(crate::HiddenAsciiScanner::new());
        let configuration =
            Configuration::new().add_scanner(Role::Assistant, list).add_scanner(Role::Assistant, hidden);
        let call = ToolCall { name: "rm".to_owned(), arguments: "{}".to_owned() };
        let message = Message::assistant("I clear up").with_tool_calls(vec![call]);
        let result = Firewall::new(configuration).expect("valid").scan_blocking(&message, None);
        assert!(result.reason.starts_with("message: tool_allow_list: 1 of 1 calls"), "{}", result.reason);
    }

    #[test]
    fn a_call_has_no_place_in_the_text() {
        let list = Arc::new(ToolAllowList::new(["search"]));
        let firewall = Firewall::new(Configuration::new().add_scanner(Role::Assistant, list)).expect("valid");
        let call = ToolCall { name: "rm".to_owned(), arguments: "{}".to_owned() };
        let result = firewall.scan_blocking(&Message::assistant("").with_tool_calls(vec![call]), None);
        assert!(result.findings[0].is_in_call(), "{result:?}");
    }
}
