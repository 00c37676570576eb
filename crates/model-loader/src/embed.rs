//! Embeddings: vectors of texts and of tokens.

use torchless_base::{TokenId, Wanted};

use crate::Error;
use crate::batch::Batch;
use crate::config::Pooling;
use crate::context::Context;

impl Context<'_> {
    /// The embedding of a text, made as the context's pooling says: [`Model::embedding_dim`](crate::Model::embedding_dim) values as the model
    /// gives them, or the scores of a classifier. The context's sequences are forgotten.
    ///
    /// # Errors
    /// No tokens, more than the context computes side by side, a context without pooling, or the library failed.
    pub fn embed(&mut self, tokens: &[TokenId]) -> Result<Vec<f32>, Error> {
        let pooling = self.pooling().unwrap_or(Pooling::None);
        let len = match pooling {
            Pooling::None => {
                let allowed =
                    "Mean, Cls, Last or Rank (ModelConfig::with_pooling) for an embedding of a whole text";
                return Err(Error::Option {
                    option: "pooling",
                    value: "None".into(),
                    allowed: allowed.into(),
                });
            }
            Pooling::Rank => self.model().class_count(),
            _ => self.model().output_dim(),
        };
        self.embedding(tokens, |context| {
            // SAFETY: a live context that has just computed its sequence 0.
            let vector = unsafe { (context.f().embeddings_seq)(context.raw(), 0) };
            // SAFETY: it is null, or has as many values as this pooling gives.
            unsafe { copied(vector, len) }
        })
    }

    /// The embeddings of the tokens of a text, one after the other, as the last layer leaves them. The context's sequences are forgotten.
    ///
    /// # Errors
    /// As [`Context::embed`], or a context with pooling.
    pub fn embed_tokens(&mut self, tokens: &[TokenId]) -> Result<Vec<Vec<f32>>, Error> {
        let pooling = self.pooling().unwrap_or(Pooling::None);
        if pooling != Pooling::None {
            let value = format!("{pooling:?}");
            return Err(Error::Option {
                option: "pooling",
                value,
                allowed: "None for embeddings of tokens".into(),
            });
        }
        let len = self.model().output_dim();
        self.embedding(tokens, |context| {
            let of = |at: usize| {
                // SAFETY: a live context, and a place of its last batch, in which all tokens are put out.
                let vector = unsafe { (context.f().embeddings_at)(context.raw(), at as i32) };
                // SAFETY: it is null, or has as many values as the model's output.
                unsafe { copied(vector, len) }
            };
            (0..tokens.len()).map(of).collect()
        })
    }

    /// Computes the text in one piece and lets `read` take what it needs.
    fn embedding<T>(
        &mut self,
        tokens: &[TokenId],
        read: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let limit = self.limits().batch.min(self.limits().ubatch);
        if tokens.len() > limit {
            return Err(Error::BatchTooLong { tokens: tokens.len(), limit });
        }
        self.clear();
        self.set_embeds(true);
        let mut batch = Batch::default();
        batch.extend(0, tokens, Wanted::All);
        let result = self.decode_batch(&batch).and_then(|()| read(self));
        self.set_embeds(self.model().is_encoder());
        self.clear();
        result
    }
}

/// # Safety
/// `vector` has to be null or have `len` values.
unsafe fn copied(vector: *const f32, len: usize) -> Result<Vec<f32>, Error> {
    if vector.is_null() {
        return Err(Error::NoLogits);
    }
    // SAFETY: the caller promises it.
    Ok(unsafe { std::slice::from_raw_parts(vector, len) }.to_vec())
}
