//! `torchless embed`, `classify` and `rerank`: what encoders say of texts, or of token ids.

use crate::encoder_args::{ClassifyArgs, EmbedArgs, EncoderOpenArgs, RawArgs, RerankArgs};
use crate::exit::Usage;
use crate::{input, open, output, policy, progress};
use anyhow::Result;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use torchless::firewall::Content;
use torchless::{
    Admitted, Candidates, Classes, Embedding, Encoder, EncoderText, Texts, TokenClasses, TokenId,
};

/// Characters of a document that its line shows.
const SHOWN: usize = 60;

fn load(model: &Path, args: &EncoderOpenArgs, raw: &RawArgs) -> Result<Encoder> {
    let firewall = args.policy.as_deref().map(policy::firewall).transpose()?;
    let mut bar = progress::LoadProgress::new(true);
    let source = open::source(Some(model));
    if let Some(output) = &raw.output {
        let ids = [&raw.ids, &raw.types].into_iter().flatten().filter_map(|word| input::ids_file(word));
        let policy = args.policy.as_ref().map(PathBuf::from);
        let others = Embedding::files(&source.checkpoint()?).into_iter().chain(ids).chain(policy);
        open::refuse_same(output, &source, &others.collect::<Vec<_>>())?;
    }
    let mut encoder = Encoder::open(&source, &args.options(), &mut |done, total| bar.update(done, total))?;
    if let Some(firewall) = firewall {
        encoder.set_firewall(firewall);
    }
    Ok(encoder)
}

/// What the firewall lets in; that it let something in unseen is told.
fn admitted<T: Content>(encoder: &Encoder, content: T) -> Result<Admitted<T>> {
    let admitted = encoder.admit(content)?;
    policy::note_failures(admitted.failures());
    Ok(admitted)
}

/// One vector per text.
pub fn embed(args: &EmbedArgs) -> Result<()> {
    let pooling = args.pooling.as_deref().map(Embedding::pooling_named).transpose()?;
    let ids = Ids::parse(&args.raw)?;
    let texts = ids.is_none().then(|| texts(&args.texts)).transpose()?;
    let mut encoder = load(&args.model, &args.open, &args.raw)?;
    let mut embedding = encoder.embedding();
    embedding.pooling = pooling.unwrap_or(embedding.pooling);
    embedding.normalize |= args.normalize;
    encoder.set_embedding(embedding);
    let vectors = match (&ids, texts) {
        (Some(ids), _) => encoder.embed_ids(&[ids.text()])?,
        (None, texts) => encoder.embed(&admitted(&encoder, Texts(texts.unwrap_or_default()))?)?,
    };
    if let Some(file) = &args.raw.output {
        return write(file, &vectors, &[vectors.len(), encoder.spec().dim]);
    }
    if args.raw.json {
        return Ok(output::json(&json!({ "dim": encoder.spec().dim, "embeddings": vectors }))?);
    }
    let line =
        |vector: &Vec<f32>| vector.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ") + "\n";
    Ok(output::write(&vectors.iter().map(line).collect::<String>())?)
}

/// Labels of texts, or of each token.
pub fn classify(args: &ClassifyArgs) -> Result<()> {
    if let Some(ids) = Ids::parse(&args.raw)? {
        let encoder = load(&args.model, &args.open, &args.raw)?;
        return logits(&encoder, &ids, &args.raw);
    }
    let texts = Texts(texts(&args.texts)?);
    let encoder = load(&args.model, &args.open, &args.raw)?;
    let texts = admitted(&encoder, texts)?;
    if encoder.classifies_tokens() {
        let found = encoder.classify_tokens(&texts)?;
        return show_tokens(&encoder, &found, &args.raw);
    }
    let found = encoder.classify(&texts)?;
    let labels = encoder.labels();
    if let Some(file) = &args.raw.output {
        let rows: Vec<_> = found.into_iter().map(|classes| classes.logits).collect();
        return write(file, &rows, &[rows.len(), labels.len()]);
    }
    if args.raw.json {
        let texts: Vec<_> = found.iter().map(|classes| classes_json(classes, labels)).collect();
        return Ok(output::json(&json!({ "labels": labels, "texts": texts }))?);
    }
    Ok(output::write(&found.iter().map(|classes| line(classes, labels)).collect::<String>())?)
}

/// Documents by how well they answer.
pub fn rerank(args: &RerankArgs) -> Result<()> {
    if let Some(ids) = Ids::parse(&args.raw)? {
        let encoder = load(&args.model, &args.open, &args.raw)?;
        return logits(&encoder, &ids, &args.raw);
    }
    let (query, documents) = (args.query.clone().unwrap_or_default(), texts(&args.documents)?);
    let encoder = load(&args.model, &args.open, &args.raw)?;
    let candidates = admitted(&encoder, Candidates { query, documents: documents.clone() })?;
    let found = encoder.rerank(&candidates)?;
    if let Some(file) = &args.raw.output {
        let rows: Vec<_> = found.into_iter().map(|classes| classes.logits).collect();
        return write(file, &rows, &[rows.len(), 1]);
    }
    let mut order: Vec<_> = (0..found.len()).collect();
    order.sort_by(|&a, &b| found[b].logits[0].total_cmp(&found[a].logits[0]));
    if args.raw.json {
        let row =
            |&i: &usize| json!({ "index": i, "score": found[i].scores[0], "logit": found[i].logits[0] });
        return Ok(output::json(&json!({ "results": order.iter().map(row).collect::<Vec<_>>() }))?);
    }
    let mut lines = String::new();
    for i in order {
        let shown: String =
            documents[i].chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(lines, "{:.4}  {i}  {shown}", found[i].scores[0])?;
    }
    Ok(output::write(&lines)?)
}

/// Logits of one text in ids: to a file, as JSON, or a line per row.
fn logits(encoder: &Encoder, ids: &Ids, raw: &RawArgs) -> Result<()> {
    let rows = encoder.logits_ids(&[ids.text()])?;
    let labels = encoder.labels();
    let per_row = labels.len();
    if let Some(file) = &raw.output {
        let count = rows.iter().map(Vec::len).sum::<usize>() / per_row;
        return write(file, &rows, &[count, per_row]);
    }
    let rows: Vec<&[f32]> = rows.iter().flat_map(|row| row.chunks_exact(per_row)).collect();
    if raw.json {
        return Ok(output::json(&json!({ "labels": labels, "logits": rows }))?);
    }
    let line = |row: &&[f32]| {
        let pairs: Vec<_> =
            labels.iter().zip(*row).map(|(label, x)| format!("{} {x}", printable(label))).collect();
        pairs.join("  ") + "\n"
    };
    Ok(output::write(&rows.iter().map(line).collect::<String>())?)
}

fn show_tokens(encoder: &Encoder, found: &[Vec<TokenClasses>], raw: &RawArgs) -> Result<()> {
    let labels = encoder.labels();
    if let Some(file) = &raw.output {
        let rows: Vec<_> = found.iter().flatten().map(|token| token.classes.logits.clone()).collect();
        return write(file, &rows, &[rows.len(), labels.len()]);
    }
    if raw.json {
        let token = |t: &TokenClasses| {
            let mut value = classes_json(&t.classes, labels);
            value["token"] = t.token.0.into();
            value["piece"] = t.piece.clone().into();
            value
        };
        let texts: Vec<Vec<_>> = found.iter().map(|text| text.iter().map(token).collect()).collect();
        return Ok(output::json(&json!({ "labels": labels, "texts": texts }))?);
    }
    let mut lines = String::new();
    for (i, text) in found.iter().enumerate() {
        if i > 0 {
            lines.push('\n');
        }
        for token in text {
            let best = token.classes.best();
            let (piece, label) = (printable(&token.piece), printable(&labels[best]));
            writeln!(lines, "{piece}\t{label}\t{:.4}", token.classes.scores[best])?;
        }
    }
    Ok(output::write(&lines)?)
}

fn classes_json(classes: &Classes, labels: &[String]) -> Value {
    let best = &labels[classes.best()];
    json!({ "label": best, "scores": classes.scores, "logits": classes.logits })
}

/// Labels with their scores, the largest first.
fn line(classes: &Classes, labels: &[String]) -> String {
    let mut order: Vec<_> = (0..labels.len()).collect();
    order.sort_by(|&a, &b| classes.logits[b].total_cmp(&classes.logits[a]));
    let pair = |i: usize| format!("{} {:.4}", printable(&labels[i]), classes.scores[i]);
    order.into_iter().map(pair).collect::<Vec<_>>().join("  ") + "\n"
}

/// Names come from a file: nothing in them may steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Token ids and their types.
struct Ids {
    ids: Vec<TokenId>,
    types: Vec<u32>,
}

impl Ids {
    fn parse(raw: &RawArgs) -> Result<Option<Self>> {
        let Some(ids) = &raw.ids else {
            // Texts rule out --ids, which lets clap pass over what needs it.
            let types = raw
                .types
                .as_ref()
                .map(|_| "--types is for --ids: texts get the types that their tokenizer gives them");
            return types.map_or(Ok(None), |why| Err(Usage(why.to_owned()).into()));
        };
        let numbers = |text: &String| input::ids(std::slice::from_ref(text));
        let types = raw.types.as_ref().map(numbers).transpose()?.unwrap_or_default();
        Ok(Some(Self { ids: numbers(ids)?.into_iter().map(TokenId).collect(), types }))
    }

    fn text(&self) -> EncoderText<'_> {
        EncoderText { ids: &self.ids, types: &self.types }
    }
}

/// The texts of the arguments; `-` and nothing stand for standard input.
fn texts(given: &[String]) -> Result<Vec<String>> {
    match given {
        [] => Ok(vec![input::text(None)?]),
        [one] if one == "-" => Ok(vec![input::text(Some("-"))?]),
        many if many.iter().any(|text| text == "-") => {
            Err(Usage("`-` stands for standard input alone, not beside other texts".to_owned()).into())
        }
        many => Ok(many.to_vec()),
    }
}

/// Raw little-endian f32, and a line that says how many.
fn write(path: &Path, rows: &[Vec<f32>], shape: &[usize; 2]) -> Result<()> {
    torchless::write_whole(path, |out| {
        let written = rows.iter().flatten().try_for_each(|x| out.write_all(&x.to_le_bytes()));
        written.map_err(|source| torchless::Error::Io { path: path.to_owned(), source })
    })?;
    output::note(&format!("{} x {} values in {}", shape[0], shape[1], path.display()));
    Ok(())
}
