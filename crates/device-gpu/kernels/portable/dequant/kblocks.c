// Super-blocks of 256 values whose sub-blocks have quantised scales: Q2_K to Q6_K.
FUNCTION void codes_q2_k(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    int sub = part >> 1, shift = (sub & 7) >> 1 << 1;
    to->scale = half_at(block + 80) * (float)(block[sub] & 15);
    to->minimum = -(half_at(block + 82) * (float)(block[sub] >> 4));
    eight_bytes(block + 16 + (sub >> 3) * 32 + 8 * (part & 3), to->words);
    UNROLL for (int i = 0; i < 2; i++) to->words[i] = to->words[i] >> shift & 0x03030303u;
}

FUNCTION void codes_q3_k(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    int sub = part >> 1, shift = (sub & 7) >> 1 << 1;
    u32 low = block[96 + (sub & 7)] >> (sub >> 3) * 4 & 15;
    u32 high = block[104 + (sub & 3)] >> (sub >> 2) * 2 & 3;
    to->scale = half_at(block + 108) * ((float)(low | high << 4) - 32.0f);
    u32 words[2], thirds[2];
    eight_bytes(block + 32 + (sub >> 3) * 32 + 8 * (part & 3), words);
    eight_bytes(block + 8 * (part & 3), thirds);
    UNROLL for (int i = 0; i < 2; i++) {
        u32 third = thirds[i] >> (sub >> 1) & 0x01010101u;
        to->words[i] = centred(words[i] >> shift & 0x03030303u | third << 2, 4);
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

// Nibbles from `at` on, and the scale and minimum of their sub-block.
FUNCTION void codes_of_four_bits(GLOBAL const u8 *block, GLOBAL const u8 *at, int part, PRIVATE Coded *to) {
    int sub = part >> 2, shift = (sub & 1) * 4;
    to->scale = half_at(block) * (float)scale_of(block + 4, sub);
    to->minimum = -(half_at(block + 2) * (float)min_of(block + 4, sub));
    eight_bytes(at + (sub >> 1) * 32 + 8 * (part & 3), to->words);
    UNROLL for (int i = 0; i < 2; i++) to->words[i] = to->words[i] >> shift & 0x0f0f0f0fu;
}

FUNCTION void codes_q4_k(GLOBAL const u8 *block, int part, PRIVATE Coded *to) { codes_of_four_bits(block, block + 16, part, to); }

FUNCTION void codes_q5_k(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    codes_of_four_bits(block, block + 48, part, to);
    u32 fifths[2];
    eight_bytes(block + 16 + 8 * (part & 3), fifths);
    UNROLL for (int i = 0; i < 2; i++) to->words[i] |= (fifths[i] >> (part >> 2) & 0x01010101u) << 4;
}

// A half of the super-block is four runs of 32 values: two in the low nibbles of 64 bytes, two in the high ones.
FUNCTION void codes_q6_k(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    int upper = part >> 4, run = (part & 15) >> 2, shift = run >> 1 << 2;
    to->scale = half_at(block + 208) * signed_byte(block[192 + (part >> 1)]);
    u32 words[2], highs[2];
    eight_bytes(block + upper * 64 + (run & 1) * 32 + 8 * (part & 3), words);
    eight_bytes(block + 128 + upper * 32 + 8 * (part & 3), highs);
    UNROLL for (int i = 0; i < 2; i++) {
        u32 high = highs[i] >> run * 2 & 0x03030303u;
        to->words[i] = centred(words[i] >> shift & 0x0f0f0f0fu | high << 4, 32);
    }
}
