//! From the word after `--policy` to a firewall.

use crate::exit::Usage;
use crate::output;
use anyhow::Result;
use torchless::Firewall;
use torchless::firewall::policy_named;

/// The firewall of a preset, or of a policy file.
///
/// # Errors
/// There is neither, or the policy does not hold together.
pub fn firewall(word: &str) -> Result<Firewall> {
    let made = policy_named(word).and_then(Firewall::new);
    Ok(made.map_err(|e| Usage(format!("--policy {word}: {e}")))?)
}

/// Says what passed without being scanned, as a policy with `fail_mode = "open"` wants it.
pub fn note_failures(failures: &[String]) {
    for failure in failures {
        output::note(&format!("torchless: passed without being scanned: {failure}"));
    }
}
