//! The tokenizer as others see it: the steps of encoding in order, decoding, and what is special.

use std::borrow::Cow;
use std::fmt;
use std::sync::Mutex;

use torchless_base::TokenId;

use crate::added::{AddedTokens, Segment, Source};
use crate::alphabet;
use crate::decode::{Controls, Decoder, Position, StreamDecoder};
use crate::model::{Model, Room, Scratch};
use crate::normalize::Normalizer;
use crate::postprocess::{Encoded, Piece, PostProcessor, fill};
use crate::pretokenize::{PreTokenizer, Word};
use crate::vocab::{Kind, Vocab};
use crate::{SpecialIds, TokenizerError};

/// Whether control tokens may be made from a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// The text is a user's: `<s>` or `<|eot_id|>` in it are letters like any others.
    Text,
    /// The text is a template's: names of control tokens become these tokens.
    Parse,
}

/// Whether the model's own first and last tokens are put around a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Around {
    /// As the model was trained: BOS, EOS or neither.
    ModelDefault,
    /// Neither.
    Nothing,
}

/// How to encode one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Who wrote the text.
    pub special: Special,
    /// What is put around it.
    pub around: Around,
}

impl EncodeOptions {
    /// A user's text with the model's default around it.
    pub const TEXT: Self = Self { special: Special::Text, around: Around::ModelDefault };
    /// A template's text, which brings its own BOS.
    pub const CONTROL: Self = Self { special: Special::Parse, around: Around::Nothing };
}

/// A stretch of a prompt and who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its text.
    pub text: &'a str,
    /// Whether control tokens may be made from it.
    pub special: Special,
}

/// Text to ids and back. Safe to share between threads.
pub struct Tokenizer {
    pub(crate) parts: Parts,
    scratch: Mutex<Scratch>,
}

/// What the loaders put together.
pub(crate) struct Parts {
    pub(crate) kind: &'static str,
    pub(crate) pre_split: Option<String>,
    pub(crate) vocab: Vocab,
    pub(crate) added: AddedTokens,
    pub(crate) normalizer: Normalizer,
    /// The normaliser writes GPT-2's alphabet.
    pub(crate) normalizes_to_bytes: bool,
    /// The model knows bytes by that alphabet alone.
    pub(crate) wants_byte_chars: bool,
    pub(crate) pre_tokenizer: PreTokenizer,
    pub(crate) model: Model,
    pub(crate) decoder: Decoder,
    pub(crate) post: PostProcessor,
    pub(crate) special: SpecialIds,
    pub(crate) end: Vec<TokenId>,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, tokens) = (self.parts.kind, self.vocab_size());
        f.debug_struct("Tokenizer").field("kind", &kind).field("tokens", &tokens).finish_non_exhaustive()
    }
}

/// Text between two added tokens.
struct Stretch<'t> {
    text: &'t str,
    /// Begins where the whole text begins.
    first: bool,
    source: Source,
}

/// What a text comes to, as far as there is room for it.
struct Ids {
    ids: Vec<u32>,
    room: Room,
    /// Whether there was. What follows is passed over then.
    fit: bool,
}

impl Ids {
    fn push(&mut self, id: u32) {
        self.ids.push(id);
        self.fit &= self.ids.len() <= self.room.0;
    }

    fn extend(&mut self, model: &Model, word: Word<'_>, scratch: &mut Scratch) {
        let left = Room(self.room.0.saturating_sub(self.ids.len()));
        self.fit = self.fit && !model.exceeds(left, word);
        if self.fit {
            model.encode(word, scratch, &mut self.ids);
            self.fit = self.ids.len() <= self.room.0;
        }
    }
}

impl Tokenizer {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, scratch: Mutex::default() }
    }

    /// The ids of `text`.
    ///
    /// Time grows with the length of the text and its logarithm, whatever the text. Characters that the
    /// vocabulary cannot write become the unknown token; where there is none they are lost.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Vec<TokenId> {
        self.encode_parts(&[Part { text, special: options.special }], options.around)
    }

    /// The ids of several parts in a row, encoded as the one text that they are: words and merges reach over
    /// the borders, control tokens are made inside control parts only.
    pub fn encode_parts(&self, parts: &[Part<'_>], around: Around) -> Vec<TokenId> {
        fill(&self.parts.post.single, &self.ids_of_parts(parts), &[], around == Around::Nothing).ids
    }

    /// The same for whoever has room for `most` tokens of the text; `None` where there are more. A text that is far too long costs the
    /// time to look at it, and the memory of a copy or two.
    pub fn encode_parts_within(
        &self,
        parts: &[Part<'_>],
        around: Around,
        most: usize,
    ) -> Option<Vec<TokenId>> {
        let ids = self.ids_of_parts_within(parts, Room(most))?;
        Some(fill(&self.parts.post.single, &ids, &[], around == Around::Nothing).ids)
    }

    /// The ids of a text with the types of their segment, for models that read such.
    pub fn encode_typed(&self, text: &str, options: EncodeOptions) -> Encoded {
        let ids = self.ids_of_parts(&[Part { text, special: options.special }]);
        fill(&self.parts.post.single, &ids, &[], options.around == Around::Nothing)
    }

    /// The ids of two texts that a model reads together, such as a question and what may answer it.
    ///
    /// # Errors
    /// The tokenizer does not say how two texts are put together.
    pub fn encode_pair(
        &self,
        first: &str,
        second: &str,
        options: EncodeOptions,
    ) -> Result<Encoded, TokenizerError> {
        let pair = self.pair_template()?;
        let ids = |text| self.ids_of_parts(&[Part { text, special: options.special }]);
        Ok(fill(pair, &ids(first), &ids(second), options.around == Around::Nothing))
    }

    /// The same for whoever has room for `most` tokens of either text; `None` where there are more.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_pair`].
    pub fn encode_pair_within(
        &self,
        first: &str,
        second: &str,
        options: EncodeOptions,
        most: usize,
    ) -> Result<Option<Encoded>, TokenizerError> {
        let pair = self.pair_template()?;
        let ids = |text| self.ids_of_parts_within(&[Part { text, special: options.special }], Room(most));
        let ids = ids(first).and_then(|first| Some((first, ids(second)?)));
        Ok(ids.map(|(first, second)| fill(pair, &first, &second, options.around == Around::Nothing)))
    }

    fn pair_template(&self) -> Result<&[Piece], TokenizerError> {
        self.parts.post.pair.as_deref().ok_or(TokenizerError::Missing {
            what: "the template for two texts",
            needed_by: "encoding a pair",
        })
    }

    fn ids_of_parts(&self, parts: &[Part<'_>]) -> Vec<u32> {
        self.ids_of_parts_within(parts, Room(usize::MAX)).unwrap_or_default()
    }

    fn ids_of_parts_within(&self, parts: &[Part<'_>], room: Room) -> Option<Vec<u32>> {
        let text: Cow<'_, str> = match parts {
            [only] => Cow::Borrowed(only.text),
            _ => Cow::Owned(parts.iter().map(|part| part.text).collect()),
        };
        let source = Source::of(parts);
        let (mut segments, mut start) = (Vec::new(), 0);
        for part in parts {
            let range = start..start + part.text.len();
            start = range.end;
            let finder = self.parts.added.raw(source, part.special == Special::Parse);
            finder.cut(&text, range, &mut segments);
        }
        let mut ids = Ids { ids: Vec::new(), room, fit: true };
        self.with_scratch(|scratch| {
            for segment in &segments {
                match segment {
                    Segment::Token(id) => ids.push(*id),
                    Segment::Text(range) => {
                        let text = Stretch { text: &text[range.clone()], first: range.start == 0, source };
                        self.encode_text(text, scratch, &mut ids);
                    }
                }
            }
        });
        ids.fit.then_some(ids.ids)
    }

    fn encode_text(&self, stretch: Stretch<'_>, scratch: &mut Scratch, ids: &mut Ids) {
        if !ids.fit {
            return;
        }
        let Stretch { text, first, source } = stretch;
        // Only what the whole text begins with begins it: what stands behind a blank that is stripped does not.
        let (text, keeps_start) = self.parts.normalizer.apply_at_start(text);
        let first = first && keeps_start;
        let finder = self.parts.added.normalized(source);
        if finder.is_empty() {
            return self.encode_words(&text, first, scratch, ids);
        }
        let mut segments = Vec::new();
        finder.cut(&text, 0..text.len(), &mut segments);
        for segment in segments {
            match segment {
                Segment::Token(id) => ids.push(id),
                Segment::Text(range) => {
                    let first = first && range.start == 0;
                    self.encode_words(&text[range], first, scratch, ids);
                }
            }
        }
    }

    fn encode_words(&self, text: &str, first: bool, scratch: &mut Scratch, ids: &mut Ids) {
        let word = Word { text, first, byte_chars: self.parts.normalizes_to_bytes };
        let (model, wants_chars) = (&self.parts.model, self.parts.wants_byte_chars);
        self.parts.pre_tokenizer.split(word, &mut |word| {
            if wants_chars && !word.byte_chars {
                let word = Word { text: &alphabet::to_chars(word.text), byte_chars: true, ..word };
                return ids.extend(model, word, scratch);
            }
            ids.extend(model, word, scratch);
        });
    }

    /// Lends the shared scratch, or a new one while another thread has it.
    fn with_scratch(&self, work: impl FnOnce(&mut Scratch)) {
        match self.scratch.try_lock() {
            Ok(mut scratch) => work(&mut scratch),
            Err(_) => work(&mut Scratch::default()),
        }
    }

    /// The text of `ids` without control tokens; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        String::from_utf8_lossy(&self.decode_bytes(ids, Controls::Hide)).into_owned()
    }

    /// The bytes of `ids`. Ids beyond the vocabulary leave no trace.
    pub fn decode_bytes(&self, ids: &[TokenId], controls: Controls) -> Vec<u8> {
        let (mut bytes, mut position) = (Vec::new(), Position::start(self.decoder()));
        ids.iter().for_each(|&id| position.push(self, id, controls, &mut bytes));
        self.decoder().finish(&mut bytes);
        bytes
    }

    /// Decodes a text from its start as it comes, such as a reply in a chat.
    pub fn stream(&self, controls: Controls) -> StreamDecoder<'_> {
        StreamDecoder::new(self, Position::start(self.decoder()), controls)
    }

    /// Decodes what continues a text, such as a prompt: a space at the start is kept.
    pub fn stream_continuing(&self, controls: Controls) -> StreamDecoder<'_> {
        StreamDecoder::new(self, Position::inside(), controls)
    }

    /// The bytes that `id` contributes inside a text; `None` beyond the vocabulary.
    pub fn token_bytes(&self, id: TokenId) -> Option<&[u8]> {
        self.decoder().token(id.0)
    }

    /// The text of `id` as the vocabulary writes it, such as `▁the` or `Ġthe`.
    pub fn piece(&self, id: TokenId) -> Option<Cow<'_, str>> {
        self.parts.vocab.text(id.0).map(String::from_utf8_lossy)
    }

    /// The id whose text in the vocabulary is `piece`. Looks through all tokens.
    pub fn id_of(&self, piece: &str) -> Option<TokenId> {
        let found = |&(_, text, kind): &(u32, &[u8], Kind)| text == piece.as_bytes() && kind != Kind::Hole;
        self.parts.vocab.iter().find(found).map(|(id, ..)| TokenId(id))
    }

    /// Number of ids: every valid id is below it.
    pub fn vocab_size(&self) -> usize {
        self.parts.vocab.len()
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<TokenId> {
        self.parts.special.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<TokenId> {
        self.parts.special.eos
    }

    /// All ids with a special role.
    pub fn special_ids(&self) -> SpecialIds {
        self.parts.special
    }

    /// All ids that end a reply, in ascending order.
    pub fn end_ids(&self) -> &[TokenId] {
        &self.parts.end
    }

    /// Whether `id` ends a reply.
    pub fn is_end(&self, id: TokenId) -> bool {
        self.parts.end.binary_search_by_key(&id.0, |end| end.0).is_ok()
    }

    /// Adds ids that end a reply, as a generation_config.json names them.
    ///
    /// # Errors
    /// An id beyond the vocabulary; then none is added.
    pub fn add_end_ids(&mut self, ids: &[TokenId]) -> Result<(), TokenizerError> {
        for id in ids {
            self.parts.vocab.check("an end token", Some(id.0))?;
        }
        self.parts.end.extend_from_slice(ids);
        self.parts.end.sort_unstable_by_key(|id| id.0);
        self.parts.end.dedup();
        // A user's text ends no turn.
        self.reserve(ids.iter().copied())
    }

    /// From now on those of these tokens that were added as a whole are found in what the program wrote alone, as control tokens are. They
    /// stay text where a reply has them.
    ///
    /// # Errors
    /// None that the tokenizer did not have before.
    pub fn reserve(&mut self, ids: impl IntoIterator<Item = TokenId>) -> Result<(), TokenizerError> {
        let Parts { vocab, added, .. } = &mut self.parts;
        let ids = ids.into_iter().map(|id| id.0).filter(|id| vocab.kind(*id) == Kind::UserDefined);
        let name = |id| String::from_utf8_lossy(vocab.text(id).unwrap_or_default()).into_owned();
        added.reserve(&ids.collect(), &name)
    }

    /// Whether `id` steers the model and is no text (control and unknown tokens).
    pub fn is_control(&self, id: TokenId) -> bool {
        matches!(self.parts.vocab.kind(id.0), Kind::Control | Kind::Unknown)
    }

    /// All control tokens with their names.
    pub fn controls(&self) -> impl Iterator<Item = (TokenId, Cow<'_, str>)> {
        let control = |(id, text, kind)| match kind {
            Kind::Control | Kind::Unknown => Some((TokenId(id), String::from_utf8_lossy(text))),
            _ => None,
        };
        self.parts.vocab.iter().filter_map(control)
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.parts.decoder
    }
}
