//! Adapters (LoRA) that contexts add to their model.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::PoisonError;

use crate::context::Context;
use crate::functions::RawAdapter;
use crate::model::{AdapterPointer, path_text};
use crate::{Error, Model, logs};

/// An adapter of a model, which keeps it until it is dropped itself.
#[derive(Clone, Copy, Debug)]
pub struct Adapter<'m> {
    raw: *mut RawAdapter,
    model: PhantomData<&'m Model>,
}

// SAFETY: it names an adapter that lives as long as its model, which may be used from any thread, and only contexts read it.
unsafe impl Send for Adapter<'_> {}
// SAFETY: as above.
unsafe impl Sync for Adapter<'_> {}

impl Model {
    /// Loads an adapter in GGUF for this model. Contexts use it after [`Context::set_adapters`].
    ///
    /// # Errors
    /// The file is no sound GGUF, or no adapter for this model.
    pub fn load_adapter(&self, path: impl AsRef<Path>) -> Result<Adapter<'_>, Error> {
        let path = path.as_ref();
        torchless_formats::open_adapter(path)?;
        let f = self.library().functions();
        let what = "load adapters";
        let new = f.adapter_new.ok_or(Error::Unsupported { what, symbol: "llama_adapter_lora_init" })?;
        let text = path_text(path)?;
        let mut adapters = self.adapters().lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: a live model, changed by nobody else while the lock is held, and a C string.
        let (raw, said) = logs::during(|| unsafe { new(self.raw(), text.as_ptr()) });
        if raw.is_null() {
            return Err(Error::Adapter { path: path.to_owned(), said });
        }
        adapters.push(AdapterPointer(raw));
        Ok(Adapter { raw, model: PhantomData })
    }
}

impl Context<'_> {
    /// Adds these adapters to the model from now on, each times its scale, in place of those before. What was computed is forgotten, as it
    /// was computed by another model.
    ///
    /// # Errors
    /// One of them belongs to another model, or the library cannot use it.
    pub fn set_adapters(&mut self, adapters: &[(Adapter<'_>, f32)]) -> Result<(), Error> {
        self.check_adapters(adapters)?;
        self.clear();
        let f = self.f();
        if let Some(set) = f.adapters_set {
            let mut pointers: Vec<_> = adapters.iter().map(|(adapter, _)| adapter.raw).collect();
            let mut scales: Vec<f32> = adapters.iter().map(|&(_, scale)| scale).collect();
            // SAFETY: a live context, adapters of its model, as many scales, all read during the call.
            let status =
                unsafe { set(self.raw(), pointers.as_mut_ptr(), pointers.len(), scales.as_mut_ptr()) };
            return self.adapters_set(status);
        }
        let what = "use adapters";
        let missing = Error::Unsupported { what, symbol: "llama_set_adapters_lora" };
        let (Some(set), Some(clear)) = (f.adapter_set, f.adapters_clear) else { return Err(missing) };
        // SAFETY: a live context.
        unsafe { clear(self.raw()) };
        for &(adapter, scale) in adapters {
            // SAFETY: a live context, and an adapter of its model.
            self.adapters_set(unsafe { set(self.raw(), adapter.raw, scale) })?;
        }
        Ok(())
    }

    fn check_adapters(&self, adapters: &[(Adapter<'_>, f32)]) -> Result<(), Error> {
        let own = self.model().adapters().lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.model().path().to_owned();
        let refuse = |said: &str| Err(Error::Adapter { path, said: said.to_owned() });
        if adapters.iter().any(|(adapter, _)| own.iter().all(|known| known.0 != adapter.raw)) {
            return refuse("it belongs to another model");
        }
        if adapters.iter().any(|(_, scale)| !scale.is_finite()) {
            return refuse("a scale is no number");
        }
        Ok(())
    }

    fn adapters_set(&self, status: i32) -> Result<(), Error> {
        if status == 0 {
            return Ok(());
        }
        Err(Error::Adapter { path: self.model().path().to_owned(), said: format!("status {status}") })
    }
}
