// A cache of codes, of KV_BITS bits, 8 or 4, with a half as their scale for every 32 values: blocks as in Q8_0 and Q4_0. Of 4 bits, value
// `i` of a group shares a byte with value `i + 16`.
typedef u8 kv_cell;
#define KV_GROUP 32
#define KV_BYTES (2 + KV_GROUP * KV_BITS / 8)
#define KV_GROUPS(dim) (((dim) + KV_GROUP - 1) / KV_GROUP)

// Values that a thread appends together.
#define KV_TOGETHER KV_GROUP

FUNCTION float kv_code(GLOBAL const kv_cell *group, int i) {
#if KV_BITS == 8
    return signed_byte(group[2 + i]);
#else
    return (float)(group[2 + i % 16] >> i / 16 * 4 & 15) - 8.0f;
#endif
}

FUNCTION GLOBAL const kv_cell *kv_groups(GLOBAL const kv_cell *cache, u64 vector, int dim) {
    return cache + vector * (u64)(KV_GROUPS(dim) * KV_BYTES);
}

// Value `i` of the vector of number `vector`, which has `dim` of them.
FUNCTION float kv_value(GLOBAL const kv_cell *cache, u64 vector, int dim, int i) {
    GLOBAL const kv_cell *group = kv_groups(cache, vector, dim) + i / KV_GROUP * KV_BYTES;
    return kv_code(group, i % KV_GROUP) * half_at(group);
}

FUNCTION float kv_product(LOCAL const float *query, GLOBAL const kv_cell *keys, u64 vector, int dim) {
    GLOBAL const kv_cell *group = kv_groups(keys, vector, dim);
    float product = 0.0f;
    for (int first = 0; first < dim; first += KV_GROUP) {
        float scale = half_at(group);
        int count = dim - first < KV_GROUP ? dim - first : KV_GROUP;
        for (int i = 0; i < count; i++) product = FMA(query[first + i], kv_code(group, i) * scale, product);
        group += KV_BYTES;
    }
    return product;
}

// Rounds to a code, away from zero where two are as near.
FUNCTION int kv_round(float x) {
#if KV_BITS == 8
    float size = FMIN(floor(FABS(x) + 0.5f), 127.0f);
    return (int)(x < 0.0f ? -size : size);
#else
    return (int)FMIN(FMAX(x + 8.5f, 0.0f), 15.0f);
#endif
}

// Appends values `first` to `first + 31` of a vector, those beyond its end as zeros. What is not finite makes the scale not finite.
FUNCTION void kv_append(GLOBAL kv_cell *cache, u64 vector, int dim, int first, GLOBAL const float *x) {
    GLOBAL kv_cell *group = cache + vector * (u64)(KV_GROUPS(dim) * KV_BYTES) + (u64)(first / KV_GROUP * KV_BYTES);
    float values[KV_GROUP];
    float most = 0.0f;
    for (int i = 0; i < KV_GROUP; i++) {
        values[i] = first + i < dim ? x[first + i] : 0.0f;
        if (FABS(values[i]) > FABS(most) || values[i] != values[i]) most = values[i];
    }
    float scale = KV_BITS == 8 ? FABS(most) / 127.0f : most / -8.0f;
    float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
    *(GLOBAL u16 *)group = to_half(scale);
#if KV_BITS == 8
    for (int i = 0; i < KV_GROUP; i++) group[2 + i] = (u8)kv_round(values[i] * inverse);
#else
    for (int i = 0; i < 16; i++) group[2 + i] = (u8)(kv_round(values[i] * inverse) | kv_round(values[i + 16] * inverse) << 4);
#endif
}
