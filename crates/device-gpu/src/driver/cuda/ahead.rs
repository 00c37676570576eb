//! Programs that were compiled before this one was built: machine code for known architectures, and PTX, which the driver
//! compiles for later ones. So most users need no compiler.
//!
//! An image is used only for exactly the source that it was made from.

use super::super::Dialect;
use crate::source::Program;
use std::io::Read;
use std::sync::LazyLock;

/// One compiled program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// [`Program::name`].
    pub program: &'static str,
    /// [`digest`] of the whole source.
    pub source: u64,
    /// What it is for.
    pub target: Target,
    /// Where its code begins in the store, in bytes.
    pub start: usize,
    /// Bytes of its code: machine code, or text of PTX that ends with a zero.
    pub len: usize,
}

impl Image {
    /// What the driver loads; empty where the store is damaged, which no driver takes for code.
    #[must_use]
    pub fn code(&self) -> &'static [u8] {
        STORE.get(self.start..self.start + self.len).unwrap_or_default()
    }
}

/// The code of all images, one after the other. They resemble each other: together they take half of what they take one by one.
static STORE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut code = Vec::new();
    let packed = &include_bytes!("../../../kernels/compiled/images.br")[..];
    match brotli_decompressor::Decompressor::new(packed, 4096).read_to_end(&mut code) {
        Ok(_) => code,
        Err(_) => Vec::new(),
    }
});

/// What programs are compiled for ahead, and the dialect that they are written in for it.
pub const TARGETS: &[(Dialect, Target)] = &[
    (Dialect::Cuda(7, 5), Target::Ptx(75)),
    (Dialect::Cuda(8, 0), Target::Ptx(80)),
    (Dialect::Cuda(10, 0), Target::Ptx(90)),
    (Dialect::Cuda(9, 0), Target::Machine("sm_90a")),
];

/// What an image runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One architecture, such as `sm_90a` or `gfx90a`.
    Machine(&'static str),
    /// CUDA devices of this compute capability, 75 for 7.5, and of every later one.
    Ptx(u32),
}

impl Target {
    /// Whether a program gains by being compiled for this target beside the more general ones: what asks for the architecture does;
    /// all do from 9.0 on, where kernels wait for each other in a new way, and so does all where nothing is more general.
    #[must_use]
    pub fn suits(self, program: &Program) -> bool {
        let asks = || program.parts.iter().any(|part| part.contains("__CUDA_ARCH"));
        matches!(self, Self::Ptx(75 | EARLY)) || asks()
    }
}

/// The compute capability from which on a kernel may start before the one before it has ended, and has to be compiled to wait.
const EARLY: u32 = 90;

/// What was compiled ahead; `scripts/compile_ahead.sh` makes it.
pub static IMAGES: &[Image] = include!("../../../kernels/compiled/images.rs");

/// Names a source: FNV-1a over its bytes, 64 bits. The table is our own, so that nothing needs to withstand forgery.
#[must_use]
pub fn digest(source: &str) -> u64 {
    source.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The images of a source that may run on a device, the best first: its own machine code, then PTX of the highest capability that
/// is not above the device's, and knows how kernels wait there. `capability` is 0 where there is no PTX.
pub fn find(
    source: u64,
    architecture: &str,
    capability: u32,
) -> impl Iterator<Item = &'static Image> + use<> {
    choose(IMAGES, source, architecture, capability)
}

fn choose<'a>(
    images: &'a [Image],
    source: u64,
    architecture: &str,
    capability: u32,
) -> impl Iterator<Item = &'a Image> + use<'a> {
    let of_source = || images.iter().filter(move |image| image.source == source);
    let own = of_source().find(|image| matches!(image.target, Target::Machine(name) if name == architecture));
    let ptx = |image: &Image| match image.target {
        Target::Ptx(least) if least <= capability && (least >= EARLY) == (capability >= EARLY) => Some(least),
        _ => None,
    };
    let best = of_source().filter(|image| ptx(image).is_some()).max_by_key(|image| ptx(image));
    own.into_iter().chain(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn image(source: u64, target: Target) -> Image {
        Image { program: "p", source, target, start: 0, len: 0 }
    }

    const SOME: &[Image] = &[
        image(1, Target::Ptx(75)),
        image(1, Target::Machine("sm_80")),
        image(1, Target::Ptx(90)),
        image(1, Target::Ptx(80)),
        image(2, Target::Machine("sm_90a")),
        image(4, Target::Ptx(75)),
    ];

    fn check(source: u64, architecture: &str, capability: u32, expected: &[Target]) {
        let found: Vec<Target> =
            choose(SOME, source, architecture, capability).map(|image| image.target).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn own_code_comes_first_then_the_highest_ptx_that_runs() {
        check(1, "sm_80", 80, &[Target::Machine("sm_80"), Target::Ptx(80)]);
        check(1, "sm_86", 86, &[Target::Ptx(80)]);
        check(1, "sm_120a", 120, &[Target::Ptx(90)]);
        check(1, "sm_70", 70, &[]);
        check(1, "gfx90a", 0, &[]);
        check(2, "sm_90a", 90, &[Target::Machine("sm_90a")]);
        check(3, "sm_90a", 90, &[]);
        // Its kernels would not wait.
        check(4, "sm_90a", 90, &[]);
    }

    #[test]
    fn a_digest_is_that_of_its_definition() {
        assert_eq!(digest(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(digest("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
