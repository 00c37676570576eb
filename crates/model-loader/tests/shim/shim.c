/* A library with the functions of llama.cpp that computes nothing and writes down what it is given.
 *
 * ERA picks the structs of a release (1: b4753, 2: b5590, 3: b6122, 4: b6431, 5: b7347, 6: b8179, 7: b10068, 8: b10361, 9: 0.5.0,
 * 10: 0.8.0); FORK puts a field of its own into those of b8179; OLD is a library from before vocabularies had functions of
 * their own; WITHOUT_DECODE lacks a function. What it is given goes as lines to the file that SHIM_OUT names. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FORK
#define ERA 6
#endif
#ifdef OLD
#define ERA 0
#endif

typedef struct {
#if ERA >= 1
    void *devices;
#endif
#if ERA >= 2
    void *tensor_buft_overrides;
#endif
#ifdef FORK
    int32_t own_number;
#endif
    int32_t n_gpu_layers;
    int32_t split_mode;
#if ERA >= 8
    int32_t load_mode;
#endif
#if ERA >= 9
    int32_t lazy_mode;
#endif
    int32_t main_gpu;
    const float *tensor_split;
#if ERA == 0
    const char *rpc_servers;
#endif
    void *progress_callback;
    void *progress_callback_user_data;
    void *kv_overrides;
    bool vocab_only;
#if ERA < 8
    bool use_mmap;
#if ERA == 6 || ERA == 7
    bool use_direct_io;
#endif
    bool use_mlock;
#endif
    bool check_tensors;
#if ERA >= 3
    bool use_extra_bufts;
#endif
#if ERA >= 5
    bool no_host;
#endif
#if ERA >= 6
    bool no_alloc;
#endif
#if ERA >= 8
    bool load_mtp;
#endif
} model_params;

typedef struct {
    uint32_t n_ctx;
    uint32_t n_batch;
    uint32_t n_ubatch;
    uint32_t n_seq_max;
#if ERA >= 7
    uint32_t n_rs_seq;
    uint32_t n_outputs_max;
#endif
#if ERA >= 8
    uint32_t n_outputs_max_per_seq;
#endif
#ifdef FORK
    int32_t own_number;
#endif
    int32_t n_threads;
    int32_t n_threads_batch;
#if ERA >= 7
    int32_t ctx_type;
#endif
    int32_t rope_scaling_type;
    int32_t pooling_type;
    int32_t attention_type;
#if ERA >= 4
    int32_t flash_attn_type;
#endif
    float rope_freq_base;
    float rope_freq_scale;
    float yarn_ext_factor;
    float yarn_attn_factor;
    float yarn_beta_fast;
    float yarn_beta_slow;
    uint32_t yarn_orig_ctx;
    float defrag_thold;
    void *cb_eval;
    void *cb_eval_user_data;
    int32_t type_k;
    int32_t type_v;
#if ERA >= 10
    size_t moe_cache_size;
#endif
#if ERA >= 2
    void *abort_callback;
    void *abort_callback_data;
#else
    bool logits_all;
#endif
    bool embeddings;
    bool offload_kqv;
#if ERA < 4
    bool flash_attn;
#endif
    bool no_perf;
#if ERA >= 2
    bool op_offload;
    bool swa_full;
#else
    void *abort_callback;
    void *abort_callback_data;
#endif
#if ERA >= 3
    bool kv_unified;
#endif
#if ERA >= 6
    void *samplers;
    size_t n_samplers;
#endif
#if ERA >= 7
    void *ctx_other;
#endif
} context_params;

typedef struct {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos;
    int32_t *n_seq_id;
    int32_t **seq_id;
    int8_t *logits;
#if ERA == 0
    int32_t all_pos_0, all_pos_1, all_seq_id;
#endif
} batch_params;

static void note(const char *name, double value) {
    const char *path = getenv("SHIM_OUT");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) {
        fprintf(file, "%s=%g\n", name, value);
        fclose(file);
    }
}
#define NOTE(field) note(#field, (double) params.field)
#define NOTE_POINTER(field) note(#field, params.field != NULL)

model_params llama_model_default_params(void) {
    model_params params;
#if ERA >= 1
    params.devices = NULL;
#endif
#if ERA >= 2
    params.tensor_buft_overrides = NULL;
#endif
#ifdef FORK
    params.own_number = 3;
#endif
    params.n_gpu_layers = ERA >= 6 ? -1 : ERA >= 4 ? 999 : 0;
    params.split_mode = 1;
#if ERA >= 8
    params.load_mode = ERA >= 9 ? -1 : 1;
#endif
#if ERA >= 9
    params.lazy_mode = 1;
#endif
    params.main_gpu = 0;
    params.tensor_split = NULL;
#if ERA == 0
    params.rpc_servers = NULL;
#endif
    params.progress_callback = params.progress_callback_user_data = params.kv_overrides = NULL;
    params.vocab_only = params.check_tensors = false;
#if ERA < 8
    params.use_mmap = true;
    params.use_mlock = false;
#if ERA == 6 || ERA == 7
    params.use_direct_io = false;
#endif
#endif
#if ERA >= 3
    params.use_extra_bufts = true;
#endif
#if ERA >= 5
    params.no_host = false;
#endif
#if ERA >= 6
    params.no_alloc = false;
#endif
#if ERA >= 8
    params.load_mtp = false;
#endif
    return params;
}

context_params llama_context_default_params(void) {
    context_params params;
    params.n_ctx = 512;
    params.n_batch = 2048;
    params.n_ubatch = 512;
    params.n_seq_max = 1;
#if ERA >= 7
    params.n_rs_seq = params.n_outputs_max = 0;
#endif
#if ERA >= 8
    params.n_outputs_max_per_seq = 1;
#endif
#ifdef FORK
    params.own_number = 3;
#endif
    params.n_threads = params.n_threads_batch = 4;
#if ERA >= 7
    params.ctx_type = 0;
#endif
    params.rope_scaling_type = params.pooling_type = params.attention_type = -1;
#if ERA >= 4
    params.flash_attn_type = -1;
#endif
    params.rope_freq_base = params.rope_freq_scale = 0.0f;
    params.yarn_ext_factor = params.defrag_thold = -1.0f;
    params.yarn_attn_factor = ERA >= 6 ? -1.0f : 1.0f;
    params.yarn_beta_fast = ERA >= 6 ? -1.0f : 32.0f;
    params.yarn_beta_slow = ERA >= 6 ? -1.0f : 1.0f;
    params.yarn_orig_ctx = 0;
    params.cb_eval = params.cb_eval_user_data = NULL;
    params.type_k = params.type_v = 1;
#if ERA >= 10
    params.moe_cache_size = 0;
#endif
    params.abort_callback = params.abort_callback_data = NULL;
    params.embeddings = false;
    params.offload_kqv = params.no_perf = true;
#if ERA < 2
    params.logits_all = false;
#else
    params.op_offload = params.swa_full = true;
#endif
#if ERA < 4
    params.flash_attn = false;
#endif
#if ERA >= 3
    params.kv_unified = false;
#endif
#if ERA >= 6
    params.samplers = NULL;
    params.n_samplers = 0;
#endif
#if ERA >= 7
    params.ctx_other = NULL;
#endif
    return params;
}

static int model, context;

#if ERA == 0
void *llama_load_model_from_file(const char *path, model_params params) {
#else
void *llama_model_load_from_file(const char *path, model_params params) {
#endif
    note("path_length", (double) strlen(path));
#if ERA >= 1
    NOTE_POINTER(devices);
#endif
#ifdef FORK
    NOTE(own_number);
#endif
    NOTE(n_gpu_layers);
    NOTE(split_mode);
#if ERA >= 8
    NOTE(load_mode);
#endif
#if ERA >= 9
    NOTE(lazy_mode);
#endif
    NOTE(main_gpu);
    for (int at = 0; params.tensor_split && at < 4; at++) {
        note("tensor_split", params.tensor_split[at]);
    }
    NOTE_POINTER(progress_callback);
    NOTE_POINTER(kv_overrides);
    NOTE(vocab_only);
#if ERA < 8
    NOTE(use_mmap);
    NOTE(use_mlock);
#if ERA == 6 || ERA == 7
    NOTE(use_direct_io);
#endif
#endif
    NOTE(check_tensors);
#if ERA >= 3
    NOTE(use_extra_bufts);
#endif
#if ERA >= 5
    NOTE(no_host);
#endif
#if ERA >= 6
    NOTE(no_alloc);
#endif
#if ERA >= 8
    NOTE(load_mtp);
#endif
    return &model;
}

#if ERA == 0
void *llama_new_context_with_model(void *of, context_params params) {
#else
void *llama_init_from_model(void *of, context_params params) {
#endif
    note("of_model", of == &model);
    NOTE(n_ctx);
    NOTE(n_batch);
    NOTE(n_ubatch);
    NOTE(n_seq_max);
#if ERA >= 7
    NOTE(n_rs_seq);
    NOTE(n_outputs_max);
    NOTE(ctx_type);
    NOTE_POINTER(ctx_other);
#endif
#if ERA >= 8
    NOTE(n_outputs_max_per_seq);
#endif
#ifdef FORK
    NOTE(own_number);
#endif
    NOTE(n_threads);
    NOTE(rope_scaling_type);
    NOTE(pooling_type);
    NOTE(attention_type);
#if ERA >= 4
    NOTE(flash_attn_type);
#endif
    NOTE(yarn_beta_fast);
    NOTE(defrag_thold);
    NOTE_POINTER(cb_eval);
    NOTE(type_k);
    NOTE(type_v);
#if ERA >= 10
    NOTE(moe_cache_size);
#endif
    NOTE_POINTER(abort_callback);
    NOTE(embeddings);
    NOTE(offload_kqv);
    NOTE(no_perf);
#if ERA < 2
    NOTE(logits_all);
#else
    NOTE(op_offload);
    NOTE(swa_full);
#endif
#if ERA < 4
    NOTE(flash_attn);
#endif
#if ERA >= 3
    NOTE(kv_unified);
#endif
#if ERA >= 6
    NOTE_POINTER(samplers);
    NOTE(n_samplers);
#endif
    return &context;
}

#ifndef WITHOUT_DECODE
int32_t llama_decode(void *in, batch_params params) {
    note("in_context", in == &context);
    NOTE(n_tokens);
    note("last_token", params.token[params.n_tokens - 1]);
    note("last_position", params.pos[params.n_tokens - 1]);
    note("last_sequence", params.seq_id[params.n_tokens - 1][0]);
    note("last_wanted", params.logits[params.n_tokens - 1]);
#if ERA == 0
    note("all", params.all_pos_0 | params.all_pos_1 | params.all_seq_id);
#endif
    return 0;
}
#endif

int32_t llama_tokenize(const void *vocab, const char *text, int32_t length, int32_t *tokens, int32_t most, bool special, bool control) {
    (void) text;
    (void) special;
    (void) control;
    note("vocab_is_model", vocab == &model);
    for (int32_t at = 0; at < length && at < most; at++) {
        tokens[at] = at % 10;
    }
    return length <= most ? length : -length;
}

int32_t llama_token_to_piece(const void *vocab, int32_t token, char *text, int32_t length, int32_t skip, bool special) {
    (void) vocab;
    (void) skip;
    (void) special;
    if (length > 0) {
        text[0] = (char) ('a' + token);
    }
    return length > 0 ? 1 : -1;
}

const float *llama_get_logits_ith(void *in, int32_t at) {
    static const float logits[10] = {0, 0, 0, 9};
    (void) in;
    (void) at;
    return logits;
}

#define RETURNS(type, name, value) type name(void) { return value; }
#define NOTHING(name) void name(void) {}
NOTHING(llama_backend_init)
NOTHING(llama_log_set)
NOTHING(llama_free)
NOTHING(llama_set_n_threads)
NOTHING(llama_set_embeddings)
NOTHING(llama_set_abort_callback)
RETURNS(bool, llama_supports_gpu_offload, true)
RETURNS(bool, llama_supports_mlock, true)
RETURNS(bool, llama_supports_mmap, true)
RETURNS(size_t, llama_max_devices, 4)
RETURNS(int32_t, llama_model_desc, 0)
RETURNS(uint64_t, llama_model_size, 1)
RETURNS(uint64_t, llama_model_n_params, 1)
RETURNS(int32_t, llama_model_meta_count, 0)
RETURNS(int32_t, llama_model_meta_key_by_index, -1)
RETURNS(int32_t, llama_model_meta_val_str_by_index, -1)
RETURNS(bool, llama_model_has_encoder, false)
RETURNS(uint32_t, llama_n_ctx, 512)
RETURNS(uint32_t, llama_n_batch, 2048)
RETURNS(uint32_t, llama_n_ubatch, 512)
RETURNS(int, llama_pooling_type, 0)
RETURNS(int32_t, llama_encode, -1)
RETURNS(void *, llama_get_embeddings_ith, NULL)
RETURNS(void *, llama_get_embeddings_seq, NULL)
RETURNS(size_t, llama_state_get_size, 0)
RETURNS(size_t, llama_state_get_data, 0)
RETURNS(size_t, llama_state_set_data, 0)

#if ERA == 0
NOTHING(llama_free_model)
RETURNS(int32_t, llama_n_vocab, 10)
RETURNS(int32_t, llama_token_bos, 1)
RETURNS(int32_t, llama_token_eos, 2)
RETURNS(int32_t, llama_token_nl, -1)
RETURNS(bool, llama_token_is_eog, false)
RETURNS(int32_t, llama_n_ctx_train, 512)
RETURNS(int32_t, llama_n_embd, 64)
RETURNS(int32_t, llama_n_layer, 1)
RETURNS(int32_t, llama_n_head, 2)
#else
static int vocab;
RETURNS(const void *, llama_model_get_vocab, &vocab)
NOTHING(llama_model_free)
RETURNS(int32_t, llama_vocab_n_tokens, 10)
RETURNS(int32_t, llama_vocab_bos, 1)
RETURNS(int32_t, llama_vocab_eos, 2)
RETURNS(int32_t, llama_vocab_nl, -1)
RETURNS(bool, llama_vocab_is_eog, false)
RETURNS(int32_t, llama_model_n_ctx_train, 512)
RETURNS(int32_t, llama_model_n_embd, 64)
RETURNS(int32_t, llama_model_n_layer, 1)
RETURNS(int32_t, llama_model_n_head, 2)
#endif

#if ERA <= 1
NOTHING(llama_kv_cache_clear)
RETURNS(bool, llama_kv_cache_seq_rm, true)
NOTHING(llama_kv_cache_seq_cp)
#elif ERA <= 3
NOTHING(llama_kv_self_clear)
RETURNS(bool, llama_kv_self_seq_rm, true)
NOTHING(llama_kv_self_seq_cp)
#endif
#if ERA >= 3
RETURNS(void *, llama_get_memory, NULL)
NOTHING(llama_memory_clear)
RETURNS(bool, llama_memory_seq_rm, true)
NOTHING(llama_memory_seq_cp)
RETURNS(bool, llama_model_is_diffusion, false)
#endif
#if ERA >= 4
RETURNS(const char *, llama_flash_attn_type_name, "")
#endif
#if ERA >= 6
NOTHING(llama_set_sampler)
#endif
#if ERA >= 7
RETURNS(uint32_t, llama_n_rs_seq, 0)
#endif
#if ERA >= 8
RETURNS(const char *, llama_load_mode_name, "")
#endif
#if ERA >= 9
RETURNS(const char *, llama_version, "shim")
#endif
