//! What devices with the same weights have together.

use crate::DeviceError;
use std::ops::Deref;
use std::sync::Arc;

/// Something that grows while a model is loaded, and is then shared and stays as it is.
pub(super) struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// To add to it.
    ///
    /// # Errors
    /// Another device has it too.
    pub(super) fn alone(&mut self) -> Result<&mut T, DeviceError> {
        Arc::get_mut(&mut self.0).ok_or_else(|| DeviceError::Unsupported {
            op: "more weights once they are shared".to_owned(),
            device: "cpu".to_owned(),
        })
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
