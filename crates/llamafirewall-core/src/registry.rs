//! Scanners by name: how a policy file, or an application, comes from a word to a scanner.

use crate::{ConfigurationError, Scanner};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a policy says of one scanner.
#[derive(Clone, Debug, Default)]
pub struct ScannerOptions {
    name: String,
    values: toml::Table,
    folder: Option<PathBuf>,
    /// Whether they were read; clones share it.
    is_read: Arc<AtomicBool>,
}

impl ScannerOptions {
    /// Options of the scanner that is called `name`; paths in them are relative to `folder`.
    pub fn new(name: impl Into<String>, values: toml::Table, folder: Option<PathBuf>) -> Self {
        Self { name: name.into(), values, folder, is_read: Arc::default() }
    }

    /// No options for the scanner that is called `name`.
    pub fn none(name: impl Into<String>) -> Self {
        Self::new(name, toml::Table::new(), None)
    }

    /// How the scanner is to be called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The options as a type. Let it refuse unknown fields, so that a misspelt option is an error. What is never read is one, too.
    ///
    /// # Errors
    /// They do not fit the type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigurationError> {
        self.is_read.store(true, Ordering::Relaxed);
        let invalid = |e: toml::de::Error| self.fault(e.message().to_owned());
        self.values.clone().try_into().map_err(invalid)
    }

    fn fault(&self, reason: String) -> ConfigurationError {
        ConfigurationError::Options { scanner: self.name.clone(), reason }
    }

    /// An option that nobody asked for.
    fn unread(&self) -> Option<&str> {
        let first = self.values.keys().next().filter(|_| !self.is_read.load(Ordering::Relaxed));
        first.map(String::as_str)
    }

    /// A path of the options, seen from the folder of the policy file.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.as_ref().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }
}

/// Makes a scanner from its options.
pub type BuildScanner = fn(&ScannerOptions) -> Result<Arc<dyn Scanner>, ConfigurationError>;

type Builder = Arc<dyn Fn(&ScannerOptions) -> Result<Arc<dyn Scanner>, ConfigurationError> + Send + Sync>;

/// Every kind of scanner that can be asked for by name.
#[derive(Clone, Default)]
pub struct Registry {
    builders: BTreeMap<String, Builder>,
}

impl Registry {
    /// Knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `build` make the scanners of this name.
    ///
    /// # Errors
    /// The name is taken.
    pub fn register<F>(&mut self, name: &str, build: F) -> Result<(), ConfigurationError>
    where
        F: Fn(&ScannerOptions) -> Result<Arc<dyn Scanner>, ConfigurationError> + Send + Sync + 'static,
    {
        if self.builders.contains_key(name) {
            return Err(ConfigurationError::NameTaken(name.to_owned()));
        }
        self.builders.insert(name.to_owned(), Arc::new(build));
        Ok(())
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.builders.keys().map(String::as_str)
    }

    /// Makes a scanner.
    ///
    /// # Errors
    /// Nothing has that name, or the options do not fit; what does not is told of the scanner, whatever its kind calls itself.
    pub fn build(
        &self,
        kind: &str,
        options: &ScannerOptions,
    ) -> Result<Arc<dyn Scanner>, ConfigurationError> {
        let unknown = || ConfigurationError::UnknownScanner {
            name: kind.to_owned(),
            known: self.names().collect::<Vec<_>>().join(", "),
        };
        let built = self.builders.get(kind).ok_or_else(unknown)?(options);
        let scanner = built.map_err(|e| match e {
            ConfigurationError::Options { reason, .. } => options.fault(reason),
            other => other,
        })?;
        match options.unread() {
            Some(option) => Err(options.fault(format!("unknown option '{option}': '{kind}' has none"))),
            None => Ok(scanner),
        }
    }
}
