//! The store of programs that were compiled ahead, held against the programs.

use torchless_device_gpu::driver::ahead::{IMAGES, Image, TARGETS, Target, digest};
use torchless_device_gpu::programs;

/// What is wanted of an image, for messages too.
fn wanted() -> Vec<(String, u64, Target)> {
    let of_target = |(dialect, target): &(_, Target)| {
        let programs = programs::all(*dialect).into_iter().filter(|program| target.suits(program));
        let row = |program: torchless_device_gpu::Program| {
            let source = digest(&program.text(*dialect));
            (program.name, source, *target)
        };
        programs.map(row).collect::<Vec<_>>()
    };
    TARGETS.iter().flat_map(of_target).collect()
}

#[test]
fn every_program_is_compiled_ahead_as_it_stands() {
    let held: Vec<_> =
        IMAGES.iter().map(|image| (image.program.to_owned(), image.source, image.target)).collect();
    let missing: Vec<_> = wanted().into_iter().filter(|row| !held.contains(row)).collect();
    let names: Vec<String> =
        missing.iter().map(|(name, _, target)| format!("{name} for {target:?}")).collect();
    assert!(names.is_empty(), "run scripts/compile_ahead.sh: out of date are {}", names.join(", "));
    assert_eq!(
        held.len(),
        wanted().len(),
        "run scripts/compile_ahead.sh: the store has programs that are no more"
    );
}

#[test]
fn every_image_is_code_for_its_target() {
    let is_code = |image: &Image| match image.target {
        Target::Machine(_) => image.code().starts_with(b"\x7fELF"),
        Target::Ptx(capability) => {
            let text = String::from_utf8_lossy(image.code());
            text.contains(&format!(".target sm_{capability}\n")) && text.ends_with('\0')
        }
    };
    let wrong: Vec<_> = IMAGES.iter().filter(|image| !is_code(image)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
