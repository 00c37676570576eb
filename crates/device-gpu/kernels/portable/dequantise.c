// Weights as floats: all of `parts` runs of eight values, one per thread.
KERNEL(dequantise)(IN(u8, blocks), OUT(float, values), INT(parts) IDS) {
    int part = GROUP(0) * THREADS(0) + THREAD(0);
    if (part < parts) {
        GLOBAL const u8 *block = blocks + (u64)(part / (BLOCK_VALUES / 8)) * BLOCK_BYTES;
        float out[8];
        DQ8(block, part % (BLOCK_VALUES / 8), out);
        UNROLL for (int i = 0; i < 8; i++) values[(u64)part * 8 + i] = out[i];
    }
}
