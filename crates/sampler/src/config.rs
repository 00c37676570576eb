//! The options of a sampler, their defaults and their limits.

use torchless_base::TokenId;

/// Most alternatives that [`SamplerConfig::logprobs`] may ask for.
pub const MAX_LOGPROBS: usize = 20;

/// How a token is chosen. [`SamplerConfig::check`] says whether the values make sense.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerConfig {
    /// Divides the logits: below 1 the likely becomes likelier, above 1 less so. 0 takes the largest logit, the
    /// first of equals, and uses neither chance nor the options from `top_k` to `min_p`. Default 0.7.
    pub temperature: f32,
    /// Keeps the k largest logits; 0 keeps all. Default 0.
    pub top_k: usize,
    /// Keeps the smallest set of tokens that together have at least this probability, one token at the least;
    /// 1 keeps all. Default 1. Holtzman et al. 2019, arXiv 1904.09751.
    pub top_p: f32,
    /// Keeps tokens with at least this share of the largest probability; 0 keeps all. Default 0. Nguyen et al.
    /// 2024, arXiv 2407.01082.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens in the window; 1 changes nothing. Default 1.
    /// Keskar et al. 2019, arXiv 1909.05858.
    pub repeat_penalty: f32,
    /// The window of the three penalties: so many of the last tokens of prompt and reply. 0 switches them off,
    /// `usize::MAX` takes everything. Default 64.
    pub repeat_last_n: usize,
    /// Subtracted once from the logit of a token that occurs in the window. Default 0.
    pub presence_penalty: f32,
    /// Subtracted from the logit of a token for each time it occurs in the window. Default 0.
    pub frequency_penalty: f32,
    /// Added to the logits of these tokens; several values for one token add up. A value of -100 or less bans
    /// the token. Default empty.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// Seed of the choices; the same seed, options and logits give the same tokens on every platform. Default 0.
    pub seed: u64,
    /// `Some(n)` asks for the log probability of the chosen token and of the `n` likeliest tokens, as the model
    /// gave them, before any stage. Default none.
    pub logprobs: Option<usize>,
}

impl Default for SamplerConfig {
    fn default() -> Self {
        Self {
            temperature: 0.7,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
            logprobs: None,
        }
    }
}

/// Why a configuration was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A number outside its range.
    #[error("{option} is {value}, it has to be {allowed}")]
    Range {
        /// The option, spelled as on the command line without its dashes.
        option: &'static str,
        /// What was given.
        value: f64,
        /// What would have worked.
        allowed: &'static str,
    },
    /// A bias for a token that does not exist.
    #[error("logit-bias names token {token}, the vocabulary has ids from 0 to {last}")]
    Token {
        /// The id.
        token: TokenId,
        /// The largest id.
        last: usize,
    },
}

struct Limit {
    option: &'static str,
    get: fn(&SamplerConfig) -> f32,
    holds: fn(f32) -> bool,
    allowed: &'static str,
}

const LIMITS: [Limit; 6] = [
    Limit {
        option: "temperature",
        get: |c| c.temperature,
        holds: |v| v >= 0.0 && v.is_finite(),
        allowed: "0 (greedy) or a positive number",
    },
    Limit {
        option: "top-p",
        get: |c| c.top_p,
        holds: |v| (0.0..=1.0).contains(&v),
        allowed: "between 0 and 1",
    },
    Limit {
        option: "min-p",
        get: |c| c.min_p,
        holds: |v| (0.0..=1.0).contains(&v),
        allowed: "between 0 and 1",
    },
    Limit {
        option: "repeat-penalty",
        get: |c| c.repeat_penalty,
        holds: |v| (0.01..=100.0).contains(&v),
        allowed: "between 0.01 and 100 (1 changes nothing)",
    },
    Limit {
        option: "presence-penalty",
        get: |c| c.presence_penalty,
        holds: |v| (-2.0..=2.0).contains(&v),
        allowed: "between -2 and 2",
    },
    Limit {
        option: "frequency-penalty",
        get: |c| c.frequency_penalty,
        holds: |v| (-2.0..=2.0).contains(&v),
        allowed: "between -2 and 2",
    },
];

impl SamplerConfig {
    /// Checks every option; `vocab` is the number of tokens.
    ///
    /// # Errors
    /// The first option that is out of range (NaN and infinities are), or a bias for an unknown token.
    pub fn check(&self, vocab: usize) -> Result<(), ConfigError> {
        for limit in &LIMITS {
            let value = (limit.get)(self);
            if !(limit.holds)(value) {
                let value = as_written(value);
                return Err(ConfigError::Range { option: limit.option, value, allowed: limit.allowed });
            }
        }
        if let Some(n) = self.logprobs.filter(|&n| n > MAX_LOGPROBS) {
            return Err(ConfigError::Range { option: "logprobs", value: n as f64, allowed: "at most 20" });
        }
        self.logit_bias.iter().try_for_each(|&(token, bias)| check_bias(token, bias, vocab))
    }

    /// Whether the largest logit is taken instead of a random draw.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }
}

/// The number that is spelled as `value` is: of -0.1 not the one that lies nearest to it in single precision.
fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn check_bias(token: TokenId, bias: f32, vocab: usize) -> Result<(), ConfigError> {
    if token.index() >= vocab {
        return Err(ConfigError::Token { token, last: vocab.saturating_sub(1) });
    }
    if bias.is_nan() || bias > 100.0 {
        let allowed = "at most 100 (-100 or less bans the token)";
        return Err(ConfigError::Range { option: "logit-bias", value: as_written(bias), allowed });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl Fn(&mut SamplerConfig)) -> String {
        let mut config = SamplerConfig::default();
        change(&mut config);
        config.check(10).unwrap_err().to_string()
    }

    #[test]
    fn defaults_and_ends_of_ranges_are_accepted() {
        let mut config = SamplerConfig::default();
        assert_eq!(config.check(10), Ok(()));
        config = SamplerConfig {
            temperature: 0.0,
            top_p: 0.0,
            min_p: 1.0,
            repeat_penalty: 100.0,
            repeat_last_n: usize::MAX,
            presence_penalty: -2.0,
            frequency_penalty: 2.0,
            logit_bias: vec![(TokenId(9), f32::NEG_INFINITY), (TokenId(0), 100.0)],
            logprobs: Some(20),
            ..config
        };
        assert_eq!(config.check(10), Ok(()));
    }

    #[test]
    fn what_is_out_of_range_is_named_with_what_would_work() {
        let said = refused(|c| c.temperature = -1.0);
        assert_eq!(said, "temperature is -1, it has to be 0 (greedy) or a positive number");
        let said = refused(|c| c.logit_bias = vec![(TokenId(10), 1.0)]);
        assert_eq!(said, "logit-bias names token 10, the vocabulary has ids from 0 to 9");
        assert!(refused(|c| c.logit_bias = vec![(TokenId(1), 100.5)]).starts_with("logit-bias is 100.5"));
        assert!(refused(|c| c.logprobs = Some(21)).starts_with("logprobs is 21"));
        assert!(refused(|c| c.repeat_penalty = 0.0).starts_with("repeat-penalty is 0,"));
        assert!(refused(|c| c.top_p = -0.1).starts_with("top-p is -0.1,"));
    }

    #[test]
    fn no_option_takes_nan_or_positive_infinity() {
        let set: [fn(&mut SamplerConfig, f32); 7] = [
            |c, v| c.temperature = v,
            |c, v| c.top_p = v,
            |c, v| c.min_p = v,
            |c, v| c.repeat_penalty = v,
            |c, v| c.presence_penalty = v,
            |c, v| c.frequency_penalty = v,
            |c, v| c.logit_bias = vec![(TokenId(3), v)],
        ];
        for set in set {
            for value in [f32::NAN, f32::INFINITY] {
                refused(|c| set(c, value));
            }
        }
    }
}
