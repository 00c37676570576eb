//! `torchless inspect`: what a file holds, what it becomes, what it needs. Loads no weights.

use crate::args::InspectArgs;
use crate::output;
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use torchless::formats::{Checkpoint, Metadata, Tensor, gguf};
use torchless::{
    Encoder, EncoderSpec, Error, Ffn, HeadLevel, Layout, LayoutRow, MemoryNeed, Mixer, MlpForm, ModelOptions,
    ModelSpec, Place, Placement, RopeSpec, Source, Tokenizer,
};

/// Positions that memory is shown for, where the model has them.
const CONTEXTS: [usize; 3] = [2048, 8192, 32768];

/// Labels of a classifier that its line names.
const SHOWN_LABELS: usize = 8;

/// Runs the verb. What cannot run is shown as far as it can be read, and ends with the error.
pub fn run(args: &InspectArgs) -> Result<()> {
    let source = Source::Path(args.model.clone());
    let checkpoint = source.checkpoint()?;
    let tokenizer = torchless::tokenizer(&checkpoint);
    let spec = What::of(&source, &checkpoint, tokenizer.as_ref().ok().and_then(Option::as_ref));
    let template = torchless::chat_template(&checkpoint);
    let layout = if spec.is_ok() { where_it_would_lie(&source, &checkpoint, args) } else { Ok(None) };
    let view = View {
        checkpoint: &checkpoint,
        spec: spec.as_ref(),
        tokenizer: tokenizer.as_ref(),
        template: template.as_ref(),
        layout: layout.as_ref().ok().and_then(Option::as_ref),
        args,
    };
    if args.json {
        output::json(&view.json())?;
    } else {
        output::write(&view.text()?)?;
    }
    spec?;
    layout?;
    tokenizer?;
    template?;
    Ok(())
}

/// What would lie on which device, where options say something of that.
fn where_it_would_lie(
    source: &Source,
    checkpoint: &Checkpoint,
    args: &InspectArgs,
) -> Result<Option<Layout>, Error> {
    let placement = args.placement.placement();
    if placement == (Placement { place: Place::Auto, ..Placement::default() }) {
        return Ok(None);
    }
    let options = ModelOptions { placement, max_seq_len: args.max_seq_len, ..ModelOptions::default() };
    torchless::layout(source, checkpoint, &options).map(Some)
}

/// What a checkpoint becomes.
enum What {
    Decoder(Box<ModelSpec>),
    Encoder(Box<EncoderSpec>),
}

impl What {
    fn of(source: &Source, checkpoint: &Checkpoint, tokenizer: Option<&Tokenizer>) -> Result<Self, Error> {
        if Encoder::is_one(checkpoint) {
            return Ok(What::Encoder(Box::new(Encoder::check(source, checkpoint)?)));
        }
        let spec = torchless::spec(source, checkpoint)?;
        torchless::check(source, checkpoint, &spec)?;
        tokenizer.map_or(Ok(()), |t| torchless::fits(t, &spec))?;
        Ok(What::Decoder(Box::new(spec)))
    }
}

struct View<'a> {
    checkpoint: &'a Checkpoint,
    spec: Result<&'a What, &'a Error>,
    tokenizer: Result<&'a Option<Tokenizer>, &'a Error>,
    template: Result<&'a Option<String>, &'a Error>,
    /// `None` where nothing was asked of it, or what was cannot be had.
    layout: Option<&'a Layout>,
    args: &'a InspectArgs,
}

impl View<'_> {
    fn text(&self) -> Result<String> {
        let mut out = String::new();
        let c = self.checkpoint;
        writeln!(out, "format     {}", c.format.name())?;
        for file in &c.files {
            writeln!(out, "file       {} ({})", file.path.display(), output::size(file.bytes))?;
        }
        match self.spec {
            Ok(What::Decoder(spec)) => self.spec_text(&mut out, spec)?,
            Ok(What::Encoder(spec)) => self.encoder_text(&mut out, spec)?,
            Err(e) => writeln!(out, "runs       no: {e}")?,
        }
        match self.tokenizer {
            Ok(Some(t)) => writeln!(out, "tokenizer  {}", tokenizer_line(t))?,
            Ok(None) => writeln!(out, "tokenizer  none")?,
            Err(e) => writeln!(out, "tokenizer  unusable: {e}")?,
        }
        match self.template {
            Ok(Some(_)) => writeln!(out, "template   yes")?,
            Ok(None) => writeln!(out, "template   none")?,
            Err(e) => writeln!(out, "template   unusable: {e}")?,
        }
        writeln!(out, "\nmetadata")?;
        for (key, value) in self.metadata() {
            writeln!(out, "  {key} = {}", short(&value))?;
        }
        writeln!(out, "\ntensors    {}, {}", c.tensors.len(), output::size(self.tensor_bytes()))?;
        for (ty, count, bytes) in self.types() {
            writeln!(out, "  {ty:<8} {count:>5}  {}", output::size(bytes))?;
        }
        if self.args.tensors {
            for t in c.tensors.iter() {
                writeln!(out, "  {} {} {:?} {}", t.name, t.ty, t.shape, output::size(t.byte_len() as u64))?;
            }
        }
        for t in c.tensors.opaque() {
            writeln!(out, "  {} {} {:?} (no kernels for this type)", t.name, t.dtype, t.shape)?;
        }
        if let Some(layout) = self.layout.filter(|layout| !layout.rows.is_empty()) {
            write!(out, "\nplacement\n{layout}")?;
        }
        Ok(out)
    }

    fn spec_text(&self, out: &mut String, spec: &ModelSpec) -> Result<()> {
        writeln!(
            out,
            "model      {}, {} layers, {} wide, {} tokens",
            spec.arch,
            spec.layers.len(),
            spec.dim,
            spec.vocab
        )?;
        // Each kind of part once, in the order of layers.
        let mut lines = Vec::new();
        let mixers = spec.layers.iter().map(|layer| mixer_text(&layer.mixer));
        for line in mixers.chain(spec.layers.iter().map(|layer| ffn_text(&layer.ffn))) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        if let Some(rope) = spec.layers.iter().find_map(|layer| rope_of(&layer.mixer)) {
            writeln!(out, "rope       theta {}, {} dimensions, {:?}", rope.theta, rope.dims, rope.scaling)?;
        }
        writeln!(out, "context    {}", spec.context)?;
        for need in self.needs(spec) {
            let (weights, cache) = (output::size(need.weights), output::size(need.cache));
            let total = output::size(need.weights.saturating_add(need.cache));
            writeln!(
                out,
                "memory     context {}: {weights} weights + {cache} cache = {total}",
                need.context
            )?;
            writeln!(
                out,
                "           with --lazy the weights are pages of the file that the system may take back"
            )?;
        }
        Ok(())
    }

    fn encoder_text(&self, out: &mut String, spec: &EncoderSpec) -> Result<()> {
        let (layers, layer) = (spec.layers.len(), &spec.layers[0]);
        writeln!(
            out,
            "model      {}, encoder, {layers} layers, {} wide, {} tokens",
            spec.arch, spec.dim, spec.vocab
        )?;
        let attention = &layer.attention;
        writeln!(out, "attention  {} heads, {} values each", attention.heads, attention.head_dim)?;
        writeln!(out, "ffn        {} wide, {:?}", layer.ffn.hidden, layer.ffn.act)?;
        writeln!(out, "context    {}", spec.context)?;
        match &spec.head {
            None => writeln!(out, "use        embeds texts")?,
            Some(head) => {
                let what = if head.level == HeadLevel::Token { "tokens" } else { "texts" };
                let labels: Vec<_> = head.labels.iter().take(SHOWN_LABELS).map(String::as_str).collect();
                let more = if labels.len() < head.labels.len() { ", ..." } else { "" };
                let names: String = labels.join(", ").chars().filter(|c| !c.is_control()).take(120).collect();
                writeln!(out, "use        classifies {what}: {} labels, {names}{more}", head.labels.len())?;
            }
        }
        Ok(())
    }

    fn spec_json(&self, what: &What) -> Value {
        match what {
            What::Decoder(spec) => json!({
                "runs": true, "kind": "decoder", "architecture": spec.arch, "layers": spec.layers.len(),
                "dim": spec.dim, "vocab": spec.vocab, "context": spec.context, "spec": format!("{spec:?}"),
                "memory": self.needs(spec).iter().map(|n| json!({
                    "context": n.context, "weights": n.weights, "cache": n.cache,
                    "resident": n.weights.saturating_add(n.cache), "mapped": n.cache,
                })).collect::<Vec<_>>(),
            }),
            What::Encoder(spec) => json!({
                "runs": true, "kind": "encoder", "architecture": spec.arch, "layers": spec.layers.len(),
                "dim": spec.dim, "vocab": spec.vocab, "context": spec.context, "labels": spec.labels(),
                "spec": format!("{spec:?}"),
            }),
        }
    }

    fn needs(&self, spec: &ModelSpec) -> Vec<MemoryNeed> {
        let longest = self.args.max_seq_len.unwrap_or(spec.context);
        let mut contexts: Vec<_> = CONTEXTS.into_iter().filter(|&c| c < longest).collect();
        contexts.push(longest);
        let options = ModelOptions { placement: self.args.placement.placement(), ..ModelOptions::default() };
        let cache = options.cache_type(self.checkpoint);
        contexts.into_iter().map(|c| MemoryNeed::new(self.checkpoint, spec, c, cache)).collect()
    }

    fn json(&self) -> Value {
        let c = self.checkpoint;
        let tensor = |t: &Tensor| json!({ "name": t.name, "type": t.ty.info().name, "shape": t.shape, "bytes": t.byte_len() });
        let row = |row: &LayoutRow| {
            let LayoutRow { parts, device, weights, cache, free } = row;
            json!({ "parts": parts, "device": device, "weights": weights, "cache": cache, "free": free })
        };
        let spec = match self.spec {
            Ok(what) => self.spec_json(what),
            Err(e) => json!({ "runs": false, "error": e.to_string() }),
        };
        let tokenizer = match self.tokenizer {
            Ok(t) => json!(t.as_ref().map(tokenizer_line)),
            Err(e) => json!({ "error": e.to_string() }),
        };
        let template = match self.template {
            Ok(t) => json!(t),
            Err(e) => json!({ "error": e.to_string() }),
        };
        json!({
            "format": c.format.name(),
            "files": c.files.iter().map(|f| json!({ "path": f.path.to_string_lossy(), "bytes": f.bytes })).collect::<Vec<_>>(),
            "model": spec,
            "tokenizer": tokenizer,
            "chat_template": template,
            "metadata": Map::from_iter(self.metadata()),
            "tensors": c.tensors.iter().map(tensor).collect::<Vec<_>>(),
            "placement": self.layout.map(|layout| layout.rows.iter().map(row).collect::<Vec<_>>()),
        })
    }

    fn metadata(&self) -> Vec<(String, Value)> {
        let object = |v: &Value| v.as_object().map(|m| m.clone().into_iter().collect()).unwrap_or_default();
        match &self.checkpoint.metadata {
            Metadata::Gguf(meta) => meta.iter().map(|(k, v)| (k.to_owned(), gguf_json(v))).collect(),
            Metadata::HuggingFace { config, .. } => object(config),
            Metadata::Native(header) => object(header),
            _ => Vec::new(),
        }
    }

    fn tensor_bytes(&self) -> u64 {
        self.checkpoint.tensors.iter().map(|t| t.byte_len() as u64).sum()
    }

    fn types(&self) -> Vec<(&'static str, usize, u64)> {
        let mut all: Vec<(&str, usize, u64)> = Vec::new();
        for t in self.checkpoint.tensors.iter() {
            let name = t.ty.info().name;
            match all.iter_mut().find(|e| e.0 == name) {
                Some(e) => *e = (name, e.1 + 1, e.2 + t.byte_len() as u64),
                None => all.push((name, 1, t.byte_len() as u64)),
            }
        }
        all
    }
}

/// Kind, sizes and pre-split in one line.
fn tokenizer_line(tokenizer: &Tokenizer) -> String {
    let d = tokenizer.describe();
    let split = d.pre_split.map_or(String::new(), |p| format!(", pre-split {p}"));
    format!("{}, {} tokens, {} merges{split}", d.kind, d.vocab_size, d.merges)
}

/// Long lists are told by their kind and length, as are arrays of a vocabulary.
fn gguf_json(value: &gguf::Value) -> Value {
    match value {
        gguf::Value::Bool(b) => json!(b),
        gguf::Value::F32(x) => json!(x),
        gguf::Value::F64(x) => json!(x),
        gguf::Value::String(s) => json!(s),
        gguf::Value::Int(_, n) => i64::try_from(*n).map_or_else(|_| json!(n.to_string()), |n| json!(n)),
        gguf::Value::Array(_) => json!(value.describe()),
    }
}

/// One line, not endless, nothing that a terminal would obey.
fn short(value: &Value) -> String {
    let text = value.to_string();
    let clean: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    if clean.len() < text.len() { clean + "..." } else { clean }
}

fn mixer_text(mixer: &Mixer) -> String {
    match mixer {
        Mixer::Attention(a) => {
            let window = a.window.map_or(String::new(), |w| format!(", window {w}"));
            let (heads, kv_heads, head_dim) = (a.heads, a.kv_heads, a.head_dim);
            format!("attention  {heads} heads, {kv_heads} of keys and values, {head_dim} values each{window}")
        }
        Mixer::Latent(a) => {
            let (heads, head_dim, latent) = (a.heads, a.plain + a.turned, a.latent);
            format!("attention  {heads} heads, {head_dim} values each, over latents of {latent}")
        }
        Mixer::Delta(d) => {
            let (heads, key_dim, value_dim) =
                (d.state.delta.value_heads, d.state.delta.key_dim, d.state.delta.value_dim);
            format!("attention  linear, {heads} heads with states of {key_dim} by {value_dim}")
        }
    }
}

fn ffn_text(ffn: &Ffn) -> String {
    match ffn {
        Ffn::Dense(mlp) => {
            let (MlpForm::Glu(act) | MlpForm::Plain(act)) = mlp.form;
            format!("ffn        {} wide, {act:?}", mlp.hidden)
        }
        Ffn::Experts(moe) => {
            let shared = moe.shared.as_ref();
            let shared = shared.map_or(String::new(), |s| format!(", {} wide for all tokens", s.mlp.hidden));
            let (chosen, experts) = (moe.routing.chosen, moe.routing.experts);
            format!("ffn        {chosen} of {experts} experts, {} wide{shared}", moe.hidden)
        }
    }
}

fn rope_of(mixer: &Mixer) -> Option<&RopeSpec> {
    match mixer {
        Mixer::Attention(a) => a.rope.as_ref(),
        Mixer::Latent(a) => Some(&a.rope),
        Mixer::Delta(_) => None,
    }
}
