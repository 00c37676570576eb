//! Perplexity: how surprised a model is by a text, as llama.cpp measures it. The text is cut into stretches of the
//! context's length; each begins with the model's BOS, its first half is context alone and its second half is scored.

use crate::Error;
use crate::score::Scorer;
use torchless_base::TokenId;

/// The mean surprise so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Perplexity {
    sum: f64,
    squares: f64,
    tokens: usize,
}

impl Perplexity {
    /// Takes account of a token and of the logits that foretold it.
    pub fn add(&mut self, logits: &[f32], token: TokenId) {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let all: f64 = logits.iter().map(|v| f64::from((v - most).exp())).sum();
        let surprise = all.ln() - f64::from(logits[token.index()] - most);
        self.sum += surprise;
        self.squares += surprise * surprise;
        self.tokens += 1;
    }

    /// Tokens that were scored.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The perplexity: e to the mean surprise. 1 where nothing was scored.
    pub fn value(&self) -> f64 {
        (self.sum / self.tokens.max(1) as f64).exp()
    }

    /// The standard error of the perplexity: that of the mean surprise times its slope. `None` for fewer than two tokens.
    pub fn error(&self) -> Option<f64> {
        let tokens = self.tokens as f64;
        let mean = self.sum / tokens;
        let variance = self.squares / tokens - mean * mean;
        (self.tokens > 1).then(|| (variance.max(0.0) / (tokens - 1.0)).sqrt() * self.value())
    }
}

/// How a text is cut.
#[derive(Clone, Copy, Debug)]
pub struct Stretches {
    /// Tokens of a stretch.
    pub context: usize,
    /// What takes the place of each stretch's first token.
    pub bos: Option<TokenId>,
    /// So many at most.
    pub most: Option<usize>,
}

/// Scores `ids` in stretches; `progress` is told of stretches done, stretches in all and the result so far.
///
/// # Errors
/// There are fewer than two stretches of tokens (however many are scored), the context is too short, or the model stops running.
pub fn perplexity(
    scorer: &mut Scorer,
    ids: &[TokenId],
    how: Stretches,
    progress: &mut dyn FnMut(usize, usize, &Perplexity),
) -> Result<Perplexity, Error> {
    let Stretches { context, bos, most } = how;
    if context < 4 {
        return Err(Error::Option(format!("a context of {context} positions is too short: 4 are needed")));
    }
    if ids.len() < 2 * context {
        return Err(Error::Option(format!(
            "the text has {} tokens: {} are needed, twice the context of {context}; give a longer text, or a shorter context",
            ids.len(),
            2 * context
        )));
    }
    let vocab = scorer.spec().vocab;
    let stretches = (ids.len() / context).min(most.unwrap_or(usize::MAX));
    let mut so_far = Perplexity::default();
    let mut input = Vec::with_capacity(context);
    for (number, stretch) in ids.chunks_exact(context).take(stretches).enumerate() {
        input.clear();
        input.extend_from_slice(stretch);
        if let Some(bos) = bos {
            input[0] = bos;
        }
        // The last token has nothing to foretell.
        let (from, until) = (context / 2, context - 1);
        let mut next = from + 1;
        scorer.score_from(&input[..until], from, &mut |rows| {
            for logits in rows.chunks_exact(vocab) {
                so_far.add(logits, stretch[next]);
                next += 1;
            }
            Ok(())
        })?;
        progress(number + 1, stretches, &so_far);
    }
    if so_far.value().is_finite() {
        Ok(so_far)
    } else {
        Err(Error::NotFinite { what: "the perplexity is".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary() {
        let mut perplexity = Perplexity::default();
        for token in 0..5 {
            perplexity.add(&[0.5; 5], TokenId(token));
        }
        assert!((perplexity.value() - 5.0).abs() < 1e-6);
        assert!(perplexity.error().is_some_and(|error| error < 1e-3));
        assert_eq!(perplexity.tokens(), 5);
    }

    #[test]
    fn the_error_follows_from_the_spread() {
        let mut perplexity = Perplexity::default();
        // Surprises of ln 2 and of ln 4.
        let logits = [2.0f32.ln(), 0.0, 0.0];
        perplexity.add(&logits, TokenId(0));
        perplexity.add(&logits, TokenId(1));
        let (one, two) = (2.0f64.ln(), 4.0f64.ln());
        assert!((perplexity.value() - ((one + two) / 2.0).exp()).abs() < 1e-6);
        let spread = (two - one) / 2.0;
        assert!((perplexity.error().unwrap() - spread * perplexity.value()).abs() < 1e-6);
        assert_eq!(Perplexity::default().error(), None);
    }
}
