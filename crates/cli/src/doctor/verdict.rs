//! Whether a model fits.

use super::advice::{Advice, free_memory, usable};
use super::findings::Findings;
use serde::Serialize;

/// What a model needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelNeeds {
    /// Its file.
    pub path: String,
    /// Its architecture.
    pub architecture: String,
    /// Bytes of weights.
    pub weights: u64,
    /// Weights, counted.
    pub parameters: u64,
    /// Layers.
    pub layers: usize,
    /// Positions and the bytes of a cache for as many in memory, from few to all that it was trained for.
    pub caches: Vec<(usize, u64)>,
    /// The same on a GPU, where the cache may be of a smaller type.
    pub gpu_caches: Vec<(usize, u64)>,
}

/// Whether it fits somewhere, and how much of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// `memory`, or the GPU's name.
    pub place: String,
    /// Bytes that it may take there.
    pub usable: u64,
    /// The most positions with which it fits; `None` where it does not.
    pub context: Option<usize>,
    /// Bytes that it takes then.
    pub bytes: u64,
    /// Layers that fit with the fewest positions.
    pub layers: usize,
}

/// What is to be said of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The model.
    pub needs: ModelNeeds,
    /// Where it fits.
    pub places: Vec<Place>,
    /// What would make it fit, or fit better.
    pub hints: Vec<String>,
}

/// A quantisation whose files are known to be usable, in bits of a weight.
const SMALLER: &[(&str, f64)] =
    &[("Q8_0", 8.5), ("Q6_K", 6.56), ("Q4_K_M", 4.85), ("Q3_K_M", 3.9), ("Q2_K", 3.0)];

impl Verdict {
    /// Of a model on the machine that was found.
    pub fn of(needs: ModelNeeds, findings: &Findings, advice: &Advice) -> Self {
        let memory = usable(findings.machine.memory.available);
        let mut places = vec![place("memory", (&needs, &needs.caches), memory)];
        let backend = findings.backends.iter().find(|backend| backend.name == advice.backend);
        if let Some(device) = backend.and_then(|backend| backend.devices.first()) {
            let free = free_memory(findings, &device.name, device.memory);
            places.push(place(&device.name, (&needs, &needs.gpu_caches), usable(free)));
        }
        let hints = hints(&needs, &places);
        Self { needs, places, hints }
    }

    /// Whether it fits anywhere.
    pub fn fits(&self) -> bool {
        self.places.iter().any(|place| place.context.is_some())
    }
}

fn place(name: &str, (needs, caches): (&ModelNeeds, &[(usize, u64)]), usable: u64) -> Place {
    let total = |cache: u64| needs.weights.saturating_add(cache);
    let fitting = caches.iter().rev().find(|(_, cache)| total(*cache) <= usable);
    let (fewest, least) = caches.first().copied().unwrap_or((0, 0));
    let per_layer = (total(least) / needs.layers.max(1) as u64).max(1);
    Place {
        place: name.to_owned(),
        usable,
        context: fitting.map(|(positions, _)| *positions),
        bytes: fitting.map_or(total(least), |(_, cache)| total(*cache)),
        layers: if fewest == 0 {
            0
        } else {
            usize::try_from(usable / per_layer).unwrap_or(usize::MAX).min(needs.layers)
        },
    }
}

fn hints(needs: &ModelNeeds, places: &[Place]) -> Vec<String> {
    let mut hints = Vec::new();
    let (memory, gpu) = (&places[0], places.get(1));
    if let Some(gpu) = gpu.filter(|gpu| gpu.context.is_none() && gpu.layers > 0) {
        hints.push(format!(
            "--gpu-layers {} puts as many of its {} layers on the GPU",
            gpu.layers, needs.layers
        ));
    }
    let trained = needs.caches.last().map_or(0, |(positions, _)| *positions);
    if let Some(context) = memory.context.filter(|context| *context < trained) {
        hints.push(format!("--max-seq-len {context} keeps the cache within memory"));
    }
    if memory.context.is_none() {
        hints.push("--lazy uses the weights in the file: it runs, and reads from the disk for every token what does not fit".to_owned());
        let least = needs.caches.first().map_or(0, |(_, cache)| *cache);
        let fits = |bits: f64| (needs.parameters as f64 * bits / 8.0) as u64 + least <= memory.usable;
        let smaller = |bits: f64| needs.parameters as f64 * bits / 8.0 < needs.weights as f64;
        if let Some((name, _)) = SMALLER.iter().find(|(_, bits)| fits(*bits) && smaller(*bits)) {
            hints.push(format!("`torchless quantize` to {name} would make it fit"));
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(weights: u64, parameters: u64) -> ModelNeeds {
        ModelNeeds {
            path: "model.gguf".to_owned(),
            architecture: "llama".to_owned(),
            weights,
            parameters,
            layers: 10,
            caches: vec![(512, 1 << 20), (1024, 2 << 20), (2048, 4 << 20)],
            gpu_caches: vec![(512, 1 << 19), (1024, 1 << 20), (2048, 2 << 20)],
        }
    }

    fn in_memory(needs: &ModelNeeds, usable: u64) -> Place {
        place("memory", (needs, &needs.caches), usable)
    }

    #[test]
    fn the_longest_context_that_fits_is_told() {
        let model = needs(100 << 20, 100 << 20);
        assert_eq!(in_memory(&model, 200 << 20).context, Some(2048));
        let tight = in_memory(&model, 102 << 20);
        assert_eq!((tight.context, tight.bytes), (Some(1024), 102 << 20));
        assert_eq!(hints(&model, &[tight]), ["--max-seq-len 1024 keeps the cache within memory"]);
    }

    #[test]
    fn a_gpu_holds_a_cache_of_its_own_type() {
        let model = needs(100 << 20, 100 << 20);
        let gpu = place("GPU", (&model, &model.gpu_caches), 102 << 20);
        assert_eq!((gpu.context, gpu.bytes), (Some(2048), 102 << 20));
        assert_eq!(in_memory(&model, 102 << 20).context, Some(1024));
    }

    #[test]
    fn what_does_not_fit_gets_advice() {
        let model = needs(200 << 20, 100 << 20);
        let memory = in_memory(&model, 120 << 20);
        assert_eq!((memory.context, memory.layers), (None, 5));
        let hints = hints(&model, &[memory]);
        assert!(hints[0].starts_with("--lazy"), "{hints:?}");
        assert_eq!(hints[1], "`torchless quantize` to Q8_0 would make it fit");
    }

    #[test]
    fn layers_that_fit_a_gpu_are_counted() {
        let model = needs(200 << 20, 100 << 20);
        let gpu = place("GPU", (&model, &model.gpu_caches), 61 << 20);
        let places = [in_memory(&model, 1 << 30), gpu];
        assert_eq!(hints(&model, &places), ["--gpu-layers 3 puts as many of its 10 layers on the GPU"]);
    }
}
