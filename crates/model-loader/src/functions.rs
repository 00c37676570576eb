//! The functions of the library, by the names that they have had.
//!
//! Signatures are those of llama.h from January 2025 on; where a function was renamed without another change, both names are tried.

use std::ffi::{c_char, c_int, c_void};

use crate::abi::call::{Blob, ReturnsStruct};

/// `llama_model`.
#[repr(C)]
pub struct RawModel([u8; 0]);
/// `llama_context`.
#[repr(C)]
pub struct RawContext([u8; 0]);
/// `llama_vocab`; before it existed, the model.
#[repr(C)]
pub struct RawVocab([u8; 0]);
/// `llama_adapter_lora`.
#[repr(C)]
pub struct RawAdapter([u8; 0]);
/// What holds keys and values: `llama_memory_i`, or the context itself where there is no such type.
#[repr(C)]
pub struct RawMemory([u8; 0]);
/// `ggml_backend_device`.
#[repr(C)]
pub struct RawDevice([u8; 0]);

/// `llama_batch`, and zeros behind it: builds of 2024 have three more numbers there, which they ignore where positions and
/// sequences are given.
#[repr(C)]
pub struct RawBatch {
    pub n_tokens: i32,
    pub token: *mut i32,
    pub embd: *mut f32,
    pub pos: *mut i32,
    pub n_seq_id: *mut i32,
    pub seq_id: *mut *mut i32,
    pub logits: *mut i8,
    pub beyond: [u64; 8],
}

/// `llama_chat_message`.
#[repr(C)]
pub struct RawMessage {
    pub role: *const c_char,
    pub content: *const c_char,
}

/// `llama_log_callback`.
pub type LogCallback = unsafe extern "C" fn(c_int, *const c_char, *mut c_void);
/// `ggml_abort_callback`.
pub type AbortCallback = unsafe extern "C" fn(*mut c_void) -> bool;

macro_rules! functions {
    (
        required { $($(#[$doc:meta])* $name:ident: [$($symbol:literal),+] $ty:ty;)+ }
        optional { $($(#[$odoc:meta])* $oname:ident: [$($osymbol:literal),+] $oty:ty;)+ }
    ) => {
        /// Pointers to the functions of one library, which stays loaded as long as they do.
        #[derive(Clone, Copy)]
        pub struct Functions {
            $($(#[$doc])* pub $name: $ty,)+
            $($(#[$odoc])* pub $oname: Option<$oty>,)+
        }

        impl Functions {
            /// Looks all of them up.
            ///
            /// # Errors
            /// The names of those that are required and missing.
            pub fn of(library: &libloading::Library) -> Result<Self, Vec<&'static str>> {
                let mut missing = Vec::new();
                $(let $name = {
                    let found: Option<$ty> = lookup(library, &[$($symbol),+]);
                    if found.is_none() {
                        missing.push([$($symbol),+][0]);
                    }
                    found
                };)+
                let ($(Some($name),)+) = ($($name,)+) else { return Err(missing) };
                Ok(Self {
                    $($name,)+
                    $($oname: lookup(library, &[$($osymbol),+]),)+
                })
            }
        }
    };
}

/// The first of `symbols` that the library exports.
fn lookup<T: Copy>(library: &libloading::Library, symbols: &[&str]) -> Option<T> {
    symbols.iter().find_map(|symbol| {
        // SAFETY: the table below gives each symbol the type that llama.h and ggml-backend.h give it. A library that uses the names of
        // llama.cpp for anything else cannot be told from it.
        unsafe { library.get::<T>(*symbol) }.ok().map(|found| *found)
    })
}

type Model = *mut RawModel;
type Context = *mut RawContext;
type Vocab = *const RawVocab;
type Memory = *mut RawMemory;
type Text = *const c_char;

functions! {
    required {
        model_default_params: ["llama_model_default_params"] ReturnsStruct;
        context_default_params: ["llama_context_default_params"] ReturnsStruct;
        backend_init: ["llama_backend_init"] unsafe extern "C" fn();
        log_set: ["llama_log_set"] unsafe extern "C" fn(Option<LogCallback>, *mut c_void);
        supports_gpu_offload: ["llama_supports_gpu_offload"] unsafe extern "C" fn() -> bool;
        supports_mlock: ["llama_supports_mlock"] unsafe extern "C" fn() -> bool;
        supports_mmap: ["llama_supports_mmap"] unsafe extern "C" fn() -> bool;
        max_devices: ["llama_max_devices"] unsafe extern "C" fn() -> usize;
        model_load: ["llama_model_load_from_file", "llama_load_model_from_file"]
            unsafe extern "C" fn(Text, Blob) -> Model;
        model_free: ["llama_model_free", "llama_free_model"] unsafe extern "C" fn(Model);
        context_new: ["llama_init_from_model", "llama_new_context_with_model"]
            unsafe extern "C" fn(Model, Blob) -> Context;
        context_free: ["llama_free"] unsafe extern "C" fn(Context);
        n_vocab: ["llama_vocab_n_tokens", "llama_n_vocab"] unsafe extern "C" fn(Vocab) -> i32;
        token_bos: ["llama_vocab_bos", "llama_token_bos"] unsafe extern "C" fn(Vocab) -> i32;
        token_eos: ["llama_vocab_eos", "llama_token_eos"] unsafe extern "C" fn(Vocab) -> i32;
        token_nl: ["llama_vocab_nl", "llama_token_nl"] unsafe extern "C" fn(Vocab) -> i32;
        token_is_eog: ["llama_vocab_is_eog", "llama_token_is_eog"] unsafe extern "C" fn(Vocab, i32) -> bool;
        tokenize: ["llama_tokenize"] unsafe extern "C" fn(Vocab, Text, i32, *mut i32, i32, bool, bool) -> i32;
        token_to_piece: ["llama_token_to_piece"]
            unsafe extern "C" fn(Vocab, i32, *mut c_char, i32, i32, bool) -> i32;
        n_ctx_train: ["llama_model_n_ctx_train", "llama_n_ctx_train"] unsafe extern "C" fn(Model) -> i32;
        n_embd: ["llama_model_n_embd", "llama_n_embd"] unsafe extern "C" fn(Model) -> i32;
        n_layer: ["llama_model_n_layer", "llama_n_layer"] unsafe extern "C" fn(Model) -> i32;
        n_head: ["llama_model_n_head", "llama_n_head"] unsafe extern "C" fn(Model) -> i32;
        model_desc: ["llama_model_desc"] unsafe extern "C" fn(Model, *mut c_char, usize) -> i32;
        model_size: ["llama_model_size"] unsafe extern "C" fn(Model) -> u64;
        model_n_params: ["llama_model_n_params"] unsafe extern "C" fn(Model) -> u64;
        meta_count: ["llama_model_meta_count"] unsafe extern "C" fn(Model) -> i32;
        meta_key: ["llama_model_meta_key_by_index"] unsafe extern "C" fn(Model, i32, *mut c_char, usize) -> i32;
        meta_value: ["llama_model_meta_val_str_by_index"]
            unsafe extern "C" fn(Model, i32, *mut c_char, usize) -> i32;
        has_encoder: ["llama_model_has_encoder"] unsafe extern "C" fn(Model) -> bool;
        n_ctx: ["llama_n_ctx"] unsafe extern "C" fn(Context) -> u32;
        n_batch: ["llama_n_batch"] unsafe extern "C" fn(Context) -> u32;
        n_ubatch: ["llama_n_ubatch"] unsafe extern "C" fn(Context) -> u32;
        pooling_type: ["llama_pooling_type"] unsafe extern "C" fn(Context) -> c_int;
        set_n_threads: ["llama_set_n_threads"] unsafe extern "C" fn(Context, i32, i32);
        set_embeddings: ["llama_set_embeddings"] unsafe extern "C" fn(Context, bool);
        set_abort_callback: ["llama_set_abort_callback"]
            unsafe extern "C" fn(Context, Option<AbortCallback>, *mut c_void);
        decode: ["llama_decode"] unsafe extern "C" fn(Context, RawBatch) -> i32;
        encode: ["llama_encode"] unsafe extern "C" fn(Context, RawBatch) -> i32;
        logits_at: ["llama_get_logits_ith"] unsafe extern "C" fn(Context, i32) -> *const f32;
        embeddings_at: ["llama_get_embeddings_ith"] unsafe extern "C" fn(Context, i32) -> *const f32;
        embeddings_seq: ["llama_get_embeddings_seq"] unsafe extern "C" fn(Context, i32) -> *const f32;
        state_size: ["llama_state_get_size"] unsafe extern "C" fn(Context) -> usize;
        state_get: ["llama_state_get_data"] unsafe extern "C" fn(Context, *mut u8, usize) -> usize;
        state_set: ["llama_state_set_data"] unsafe extern "C" fn(Context, *const u8, usize) -> usize;
    }
    optional {
        /// Before it, functions of the vocabulary took the model.
        model_vocab: ["llama_model_get_vocab"] unsafe extern "C" fn(Model) -> Vocab;
        version: ["llama_version"] unsafe extern "C" fn() -> Text;
        has_decoder: ["llama_model_has_decoder"] unsafe extern "C" fn(Model) -> bool;
        is_recurrent: ["llama_model_is_recurrent"] unsafe extern "C" fn(Model) -> bool;
        is_hybrid: ["llama_model_is_hybrid"] unsafe extern "C" fn(Model) -> bool;
        n_cls_out: ["llama_model_n_cls_out"] unsafe extern "C" fn(Model) -> u32;
        n_embd_out: ["llama_model_n_embd_out"] unsafe extern "C" fn(Model) -> i32;
        chat_template: ["llama_model_chat_template"] unsafe extern "C" fn(Model, Text) -> Text;
        chat_apply: ["llama_chat_apply_template"]
            unsafe extern "C" fn(Text, *const RawMessage, usize, bool, *mut c_char, i32) -> i32;
        adapter_new: ["llama_adapter_lora_init"] unsafe extern "C" fn(Model, Text) -> *mut RawAdapter;
        adapter_free: ["llama_adapter_lora_free"] unsafe extern "C" fn(*mut RawAdapter);
        adapter_set: ["llama_set_adapter_lora"] unsafe extern "C" fn(Context, *mut RawAdapter, f32) -> i32;
        adapters_clear: ["llama_clear_adapter_lora"] unsafe extern "C" fn(Context);
        adapters_set: ["llama_set_adapters_lora"]
            unsafe extern "C" fn(Context, *mut *mut RawAdapter, usize, *mut f32) -> i32;
        quantize_defaults: ["llama_model_quantize_default_params"] ReturnsStruct;
        quantize: ["llama_model_quantize"] unsafe extern "C" fn(Text, Text, *const c_void) -> u32;
        max_sequences: ["llama_max_parallel_sequences"] unsafe extern "C" fn() -> usize;
        context_memory: ["llama_get_memory"] unsafe extern "C" fn(Context) -> Memory;
        memory_clear: ["llama_memory_clear"] unsafe extern "C" fn(Memory, bool);
        memory_remove: ["llama_memory_seq_rm"] unsafe extern "C" fn(Memory, i32, i32, i32) -> bool;
        memory_copy: ["llama_memory_seq_cp"] unsafe extern "C" fn(Memory, i32, i32, i32, i32);
        kv_clear: ["llama_kv_self_clear", "llama_kv_cache_clear"] unsafe extern "C" fn(Context);
        kv_remove: ["llama_kv_self_seq_rm", "llama_kv_cache_seq_rm"]
            unsafe extern "C" fn(Context, i32, i32, i32) -> bool;
        kv_copy: ["llama_kv_self_seq_cp", "llama_kv_cache_seq_cp"]
            unsafe extern "C" fn(Context, i32, i32, i32, i32);
    }
}

/// Functions of ggml, which lie in another library that the first one needs.
#[derive(Clone, Copy, Default)]
pub struct GgmlFunctions {
    pub load_all: Option<unsafe extern "C" fn()>,
    pub load_all_from: Option<unsafe extern "C" fn(Text)>,
    pub device_count: Option<unsafe extern "C" fn() -> usize>,
    pub device: Option<unsafe extern "C" fn(usize) -> *mut RawDevice>,
    pub device_name: Option<unsafe extern "C" fn(*mut RawDevice) -> Text>,
}

impl GgmlFunctions {
    /// Looks them up, and keeps those that were found before.
    pub fn also(self, library: &libloading::Library) -> Self {
        Self {
            load_all: self.load_all.or_else(|| lookup(library, &["ggml_backend_load_all"])),
            load_all_from: self
                .load_all_from
                .or_else(|| lookup(library, &["ggml_backend_load_all_from_path"])),
            device_count: self.device_count.or_else(|| lookup(library, &["ggml_backend_dev_count"])),
            device: self.device.or_else(|| lookup(library, &["ggml_backend_dev_get"])),
            device_name: self.device_name.or_else(|| lookup(library, &["ggml_backend_dev_name"])),
        }
    }

    /// Whether plug-ins and devices can be asked for.
    pub fn is_complete(&self) -> bool {
        self.load_all_from.is_some() && self.device_count.is_some() && self.device.is_some()
    }
}
