// Blocks of 32 values with one scale, and a minimum in some: the lower half of the values lies in the low nibbles.
FUNCTION void nibbles_of(GLOBAL const u8 *at, int part, PRIVATE u32 *words) {
    eight_bytes(at + 8 * (part & 1), words);
    UNROLL for (int i = 0; i < 2; i++) words[i] = words[i] >> (part >> 1 << 2) & 0x0f0f0f0fu;
}
// With the fifth bits of the block's values, a bit of a word each.
FUNCTION void fives_of(GLOBAL const u8 *at, u32 fifths, int part, PRIVATE u32 *words) {
    nibbles_of(at, part, words);
    UNROLL for (int i = 0; i < 2; i++) words[i] |= spread_bits(fifths >> 8 * part + 4 * i) << 4;
}
FUNCTION void centre(PRIVATE u32 *words, u32 middle) {
    UNROLL for (int i = 0; i < 2; i++) words[i] = centred(words[i], middle);
}

FUNCTION void codes_q4_0(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    to->scale = half_at(block);
    nibbles_of(block + 2, part, to->words);
    centre(to->words, 8);
}

FUNCTION void codes_q4_1(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    to->scale = half_at(block);
    to->minimum = half_at(block + 2);
    nibbles_of(block + 4, part, to->words);
}

FUNCTION void codes_q5_0(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    to->scale = half_at(block);
    fives_of(block + 6, u32_at(block + 2), part, to->words);
    centre(to->words, 16);
}

FUNCTION void codes_q5_1(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    to->scale = half_at(block);
    to->minimum = half_at(block + 2);
    fives_of(block + 8, u32_at(block + 4), part, to->words);
}

FUNCTION void codes_q8_0(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    to->scale = half_at(block);
    eight_bytes(block + 2 + 8 * part, to->words);
}
