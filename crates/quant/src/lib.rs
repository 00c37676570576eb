//! Tensor element types: one table row each, with the reference codec.
//!
//! A type says how many values form a block, how many bytes the block takes and how to turn blocks into `f32` and
//! back. The codecs here are the reference that kernels are tested against; they are not the fast path.
//! The block layouts are those of ggml; [`TensorType::Int8G64`] is the one of the native `.bin` format.

#![forbid(unsafe_code)]

mod codebook;
mod encode;
pub mod integers;
mod kblocks;
mod legacy;
mod microscaling;
mod plain;
mod ternary;

pub use legacy::{nearest, nearest_even};

use integers::Integers;
use std::fmt;

/// Decodes whole blocks: `data`, the second plane `scales` (empty for most types), the values.
/// Lengths that do not agree are cut to the shortest; [`TensorType::decode`] checks them.
pub type Decode = fn(&[u8], &[u8], &mut [f32]);

/// Encodes whole blocks: the values, how important each column is (empty: all alike), `data`, the second plane `scales` (empty for
/// most types). Lengths that do not agree are cut to the shortest; [`TensorType::encode_weighted`] checks them.
pub type Encode = fn(&[f32], &[f32], &mut [u8], &mut [u8]);

/// What one tensor type is made of.
#[derive(Clone, Copy)]
pub struct TypeInfo {
    /// The name that files and messages use, such as `Q4_K`.
    pub name: &'static str,
    /// The number of the type in GGUF files, `None` for a type that they cannot hold.
    pub ggml_id: Option<u32>,
    /// Values per block.
    pub block_len: usize,
    /// Bytes per block in the data plane.
    pub block_bytes: usize,
    /// Bytes per block in the second plane, 0 for a type that keeps its scales in the block.
    pub scale_bytes: usize,
    /// The reference decoder.
    pub decode: Decode,
    /// The reference encoder, where the project has one.
    pub encode: Option<Encode>,
    /// Reads a block as integers and scales, for types that kernels take in that form.
    pub integers: Option<Integers>,
}

impl fmt::Debug for TypeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypeInfo")
            .field("name", &self.name)
            .field("ggml_id", &self.ggml_id)
            .field("block_len", &self.block_len)
            .field("block_bytes", &self.block_bytes)
            .field("scale_bytes", &self.scale_bytes)
            .finish_non_exhaustive()
    }
}

macro_rules! or_none {
    () => {
        None
    };
    ($some:path) => {
        Some($some)
    };
}

/// Builds the enum, the list of all its variants and their rows from one table, so that a variant without a row
/// cannot be written.
macro_rules! tensor_types {
    ($($(#[$doc:meta])* $variant:ident($id:expr, $len:expr, $bytes:expr, $scale:expr, $decode:path, $encode:expr
        $(, $integers:path)?);)+) => {
        /// How the values of a tensor are stored.
        #[non_exhaustive]
        #[expect(non_camel_case_types, reason = "the names that the field uses: Q4_0, Q6_K")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum TensorType { $($(#[$doc])* $variant,)+ }

        impl TensorType {
            /// Every type, in the order of the table.
            pub const ALL: &'static [TensorType] = &[$(TensorType::$variant,)+];

            /// The row of this type.
            pub const fn info(self) -> &'static TypeInfo {
                match self {
                    $(TensorType::$variant => &TypeInfo {
                        name: stringify!($variant),
                        ggml_id: $id,
                        block_len: $len,
                        block_bytes: $bytes,
                        scale_bytes: $scale,
                        decode: $decode,
                        encode: $encode,
                        integers: or_none!($($integers)?),
                    },)+
                }
            }
        }
    };
}

tensor_types! {
    /// IEEE 754 binary32.
    F32(Some(0), 1, 4, 0, plain::decode_f32, Some(plain::encode_f32));
    /// IEEE 754 binary16.
    F16(Some(1), 1, 2, 0, plain::decode_f16, Some(plain::encode_f16));
    /// The upper half of binary32.
    BF16(Some(30), 1, 2, 0, plain::decode_bf16, Some(plain::encode_bf16));
    /// 32 values of 4 bits around 8, one scale.
    Q4_0(Some(2), 32, 18, 0, legacy::decode_q4_0, Some(encode::symmetric::encode_q4_0));
    /// 32 values of 4 bits, scale and minimum.
    Q4_1(Some(3), 32, 20, 0, legacy::decode_q4_1, Some(encode::affine::encode_q4_1));
    /// 32 values of 5 bits around 16, one scale.
    Q5_0(Some(6), 32, 22, 0, legacy::decode_q5_0, Some(encode::symmetric::encode_q5_0));
    /// 32 values of 5 bits, scale and minimum.
    Q5_1(Some(7), 32, 24, 0, legacy::decode_q5_1, Some(encode::affine::encode_q5_1));
    /// 32 values of 8 bits, one scale.
    Q8_0(Some(8), 32, 34, 0, legacy::decode_q8_0, Some(legacy::encode_q8_0));
    /// 256 values of 2 bits; 16 sub-blocks with 4-bit scales and minima.
    Q2_K(Some(10), 256, 84, 0, kblocks::decode_q2_k, Some(encode::affine::encode_q2_k));
    /// 256 values of 3 bits; 16 sub-blocks with 6-bit scales.
    Q3_K(Some(11), 256, 110, 0, kblocks::decode_q3_k, Some(encode::symmetric::encode_q3_k));
    /// 256 values of 4 bits; 8 sub-blocks with 6-bit scales and minima.
    Q4_K(Some(12), 256, 144, 0, kblocks::decode_q4_k, Some(encode::affine::encode_q4_k));
    /// 256 values of 5 bits; 8 sub-blocks with 6-bit scales and minima.
    Q5_K(Some(13), 256, 176, 0, kblocks::decode_q5_k, Some(encode::affine::encode_q5_k));
    /// 256 values of 6 bits; 16 sub-blocks with 8-bit scales.
    Q6_K(Some(14), 256, 210, 0, kblocks::decode_q6_k, Some(encode::symmetric::encode_q6_k));
    /// 32 values of 4 bits that index a table of 16 levels, one scale.
    IQ4_NL(Some(20), 32, 18, 0, legacy::decode_iq4_nl, Some(encode::symmetric::encode_iq4_nl));
    /// 256 values of about 1.6 bits: points of a codebook of 2048, moved by an eighth; 8 sub-blocks with 3-bit scales.
    IQ1_S(Some(19), 256, 50, 0, codebook::decode_iq1_s, Some(encode::codebook::encode_iq1_s), codebook::iq1_s);
    /// As `IQ1_S`, with 16 sub-blocks and a move per 8 values.
    IQ1_M(Some(29), 256, 56, 0, codebook::decode_iq1_m, Some(encode::codebook::encode_iq1_m), codebook::iq1_m);
    /// 256 values of about 2 bits: points of a codebook of 256 and signs; 8 sub-blocks with 4-bit scales.
    IQ2_XXS(Some(16), 256, 66, 0, codebook::decode_iq2_xxs, Some(encode::codebook::encode_iq2_xxs), codebook::iq2_xxs);
    /// As `IQ2_XXS`, with a codebook of 512 and 16 sub-blocks.
    IQ2_XS(Some(17), 256, 74, 0, codebook::decode_iq2_xs, Some(encode::codebook::encode_iq2_xs), codebook::iq2_xs);
    /// As `IQ2_XS`, with a codebook of 1024 and all signs.
    IQ2_S(Some(22), 256, 82, 0, codebook::decode_iq2_s, Some(encode::codebook::encode_iq2_s), codebook::iq2_s);
    /// 256 values of about 3 bits: points of a codebook of 256 and signs; 8 sub-blocks with 4-bit scales.
    IQ3_XXS(Some(18), 256, 98, 0, codebook::decode_iq3_xxs, Some(encode::codebook::encode_iq3_xxs), codebook::iq3_xxs);
    /// As `IQ3_XXS`, with a codebook of 512 and all signs.
    IQ3_S(Some(21), 256, 110, 0, codebook::decode_iq3_s, Some(encode::codebook::encode_iq3_s), codebook::iq3_s);
    /// 256 values of 4 bits that index the levels of `IQ4_NL`; 8 sub-blocks with 6-bit scales.
    IQ4_XS(Some(23), 256, 136, 0, codebook::decode_iq4_xs, Some(encode::symmetric::encode_iq4_xs), codebook::iq4_xs);
    /// 256 ternary values, five to a byte, one scale.
    TQ1_0(Some(34), 256, 54, 0, ternary::decode_tq1_0, Some(encode::symmetric::encode_tq1_0), ternary::tq1_0);
    /// 256 ternary values of 2 bits, one scale.
    TQ2_0(Some(35), 256, 66, 0, ternary::decode_tq2_0, Some(encode::symmetric::encode_tq2_0), ternary::tq2_0);
    /// 128 signs, one scale.
    Q1_0(Some(41), 128, 18, 0, ternary::decode_q1_0, None, ternary::q1_0);
    /// 64 values of 2 bits, -1 to 2, one scale.
    Q2_0(Some(42), 64, 18, 0, ternary::decode_q2_0, None, ternary::q2_0);
    /// 128 ternary values of 2 bits as bitnet.cpp writes them; the tensor's one scale stands per block in a second plane.
    I2_S(Some(36), 128, 32, 4, ternary::decode_i2_s, None, ternary::i2_s);
    /// 32 values of 4 bits in floating point (E2M1), a power of two as scale.
    MXFP4(Some(39), 32, 17, 0, microscaling::decode_mxfp4, Some(encode::symmetric::encode_mxfp4), microscaling::mxfp4);
    /// 64 values of 4 bits in floating point (E2M1), a scale of 8 bits (E4M3) per 16.
    NVFP4(Some(40), 64, 36, 0, microscaling::decode_nvfp4, Some(encode::symmetric::encode_nvfp4), microscaling::nvfp4);
    /// `NVFP4` times an `f32` scale per 64 values in a second plane.
    NVFP4_G64(None, 64, 36, 4, microscaling::decode_nvfp4_g64, None, microscaling::nvfp4_g64);
    /// MXFP4 in two planes: 32 values side by side, and the powers of two apart.
    MXFP4Planes(None, 32, 16, 1, microscaling::decode_mxfp4_planes, None, microscaling::mxfp4_planes);
    /// 8 bits in floating point: 4 of exponent, 3 of mantissa.
    F8_E4M3(Some(43), 1, 1, 0, microscaling::decode_f8_e4m3, None);
    /// 8 bits in floating point: 5 of exponent, 2 of mantissa.
    F8_E5M2(None, 1, 1, 0, microscaling::decode_f8_e5m2, None);
    /// `F8_E4M3` times an `f32` scale per 32 values in a second plane.
    F8_E4M3_G32(None, 32, 32, 4, microscaling::decode_f8_e4m3_g32, None);
    /// `F8_E5M2` times an `f32` scale per 32 values in a second plane.
    F8_E5M2_G32(None, 32, 32, 4, microscaling::decode_f8_e5m2_g32, None);
    /// 256 values of 8 bits, a single-precision scale, and sums that are not read.
    Q8_K(Some(15), 256, 292, 0, kblocks::decode_q8_k, None, kblocks::q8_k);
    /// IEEE 754 binary64; read with the precision of binary32.
    F64(Some(28), 1, 8, 0, plain::decode_f64, None);
    /// Integers of 8 bits.
    I8(Some(24), 1, 1, 0, plain::decode_i8, None);
    /// Integers of 16 bits.
    I16(Some(25), 1, 2, 0, plain::decode_i16, None);
    /// Integers of 32 bits; read with the precision of binary32.
    I32(Some(26), 1, 4, 0, plain::decode_i32, None);
    /// Integers of 64 bits; read with the precision of binary32.
    I64(Some(27), 1, 8, 0, plain::decode_i64, None);
    /// Native int8: 64 values of 8 bits; an `f32` scale per group in a second plane, value = q / scale.
    Int8G64(None, 64, 64, 4, plain::decode_int8_g64, Some(plain::encode_int8_g64));
}

impl TensorType {
    /// The type with this number in GGUF files, `None` for a number that this project does not read.
    pub fn from_ggml_id(id: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|ty| ty.info().ggml_id == Some(id))
    }

    /// The type of this name, in upper or lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|ty| ty.info().name.eq_ignore_ascii_case(name))
    }

    /// The coordinates of the points that a block's codes choose from, point after point, or the levels of a type whose points have
    /// one coordinate; empty for types without.
    pub fn codebook(self) -> &'static [i8] {
        use codebook::grids;
        match self {
            Self::IQ1_S | Self::IQ1_M => grids::IQ1.as_flattened(),
            Self::IQ2_XXS => grids::IQ2_XXS.as_flattened(),
            Self::IQ2_XS => grids::IQ2_XS.as_flattened(),
            Self::IQ2_S => grids::IQ2_S.as_flattened(),
            Self::IQ3_XXS => grids::IQ3_XXS.as_flattened(),
            Self::IQ3_S => grids::IQ3_S.as_flattened(),
            Self::IQ4_NL | Self::IQ4_XS => &legacy::IQ4_NL_LEVELS,
            Self::MXFP4 | Self::MXFP4Planes | Self::NVFP4 | Self::NVFP4_G64 => &microscaling::E2M1,
            _ => &[],
        }
    }

    /// Bytes in the data plane of a row of `cols` values; `None` where `cols` is not a multiple of the block
    /// length or the size does not fit.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        self.blocks(cols)?.checked_mul(self.info().block_bytes)
    }

    /// Bytes in the second plane of a row of `cols` values; as [`TensorType::row_bytes`].
    pub fn row_scale_bytes(self, cols: usize) -> Option<usize> {
        self.blocks(cols)?.checked_mul(self.info().scale_bytes)
    }

    /// Decodes `out.len()` values.
    /// Panics unless `data` and `scales` have exactly the bytes of that many values.
    pub fn decode(self, data: &[u8], scales: &[u8], out: &mut [f32]) {
        self.assert_planes(out.len(), data.len(), scales.len());
        (self.info().decode)(data, scales, out);
    }

    /// Encodes `values`; `false` where the project has no encoder for this type (nothing is written then).
    /// Panics unless `data` and `scales` have exactly the bytes of that many values.
    pub fn encode(self, values: &[f32], data: &mut [u8], scales: &mut [u8]) -> bool {
        self.encode_weighted(values, &[], data, scales)
    }

    /// As [`TensorType::encode`] for rows of `importance.len()` values, with the squared error of each column weighted by its importance;
    /// all are alike where that is empty. Types that have nothing to choose do not look at it.
    /// Panics also where `values` are not whole rows, or rows not whole blocks.
    pub fn encode_weighted(
        self,
        values: &[f32],
        importance: &[f32],
        data: &mut [u8],
        scales: &mut [u8],
    ) -> bool {
        self.assert_planes(values.len(), data.len(), scales.len());
        let rows = importance.is_empty()
            || self.blocks(importance.len()).is_some() && values.len().is_multiple_of(importance.len());
        assert!(rows, "{self}: {} values are not rows of {}", values.len(), importance.len());
        self.info().encode.inspect(|encode| encode(values, importance, data, scales)).is_some()
    }

    fn blocks(self, cols: usize) -> Option<usize> {
        let len = self.info().block_len;
        cols.is_multiple_of(len).then(|| cols / len)
    }

    fn assert_planes(self, values: usize, data: usize, scales: usize) {
        let want = (self.row_bytes(values), self.row_scale_bytes(values));
        assert_eq!(want, (Some(data), Some(scales)), "{self}: {values} values need other plane sizes");
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.info().name)
    }
}
