//! Rows of a table of embeddings.

use super::disjoint::for_rows;
use crate::cpu::Cpu;
use crate::matmul::{Layout, MatrixRef};

impl Cpu {
    /// Decodes row `ids[i]` of `table`, `[vocab, dim]` in the layout of the file, into row `i` of `out`, `[n, dim]`.
    /// Panics where the lengths do not agree, the table is packed or there is no such row.
    pub fn embed(&self, table: &MatrixRef<'_>, ids: &[u32], out: &mut [f32]) {
        assert_eq!(table.layout, Layout::File, "embed: layout");
        assert_eq!(out.len(), ids.len() * table.cols, "embed: output");
        let (data, scales) = (table.data.len() / table.rows, table.scales.len() / table.rows);
        for_rows(self, out, table.cols, &|i, row| {
            let id = ids[i] as usize;
            assert!(id < table.rows, "embed: row {id} of {}", table.rows);
            table.ty.decode(&table.data[id * data..][..data], &table.scales[id * scales..][..scales], row);
        });
    }
}
