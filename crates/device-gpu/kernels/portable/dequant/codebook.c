// Types whose values are coordinates of points in CODEBOOK, which is declared before this part: four coordinates to a word.
FUNCTION u32 coordinate_bits(u32 number) { return CODEBOOK[number >> 2] >> (number & 3) * 8 & 255; }

// Eight coordinates from `words` words of the codebook, turned where `signs` has a bit, times the scale.
FUNCTION void scaled_point(float scale, u32 first, u32 second, u32 signs, PRIVATE float *out) {
    UNROLL for (int i = 0; i < 8; i++) {
        float value = signed_byte((i < 4 ? first : second) >> (i & 3) * 8);
        out[i] = scale * (signs >> i & 1 ? -value : value);
    }
}

// Eight signs of which seven are stored: the number of turned ones is even.
FUNCTION u32 even_signs(u32 seven) {
    u32 folded = seven & 127;
    folded ^= folded >> 4;
    folded ^= folded >> 2;
    folded ^= folded >> 1;
    return seven & 127 | (folded & 1) << 7;
}

// A ternary point moved up or down by an eighth, in eighths.
FUNCTION void moved_point(float scale, u32 index, u32 down, PRIVATE float *out) {
    UNROLL for (int i = 0; i < 8; i++) {
        float value = signed_byte(CODEBOOK[2 * index + (i >> 2)] >> (i & 3) * 8);
        out[i] = scale * (8.0f * value + (down ? -1.0f : 1.0f));
    }
}

FUNCTION void dq8_iq1_s(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    u32 high = u16_at(block + 34 + (part >> 2) * 2);
    u32 index = block[2 + part] | (high >> (part & 3) * 3 & 7) << 8;
    float scale = half_at(block) * (float)(2 * (high >> 12 & 7) + 1);
    moved_point(scale * 0.125f, index, high >> 15, out);
}

// The scale of the super-block lies in the upper four bits of the four words of scales.
FUNCTION void dq8_iq1_m(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    GLOBAL const u8 *scales = block + 48;
    u32 d = u16_at(scales) >> 12 | u16_at(scales + 2) >> 12 << 4 | u16_at(scales + 4) >> 12 << 8 |
            u16_at(scales + 6) >> 12 << 12;
    u32 high = block[32 + (part >> 1)] >> (part & 1) * 4 & 15;
    u32 index = block[part] | (high & 7) << 8;
    u32 level = u16_at(scales + (part >> 3) * 2) >> ((part >> 1) & 3) * 3 & 7;
    float scale = from_half((u16)d) * (float)(2 * level + 1);
    moved_point(scale * 0.125f, index, high & 8, out);
}

FUNCTION void dq8_iq2_xxs(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    GLOBAL const u8 *at = block + 2 + (part >> 2) * 8;
    u32 word = u32_at(at + 4), index = at[part & 3];
    float scale = half_at(block) * (0.5f + (float)(word >> 28)) * 0.25f;
    u32 signs = even_signs(word >> 7 * (part & 3));
    scaled_point(scale, CODEBOOK[2 * index], CODEBOOK[2 * index + 1], signs, out);
}

FUNCTION void dq8_iq2_xs(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    u32 word = u16_at(block + 2 + 2 * part), index = word & 511;
    u32 level = block[66 + (part >> 2)] >> ((part >> 1) & 1) * 4 & 15;
    float scale = half_at(block) * (0.5f + (float)level) * 0.25f;
    scaled_point(scale, CODEBOOK[2 * index], CODEBOOK[2 * index + 1], even_signs(word >> 9), out);
}

FUNCTION void dq8_iq2_s(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    u32 index = block[2 + part] | (block[66 + (part >> 2)] >> (part & 3) * 2 & 3) << 8;
    u32 level = block[74 + (part >> 2)] >> ((part >> 1) & 1) * 4 & 15;
    float scale = half_at(block) * (0.5f + (float)level) * 0.25f;
    scaled_point(scale, CODEBOOK[2 * index], CODEBOOK[2 * index + 1], block[34 + part], out);
}

FUNCTION void dq8_iq3_xxs(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    u32 word = u32_at(block + 66 + (part >> 2) * 4), indices = u16_at(block + 2 + 2 * part);
    float scale = half_at(block) * (0.5f + (float)(word >> 28)) * 0.5f;
    u32 signs = even_signs(word >> 7 * (part & 3));
    scaled_point(scale, CODEBOOK[indices & 255], CODEBOOK[indices >> 8], signs, out);
}

FUNCTION void dq8_iq3_s(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    u32 indices = u16_at(block + 2 + 2 * part);
    u32 high = block[66 + (part >> 2)] >> (part & 3) * 2;
    u32 level = block[106 + (part >> 3)] >> ((part >> 2) & 1) * 4 & 15;
    float scale = half_at(block) * (float)(1 + 2 * level);
    u32 first = CODEBOOK[indices & 255 | (high & 1) << 8], second = CODEBOOK[indices >> 8 | (high >> 1 & 1) << 8];
    scaled_point(scale, first, second, block[74 + part], out);
}

// Those of four nibbles, which lie in the low or high ones of a word.
FUNCTION u32 four_coordinates(u32 word, int shift) {
    u32 four = 0;
    UNROLL for (int i = 0; i < 4; i++) four |= coordinate_bits(word >> 8 * i + shift & 15) << 8 * i;
    return four;
}
FUNCTION void coordinates_of(PRIVATE const u32 *words, int shift, PRIVATE Coded *to) {
    UNROLL for (int i = 0; i < 2; i++) to->words[i] = four_coordinates(words[i], shift);
}

FUNCTION void codes_iq4_nl(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    u32 words[2];
    to->scale = half_at(block);
    eight_bytes(block + 2 + 8 * (part & 1), words);
    coordinates_of(words, part >> 1 << 2, to);
}

FUNCTION void codes_iq4_xs(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    int sub = part >> 2;
    u32 low = block[4 + (sub >> 1)] >> (sub & 1) * 4 & 15;
    u32 high = u16_at(block + 2) >> 2 * sub & 3;
    u32 words[2];
    to->scale = half_at(block) * ((float)(low | high << 4) - 32.0f);
    eight_bytes(block + 8 + sub * 16 + 8 * (part & 1), words);
    coordinates_of(words, (part & 2) * 2, to);
}

// Half the power of two that an E8M0 byte stands for, since the levels of E2M1 are doubled. 255 is no NaN.
FUNCTION float half_of_e8m0(u32 byte) {
    return as_float_bits(byte < 2 ? 0x00200000u << byte : (byte - 1) << 23);
}

FUNCTION void codes_mxfp4(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    u32 words[2];
    to->scale = half_of_e8m0(block[0]);
    eight_bytes_anywhere(block + 1 + 8 * (part & 1), words);
    coordinates_of(words, part >> 1 << 2, to);
}

// The values side by side, the exponent after them.
FUNCTION void codes_mxfp4planes(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    to->scale = half_of_e8m0(block[16]);
    UNROLL for (int i = 0; i < 2; i++) {
        u32 pairs = block[4 * part + 2 * i] | (u32)block[4 * part + 2 * i + 1] << 16;
        to->words[i] = four_coordinates(pairs | pairs << 4, 0);
    }
}

// Half of an E4M3 scale: the sign is not read, and the byte of NaN without sign counts as zero.
FUNCTION float half_of_e4m3(u32 byte) {
    u32 bits = byte & 127;
    float size = bits < 8 ? (float)bits * 0.0009765625f : as_float_bits((bits << 20) + (119u << 23));
    return byte == 127 ? 0.0f : size;
}

FUNCTION void codes_nvfp4(GLOBAL const u8 *block, int part, PRIVATE Coded *to) {
    u32 words[2];
    to->scale = half_of_e4m3(block[part >> 1]);
    eight_bytes(block + 4 + 8 * (part >> 1), words);
    coordinates_of(words, (part & 1) * 4, to);
}
