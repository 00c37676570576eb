//! What the distance of two tokens adds, from its tensors to a table on a device.

use super::super::distances::{bias_bucket, disentangled_row};
use super::super::handles::{Dense, LayerHandles};
use super::super::names::Place;
use super::super::spec::{DisentangledSpec, DistanceMatrices, DistanceSpec, EncoderSpec};
use super::{Loader, check_shape};
use crate::ModelError;
use torchless_base::StepPlan;
use torchless_device::{BufId, Gather, Linear, OffsetSource, OffsetsId, Projection, Store};

/// What distances add.
impl Loader<'_> {
    pub(super) fn distances(
        &mut self,
        distance: &DistanceSpec,
        spec: &EncoderSpec,
        layers: &mut [LayerHandles],
    ) -> Result<(), ModelError> {
        match distance {
            DistanceSpec::Bias { rows } => {
                let id = self.biases(*rows, spec)?;
                layers.iter_mut().for_each(|layer| layer.offsets = Some(id));
                Ok(())
            }
            DistanceSpec::Disentangled(table) => self.disentangled(table, spec, layers),
        }
    }

    /// One table for all layers.
    fn biases(&mut self, rows: usize, spec: &EncoderSpec) -> Result<OffsetsId, ModelError> {
        let heads = spec.layers.first().map_or(1, |l| l.attention.heads);
        let tensor = self.take(&format!("{}.weight", self.stem(self.names.distances)))?;
        check_shape(&tensor, &[rows, heads])?;
        let mut table = vec![0.0; rows * heads];
        table.chunks_exact_mut(heads).enumerate().for_each(|(i, row)| tensor.decode_row(i, row));
        let reach = spec.context as isize - 1;
        let values: Vec<f32> = (0..heads)
            .flat_map(|head| (-reach..=reach).map(move |d| (head, d)))
            .map(|(head, d)| table[bias_bucket(d) * heads + head])
            .collect();
        self.advance(&tensor);
        Ok(self.device.offsets(&OffsetSource::Bias { heads, values: &values })?)
    }

    /// Embedded distances go through matrices of each layer; they are the same for every text, so that is done once.
    fn disentangled(
        &mut self,
        table: &DisentangledSpec,
        spec: &EncoderSpec,
        layers: &mut [LayerHandles],
    ) -> Result<(), ModelError> {
        let rows = 2 * table.span;
        let source = self.table(self.names.distances, [rows, spec.dim])?;
        let norm =
            table.norm.map(|n| self.norm(&self.stem(self.names.distance_norm), n, spec.dim)).transpose()?;
        let mut matrices = Vec::new();
        for (i, layer) in layers.iter().enumerate() {
            matrices.push(self.distance_matrices(i, layer, table, spec)?);
        }
        let embedded = self.device.buffer("distances", rows, spec.dim)?;
        let inner = spec.layers.first().map_or(1, |l| l.attention.heads * l.attention.head_dim);
        let keys = self.device.buffer("distance_keys", rows, inner)?;
        let queries = self.device.buffer("distance_queries", rows, inner)?;
        self.device.begin(&StepPlan::default())?;
        let all: Vec<u32> = (0..rows as u32).collect();
        self.device.gather(&Gather { table: source, rows: &all, out: embedded, store: Store::Set })?;
        if let Some(norm) = norm {
            self.device.norm(rows, embedded, &norm, embedded)?;
        }
        let reach = spec.context as isize - 1;
        let columns: Vec<u32> = (-reach..=reach).map(|d| disentangled_row(-d, table)).collect();
        for (layer, (key, query)) in layers.iter_mut().zip(matrices) {
            let keys = self.embed_distances((embedded, rows), key, keys)?;
            let queries = self.embed_distances((embedded, rows), query, queries)?;
            if keys.or(queries).is_some() {
                let heads = spec.layers[0].attention.heads;
                let source = OffsetSource::Products { heads, keys, queries, rows: &columns };
                layer.offsets = Some(self.device.offsets(&source)?);
            }
        }
        self.device.end()?;
        [embedded, keys, queries].iter().try_for_each(|b| self.device.resize(*b, 0))?;
        Ok(())
    }

    /// What embedded distances go through for queries and for keys.
    fn distance_matrices(
        &mut self,
        i: usize,
        layer: &LayerHandles,
        table: &DisentangledSpec,
        spec: &EncoderSpec,
    ) -> Result<(Option<Dense>, Option<Dense>), ModelError> {
        let a = &spec.layers[i].attention;
        let shape = [a.heads * a.head_dim, spec.dim];
        let (names, shared) = (self.names, table.source == DistanceMatrices::Shared);
        let mut matrix = |wanted: bool, same: Dense, own: Place| match (wanted, shared) {
            (false, _) => Ok(None),
            (true, true) => Ok(Some(same)),
            (true, false) => self.placed(i, own, shape, true).map(Some),
        };
        Ok((
            matrix(table.content_to_position, layer.key, names.distance_key)?,
            matrix(table.position_to_content, layer.query, names.distance_query)?,
        ))
    }

    fn embed_distances(
        &mut self,
        (input, rows): (BufId, usize),
        dense: Option<Dense>,
        out: BufId,
    ) -> Result<Option<BufId>, ModelError> {
        let Some(Dense { matrix, bias }) = dense else { return Ok(None) };
        let projection = Projection { matrix, bias, out, store: Store::Set };
        self.device.linear(&Linear { rows, input, norm: None, projections: &[projection] })?;
        Ok(Some(out))
    }
}
