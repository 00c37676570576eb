//! Tensor element types: one table row each, with the reference codec.
//!
//! A type says how many values form a block, how many bytes the block takes and how to turn blocks into `f32` and
//! back. The codecs here are the reference that kernels are tested against; they are not the fast path.
//! The block layouts are those of ggml; [`TensorType::Int8G64`] is the one of the native `.bin` format.

#![forbid(unsafe_code)]

mod kblocks;
mod legacy;
mod plain;

use std::fmt;

/// Decodes whole blocks: `data`, the second plane `scales` (empty for most types), the values.
/// Lengths that do not agree are cut to the shortest; [`TensorType::decode`] checks them.
pub type Decode = fn(&[u8], &[u8], &mut [f32]);

/// Encodes whole blocks: the values, `data`, the second plane `scales` (empty for most types).
/// Lengths that do not agree are cut to the shortest; [`TensorType::encode`] checks them.
pub type Encode = fn(&[f32], &mut [u8], &mut [u8]);

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

/// Builds the enum, the list of all its variants and their rows from one table, so that a variant without a row
/// cannot be written.
macro_rules! tensor_types {
    ($($(#[$doc:meta])* $variant:ident($id:expr, $len:expr, $bytes:expr, $scale:expr, $decode:path, $encode:expr);)+) => {
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
    Q4_0(Some(2), 32, 18, 0, legacy::decode_q4_0, Some(legacy::encode_q4_0));
    /// 32 values of 4 bits, scale and minimum.
    Q4_1(Some(3), 32, 20, 0, legacy::decode_q4_1, Some(legacy::encode_q4_1));
    /// 32 values of 5 bits around 16, one scale.
    Q5_0(Some(6), 32, 22, 0, legacy::decode_q5_0, Some(legacy::encode_q5_0));
    /// 32 values of 5 bits, scale and minimum.
    Q5_1(Some(7), 32, 24, 0, legacy::decode_q5_1, Some(legacy::encode_q5_1));
    /// 32 values of 8 bits, one scale.
    Q8_0(Some(8), 32, 34, 0, legacy::decode_q8_0, Some(legacy::encode_q8_0));
    /// 256 values of 2 bits; 16 sub-blocks with 4-bit scales and minima.
    Q2_K(Some(10), 256, 84, 0, kblocks::decode_q2_k, None);
    /// 256 values of 3 bits; 16 sub-blocks with 6-bit scales.
    Q3_K(Some(11), 256, 110, 0, kblocks::decode_q3_k, None);
    /// 256 values of 4 bits; 8 sub-blocks with 6-bit scales and minima.
    Q4_K(Some(12), 256, 144, 0, kblocks::decode_q4_k, None);
    /// 256 values of 5 bits; 8 sub-blocks with 6-bit scales and minima.
    Q5_K(Some(13), 256, 176, 0, kblocks::decode_q5_k, None);
    /// 256 values of 6 bits; 16 sub-blocks with 8-bit scales.
    Q6_K(Some(14), 256, 210, 0, kblocks::decode_q6_k, None);
    /// 32 values of 4 bits that index a table of 16 levels, one scale.
    IQ4_NL(Some(20), 32, 18, 0, legacy::decode_iq4_nl, None);
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
        self.assert_planes(values.len(), data.len(), scales.len());
        self.info().encode.inspect(|encode| encode(values, data, scales)).is_some()
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
