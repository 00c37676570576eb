//! A weight matrix on the CPU: packed for the kernels, or in place in the file.

use crate::{DeviceError, MatrixSource, MatrixUse, Residency, WeightBytes};
use std::ops::Range;
use torchless_kernels::{
    ActNeeds, Cpu, Layout, MatrixRef, PackedMatrix, Precision, Rounding, is_decoded, packed_bytes,
};
use torchless_quant::TensorType;

/// Bytes that are packed between two releases of the file's pages.
const PACK_STEP: usize = 8 << 20;

/// A matrix and where its bytes are.
pub(super) struct Matrix {
    source: MatrixSource,
    home: Home,
}

enum Home {
    /// In the kernels' own layout, in memory of its own.
    Packed(PackedMatrix),
    /// In place, in the file's layout.
    File,
    /// The same, until it is packed.
    Waiting,
    /// In the file, from which it is brought anew for every product.
    Streamed,
}

impl Matrix {
    /// Takes `source` as `residency` says. Tables for lookup stay in the file: a step touches few rows of them. Under a limit,
    /// matrices are packed as long as `held` bytes allow, and those that come later are streamed. What products decode as they
    /// go stays in the file as well.
    pub(super) fn new(
        cpu: &Cpu,
        source: &MatrixSource,
        residency: Residency,
        held: &mut u64,
    ) -> Result<Self, DeviceError> {
        let bytes = size(cpu, source)?;
        let source = source.clone();
        if source.purpose == MatrixUse::Rounded {
            check_scales(&source)?;
        }
        let home = match residency {
            _ if source.purpose == MatrixUse::Lookup => Home::File,
            Residency::Mapped { limit: None } => Home::File,
            Residency::Mapped { limit: Some(limit) } if *held + bytes > limit => Home::Streamed,
            _ if is_decoded(source.ty) => Home::File,
            _ => Home::Packed(pack_all(cpu, &source)?),
        };
        if matches!(home, Home::Packed(_)) {
            *held += bytes;
        }
        Ok(Self { source, home })
    }

    /// Takes `source` in place for now; [`Matrix::settle`] packs it, unless products decode it as they go.
    pub(super) fn waiting(cpu: &Cpu, source: &MatrixSource) -> Result<Self, DeviceError> {
        size(cpu, source)?;
        let home = if is_decoded(source.ty) { Home::File } else { Home::Waiting };
        Ok(Self { source: source.clone(), home })
    }

    /// Bytes in the file that are still to be packed.
    pub(super) fn waiting_bytes(&self) -> u64 {
        if matches!(self.home, Home::Waiting) { self.source.byte_len() } else { 0 }
    }

    /// Packs what waits for it: how many bytes those were.
    pub(super) fn settle(&mut self, cpu: &Cpu) -> Result<u64, DeviceError> {
        let bytes = self.waiting_bytes();
        if bytes > 0 {
            self.home = Home::Packed(pack_all(cpu, &self.source)?);
        }
        Ok(bytes)
    }

    /// Where the bytes come from.
    pub(super) fn source(&self) -> &MatrixSource {
        &self.source
    }

    /// Whether products have to read it first.
    pub(super) fn is_streamed(&self) -> bool {
        matches!(self.home, Home::Streamed)
    }

    pub(super) fn ty(&self) -> TensorType {
        self.source.ty
    }

    pub(super) fn rows(&self) -> usize {
        self.source.rows
    }

    /// The forms of activations that its products want where a run has `precision`.
    pub(super) fn needs(&self, precision: Precision) -> ActNeeds {
        let fine = self.source.purpose == MatrixUse::Attention && precision == Precision::Fast;
        ActNeeds::of(self.ty(), if fine { Precision::Fine } else { precision })
    }

    /// What its products round activations to where a run has `precision`, if they do.
    pub(super) fn rounding(&self, cpu: &Cpu, precision: Precision) -> Option<Rounding> {
        let rounds = self.source.purpose == MatrixUse::Rounded
            && precision == Precision::Fast
            && matches!(self.home, Home::Packed(_));
        if rounds { cpu.rounding(self.source.ty, self.source.cols) } else { None }
    }

    pub(super) fn cols(&self) -> usize {
        self.source.cols
    }

    pub(super) fn is_product(&self) -> bool {
        self.source.purpose != MatrixUse::Lookup
    }

    /// The operand of a product.
    pub(super) fn as_ref(&self) -> MatrixRef<'_> {
        match &self.home {
            Home::Packed(packed) => packed.as_ref(),
            Home::File | Home::Waiting | Home::Streamed => rows(&self.source, 0..self.source.rows),
        }
    }

    /// Decodes one row into `out`. The row is read rather than mapped where that can be: a fault would make its neighbours
    /// resident too. `room` is kept from call to call.
    pub(super) fn decode_row(
        &self,
        row: usize,
        room: &mut Vec<u8>,
        out: &mut [f32],
    ) -> Result<(), DeviceError> {
        let part = rows(&self.source, row..row + 1);
        let size = part.data.len();
        room.resize(room.len().max(size), 0);
        let read = self.source.data.read_at(row * size, &mut room[..size]).map_err(|e| {
            let (what, reason) = (self.source.name.clone(), e.to_string());
            DeviceError::Weights { what, reason }
        })?;
        let data = if read { &room[..size] } else { part.data };
        self.source.ty.decode(data, part.scales, out);
        Ok(())
    }
}

/// Bytes of the packed form.
///
/// # Errors
/// There are no kernels for such a matrix.
fn size(cpu: &Cpu, source: &MatrixSource) -> Result<u64, DeviceError> {
    let bytes = packed_bytes(source.ty, source.rows, source.cols);
    bytes.map(|bytes| bytes as u64).ok_or_else(|| {
        let (op, device) = (format!("the matrix {source:?}"), cpu.kernels.name.to_owned());
        DeviceError::Unsupported { op, device }
    })
}

/// Refuses rows of bytes with several scales where products take the first for all.
fn check_scales(source: &MatrixSource) -> Result<(), DeviceError> {
    if source.ty != TensorType::Q8_0 {
        return Ok(());
    }
    let (bytes, row) = (source.data.bytes(), source.data.bytes().len() / source.rows.max(1));
    let one = |row: &[u8]| row.chunks_exact(Q8_0_BYTES).all(|block| block[..2] == row[..2]);
    if row > 0 && !bytes.chunks_exact(row).all(one) {
        let reason = "a row has several scales, where products with rounded activations take one".to_owned();
        return Err(DeviceError::Weights { what: source.name.clone(), reason });
    }
    Ok(())
}

/// Bytes of a block of `Q8_0`: a scale and 32 codes.
const Q8_0_BYTES: usize = 34;

/// Some rows in the file's layout.
fn rows(source: &MatrixSource, range: Range<usize>) -> MatrixRef<'_> {
    MatrixRef {
        ty: source.ty,
        layout: Layout::File,
        rows: range.len(),
        cols: source.cols,
        data: plane_rows(&*source.data, source.rows, &range),
        scales: source.scales.as_ref().map_or(&[], |scales| plane_rows(&**scales, source.rows, &range)),
    }
}

fn plane_rows<'a>(plane: &'a dyn WeightBytes, rows: usize, range: &Range<usize>) -> &'a [u8] {
    let row = plane.bytes().len() / rows;
    &plane.bytes()[range.start * row..range.end * row]
}

/// Packs a few megabytes at a time and gives the file's pages back behind, so that loading needs little more memory than
/// the packed weights.
fn pack_all(cpu: &Cpu, source: &MatrixSource) -> Result<PackedMatrix, DeviceError> {
    let bytes = source.data.bytes().len();
    let mut packed = PackedMatrix::zeroed(source.ty, source.rows, source.cols).ok_or_else(|| {
        let (what, device) = (source.name.clone(), cpu.kernels.name.to_owned());
        DeviceError::OutOfMemory { device, bytes: bytes as u64, what, holding: String::new() }
    })?;
    let row_bytes = (bytes / source.rows).max(1);
    let step = (PACK_STEP / row_bytes).max(1).next_multiple_of(16);
    for first in (0..source.rows).step_by(step) {
        let part = first..(first + step).min(source.rows);
        cpu.pack_rows(rows(source, part.clone()), first, &mut packed);
        source.data.release(part.start * row_bytes..part.end * row_bytes);
    }
    if let Some(scales) = &source.scales {
        scales.release(0..scales.bytes().len());
    }
    Ok(packed)
}
