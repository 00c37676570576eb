// Tiles of TILE rows of input by TILE rows of weights, TILE_K deep, in the memory of a group of 256 threads: operands lie by depth, `a` those
// of the input, `b` those of the weights. Where waves multiply matrices (MATRIX_SIDE by MATRIX_SIDE, MATRIX_DEPTH deep), each has a part
// of the tile; elsewhere each thread has 4 x 4 sums.
#define TILE 64
#define TILE_K 32
#define PADDED (TILE + 1)
#define TILE_THREADS 256

#ifdef MATRIX_SIDE
#define WAVE_ROWS 32
#define WAVE_COLUMNS (TILE * TILE / WAVE_ROWS * WAVE / TILE_THREADS)
#define DOWN (WAVE_ROWS / MATRIX_SIDE)
#define ACROSS (WAVE_COLUMNS / MATRIX_SIDE)
struct TileSums {
    MatrixSum of[DOWN * ACROSS];
};
FUNCTION int wave_row(int t) { return t / WAVE % (TILE / WAVE_ROWS) * WAVE_ROWS; }
FUNCTION int wave_column(int t) { return t / WAVE / (TILE / WAVE_ROWS) * WAVE_COLUMNS; }

FUNCTION void clear_sums(PRIVATE TileSums *sums) {
    UNROLL for (int i = 0; i < DOWN * ACROSS; i++) clear_matrix(sums->of[i]);
}

FUNCTION void multiply_tiles(LOCAL const float *a, LOCAL const float *b, int t, PRIVATE TileSums *sums) {
    for (int k = 0; k < TILE_K; k += MATRIX_DEPTH) {
        MatrixOperand left[DOWN], right[ACROSS];
        UNROLL for (int i = 0; i < DOWN; i++) load_left(left[i], a + k * PADDED + wave_row(t) + i * MATRIX_SIDE, PADDED, t);
        UNROLL for (int j = 0; j < ACROSS; j++) load_right(right[j], b + k * PADDED + wave_column(t) + j * MATRIX_SIDE, PADDED, t);
        UNROLL for (int i = 0; i < DOWN; i++) {
            UNROLL for (int j = 0; j < ACROSS; j++) multiply_matrices(sums->of[i * ACROSS + j], left[i], right[j]);
        }
    }
}

FUNCTION void put_sums(PRIVATE const TileSums *sums, int t, LOCAL float *to) {
    UNROLL for (int i = 0; i < DOWN; i++) {
        UNROLL for (int j = 0; j < ACROSS; j++) {
            int row = wave_row(t) + i * MATRIX_SIDE, column = wave_column(t) + j * MATRIX_SIDE;
            put_matrix(sums->of[i * ACROSS + j], to + row * TILE + column, TILE, t);
        }
    }
}
#else
typedef struct {
    float of[16];
} TileSums;

FUNCTION void clear_sums(PRIVATE TileSums *sums) {
    for (int i = 0; i < 16; i++) sums->of[i] = 0.0f;
}

FUNCTION void multiply_tiles(LOCAL const float *a, LOCAL const float *b, int t, PRIVATE TileSums *sums) {
    int row = t / 16, column = t % 16;
    for (int k = 0; k < TILE_K; k++) {
        float left[4], right[4];
        for (int i = 0; i < 4; i++) {
            left[i] = a[k * PADDED + row + i * 16];
            right[i] = b[k * PADDED + column + i * 16];
        }
        for (int i = 0; i < 4; i++) {
            for (int j = 0; j < 4; j++) sums->of[i * 4 + j] = FMA(left[i], right[j], sums->of[i * 4 + j]);
        }
    }
}

// [row of input][row of weights].
FUNCTION void put_sums(PRIVATE const TileSums *sums, int t, LOCAL float *to) {
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) to[(t / 16 + i * 16) * TILE + t % 16 + j * 16] = sums->of[i * 4 + j];
    }
}
#endif
