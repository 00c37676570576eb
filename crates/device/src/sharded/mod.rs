//! Several devices that compute every layer at once, each with some of its heads and some of its hidden values: tensor parallelism.
//! Shoeybi et al. 2019, arXiv 1909.08053.
//!
//! Matrices that may be divided by rows leave each device with some of the columns of a buffer, and what works on single values or
//! heads goes on with those. Matrices that may be divided by columns take these and yield a sum of which each device has a part: an
//! [`Exchange`] adds the parts up, twice per layer. Everything else (the residual stream, norms, embeddings) is there on every device,
//! and computed by each of them with the same bits.

mod device;
mod exchange;
mod largest;

pub use exchange::{Exchange, ThroughHost};

use crate::ops::{
    BufId, CacheId, Device, MatrixId, ModelPart, Norm, NormKind, RopeId, StackId, StateId, VectorId,
};
use crate::{DeviceError, Divide, MatrixSource, Residency};
use std::ops::Range;

/// Where a buffer's columns are: everywhere, or in so many pieces here and there.
type Layout = Option<usize>;

/// A matrix on each device.
struct Matrix {
    lookup: Vec<MatrixId>,
    product: Vec<MatrixId>,
    divide: Divide,
}

/// A short vector, brought to the devices as it is asked for.
struct Vector {
    name: String,
    values: Vec<f32>,
    made: Vec<(Slice, Vec<VectorId>)>,
}

/// Which values of a vector a device has: all, or of each run of so many those of its pieces.
type Slice = Option<(usize, usize)>;

struct Buffer {
    name: String,
    width: usize,
    layout: Layout,
    /// On each device.
    ids: Vec<BufId>,
}

/// Several devices as one.
pub struct Sharded {
    // Before the devices, whose queues it may hold.
    exchange: Box<dyn Exchange>,
    devices: Vec<Box<dyn Device>>,
    part: Option<ModelPart>,
    /// How buffers and caches lie that are made now.
    pieces: Layout,
    matrices: Vec<Matrix>,
    vectors: Vec<Vector>,
    buffers: Vec<Buffer>,
    stacks: Vec<(Divide, Vec<StackId>)>,
    states: Vec<Vec<StateId>>,
    caches: Vec<(Layout, Vec<CacheId>)>,
    ropes: Vec<Vec<RopeId>>,
    /// Values on their way to the host.
    carried: Vec<f32>,
}

/// Which of `pieces` pieces device `device` of `count` has.
fn share(pieces: usize, device: usize, count: usize) -> Range<usize> {
    pieces * device / count..pieces * (device + 1) / count
}

impl Sharded {
    /// Nothing yet on `devices`. Panics if there are fewer than two.
    pub fn new(devices: Vec<Box<dyn Device>>, exchange: Box<dyn Exchange>) -> Self {
        assert!(devices.len() > 1, "layers are shared by two devices or more");
        Self {
            exchange,
            devices,
            part: None,
            pieces: None,
            matrices: Vec::new(),
            vectors: Vec::new(),
            buffers: Vec::new(),
            stacks: Vec::new(),
            states: Vec::new(),
            caches: Vec::new(),
            ropes: Vec::new(),
            carried: Vec::new(),
        }
    }

    fn refuse(&self, what: impl Into<String>) -> DeviceError {
        let place = match self.part {
            Some(ModelPart::Layer(layer)) => format!(" of layer {layer}"),
            _ => String::new(),
        };
        let op = format!("{}{place}, which they share (devices can have whole layers instead)", what.into());
        DeviceError::Unsupported { op, device: format!("a group of {} devices", self.devices.len()) }
    }

    /// The part of `len` equal values, in so many pieces, that a device has.
    fn range(&self, len: usize, pieces: usize, device: usize) -> Range<usize> {
        let share = share(pieces, device, self.devices.len());
        let each = len / pieces.max(1);
        share.start * each..share.end * each
    }

    /// How something in so many pieces lies: whole where there is not one for each device.
    fn pieces(&self, pieces: usize) -> Layout {
        Some(pieces).filter(|pieces| *pieces >= self.devices.len())
    }

    /// The same for a matrix.
    fn division(&self, divide: Divide) -> Divide {
        match divide {
            Divide::Rows(pieces) | Divide::Cols(pieces) | Divide::Members(pieces)
                if self.pieces(pieces).is_none() =>
            {
                Divide::Whole
            }
            other => other,
        }
    }

    /// Whether `len` values are so many equal pieces.
    fn check(&self, len: usize, pieces: usize, what: &str) -> Result<(), DeviceError> {
        if !len.is_multiple_of(pieces) {
            return Err(self.refuse(format!("{what} of {len} values in {pieces} pieces")));
        }
        Ok(())
    }

    /// Each device with its number.
    fn each<T>(
        &mut self,
        mut make: impl FnMut(usize, &mut dyn Device) -> Result<T, DeviceError>,
    ) -> Result<Vec<T>, DeviceError> {
        self.devices.iter_mut().enumerate().map(|(k, device)| make(k, &mut **device)).collect()
    }

    /// A device's part of a matrix, of one in a stack where that has it.
    fn part_of(&self, source: &MatrixSource, device: usize) -> Result<MatrixSource, DeviceError> {
        match self.division(source.divide) {
            Divide::Whole | Divide::Members(_) => {
                Ok(MatrixSource { divide: Divide::Whole, ..source.clone() })
            }
            Divide::Rows(pieces) => {
                self.check(source.rows, pieces, &source.name)?;
                Ok(source.some_rows(self.range(source.rows, pieces, device)))
            }
            Divide::Cols(pieces) => {
                self.check(source.cols, pieces, &source.name)?;
                let range = self.range(source.cols, pieces, device);
                source.some_cols(range).ok_or_else(|| {
                    let name = source.ty.info().name;
                    self.refuse(format!(
                        "{} in {pieces} pieces, which would cut blocks of {name}",
                        source.name
                    ))
                })
            }
        }
    }

    fn divided(&mut self, source: &MatrixSource, residency: Residency) -> Result<Vec<MatrixId>, DeviceError> {
        let parts =
            (0..self.devices.len()).map(|k| self.part_of(source, k)).collect::<Result<Vec<_>, _>>()?;
        self.each(|k, device| device.matrix(&parts[k], residency))
    }

    fn layout(&self, buf: BufId) -> Layout {
        self.buffers[buf.0 as usize].layout
    }

    fn width(&self, buf: BufId) -> usize {
        self.buffers[buf.0 as usize].width
    }

    /// What the devices call a buffer.
    fn ids(&self, buf: BufId) -> Vec<BufId> {
        self.buffers[buf.0 as usize].ids.clone()
    }

    /// The same for one that has to lie in a certain way.
    fn ids_in(&self, buf: BufId, layout: Layout) -> Result<Vec<BufId>, DeviceError> {
        if self.layout(buf) == layout {
            return Ok(self.ids(buf));
        }
        Err(self.refuse(format!("{} beside what lies otherwise", self.named(buf))))
    }

    fn named(&self, buf: BufId) -> &str {
        &self.buffers[buf.0 as usize].name
    }

    /// What the devices call a vector, or their part of each run of values.
    fn vector_in(&mut self, vector: VectorId, slice: Slice) -> Result<Vec<VectorId>, DeviceError> {
        let known = &self.vectors[vector.0 as usize];
        if let Some((_, ids)) = known.made.iter().find(|(made, _)| *made == slice) {
            return Ok(ids.clone());
        }
        if let Some((run, pieces)) = slice {
            self.check(run, pieces, &known.name)?;
        }
        let parts: Vec<Vec<f32>> = (0..self.devices.len())
            .map(|k| match slice {
                None => known.values.clone(),
                Some((run, pieces)) => {
                    let range = self.range(run, pieces, k);
                    known.values.chunks(run).flat_map(|run| &run[range.clone()]).copied().collect()
                }
            })
            .collect();
        let name = known.name.clone();
        let ids = self.each(|k, device| device.vector(&name, &parts[k]))?;
        self.vectors[vector.0 as usize].made.push((slice, ids.clone()));
        Ok(ids)
    }

    /// Where there is one: for each device, by its number.
    fn maybe_vector(
        &mut self,
        vector: Option<VectorId>,
        slice: Slice,
    ) -> Result<Vec<Option<VectorId>>, DeviceError> {
        match vector {
            Some(vector) => Ok(self.vector_in(vector, slice)?.into_iter().map(Some).collect()),
            None => Ok(vec![None; self.devices.len()]),
        }
    }

    /// A norm of rows of `width` values that lie as `layout` says: of parts that no device has only some of.
    fn norm_in(&mut self, norm: &Norm, (layout, width): (Layout, usize)) -> Result<Vec<Norm>, DeviceError> {
        let groups = norm.groups.max(1);
        if let Some(pieces) = layout
            && !groups.is_multiple_of(pieces)
        {
            return Err(self.refuse("a norm over heads or hidden values together"));
        }
        let whole_row = self.vectors[norm.weight.0 as usize].values.len() == width;
        let slice = layout.filter(|_| whole_row).map(|pieces| (width, pieces));
        let weights = self.vector_in(norm.weight, slice)?;
        let biases = match norm.kind {
            NormKind::Layer { bias, .. } => self.maybe_vector(bias, slice)?,
            NormKind::Rms { .. } => vec![None; weights.len()],
        };
        let one = |(k, (weight, bias)): (usize, (VectorId, Option<VectorId>))| {
            let kind = match norm.kind {
                NormKind::Layer { eps, .. } => NormKind::Layer { eps, bias },
                rms @ NormKind::Rms { .. } => rms,
            };
            let groups = layout.map_or(norm.groups, |pieces| self.range(groups, pieces, k).len());
            Norm { kind, weight, groups }
        };
        Ok(weights.into_iter().zip(biases).enumerate().map(one).collect())
    }

    /// Where there is one: for each device, by its number.
    fn maybe_norm(
        &mut self,
        norm: Option<&Norm>,
        lies: (Layout, usize),
    ) -> Result<Vec<Option<Norm>>, DeviceError> {
        match norm {
            Some(norm) => Ok(self.norm_in(norm, lies)?.into_iter().map(Some).collect()),
            None => Ok(vec![None; self.devices.len()]),
        }
    }

    /// What a matrix off such an input yields on each device, and whether that is a part of a sum.
    fn yields(&self, matrix: MatrixId, input: BufId) -> Result<(Layout, bool), DeviceError> {
        match (self.matrices[matrix.0 as usize].divide, self.layout(input)) {
            (Divide::Whole, None) => Ok((None, false)),
            (Divide::Rows(pieces), None) => Ok((Some(pieces), false)),
            (Divide::Cols(pieces), Some(apart)) if pieces == apart => Ok((None, true)),
            _ => Err(self
                .refuse(format!("a product of {}, which lies otherwise than its matrix", self.named(input)))),
        }
    }
}
