//! Latent attention: queries are brought to the latents, and sums of latents to values, head by head.

use super::attention::Query;
use super::matmul::Product;
use super::queue::{Args, Grid};
use super::{GpuDevice, Rows};
use crate::driver::MemoryId;
use torchless_device::{DeviceError, LatentAttend, Store};

/// Sizes of one op.
struct Sizes {
    rows: usize,
    heads: usize,
    /// Values of a query that has no position, and those that turn.
    plain: usize,
    turned: usize,
    latent: usize,
    value: usize,
}

impl GpuDevice {
    pub(super) fn run_latent(&mut self, op: &LatentAttend) -> Result<(), DeviceError> {
        let (key, value) = (self.stacks[op.key.0 as usize], self.stacks[op.value.0 as usize]);
        let width = self.caches[op.cache.0 as usize].shape.k_dim;
        let s = Sizes {
            rows: self.step.rows,
            heads: op.heads,
            plain: key.cols,
            turned: width - key.rows,
            latent: key.rows,
            value: value.rows,
        };
        let k = self.make_keys(op, &s)?;
        let q = self.meet_latents(op, &s)?;
        let cache = &self.caches[op.cache.0 as usize];
        let (family, keys) = ((cache.shape.ty, cache.family()), cache.keys);
        self.append(family, (k, keys), (1, width))?;
        let mixed = self.floats(|r| &mut r.mixed, s.rows * s.heads * s.latent, "sums of latents")?;
        self.attend_to(&Query {
            q,
            out: mixed,
            cache: op.cache.0 as usize,
            heads: op.heads,
            scale: op.scale,
            window: None,
            softcap: None,
            sinks: None,
        })?;
        let product = Product {
            x: mixed,
            y: self.buf(op.out).memory,
            rows: s.rows,
            x_stride: s.heads * s.latent,
            y_stride: s.heads * s.value,
            x_at: 0,
            y_at: 0,
            x_step: s.latent,
            y_step: s.value,
            bias: None,
            store: Store::Set,
        };
        self.multiply(&value, &product)
    }

    /// Keys: the part that turns, then the normed latent.
    fn make_keys(&mut self, op: &LatentAttend, s: &Sizes) -> Result<MemoryId, DeviceError> {
        let (kv, width) = (self.buf(op.kv).memory, s.turned + s.latent);
        let k = self.floats(|r| &mut r.latent_k, s.rows * width, "keys of latents")?;
        let rows = Rows {
            count: s.rows,
            width: s.latent,
            x_stride: width,
            y_stride: width,
            x_at: 0,
            y_at: s.turned,
        };
        self.norm_rows(&op.norm, kv, k, rows)?;
        let count = s.rows * s.turned;
        let args = Args::of(&[kv, k]).ints(&[width, width, s.latent, width, width, 0, s.turned, 1, count]);
        self.op("move_heads", Grid::Threads(count), args)?;
        self.rotate(k, (1, width), op.rope)?;
        Ok(k)
    }

    /// Queries: the part that turns, then what the key matrices make of the other.
    fn meet_latents(&mut self, op: &LatentAttend, s: &Sizes) -> Result<MemoryId, DeviceError> {
        let (from, to) = (s.plain + s.turned, s.turned + s.latent);
        let q = self.buf(op.q).memory;
        let out = self.floats(|r| &mut r.latent_q, s.rows * s.heads * to, "queries of latents")?;
        let count = s.rows * s.heads * s.turned;
        let args = Args::of(&[q, out]).ints(&[s.heads * from, from, s.plain, s.heads * to, to, 0]);
        self.op("move_heads", Grid::Threads(count), args.ints(&[s.turned, s.heads, count]))?;
        let product = Product {
            x: q,
            y: out,
            rows: s.rows,
            x_stride: s.heads * from,
            y_stride: s.heads * to,
            x_at: 0,
            y_at: s.turned,
            x_step: from,
            y_step: to,
            bias: None,
            store: Store::Set,
        };
        let key = self.stacks[op.key.0 as usize];
        self.multiply(&key, &product)?;
        self.rotate(out, (s.heads, to), op.rope)?;
        Ok(out)
    }
}
