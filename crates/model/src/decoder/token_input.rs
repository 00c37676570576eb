//! What layers get from the token itself, beside the residual stream: a second embedding with a part for each layer.

use super::{Decoder, Layer, Stream};
use torchless_device::{BufId, Device, DeviceError, Elementwise, Embed, Linear as LinearOp, Store};

impl Decoder {
    /// The inputs of all layers: the second embedding, and a projection of the first one, normed layer by layer, as parts of
    /// equal weight.
    pub(super) fn make_token_inputs(
        &self,
        rows: usize,
        dev: &mut dyn Device,
    ) -> Result<Option<BufId>, DeviceError> {
        let (Some(parts), Some(spec)) = (&self.ends.token_inputs, &self.spec.token_inputs) else {
            return Ok(None);
        };
        let (out, projected) = (parts.inputs, parts.projected);
        let scale = (spec.width as f32).sqrt();
        dev.embed(&Embed { table: parts.table, scale, positions: None, out })?;
        let projections = &[parts.projection.onto(projected, Store::Set)];
        dev.linear(&LinearOp { rows, input: self.buffers.x, norm: None, projections })?;
        dev.elementwise(rows, Elementwise::Scale(1.0 / (self.spec.dim as f32).sqrt()), projected)?;
        dev.norm(rows, projected, &parts.norm, projected)?;
        dev.add(rows, projected, 1.0, out)?;
        dev.elementwise(rows, Elementwise::Scale(std::f32::consts::FRAC_1_SQRT_2), out)?;
        Ok(Some(out))
    }

    /// The layer's own input, gated by the residual stream and added to it, or to those beside it where there are such; then the
    /// layer's factor.
    pub(super) fn add_token_input(
        &self,
        layer: &Layer,
        s: Stream<'_>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        if let (Some(t), Some(by)) = (layer.token_input, s.inputs) {
            let (rows, yielded) = (s.rows, self.buffers.branch);
            let gate = &[t.gate.onto(t.buf, Store::Set)];
            let input = s.beside.map_or(s.x, |beside| beside.copy());
            dev.linear(&LinearOp { rows, input, norm: None, projections: gate })?;
            dev.activate(rows, t.act, t.buf)?;
            dev.elementwise(rows, Elementwise::Multiply { by, first: t.first }, t.buf)?;
            let back = &[t.projection.onto(yielded, Store::Set)];
            dev.linear(&LinearOp { rows, input: t.buf, norm: None, projections: back })?;
            dev.norm(rows, yielded, &t.norm, yielded)?;
            let own = [s.x];
            let to = s.beside.map_or(&own[..], |beside| beside.others());
            to.iter().try_for_each(|to| dev.add(rows, yielded, 1.0, *to))?;
        }
        match layer.output_scale {
            Some(factor) => dev.elementwise(s.rows, Elementwise::Scale(factor), s.x),
            None => Ok(()),
        }
    }
}
