//! Policy files: which scanners look at whom, in TOML.
//!
//! ```toml
//! fail_mode = "closed"             # or "human", "open"
//!
//! [limits]
//! time_ms = 30000
//! text_bytes = 4194304
//!
//! [audit]
//! file = "audit.jsonl"
//!
//! [scanner.house_rules]            # a scanner with options; without them its type is name enough
//! type = "regex"
//! groups = ["injection"]
//! patterns = [{ name = "Project name", regex = "project bluebird" }]
//!
//! [role.user]
//! scanners = ["house_rules", "hidden_ascii", "prompt_guard"]
//! threshold.prompt_guard = { block = 0.99, human = 0.9 }
//! ```

use crate::{
    AuditLog, Configuration, ConfigurationError, FailMode, Limits, Registry, Role, Scanner, ScannerOptions,
    Threshold,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Largest policy that is read, in bytes.
const LARGEST: usize = 1 << 20;
/// Most scanners of one role.
const MOST_SCANNERS: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    fail_mode: FailMode,
    #[serde(default)]
    limits: LimitsTable,
    audit: Option<AuditTable>,
    #[serde(default)]
    scanner: BTreeMap<String, ScannerTable>,
    #[serde(default)]
    role: BTreeMap<String, RoleTable>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    time_ms: Option<u64>,
    text_bytes: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditTable {
    file: PathBuf,
}

#[derive(Deserialize)]
struct ScannerTable {
    r#type: String,
    #[serde(flatten)]
    options: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleTable {
    #[serde(default)]
    scanners: Vec<String>,
    #[serde(default)]
    threshold: BTreeMap<String, ThresholdTable>,
}

enum ThresholdTable {
    Block(f32),
    Both(BothThresholds),
}

/// Written out because serde's own says of any mistake only that it matches no variant.
impl<'de> Deserialize<'de> for ThresholdTable {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyThreshold)
    }
}

struct AnyThreshold;

impl<'de> serde::de::Visitor<'de> for AnyThreshold {
    type Value = ThresholdTable;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a score from which on it blocks, or { block = SCORE, human = SCORE }")
    }

    fn visit_f64<E: serde::de::Error>(self, score: f64) -> Result<ThresholdTable, E> {
        Ok(ThresholdTable::Block(score as f32))
    }

    fn visit_i64<E: serde::de::Error>(self, score: i64) -> Result<ThresholdTable, E> {
        Ok(ThresholdTable::Block(score as f32))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<ThresholdTable, A::Error> {
        let both = BothThresholds::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        Ok(ThresholdTable::Both(both))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BothThresholds {
    block: f32,
    human: Option<f32>,
}

impl Configuration {
    /// Reads a policy file; paths in it are relative to its folder.
    ///
    /// # Errors
    /// The file cannot be read, or is no policy, or names what the registry does not know.
    pub fn from_policy_file(path: &Path, registry: &Registry) -> Result<Self, ConfigurationError> {
        let failed = |e: std::io::Error| ConfigurationError::Policy(format!("{}: {e}", path.display()));
        let mut text = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        // One byte more than may be read, also of what has no length of its own.
        file.take(LARGEST as u64 + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() > LARGEST {
            let reason = format!("{}: more than {LARGEST} bytes, the most that are read", path.display());
            return Err(ConfigurationError::Policy(reason));
        }
        let text = String::from_utf8(text).map_err(|_| failed(ErrorKind::InvalidData.into()))?;
        Self::from_policy(&text, path.parent(), registry)
    }

    /// Reads a policy; paths in it are relative to `folder`.
    ///
    /// # Errors
    /// It is no policy, or names what the registry does not know, or no scanner at all.
    pub fn from_policy(
        text: &str,
        folder: Option<&Path>,
        registry: &Registry,
    ) -> Result<Self, ConfigurationError> {
        if text.len() > LARGEST {
            let reason = format!("it has {} bytes, at most {LARGEST} are read", text.len());
            return Err(ConfigurationError::Policy(reason));
        }
        let file: File = toml::from_str(text).map_err(|e| ConfigurationError::Policy(at_line(text, &e)))?;
        let mut scanners = Scanners { file: &file, folder, registry, made: BTreeMap::new() };
        let mut configuration =
            Configuration::new().with_fail_mode(file.fail_mode).with_limits(file.limits.read());
        for (name, table) in &file.role {
            let role = Role::named(name).ok_or_else(|| unknown_role(name))?;
            if table.scanners.len() > MOST_SCANNERS {
                return Err(ConfigurationError::Policy(format!(
                    "{name} has more than {MOST_SCANNERS} scanners"
                )));
            }
            for scanner in &table.scanners {
                configuration = configuration.add_scanner_as(role, scanner, scanners.get(scanner)?);
            }
            for (scanner, threshold) in &table.threshold {
                configuration = configuration.with_threshold(role, scanner, threshold.read());
            }
        }
        let configuration = configuration.checked()?;
        scanners.all_are_used()?;
        if configuration.is_empty() {
            let reason =
                "no role has a scanner: give one some, such as `[role.user]` with `scanners = [\"regex\"]`";
            return Err(ConfigurationError::Policy(reason.to_owned()));
        }
        match &file.audit {
            Some(audit) => {
                let path = folder.map_or_else(|| audit.file.clone(), |folder| folder.join(&audit.file));
                let log = AuditLog::open_within(&path, configuration.limits.time);
                let log = log.map_err(|e| ConfigurationError::Policy(e.to_string()))?;
                Ok(configuration.with_audit_log(log))
            }
            None => Ok(configuration),
        }
    }
}

/// Scanners of a policy, each made once, however many roles it looks at.
struct Scanners<'a> {
    file: &'a File,
    folder: Option<&'a Path>,
    registry: &'a Registry,
    made: BTreeMap<String, Arc<dyn Scanner>>,
}

impl Scanners<'_> {
    fn get(&mut self, name: &str) -> Result<Arc<dyn Scanner>, ConfigurationError> {
        if let Some(scanner) = self.made.get(name) {
            return Ok(scanner.clone());
        }
        let folder = self.folder.map(Path::to_owned);
        let scanner = match self.file.scanner.get(name) {
            Some(table) => {
                let options = ScannerOptions::new(name, table.options.clone(), folder);
                self.registry.build(&table.r#type, &options)?
            }
            None => self.registry.build(name, &ScannerOptions::new(name, toml::Table::new(), folder))?,
        };
        self.made.insert(name.to_owned(), scanner.clone());
        Ok(scanner)
    }

    /// A scanner that looks at nobody was meant for somebody.
    fn all_are_used(&self) -> Result<(), ConfigurationError> {
        match self.file.scanner.keys().find(|name| !self.made.contains_key(*name)) {
            Some(name) => Err(ConfigurationError::Policy(format!("no role uses the scanner '{name}'"))),
            None => Ok(()),
        }
    }
}

impl LimitsTable {
    fn read(&self) -> Limits {
        let usual = Limits::default();
        let time = self.time_ms.map_or(usual.time, Duration::from_millis);
        Limits { time, text_bytes: self.text_bytes.unwrap_or(usual.text_bytes) }
    }
}

impl ThresholdTable {
    fn read(&self) -> Threshold {
        match self {
            ThresholdTable::Block(block) => Threshold::block_from(*block),
            ThresholdTable::Both(both) => Threshold { block: both.block, human: both.human },
        }
    }
}

fn unknown_role(name: &str) -> ConfigurationError {
    let known = Role::ALL.map(Role::name).join(", ");
    ConfigurationError::Policy(format!("unknown role '{name}' (known: {known})"))
}

fn at_line(text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_that_is_none_is_told() {
        for (threshold, why) in [
            ("{ human = 0.5 }", "line 2: missing field `block`"),
            ("{ block = 0.5, person = 0.5 }", "unknown field `person`"),
            ("\"high\"", "a score from which on it blocks"),
        ] {
            let policy = format!("[role.user]\nthreshold.regex = {threshold}\n");
            let error = Configuration::from_policy(&policy, None, &Registry::default()).map(|_| ());
            let error = error.expect_err(threshold).to_string();
            assert!(error.contains(why), "{error}");
        }
        for threshold in ["1", "0.5", "{ block = 1, human = 0.5 }"] {
            let read = toml::from_str::<BTreeMap<String, ThresholdTable>>(&format!("regex = {threshold}"));
            assert!(read.is_ok(), "{threshold}");
        }
    }
}
