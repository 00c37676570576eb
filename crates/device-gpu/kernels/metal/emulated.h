// What simdgroup.metal does, on a CPU: stands in its place where kernels are tested (see prelude/emulate.h). A matrix is a whole that lane 0
// keeps while all lanes wait; other lanes hold none of it.
#define WAVE 32
static float wave_fold(float x, float (*join)(float, float)) {
    const emulator::wide *slots = emulator::meet(~0ull, emulator::to_wide(x));
    float result = emulator::from_wide<float>(slots[0]);
    for (int i = 1; i < WAVE; i++) result = join(result, emulator::from_wide<float>(slots[i]));
    return result;
}
static float wave_sum(float x) {
    return wave_fold(x, [](float a, float b) { return a + b; });
}
static float wave_max(float x) {
    return wave_fold(x, [](float a, float b) { return fmaxf(a, b); });
}

#define MATRIX_SIDE 8
#define MATRIX_DEPTH 8
template <class T> struct WholeMatrix {
    T at[8][8];
};
typedef WholeMatrix<float> MatrixOperand;
typedef WholeMatrix<float> MatrixSum;
#define HALF_SIDE 8
#define HALF_DEPTH 8
typedef _Float16 Half;
typedef WholeMatrix<Half> HalfOperand;
typedef WholeMatrix<float> HalfSum;

// Once for all lanes, when all are there; none goes on before it is done.
template <class Do> static void together(Do act) {
    emulator::meet(~0ull, 0);
    if (emulator::lane() == 0) {
        for (int i = 0; i < 8; i++)
            for (int j = 0; j < 8; j++) act(i, j);
    }
    emulator::meet(~0ull, 0);
}
static void clear_matrix(MatrixSum &sum) {
    together([&](int i, int j) { sum.at[i][j] = 0.0f; });
}
static void load_left(MatrixOperand &part, const float *from, int stride, int) {
    together([&](int i, int j) { part.at[i][j] = from[j * stride + i]; });
}
static void load_right(MatrixOperand &part, const float *from, int stride, int) {
    together([&](int i, int j) { part.at[i][j] = from[i * stride + j]; });
}
static void load_left(HalfOperand &part, const Half *from, int stride, int) {
    together([&](int i, int j) { part.at[i][j] = from[i * stride + j]; });
}
static void load_right(HalfOperand &part, const Half *from, int stride, int) {
    together([&](int i, int j) { part.at[i][j] = from[j * stride + i]; });
}
template <class T> static void multiply_matrices(MatrixSum &sum, const WholeMatrix<T> &left, const WholeMatrix<T> &right) {
    together([&](int i, int j) {
        for (int k = 0; k < 8; k++) sum.at[i][j] += (float)left.at[i][k] * (float)right.at[k][j];
    });
}
static void put_matrix(const MatrixSum &sum, float *to, int stride, int) {
    together([&](int i, int j) { to[i * stride + j] = sum.at[i][j]; });
}
