//! Products of weights and activations that are both rounded to one kind of number, bf16 or bytes with a scale per row, so that
//! an instruction multiplies and adds many of them and sums stay in registers from the first column to the last.
//!
//! Weights are the packed ones of [`crate::PackedMatrix`] in `BF16`, or in `Q8_0` where all blocks of a row have the same scale.
//! Activations lie row by row. Only tables of kernels with such instructions have these products; [`Cpu::rounding`] says whether
//! there are any. Each sum is one chain over the columns (of integers, where order does not matter), whatever the company of a row.

mod acts;
#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod drive;
#[cfg(test)]
mod tests;

pub use acts::RoundedActs;
pub(crate) use acts::{round_to_pairs, to_half};

use crate::cpu::Cpu;
use crate::matmul::{Layout, MatrixRef, Store};
use crate::table::Kernels;
use crate::{Activation, matmul::tile};
use half::f16;
use half::slice::HalfFloatSliceExt;
use torchless_quant::TensorType;

/// What both sides of a product are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The upper halves of `f32`; sums are `f32`.
    Bf16,
    /// Whole numbers from -127 to 127 with a scale per row of weights and per row of activations; sums are exact.
    Int8,
}

impl Rounding {
    /// Bytes of a value.
    fn bytes(self) -> usize {
        match self {
            Rounding::Bf16 => 2,
            Rounding::Int8 => 1,
        }
    }

    /// Columns in a step of 64 bytes per row.
    fn columns(self) -> usize {
        STEP / self.bytes()
    }

    /// Bytes between two steps of a strip of packed weights: bytes are followed by their scales.
    fn strip_step(self) -> usize {
        match self {
            Rounding::Bf16 => STEP * tile::ROWS,
            Rounding::Int8 => STEP * tile::ROWS + 64,
        }
    }
}

/// Bytes of a row that a step multiplies.
const STEP: usize = 64;
/// Rows of activations that a call of a kernel takes.
pub(crate) const BLOCK: usize = 32;

/// One product `y = act(w x + bias)` or `y += w x + bias`.
pub struct RoundedJob<'a> {
    /// The weights, `[rows, cols]`, packed. Of `Q8_0` all blocks of a row must have the scale of the first.
    pub w: MatrixRef<'a>,
    /// `[rows]`.
    pub bias: Option<&'a [f32]>,
    /// Applied to what replaces `y`; not where it is added.
    pub act: Option<Activation>,
    /// `[n, rows]`, row-major.
    pub y: &'a mut [f32],
    /// Whether `y` is replaced or added to.
    pub store: Store,
}

/// A kernel's operands: up to [`BLOCK`] rows of activations by two strips of weights.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "kernels of other processors do without it")
)]
pub(crate) struct Call {
    /// Rows, `a_stride` bytes apart; up to the next multiple of 16 they may be read.
    pub(crate) a: *const u8,
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    /// Steps of each strip, `b_step` bytes apart.
    pub(crate) b: [*const u8; 2],
    pub(crate) b_step: usize,
    pub(crate) steps: usize,
    /// `[rows][2 strips]` sums, as `f32` or `i32`, rows `sums_stride` bytes apart; up to the next multiple of 16 they may be
    /// written.
    pub(crate) sums: *mut u8,
    pub(crate) sums_stride: usize,
}

/// `[BLOCK][2 strips]` sums, as `f32` or `i32`.
#[repr(align(64))]
struct Sums([[[u32; tile::ROWS]; 2]; BLOCK]);

/// Sums of one strip on their way to the output.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "kernels of other processors do without it")
)]
struct Finish<'a> {
    /// Of the first row and the strip's side; rows are `2 * ROWS` apart.
    sums: *const u32,
    rows: usize,
    /// Of bytes: a factor and a sum of codes for each row. Weights are stored plus 128.
    acts: Option<(&'a [f32], &'a [i32])>,
    /// A factor for each lane.
    scales: [f32; tile::ROWS],
    bias: [f32; tile::ROWS],
    /// The first row's first value, rows `stride` apart.
    y: *mut f32,
    stride: usize,
    /// How many of the lanes exist.
    lanes: usize,
    /// Whether to add to `y` instead of replacing it.
    add: bool,
}

/// The functions for one rounding.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    /// # Safety
    /// The pointers of the call lead to what it says; the processor has the kernel's instructions.
    pub(crate) multiply: unsafe fn(&Call),
    /// # Safety
    /// As `multiply`, and nobody else uses this part of `y` meanwhile.
    finish: unsafe fn(&Finish<'_>),
}

/// The kernel for a rounding that goes with a table.
pub(crate) fn kernel(kernels: &Kernels, rounding: Rounding) -> Option<Kernel> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::sync::OnceLock;
        static FOUND: OnceLock<[Vec<(&str, Kernel)>; 2]> = OnceLock::new();
        let found = FOUND.get_or_init(|| [Rounding::Bf16, Rounding::Int8].map(x86_kernels));
        found[rounding as usize].iter().rfind(|(name, _)| *name == kernels.name).map(|(_, kernel)| *kernel)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (kernels, rounding);
        None
    }
}

/// The kernels that this processor has, by the names of the tables that they go with, the best last. A table for AMX has AMX and what
/// it lacks of AVX-512; where there is no such table, the one of AVX-512 has both.
#[cfg(target_arch = "x86_64")]
fn x86_kernels(rounding: Rounding) -> Vec<(&'static str, Kernel)> {
    let mut found: Vec<(&'static str, Kernel)> = Vec::new();
    let Some(vnni) = crate::table::by_name("avx512-vnni") else { return found };
    let matrices = crate::table::by_name("amx").map_or(vnni.name, |table| table.name);
    let with = |multiply| Kernel { multiply, finish: avx512::finish };
    let vectors = match rounding {
        Rounding::Int8 => Some(with(avx512::int8)),
        Rounding::Bf16 => is_x86_feature_detected!("avx512bf16").then(|| with(avx512::bf16)),
    };
    found.extend(vectors.map(|kernel| (matrices, kernel)));
    found.extend(vectors.map(|kernel| (vnni.name, kernel)));
    if amx::is_allowed(rounding) {
        found.push((matrices, with(if rounding == Rounding::Bf16 { amx::bf16 } else { amx::int8 })));
    }
    found
}

impl Cpu {
    /// What products with packed weights of this type and that many columns round activations to, where the table in use has
    /// instructions for it.
    pub fn rounding(&self, ty: TensorType, cols: usize) -> Option<Rounding> {
        let rounding = match ty {
            TensorType::BF16 => Rounding::Bf16,
            TensorType::Q8_0 => Rounding::Int8,
            _ => return None,
        };
        let whole = cols > 0 && cols.is_multiple_of(rounding.columns()) && cols <= MOST_COLUMNS;
        kernel(self.kernels, rounding).filter(|_| whole).map(|_| rounding)
    }
}

/// Sums of products of bytes stay below 2^31 up to here.
const MOST_COLUMNS: usize = 1 << 16;

/// The rows of scales of a strip of `Q8_0`, from its first unit.
fn strip_scales(w: &MatrixRef<'_>, strip: usize) -> [f32; tile::ROWS] {
    let unit = strip * w.cols / Rounding::Int8.columns() * Rounding::Int8.strip_step();
    let halves = &w.data[unit + STEP * tile::ROWS..][..2 * tile::ROWS];
    let halves: [f16; tile::ROWS] =
        std::array::from_fn(|i| f16::from_le_bytes([halves[2 * i], halves[2 * i + 1]]));
    let mut scales = [0.0; tile::ROWS];
    halves.convert_to_f32_slice(&mut scales);
    scales
}

/// Panics where a job's operands do not have the sizes of their shapes.
fn check(job: &RoundedJob<'_>, x: &RoundedActs) {
    let (n, cols, rounding) = x.shape();
    let ty = if rounding == Rounding::Bf16 { TensorType::BF16 } else { TensorType::Q8_0 };
    assert!(
        job.w.layout == Layout::Strips && job.w.ty == ty,
        "{} in {:?} by {rounding:?}",
        job.w.ty,
        job.w.layout
    );
    assert!(job.w.cols == cols, "a matrix of {} columns by activations of {cols}", job.w.cols);
    let bytes = job.w.rows.div_ceil(tile::ROWS) * (cols / rounding.columns()) * rounding.strip_step();
    assert!(job.w.data.len() >= bytes, "{} bytes of weights, {bytes} wanted", job.w.data.len());
    assert!(job.act.is_none() || job.store == Store::Set, "a function of what is added");
    assert!(job.bias.is_none_or(|bias| bias.len() == job.w.rows), "a bias of another length");
    assert!(Some(job.y.len()) == n.checked_mul(job.w.rows), "an output of {} values", job.y.len());
}
