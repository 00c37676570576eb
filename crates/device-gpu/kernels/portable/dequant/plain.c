// Types of single values, eight to a block here; and bytes with a scale per block, which follows its values.
FUNCTION void dq8_f32(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    GLOBAL const float *values = (GLOBAL const float *)block + 8 * part;
    UNROLL for (int i = 0; i < 8; i++) out[i] = values[i];
}

FUNCTION void dq8_f16(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    GLOBAL const u16 *values = (GLOBAL const u16 *)block + 8 * part;
    UNROLL for (int i = 0; i < 8; i++) out[i] = from_half(values[i]);
}

FUNCTION void dq8_bf16(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    GLOBAL const u16 *values = (GLOBAL const u16 *)block + 8 * part;
    UNROLL for (int i = 0; i < 8; i++) out[i] = as_float_bits((u32)values[i] << 16);
}

// OCP FP8 1.0: no infinities; below 8 there is no leading one.
FUNCTION float from_e4m3(u32 byte) {
    u32 bits = byte & 127;
    float size = bits == 127 ? as_float_bits(0x7fc00000u)
                 : bits < 8  ? (float)bits * 0.001953125f
                             : as_float_bits((bits << 20) + (120u << 23));
    return byte & 128 ? -size : size;
}

// The upper half of binary16.
FUNCTION float from_e5m2(u32 byte) { return from_half((u16)((byte & 255) << 8)); }

FUNCTION void dq8_f8_e4m3(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    UNROLL for (int i = 0; i < 8; i++) out[i] = from_e4m3(block[8 * part + i]);
}

FUNCTION void dq8_f8_e5m2(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    UNROLL for (int i = 0; i < 8; i++) out[i] = from_e5m2(block[8 * part + i]);
}

FUNCTION void dq8_f8_e4m3_g32(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float scale = float_at(block + 32);
    u32 words[2];
    eight_bytes(block + 8 * part, words);
    UNROLL for (int i = 0; i < 8; i++) out[i] = from_e4m3(byte_of(words, i)) * scale;
}

FUNCTION void dq8_f8_e5m2_g32(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float scale = float_at(block + 32);
    u32 words[2];
    eight_bytes(block + 8 * part, words);
    UNROLL for (int i = 0; i < 8; i++) out[i] = from_e5m2(byte_of(words, i)) * scale;
}

// A division, as the format states it.
FUNCTION void dq8_int8g64(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float scale = float_at(block + 64);
    u32 words[2];
    eight_bytes(block + 8 * part, words);
    UNROLL for (int i = 0; i < 8; i++) out[i] = signed_byte(byte_of(words, i)) / scale;
}

FUNCTION void dq8_q8_k(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float scale = float_at(block);
    u32 words[2];
    eight_bytes(block + 4 + 8 * part, words);
    UNROLL for (int i = 0; i < 8; i++) out[i] = scale * signed_byte(byte_of(words, i));
}
