// Eight weights as floats, of the integers that they are stored as.
FUNCTION void dq8_coded(GLOBAL const u8 *block, int part, PRIVATE float *out) {
    Coded coded;
    CODES(block, part, &coded);
    UNROLL for (int i = 0; i < 8; i++) {
        out[i] = signed_byte(byte_of(coded.words, i)) * coded.scale;
#ifdef HAS_MINIMUM
        out[i] += coded.minimum;
#endif
    }
}
