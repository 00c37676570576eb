//! Latent attention: queries are brought to the latents, and sums of latents to values, head by head.

use super::stack::On;
use super::{CpuDevice, apply_norm};
use crate::DeviceError;
use crate::latent::LatentAttend;
use torchless_kernels::{AttendSpec, Floats};

/// Memory of latent attention, kept from step to step.
#[derive(Default)]
pub(super) struct Latent {
    /// Queries as they meet the latents, `[tokens, heads, turned + latent]`.
    q: Floats,
    /// Keys, `[tokens, turned + latent]`.
    k: Floats,
    /// Sums of latents, `[tokens, heads, latent]`.
    mixed: Floats,
    /// Heads first, before and after a product.
    before: Floats,
    after: Floats,
}

/// Sizes of one op.
struct Sizes {
    tokens: usize,
    heads: usize,
    /// Values of a query that has no position, and those that turn.
    plain: usize,
    turned: usize,
    latent: usize,
    value: usize,
}

impl CpuDevice {
    fn sizes(&self, op: &LatentAttend) -> Sizes {
        let (key, value) = (&self.stacks[op.key.0 as usize], &self.stacks[op.value.0 as usize]);
        let width = self.caches[op.cache.0 as usize].shape().k_dim;
        Sizes {
            tokens: self.step.tokens.len(),
            heads: op.heads,
            plain: key.cols,
            turned: width - key.rows,
            latent: key.rows,
            value: value.rows,
        }
    }

    pub(super) fn run_latent(&mut self, op: &LatentAttend) -> Result<(), DeviceError> {
        let s = self.sizes(op);
        let mut latent = std::mem::take(&mut self.latent);
        self.make_keys(op, &s, &mut latent);
        let done = self.meet_latents(op, &s, &mut latent).and_then(|()| {
            self.attend_to_latents(op, &s, &mut latent);
            self.make_values(op, &s, &mut latent)
        });
        self.latent = latent;
        done
    }

    /// Keys: the part that turns, then the normed latent.
    fn make_keys(&mut self, op: &LatentAttend, s: &Sizes, latent: &mut Latent) {
        let (from, to) = (s.latent + s.turned, s.turned + s.latent);
        let kv = &self.buffers[op.kv.0 as usize].data[..s.tokens * from];
        // Heads first is the layout of one head: the latents of all tokens, one after the other.
        let plain = latent.before.room(s.tokens * s.latent);
        self.cpu.heads_first(kv, (1, from), 0..s.latent, plain);
        let normed = latent.after.room(s.tokens * s.latent);
        apply_norm(&self.cpu, &op.norm, &self.vectors, (plain, s.latent), normed);
        let k = latent.k.room(s.tokens * to);
        self.cpu.tokens_first(normed, (1, to), s.turned..to, k);
        let turned = latent.before.room(s.tokens * s.turned);
        self.cpu.heads_first(kv, (1, from), s.latent..from, turned);
        self.cpu.tokens_first(turned, (1, to), 0..s.turned, k);
    }

    /// Queries: the part that turns, then what the key matrices make of the other.
    fn meet_latents(&mut self, op: &LatentAttend, s: &Sizes, latent: &mut Latent) -> Result<(), DeviceError> {
        let (from, to) = (s.plain + s.turned, s.turned + s.latent);
        let q = &self.buffers[op.q.0 as usize].data[..s.tokens * s.heads * from];
        let Latent { q: out, before, after, .. } = latent;
        let out = out.room(s.tokens * s.heads * to);
        let turned = before.room(s.heads * s.tokens * s.turned);
        self.cpu.heads_first(q, (s.heads, from), s.plain..from, turned);
        self.cpu.tokens_first(turned, (s.heads, to), 0..s.turned, out);
        let plain = before.room(s.heads * s.tokens * s.plain);
        self.cpu.heads_first(q, (s.heads, from), 0..s.plain, plain);
        let met = after.room(s.heads * s.tokens * s.latent);
        self.group_heads(s);
        let on = On {
            cpu: &self.cpu,
            stream: &mut self.stream,
            precision: self.precision,
            seen: self.seen.by.as_mut(),
        };
        self.grouped.product(on, (&self.stacks[op.key.0 as usize], None), plain, met)?;
        self.cpu.tokens_first(met, (s.heads, to), s.turned..to, out);
        Ok(())
    }

    fn group_heads(&mut self, s: &Sizes) {
        self.grouped.groups.clear();
        (0..s.heads).for_each(|head| self.grouped.groups.push(head, s.tokens));
    }

    fn attend_to_latents(&mut self, op: &LatentAttend, s: &Sizes, latent: &mut Latent) {
        let width = s.turned + s.latent;
        let rotation = &self.ropes[op.rope.0 as usize];
        let (q, k) = (&mut latent.q[..s.tokens * s.heads * width], &mut latent.k[..s.tokens * width]);
        rotation.apply(&self.cpu, width, q);
        rotation.apply(&self.cpu, width, k);
        let layer = &mut self.caches[op.cache.0 as usize];
        self.step.for_slices(|slices| self.cpu.kv_append(layer, slices, k, &[]));
        let spec = AttendSpec { heads: s.heads, scale: op.scale, window: None, softcap: None, sinks: None };
        let mixed = latent.mixed.room(s.tokens * s.heads * s.latent);
        let layer = &self.caches[op.cache.0 as usize];
        self.step.for_slices(|slices| self.cpu.attend(layer, slices, q, &spec, mixed));
    }

    fn make_values(&mut self, op: &LatentAttend, s: &Sizes, latent: &mut Latent) -> Result<(), DeviceError> {
        let mixed = &latent.mixed[..s.tokens * s.heads * s.latent];
        let sums = latent.before.room(mixed.len());
        self.cpu.heads_first(mixed, (s.heads, s.latent), 0..s.latent, sums);
        let values = latent.after.room(s.heads * s.tokens * s.value);
        self.group_heads(s);
        let on = On {
            cpu: &self.cpu,
            stream: &mut self.stream,
            precision: self.precision,
            seen: self.seen.by.as_mut(),
        };
        self.grouped.product(on, (&self.stacks[op.value.0 as usize], None), sums, values)?;
        let mut out = self.take(op.out);
        let rows = &mut out[..s.tokens * s.heads * s.value];
        self.cpu.tokens_first(values, (s.heads, s.value), 0..s.value, rows);
        self.give(op.out, out);
        Ok(())
    }
}
