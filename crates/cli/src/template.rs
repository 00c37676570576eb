//! Chat templates by name or file.

use crate::exit::Usage;
use crate::input;
use anyhow::Result;
use std::path::Path;
use torchless::Error;
use torchless::conversation::{BUILTINS, builtin};

/// Bytes of a template file at most.
pub const MAX_TEMPLATE: u64 = 16 << 20;

/// The source of the template that `word` names: a file if there is one of that name, else a built-in template.
///
/// # Errors
/// There is neither, or the file cannot be read or is empty: what a conversation says would be lost.
pub fn source(word: &str) -> Result<String> {
    let path = Path::new(word);
    if input::is_there(path) {
        let text = read(path)?;
        if text.trim().is_empty() {
            return Err(Usage(format!("{word} is empty, and no chat template")).into());
        }
        return Ok(text);
    }
    match builtin(word) {
        Some(builtin) => Ok(builtin.source()),
        None => {
            let names: Vec<_> = BUILTINS.iter().map(|builtin| builtin.name).collect();
            let known = names.join(", ");
            Err(Usage(format!("'{word}' is neither a file nor a built-in chat template ({known})")).into())
        }
    }
}

/// A text file of bounded size.
///
/// # Errors
/// It cannot be read, is too long, or is no UTF-8.
pub fn read(path: &Path) -> Result<String> {
    let wrong = |_| Error::Template(format!("{} is not UTF-8", path.display()));
    Ok(String::from_utf8(input::bounded(path, MAX_TEMPLATE)?).map_err(wrong)?)
}
