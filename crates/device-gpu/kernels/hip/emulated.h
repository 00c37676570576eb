// What instructions.hip does, on a CPU: stands in its place where kernels are tested (see prelude/emulate.h). Waves of 64 have MFMA.
static float wave_xor(float x, int lanes) { return emulator::shuffle(~0ull, x, emulator::lane() ^ lanes, true); }

#if WAVE == 64
#define HAS_MFMA
struct Four {
    float values[4];
    float &operator[](int i) { return values[i]; }
    float operator[](int i) const { return values[i]; }
};
static Four multiply_16x16x4(float a, float b, Four c) {
    float left[64], right[64];
    const emulator::wide *slots = emulator::meet(~0ull, emulator::to_wide(a));
    for (int i = 0; i < 64; i++) left[i] = emulator::from_wide<float>(slots[i]);
    slots = emulator::meet(~0ull, emulator::to_wide(b));
    for (int i = 0; i < 64; i++) right[i] = emulator::from_wide<float>(slots[i]);
    int lane = emulator::lane();
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++) c[i] += left[16 * k + 4 * (lane / 16) + i] * right[16 * k + lane % 16];
    return c;
}
#endif
