//! What the kernels need of an instruction set, as operations on 16 lanes: the rows of one strip.

pub(crate) mod scalar;

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod amx_halves;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_tile;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_eight;
#[cfg(target_arch = "x86_64")]
mod avx512_floats;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_pairs;

use super::acts;
use super::tile::Tile;
use super::weights::Weights;
use torchless_quant::TensorType;

/// Rows of codes and of what goes with them that may be read, but are not used, behind the last panel.
pub(crate) const PANEL_SLACK: usize = 16;

/// What matrix instructions multiply.
#[derive(Clone, Copy)]
pub(crate) enum MatrixProbe {
    /// 8-bit integers.
    Bytes,
    /// bf16.
    Halves,
}

/// What [`super::table::Halves`] has besides repacking.
pub(crate) struct HalvesKernels {
    pub(crate) direct: unsafe fn(&Tile),
    pub(crate) unpack: Option<unsafe fn(*const u8, usize, *mut u8)>,
    pub(crate) tile: unsafe fn(&Tile),
}

/// Sixteen lanes of 32 bits, as words (which may hold four bytes each) and as floats.
///
/// Implementations are inlined into functions that enable the instruction set; calling them elsewhere would be wrong on
/// two counts, the processor's and the speed's.
///
/// # Safety
/// Every method requires that the processor has the instruction set of the implementation; those that take a pointer also
/// that the bytes named in their description may be read or written. Pointers need no alignment.
pub(crate) trait Isa: Copy + 'static {
    /// 16 words.
    type Words: Copy;
    /// 16 floats.
    type Floats: Copy;

    /// Tokens that a tile of two strips holds in registers, with integer and float accumulators.
    const INT_WIDTH: usize;
    /// The same with float accumulators alone.
    const FLOAT_WIDTH: usize;
    /// Tokens up to which weights are read once, strip by strip, in their packed form. No more than either width.
    const DIRECT: usize = if Self::INT_WIDTH < 4 { Self::INT_WIDTH } else { 4 };

    /// Reads 64 bytes.
    unsafe fn load(p: *const u8) -> Self::Words;
    /// Writes 64 bytes.
    unsafe fn store(p: *mut u8, v: Self::Words);
    /// The same word in all lanes.
    unsafe fn splat(v: u32) -> Self::Words;
    /// Logical shift right of each word.
    unsafe fn shr(v: Self::Words, n: u32) -> Self::Words;
    /// Arithmetic shift right of each word.
    unsafe fn sar(v: Self::Words, n: u32) -> Self::Words;
    /// Shift left of each word.
    unsafe fn shl(v: Self::Words, n: u32) -> Self::Words;
    /// Bitwise and.
    unsafe fn and(a: Self::Words, b: Self::Words) -> Self::Words;
    /// Bitwise or.
    unsafe fn or(a: Self::Words, b: Self::Words) -> Self::Words;
    /// Sum of bytes, wrapping.
    unsafe fn add_bytes(a: Self::Words, b: Self::Words) -> Self::Words;
    /// Difference of words, wrapping.
    unsafe fn sub(a: Self::Words, b: Self::Words) -> Self::Words;
    /// Each byte (below 16) replaced by the table's.
    unsafe fn lookup(v: Self::Words, table: &[u8; 16]) -> Self::Words;

    /// Reads 4 bytes into all lanes.
    unsafe fn quad(p: *const i8) -> Self::Words;
    /// The accumulator with which `dot_offset` begins: `p` leads to -128 times the sum of the activations.
    unsafe fn start_offset(p: *const i32) -> Self::Words;
    /// `acc + sum of (w - 128) * a` over the four bytes of each lane, on top of `start_offset`: `w` unsigned, `a` signed
    /// and above -128.
    unsafe fn dot_offset(acc: Self::Words, w: Self::Words, a: Self::Words) -> Self::Words;
    /// `acc + sum of w * a` over the four bytes of each lane; `w` in `0..=31`, `a` signed.
    unsafe fn dot_small(acc: Self::Words, w: Self::Words, a: Self::Words) -> Self::Words;

    /// Whether products of narrow codes are added up in words of 16 bits first, by [`Isa::add_products`], as there is no
    /// instruction that brings them to 32 bits at once. Unpacked codes of eight bits are signed there.
    const NARROW: bool = false;
    /// `acc + w * a` in words of 16 bits, two bytes each; `w` unsigned, `a` signed, and no sum beyond 16 bits. Only called where
    /// [`Isa::NARROW`].
    unsafe fn add_products(acc: Self::Words, _w: Self::Words, _a: Self::Words) -> Self::Words {
        acc
    }
    /// `acc` plus both halves of each word of `sums`, signed. Only called where [`Isa::NARROW`].
    unsafe fn add_halves(acc: Self::Words, _sums: Self::Words) -> Self::Words {
        acc
    }
    /// The tile for unpacked codes of `W`, where the instruction set has one of its own.
    fn own_tile<W: Weights>() -> Option<unsafe fn(&Tile)> {
        None
    }

    /// Signed words as floats.
    unsafe fn to_floats(v: Self::Words) -> Self::Floats;
    /// The bits of the words taken for floats.
    unsafe fn as_floats(v: Self::Words) -> Self::Floats;
    /// Reads 16 floats.
    unsafe fn load_floats(p: *const f32) -> Self::Floats;
    /// Writes 16 floats.
    unsafe fn store_floats(p: *mut f32, v: Self::Floats);
    /// Reads 16 half-precision floats, 32 bytes.
    unsafe fn load_halves(p: *const u8) -> Self::Floats;
    /// The same float in all lanes.
    unsafe fn splat_float(v: f32) -> Self::Floats;
    /// Sum.
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Product.
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Quotient.
    unsafe fn div(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`, fused where the instruction set fuses.
    unsafe fn fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;

    /// Reads the word at byte `at` of each of 16 rows.
    #[inline(always)]
    unsafe fn gather_word(rows: &[*const u8; 16], at: usize) -> Self::Words {
        let mut lanes = [0_u32; 16];
        for (lane, row) in lanes.iter_mut().zip(rows) {
            // SAFETY: 4 readable bytes from `at` on in each row.
            *lane = unsafe { row.add(at).cast::<u32>().read_unaligned() };
        }
        // SAFETY: the lanes are 64 bytes.
        unsafe { Self::load(lanes.as_ptr().cast()) }
    }
    /// Reads the four words from byte `at` on of each of 16 rows.
    #[inline(always)]
    unsafe fn gather_words(rows: &[*const u8; 16], at: usize) -> [Self::Words; 4] {
        // SAFETY: 16 readable bytes from `at` on in each row.
        unsafe {
            [
                Self::gather_word(rows, at),
                Self::gather_word(rows, at + 4),
                Self::gather_word(rows, at + 8),
                Self::gather_word(rows, at + 12),
            ]
        }
    }
    /// Writes the low half of each word, 32 bytes.
    unsafe fn store_halves(p: *mut u8, v: Self::Words);

    /// The 8-bit form of a block of activations, the same for every instruction set where all values are finite.
    #[inline(always)]
    unsafe fn quantise_block(x: &[f32; acts::BLOCK]) -> acts::Block {
        acts::quantise_block(x)
    }

    /// Whether there is [`Isa::int_pairs`]. Unpacked codes are then signed where they would otherwise be numbers plus 128, and go through
    /// [`Isa::zip`].
    const PAIRS: bool = false;

    /// Four columns and the next four, as the two vectors that are stored of them.
    ///
    /// # Safety
    /// As the trait.
    unsafe fn zip(_first: Self::Words, _second: Self::Words) -> [Self::Words; 2] {
        unreachable!("asked for only where PAIRS says so")
    }

    /// [`super::tile::int_tile`] of two strips of [`super::weights::Unpacked`] by products of pairs of rows with pairs of tokens: the
    /// same sums, and so the same bits.
    ///
    /// # Safety
    /// As the trait and as `int_tile`.
    unsafe fn int_pairs<const SUB: usize, const MIN: bool>(_tile: &Tile) {
        unreachable!("asked for only where PAIRS says so")
    }

    /// So many products of pairs by eight columns, to find the ceiling; asked for only where [`Isa::PAIRS`] says so.
    ///
    /// # Safety
    /// As the trait.
    unsafe fn pairs_probe(_products: usize) -> u32 {
        unreachable!("asked for only where PAIRS says so")
    }

    /// Whether there is [`Isa::int_matrix`]. Unpacked codes are then signed where they would otherwise be numbers plus 128.
    const MATRIX: bool = false;

    /// Makes this thread ready for [`Isa::int_matrix`] with sub-blocks of `_sub` columns and panels of up to `_width` tokens.
    ///
    /// # Safety
    /// As the trait.
    unsafe fn open_matrix(_sub: usize, _width: usize) {}

    /// Ends what [`Isa::open_matrix`] began.
    ///
    /// # Safety
    /// As the trait.
    unsafe fn close_matrix() {}

    /// [`super::tile::int_tile`] of two strips of [`super::weights::Unpacked`] by matrix instructions: the same sums, and so the
    /// same bits.
    ///
    /// # Safety
    /// As the trait and as `int_tile`; this thread is open for such sub-blocks and panels. Panels have [`PANEL_SLACK`] behind them.
    unsafe fn int_matrix<const SUB: usize, const MIN: bool>(_tile: &Tile) {
        unreachable!("asked for only where MATRIX says so")
    }

    /// So many products of 16 x 16 sums by 64 bytes, to find the ceiling; asked for only where [`Isa::MATRIX`] says so.
    ///
    /// # Safety
    /// As the trait.
    unsafe fn matrix_probe(_kind: MatrixProbe, _products: usize) {
        unreachable!("asked for only where MATRIX says so")
    }

    /// The kernels of a floating-point type for [`super::table::Halves`].
    fn halves_kernels(_ty: TensorType) -> Option<HalvesKernels> {
        None
    }

    /// Whether there are [`Isa::repack_eight`] and [`Isa::add_eight`].
    const EIGHT: bool = false;

    /// Eight blocks of 18 bytes (a half and 16 bytes of codes) from byte `at` of each row, to four units of 576 bytes: the words
    /// of two blocks as vectors of 16 rows, then their halves. Meanwhile the 2304 bytes from `next` on, which need not be
    /// readable, are asked for.
    ///
    /// # Safety
    /// As the trait; 144 readable bytes from `at` on in each row, 4 * 576 writable bytes at `units`.
    unsafe fn repack_eight(_rows: &[*const u8; 16], _at: usize, _units: *mut u8, _next: *const u8) {
        unreachable!("asked for only where EIGHT says so")
    }

    /// `acc` and the products of eight such blocks with `T` rows of activations: `acc = fma(dot, scale_w * scale_a, acc)` block after block,
    /// which gives the bits that [`super::tile::int_tile`] does. Codes are places in `levels` (of numbers plus 128), or
    /// numbers plus 8. `next` is as above.
    ///
    /// # Safety
    /// As the trait; 144 readable bytes from `at` on in each row; `a` leads to eight blocks of activations.
    unsafe fn add_eight<const T: usize>(
        _acc: [Self::Floats; T],
        (_rows, _at): (&[*const u8; 16], usize),
        _a: &[Eight; T],
        _levels: Option<&[u8; 16]>,
        _next: *const u8,
    ) -> [Self::Floats; T] {
        unreachable!("asked for only where EIGHT says so")
    }

    /// Two strips of `F32` by a panel in a form of its own, with the same result; `false` where there is none for that width.
    ///
    /// # Safety
    /// As [`super::tile::float_tile`] with two strips.
    #[inline(always)]
    unsafe fn pair_of_floats(_tile: &super::tile::Tile) -> bool {
        false
    }

    /// Asks for the cache line of `p`, which need not be readable.
    unsafe fn prefetch(p: *const u8);
    /// The same for a line that is needed later: it need not come nearer than the second cache.
    unsafe fn prefetch_far(p: *const u8);
}

/// One row of activations for eight blocks of 32 columns.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "read where eight blocks are taken at once")
)]
pub(crate) struct Eight {
    /// 256 codes.
    pub(crate) codes: *const i8,
    /// A scale per block.
    pub(crate) scales: *const f32,
    /// -128 times the sum of the codes, per block.
    pub(crate) offsets: *const i32,
}
