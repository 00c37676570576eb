//! The functions of this module tree, instantiated for each instruction set.

use super::attention::{Bf16, Panel, Partial, Product, SpanJob, Target};
use super::delta::DeltaStep;
use super::{activation, attention, delta, elementwise, norm, rope, rows, softmax, streams};
use crate::Activation;
use crate::lanes;
use rope::RopeSpec;

/// Hands the list of all functions to a macro: name, arguments, generic kernel.
macro_rules! each_op {
    ($then:ident $context:tt) => {
        $then! { $context
            fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) = norm::rms_norm;
            fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) = norm::layer_norm;
            fn mean_square(x: &[f32]) -> f64 = norm::mean_square;
            fn moments(x: &[f32]) -> (f32, f32) = norm::moments;
            fn cut(x: &mut [f32], below: f32) = streams::cut;
            fn add(x: &mut [f32], y: &[f32]) = elementwise::add;
            fn add_scaled(x: &mut [f32], y: &[f32], factor: f32) = elementwise::add_scaled;
            fn scale(x: &mut [f32], factor: f32) = elementwise::scale;
            fn times(x: &mut [f32], y: &[f32]) = elementwise::times;
            fn clamp(x: &mut [f32], limit: f32) = elementwise::clamp;
            fn softcap(x: &mut [f32], cap: f32) = elementwise::softcap;
            fn activate(function: Activation, x: &mut [f32]) = activation::activate;
            fn glu(function: Activation, gate: &mut [f32], up: &[f32]) = activation::glu;
            fn add_product(x: &mut [f32], y: &[f32], z: &[f32]) = delta::add_product;
            fn delta_step(step: &DeltaStep<'_>, state: &mut [f32], out: &mut [f32]) = delta::delta_step;
            fn sigmoid_gate(x: &mut [f32], gate: &[f32]) = rows::sigmoid_gate;
            fn clamped_glu(gate: &mut [f32], up: &[f32], alpha: f32, limit: f32) = rows::clamped_glu;
            fn rope(row: &mut [f32], spec: RopeSpec, cos: &[f32], sin: &[f32]) = rope::rope;
            fn softmax(row: &mut [f32]) = softmax::softmax;
            fn argmax(x: &[f32]) -> Option<usize> = softmax::argmax;
            fn to_f16(x: &[f32], out: &mut [u16]) = elementwise::to_f16;
            fn span_f16(job: &SpanJob<'_>, scores: &mut [Panel], rows: &mut [f32], out: &mut Partial<'_>) = attention::span::<_, u16>;
            fn span_f32(job: &SpanJob<'_>, scores: &mut [Panel], rows: &mut [f32], out: &mut Partial<'_>) = attention::span::<_, f32>;
            fn span_bf16(job: &SpanJob<'_>, scores: &mut [Panel], rows: &mut [f32], out: &mut Partial<'_>) = attention::span::<_, Bf16>;
            fn span_q8_0(job: &SpanJob<'_>, scores: &mut [Panel], rows: &mut [f32], out: &mut Partial<'_>) = attention::span_of_codes::<_, 8>;
            fn span_q4_0(job: &SpanJob<'_>, scores: &mut [Panel], rows: &mut [f32], out: &mut Partial<'_>) = attention::span_of_codes::<_, 4>;
            fn merge(into: &mut Partial<'_>, from: &Partial<'_>) = attention::merge;
            fn finish(partial: &Partial<'_>, row: usize, sink: Option<f32>, out: &mut [f32]) = attention::finish;
            fn multiply(job: &Product<'_, f32>, to: &mut Target<'_>) = attention::multiply;
        }
    };
}

macro_rules! table_struct {
    (() $(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $kernel:path;)*) => {
        /// One implementation of the row-wise operations. Lengths are checked by the callers in this module tree.
        pub(crate) struct OpsTable {
            $(pub(crate) $name: fn($($ty),*) $(-> $ret)?,)*
        }
    };
}

/// Puts an instruction set on a function, makes its lanes, and calls it.
macro_rules! with_features {
    (scalar $item:item) => {
        $item
    };
    (neon $item:item) => {
        $item
    };
    (avx2 $item:item) => {
        #[target_feature(enable = "avx2,fma,f16c")]
        $item
    };
    (avx512 $item:item) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        $item
    };
    (lanes scalar) => {
        lanes::Scalar
    };
    (lanes neon) => {
        lanes::Neon
    };
    (lanes avx2) => {
        // SAFETY: only functions with these features use them, see above.
        unsafe { lanes::Avx2::new() }
    };
    (lanes avx512) => {
        // SAFETY: only functions with these features use them, see above.
        unsafe { lanes::Avx512::new() }
    };
    (call scalar $call:expr) => {
        $call
    };
    (call neon $call:expr) => {
        $call
    };
    (call $features:ident $call:expr) => {
        // SAFETY: the table of these functions is handed out only where the CPU has the features (`crate::table`).
        unsafe { $call }
    };
}

macro_rules! instantiate {
    (($table:ident, $features:ident)
        $(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $kernel:path;)*
    ) => {
        pub(crate) static $table: OpsTable = {
            $(
                fn $name($($arg: $ty),*) $(-> $ret)? {
                    with_features! { $features
                        fn inner($($arg: $ty),*) $(-> $ret)? {
                            $kernel(with_features!(lanes $features), $($arg),*)
                        }
                    }
                    with_features!(call $features inner($($arg),*))
                }
            )*
            OpsTable { $($name,)* }
        };
    };
}

each_op!(table_struct());
each_op!(instantiate(SCALAR, scalar));
#[cfg(target_arch = "x86_64")]
each_op!(instantiate(AVX2, avx2));
#[cfg(target_arch = "x86_64")]
each_op!(instantiate(AVX512, avx512));
#[cfg(target_arch = "aarch64")]
each_op!(instantiate(NEON, neon));
