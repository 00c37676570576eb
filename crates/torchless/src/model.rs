//! A model that completes text: the place where engine, tokenizer and firewall meet.

use crate::chat::model_template;
use crate::generation::Generation;
use crate::llama::EngineKind;
use crate::open::{ModelOptions, Source, spec};
use crate::opened::{About, Opened};
use crate::placement::Layout;
use crate::prompt::Prompt;
use crate::vocabulary::{chat_template, fits_vocab, tokenizer};
use crate::{Error, chat};
use llamafirewall_core::{Admitted, Firewall, Passed};
use std::sync::{Once, OnceLock};
use torchless_base::{MOST_COUNTED, RunnerInfo, TokenId};
use torchless_chat::{
    Beginning, ChannelTokens, ChatTemplate, Conversation, Grammar, GrammarError, GrammarVocabulary, Part,
    RenderedPrompt, ReplyFormat, ReplyParser, TemplateError, Thinking, Tools,
};
use torchless_device::MemoryGauge;
use torchless_engine::{Engine, EngineConfig, Request, SubmitError};
use torchless_model::ModelSpec;
use torchless_sampler::{Constraint, SamplerConfig};
use torchless_tokenizer::{Around, Controls, Special, Tokenizer};

/// What is asked of a reply.
#[derive(Clone, Debug, Default)]
pub struct GenerateOptions {
    /// How tokens are chosen; its seed decides all chance.
    pub sampler: SamplerConfig,
    /// Tokens at most; by default [`default_max_tokens`] of the context.
    pub max_tokens: Option<usize>,
    /// The reply ends before any of these.
    pub stop: Vec<String>,
    /// The reply follows this grammar to its end. Where the prompt leaves thinking open, this is free and what follows it does.
    pub grammar: Option<Grammar>,
}

/// The usual length of a reply: a quarter of the context, at least 2048 (1024 where the context is below 4096), at
/// most 32768.
pub fn default_max_tokens(max_seq_len: usize) -> usize {
    let low = if max_seq_len < 4096 { 1024 } else { 2048 };
    (max_seq_len / 4).clamp(low, 32768)
}

/// A model that completes text.
pub struct Model {
    about: About,
    tokenizer: Tokenizer,
    /// A broken one is an error where it is used: text can be completed without.
    template: Result<Option<ChatTemplate>, TemplateError>,
    engine: Engine,
    firewall: Firewall,
    /// Made when a grammar is first asked for.
    grammars: OnceLock<Result<GrammarVocabulary, GrammarError>>,
    /// Done when it has been said that the form of calls is not known.
    calls_unknown: Once,
}

impl Model {
    /// Opens a model; `progress` is told bytes done and bytes in all.
    ///
    /// # Errors
    /// It is no model that runs here, it has no tokenizer, memory is short, or the options do not fit.
    pub fn open(
        source: &Source,
        options: &ModelOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, Error> {
        let checkpoint = source.checkpoint()?;
        // What is no model at all is not asked for its tokenizer.
        if options.engine == EngineKind::Native {
            spec(source, &checkpoint)?;
        }
        let mut tokenizer = tokenizer(&checkpoint)?.ok_or(Error::NoTokenizer)?;
        let Opened { runner, about } = match &options.engine {
            EngineKind::Native => Opened::native(source, &checkpoint, options, progress)?,
            EngineKind::LlamaCpp { library } => Opened::llama(source, &checkpoint, options, library.clone())?,
        };
        let info = runner.info();
        fits_vocab(&tokenizer, info.vocab)?;
        let (arch, device) = (&about.architecture, &about.device);
        tracing::info!(arch, context = info.max_seq_len, device, "opened");
        let engine =
            Engine::start(runner, EngineConfig::default()).map_err(|e| Error::Engine(e.to_string()))?;
        let template =
            model_template(chat_template(&checkpoint)?.as_deref(), &about.architecture, &tokenizer);
        if let Ok(Some(template)) = &template {
            chat::reserve_markup(&mut tokenizer, template)?;
        }
        Ok(Self {
            about,
            tokenizer,
            template,
            engine,
            firewall: Firewall::open(),
            grammars: OnceLock::new(),
            calls_unknown: Once::new(),
        })
    }

    /// What the model is; `None` for one that llama.cpp runs and the native engine does not know.
    pub fn spec(&self) -> Option<&ModelSpec> {
        self.about.spec.as_ref()
    }

    /// The architecture, as its own files spell it.
    pub fn architecture(&self) -> &str {
        &self.about.architecture
    }

    /// Positions that it was trained for.
    pub fn trained_context(&self) -> usize {
        self.about.trained
    }

    /// Limits that it runs within.
    pub fn info(&self) -> RunnerInfo {
        self.engine.info()
    }

    /// Where it runs.
    pub fn device_name(&self) -> &str {
        &self.about.device
    }

    /// What lies where; empty where all of it lies on the CPU.
    pub fn layout(&self) -> &Layout {
        &self.about.layout
    }

    /// What the memory of GPUs is used for, as it is whenever a gauge is read; none where everything lies with the CPU or llama.cpp.
    pub fn memory(&self) -> &[MemoryGauge] {
        &self.about.memory
    }

    /// Text to ids and back.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// What decides which prompts are let in.
    pub fn firewall(&self) -> &Firewall {
        &self.firewall
    }

    /// Puts a firewall in place: from now on prompts have to pass it, and replies are released as far as it lets them.
    /// Without one everything passes.
    pub fn set_firewall(&mut self, firewall: Firewall) {
        self.firewall = firewall;
    }

    /// Offers a prompt to the firewall, and waits as [`Firewall::admit`] does.
    ///
    /// # Errors
    /// It is refused.
    pub fn admit(&self, prompt: Prompt) -> Result<Admitted<Prompt>, Error> {
        Ok(self.firewall.admit(prompt)?)
    }

    /// [`admit`](Self::admit) for a conversation that grows: what `passed` before and is the same is not scanned again.
    ///
    /// # Errors
    /// It is refused.
    pub fn admit_after(&self, prompt: Prompt, passed: &mut Passed) -> Result<Admitted<Prompt>, Error> {
        Ok(self.firewall.admit_after(prompt, passed)?)
    }

    /// The tokens that the model will see.
    ///
    /// # Errors
    /// There is no chat template for messages, or it fails; or the context holds far fewer tokens ([`MOST_COUNTED`]).
    pub fn encode(&self, prompt: &Admitted<Prompt>) -> Result<Vec<TokenId>, Error> {
        match prompt.get() {
            Prompt::Text(text) => self.encode_text(text),
            Prompt::Chat(messages) => self.encode_conversation(&chat::conversation(messages)),
            Prompt::Conversation(conversation) => self.encode_conversation(conversation),
        }
    }

    fn encode_text(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        self.encode_parts(&[torchless_tokenizer::Part { text, special: Special::Text }])
    }

    /// The tokens of what fits, and of what is longer as far as it is counted for the message.
    fn encode_parts(&self, parts: &[torchless_tokenizer::Part<'_>]) -> Result<Vec<TokenId>, Error> {
        let limit = self.info().max_seq_len;
        let most = limit.max(MOST_COUNTED);
        let tokens = self.tokenizer.encode_parts_within(parts, Around::ModelDefault, most);
        tokens.ok_or(Error::PromptTooLong { tokens: most + 1, limit })
    }

    fn encode_conversation(&self, conversation: &Conversation) -> Result<Vec<TokenId>, Error> {
        self.encode_rendered(&self.render(conversation)?)
    }

    fn encode_rendered(&self, rendered: &RenderedPrompt) -> Result<Vec<TokenId>, Error> {
        self.encode_parts(&chat::tokenizer_parts(rendered)).map(|tokens| self.without_second_bos(tokens))
    }

    /// The tokens of a prompt, and what takes the reply apart.
    fn prepared(&self, prompt: &Prompt) -> Result<(Vec<TokenId>, Option<ReplyParser>), Error> {
        let messages;
        let conversation = match prompt {
            Prompt::Text(text) => return Ok((self.encode_text(text)?, None)),
            Prompt::Chat(list) => {
                messages = chat::conversation(list);
                &messages
            }
            Prompt::Conversation(conversation) => conversation,
        };
        let rendered = self.render(conversation)?;
        // What a message ends with begins no thinking.
        let end = match rendered.parts.last() {
            Some(Part::Control(text)) => text,
            _ => "",
        };
        let parser = ReplyParser::new(self.reply_format(conversation.callable()), end);
        Ok((self.encode_rendered(&rendered)?, Some(parser)))
    }

    fn reply_format(&self, tools: Option<Tools>) -> ReplyFormat {
        let template = self.template.as_ref().ok().and_then(Option::as_ref).map_or("", ChatTemplate::source);
        let has_token = |token: &str| self.tokenizer.id_of(token).is_some();
        let format = ReplyFormat::detect(template, &has_token);
        match tools {
            Some(tools) => {
                let format = format.with_calls(template, &has_token, tools);
                if !format.calls_known() {
                    let found = "only a reply that is JSON as a whole can be one";
                    self.calls_unknown.call_once(|| {
                        tracing::warn!("the chat template shows no known form of calls: {found}");
                    });
                }
                format
            }
            None => format,
        }
    }

    /// Holds a reply to a grammar, from the end of what it begins in the midst of.
    fn constraint(
        &self,
        grammar: &Grammar,
        beginning: Option<Beginning>,
    ) -> Result<Box<dyn Constraint>, Error> {
        let made = self.grammars.get_or_init(|| {
            let bytes = |id: u32| {
                let id = TokenId(id);
                let bytes = self.tokenizer.token_bytes(id).filter(|_| !self.tokenizer.is_control(id));
                bytes.unwrap_or_default().to_vec()
            };
            let size = u32::try_from(self.info().vocab).unwrap_or(u32::MAX);
            GrammarVocabulary::new((0..size).map(bytes).collect(), self.tokenizer.end_ids())
        });
        let vocabulary = made.as_ref().map_err(|e| Error::Option(e.to_string()))?;
        let constraint = vocabulary.constraint(grammar).map_err(|e| Error::Option(e.to_string()))?;
        for key in constraint.not_enforced() {
            tracing::warn!(key, "the schema's key is not enforced");
        }
        let id = |token| self.tokenizer.id_of(token);
        Ok(match (beginning, id("<|start|>"), id("<|message|>")) {
            (Some(Beginning::Thinking(Thinking { close, .. })), ..) => {
                Box::new(vocabulary.after_thinking(constraint, close, id(close)))
            }
            (Some(Beginning::Channels), Some(start), Some(message)) => {
                Box::new(vocabulary.for_reader(constraint, ChannelTokens { start, message }))
            }
            _ => Box::new(constraint),
        })
    }

    /// Templates write the first token themselves, and the tokenizer adds it too: one is enough.
    fn without_second_bos(&self, mut tokens: Vec<TokenId>) -> Vec<TokenId> {
        let bos = self.tokenizer.bos();
        if bos.is_some() && tokens.first().copied() == bos && tokens.get(1).copied() == bos {
            tokens.remove(0);
        }
        tokens
    }

    /// Talks by another template from now on: Jinja source, such as that of a
    /// [`Builtin`](torchless_chat::Builtin).
    ///
    /// # Errors
    /// It is no template.
    pub fn set_chat_template(&mut self, source: &str) -> Result<(), Error> {
        let template = ChatTemplate::new(source)?;
        chat::reserve_markup(&mut self.tokenizer, &template)?;
        self.template = Ok(Some(template));
        Ok(())
    }

    /// What the model sees of a conversation.
    ///
    /// # Errors
    /// There is no chat template, it fails, or it has no place for the conversation's tools.
    pub fn render(&self, conversation: &Conversation) -> Result<RenderedPrompt, Error> {
        let template = self.template.as_ref().map_err(|e| Error::Template(e.to_string()))?;
        let template = template.as_ref().ok_or(Error::NoTemplate)?;
        chat::rendered(template, conversation, chat::render_options(&self.tokenizer))
    }

    /// Begins a reply. What the firewall objects to ends it with [`Error::Refused`], before a byte of it is told.
    ///
    /// # Errors
    /// Another firewall than the model's let the prompt in; it does not fit, the template fails, or the options are out of range.
    pub fn generate(
        &self,
        prompt: &Admitted<Prompt>,
        options: &GenerateOptions,
    ) -> Result<Generation<'_>, Error> {
        if !self.firewall.has_admitted(prompt) {
            return Err(Error::ForeignPrompt);
        }
        self.begin(prompt, options)
    }

    /// [`generate`](Self::generate), whichever firewall let the prompt in.
    pub(crate) fn begin(
        &self,
        prompt: &Admitted<Prompt>,
        options: &GenerateOptions,
    ) -> Result<Generation<'_>, Error> {
        let (tokens, reply) = self.prepared(prompt.get())?;
        let limit = self.info().max_seq_len;
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if tokens.len() > limit {
            return Err(Error::PromptTooLong { tokens: tokens.len(), limit });
        }
        let mut request = Request::new(tokens);
        request.sampler = options.sampler.clone();
        request.max_tokens = options.max_tokens.unwrap_or_else(|| default_max_tokens(limit));
        request.stop_ids = self.tokenizer.end_ids().to_vec();
        let beginning = reply.as_ref().and_then(ReplyParser::beginning);
        request.constraint =
            options.grammar.as_ref().map(|grammar| self.constraint(grammar, beginning)).transpose()?;
        let ticket = self.engine.submit(request).map_err(|e| match e {
            SubmitError::TooLong { tokens, limit } => Error::PromptTooLong { tokens, limit },
            other => Error::Submit(other),
        })?;
        // A space before the first word belongs to a text that is continued, not to one that begins.
        let decoder = match prompt.get() {
            Prompt::Text(text) if !text.is_empty() => self.tokenizer.stream_continuing(Controls::Hide),
            _ => self.tokenizer.stream(Controls::Hide),
        };
        let reply = reply.map(|reply| (reply, &self.tokenizer));
        Ok(Generation::new(decoder, reply, ticket, options.stop.clone()).behind(&self.firewall, prompt))
    }
}

#[cfg(test)]
mod tests {
    use super::default_max_tokens;

    #[test]
    fn the_usual_reply_is_a_quarter_of_the_context() {
        let lengths = [256, 2048, 4096, 16384, 32768, 1 << 20].map(default_max_tokens);
        assert_eq!(lengths, [1024, 1024, 2048, 4096, 8192, 32768]);
    }
}
