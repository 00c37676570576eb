//! Encoders on the CPU.

use super::{Buffer, CpuDevice, CpuOptions, handle};
use crate::encode::{
    AttendWithin, EncoderDevice, Gather, OffsetSource, OffsetsId, PoolKind, PoolRows, Unfold,
};
use crate::ops::{Activation, BufId, Linear, Store};
use crate::{Device, DeviceError};
use std::ops::Range;
use torchless_kernels::{DistanceRows, Floats, Offsets, Precision, WithinSpec};

impl EncoderDevice for CpuDevice {
    fn share(&self, threads: usize) -> Option<Box<dyn EncoderDevice>> {
        let options = CpuOptions { kernels: self.cpu.kernels, threads, precision: self.precision };
        let mut other = CpuDevice::new(options);
        other.matrices = self.matrices.clone();
        other.vectors = self.vectors.clone();
        other.offsets = self.offsets.clone();
        other.ropes = self.ropes.clone();
        other.buffers =
            self.buffers.iter().map(|b| Buffer { width: b.width, data: Floats::default() }).collect();
        Some(Box::new(other))
    }

    fn offsets(&mut self, source: &OffsetSource<'_>) -> Result<OffsetsId, DeviceError> {
        let offsets = match *source {
            OffsetSource::Bias { heads, values } => Offsets::bias(heads, values.to_vec()),
            OffsetSource::Products { heads, keys, queries, rows } => {
                let table = |buf: Option<BufId>| buf.map(|b| &self.buf(b).data[..]);
                let width = keys.or(queries).map_or(heads, |b| self.buf(b).width);
                Offsets::products(&DistanceRows {
                    heads,
                    dim: width / heads,
                    keys: table(keys),
                    queries: table(queries),
                    columns: rows,
                })
            }
        };
        Ok(OffsetsId(handle(self.offsets.alone()?, offsets)))
    }

    fn linear_then(&mut self, op: &Linear<'_>, act: Activation) -> Result<(), DeviceError> {
        if let Some(rounding) = self.rounding(op.projections.iter().map(|p| p.matrix)) {
            self.linear_rounded(op, rounding, Some(act));
            return Ok(());
        }
        self.linear(op)?;
        op.projections.iter().try_for_each(|p| self.activate(op.rows, act, p.out))
    }

    fn resize(&mut self, buf: BufId, tokens: usize) -> Result<(), DeviceError> {
        let width = self.buf(buf).width;
        let len = tokens.saturating_mul(width);
        let data = Floats::try_zeroed(len).ok_or_else(|| DeviceError::OutOfMemory {
            device: self.name(),
            bytes: (len as u64).saturating_mul(4),
            what: format!("activations of {tokens} tokens"),
            holding: String::new(),
        })?;
        self.scratch = None;
        self.buffers[buf.0 as usize] = Buffer { width, data };
        Ok(())
    }

    fn gather(&mut self, op: &Gather<'_>) -> Result<(), DeviceError> {
        let width = self.buf(op.out).width;
        let mut out = self.take(op.out);
        let mut values = vec![0.0; width];
        let table = &self.matrices[op.table.0 as usize];
        let found = out.chunks_exact_mut(width).zip(op.rows).try_for_each(|(to, &row)| {
            match op.store {
                Store::Set => table.decode_row(row as usize, &mut self.row, to)?,
                Store::Add => {
                    table.decode_row(row as usize, &mut self.row, &mut values)?;
                    to.iter_mut().zip(&values).for_each(|(to, x)| *to += x);
                }
            }
            Ok(())
        });
        self.give(op.out, out);
        found
    }

    fn unfold(&mut self, op: &Unfold) -> Result<(), DeviceError> {
        let width = self.buf(op.input).width;
        let mut out = self.take(op.out);
        let input = &self.buf(op.input).data;
        for text in self.step.texts() {
            for token in text.clone() {
                let row = &mut out[token * op.taps * width..][..op.taps * width];
                for (tap, to) in row.chunks_exact_mut(width).enumerate() {
                    match (token + tap).checked_sub(op.taps / 2).filter(|from| text.contains(from)) {
                        Some(from) => to.copy_from_slice(&input[from * width..][..width]),
                        None => to.fill(0.0),
                    }
                }
            }
        }
        self.give(op.out, out);
        Ok(())
    }

    fn attend_within(&mut self, op: &AttendWithin) -> Result<(), DeviceError> {
        let width = self.buf(op.q).width;
        let dim = width / op.heads;
        if let Some(rope) = op.rope {
            for buf in [op.q, op.k] {
                self.rotate(buf, op.heads, dim, rope);
            }
        }
        let len = self.step.positions.len() * width;
        let texts: Vec<_> = self.step.texts().collect();
        let halves = op.halves && self.precision == Precision::Fast;
        let offsets = op.offsets.map(|o| &self.offsets[o.0 as usize]);
        let spec = WithinSpec { heads: op.heads, dim, scale: op.scale, window: op.window, offsets, halves };
        let mut out = std::mem::take(&mut self.buffers[op.out.0 as usize].data);
        let rows = |buf: BufId| &self.buf(buf).data[..len];
        self.cpu.attend_within(&texts, [rows(op.q), rows(op.k), rows(op.v)], &spec, &mut out[..len]);
        self.give(op.out, out);
        Ok(())
    }

    fn pool_rows(&mut self, op: &PoolRows<'_>) -> Result<(), DeviceError> {
        let width = self.buf(op.input).width;
        let mut out = self.take(op.out);
        for (to, text) in out.chunks_exact_mut(width).zip(op.texts) {
            pool(&self.buf(op.input).data, text, op.kind, to);
        }
        self.give(op.out, out);
        Ok(())
    }
}

/// Sums are kept in f64: a text may have thousands of rows.
fn pool(input: &[f32], text: &Range<usize>, kind: PoolKind, to: &mut [f32]) {
    let width = to.len();
    let rows = input[text.start * width..text.end * width].chunks_exact(width);
    let n = text.len() as f64;
    let (start, divisor) = match kind {
        PoolKind::Mean => (0.0, n),
        PoolKind::MeanSqrt => (0.0, n.sqrt()),
        PoolKind::Weighted => (0.0, n * (n + 1.0) / 2.0),
        PoolKind::Max => (f64::NEG_INFINITY, 1.0),
    };
    let mut sums = vec![start; width];
    for (i, row) in rows.enumerate() {
        let weight = if kind == PoolKind::Weighted { (i + 1) as f64 } else { 1.0 };
        for (sum, &x) in sums.iter_mut().zip(row) {
            let x = f64::from(x);
            *sum = if kind == PoolKind::Max { sum.max(x) } else { *sum + weight * x };
        }
    }
    to.iter_mut().zip(sums).for_each(|(to, sum)| *to = (sum / divisor) as f32);
}
