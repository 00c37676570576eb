//! JSON files beside a model's weights that only some kinds of model have.

use crate::checkpoint::Checkpoint;
use crate::error::{FormatError, Place, Problem};
use crate::json;
use crate::open::{self, Access};
use serde_json::Value;
use std::path::{Component, Path};

/// The JSON document `name` in the folder of `checkpoint`'s first file, such as `1_Pooling/config.json`; `None` where there
/// is none, or the checkpoint comes from memory.
///
/// # Errors
/// The name leads out of the folder, or the file is no JSON within the limits of this crate.
pub fn document_beside(checkpoint: &Checkpoint, name: &str) -> Result<Option<Value>, FormatError> {
    let plain = |part: Component<'_>| match part {
        Component::Normal(name) => !name.to_string_lossy().starts_with('.'),
        _ => false,
    };
    if name.contains(['\\', ':', '\0']) || !Path::new(name).components().all(plain) {
        let why = format!("'{}' is not a file below the model's folder", name.escape_debug());
        return Err(FormatError::new(Place::File, Problem::Set(why)));
    }
    let Some(first) = checkpoint.files.first() else { return Ok(None) };
    let path = first.path.parent().unwrap_or(Path::new("")).join(name);
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let opened = open::open_regular(&path, Access::Read)?;
    json::document(&opened.bytes, "the JSON file").map(Some).map_err(|error| error.in_file(&path))
}
