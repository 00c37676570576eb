//! `torchless tokenize` and `torchless detokenize`.

use crate::args::{DetokenizeArgs, TokenizeArgs};
use crate::{input, open, output};
use anyhow::Result;
use std::fmt::Write;
use std::path::Path;
use torchless::{Around, EncodeOptions, Error, Special, TokenId, Tokenizer, tokenizer};

fn load(path: &Path) -> Result<Tokenizer> {
    if let Some(tokenizer) = torchless::tokenizer_at(path)? {
        return Ok(tokenizer);
    }
    let checkpoint = open::source(Some(path)).checkpoint()?;
    Ok(tokenizer(&checkpoint)?.ok_or(Error::NoTokenizer)?)
}

/// Prints one line per token, id and text; with `--ids` one line of ids.
pub fn tokenize(args: &TokenizeArgs) -> Result<()> {
    let tokenizer = load(&args.model)?;
    let text = input::text(args.text.as_deref())?;
    let options = match args.no_special {
        true => EncodeOptions { special: Special::Text, around: Around::Nothing },
        false => EncodeOptions { special: Special::Parse, around: Around::ModelDefault },
    };
    let tokens = tokenizer.encode(&text, options);
    let mut lines = String::new();
    if args.ids {
        for (at, token) in tokens.iter().enumerate() {
            write!(lines, "{}{token}", if at > 0 { "," } else { "" })?;
        }
        lines.push('\n');
    } else {
        for &token in &tokens {
            writeln!(
                lines,
                "{token}\t{:?}",
                String::from_utf8_lossy(tokenizer.token_bytes(token).unwrap_or_default())
            )?;
        }
    }
    Ok(output::write(&lines)?)
}

/// Prints the text and nothing else.
pub fn detokenize(args: &DetokenizeArgs) -> Result<()> {
    let tokenizer = load(&args.model)?;
    let ids: Vec<_> = input::ids(&args.ids)?.into_iter().map(TokenId).collect();
    torchless::check_ids(&ids, tokenizer.vocab_size())?;
    Ok(output::write(&(tokenizer.decode(&ids) + "\n"))?)
}
