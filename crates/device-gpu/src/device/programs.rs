//! The programs of portable kernels: which parts and constants each is made of.

use super::flash::FlashShape;
use super::tiles::{self, Stages};
use crate::dequant;
use crate::driver::Dialect;
use crate::overlay::{Format, HIP_DOTS, HIP_INSTRUCTIONS, HIP_WAVES, HOPPER, INTRINSICS, SIMDGROUP, TURING};
use crate::source::Program;
use torchless_device::CacheType;
use torchless_quant::TensorType;

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Everything that sees neither weights nor a cache.
    Ops,
    /// The largest values of rows.
    Largest,
    /// Attention over a cache of this type and length of blocks.
    Attention(CacheType, usize),
    /// Products with weights of this type.
    Matmul(TensorType),
    /// Products with weights in tiles through NVIDIA's matrix instructions.
    Tiles(Format, Stages),
    /// The same of many rows; gated units with the function of this number.
    Many(usize),
    /// Attention over a cache through the same instructions.
    Flash(FlashShape),
    /// Attention within texts, with heads of so many values.
    Within(usize),
}

const REDUCE: &str = include_str!("../../kernels/portable/reduce.c");
const ACTIVATION: &str = include_str!("../../kernels/portable/activation.c");
const ELEMENTWISE: &str = include_str!("../../kernels/portable/elementwise.c");
const NORM: &str = include_str!("../../kernels/portable/norm.c");
const ROPE: &str = include_str!("../../kernels/portable/rope.c");
const EXPERTS: &str = include_str!("../../kernels/portable/experts.c");
const RECURRENT: &str = include_str!("../../kernels/portable/recurrent.c");
const ENCODE: &str = include_str!("../../kernels/portable/encode.c");
const LARGEST: &str = include_str!("../../kernels/portable/largest.c");
const CACHE_PLAIN: &str = include_str!("../../kernels/portable/cache/plain.c");
const CACHE_GROUPS: &str = include_str!("../../kernels/portable/cache/groups.c");
const ATTENTION: &str = include_str!("../../kernels/portable/attention.c");
const TILE: &str = include_str!("../../kernels/portable/tile.c");
const MATMUL: &str = include_str!("../../kernels/portable/matmul.c");
const HALF_TILE: &str = include_str!("../../kernels/portable/half_tile.c");
const FORMATS: &str = include_str!("../../kernels/cuda/formats.cu");
const FEW_ROWS: &str = include_str!("../../kernels/cuda/few_rows.cu");
const PREPARE: &str = include_str!("../../kernels/cuda/prepare.cu");
const SOME_ROWS: &str = include_str!("../../kernels/cuda/some_rows.cu");
const GEMM: &str = include_str!("../../kernels/cuda/gemm.cu");
const FLASH: &str = include_str!("../../kernels/cuda/flash.cu");
const WITHIN: &str = include_str!("../../kernels/cuda/within.cu");
const CACHED: &str = include_str!("../../kernels/cuda/attention.cu");

/// Positions of a block of the cache that programs are made for ahead of time.
const USUAL_BLOCK: usize = 32;

/// The program of a family for devices of a dialect: what their threads do together comes before the parts that use it.
pub fn program(family: Family, dialect: Dialect) -> Program {
    let mut program = portable(family);
    if let Family::Matmul(ty) = family {
        program.parts.extend(rounded(ty, dialect));
    }
    match dialect {
        Dialect::Hip(wave) => {
            program.defines.push(("WAVE", wave.to_string()));
            program.parts.splice(0..0, [HIP_INSTRUCTIONS, HIP_WAVES]);
        }
        Dialect::Metal => program.parts.insert(0, SIMDGROUP),
        Dialect::Cuda(..) | Dialect::OpenCl => {}
    }
    program
}

/// Products with weights of a type that round activations, on devices of AMD's and Apple's.
fn rounded(ty: TensorType, dialect: Dialect) -> Vec<&'static str> {
    match dialect {
        Dialect::Hip(_) if dequant::is_coded(ty) => vec![HALF_TILE, HIP_DOTS],
        Dialect::Hip(_) | Dialect::Metal => vec![HALF_TILE],
        Dialect::Cuda(..) | Dialect::OpenCl => Vec::new(),
    }
}

fn portable(family: Family) -> Program {
    match family {
        Family::Ops => Program {
            name: "ops".to_owned(),
            defines: Vec::new(),
            parts: vec![REDUCE, ACTIVATION, ELEMENTWISE, NORM, ROPE, EXPERTS, RECURRENT, ENCODE],
        },
        Family::Largest => Program { name: "largest".to_owned(), defines: Vec::new(), parts: vec![LARGEST] },
        Family::Attention(ty, block_len) => {
            let (cache, mut parts) = match ty {
                CacheType::F32 => (("KV_TYPE", "0"), vec![REDUCE, CACHE_PLAIN]),
                CacheType::F16 => (("KV_TYPE", "1"), vec![REDUCE, CACHE_PLAIN]),
                CacheType::Bf16 => (("KV_TYPE", "2"), vec![REDUCE, CACHE_PLAIN]),
                CacheType::Q8_0 => (("KV_BITS", "8"), vec![REDUCE, dequant::BYTES, CACHE_GROUPS]),
                CacheType::Q4_0 => (("KV_BITS", "4"), vec![REDUCE, dequant::BYTES, CACHE_GROUPS]),
            };
            parts.push(ATTENTION);
            Program {
                name: format!("attention {} {block_len}", ty.name()),
                defines: vec![(cache.0, cache.1.to_owned()), ("BLOCK_LEN", block_len.to_string())],
                parts,
            }
        }
        Family::Matmul(ty) => {
            let (defines, mut parts) = dequant::program_parts(ty);
            parts.extend([REDUCE, TILE, MATMUL]);
            Program { name: format!("matmul {}", dequant::stored(ty)), defines, parts }
        }
        Family::Tiles(format, stages) => Program {
            name: format!("tiles {} {} {} {}", format.name(), stages.few, stages.some, stages.tiles),
            defines: vec![
                ("FORMAT", format.name().to_owned()),
                ("DEPTH_FEW", stages.few.to_string()),
                ("DEPTH_SOME", stages.some.to_string()),
                ("SOME_TILES", stages.tiles.to_string()),
            ],
            parts: vec![ACTIVATION, INTRINSICS, TURING, FORMATS, FEW_ROWS, PREPARE, SOME_ROWS],
        },
        Family::Many(act) => Program {
            name: format!("many {act}"),
            defines: vec![("FORMAT", "Halves".to_owned()), ("ACTIVATION", act.to_string())],
            parts: vec![ACTIVATION, INTRINSICS, FORMATS, FEW_ROWS, HOPPER, GEMM],
        },
        Family::Flash(FlashShape { k_dim, v_dim, group, keys }) => Program {
            name: format!("flash {k_dim} {v_dim} {group} {keys}"),
            defines: vec![
                ("K_DIM", k_dim.to_string()),
                ("V_DIM", v_dim.to_string()),
                ("GROUP_HEADS", group.to_string()),
                ("MANY_KEYS", keys.to_string()),
            ],
            parts: vec![INTRINSICS, TURING, FLASH, CACHED],
        },
        Family::Within(dim) => Program {
            name: format!("within {dim}"),
            defines: vec![("HEAD_DIM", dim.to_string())],
            parts: vec![INTRINSICS, TURING, FLASH, WITHIN],
        },
    }
}

/// Length of heads and heads of queries per head of the cache that known models have, for which attention is compiled ahead.
const USUAL_HEADS: &[(usize, &[usize])] =
    &[(64, &[1, 3, 4, 7, 8]), (80, &[1]), (96, &[1]), (128, &[1, 2, 3, 4, 5, 6, 7, 8]), (256, &[1, 2, 4, 8])];

/// Length of heads of known encoders.
const USUAL_ENCODER_HEADS: &[usize] = &[32, 64, 96, 128];

/// Functions of gated units, counted as kernels do.
const ACTIVATIONS: usize = 8;

/// Every program that usual models need on devices of this dialect: what is compiled ahead, and what is checked.
pub fn all(dialect: Dialect) -> Vec<Program> {
    let caches = CacheType::ALL.map(|ty| Family::Attention(ty, USUAL_BLOCK));
    let types = TensorType::ALL.iter().filter(|&&ty| dequant::stored(ty) == ty);
    let products = types.map(|&ty| Family::Matmul(ty));
    let portable = [Family::Ops, Family::Largest].into_iter().chain(caches).chain(products);
    portable.chain(overlay(dialect)).map(|family| program(family, dialect)).collect()
}

fn overlay(dialect: Dialect) -> Vec<Family> {
    let Dialect::Cuda(major, minor) = dialect else { return Vec::new() };
    if (major, minor) < tiles::OLDEST {
        return Vec::new();
    }
    let of_format =
        |format| Stages::usual(format, dialect).into_iter().map(move |s| Family::Tiles(format, s));
    let mut families: Vec<Family> = Format::ALL.into_iter().flat_map(of_format).collect();
    if major == 9 {
        families.extend((0..ACTIVATIONS).map(Family::Many));
    }
    for &(dim, groups) in USUAL_HEADS {
        for &group in groups {
            families.extend(FlashShape::usual((dim, group), dialect).into_iter().map(Family::Flash));
        }
    }
    families.extend(USUAL_ENCODER_HEADS.iter().map(|&dim| Family::Within(dim)));
    families
}
