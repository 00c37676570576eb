//! From the word after `--policy` to a firewall.

use crate::exit::Usage;
use anyhow::Result;
use std::path::Path;
use torchless::Firewall;
use torchless::firewall::{Configuration, UseCase, registry};

/// The firewall of a preset, or of a policy file.
///
/// # Errors
/// There is neither, or the policy does not hold together.
pub fn firewall(word: &str) -> Result<Firewall> {
    let path = Path::new(word);
    let usage = |e: torchless::firewall::ConfigurationError| Usage(format!("--policy {word}: {e}"));
    let configuration = match UseCase::named(word) {
        Some(use_case) if !path.is_file() => use_case.configuration().map_err(usage)?,
        None if !path.exists() => {
            let known = UseCase::ALL.map(UseCase::name).join(", ");
            let reason =
                format!("--policy {word}: there is no such file, and no such preset (known: {known})");
            return Err(Usage(reason).into());
        }
        _ => Configuration::from_policy_file(path, &registry()).map_err(usage)?,
    };
    Ok(Firewall::new(configuration).map_err(usage)?)
}
