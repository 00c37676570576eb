// Reading blocks of weights. A block begins at a multiple of the largest power of two that divides its size, and no load is
// wider than what the offsets of its type allow; so words are put together from halves.
FUNCTION u32 u16_at(GLOBAL const u8 *at) { return *(GLOBAL const u16 *)at; }
FUNCTION u32 u32_at(GLOBAL const u8 *at) { return u16_at(at) | u16_at(at + 2) << 16; }
FUNCTION float half_at(GLOBAL const u8 *at) { return from_half((u16)u16_at(at)); }
FUNCTION float float_at(GLOBAL const u8 *at) { return as_float_bits(u32_at(at)); }

// Eight bytes at an even place.
FUNCTION void eight_bytes(GLOBAL const u8 *at, PRIVATE u32 *words) {
    words[0] = u32_at(at);
    words[1] = u32_at(at + 4);
}

// Eight bytes anywhere.
FUNCTION void eight_bytes_anywhere(GLOBAL const u8 *at, PRIVATE u32 *words) {
    words[0] = at[0] | (u32)at[1] << 8 | (u32)at[2] << 16 | (u32)at[3] << 24;
    words[1] = at[4] | (u32)at[5] << 8 | (u32)at[6] << 16 | (u32)at[7] << 24;
}

// Byte `i` of eight; its upper neighbours stay above it.
FUNCTION u32 byte_of(PRIVATE const u32 *words, int i) { return words[i >> 2] >> (i & 3) * 8; }
FUNCTION float signed_byte(u32 bits) { return (float)(i8)(u8)bits; }
