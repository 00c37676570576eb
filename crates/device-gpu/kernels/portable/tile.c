// Tiles of TILE rows of input by TILE rows of weights, TILE_K deep, in the memory of a group of 256 threads: operands lie by depth, `a` those
// of the input, `b` those of the weights. Where waves multiply matrices, each has a part of the tile; elsewhere each thread has 4 x 4 sums.
#define TILE 64
#define TILE_K 32
#define PADDED (TILE + 1)
#define TILE_THREADS 256

#ifdef MATRIX_SIDE
#define WAVE_ROWS 32
#define WAVE_COLUMNS (TILE * TILE / WAVE_ROWS * WAVE / TILE_THREADS)
FUNCTION int wave_row(int t) { return t / WAVE % (TILE / WAVE_ROWS) * WAVE_ROWS; }
FUNCTION int wave_column(int t) { return t / WAVE / (TILE / WAVE_ROWS) * WAVE_COLUMNS; }

// Matrices of floats: SIDE by SIDE, DEPTH deep.
struct Floats {
    typedef float Value;
    typedef MatrixOperand Operand;
    typedef MatrixSum Sum;
    enum { SIDE = MATRIX_SIDE, DEPTH = MATRIX_DEPTH, STRIDE = PADDED };
    static FUNCTION LOCAL const float *at(LOCAL const float *tile, int line, int depth) { return tile + depth * PADDED + line; }
};

// What a wave has of a tile's sums, as matrices of a kind.
template <class Kind> struct WaveSums {
    enum { DOWN = WAVE_ROWS / Kind::SIDE, ACROSS = WAVE_COLUMNS / Kind::SIDE };
    typename Kind::Sum of[DOWN * ACROSS];
};
typedef WaveSums<Floats> TileSums;

template <class Kind> FUNCTION void clear_sums(PRIVATE WaveSums<Kind> *sums) {
    UNROLL for (int i = 0; i < WaveSums<Kind>::DOWN * WaveSums<Kind>::ACROSS; i++) clear_matrix(sums->of[i]);
}

template <class Kind>
FUNCTION void multiply_tiles(LOCAL const typename Kind::Value *a, LOCAL const typename Kind::Value *b, int t, PRIVATE WaveSums<Kind> *sums) {
    enum { SIDE = Kind::SIDE, DOWN = WaveSums<Kind>::DOWN, ACROSS = WaveSums<Kind>::ACROSS };
    for (int k = 0; k < TILE_K; k += Kind::DEPTH) {
        typename Kind::Operand left[DOWN], right[ACROSS];
        UNROLL for (int i = 0; i < DOWN; i++) load_left(left[i], Kind::at(a, wave_row(t) + i * SIDE, k), Kind::STRIDE, t);
        UNROLL for (int j = 0; j < ACROSS; j++) load_right(right[j], Kind::at(b, wave_column(t) + j * SIDE, k), Kind::STRIDE, t);
        UNROLL for (int i = 0; i < DOWN; i++) {
            UNROLL for (int j = 0; j < ACROSS; j++) multiply_matrices(sums->of[i * ACROSS + j], left[i], right[j]);
        }
    }
}

template <class Kind> FUNCTION void put_sums(PRIVATE const WaveSums<Kind> *sums, int t, LOCAL float *to) {
    enum { SIDE = Kind::SIDE, DOWN = WaveSums<Kind>::DOWN, ACROSS = WaveSums<Kind>::ACROSS };
    UNROLL for (int i = 0; i < DOWN; i++) {
        UNROLL for (int j = 0; j < ACROSS; j++) {
            int row = wave_row(t) + i * SIDE, column = wave_column(t) + j * SIDE;
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
