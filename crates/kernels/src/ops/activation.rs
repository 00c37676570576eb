//! Activation functions over lanes, alone and as gates.

use super::elementwise::{Map, Zip, for_pieces, map, zip};
use crate::Activation;
use crate::cpu::Cpu;
use crate::lanes::{Lanes, math};

/// sqrt(2 / pi) and the factor of the cubic term in the tanh form of GELU (Hendrycks & Gimpel 2016, arXiv 1606.08415).
const GELU_SLOPE: f32 = 0.797_884_6;
const GELU_CUBIC: f32 = 0.044_715;
/// Slope of the sigmoid form of GELU, from the same paper.
const GELU_QUICK: f32 = 1.702;
/// Where ggml looks no value up any more.
const TABLE_END: f32 = 10.0;

impl Cpu {
    /// Applies the function to each value of `x`.
    pub fn activate(&self, function: Activation, x: &mut [f32]) {
        for_pieces(self, x, &|_, x| (self.kernels.ops.activate)(function, x));
    }

    /// `gate[i] = f(gate[i]) * up[i]`. Panics where the lengths differ.
    pub fn glu(&self, function: Activation, gate: &mut [f32], up: &[f32]) {
        assert_eq!(gate.len(), up.len(), "glu: lengths");
        for_pieces(self, gate, &|at, gate| (self.kernels.ops.glu)(function, gate, &up[at..][..gate.len()]));
    }
}

/// Defines one type per function, so that each loop is compiled for one function.
macro_rules! functions {
    ($($name:ident = |$l:ident, $x:ident| $body:expr;)*) => {
        $(
            #[derive(Clone, Copy)]
            struct $name;

            impl Map for $name {
                #[inline(always)]
                fn apply<L: Lanes>(self, $l: L, $x: L::V) -> L::V {
                    $body
                }
            }
        )*

        #[inline(always)]
        pub(crate) fn activate<L: Lanes>(l: L, function: Activation, x: &mut [f32]) {
            match function {
                $(Activation::$name => map(l, x, $name),)*
            }
        }

        #[inline(always)]
        pub(crate) fn glu<L: Lanes>(l: L, function: Activation, gate: &mut [f32], up: &[f32]) {
            match function {
                $(Activation::$name => zip(l, gate, up, Gate($name)),)*
            }
        }
    };
}

#[derive(Clone, Copy)]
struct Gate<M>(M);

impl<M: Map> Zip for Gate<M> {
    #[inline(always)]
    fn apply<L: Lanes>(self, l: L, gate: L::V, up: L::V) -> L::V {
        l.mul(self.0.apply(l, gate), up)
    }
}

functions! {
    Silu = |l, x| l.mul(x, math::sigmoid(l, x));
    Gelu = |l, x| gelu(l, x);
    GeluTanh = |l, x| gelu_tanh(l, x);
    GeluTanhHalf = |l, x| gelu_tanh_half(l, x);
    GeluQuick = |l, x| l.mul(x, math::sigmoid(l, l.mul(x, l.splat(GELU_QUICK))));
    Relu = |l, x| l.max(l.zero(), x);
    ReluSquared = |l, x| { let r = l.max(l.zero(), x); l.mul(r, r) };
    Tanh = |l, x| math::tanh(l, x);
}

#[inline(always)]
fn gelu<L: Lanes>(l: L, x: L::V) -> L::V {
    // x Phi(x) is x less its upper tail on the right and the tail alone on the left; at 15 the tail is 0.
    let magnitude = l.min(l.splat(15.0), l.abs(x));
    let tail = l.mul(magnitude, math::normal_tail(l, magnitude));
    l.sub(l.max(l.zero(), x), tail)
}

#[inline(always)]
fn gelu_tanh<L: Lanes>(l: L, x: L::V) -> L::V {
    // (1 + tanh u) / 2 is the sigmoid of 2u.
    let cubic = l.fma(l.mul(x, x), l.splat(GELU_CUBIC), l.splat(1.0));
    let doubled = l.mul(l.mul(x, l.splat(2.0 * GELU_SLOPE)), cubic);
    l.mul(x, math::sigmoid(l, doubled))
}

#[inline(always)]
fn gelu_tanh_half<L: Lanes>(l: L, x: L::V) -> L::V {
    let between = l.round_to_half(gelu_tanh(l, l.round_to_half(x)));
    let (low, high) = (l.splat(-TABLE_END), l.splat(TABLE_END));
    l.select_lt(x, high, l.select_lt(low, x, between, l.zero()), x)
}
