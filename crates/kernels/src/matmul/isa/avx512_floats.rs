//! Two strips of `F32` by a panel of up to twelve tokens with AVX-512, written out: left to the compiler, two of the 24 sums of the widest
//! panel live in memory, which costs a third of the speed. The operations are those of `tile::float_tile` in their order.

use super::super::tile::{ROWS, Tile};
use std::arch::asm;

/// One token of a column: its value in all lanes, and the sums of both strips.
macro_rules! token {
    ($t:literal, $other:literal, $lane:literal) => {
        concat!(
            "vbroadcastss zmm",
            $lane,
            ", dword ptr [{x} + 4*",
            $t,
            "]\n",
            "vfmadd231ps zmm",
            $t,
            ", zmm24, zmm",
            $lane,
            "\n",
            "vfmadd231ps zmm",
            $other,
            ", zmm25, zmm",
            $lane,
        )
    };
}

/// What is done with both sums of a token: read, zeroed, written.
macro_rules! sums {
    (read $t:literal, $other:literal) => {
        concat!("vmovups zmm", $t, ", [{a} + 64*", $t, "]\nvmovups zmm", $other, ", [{b} + 64*", $t, "]")
    };
    (zero $t:literal, $other:literal) => {
        concat!(
            "vpxord zmm",
            $t,
            ", zmm",
            $t,
            ", zmm",
            $t,
            "\nvpxord zmm",
            $other,
            ", zmm",
            $other,
            ", zmm",
            $other
        )
    };
    (write $t:literal, $other:literal) => {
        concat!("vmovups [{a} + 64*", $t, "], zmm", $t, "\nvmovups [{b} + 64*", $t, "], zmm", $other)
    };
}

macro_rules! kernel {
    ($name:ident, $width:literal, $(($t:literal, $other:literal, $lane:literal)),*) => {
        /// # Safety
        /// As `tile::float_tile` with two strips of at least one unit, a panel of this width, and AVX-512 F.
        #[target_feature(enable = "avx512f")]
        unsafe fn $name(tile: &Tile) {
            // SAFETY: as the caller promises: a column is 64 bytes of each strip and four per token of the panel; sums are 64
            // bytes per token and strip.
            unsafe {
                asm!(
                    "test {fresh:e}, {fresh:e}",
                    "jnz 2f",
                    $(sums!(read $t, $other),)*
                    "jmp 3f",
                    "2:",
                    $(sums!(zero $t, $other),)*
                    "3:",
                    "vmovups zmm24, [{v} + {i}]",
                    "vmovups zmm25, [{w} + {i}]",
                    "prefetcht0 [{v} + {i} + 1024]",
                    "prefetcht0 [{w} + {i} + 1024]",
                    $(token!($t, $other, $lane),)*
                    concat!("add {x}, 4*", $width),
                    "add {i}, 64",
                    "cmp {i}, {end}",
                    "jne 3b",
                    $(sums!(write $t, $other),)*
                    fresh = in(reg) u32::from(tile.fresh),
                    a = in(reg) tile.acc[0],
                    b = in(reg) tile.acc[1],
                    v = in(reg) tile.w[0],
                    w = in(reg) tile.w[1],
                    x = inout(reg) tile.panel.values => _,
                    i = inout(reg) 0_usize => _,
                    end = in(reg) tile.units * 2 * ROWS * size_of::<f32>(),
                    out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
                    out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                    out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _,
                    out("zmm18") _, out("zmm19") _, out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
                    out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _, out("zmm28") _, out("zmm29") _,
                    options(nostack),
                );
            }
        }
    };
}

kernel!(
    nine,
    9,
    (0, 12, 26),
    (1, 13, 27),
    (2, 14, 28),
    (3, 15, 29),
    (4, 16, 26),
    (5, 17, 27),
    (6, 18, 28),
    (7, 19, 29),
    (8, 20, 26)
);
kernel!(
    ten,
    10,
    (0, 12, 26),
    (1, 13, 27),
    (2, 14, 28),
    (3, 15, 29),
    (4, 16, 26),
    (5, 17, 27),
    (6, 18, 28),
    (7, 19, 29),
    (8, 20, 26),
    (9, 21, 27)
);
kernel!(
    eleven,
    11,
    (0, 12, 26),
    (1, 13, 27),
    (2, 14, 28),
    (3, 15, 29),
    (4, 16, 26),
    (5, 17, 27),
    (6, 18, 28),
    (7, 19, 29),
    (8, 20, 26),
    (9, 21, 27),
    (10, 22, 28)
);
kernel!(
    twelve,
    12,
    (0, 12, 26),
    (1, 13, 27),
    (2, 14, 28),
    (3, 15, 29),
    (4, 16, 26),
    (5, 17, 27),
    (6, 18, 28),
    (7, 19, 29),
    (8, 20, 26),
    (9, 21, 27),
    (10, 22, 28),
    (11, 23, 29)
);

/// Whether there is a kernel for panels of this width; it was called if there is.
///
/// # Safety
/// As `tile::float_tile` with two strips, for `F32`; AVX-512 F.
#[inline(always)]
pub(super) unsafe fn pair(tile: &Tile) -> bool {
    if tile.units == 0 {
        return false;
    }
    // SAFETY: as the caller promises; the arm has the panel's width.
    unsafe {
        match tile.panel.width {
            9 => nine(tile),
            10 => ten(tile),
            11 => eleven(tile),
            12 => twelve(tile),
            _ => return false,
        }
    }
    true
}
