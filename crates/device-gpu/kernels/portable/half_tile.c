// Products of many rows with operands rounded to halves, for waves that multiply matrices of halves (HALF_SIDE). Rows of the input and of the
// weights come with a power of two each (`ranges`), which brings their largest value to the upper end of what halves hold.
#define RANGE_THREADS 64
// Powers from 2^-120 to 2^120, so that their inverses are normal numbers too.
FUNCTION float range_of(float most) {
    int exponent = 127 + 14 - ((int)(as_bits(most) >> 23 & 255) - 127);
    exponent = exponent < 7 ? 7 : exponent > 247 ? 247 : exponent;
    return as_float_bits((u32)exponent << 23);
}

// Of rows of the input, for each matrix of a stack.
KERNEL(row_ranges)(IN(float, x), OUT(float, ranges), INT(rows), INT(cols), INT(x_stride), INT(x_at), INT(x_step) IDS) {
    SHARED(float, room, RANGE_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), row = GROUP(0), z = GROUP(2);
    GLOBAL const float *from = x + x_at + (u64)z * (u64)x_step + (u64)row * (u64)x_stride;
    float most = 0.0f;
    for (int k = t; k < cols; k += RANGE_THREADS) most = FMAX(most, FABS(from[k]));
    most = group_max(most, room, t, RANGE_THREADS);
    if (t == 0) ranges[z * rows + row] = range_of(most);
}

// Of rows of weights.
KERNEL(weight_ranges)(IN(u8, w), OUT(float, ranges), INT(cols) IDS) {
    SHARED(float, room, RANGE_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), row = GROUP(0);
    int blocks = (cols + BLOCK_VALUES - 1) / BLOCK_VALUES;
    float most = 0.0f;
    for (int k = t * 8; k < cols; k += RANGE_THREADS * 8) {
        float v[8];
        eight_of(w, (u64)row, blocks, k, v);
        for (int i = 0; i < 8; i++) most = FMAX(most, FABS(v[i]));
    }
    most = group_max(most, room, t, RANGE_THREADS);
    if (t == 0) ranges[row] = range_of(most);
}

#ifdef HALF_SIDE
#define HALF_STRIDE (TILE_K + 4)
struct Halves {
    typedef Half Value;
    typedef HalfOperand Operand;
    typedef HalfSum Sum;
    enum { SIDE = HALF_SIDE, DEPTH = HALF_DEPTH, STRIDE = HALF_STRIDE };
    static FUNCTION LOCAL const Half *at(LOCAL const Half *tile, int line, int depth) { return tile + line * HALF_STRIDE + depth; }
};

// Operands lie by line: a thread fills eight depths of one line of each.
FUNCTION void fill_halves(GLOBAL const float *x, GLOBAL const u8 *w, LOCAL Half *a, LOCAL Half *b, float x_range, float w_range, int t,
                          int row_is_there, u64 w_row, int w_is_there, int cols, int k) {
    int blocks = (cols + BLOCK_VALUES - 1) / BLOCK_VALUES;
    int at = t / 4 * HALF_STRIDE + t % 4 * 8, from = k + t % 4 * 8;
    float v[8];
    UNROLL for (int i = 0; i < 8; i++) v[i] = 0.0f;
    if (w_is_there && from < cols) eight_of(w, w_row, blocks, from, v);
    UNROLL for (int i = 0; i < 8; i++) b[at + i] = (Half)(from + i < cols ? v[i] * w_range : 0.0f);
    UNROLL for (int i = 0; i < 8; i++) a[at + i] = (Half)(row_is_there && from + i < cols ? x[from + i] * x_range : 0.0f);
}

// As multiply_tile, with the ranges of the rows of input and of all rows of weights.
FUNCTION void multiply_half_tile(GLOBAL const float *x, GLOBAL const u8 *w, GLOBAL const float *x_ranges, GLOBAL const float *w_ranges,
                                 LOCAL float *room, int t, int rows, u64 w_first, int n_left, int cols, int x_stride) {
    LOCAL Half *a = (LOCAL Half *)room, *b = a + TILE * HALF_STRIDE;
    int line = t / 4, row_is_there = line < rows, w_is_there = line < n_left;
    float x_range = row_is_there ? x_ranges[line] : 1.0f, w_range = w_is_there ? w_ranges[w_first + (u64)line] : 1.0f;
    GLOBAL const float *from = x + (u64)(row_is_there ? line : 0) * (u64)x_stride;
    WaveSums<Halves> sums;
    clear_sums(&sums);
    for (int k = 0; k < cols; k += TILE_K) {
        fill_halves(from, w, a, b, x_range, w_range, t, row_is_there, w_first + (u64)line, w_is_there, cols, k);
        BARRIER();
        multiply_tiles(a, b, t, &sums);
        BARRIER();
    }
    put_sums(&sums, t, room);
    BARRIER();
    for (int i = t; i < TILE * TILE; i += TILE_THREADS) {
        int r = i / TILE, c = i % TILE;
        if (r < rows && c < n_left) room[i] = room[i] * (1.0f / x_ranges[r]) * (1.0f / w_ranges[w_first + (u64)c]);
    }
    BARRIER();
}
#else
// Without such instructions nothing is rounded.
FUNCTION void multiply_half_tile(GLOBAL const float *x, GLOBAL const u8 *w, GLOBAL const float *x_ranges, GLOBAL const float *w_ranges,
                                 LOCAL float *room, int t, int rows, u64 w_first, int n_left, int cols, int x_stride) {
    multiply_tile(x, w, room, t, rows, 0, w_first, n_left, cols, x_stride);
}
#endif

KERNEL(matmul_halves)(IN(float, x), IN(u8, w), IN(float, bias), OUT(float, y), IN(float, x_ranges), IN(float, w_ranges), INT(rows), INT(cols),
                      INT(n), INT(x_stride), INT(y_stride), INT(x_at), INT(y_at), INT(x_step), INT(y_step), INT(has_bias), INT(adds) IDS) {
    SHARED(float, room, TILE_ROOM);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), z = GROUP(2);
    int first_n = GROUP(0) * TILE, first_row = GROUP(1) * TILE;
    GLOBAL const float *from = x + x_at + (u64)z * (u64)x_step + (u64)first_row * (u64)x_stride;
    multiply_half_tile(from, w, x_ranges + z * rows + first_row, w_ranges, room, t, rows - first_row, (u64)z * (u64)n + (u64)first_n,
                       n - first_n, cols, x_stride);
    GLOBAL float *to = y + y_at + (u64)z * (u64)y_step + (u64)first_row * (u64)y_stride + (u64)first_n;
    store_tile(room, bias + (has_bias ? z * n + first_n : 0), to, t, rows - first_row, n - first_n, y_stride, has_bias, adds);
}

// As matmul_routed.
KERNEL(matmul_halves_routed)(IN(float, x), IN(u8, w), IN(float, bias), IN(int, ends), OUT(float, y), IN(float, x_ranges),
                             IN(float, w_ranges), INT(cols), INT(n), INT(has_bias) IDS) {
    SHARED(float, room, TILE_ROOM);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), z = GROUP(2);
    int start = z > 0 ? ends[z - 1] : 0, end = ends[z];
    int first_n = GROUP(0) * TILE, first_row = start + GROUP(1) * TILE;
    if (first_row >= end) return;
    multiply_half_tile(x + (u64)first_row * (u64)cols, w, x_ranges + first_row, w_ranges, room, t, end - first_row,
                       (u64)z * (u64)n + (u64)first_n, n - first_n, cols, cols);
    GLOBAL float *to = y + (u64)first_row * (u64)n + (u64)first_n;
    store_tile(room, bias + (has_bias ? z * n + first_n : 0), to, t, end - first_row, n - first_n, n, has_bias, 0);
}
