// Products with weights in the file's own blocks: y[row, n] (+)= x[row, :] . w[n, :] + bias[n]. What comes before says how eight
// values of a block are decoded (DQ8), how many values a block has (BLOCK_VALUES) and how many bytes (BLOCK_BYTES).
// The third axis of groups walks a stack of matrices: matrix z starts `z * w_rows` rows on, its input `z * x_step` values and
// its output `z * y_step` values on.

// Rows are whole blocks of a multiple of 8 values; what fills the last one up is zero.

// Eight values of row `row` from column `k` on, a multiple of 8.
FUNCTION void eight_of(GLOBAL const u8 *w, u64 row, int blocks, int k, PRIVATE float *out) {
    GLOBAL const u8 *block = w + (row * (u64)blocks + (u64)(k / BLOCK_VALUES)) * (u64)BLOCK_BYTES;
    DQ8(block, (k % BLOCK_VALUES) / 8, out);
}

// A few rows of input (at most ROWS_AT_ONCE): one group of threads per row of weights.
#define MATVEC_THREADS 64
#define ROWS_AT_ONCE 4
KERNEL(matvec)(IN(float, x), IN(u8, w), IN(float, bias), OUT(float, y), INT(rows), INT(cols), INT(x_stride),
               INT(y_stride), INT(x_at), INT(y_at), INT(x_step), INT(y_step), INT(w_rows), INT(has_bias), INT(adds) IDS) {
    SHARED(float, room, MATVEC_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), n = GROUP(0), z = GROUP(2);
    int blocks = (cols + BLOCK_VALUES - 1) / BLOCK_VALUES;
    int first = GROUP(1) * ROWS_AT_ONCE, count = rows - first < ROWS_AT_ONCE ? rows - first : ROWS_AT_ONCE;
    GLOBAL const float *from = x + x_at + (u64)z * (u64)x_step + (u64)first * (u64)x_stride;
    float sums[ROWS_AT_ONCE];
    for (int r = 0; r < ROWS_AT_ONCE; r++) sums[r] = 0.0f;
    for (int k = t * 8; k < cols; k += MATVEC_THREADS * 8) {
        float v[8];
        eight_of(w, (u64)z * (u64)w_rows + (u64)n, blocks, k, v);
        int most = cols - k < 8 ? cols - k : 8;
        for (int r = 0; r < count; r++) {
            for (int i = 0; i < most; i++) sums[r] = FMA(from[r * x_stride + k + i], v[i], sums[r]);
        }
    }
    for (int r = 0; r < count; r++) {
        float sum = group_sum(sums[r], room, t, MATVEC_THREADS);
        if (t == 0) {
            GLOBAL float *to = y + y_at + (u64)z * (u64)y_step + (u64)(first + r) * (u64)y_stride + (u64)n;
            if (has_bias) sum += bias[z * w_rows + n];
            *to = adds ? *to + sum : sum;
        }
    }
}

// Many rows, in tiles: what comes before says how a tile's operands are multiplied (see tile.c).
FUNCTION void fill_tiles(GLOBAL const float *x, GLOBAL const u8 *w, LOCAL float *a, LOCAL float *b,
                         int t, int rows, int first_row, u64 w_first, int n_left, int cols, int k, int x_stride) {
    int blocks = (cols + BLOCK_VALUES - 1) / BLOCK_VALUES;
    int line = t / 4, part = (t % 4) * 8;
    float v[8];
    for (int i = 0; i < 8; i++) v[i] = 0.0f;
    if (line < n_left && k + part < cols) eight_of(w, w_first + (u64)line, blocks, k + part, v);
    for (int i = 0; i < 8; i++) b[(part + i) * PADDED + line] = k + part + i < cols ? v[i] : 0.0f;
    GLOBAL const float *from = x + (u64)(first_row + line) * (u64)x_stride + k + part;
    for (int i = 0; i < 8; i++) {
        int inside = first_row + line < rows && k + part + i < cols;
        a[(part + i) * PADDED + line] = inside ? from[i] : 0.0f;
    }
}

// Products of rows `first_row` on, below `rows`, with `n_left` rows of weights from `w_first` on, left in `room`: [row][row of weights].
#define TILE_ROOM (2 * TILE_K * PADDED)
FUNCTION void multiply_tile(GLOBAL const float *x, GLOBAL const u8 *w, LOCAL float *room, int t, int rows, int first_row, u64 w_first,
                            int n_left, int cols, int x_stride) {
    LOCAL float *a = room, *b = room + TILE_K * PADDED;
    TileSums sums;
    clear_sums(&sums);
    for (int k = 0; k < cols; k += TILE_K) {
        fill_tiles(x, w, a, b, t, rows, first_row, w_first, n_left, cols, k, x_stride);
        BARRIER();
        multiply_tiles(a, b, t, &sums);
        BARRIER();
    }
    put_sums(&sums, t, room);
    BARRIER();
}

// What a tile's products do to `y`, where rows and columns of the result end; `room` as above.
FUNCTION void store_tile(LOCAL const float *room, GLOBAL const float *bias, GLOBAL float *y, int t, int rows, int columns, int y_stride,
                         int has_bias, int adds) {
    for (int i = t; i < TILE * TILE; i += TILE_THREADS) {
        int r = i / TILE, c = i % TILE;
        if (r < rows && c < columns) {
            GLOBAL float *to = y + (u64)r * (u64)y_stride + (u64)c;
            float sum = room[i];
            if (has_bias) sum += bias[c];
            *to = adds ? *to + sum : sum;
        }
    }
}

KERNEL(matmul)(IN(float, x), IN(u8, w), IN(float, bias), OUT(float, y), INT(rows), INT(cols), INT(n),
               INT(x_stride), INT(y_stride), INT(x_at), INT(y_at), INT(x_step), INT(y_step), INT(has_bias), INT(adds) IDS) {
    SHARED(float, room, TILE_ROOM);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), z = GROUP(2);
    int first_n = GROUP(0) * TILE, first_row = GROUP(1) * TILE;
    multiply_tile(x + x_at + (u64)z * (u64)x_step, w, room, t, rows, first_row, (u64)z * (u64)n + (u64)first_n, n - first_n, cols, x_stride);
    GLOBAL float *to = y + y_at + (u64)z * (u64)y_step + (u64)first_row * (u64)y_stride + (u64)first_n;
    store_tile(room, bias + (has_bias ? z * n + first_n : 0), to, t, rows - first_row, n - first_n, y_stride, has_bias, adds);
}

// Rows that were put in the order of the matrices they meet: `ends` says where the rows of each matrix end.
KERNEL(matmul_routed)(IN(float, x), IN(u8, w), IN(float, bias), IN(int, ends), OUT(float, y), INT(cols), INT(n),
                      INT(has_bias) IDS) {
    SHARED(float, room, TILE_ROOM);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), z = GROUP(2);
    int start = z > 0 ? ends[z - 1] : 0, end = ends[z];
    int first_n = GROUP(0) * TILE, first_row = start + GROUP(1) * TILE;
    if (first_row >= end) return;
    multiply_tile(x, w, room, t, end, first_row, (u64)z * (u64)n + (u64)first_n, n - first_n, cols, cols);
    GLOBAL float *to = y + (u64)first_row * (u64)n + (u64)first_n;
    store_tile(room, bias + (has_bias ? z * n + first_n : 0), to, t, end - first_row, n - first_n, n, has_bias, 0);
}

// Few rows that meet different matrices: row i, which is row `i / share` of the input, meets matrix `members[i]`; one group of
// threads per row of weights and result.
KERNEL(matvec_routed)(IN(float, x), IN(u8, w), IN(float, bias), IN(int, members), OUT(float, y), INT(cols), INT(n),
                      INT(share), INT(has_bias) IDS) {
    SHARED(float, room, MATVEC_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), c = GROUP(0), r = GROUP(1), z = members[r];
    int blocks = (cols + BLOCK_VALUES - 1) / BLOCK_VALUES;
    GLOBAL const float *from = x + (u64)(r / share) * (u64)cols;
    float sum = 0.0f;
    for (int k = t * 8; k < cols; k += MATVEC_THREADS * 8) {
        float v[8];
        eight_of(w, (u64)z * (u64)n + (u64)c, blocks, k, v);
        int most = cols - k < 8 ? cols - k : 8;
        for (int i = 0; i < most; i++) sum = FMA(from[k + i], v[i], sum);
    }
    sum = group_sum(sum, room, t, MATVEC_THREADS);
    if (t == 0) y[(u64)r * (u64)n + (u64)c] = sum + (has_bias ? bias[z * n + c] : 0.0f);
}

// Rows of a table: out[i] = table[id] * scale, or added. Ids lie in `step` from `at` on; those beyond the table become 0.
KERNEL(lookup)(IN(u8, table), IN(int, step), OUT(float, out), INT(at), INT(table_rows), INT(cols), INT(width),
               INT(adds), FLOAT(factor) IDS) {
    WAIT_FOR_EARLIER();
    int row = GROUP(1), k = (GROUP(0) * THREADS(0) + THREAD(0)) * 8;
    int blocks = (cols + BLOCK_VALUES - 1) / BLOCK_VALUES;
    int id = step[at + row];
    if (id < 0 || id >= table_rows) id = 0;
    if (k >= cols) return;
    float v[8];
    eight_of(table, (u64)id, blocks, k, v);
    for (int i = 0; i < 8 && k + i < cols; i++) {
        GLOBAL float *to = out + (u64)row * (u64)width + (u64)(k + i);
        float value = v[i] * factor;
        *to = adds ? *to + value : value;
    }
}
