// What a wave of AMD's processors does together: sums, maxima, and with MFMA products of matrices.
FUNCTION float wave_sum(float x) {
    UNROLL for (int lanes = WAVE / 2; lanes > 0; lanes /= 2) x += wave_xor(x, lanes);
    return x;
}
FUNCTION float wave_max(float x) {
    UNROLL for (int lanes = WAVE / 2; lanes > 0; lanes /= 2) x = FMAX(x, wave_xor(x, lanes));
    return x;
}

#ifdef HAS_MFMA
#define MATRIX_SIDE 16
#define MATRIX_DEPTH 4
typedef float MatrixOperand;
typedef Four MatrixSum;
FUNCTION void clear_matrix(MatrixSum &sum) {
    UNROLL for (int i = 0; i < 4; i++) sum[i] = 0.0f;
}
// Both operands lie by depth, `stride` values from one to the next.
FUNCTION void load_left(MatrixOperand &part, const float *at, int stride, int t) { part = at[t % WAVE / 16 * stride + t % 16]; }
FUNCTION void load_right(MatrixOperand &part, const float *at, int stride, int t) { load_left(part, at, stride, t); }
FUNCTION void multiply_matrices(MatrixSum &sum, MatrixOperand left, MatrixOperand right) { sum = multiply_16x16x4(left, right, sum); }
FUNCTION void put_matrix(const MatrixSum &sum, float *to, int stride, int t) {
    UNROLL for (int i = 0; i < 4; i++) to[(4 * (t % WAVE / 16) + i) * stride + t % 16] = sum[i];
}

#define HALF_SIDE 32
#define HALF_DEPTH 8
typedef _Float16 Half;
typedef FourHalves HalfOperand;
typedef Sixteen HalfSum;
FUNCTION void clear_matrix(HalfSum &sum) {
    UNROLL for (int i = 0; i < 16; i++) sum[i] = 0.0f;
}
// Both operands lie by line, `stride` halves from one to the next.
FUNCTION void load_left(HalfOperand &part, const Half *at, int stride, int t) {
    UNROLL for (int i = 0; i < 4; i++) part[i] = at[t % 32 * stride + t % WAVE / 32 * 4 + i];
}
FUNCTION void load_right(HalfOperand &part, const Half *at, int stride, int t) { load_left(part, at, stride, t); }
FUNCTION void multiply_matrices(HalfSum &sum, HalfOperand left, HalfOperand right) { sum = multiply_32x32x8(left, right, sum); }
FUNCTION void put_matrix(const HalfSum &sum, float *to, int stride, int t) {
    UNROLL for (int i = 0; i < 16; i++) to[(i / 4 * 8 + t % WAVE / 32 * 4 + i % 4) * stride + t % 32] = sum[i];
}
#endif
