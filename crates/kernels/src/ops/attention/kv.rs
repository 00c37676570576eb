//! Storage of keys and values in blocks of token positions.
//!
//! Inside a block keys lie transposed, `[kv_head][k_dim][block_len]`, so that lanes are keys and a query's values are
//! broadcast; values lie as `[kv_head][block_len][v_dim]`, so that lanes are dimensions and weights are broadcast. Neither
//! product needs a sum across lanes. The rows of values are padded to whole registers.

use super::super::disjoint::Disjoint;
use super::packed;
use crate::buffer::AlignedBuf;
use crate::cpu::Cpu;
use crate::lanes::{Lanes, WIDTH};

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvType {
    /// IEEE binary16.
    F16,
    /// IEEE binary32.
    F32,
    /// The upper half of IEEE binary32.
    Bf16,
    /// 8 bits and a scale per 32 values.
    Q8_0,
    /// 4 bits and a scale per 32 values.
    Q4_0,
}

impl KvType {
    /// Bits of a code, of the types that have such.
    fn code_bits(self) -> Option<usize> {
        match self {
            KvType::Q8_0 => Some(8),
            KvType::Q4_0 => Some(4),
            KvType::F16 | KvType::F32 | KvType::Bf16 => None,
        }
    }
}

/// Where values lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KvValues {
    /// Beside the keys.
    #[default]
    Own,
    /// They are the last `v_dim` values of the keys: latent attention, which keeps one vector for both.
    InKeys,
}

/// The shape of one layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Blocks in the pool.
    pub blocks: usize,
    /// Token positions per block: a multiple of 16.
    pub block_len: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Values per key.
    pub k_dim: usize,
    /// Values per value vector.
    pub v_dim: usize,
    /// How they are kept.
    pub dtype: KvType,
    /// Where values lie.
    pub values: KvValues,
}

/// A shape that no cache can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvShapeError {
    /// The length of a block is no positive multiple of 16.
    #[error("a block of {0} positions: give a positive multiple of {WIDTH}")]
    BlockLen(usize),
    /// There are no heads, or they have no values.
    #[error("{kv_heads} heads with keys of {k_dim} and values of {v_dim}: all must be positive")]
    Empty {
        /// Heads of keys and values.
        kv_heads: usize,
        /// Values per key.
        k_dim: usize,
        /// Values per value vector.
        v_dim: usize,
    },
    /// Values are to lie in keys that are shorter.
    #[error("values of {v_dim} inside keys of {k_dim}: give keys that are as long")]
    LongValues {
        /// Values per key.
        k_dim: usize,
        /// Values per value vector.
        v_dim: usize,
    },
    /// The size in bytes does not fit into the address space.
    #[error(
        "a cache of {0} blocks is more than the address space holds: give fewer blocks or a shorter context"
    )]
    TooLarge(usize),
}

impl KvShape {
    /// Bytes of keys and of values.
    fn bytes(&self) -> Result<(usize, usize), KvShapeError> {
        let Self { blocks, block_len, kv_heads, k_dim, v_dim, dtype, values } = *self;
        if block_len == 0 || !block_len.is_multiple_of(WIDTH) {
            return Err(KvShapeError::BlockLen(block_len));
        }
        if kv_heads == 0 || k_dim == 0 || v_dim == 0 {
            return Err(KvShapeError::Empty { kv_heads, k_dim, v_dim });
        }
        if values == KvValues::InKeys && v_dim > k_dim {
            return Err(KvShapeError::LongValues { k_dim, v_dim });
        }
        let plane = |dim: usize| {
            let position = match dtype {
                KvType::F16 | KvType::Bf16 => dim.checked_mul(2),
                KvType::F32 => dim.checked_mul(4),
                KvType::Q8_0 => packed::position_bytes(8, dim),
                KvType::Q4_0 => packed::position_bytes(4, dim),
            };
            [block_len, kv_heads, position.ok_or(KvShapeError::TooLarge(blocks))?]
                .iter()
                .try_fold(blocks, |product, &factor| product.checked_mul(factor))
                .filter(|&bytes| bytes <= isize::MAX as usize / 2)
                .ok_or(KvShapeError::TooLarge(blocks))
        };
        let padded = v_dim.checked_next_multiple_of(WIDTH).ok_or(KvShapeError::TooLarge(blocks))?;
        let own = match values {
            KvValues::Own if dtype.code_bits().is_some() => plane(v_dim)?,
            KvValues::Own => plane(padded)?,
            KvValues::InKeys => 0,
        };
        Ok((plane(k_dim)?, own))
    }

    /// Values between two rows of value vectors.
    pub(super) fn v_stride(&self) -> usize {
        self.v_dim.next_multiple_of(WIDTH)
    }

    /// Room for the values of one head of a block that have to be taken out of the keys, or out of codes.
    pub(super) fn laid_out_values(&self) -> usize {
        match (self.values, self.dtype.code_bits()) {
            (KvValues::Own, None) => 0,
            (KvValues::InKeys, _) | (_, Some(_)) => self.v_stride() * self.block_len,
        }
    }

    /// Room for the keys of one head of a block that have to be taken out of codes.
    pub(super) fn laid_out_keys(&self) -> usize {
        self.dtype.code_bits().map_or(0, |_| self.k_dim * self.block_len)
    }

    /// Values of one head of a block in the plane of keys, and in that of values.
    pub(super) fn head_lens(&self) -> (usize, usize) {
        (self.k_dim * self.block_len, self.v_stride() * self.block_len)
    }
}

/// Keys and values of one layer for all blocks. Memory is taken from the system when a block is first written.
pub struct KvLayer {
    shape: KvShape,
    k: AlignedBuf,
    v: AlignedBuf,
}

impl KvLayer {
    /// An empty cache.
    pub fn new(shape: KvShape) -> Result<Self, KvShapeError> {
        let (k, v) = shape.bytes()?;
        Ok(Self { shape, k: AlignedBuf::zeroed(k), v: AlignedBuf::zeroed(v) })
    }

    /// What it was made for.
    pub fn shape(&self) -> &KvShape {
        &self.shape
    }

    /// Bytes that it takes when every block has been written.
    pub fn bytes(&self) -> usize {
        self.k.len() + self.v.len()
    }

    /// Copies all of block `from` to block `to`. Panics where there is no such block.
    pub fn copy_block(&mut self, from: u32, to: u32) {
        let blocks = self.shape.blocks;
        for plane in [&mut self.k, &mut self.v] {
            let (from, to) = (from as usize, to as usize);
            assert!(from < blocks && to < blocks, "copy_block: {from} to {to} of {blocks} blocks");
            let len = plane.len() / blocks;
            plane.as_mut_slice().copy_within(from * len..(from + 1) * len, to * len);
        }
    }

    /// The plane of keys.
    pub(super) fn key_bytes(&self) -> &[u8] {
        self.k.as_slice()
    }

    /// The plane of values.
    pub(super) fn value_bytes(&self) -> &[u8] {
        self.v.as_slice()
    }

    /// Both planes, to write to.
    pub(super) fn bytes_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        (self.k.as_mut_slice(), self.v.as_mut_slice())
    }

    /// The planes of keys and values, for the elements that the cache has.
    pub(super) fn planes<E: Element>(&self) -> (&[E], &[E]) {
        debug_assert_eq!(E::DTYPE, self.shape.dtype);
        (view(self.k.as_slice()), view(self.v.as_slice()))
    }

    fn planes_mut<E: Element>(&mut self) -> (&mut [E], &mut [E]) {
        debug_assert_eq!(E::DTYPE, self.shape.dtype);
        (view_mut(self.k.as_mut_slice()), view_mut(self.v.as_mut_slice()))
    }
}

/// A number as the cache keeps it. Any bits are a value of it.
pub(crate) trait Element: Copy + Send + Sync {
    const DTYPE: KvType;
    fn load<L: Lanes>(l: L, from: &[Self; WIDTH]) -> L::V;
    fn narrow(cpu: &Cpu, x: &[f32], out: &mut [Self]);
}

/// The bits of an IEEE binary16.
impl Element for u16 {
    const DTYPE: KvType = KvType::F16;

    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; WIDTH]) -> L::V {
        l.load_f16(from)
    }

    fn narrow(cpu: &Cpu, x: &[f32], out: &mut [Self]) {
        (cpu.kernels.ops.to_f16)(x, out);
    }
}

/// The upper half of an IEEE binary32, ties to even.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

impl Element for Bf16 {
    const DTYPE: KvType = KvType::Bf16;

    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; WIDTH]) -> L::V {
        let mut wide = [0.0; WIDTH];
        for i in 0..WIDTH {
            wide[i] = f32::from_bits(u32::from(from[i].0) << 16);
        }
        l.load(&wide)
    }

    fn narrow(_: &Cpu, x: &[f32], out: &mut [Self]) {
        for (out, x) in out.iter_mut().zip(x) {
            out.0 = half::bf16::from_f32(*x).to_bits();
        }
    }
}

impl Element for f32 {
    const DTYPE: KvType = KvType::F32;

    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; WIDTH]) -> L::V {
        l.load(from)
    }

    fn narrow(_: &Cpu, x: &[f32], out: &mut [Self]) {
        out.copy_from_slice(x);
    }
}

fn view<E: Element>(bytes: &[u8]) -> &[E] {
    // SAFETY: any bits are an `Element`; the buffer is aligned to 64 bytes, so nothing is cut off.
    let (before, all, after) = unsafe { bytes.align_to::<E>() };
    debug_assert!(before.is_empty() && after.is_empty());
    all
}

fn view_mut<E: Element>(bytes: &mut [u8]) -> &mut [E] {
    // SAFETY: as in `view`.
    let (before, all, after) = unsafe { bytes.align_to_mut::<E>() };
    debug_assert!(before.is_empty() && after.is_empty());
    all
}

/// Consecutive tokens of one sequence in a step.
#[derive(Clone, Copy, Debug)]
pub struct KvSlice<'a> {
    /// The first row of the step's matrices that belongs to them.
    pub first_row: usize,
    /// How many tokens.
    pub n_tokens: usize,
    /// The position of the first one in its sequence.
    pub start_pos: usize,
    /// The blocks of the sequence in order, up to the last position at least.
    pub blocks: &'a [u32],
}

impl KvSlice<'_> {
    /// Panics where rows, positions or blocks lie outside of what there is.
    pub(super) fn check(&self, shape: &KvShape, rows: usize) {
        assert!(self.first_row <= rows && self.n_tokens <= rows - self.first_row, "{self:?}: {rows} rows");
        let end = self.start_pos.checked_add(self.n_tokens);
        let room = self.blocks.len().saturating_mul(shape.block_len);
        assert!(end.is_some_and(|end| end <= room), "{self:?}: blocks of {}", shape.block_len);
        assert!(
            self.blocks.iter().all(|&b| (b as usize) < shape.blocks),
            "{self:?}: {} blocks",
            shape.blocks
        );
    }
}

impl Cpu {
    /// Writes keys `[n, kv_heads * k_dim]` and values `[n, kv_heads * v_dim]` of the step's tokens into the blocks of their
    /// sequences; there are no values where they lie in the keys. Panics where lengths do not agree or positions lie outside of the blocks.
    pub fn kv_append(&self, layer: &mut KvLayer, slices: &[KvSlice<'_>], k: &[f32], v: &[f32]) {
        match layer.shape.dtype {
            KvType::F16 => append::<u16>(self, layer, slices, k, v),
            KvType::F32 => append::<f32>(self, layer, slices, k, v),
            KvType::Bf16 => append::<Bf16>(self, layer, slices, k, v),
            KvType::Q8_0 => append_codes::<8>(self, layer, slices, k, v),
            KvType::Q4_0 => append_codes::<4>(self, layer, slices, k, v),
        }
    }
}

/// As [`append`], for keys and values in codes.
fn append_codes<const BITS: usize>(
    cpu: &Cpu,
    layer: &mut KvLayer,
    slices: &[KvSlice<'_>],
    k: &[f32],
    v: &[f32],
) {
    let shape = layer.shape;
    let (k_row, v_row) = checked_rows(&shape, slices, (k, v));
    let ((keys, k_len), (values, v_len)) = packed::heads::<BITS>(layer);
    let (keys, values) = (Disjoint::new(keys), Disjoint::new(values));
    let write_head = |head: usize| {
        for (row, block, at) in tokens(slices, shape.block_len) {
            let unit = block * shape.kv_heads + head;
            // SAFETY: a head of a block is written by the one chunk that has the head, one token after the other.
            let to = unsafe { keys.part(unit * k_len, k_len) };
            let key = &k[row * k_row + head * shape.k_dim..][..shape.k_dim];
            packed::write_key::<BITS>(key, to, (shape.block_len, at));
            if v_row > 0 {
                // SAFETY: as above.
                let to = unsafe { values.part(unit * v_len, v_len) };
                let value = &v[row * v_row + head * shape.v_dim..][..shape.v_dim];
                packed::write_value::<BITS>(value, to, (shape.block_len, at));
            }
        }
    };
    cpu.for_chunks(shape.kv_heads, &|_, head| write_head(head));
}

/// Values of a row of keys and of one of values (0 where these lie in the keys), after a check of all lengths.
fn checked_rows(shape: &KvShape, slices: &[KvSlice<'_>], (k, v): (&[f32], &[f32])) -> (usize, usize) {
    let own = shape.values == KvValues::Own;
    let (k_row, v_row) = (shape.kv_heads * shape.k_dim, if own { shape.kv_heads * shape.v_dim } else { 0 });
    let rows = k.len() / k_row;
    assert_eq!((k.len(), v.len()), (rows * k_row, rows * v_row), "kv_append: keys and values");
    slices.iter().for_each(|slice| slice.check(shape, rows));
    (k_row, v_row)
}

fn append<E: Element>(cpu: &Cpu, layer: &mut KvLayer, slices: &[KvSlice<'_>], k: &[f32], v: &[f32]) {
    let shape = layer.shape;
    let (k_row, v_row) = checked_rows(&shape, slices, (k, v));
    let rows = k.len() / k_row;
    let (k_len, v_len) = shape.head_lens();
    let (k_plane, v_plane) = layer.planes_mut::<E>();
    let (k_plane, v_plane) = (Disjoint::new(k_plane), Disjoint::new(v_plane));
    let write_head = |head: usize| {
        for (row, block, at) in tokens(slices, shape.block_len) {
            let unit = block * shape.kv_heads + head;
            // SAFETY: a head of a block is written by the one chunk that has the head, one token after the other.
            let keys = unsafe { k_plane.part(unit * k_len, k_len) };
            write_key(
                cpu,
                &k[row * k_row + head * shape.k_dim..][..shape.k_dim],
                &mut keys[at..],
                shape.block_len,
            );
            if v_row == 0 {
                continue;
            }
            // SAFETY: as above.
            let values = unsafe { v_plane.part(unit * v_len, v_len) };
            let to = &mut values[at * shape.v_stride()..][..shape.v_dim];
            E::narrow(cpu, &v[row * v_row + head * shape.v_dim..][..shape.v_dim], to);
        }
    };
    if rows <= 4 {
        (0..shape.kv_heads).for_each(write_head);
    } else {
        cpu.for_chunks(shape.kv_heads, &|_, head| write_head(head));
    }
}

/// Row, block and place in the block of each token.
fn tokens(slices: &[KvSlice<'_>], block_len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    slices.iter().flat_map(move |slice| {
        (0..slice.n_tokens).map(move |i| {
            let position = slice.start_pos + i;
            (slice.first_row + i, slice.blocks[position / block_len] as usize, position % block_len)
        })
    })
}

/// Writes a key into its column.
fn write_key<E: Element>(cpu: &Cpu, key: &[f32], column: &mut [E], block_len: usize) {
    let Some(&first) = column.first() else { return };
    let mut narrow = [first; 64];
    let places = &mut column.chunks_mut(block_len);
    for part in key.chunks(narrow.len()) {
        let narrow = &mut narrow[..part.len()];
        E::narrow(cpu, part, narrow);
        for (value, place) in narrow.iter().zip(&mut *places) {
            place[0] = *value;
        }
    }
}
