//! From a text of any length to how likely it is an attack, by the detector inside or by a model.

use crate::{Detector, DetectorError, Judgement, LoadError, NativeEngine, NativeOptions, Origin, ReadBefore};
use llamafirewall_core::{InferenceEngine, InferenceError, Role, TorchDevice, model_for};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Windows that a model is given at once.
const BATCH: usize = 16;

/// Says of texts how likely they are attacks. Cheap to clone; clones share the model.
#[derive(Clone)]
pub struct AttackClassifier {
    source: Source,
}

#[derive(Clone)]
enum Source {
    Inside(Arc<Detector>),
    Engine(Arc<dyn InferenceEngine>),
}

impl AttackClassifier {
    /// By the detector inside.
    ///
    /// # Errors
    /// Its weights are damaged.
    pub fn inside() -> Result<Self, DetectorError> {
        Ok(Self { source: Source::Inside(Detector::inside()?) })
    }

    /// By the Prompt Guard in a folder, or another classifier with the same labels: two, harmless and attack, or three,
    /// harmless, injection and jailbreak.
    ///
    /// # Errors
    /// It cannot be loaded, or has other labels.
    pub fn open(folder: &Path, options: NativeOptions) -> Result<Self, LoadError> {
        Self::native(folder, NativeEngine::open(folder, options)?)
    }

    /// By the model in a file and a `tokenizer.json`: safetensors with `config.json` beside, or TorchScript (`.pt`, or a folder of it) in
    /// a build with the feature `tch`.
    ///
    /// # Errors
    /// It cannot be loaded, has other labels, or needs libtorch in a build without.
    pub fn open_files(model: &Path, tokenizer: &Path, options: NativeOptions) -> Result<Self, LoadError> {
        let script = model.extension().is_some_and(|end| end == "pt");
        if script || model_for(model, TorchDevice::Cuda, |path| path.is_file()).is_some() {
            return by_torch(model, tokenizer);
        }
        Self::native(model, NativeEngine::open_files(model, tokenizer, options)?)
    }

    fn native(folder: &Path, engine: NativeEngine) -> Result<Self, LoadError> {
        let labels = engine.labels().len();
        if labels != 2 && labels != 3 {
            let reason =
                format!("it has {labels} labels; 2 (harmless, attack) or 3 (of Prompt Guard 1) would fit");
            return Err(LoadError::Unfit { path: folder.to_owned(), reason });
        }
        Ok(Self::with_engine(Arc::new(engine)))
    }

    /// By an engine whose logits are those of Prompt Guard: two labels, or the three of its first version.
    pub fn with_engine(engine: Arc<dyn InferenceEngine>) -> Self {
        Self { source: Source::Engine(engine) }
    }

    /// How likely a message of `role` is an attack. All of it is seen: the worst window counts.
    ///
    /// # Errors
    /// The model fails, or has labels that mean nothing here.
    pub fn judge(&self, role: Role, text: &str) -> Result<Judgement, InferenceError> {
        let origin = Origin::of(role);
        match &self.source {
            Source::Inside(detector) => {
                detector.judge(origin, text).map_err(|e| InferenceError(e.to_string()))
            }
            Source::Engine(engine) => judged_by(&**engine, origin, text, None),
        }
    }

    /// The same of one form of a text, such as the one without its escapes, after others: only windows are seen in which something
    /// `changed`, and that were not seen `before`. `None` where there are none.
    ///
    /// # Errors
    /// As of [`judge`](Self::judge).
    pub fn judge_form(
        &self,
        role: Role,
        text: &str,
        changed: Option<&[Range<usize>]>,
        before: &mut ReadBefore,
    ) -> Result<Option<Judgement>, InferenceError> {
        let origin = Origin::of(role);
        match &self.source {
            Source::Inside(detector) => {
                detector.judge_form(origin, text, changed, before).map_err(|e| InferenceError(e.to_string()))
            }
            Source::Engine(engine) => {
                let judged = judged_by(&**engine, origin, text, changed)?;
                Ok(Some(judged).filter(|judged| judged.logit > f32::NEG_INFINITY))
            }
        }
    }
}

#[cfg(feature = "tch")]
fn by_torch(model: &Path, tokenizer: &Path) -> Result<AttackClassifier, LoadError> {
    let unfit = |reason: String| LoadError::Unfit { path: model.to_owned(), reason };
    let (model, tokenizer) = (model.to_string_lossy(), tokenizer.to_string_lossy());
    let engine = crate::TchInferenceEngine::new(&model, &tokenizer).map_err(|e| unfit(format!("{e:#}")))?;
    Ok(AttackClassifier::with_engine(Arc::new(engine)))
}

#[cfg(not(feature = "tch"))]
fn by_torch(model: &Path, _tokenizer: &Path) -> Result<AttackClassifier, LoadError> {
    let reason = "TorchScript runs in a build with the feature `tch`; a folder with config.json, safetensors and \
                  tokenizer.json runs in any";
    Err(LoadError::Unfit { path: model.to_owned(), reason: reason.to_owned() })
}

fn judged_by(
    engine: &dyn InferenceEngine,
    origin: Origin,
    text: &str,
    changed: Option<&[Range<usize>]>,
) -> Result<Judgement, InferenceError> {
    let mut worst = Judgement { score: 0.0, logit: f32::NEG_INFINITY, span: 0..text.len() };
    let mut windows = engine.windows(text)?;
    if let Some(changed) = changed {
        // They are in order and apart.
        windows.retain(|window| {
            let first = changed.partition_point(|place| place.end < window.start);
            changed.get(first).is_some_and(|place| place.start <= window.end)
        });
    }
    for windows in windows.chunks(BATCH) {
        let texts: Vec<&str> = windows.iter().map(|window| &text[window.clone()]).collect();
        let logits = engine.infer_batch(&texts)?;
        if logits.len() != windows.len() {
            let why = format!("{} texts were given and {} answered", windows.len(), logits.len());
            return Err(InferenceError(why));
        }
        for (window, logits) in windows.iter().zip(logits) {
            let score = attack_score(&logits, origin)?;
            if score > worst.score {
                worst = Judgement { score, logit: (score / (1.0 - score)).ln(), span: window.clone() };
            }
        }
    }
    Ok(worst)
}

/// Of three labels, an embedded instruction counts only in what was fetched: users give instructions all the time.
fn attack_score(logits: &[f32], origin: Origin) -> Result<f32, InferenceError> {
    if !logits.iter().all(|x| x.is_finite()) {
        return Err(InferenceError("the model gave no finite logits".to_owned()));
    }
    let p = softmax(logits);
    match (p.as_slice(), origin) {
        ([_, attack], _) | ([_, _, attack], Origin::Typed) => Ok(*attack),
        ([_, injection, jailbreak], Origin::Fetched) => Ok(injection + jailbreak),
        _ => Err(InferenceError(format!("the model has {} labels, 2 or 3 would fit", logits.len()))),
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|x| (x - most).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;

    /// Answers with the text's numbers; windows are its lines.
    struct Numbers;

    impl InferenceEngine for Numbers {
        fn infer(&self, text: &str) -> Result<Vec<f32>, InferenceError> {
            Ok(text.split_whitespace().map(|word| word.parse().unwrap()).collect())
        }

        fn windows(&self, text: &str) -> Result<Vec<Range<usize>>, InferenceError> {
            let mut at = 0;
            let lines = text.split_inclusive('\n').map(|line| {
                at += line.len();
                at - line.len()..at
            });
            Ok(lines.collect())
        }
    }

    fn judge(role: Role, text: &str) -> Result<Judgement, InferenceError> {
        AttackClassifier::with_engine(Arc::new(Numbers)).judge(role, text)
    }

    #[test]
    fn the_worst_window_counts() {
        let judged = judge(Role::User, "0 0\n0 5\n0 -5\n").unwrap();
        assert!((judged.score - 0.993_307).abs() < 1e-5);
        assert_eq!(judged.span, 4..8);
    }

    #[test]
    fn of_another_form_what_changed_counts() {
        let classifier = AttackClassifier::with_engine(Arc::new(Numbers));
        let judge = |changed: &[Range<usize>]| {
            let before = &mut ReadBefore::default();
            classifier.judge_form(Role::User, "0 9\n0 5\n0 -5\n", Some(changed), before).unwrap()
        };
        assert_eq!(judge(&[5..6, 6..6]).unwrap().span, 4..8);
        assert_eq!(judge(&[10..10, 12..13]).unwrap().span, 8..13);
        assert!(judge(&[]).is_none());
    }

    #[test]
    fn an_instruction_in_what_was_fetched_counts() {
        let text = "0 3 -9";
        assert!(judge(Role::User, text).unwrap().score < 0.01);
        assert!(judge(Role::Tool, text).unwrap().score > 0.9);
        assert!(judge(Role::User, "0 -9 3").unwrap().score > 0.9);
    }

    #[cfg(not(feature = "tch"))]
    #[test]
    fn torchscript_is_refused_with_what_would_work() {
        let (model, tokenizer) = (Path::new("models/promptguard.pt"), Path::new("models/tokenizer.json"));
        let refused = AttackClassifier::open_files(model, tokenizer, NativeOptions::default());
        let error = refused.err().unwrap().to_string();
        assert!(error.contains("feature `tch`") && error.contains("safetensors"), "{error}");
    }

    #[test]
    fn what_cannot_be_scored_is_an_error() {
        assert!(judge(Role::User, "0").unwrap_err().to_string().contains("1 labels"));
        assert!(judge(Role::User, "0 NaN").unwrap_err().to_string().contains("finite"));
    }
}
