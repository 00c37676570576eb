//! Where the fields of parameter structs lie, per era of the library, and which era a library is of.
//!
//! A row lists a struct as its header declared it; offsets follow by the rules of C. A row fits a library whose defaults have
//! been written at all of its fields and nowhere else, with the values that the row expects, and whose symbols are of its time.
//! Where several rows fit, only what they agree on counts as known, so that a field is written where it is or not at all.

use super::footprint::Footprint;

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `bool`.
    Bool,
    /// `int32_t`, `uint32_t`, `float` or an enum.
    Word,
    /// A pointer or `size_t`.
    Pointer,
}

impl Kind {
    /// Its size and alignment.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Word => 4,
            Self::Pointer => 8,
        }
    }
}

/// A member of a struct.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    name: &'static str,
    kind: Kind,
    /// Values that are its default somewhere.
    defaults: &'static [u64],
}

/// A struct as one era has it.
#[derive(Debug)]
pub struct Row {
    /// A release that has it.
    release: &'static str,
    /// Its members, in pieces that rows share.
    pieces: &'static [&'static [Field]],
    /// Symbols that every library of the era exports.
    has: &'static [&'static str],
    /// Symbols that none exports.
    lacks: &'static [&'static str],
}

/// The fields of a struct that are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Releases whose layout it could be.
    releases: Vec<&'static str>,
    fields: Vec<Placed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Placed {
    name: &'static str,
    at: usize,
    kind: Kind,
}

impl Layout {
    /// Where the field lies, and what it is.
    pub fn place(&self, name: &str) -> Option<(usize, Kind)> {
        self.fields.iter().find(|field| field.name == name).map(|field| (field.at, field.kind))
    }

    /// Releases with this layout, for reports.
    pub fn releases(&self) -> &[&'static str] {
        &self.releases
    }
}

/// The layout that `footprint` shows, of a library that exports what `exports` says; `None` if no row fits.
pub fn recognise(rows: &[Row], footprint: &Footprint, exports: &dyn Fn(&str) -> bool) -> Option<Layout> {
    let mut fitting = rows.iter().filter(|row| row.fits(footprint, exports));
    let first = fitting.next()?;
    let start = Layout { releases: vec![first.release], fields: first.placed().collect() };
    Some(fitting.fold(start, |mut known, row| {
        known.releases.push(row.release);
        let also: Vec<Placed> = row.placed().collect();
        known.fields.retain(|field| also.contains(field));
        known
    }))
}

impl Row {
    fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.pieces.iter().flat_map(|piece| piece.iter())
    }

    fn placed(&self) -> impl Iterator<Item = Placed> {
        self.fields().scan(0_usize, |end, field| {
            let at = end.next_multiple_of(field.kind.bytes());
            *end = at + field.kind.bytes();
            Some(Placed { name: field.name, at, kind: field.kind })
        })
    }

    fn fits(&self, footprint: &Footprint, exports: &dyn Fn(&str) -> bool) -> bool {
        let end = self.placed().last().map_or(0, |last| last.at + last.kind.bytes());
        // Compilers may clear the padding at the end along with a field before it, or leave it alone.
        let size_fits = (end..=end.next_multiple_of(8)).contains(&footprint.size());
        let mut covered = [false; super::call::BLOB_BYTES];
        let mut values_fit = true;
        for (field, placed) in self.fields().zip(self.placed()) {
            let bytes = placed.kind.bytes();
            covered[placed.at..placed.at + bytes].fill(true);
            values_fit &=
                footprint.value(placed.at, bytes).is_some_and(|value| field.defaults.contains(&value));
        }
        let rest_is_padding = (0..footprint.size()).all(|at| covered[at] || footprint.may_be_padding(at));
        size_fits
            && values_fit
            && rest_is_padding
            && self.has.iter().all(|symbol| exports(symbol))
            && !self.lacks.iter().any(|symbol| exports(symbol))
    }
}

const fn word(name: &'static str, defaults: &'static [u64]) -> Field {
    Field { name, kind: Kind::Word, defaults }
}

const fn pointer(name: &'static str) -> Field {
    Field { name, kind: Kind::Pointer, defaults: &[0] }
}

const fn off(name: &'static str) -> Field {
    Field { name, kind: Kind::Bool, defaults: &[0] }
}

const fn on(name: &'static str) -> Field {
    Field { name, kind: Kind::Bool, defaults: &[1] }
}

const MINUS_ONE: u64 = 0xFFFF_FFFF;
const F_MINUS_ONE: u64 = 0xBF80_0000;
const F_ONE: u64 = 0x3F80_0000;
const F_32: u64 = 0x4200_0000;

const DEVICES: &[Field] = &[pointer("devices")];
const BUFFERS: &[Field] = &[pointer("tensor_buft_overrides")];
// 999 layers were the default of builds with Metal, later of all; then -1, which means all.
const LAYERS: &[Field] = &[word("n_gpu_layers", &[0, 999, MINUS_ONE]), word("split_mode", &[1])];
// The mode was `mmap` before it became `auto`.
const LOAD_MODE: &[Field] = &[word("load_mode", &[1, MINUS_ONE])];
const LAZY_MODE: &[Field] = &[word("lazy_mode", &[1])];
const SPLIT: &[Field] = &[
    word("main_gpu", &[0]),
    pointer("tensor_split"),
    pointer("progress_callback"),
    pointer("progress_callback_user_data"),
    pointer("kv_overrides"),
];
const MMAP_MLOCK: &[Field] = &[off("vocab_only"), on("use_mmap"), off("use_mlock"), off("check_tensors")];
const EXTRA: &[Field] = &[on("use_extra_bufts")];
const NO_HOST: &[Field] = &[off("no_host")];
const MMAP_DIRECT_MLOCK: &[Field] = &[
    off("vocab_only"),
    on("use_mmap"),
    // On for a while, before it went off again.
    Field { name: "use_direct_io", kind: Kind::Bool, defaults: &[0, 1] },
    off("use_mlock"),
    off("check_tensors"),
    on("use_extra_bufts"),
    off("no_host"),
    off("no_alloc"),
];
const MODES_ONLY: &[Field] = &[
    off("vocab_only"),
    off("check_tensors"),
    on("use_extra_bufts"),
    off("no_host"),
    off("no_alloc"),
    off("load_mtp"),
];

/// `llama_model_params`, oldest first.
pub const MODEL_ROWS: &[Row] = &[
    Row {
        release: "b4753",
        pieces: &[DEVICES, LAYERS, SPLIT, MMAP_MLOCK],
        has: &["llama_model_get_vocab"],
        lacks: &["llama_memory_clear"],
    },
    Row {
        release: "b5590",
        pieces: &[DEVICES, BUFFERS, LAYERS, SPLIT, MMAP_MLOCK],
        has: &["llama_kv_self_clear"],
        lacks: &["llama_flash_attn_type_name"],
    },
    Row {
        release: "b6122",
        pieces: &[DEVICES, BUFFERS, LAYERS, SPLIT, MMAP_MLOCK, EXTRA],
        has: &["llama_memory_clear"],
        lacks: &["llama_set_sampler"],
    },
    Row {
        release: "b7347",
        pieces: &[DEVICES, BUFFERS, LAYERS, SPLIT, MMAP_MLOCK, EXTRA, NO_HOST],
        has: &["llama_flash_attn_type_name"],
        lacks: &["llama_set_sampler"],
    },
    Row {
        release: "b8179",
        pieces: &[DEVICES, BUFFERS, LAYERS, SPLIT, MMAP_DIRECT_MLOCK],
        has: &["llama_set_sampler"],
        lacks: &["llama_load_mode_name"],
    },
    Row {
        release: "b10361",
        pieces: &[DEVICES, BUFFERS, LAYERS, LOAD_MODE, SPLIT, MODES_ONLY],
        has: &["llama_load_mode_name"],
        lacks: &["llama_kv_self_clear"],
    },
    Row {
        release: "0.5.0",
        pieces: &[DEVICES, BUFFERS, LAYERS, LOAD_MODE, LAZY_MODE, SPLIT, MODES_ONLY],
        has: &["llama_load_mode_name"],
        lacks: &["llama_kv_self_clear"],
    },
];

const SIZES: &[Field] =
    &[word("n_ctx", &[512]), word("n_batch", &[2048]), word("n_ubatch", &[512]), word("n_seq_max", &[1])];
const OUTPUTS: &[Field] = &[word("n_rs_seq", &[0]), word("n_outputs_max", &[0])];
const OUTPUTS_PER_SEQ: &[Field] = &[word("n_outputs_max_per_seq", &[1])];
const THREADS: &[Field] = &[word("n_threads", &[4]), word("n_threads_batch", &[4])];
const CONTEXT_TYPE: &[Field] = &[word("ctx_type", &[0])];
const TYPES: &[Field] = &[
    word("rope_scaling_type", &[MINUS_ONE]),
    word("pooling_type", &[MINUS_ONE]),
    word("attention_type", &[MINUS_ONE]),
];
const FLASH_TYPE: &[Field] = &[word("flash_attn_type", &[MINUS_ONE])];
const ROPE: &[Field] = &[
    word("rope_freq_base", &[0]),
    word("rope_freq_scale", &[0]),
    word("yarn_ext_factor", &[F_MINUS_ONE]),
    word("yarn_attn_factor", &[F_ONE, F_MINUS_ONE]),
    word("yarn_beta_fast", &[F_32, F_MINUS_ONE]),
    word("yarn_beta_slow", &[F_ONE, F_MINUS_ONE]),
    word("yarn_orig_ctx", &[0]),
    word("defrag_thold", &[F_MINUS_ONE]),
    pointer("cb_eval"),
    pointer("cb_eval_user_data"),
    word("type_k", &[1]),
    word("type_v", &[1]),
];
const MOE_CACHE: &[Field] = &[pointer("moe_cache_size")];
const ABORT: &[Field] = &[pointer("abort_callback"), pointer("abort_callback_data")];
const LOGITS_ALL: &[Field] = &[off("logits_all")];
const WITH_FLASH: &[Field] = &[off("embeddings"), on("offload_kqv"), off("flash_attn"), on("no_perf")];
const WITHOUT_FLASH: &[Field] = &[off("embeddings"), on("offload_kqv"), on("no_perf")];
const OFFLOAD: &[Field] = &[on("op_offload"), on("swa_full")];
const UNIFIED: &[Field] = &[off("kv_unified")];
const SAMPLERS: &[Field] = &[pointer("samplers"), pointer("n_samplers")];
const OTHER: &[Field] = &[pointer("ctx_other")];

/// `llama_context_params`, oldest first.
pub const CONTEXT_ROWS: &[Row] = &[
    Row {
        release: "b4753",
        pieces: &[SIZES, THREADS, TYPES, ROPE, LOGITS_ALL, WITH_FLASH, ABORT],
        has: &["llama_model_get_vocab"],
        lacks: &["llama_memory_clear"],
    },
    Row {
        release: "b5590",
        pieces: &[SIZES, THREADS, TYPES, ROPE, ABORT, WITH_FLASH, OFFLOAD],
        has: &["llama_kv_self_clear"],
        lacks: &["llama_model_is_diffusion"],
    },
    Row {
        release: "b6122",
        pieces: &[SIZES, THREADS, TYPES, ROPE, ABORT, WITH_FLASH, OFFLOAD, UNIFIED],
        has: &["llama_memory_clear", "llama_model_is_diffusion"],
        lacks: &["llama_flash_attn_type_name"],
    },
    Row {
        release: "b6431",
        pieces: &[SIZES, THREADS, TYPES, FLASH_TYPE, ROPE, ABORT, WITHOUT_FLASH, OFFLOAD, UNIFIED],
        has: &["llama_flash_attn_type_name"],
        lacks: &["llama_set_sampler"],
    },
    Row {
        release: "b8179",
        pieces: &[SIZES, THREADS, TYPES, FLASH_TYPE, ROPE, ABORT, WITHOUT_FLASH, OFFLOAD, UNIFIED, SAMPLERS],
        has: &["llama_set_sampler"],
        lacks: &["llama_n_rs_seq"],
    },
    Row {
        release: "b10068",
        pieces: &[
            SIZES,
            OUTPUTS,
            THREADS,
            CONTEXT_TYPE,
            TYPES,
            FLASH_TYPE,
            ROPE,
            ABORT,
            WITHOUT_FLASH,
            OFFLOAD,
            UNIFIED,
            SAMPLERS,
            OTHER,
        ],
        has: &["llama_n_rs_seq"],
        lacks: &["llama_load_mode_name"],
    },
    Row {
        release: "0.5.0",
        pieces: &[
            SIZES,
            OUTPUTS,
            OUTPUTS_PER_SEQ,
            THREADS,
            CONTEXT_TYPE,
            TYPES,
            FLASH_TYPE,
            ROPE,
            ABORT,
            WITHOUT_FLASH,
            OFFLOAD,
            UNIFIED,
            SAMPLERS,
            OTHER,
        ],
        has: &["llama_load_mode_name"],
        lacks: &["llama_kv_self_clear"],
    },
    Row {
        release: "0.8.0",
        pieces: &[
            SIZES,
            OUTPUTS,
            OUTPUTS_PER_SEQ,
            THREADS,
            CONTEXT_TYPE,
            TYPES,
            FLASH_TYPE,
            ROPE,
            MOE_CACHE,
            ABORT,
            WITHOUT_FLASH,
            OFFLOAD,
            UNIFIED,
            SAMPLERS,
            OTHER,
        ],
        has: &["llama_load_mode_name"],
        lacks: &["llama_kv_self_clear"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::footprint::footprint_of;

    /// What a library with this row leaves, padding untouched or cleared.
    fn bytes(row: &Row, padding: Option<u8>) -> Vec<Option<u8>> {
        let mut bytes = Vec::new();
        for (field, placed) in row.fields().zip(row.placed()) {
            bytes.resize(placed.at, padding);
            bytes.extend(
                field.defaults[0].to_le_bytes()[..placed.kind.bytes()].iter().map(|&byte| Some(byte)),
            );
        }
        bytes
    }

    fn symbols_of(row: &Row) -> impl Fn(&str) -> bool {
        |symbol| row.has.contains(&symbol)
    }

    fn size(row: &Row) -> usize {
        bytes(row, None).len().next_multiple_of(8)
    }

    #[test]
    fn sizes_are_those_of_the_headers() {
        assert_eq!(MODEL_ROWS.iter().map(size).collect::<Vec<_>>(), [64, 72, 72, 72, 72, 72, 80]);
        assert_eq!(
            CONTEXT_ROWS.iter().map(size).collect::<Vec<_>>(),
            [120, 120, 120, 120, 136, 160, 160, 168]
        );
    }

    #[test]
    fn every_row_is_found_again_with_untouched_and_with_cleared_padding() {
        for rows in [MODEL_ROWS, CONTEXT_ROWS] {
            for row in rows {
                for padding in [None, Some(0)] {
                    let footprint = footprint_of(&bytes(row, padding));
                    let layout = recognise(rows, &footprint, &symbols_of(row)).expect(row.release);
                    assert!(layout.releases().contains(&row.release));
                    for field in &layout.fields {
                        assert!(row.placed().any(|placed| placed == *field), "{} {field:?}", row.release);
                    }
                }
            }
        }
    }

    #[test]
    fn another_size_another_default_or_a_byte_in_a_gap_is_another_layout() {
        for rows in [MODEL_ROWS, CONTEXT_ROWS] {
            let row = &rows[rows.len() - 1];
            let plain = bytes(row, None);
            let unknown = |bytes: &[Option<u8>]| {
                let layout = recognise(rows, &footprint_of(bytes), &symbols_of(row));
                assert_eq!(layout, None);
            };
            let mut longer = plain.clone();
            longer.extend([Some(0); 8]);
            unknown(&longer);
            for at in 0..plain.len() {
                let mut changed = plain.clone();
                changed[at] = Some(plain[at].unwrap_or(0).wrapping_add(77));
                unknown(&changed);
            }
        }
    }

    #[test]
    fn symbols_of_another_time_are_refused() {
        let row = &CONTEXT_ROWS[0];
        let footprint = footprint_of(&bytes(row, None));
        assert!(recognise(CONTEXT_ROWS, &footprint, &|_| false).is_none());
        let late = |symbol: &str| row.has.contains(&symbol) || symbol == "llama_memory_clear";
        assert!(recognise(CONTEXT_ROWS, &footprint, &late).is_none());
    }

    #[test]
    fn what_two_fitting_rows_disagree_on_is_unknown() {
        const ROWS: &[Row] = &[
            Row {
                release: "one",
                pieces: &[&[word("a", &[0]), word("b", &[0]), off("c")]],
                has: &[],
                lacks: &[],
            },
            Row {
                release: "two",
                pieces: &[&[word("b", &[0]), word("a", &[0]), off("c")]],
                has: &[],
                lacks: &[],
            },
        ];
        let layout = recognise(ROWS, &footprint_of(&[Some(0); 9]), &|_| true).expect("both fit");
        assert_eq!((layout.place("a"), layout.place("b")), (None, None));
        assert_eq!(layout.place("c"), Some((8, Kind::Bool)));
        assert_eq!(layout.releases(), ["one", "two"]);
    }
}
