// A cache of single values: f32 where KV_TYPE is 0, halves where it is 1, and the upper halves of f32 where it is 2.
#if KV_TYPE == 0
typedef float kv_cell;
FUNCTION float kv_load(kv_cell x) { return x; }
FUNCTION kv_cell kv_store(float x) { return x; }
#elif KV_TYPE == 1
typedef u16 kv_cell;
FUNCTION float kv_load(kv_cell x) { return from_half(x); }
FUNCTION kv_cell kv_store(float x) { return to_half(x); }
#else
typedef u16 kv_cell;
FUNCTION float kv_load(kv_cell x) { return as_float_bits((u32)x << 16); }
// To the nearest, of two the even one; what is not a number stays none.
FUNCTION kv_cell kv_store(float x) {
    u32 bits = as_bits(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (u16)(bits >> 16 | 64u);
    return (u16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
#endif

// Values that a thread appends together.
#define KV_TOGETHER 1

// Value `i` of the vector of number `vector`, which has `dim` of them.
FUNCTION float kv_value(GLOBAL const kv_cell *cache, u64 vector, int dim, int i) {
    return kv_load(cache[vector * (u64)dim + (u64)i]);
}

FUNCTION float kv_product(LOCAL const float *query, GLOBAL const kv_cell *keys, u64 vector, int dim) {
    GLOBAL const kv_cell *key = keys + vector * (u64)dim;
    float product = 0.0f;
    for (int i = 0; i < dim; i++) product = FMA(query[i], kv_load(key[i]), product);
    return product;
}

FUNCTION void kv_append(GLOBAL kv_cell *cache, u64 vector, int dim, int i, GLOBAL const float *x) {
    cache[vector * (u64)dim + (u64)i] = kv_store(x[i]);
}
