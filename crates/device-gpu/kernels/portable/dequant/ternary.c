// Blocks of values of one or two bits around zero.

// Digit `n` of the five base-three digits of a byte, which holds their number as a fraction of 243, in 256ths.
FUNCTION int ternary_digit(u32 byte, int n) {
    u32 power = n == 0 ? 1 : n == 1 ? 3 : n == 2 ? 9 : n == 3 ? 27 : 81;
    return (int)((byte * power & 255) * 3 >> 8) - 1;
}

// 32 bytes and 16 bytes of five digits each, the first digits of all of them first, and 4 bytes of four digits.
FUNCTION void dq8_tq1_0(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float d = half_at(block + 52);
    UNROLL for (int i = 0; i < 8; i++) {
        int value = 8 * part + i;
        int at = value < 160 ? value & 31 : value < 240 ? 32 + (value & 15) : 48 + (value & 3);
        int n = value < 160 ? value >> 5 : value < 240 ? (value - 160) >> 4 : (value - 240) >> 2;
        out[i] = d * (float)ternary_digit(block[at], n);
    }
}

FUNCTION void dq8_tq2_0(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float d = half_at(block + 64);
    int shift = (part & 15) >> 2 << 1;
    u32 words[2];
    eight_bytes(block + (part >> 4) * 32 + 8 * (part & 3), words);
    UNROLL for (int i = 0; i < 8; i++) out[i] = d * (float)((int)(byte_of(words, i) >> shift & 3) - 1);
}

FUNCTION void dq8_q1_0(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float d = half_at(block);
    u32 bits = block[2 + part];
    UNROLL for (int i = 0; i < 8; i++) out[i] = d * (float)((int)(bits >> i & 1) * 2 - 1);
}

FUNCTION void dq8_q2_0(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float d = half_at(block);
    u32 bits = u16_at(block + 2 + 2 * part);
    UNROLL for (int i = 0; i < 8; i++) out[i] = d * (float)((int)(bits >> 2 * i & 3) - 1);
}

// The first value of a byte lies in its highest bits; the scale follows the block.
FUNCTION void dq8_i2_s(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    float d = float_at(block + 32);
    int shift = 6 - (part >> 2) * 2;
    u32 words[2];
    eight_bytes(block + 8 * (part & 3), words);
    UNROLL for (int i = 0; i < 8; i++) out[i] = d * (float)((int)(byte_of(words, i) >> shift & 3) - 1);
}
