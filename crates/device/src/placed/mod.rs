//! Several devices that hold a model's parts between them: a GPU with the last layers and the CPU with the others, or some GPUs.
//!
//! Weights, caches and states lie with their part, short vectors and rotations everywhere. An op runs where its weights are, or where
//! its input is if it has none. Buffers exist on every device, and what an op needs of them is brought through the host from where it
//! was written last: between two neighbouring parts that is the residual stream, once per step.

mod device;

use crate::DeviceError;
use crate::ops::{
    BufId, CacheId, Device, MatrixId, ModelPart, Norm, NormKind, Projection, RopeId, StackId, StateId,
    VectorId,
};

/// On which device each part lies, by its place in the list of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Embeddings.
    pub start: usize,
    /// Each layer.
    pub layers: Vec<usize>,
    /// The head.
    pub end: usize,
}

impl Parts {
    fn of(&self, part: ModelPart) -> usize {
        match part {
            ModelPart::Start => self.start,
            ModelPart::Layer(layer) => self.layers.get(layer).copied().unwrap_or(self.end),
            ModelPart::End => self.end,
        }
    }

    /// Ranges of layers in order, each with its device.
    pub fn runs(&self) -> Vec<(std::ops::Range<usize>, usize)> {
        let mut runs: Vec<(std::ops::Range<usize>, usize)> = Vec::new();
        for (layer, &device) in self.layers.iter().enumerate() {
            match runs.last_mut() {
                Some((range, on)) if *on == device => range.end = layer + 1,
                _ => runs.push((layer..layer + 1, device)),
            }
        }
        runs
    }
}

/// A handle of one device.
#[derive(Clone, Copy, Debug)]
struct At<T> {
    device: usize,
    id: T,
}

/// A matrix that is looked up on one device and multiplied with on another, where it is both and its parts lie apart.
#[derive(Clone, Copy, Debug)]
struct Matrix {
    lookup: At<MatrixId>,
    product: At<MatrixId>,
}

#[derive(Clone, Debug)]
struct Buffer {
    /// On each device.
    ids: Vec<BufId>,
    /// Where its content is what was written last. Everywhere, before anything was written.
    is_current: Vec<bool>,
    tokens: usize,
    width: usize,
}

/// Several devices as one.
pub struct Placed {
    devices: Vec<Box<dyn Device>>,
    parts: Parts,
    /// The device of the part that is being loaded.
    home: usize,
    /// Where the last op ran.
    last: usize,
    /// Tokens of the step.
    rows: usize,
    matrices: Vec<Matrix>,
    stacks: Vec<At<StackId>>,
    caches: Vec<At<CacheId>>,
    states: Vec<At<StateId>>,
    vectors: Vec<Vec<VectorId>>,
    ropes: Vec<Vec<RopeId>>,
    buffers: Vec<Buffer>,
    /// Values on their way.
    carried: Vec<f32>,
}

impl Placed {
    /// Nothing yet on `devices`. Panics if there is none, or if `parts` names one that is not there.
    pub fn new(devices: Vec<Box<dyn Device>>, parts: Parts) -> Self {
        let most = parts.layers.iter().copied().chain([parts.start, parts.end]).max();
        assert!(most < Some(devices.len()), "parts lie on devices that there are");
        Self {
            home: parts.start,
            last: parts.start,
            devices,
            parts,
            rows: 0,
            matrices: Vec::new(),
            stacks: Vec::new(),
            caches: Vec::new(),
            states: Vec::new(),
            vectors: Vec::new(),
            ropes: Vec::new(),
            buffers: Vec::new(),
            carried: Vec::new(),
        }
    }

    fn here(&mut self) -> &mut dyn Device {
        &mut *self.devices[self.home]
    }

    fn on(&mut self, device: usize) -> &mut dyn Device {
        self.last = device;
        &mut *self.devices[device]
    }

    /// Where an op runs whose weights do not say: where its input is, and rather where the op before it ran.
    fn device_of(&self, input: BufId) -> usize {
        let current = &self.buffers[input.0 as usize].is_current;
        if current[self.last] {
            return self.last;
        }
        current.iter().position(|is_current| *is_current).unwrap_or(self.last)
    }

    /// Makes what was written last readable on a device, and says what the buffer is called there.
    fn bring(&mut self, buf: BufId, device: usize) -> Result<BufId, DeviceError> {
        let buffer = &mut self.buffers[buf.0 as usize];
        let id = buffer.ids[device];
        if buffer.is_current[device] {
            return Ok(id);
        }
        if let Some(from) = buffer.is_current.iter().position(|is_current| *is_current) {
            let values = self.rows.min(buffer.tokens) * buffer.width;
            self.carried.resize(values, 0.0);
            self.devices[from].read(buffer.ids[from], &mut self.carried)?;
            self.devices[device].write(id, &self.carried)?;
        }
        buffer.is_current[device] = true;
        Ok(id)
    }

    /// Says that a device is about to write a buffer, and what it is called there.
    fn written(&mut self, buf: BufId, device: usize) -> BufId {
        let buffer = &mut self.buffers[buf.0 as usize];
        buffer.is_current.fill(false);
        buffer.is_current[device] = true;
        buffer.ids[device]
    }

    /// Both: what is added to or changed in place.
    fn changed(&mut self, buf: BufId, device: usize) -> Result<BufId, DeviceError> {
        self.bring(buf, device)?;
        Ok(self.written(buf, device))
    }

    fn vector_on(&self, vector: VectorId, device: usize) -> VectorId {
        self.vectors[vector.0 as usize][device]
    }

    fn norm_on(&self, norm: &Norm, device: usize) -> Norm {
        let kind = match norm.kind {
            NormKind::Layer { eps, bias } => {
                NormKind::Layer { eps, bias: bias.map(|bias| self.vector_on(bias, device)) }
            }
            rms @ NormKind::Rms { .. } => rms,
        };
        Norm { kind, weight: self.vector_on(norm.weight, device), groups: norm.groups }
    }

    fn product(&self, matrix: MatrixId) -> At<MatrixId> {
        self.matrices[matrix.0 as usize].product
    }

    fn projection(&mut self, projection: &Projection) -> Result<Projection, DeviceError> {
        let At { device, id } = self.product(projection.matrix);
        Ok(Projection {
            matrix: id,
            bias: projection.bias.map(|bias| self.vector_on(bias, device)),
            out: self.stored(projection.out, projection.store, device)?,
            store: projection.store,
        })
    }

    fn stored(&mut self, buf: BufId, store: crate::Store, device: usize) -> Result<BufId, DeviceError> {
        match store {
            crate::Store::Set => Ok(self.written(buf, device)),
            crate::Store::Add => self.changed(buf, device),
        }
    }
}
