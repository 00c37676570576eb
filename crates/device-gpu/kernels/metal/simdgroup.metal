// What a SIMD group of Apple's processors does together: sums, maxima, products of matrices. Where elements of a matrix lie is Metal's
// affair; operands lie by depth, `stride` values from one to the next. An emulation replaces this part as a whole.
#define WAVE 32
FUNCTION float wave_sum(float x) { return simd_sum(x); }
FUNCTION float wave_max(float x) { return simd_max(x); }

#define MATRIX_SIDE 8
#define MATRIX_DEPTH 8
typedef simdgroup_float8x8 MatrixOperand;
typedef simdgroup_float8x8 MatrixSum;
FUNCTION void clear_matrix(PRIVATE MatrixSum &sum) { sum = make_filled_simdgroup_matrix<float, 8>(0.0f); }
FUNCTION void load_left(PRIVATE MatrixOperand &part, LOCAL const float *at, int stride, int) {
    simdgroup_load(part, at, (ulong)stride, 0, true);
}
FUNCTION void load_right(PRIVATE MatrixOperand &part, LOCAL const float *at, int stride, int) { simdgroup_load(part, at, (ulong)stride); }
FUNCTION void multiply_matrices(PRIVATE MatrixSum &sum, PRIVATE const MatrixOperand &left, PRIVATE const MatrixOperand &right) {
    simdgroup_multiply_accumulate(sum, left, right, sum);
}
FUNCTION void put_matrix(PRIVATE const MatrixSum &sum, LOCAL float *to, int stride, int) { simdgroup_store(sum, to, (ulong)stride); }

#define HALF_SIDE 8
#define HALF_DEPTH 8
typedef half Half;
typedef simdgroup_half8x8 HalfOperand;
typedef simdgroup_float8x8 HalfSum;
// Halves lie by line, `stride` of them from one to the next.
FUNCTION void load_left(PRIVATE HalfOperand &part, LOCAL const Half *at, int stride, int) { simdgroup_load(part, at, (ulong)stride); }
FUNCTION void load_right(PRIVATE HalfOperand &part, LOCAL const Half *at, int stride, int) {
    simdgroup_load(part, at, (ulong)stride, 0, true);
}
FUNCTION void multiply_matrices(PRIVATE HalfSum &sum, PRIVATE const HalfOperand &left, PRIVATE const HalfOperand &right) {
    simdgroup_multiply_accumulate(sum, left, right, sum);
}
