// Super-blocks of 256 values whose sub-blocks have quantised scales: Q2_K to Q6_K.
FUNCTION void dq8_q2_k(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    int sub = part >> 1, shift = (sub & 7) >> 1 << 1;
    float scale = half_at(block + 80) * (float)(block[sub] & 15);
    float min = half_at(block + 82) * (float)(block[sub] >> 4);
    u32 words[2];
    eight_bytes(block + 16 + (sub >> 3) * 32 + 8 * (part & 3), words);
    UNROLL for (int i = 0; i < 8; i++) out[i] = scale * (float)(byte_of(words, i) >> shift & 3) - min;
}

FUNCTION void dq8_q3_k(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    int sub = part >> 1, shift = (sub & 7) >> 1 << 1;
    u32 low = block[96 + (sub & 7)] >> (sub >> 3) * 4 & 15;
    u32 high = block[104 + (sub & 3)] >> (sub >> 2) * 2 & 3;
    float scale = half_at(block + 108) * ((float)(low | high << 4) - 32.0f);
    u32 words[2], thirds[2];
    eight_bytes(block + 32 + (sub >> 3) * 32 + 8 * (part & 3), words);
    eight_bytes(block + 8 * (part & 3), thirds);
    UNROLL for (int i = 0; i < 8; i++) {
        u32 third = byte_of(thirds, i) >> (sub >> 1) & 1;
        out[i] = scale * ((float)(byte_of(words, i) >> shift & 3 | third << 2) - 4.0f);
    }
}

// Scale and minimum of sub-block `sub` of 8, six bits each: the first four lie in whole bytes' low bits, the others are put
// together from nibbles and the two bits that those leave.
FUNCTION u32 scale_of(GLOBAL const u8 *packed, int sub) {
    return sub < 4 ? packed[sub] & 63 : packed[sub + 4] & 15 | packed[sub - 4] >> 6 << 4;
}
FUNCTION u32 min_of(GLOBAL const u8 *packed, int sub) {
    return sub < 4 ? packed[sub + 4] & 63 : packed[sub + 4] >> 4 | packed[sub] >> 6 << 4;
}

FUNCTION void dq8_q4_k(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    int sub = part >> 2, shift = (sub & 1) * 4;
    float scale = half_at(block) * (float)scale_of(block + 4, sub);
    float min = half_at(block + 2) * (float)min_of(block + 4, sub);
    u32 words[2];
    eight_bytes(block + 16 + (sub >> 1) * 32 + 8 * (part & 3), words);
    UNROLL for (int i = 0; i < 8; i++) out[i] = scale * (float)(byte_of(words, i) >> shift & 15) - min;
}

FUNCTION void dq8_q5_k(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    int sub = part >> 2, shift = (sub & 1) * 4;
    float scale = half_at(block) * (float)scale_of(block + 4, sub);
    float min = half_at(block + 2) * (float)min_of(block + 4, sub);
    u32 words[2], fifths[2];
    eight_bytes(block + 48 + (sub >> 1) * 32 + 8 * (part & 3), words);
    eight_bytes(block + 16 + 8 * (part & 3), fifths);
    UNROLL for (int i = 0; i < 8; i++) {
        u32 fifth = byte_of(fifths, i) >> sub & 1;
        out[i] = scale * (float)(byte_of(words, i) >> shift & 15 | fifth << 4) - min;
    }
}

// A half of the super-block is four runs of 32 values: two in the low nibbles of 64 bytes, two in the high ones.
FUNCTION void dq8_q6_k(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    int upper = part >> 4, run = (part & 15) >> 2, shift = run >> 1 << 2;
    float scale = half_at(block + 208) * signed_byte(block[192 + (part >> 1)]);
    u32 words[2], highs[2];
    eight_bytes(block + upper * 64 + (run & 1) * 32 + 8 * (part & 3), words);
    eight_bytes(block + 128 + upper * 32 + 8 * (part & 3), highs);
    UNROLL for (int i = 0; i < 8; i++) {
        u32 high = byte_of(highs, i) >> run * 2 & 3;
        out[i] = scale * ((float)(byte_of(words, i) >> shift & 15 | high << 4) - 32.0f);
    }
}
