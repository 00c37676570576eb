//! Encoders, written down.

use super::{Recorder, next};
use crate::DeviceError;
use crate::encode::{AttendWithin, EncoderDevice, Gather, OffsetSource, OffsetsId, PoolRows, Unfold};
use crate::ops::{BufId, Store};

impl EncoderDevice for Recorder {
    fn offsets(&mut self, source: &OffsetSource<'_>) -> Result<OffsetsId, DeviceError> {
        let text = match *source {
            OffsetSource::Bias { heads, values } => format!("bias of {heads} heads, {} values", values.len()),
            OffsetSource::Products { heads, keys, queries, rows } => {
                let name = |buf: Option<BufId>| buf.map_or("none".to_owned(), |b| self.buf(b).to_owned());
                let (keys, queries) = (name(keys), name(queries));
                format!("products of {heads} heads, keys {keys}, queries {queries}, {} distances", rows.len())
            }
        };
        self.line(format_args!("offsets {text}"));
        self.offsets.push(text);
        Ok(OffsetsId(next(&self.offsets) - 1))
    }

    fn resize(&mut self, buf: BufId, tokens: usize) -> Result<(), DeviceError> {
        let buf = self.buf(buf).to_owned();
        self.line(format_args!("resize {buf} to {tokens}"));
        Ok(())
    }

    fn gather(&mut self, op: &Gather<'_>) -> Result<(), DeviceError> {
        let (out, table) = (self.buf(op.out).to_owned(), self.matrices[op.table.0 as usize].clone());
        let sign = if op.store == Store::Add { "+=" } else { "=" };
        self.line(format_args!("{out} {sign} rows {:?} of {table}", op.rows));
        Ok(())
    }

    fn unfold(&mut self, op: &Unfold) -> Result<(), DeviceError> {
        let (input, out) = (self.buf(op.input).to_owned(), self.buf(op.out).to_owned());
        self.line(format_args!("{out} = {} neighbours of {input}", op.taps));
        Ok(())
    }

    fn attend_within(&mut self, op: &AttendWithin) -> Result<(), DeviceError> {
        let [q, k, v, out] = [op.q, op.k, op.v, op.out].map(|b| self.buf(b).to_owned());
        let number = |n: Option<u32>| n.map_or("none".to_owned(), |n| n.to_string());
        let (rope, offsets) = (number(op.rope.map(|r| r.0)), number(op.offsets.map(|o| o.0)));
        let window = op.window.map_or(String::new(), |w| format!(" window {w}"));
        let (heads, scale) = (op.heads, op.scale);
        self.line(format_args!(
            "{out} = attend within ({q}, {k}, {v}) heads {heads} rope {rope} offsets {offsets} scale {scale}{window}"
        ));
        Ok(())
    }

    fn pool_rows(&mut self, op: &PoolRows<'_>) -> Result<(), DeviceError> {
        let (input, out) = (self.buf(op.input).to_owned(), self.buf(op.out).to_owned());
        self.line(format_args!("{out} = {:?} of {input} over {:?}", op.kind, op.texts));
        Ok(())
    }
}
