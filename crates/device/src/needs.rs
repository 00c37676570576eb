//! What a model takes of a device's memory, part by part. The recorder counts it while a model is loaded onto it.

use crate::ops::ModelPart;

/// Bytes of a model's parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Weights before the layers.
    pub start: u64,
    /// Those of them that are the head's too, wherever it lies.
    pub tied: u64,
    /// The layers.
    pub layers: Vec<LayerNeed>,
    /// Weights after the layers.
    pub end: u64,
    /// Activations, which every device has that a part lies on.
    pub buffers: u64,
}

/// Bytes of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerNeed {
    /// Weights, as the file stores them.
    pub weights: u64,
    /// KV cache for the whole context, or states.
    pub cache: u64,
}

/// What bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Weights,
    Tied,
    Cache,
    Buffers,
}

impl Needs {
    /// All bytes on one device.
    pub fn total(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(LayerNeed::total).sum();
        self.start + layers + self.end + self.buffers
    }

    /// Bytes of the last `count` layers with the head and the buffers.
    pub fn last(&self, count: usize) -> u64 {
        let first = self.layers.len().saturating_sub(count);
        if first == 0 {
            return self.total();
        }
        self.layers[first..].iter().map(LayerNeed::total).sum::<u64>() + self.end + self.tied + self.buffers
    }

    /// The largest number of last layers that fit into `bytes`; all of them only with the embeddings.
    pub fn fitting(&self, bytes: u64) -> usize {
        (1..=self.layers.len()).rev().find(|&count| self.last(count) <= bytes).unwrap_or(0)
    }

    pub(crate) fn add(&mut self, part: Option<ModelPart>, need: Need, bytes: u64) {
        if need == Need::Tied {
            self.tied += bytes;
        }
        let layer = match part {
            _ if need == Need::Buffers => return self.buffers += bytes,
            Some(ModelPart::Layer(layer)) => layer,
            Some(ModelPart::End) => return self.end += bytes,
            Some(ModelPart::Start) | None => return self.start += bytes,
        };
        if self.layers.len() <= layer {
            self.layers.resize(layer + 1, LayerNeed::default());
        }
        match need {
            Need::Cache => self.layers[layer].cache += bytes,
            _ => self.layers[layer].weights += bytes,
        }
    }
}

impl LayerNeed {
    /// Weights and cache.
    pub fn total(&self) -> u64 {
        self.weights + self.cache
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs() -> Needs {
        let mut needs = Needs::default();
        needs.add(Some(ModelPart::Start), Need::Tied, 100);
        for layer in 0..3 {
            needs.add(Some(ModelPart::Layer(layer)), Need::Weights, 10);
            needs.add(Some(ModelPart::Layer(layer)), Need::Cache, 1);
            needs.add(Some(ModelPart::Layer(layer)), Need::Buffers, 2);
        }
        needs.add(Some(ModelPart::End), Need::Weights, 5);
        needs
    }

    #[test]
    fn a_tied_head_is_needed_where_the_last_layers_are() {
        let needs = needs();
        assert_eq!(needs.total(), 100 + 33 + 5 + 6);
        assert_eq!(needs.last(0), 100 + 5 + 6);
        assert_eq!(needs.last(1), 11 + 100 + 5 + 6);
        assert_eq!(needs.last(3), needs.total());
        assert_eq!(needs.last(9), needs.total());
    }

    #[test]
    fn as_many_layers_fit_as_memory_allows() {
        let needs = needs();
        assert_eq!(needs.fitting(1000), 3);
        assert_eq!(needs.fitting(needs.total()), 3);
        assert_eq!(needs.fitting(needs.total() - 1), 2);
        assert_eq!(needs.fitting(needs.last(1)), 1);
        assert_eq!(needs.fitting(needs.last(1) - 1), 0);
    }
}
