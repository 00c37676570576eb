//! Weights on a device: the form in which blocks are kept there, and the functions of the dialect that read them.
//!
//! A block is one run of bytes: what a type has in a second plane follows the values. Types of single values get blocks of eight.

use crate::source::Program;
use std::borrow::Cow;
use std::sync::LazyLock;
use torchless_quant::TensorType;

/// Values that one call of `DQ8` gives.
pub const PART: usize = 8;

pub(crate) const BYTES: &str = include_str!("../kernels/portable/dequant/bytes.c");
const CODED: &str = include_str!("../kernels/portable/dequant/coded.c");
const DECODED: &str = include_str!("../kernels/portable/dequant/decoded.c");
const PLAIN: &str = include_str!("../kernels/portable/dequant/plain.c");
const LEGACY: &str = include_str!("../kernels/portable/dequant/legacy.c");
const KBLOCKS: &str = include_str!("../kernels/portable/dequant/kblocks.c");
const TERNARY: &str = include_str!("../kernels/portable/dequant/ternary.c");
const CODEBOOK: &str = include_str!("../kernels/portable/dequant/codebook.c");
const DEQUANTISE: &str = include_str!("../kernels/portable/dequantise.c");

/// The part with the function of a type, `None` for a type that a device does not read.
fn part(ty: TensorType) -> Option<&'static str> {
    use TensorType as T;
    Some(match ty {
        T::F32 | T::F16 | T::BF16 | T::Int8G64 | T::Q8_K => PLAIN,
        T::F8_E4M3 | T::F8_E5M2 | T::F8_E4M3_G32 | T::F8_E5M2_G32 => PLAIN,
        T::Q4_0 | T::Q4_1 | T::Q5_0 | T::Q5_1 | T::Q8_0 => LEGACY,
        T::Q2_K | T::Q3_K | T::Q4_K | T::Q5_K | T::Q6_K => KBLOCKS,
        T::TQ1_0 | T::TQ2_0 | T::Q1_0 | T::Q2_0 | T::I2_S => TERNARY,
        T::IQ1_S | T::IQ1_M | T::IQ2_XXS | T::IQ2_XS | T::IQ2_S | T::IQ3_XXS | T::IQ3_S => CODEBOOK,
        T::IQ4_NL | T::IQ4_XS | T::MXFP4 | T::MXFP4Planes | T::NVFP4 => CODEBOOK,
        _ => return None,
    })
}

/// Whether weights are integers of a byte or less with a factor per eight of them, which products by bytes take (`CODES`).
pub(crate) fn is_coded(ty: TensorType) -> bool {
    use TensorType as T;
    let has_levels = matches!(ty, T::IQ4_NL | T::IQ4_XS | T::MXFP4 | T::MXFP4Planes | T::NVFP4);
    has_levels || part(ty).is_some_and(|part| part == LEGACY || part == KBLOCKS)
}

/// Whether something is added to the products with that factor.
fn has_minimum(ty: TensorType) -> bool {
    use TensorType as T;
    matches!(ty, T::Q4_1 | T::Q5_1 | T::Q2_K | T::Q4_K | T::Q5_K)
}

/// The type as which a device keeps weights of type `ty`: single precision for integers and double precision, which hold no
/// matrices in practice, and for NVFP4 with a scale for all, else the same.
pub fn stored(ty: TensorType) -> TensorType {
    part(ty).map_or(TensorType::F32, |_| ty)
}

/// A block as a device keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockForm {
    /// Values in a block, a multiple of [`PART`].
    pub values: usize,
    /// Bytes of a block.
    pub bytes: usize,
}

/// The form of the blocks of a type after [`stored`].
pub fn form(ty: TensorType) -> BlockForm {
    let info = stored(ty).info();
    let blocks = PART.div_ceil(info.block_len);
    BlockForm { values: blocks * info.block_len, bytes: blocks * (info.block_bytes + info.scale_bytes) }
}

/// Bytes on a device of a row of `cols` values: whole blocks, the last one filled up with zeros where need be.
pub fn row_bytes(ty: TensorType, cols: usize) -> usize {
    let form = form(ty);
    cols.div_ceil(form.values) * form.bytes
}

/// What must stand before a kernel that reads weights of a type: definitions and parts. The kernel has `BLOCK_VALUES`,
/// `BLOCK_BYTES` and `DQ8(block, part, out)`, which gives the values `8 part .. 8 part + 8` of the block at `block`, with the
/// bits of the reference decoder of [`torchless_quant`]; and for types whose weights are integers with a factor per eight of
/// them `CODES(block, part, to)`, which gives them as bytes, and `HAS_MINIMUM` where there is one.
pub fn program_parts(ty: TensorType) -> (Vec<(&'static str, String)>, Vec<&'static str>) {
    let ty = stored(ty);
    let form = form(ty);
    let name = ty.info().name.to_lowercase();
    let is_coded = is_coded(ty);
    let function = if is_coded { "coded" } else { &name };
    let mut defines = vec![
        ("BLOCK_VALUES", form.values.to_string()),
        ("BLOCK_BYTES", form.bytes.to_string()),
        ("DQ8(block, part, out)", format!("dq8_{function}(block, part, out)")),
    ];
    if is_coded {
        defines.push(("CODES(block, part, to)", format!("codes_{name}(block, part, to)")));
    }
    if has_minimum(ty) {
        defines.push(("HAS_MINIMUM", "1".to_owned()));
    }
    let codebook = (!ty.codebook().is_empty()).then(|| codebook(ty));
    let decoded = is_coded.then_some(DECODED);
    let parts = [Some(BYTES), Some(CODED), codebook, part(ty), decoded].into_iter().flatten().collect();
    (defines, parts)
}

/// The program with the kernel `dequantise(blocks, values, parts)`: one thread of one dimension per [`PART`] values.
pub fn dequantise(ty: TensorType) -> Program {
    let (defines, mut parts) = program_parts(ty);
    parts.push(DEQUANTISE);
    Program { name: format!("dequantise {}", stored(ty)), defines, parts }
}

/// A codebook as an array of the dialect.
fn codebook(ty: TensorType) -> &'static str {
    static TEXTS: LazyLock<Vec<(TensorType, String)>> = LazyLock::new(|| {
        let types = TensorType::ALL.iter().filter(|ty| !ty.codebook().is_empty());
        types.map(|&ty| (ty, words(ty.codebook()))).collect()
    });
    TEXTS.iter().find(|(of, _)| *of == ty).map_or("", |(_, text)| text)
}

/// Four coordinates to a word, the first in its lowest byte.
fn words(coordinates: &[i8]) -> String {
    let words = coordinates.as_chunks::<4>().0;
    let mut text = format!("CONSTANT u32 CODEBOOK[{}] = {{\n", words.len());
    for line in words.chunks(8) {
        for word in line {
            let word = u32::from_le_bytes(word.map(i8::cast_unsigned));
            text.push_str(&format!("{word:#x}u,"));
        }
        text.push('\n');
    }
    text.push_str("};\n");
    text
}

/// Rows of `cols` values as a device keeps them, each of [`row_bytes`] bytes. `data` and `scales` are the planes of the type.
/// Panics unless both have exactly the bytes of whole rows.
pub fn pack<'a>(ty: TensorType, cols: usize, data: &'a [u8], scales: &[u8]) -> Cow<'a, [u8]> {
    let info = ty.info();
    let (row, row_scales) = (ty.row_bytes(cols), ty.row_scale_bytes(cols));
    let (Some(row), Some(row_scales)) = (row, row_scales) else {
        panic!("{ty}: rows of {cols} values are no whole blocks");
    };
    assert!(row > 0 && data.len().is_multiple_of(row), "{ty}: {} bytes are no rows of {cols}", data.len());
    let rows = data.len() / row;
    assert_eq!(scales.len(), rows * row_scales, "{ty}: the second plane has another number of rows");
    if stored(ty) != ty {
        let values: Vec<u8> = decoded(ty, data, scales).into_iter().flat_map(f32::to_le_bytes).collect();
        return Cow::Owned(pack(TensorType::F32, cols, &values, &[]).into_owned());
    }
    let padded = row_bytes(ty, cols);
    if padded == row {
        return Cow::Borrowed(data);
    }
    let mut packed = vec![0; rows * padded];
    let blocks = row / info.block_bytes;
    for (r, out) in packed.chunks_exact_mut(padded).enumerate() {
        for (b, out) in out.chunks_exact_mut(info.block_bytes + info.scale_bytes).take(blocks).enumerate() {
            let at = r * blocks + b;
            let (values, scale) = out.split_at_mut(info.block_bytes);
            values.copy_from_slice(&data[at * info.block_bytes..][..info.block_bytes]);
            scale.copy_from_slice(&scales[at * info.scale_bytes..][..info.scale_bytes]);
        }
    }
    Cow::Owned(packed)
}

fn decoded(ty: TensorType, data: &[u8], scales: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; data.len() / ty.info().block_bytes * ty.info().block_len];
    ty.decode(data, scales, &mut values);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_blocks_have_is_read_on_a_device() {
        let converted: Vec<_> = TensorType::ALL.iter().filter(|ty| stored(**ty) != **ty).collect();
        assert_eq!(
            converted,
            [
                &TensorType::NVFP4_G64,
                &TensorType::F64,
                &TensorType::I8,
                &TensorType::I16,
                &TensorType::I32,
                &TensorType::I64
            ]
        );
        for &ty in TensorType::ALL {
            let (_, parts) = program_parts(ty);
            let (kind, name) = (if is_coded(ty) { "codes" } else { "dq8" }, stored(ty).info().name);
            let function = format!("void {kind}_{}(", name.to_lowercase());
            assert_eq!(parts.concat().matches(&function).count(), 1, "{function}");
        }
    }

    #[test]
    fn rows_are_filled_up_and_planes_joined() {
        let halves: Vec<u8> = (0..24).collect();
        assert_eq!(row_bytes(TensorType::F16, 12), 32);
        let packed = pack(TensorType::F16, 12, &halves, &[]);
        assert_eq!(&packed[..24], &halves);
        assert_eq!(&packed[24..], [0; 8]);
        let packed = pack(TensorType::MXFP4Planes, 32, &[7; 32], &[1, 2]);
        assert_eq!(packed.as_ref(), [&[7; 16][..], &[1], &[7; 16], &[2]].concat());
        let packed = pack(TensorType::I8, 8, &[1, 2, 3, 4, 5, 6, 7, 248], &[]);
        assert_eq!(&packed[28..], (-8f32).to_le_bytes());
        assert!(matches!(pack(TensorType::Q4_0, 64, &[0; 72], &[]), Cow::Borrowed(_)));
    }
}
