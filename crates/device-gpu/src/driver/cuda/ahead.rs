//! Programs that were compiled before this one was built: machine code for known architectures, and PTX, which the driver
//! compiles for later ones. So most users need no compiler.
//!
//! An image is used only for exactly the source that it was made from.

/// One compiled program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// [`crate::Program::name`].
    pub program: &'static str,
    /// [`digest`] of the whole source.
    pub source: u64,
    /// What it is for.
    pub target: Target,
    /// Machine code, or text of PTX.
    pub code: &'static [u8],
}

/// What an image runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One architecture, such as `sm_90a` or `gfx90a`.
    Machine(&'static str),
    /// CUDA devices of this compute capability, 75 for 7.5, and of every later one.
    Ptx(u32),
}

/// What was compiled ahead; `cargo xtask` makes it.
static IMAGES: &[Image] = include!("../../../kernels/compiled/images.rs");

/// Names a source: FNV-1a over its bytes, 64 bits. The table is our own, so that nothing needs to withstand forgery.
#[must_use]
pub fn digest(source: &str) -> u64 {
    source.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The images of a source that may run on a device, the best first: its own machine code, then PTX of the highest capability that
/// is not above the device's. `capability` is 0 where there is no PTX.
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
        Target::Ptx(least) if least <= capability => Some(least),
        _ => None,
    };
    let best = of_source().filter(|image| ptx(image).is_some()).max_by_key(|image| ptx(image));
    own.into_iter().chain(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn image(source: u64, target: Target, code: &'static [u8]) -> Image {
        Image { program: "p", source, target, code }
    }

    const SOME: &[Image] = &[
        image(1, Target::Ptx(75), b"ptx 75"),
        image(1, Target::Machine("sm_80"), b"sm_80"),
        image(1, Target::Ptx(90), b"ptx 90"),
        image(1, Target::Ptx(80), b"ptx 80"),
        image(2, Target::Machine("sm_90a"), b"other"),
    ];

    fn check(source: u64, architecture: &str, capability: u32, expected: &[&str]) {
        let found: Vec<&str> = choose(SOME, source, architecture, capability)
            .map(|image| std::str::from_utf8(image.code).unwrap())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn own_code_comes_first_then_the_highest_ptx_that_runs() {
        check(1, "sm_80", 80, &["sm_80", "ptx 80"]);
        check(1, "sm_86", 86, &["ptx 80"]);
        check(1, "sm_120a", 120, &["ptx 90"]);
        check(1, "sm_70", 70, &[]);
        check(1, "gfx90a", 0, &[]);
        check(2, "sm_90a", 90, &["other"]);
        check(3, "sm_90a", 90, &[]);
    }

    #[test]
    fn a_digest_is_that_of_its_definition() {
        assert_eq!(digest(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(digest("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
