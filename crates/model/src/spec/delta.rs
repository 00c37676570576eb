//! Linear attention with a state.

use super::NormSpec;
use torchless_device::StateShape;

/// Gated delta net: a convolution over a few positions, then heads whose states each token decays, corrects and reads. Yang et al.
/// 2024, arXiv 2412.06464.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeltaSpec {
    /// Heads, their widths, and positions of the convolution.
    pub state: StateShape,
    /// Of what the heads yield, head by head, before their gates.
    pub norm: NormSpec,
}

impl DeltaSpec {
    /// Values of queries, keys and values.
    pub fn qkv_width(&self) -> usize {
        self.state.delta.qkv_width()
    }

    /// Values that the heads yield.
    pub fn out_width(&self) -> usize {
        self.state.delta.value_heads * self.state.delta.value_dim
    }

    /// Values that one position takes in buffers, before and after heads are taken apart.
    pub fn inner_width(&self) -> usize {
        3 * self.qkv_width() + 6 * self.out_width() + 4 * self.state.delta.value_heads
    }
}
