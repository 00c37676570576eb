//! AMX: 16 rows of activations by 16 rows of weights by 64 bytes of columns in one instruction. The intrinsics are not stable; the
//! instructions are written out. Four sums of 16 x 16 at a time, so that a load serves two products.

use super::{Call, Rounding, STEP};
use crate::amx::{self, Config};
use std::arch::asm;

/// Whether the processor has the instructions for a rounding and the system lets this process use the tiles.
pub(super) fn is_allowed(rounding: Rounding) -> bool {
    amx::is_allowed(if rounding == Rounding::Bf16 { amx::BF16 } else { amx::INT8 })
}

/// Eight tiles of 16 rows of 64 bytes.
static CONFIG: Config = Config::new([(16, 64); 8]);

/// Tiles 0 to 3: sums. 4 and 5: activations. 6 and 7: weights.
macro_rules! kernel {
    ($name:ident, $product:literal) => {
        /// # Safety
        /// As [`super::Kernel::multiply`].
        pub(super) unsafe fn $name(call: &Call) {
            // SAFETY: as the caller promises: rows up to a multiple of 16 and all steps may be read, the sums written.
            unsafe { if call.rows > 16 { tall(call) } else { flat(call) } }

            /// # Safety
            /// As [`super::Kernel::multiply`], for more than 16 rows.
            #[inline(always)]
            unsafe fn tall(call: &Call) {
                // SAFETY: as the caller promises. The tiles' state is released before anything else runs.
                unsafe {
                    asm!(
                        "ldtilecfg [{config}]",
                        "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                        "2:",
                        "tileloadd tmm4, [{a} + {stride}*1]",
                        "tileloadd tmm6, [{b} + {line}*1]",
                        "tileloadd tmm7, [{c} + {line}*1]",
                        concat!($product, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm5, [{d} + {stride}*1]",
                        concat!($product, " tmm1, tmm4, tmm7"),
                        concat!($product, " tmm2, tmm5, tmm6"),
                        concat!($product, " tmm3, tmm5, tmm7"),
                        "add {a}, 64", "add {d}, 64", "add {b}, {step}", "add {c}, {step}",
                        "dec {steps}", "jnz 2b",
                        "tilestored [{sums} + {row}*1], tmm0",
                        "tilestored [{sums} + {row}*1 + 64], tmm1",
                        "mov {a}, {row}",
                        "shl {a}, 4",
                        "add {a}, {sums}",
                        "tilestored [{a} + {row}*1], tmm2",
                        "tilestored [{a} + {row}*1 + 64], tmm3",
                        "tilerelease",
                        config = in(reg) &raw const CONFIG,
                        a = inout(reg) call.a => _,
                        d = inout(reg) call.a.add(16 * call.a_stride) => _,
                        b = inout(reg) call.b[0] => _,
                        c = inout(reg) call.b[1] => _,
                        stride = in(reg) call.a_stride,
                        line = in(reg) STEP,
                        step = in(reg) call.b_step,
                        steps = inout(reg) call.steps => _,
                        sums = in(reg) call.sums,
                        row = in(reg) call.sums_stride,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
            }

            /// # Safety
            /// As [`super::Kernel::multiply`], for up to 16 rows.
            #[inline(always)]
            unsafe fn flat(call: &Call) {
                // SAFETY: as above.
                unsafe {
                    asm!(
                        "ldtilecfg [{config}]",
                        "tilezero tmm0", "tilezero tmm1",
                        "2:",
                        "tileloadd tmm4, [{a} + {stride}*1]",
                        "tileloadd tmm6, [{b} + {line}*1]",
                        concat!($product, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm7, [{c} + {line}*1]",
                        concat!($product, " tmm1, tmm4, tmm7"),
                        "add {a}, 64", "add {b}, {step}", "add {c}, {step}",
                        "dec {steps}", "jnz 2b",
                        "tilestored [{sums} + {row}*1], tmm0",
                        "tilestored [{sums} + {row}*1 + 64], tmm1",
                        "tilerelease",
                        config = in(reg) &raw const CONFIG,
                        a = inout(reg) call.a => _,
                        b = inout(reg) call.b[0] => _,
                        c = inout(reg) call.b[1] => _,
                        stride = in(reg) call.a_stride,
                        line = in(reg) STEP,
                        step = in(reg) call.b_step,
                        steps = inout(reg) call.steps => _,
                        sums = in(reg) call.sums,
                        row = in(reg) call.sums_stride,
                        out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
            }
        }
    };
}

kernel!(bf16, "tdpbf16ps");
// Activations signed, weights unsigned.
kernel!(int8, "tdpbsud");
