//! The tables of kernels and the choice among them.

use crate::matmul::isa::scalar::Scalar;
use crate::matmul::table::{MatmulTable, matmul_table};
use crate::ops::{self, OpsTable};
use std::sync::{Mutex, OnceLock, PoisonError};

/// One implementation of all operations, for one level of instruction set.
pub struct Kernels {
    /// What options and reports call it: `scalar`, `avx2`, `avx-vnni`, `avx512`, `avx512-vnni`, `amx`, `neon`, `neon-dot`,
    /// `neon-i8mm`.
    pub name: &'static str,
    pub(crate) matmul: MatmulTable,
    pub(crate) ops: &'static OpsTable,
}

static SCALAR: Kernels = Kernels { name: "scalar", matmul: matmul_table!(Scalar), ops: &ops::SCALAR };

#[cfg(target_arch = "aarch64")]
static NEON: Kernels =
    Kernels { name: "neon", matmul: matmul_table!(crate::matmul::isa::neon::Neon, "neon"), ops: &ops::NEON };

#[cfg(target_arch = "aarch64")]
static NEON_DOT: Kernels = Kernels {
    name: "neon-dot",
    matmul: matmul_table!(crate::matmul::isa::neon::NeonDot, "neon,dotprod"),
    ops: &ops::NEON,
};

#[cfg(target_arch = "aarch64")]
static NEON_MATRIX: Kernels = Kernels {
    name: "neon-i8mm",
    matmul: matmul_table!(crate::matmul::isa::neon::NeonMatrix, "neon,dotprod,i8mm"),
    ops: &ops::NEON,
};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Kernels, matmul_table};
    use crate::amx;
    use crate::matmul::isa::avx2::{Avx2, AvxVnni};
    use crate::matmul::isa::avx512::{Amx, Avx512, Avx512Vnni};
    use crate::ops;

    static AVX2: Kernels =
        Kernels { name: "avx2", matmul: matmul_table!(Avx2, "avx2,fma,f16c"), ops: &ops::AVX2 };

    static AVX_VNNI: Kernels = Kernels {
        name: "avx-vnni",
        matmul: matmul_table!(AvxVnni, "avx2,fma,f16c,avxvnni"),
        ops: &ops::AVX2,
    };

    static AVX512: Kernels = Kernels {
        name: "avx512",
        matmul: matmul_table!(Avx512, "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"),
        ops: &ops::AVX512,
    };

    static AVX512_VNNI: Kernels = Kernels {
        name: "avx512-vnni",
        matmul: matmul_table!(Avx512Vnni, "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"),
        ops: &ops::AVX512,
    };

    static AMX: Kernels = Kernels {
        name: "amx",
        matmul: matmul_table!(Amx, "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"),
        ops: &ops::AVX512,
    };

    /// Adds the tables that this processor can run.
    pub(super) fn find(found: &mut Vec<&'static Kernels>) {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq");
        if avx2 {
            found.push(&AVX2);
        }
        if avx2 && is_x86_feature_detected!("avxvnni") {
            found.push(&AVX_VNNI);
        }
        if avx512 {
            found.push(&AVX512);
        }
        if avx512 && is_x86_feature_detected!("avx512vnni") {
            found.push(&AVX512_VNNI);
            if amx::is_allowed(amx::INT8 | amx::BF16) {
                found.push(&AMX);
            }
        }
    }
}

/// The tables that this processor can run, from the slowest to the fastest; `scalar` is always the first.
pub fn available() -> &'static [&'static Kernels] {
    static FOUND: OnceLock<Vec<&'static Kernels>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = vec![&SCALAR];
        #[cfg(target_arch = "x86_64")]
        x86::find(&mut found);
        #[cfg(target_arch = "aarch64")]
        {
            found.push(&NEON);
            if std::arch::is_aarch64_feature_detected!("dotprod") {
                found.push(&NEON_DOT);
                if std::arch::is_aarch64_feature_detected!("i8mm") {
                    found.push(&NEON_MATRIX);
                }
            }
        }
        found
    })
}

/// The fastest table that this processor can run.
pub fn best() -> &'static Kernels {
    available().last().unwrap_or(&&SCALAR)
}

/// The table that this process wants where none is named.
static PREFERRED: Mutex<Option<&'static Kernels>> = Mutex::new(None);

/// The table for those who name none: the best, or the one that was preferred to it.
pub fn usual() -> &'static Kernels {
    let preferred = *PREFERRED.lock().unwrap_or_else(PoisonError::into_inner);
    preferred.unwrap_or_else(best)
}

/// From now on this table is the [`usual`] one: whatever opens a model in this process, a scanner included, computes with it.
pub fn prefer(table: &'static Kernels) {
    *PREFERRED.lock().unwrap_or_else(PoisonError::into_inner) = Some(table);
}

/// The available table of this name.
pub fn by_name(name: &str) -> Option<&'static Kernels> {
    available().iter().copied().find(|table| table.name == name)
}
