//! Hostile and damaged files of all three formats: refused, never a panic, never much memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use torchless_formats::{Checkpoint, FormatError, open_bytes};

mod hostile;

/// Counts what is allocated, to bound what a file can make the reader ask for.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator unchanged; the counters are only read.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that opening may allocate beyond what was there, other tests of this file running beside it included.
const GROWTH: usize = 64 << 20;

fn try_open(bytes: Vec<u8>) -> Result<Checkpoint, FormatError> {
    open_bytes(Arc::new(bytes))
}

#[test]
fn loader_refuses_hostile_native_files() {
    let sound = try_open(hostile::sound()).unwrap_or_else(|error| panic!("the sound file: {error}"));
    assert_eq!(sound.tensors.len(), 2);
    let cases = hostile::cases();
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert!(cases.len() >= 40 && names.len() == cases.len(), "{} cases, {} names", cases.len(), names.len());
    for case in cases {
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let result = try_open(case.bytes);
        let growth = PEAK.load(Ordering::Relaxed).saturating_sub(before);
        let Err(error) = result else { panic!("{} opened ({})", case.name, case.why) };
        eprintln!("{} ({}): {error}", case.name, case.why);
        assert!(growth <= GROWTH, "{}: {growth} bytes", case.name);
        assert!(error.to_string().len() < 1000, "{}: {error}", case.name);
    }
}

fn small_native() -> Vec<u8> {
    let mut bytes = hostile::sound();
    bytes.truncate(bytes.len() - 56);
    bytes
}

fn all() -> [(&'static str, Vec<u8>); 3] {
    [
        ("GGUF", hostile::small_gguf()),
        ("safetensors", hostile::small_safetensors()),
        ("native", small_native()),
    ]
}

fn touch(checkpoint: &Checkpoint) {
    for tensor in checkpoint.tensors.iter() {
        let mut row = vec![0.0; tensor.cols()];
        (0..tensor.rows()).for_each(|at| tensor.decode_row(at, &mut row));
    }
}

#[test]
fn loader_refuses_every_truncation() {
    for (format, whole) in all() {
        touch(&try_open(whole.clone()).unwrap_or_else(|error| panic!("{format}: {error}")));
        for length in 0..whole.len() {
            assert!(
                try_open(whole[..length].to_vec()).is_err(),
                "{format} cut to {length} of {}",
                whole.len()
            );
        }
    }
}

#[test]
fn loader_survives_every_changed_byte() {
    for (format, whole) in all() {
        let mut opened = 0;
        for at in 0..whole.len() {
            for change in [0x01, 0x20, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                if let Ok(checkpoint) = try_open(bytes) {
                    touch(&checkpoint);
                    opened += 1;
                }
            }
        }
        assert!(opened > 0, "{format}: no change in a tensor's data was accepted");
    }
}

#[test]
fn loader_opens_sound_variants() {
    let half = try_open(hostile::sound_f16()).unwrap_or_else(|error| panic!("{error}"));
    let mut row = [0.0; 128];
    half.tensors.get("a").unwrap().decode_row(1, &mut row);
    assert_eq!(row, [half::f16::from_le_bytes([0x3f, 0x3f]).to_f32(); 128]);
    let mut version_2 = hostile::small_gguf();
    version_2[4] = 2;
    touch(&try_open(version_2).unwrap_or_else(|error| panic!("{error}")));
    let opaque = try_open(hostile::small_safetensors()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(opaque.tensors.opaque().map(|tensor| tensor.dtype).collect::<Vec<_>>(), ["I64"]);
    let error = opaque.tensors.get("b").unwrap_err().to_string();
    let words = "tensor 'b': has the element type I64, which is not supported (supported: F32, F16, BF16, F64, F8_E4M3, F8_E5M2)";
    assert_eq!(error, words);
    assert!(opaque.tensors.get("c").unwrap_err().to_string().contains("tensor 'c': is missing"));
}

/// A length or count replaced by values that overflow, at every 8-byte place of the GGUF header.
#[test]
fn loader_refuses_numbers_that_wrap() {
    let whole = hostile::small_gguf();
    let header = whole.len() - 96 - 32;
    for at in 4..header - 8 {
        for value in [u64::MAX, 1 << 63, u64::MAX - 7, 1 << 62, 1 << 40, 0xffff_ffff] {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            if let Ok(checkpoint) = try_open(bytes) {
                touch(&checkpoint);
            }
        }
    }
}

/// Announces far more than the file holds; the reader must notice before it allocates.
#[test]
fn loader_allocates_no_more_than_the_file_is_worth() {
    let mut nested = Vec::new();
    for _ in 0..10_000 {
        nested.extend(9u32.to_le_bytes());
        nested.extend(1u64.to_le_bytes());
    }
    let head =
        |keys: u64| [b"GGUF", &3u32.to_le_bytes()[..], &0u64.to_le_bytes(), &keys.to_le_bytes()].concat();
    let key = [&1u64.to_le_bytes()[..], b"k", &9u32.to_le_bytes()].concat();
    let strings = |count: u64| [&8u32.to_le_bytes()[..], &count.to_le_bytes()].concat();
    let cases = [
        ("arrays nested 10,000 deep", [head(1), key.clone(), nested].concat()),
        ("2^62 strings", [head(1), key.clone(), strings(1 << 62)].concat()),
        ("4 million strings", [head(1), key.clone(), strings(4 << 20)].concat()),
        (
            "60,000 arrays of nothing",
            [head(1), key.clone(), 9u32.to_le_bytes().to_vec(), 60_000u64.to_le_bytes().to_vec()].concat(),
        ),
        ("65,536 keys", head(65_536)),
    ];
    for (name, bytes) in cases {
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        assert!(try_open(bytes).is_err(), "{name} opened");
        let growth = PEAK.load(Ordering::Relaxed).saturating_sub(before);
        assert!(growth <= GROWTH, "{name}: {growth} bytes");
    }
}
