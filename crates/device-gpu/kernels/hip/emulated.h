// What instructions.hip does, on a CPU: stands in its place where kernels are tested (see prelude/emulate.h). Waves of 64 have MFMA.
static int dot4(u32 a, u32 b, int c) { return __dp4a((int)a, (int)b, c); }
static float wave_xor(float x, int lanes) { return emulator::shuffle(~0ull, x, emulator::lane() ^ lanes, true); }

#if WAVE == 64
#define HAS_MFMA
template <class T, int N> struct Lanes {
    T values[N];
    T &operator[](int i) { return values[i]; }
    T operator[](int i) const { return values[i]; }
};
typedef Lanes<float, 4> Four;
typedef Lanes<float, 16> Sixteen;
typedef Lanes<_Float16, 4> FourHalves;
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
// As on gfx90a, operands below the normal range of halves count as zero.
static float operand(_Float16 x) { return fabsf((float)x) < 6.103515625e-5f ? 0.0f : (float)x; }
static Sixteen multiply_32x32x8(FourHalves a, FourHalves b, Sixteen c) {
    FourHalves left[64], right[64];
    const emulator::wide *slots = emulator::meet(~0ull, emulator::to_wide(a));
    for (int i = 0; i < 64; i++) left[i] = emulator::from_wide<FourHalves>(slots[i]);
    slots = emulator::meet(~0ull, emulator::to_wide(b));
    for (int i = 0; i < 64; i++) right[i] = emulator::from_wide<FourHalves>(slots[i]);
    int lane = emulator::lane();
    for (int i = 0; i < 16; i++) {
        int row = 8 * (i / 4) + 4 * (lane / 32) + i % 4;
        for (int k = 0; k < 8; k++) c[i] += operand(left[32 * (k / 4) + row][k % 4]) * operand(right[32 * (k / 4) + lane % 32][k % 4]);
    }
    return c;
}
#endif
