//! Replies that have to follow a grammar: JSON schema, GBNF, Lark or a regular expression.
//!
//! llguidance decides which bytes may come next; this module brings grammars into its form, vocabularies into its
//! trie, and its answers to the sampler as a [`Constraint`].

mod channels;
mod classes;
mod combined;
mod gbnf;
mod schema;
mod space;
mod thinking;

pub use channels::{ChannelTokens, ForReader};
pub use thinking::AfterThinking;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use space::SpaceBound;
use std::sync::Arc;
use torchless_base::TokenId;
use torchless_sampler::{Constraint, TokenMask};

/// What a reply has to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// A JSON schema, as JSON.
    JsonSchema(String),
    /// Grammar of llama.cpp.
    Gbnf(String),
    /// Grammar of llguidance, after Lark.
    Lark(String),
    /// The whole reply matches.
    Regex(String),
}

/// Why a grammar cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// It is none, or too large, or uses what is not supported.
    #[error("{kind}: {message}")]
    Grammar {
        /// Which kind of grammar.
        kind: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The vocabulary cannot be constrained.
    #[error("the vocabulary: {0}")]
    Vocabulary(String),
}

/// Bytes of a grammar at most.
const MAX_GRAMMAR: usize = 4 << 20;
/// Bytes of a token at most; a longer one is never allowed.
const MAX_TOKEN: usize = 1000;

impl Grammar {
    /// A grammar of unnamed kind: a regular expression stands between slashes, GBNF has `::=`, the rest is Lark.
    pub fn of_unknown_kind(source: &str) -> Self {
        let text = source.trim();
        let regex =
            text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|r| !r.contains('\n'));
        match regex {
            Some(regex) => Grammar::Regex(regex.to_owned()),
            None if text.contains("::=") => Grammar::Gbnf(source.to_owned()),
            None => Grammar::Lark(source.to_owned()),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Grammar::JsonSchema(_) => "JSON schema",
            Grammar::Gbnf(_) => "GBNF grammar",
            Grammar::Lark(_) => "Lark grammar",
            Grammar::Regex(_) => "regular expression",
        }
    }

    /// The same for llguidance, and what of it will not be enforced.
    fn compiled(&self) -> Result<(TopLevelGrammar, Vec<String>), GrammarError> {
        let wrong = |message: String| GrammarError::Grammar { kind: self.kind(), message };
        let source = match self {
            Grammar::JsonSchema(s) | Grammar::Gbnf(s) | Grammar::Lark(s) | Grammar::Regex(s) => s,
        };
        if source.len() > MAX_GRAMMAR {
            return Err(wrong(format!("{} bytes: {MAX_GRAMMAR} are the most", source.len())));
        }
        Ok(match self {
            Grammar::JsonSchema(source) => {
                let (schema, dropped) = schema::prepared(source).map_err(wrong)?;
                (TopLevelGrammar::from_json_schema(schema), dropped)
            }
            Grammar::Gbnf(source) => {
                (TopLevelGrammar::from_lark(gbnf::to_lark(source).map_err(wrong)?), Vec::new())
            }
            Grammar::Lark(source) => {
                combined::check_lark(source).map_err(wrong)?;
                (TopLevelGrammar::from_lark(source.clone()), Vec::new())
            }
            Grammar::Regex(source) => (TopLevelGrammar::from_regex(source), Vec::new()),
        })
    }
}

/// A vocabulary that replies can be held to grammars in; made once per model.
pub struct GrammarVocabulary {
    factory: ParserFactory,
    end_ids: Vec<TokenId>,
    /// Tokens that begin with white space.
    blank: Arc<[TokenId]>,
}

impl std::fmt::Debug for GrammarVocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrammarVocabulary").field("end_ids", &self.end_ids).finish_non_exhaustive()
    }
}

impl GrammarVocabulary {
    /// `tokens` are the bytes of every token in the order of ids, empty for control tokens; `end_ids` end a reply.
    ///
    /// # Errors
    /// There is no token, or none that ends a reply.
    pub fn new(mut tokens: Vec<Vec<u8>>, end_ids: &[TokenId]) -> Result<Self, GrammarError> {
        let vocabulary = |message: &str| GrammarError::Vocabulary(message.to_owned());
        let last =
            end_ids.last().ok_or_else(|| vocabulary("no token ends a reply, and a grammar needs one"))?;
        if end_ids.iter().any(|id| id.index() >= tokens.len()) {
            return Err(vocabulary("a token that ends replies is not in it"));
        }
        for token in &mut tokens {
            // llguidance takes this byte at the beginning of a longer token for a control token.
            if token.len() > MAX_TOKEN || (token.len() > 1 && token[0] == TokTrie::SPECIAL_TOKEN_MARKER) {
                token.clear();
            }
        }
        for id in end_ids {
            let mut name = vec![TokTrie::SPECIAL_TOKEN_MARKER];
            name.extend_from_slice(format!("<|end-{}|>", id.0).as_bytes());
            tokens[id.index()] = name;
        }
        let size = u32::try_from(tokens.len()).map_err(|_| vocabulary("more tokens than ids"))?;
        let ids: Vec<u32> = end_ids.iter().map(|id| id.0).collect();
        let blank =
            (0..size).zip(&tokens).filter(|(_, token)| token.first().is_some_and(|b| space::is_space(*b)));
        let blank = blank.map(|(id, _)| TokenId(id)).collect();
        let trie = TokTrie::from(&TokRxInfo::new(size, last.0), &tokens).with_eos_tokens(&ids);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory =
            ParserFactory::new_simple(&env).map_err(|e| GrammarError::Vocabulary(e.to_string()))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, end_ids: end_ids.to_vec(), blank })
    }

    /// Holds one reply to a grammar.
    ///
    /// # Errors
    /// It is no grammar, needs what is not supported or more work than it gets, or derives no text.
    pub fn constraint(&self, grammar: &Grammar) -> Result<GrammarConstraint, GrammarError> {
        let (compiled, dropped) = grammar.compiled()?;
        let wrong = |e: String| GrammarError::Grammar { kind: grammar.kind(), message: in_words(&e) };
        let parser = self.factory.create_parser(compiled).map_err(|e| wrong(e.to_string()))?;
        let mut matcher = Matcher::new(Ok(parser));
        if let Some(e) = matcher.get_error() {
            return Err(wrong(e));
        }
        matcher.compute_mask_or_eos().map_err(|e| wrong(e.to_string()))?;
        let is_json = matches!(grammar, Grammar::JsonSchema(_));
        Ok(GrammarConstraint {
            matcher,
            env: Arc::clone(self.factory.tok_env()),
            space: is_json.then(|| SpaceBound::new(Arc::clone(&self.blank))),
            end_ids: self.end_ids.clone(),
            dropped,
        })
    }

    /// The same for a reply that begins in the midst of thinking: it is free until `tag`, which may be the token `id`.
    pub fn after_thinking(
        &self,
        constraint: GrammarConstraint,
        tag: &str,
        id: Option<TokenId>,
    ) -> AfterThinking {
        AfterThinking::new(constraint, tag, id)
    }

    /// The same for a reply that begins within the header of a channel.
    pub fn for_reader(&self, constraint: GrammarConstraint, tokens: ChannelTokens) -> ForReader {
        ForReader::new(constraint, tokens)
    }
}

/// What llguidance says, in one line and without the trace of a panic. Where it has a name alone for what grammars reach, it is put
/// into words.
fn in_words(error: &str) -> String {
    let said = error.split("<backtrace>").next().unwrap_or_default();
    let known = [
        ("NoExtensionBias", "it derives no text: no token of the vocabulary may come first"),
        (
            "Unable to determine if regex is empty",
            "whether any text fulfils it takes more work than there is for it: shorten its patterns and how often they repeat",
        ),
        ("Regex is empty", "no text fulfils it: what it asks of one text contradicts itself"),
        ("symbols.len()", "more than 65525 symbols (rules, alternatives, characters)"),
        (
            "oneOf constraints are not supported",
            "`oneOf` of schemas that one value may fulfil at once cannot be enforced: use `anyOf`, or let them differ in type or in a required constant",
        ),
        ("Only absolute $ref's", "a `$ref` leads to a place in the schema itself and begins with `#/`"),
    ];
    match known.iter().find(|(name, _)| said.contains(name)) {
        Some((_, words)) => (*words).to_owned(),
        None => said.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// Follows one reply through its grammar.
pub struct GrammarConstraint {
    matcher: Matcher,
    env: TokEnv,
    /// Of JSON.
    space: Option<SpaceBound>,
    end_ids: Vec<TokenId>,
    dropped: Vec<String>,
}

impl GrammarConstraint {
    /// What the schema asks for and no grammar can hold a reply to.
    pub fn not_enforced(&self) -> &[String] {
        &self.dropped
    }

    /// Whether the reply may end here.
    pub fn may_end(&mut self) -> bool {
        self.matcher.is_accepting().unwrap_or(false)
    }

    fn bytes(&self, token: TokenId) -> &[u8] {
        self.env.tok_trie().token(token.0)
    }

    fn copy(&self) -> Self {
        Self {
            matcher: self.matcher.deep_clone(),
            env: Arc::clone(&self.env),
            space: self.space.clone(),
            end_ids: self.end_ids.clone(),
            dropped: self.dropped.clone(),
        }
    }
}

impl Constraint for GrammarConstraint {
    fn error(&self) -> Option<String> {
        let why = self.matcher.get_error()?;
        Some(format!(
            "its grammar or schema leads nowhere from here, or takes more work than it gets ({})",
            in_words(&why)
        ))
    }

    fn allow(&mut self, mask: &mut TokenMask) {
        // Where it fails the mask stays empty, and the pick with it.
        if let Ok(allowed) = self.matcher.compute_mask_or_eos() {
            let words = mask.words_mut();
            let n = words.len().min(allowed.as_slice().len());
            words[..n].copy_from_slice(&allowed.as_slice()[..n]);
            if let Some(space) = &self.space {
                space.limit(mask);
            }
        }
    }

    fn accept(&mut self, token: TokenId) {
        // After the end there is nothing to follow; a wrong token leaves an error behind, which empties the next mask.
        if !(self.matcher.is_stopped() && self.end_ids.contains(&token)) {
            let _ = self.matcher.consume_token(token.0);
            if let Some(space) = &mut self.space {
                space.accept(self.env.tok_trie().token(token.0));
            }
        }
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(self.copy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte is a token, and 256 ends the reply.
    fn bytes() -> GrammarVocabulary {
        let tokens = (0..=255u8).map(|b| vec![b]).chain([Vec::new()]).collect();
        GrammarVocabulary::new(tokens, &[TokenId(256)]).unwrap()
    }

    fn allowed(constraint: &mut GrammarConstraint) -> Vec<u32> {
        let mut mask = TokenMask::new(257);
        constraint.allow(&mut mask);
        (0..257).filter(|&id| mask.contains(TokenId(id))).collect()
    }

    #[test]
    fn a_reply_that_cannot_go_on_says_why() {
        let grammar = Grammar::Lark("start: \"a\" x | \"b\"\nx: x \"c\"".to_owned());
        let mut constraint = bytes().constraint(&grammar).unwrap();
        assert_eq!((allowed(&mut constraint).contains(&u32::from(b'b')), constraint.error()), (true, None));
        constraint.accept(TokenId(u32::from(b'a')));
        assert!(allowed(&mut constraint).is_empty());
        let why = constraint.error().unwrap();
        assert!(why.contains("leads nowhere") && !why.contains('\n'), "{why}");
    }

    #[test]
    fn a_mask_has_what_may_follow() {
        for grammar in [
            Grammar::Regex("ab?".to_owned()),
            Grammar::Gbnf("root ::= \"a\" [b]?".to_owned()),
            Grammar::Lark("start: \"a\" \"b\"?".to_owned()),
        ] {
            let mut constraint = bytes().constraint(&grammar).unwrap();
            assert_eq!(allowed(&mut constraint), [97], "{grammar:?}");
            constraint.accept(TokenId(97));
            assert_eq!(allowed(&mut constraint), [98, 256], "{grammar:?}");
            let mut other = bytes().constraint(&grammar).unwrap();
            other.accept(TokenId(98));
            assert_eq!(allowed(&mut other), [] as [u32; 0]);
            assert!(other.error().is_some());
            constraint.accept(TokenId(98));
            assert_eq!(allowed(&mut constraint), [256], "{grammar:?}");
        }
    }

    #[test]
    fn a_reply_may_think_first() {
        // Beside the bytes: the tag whole, a token that runs over its end, and one with white space after it.
        let more: [&[u8]; 4] = [b"", b"</t>", b">a", b"> \n"];
        let tokens = (0..=255u8).map(|b| vec![b]).chain(more.map(<[u8]>::to_vec)).collect();
        let vocabulary = GrammarVocabulary::new(tokens, &[TokenId(256)]).unwrap();
        let begin = || {
            let constraint = vocabulary.constraint(&Grammar::Regex("ab?".to_owned())).unwrap();
            vocabulary.after_thinking(constraint, "</t>", None)
        };
        let allowed = |constraint: &mut dyn Constraint| {
            let mut mask = TokenMask::new(260);
            constraint.allow(&mut mask);
            (0..260).filter(|&id| mask.contains(TokenId(id))).collect::<Vec<u32>>()
        };
        let but = |no: &[u32]| (0..260).filter(|id| !no.contains(id)).collect::<Vec<_>>();
        for ways in [&b"x</</t>"[..], b"</t\xff"] {
            let mut constraint = begin();
            assert_eq!(allowed(&mut constraint), but(&[256]));
            for &byte in &ways[..ways.len() - 1] {
                constraint.accept(TokenId(u32::from(byte)));
            }
            assert_eq!(allowed(&mut constraint), but(&[256, 258]));
            let last = *ways.last().unwrap();
            constraint.accept(TokenId(if last == 0xff { 259 } else { u32::from(last) }));
            assert_eq!(allowed(constraint.fork().as_mut()), [97]);
            constraint.accept(TokenId(97));
            assert_eq!(allowed(&mut constraint), [98, 256]);
        }
        let mut constraint = begin();
        constraint.accept(TokenId(257));
        assert_eq!(allowed(&mut constraint), [97]);
    }

    #[test]
    fn a_reply_may_use_other_channels_first() {
        // Beside the bytes: the end, and three control tokens.
        let tokens = (0..=255u8).map(|b| vec![b]).chain(vec![Vec::new(); 4]).collect();
        let vocabulary = GrammarVocabulary::new(tokens, &[TokenId(256)]).unwrap();
        let (start, channel, message) = (TokenId(257), TokenId(258), TokenId(259));
        let constraint = vocabulary.constraint(&Grammar::Regex("ab?".to_owned())).unwrap();
        let mut constraint = vocabulary.for_reader(constraint, ChannelTokens { start, message });
        let all: Vec<u32> = (0..260).filter(|id| *id != 256).collect();
        let mut next = |tokens: &[TokenId], text: &str| {
            tokens.iter().for_each(|token| constraint.accept(*token));
            text.bytes().for_each(|byte| constraint.accept(TokenId(u32::from(byte))));
            let mut mask = TokenMask::new(260);
            constraint.fork().allow(&mut mask);
            (0..260).filter(|&id| mask.contains(TokenId(id))).collect::<Vec<u32>>()
        };
        assert_eq!(next(&[channel], "analysis"), all);
        assert_eq!(next(&[message], "zz"), all);
        assert_eq!(next(&[start], "assistant"), all);
        assert_eq!(next(&[channel], "final"), all);
        assert_eq!(next(&[message], ""), [97]);
        assert_eq!(next(&[], "a"), [98, 256]);
    }

    #[test]
    fn kinds_are_told_apart() {
        assert!(matches!(Grammar::of_unknown_kind("root ::= \"a\""), Grammar::Gbnf(_)));
        assert_eq!(Grammar::of_unknown_kind("/a+/"), Grammar::Regex("a+".to_owned()));
        assert!(matches!(Grammar::of_unknown_kind("start: /a/\n"), Grammar::Lark(_)));
    }

    #[test]
    fn what_is_no_grammar_is_refused() {
        let vocabulary = bytes();
        for grammar in [
            Grammar::JsonSchema("{".to_owned()),
            Grammar::JsonSchema("{\"type\": \"kaboom\"}".to_owned()),
            Grammar::Regex("(".to_owned()),
            Grammar::Lark("start: nothing".to_owned()),
            Grammar::Gbnf("root ::= nothing".to_owned()),
            Grammar::Gbnf("other ::= \"a\"".to_owned()),
            Grammar::Gbnf(format!("root ::= {}", "(".repeat(60_000))),
            Grammar::Gbnf("root ::= \"a\"{1000000000}".to_owned()),
        ] {
            assert!(vocabulary.constraint(&grammar).is_err(), "{}", grammar.kind());
        }
        for grammar in [
            Grammar::Gbnf("root ::= root".to_owned()),
            Grammar::Lark("start: start".to_owned()),
            Grammar::JsonSchema(r##"{"$ref": "#"}"##.to_owned()),
        ] {
            let error = vocabulary.constraint(&grammar).err().unwrap().to_string();
            assert!(error.contains("derives no text"), "{error}");
        }
        let apart = |n: usize| {
            let more = format!(r#"[{{"pattern": "^[ab]{{{}}}$"}}]"#, n + 1);
            format!(r#"{{"type": "string", "pattern": "^a{{{n}}}$", "allOf": {more}}}"#)
        };
        let words = (10_000..24_000).map(|i| format!("\"{i}\"")).collect::<Vec<_>>().join(" | ");
        let letters = |i: u32| i.to_string().chars().map(|c| format!("/{c}/ ")).collect::<String>();
        let groups = (10_000..24_000).map(letters).collect::<Vec<_>>().join("| ");
        for (grammar, word) in [
            (Grammar::Gbnf(format!("root ::= {words}")), "65000"),
            (Grammar::Lark(format!("start: {groups}")), "symbols"),
            (Grammar::JsonSchema(apart(30)), "no text fulfils it"),
            (Grammar::JsonSchema(apart(900)), "shorten its patterns"),
        ] {
            let error = vocabulary.constraint(&grammar).err().map_or_else(String::new, |e| e.to_string());
            assert!(error.contains(word) && !error.contains("backtrace"), "{error}");
        }
        assert!(GrammarVocabulary::new(vec![vec![1]], &[]).is_err());
        assert!(GrammarVocabulary::new(vec![vec![1]], &[TokenId(1)]).is_err());
    }
}
