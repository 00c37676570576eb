// Blocks of 32 values with one scale, and a minimum in some: the lower half of the values lies in the low nibbles.
FUNCTION void dq8_q4_0(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float d = half_at(block);
    int shift = part >> 1 << 2;
    u32 words[2];
    eight_bytes(block + 2 + 8 * (part & 1), words);
    UNROLL for (int i = 0; i < 8; i++) out[i] = ((float)(byte_of(words, i) >> shift & 15) - 8.0f) * d;
}

FUNCTION void dq8_q4_1(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float d = half_at(block), min = half_at(block + 2);
    int shift = part >> 1 << 2;
    u32 words[2];
    eight_bytes(block + 4 + 8 * (part & 1), words);
    UNROLL for (int i = 0; i < 8; i++) out[i] = (float)(byte_of(words, i) >> shift & 15) * d + min;
}

FUNCTION void dq8_q5_0(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float d = half_at(block);
    u32 fifth = u32_at(block + 2) >> 8 * part;
    int shift = part >> 1 << 2;
    u32 words[2];
    eight_bytes(block + 6 + 8 * (part & 1), words);
    UNROLL for (int i = 0; i < 8; i++)
        out[i] = ((float)(byte_of(words, i) >> shift & 15 | (fifth >> i & 1) << 4) - 16.0f) * d;
}

FUNCTION void dq8_q5_1(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float d = half_at(block), min = half_at(block + 2);
    u32 fifth = u32_at(block + 4) >> 8 * part;
    int shift = part >> 1 << 2;
    u32 words[2];
    eight_bytes(block + 8 + 8 * (part & 1), words);
    UNROLL for (int i = 0; i < 8; i++)
        out[i] = (float)(byte_of(words, i) >> shift & 15 | (fifth >> i & 1) << 4) * d + min;
}

FUNCTION void dq8_q8_0(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float d = half_at(block);
    u32 words[2];
    eight_bytes(block + 2 + 8 * part, words);
    UNROLL for (int i = 0; i < 8; i++) out[i] = signed_byte(byte_of(words, i)) * d;
}
