// Products of many rows of activations with weights as halves, on Hopper: groups of four warps multiply 64 rows at once straight from shared
// memory (wgmma), while one warp has pieces of both operands copied there. Pieces (see Halves) are what the instruction reads: 8 rows of 128
// bytes, chunks swapped by the row. Operands are in slots, which changes no sum but its order.
#if defined(TORCHLESS_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
// One activation, known while compiling: a choice for each of the values of a tile would be more code than the cache of instructions holds.
#ifndef ACTIVATION
#define ACTIVATION 0
#endif
#define GEMM_STAGES 4
#define GEMM_THREADS 288

// What a group works on next: a tile of 128 rows of activations and one or two halves of 128 rows of weights.
struct GemmTile {
    int row, half_of;
};
FUNCTION int halves_of(int rows) { return (rows + 127) / 128; }

// The matrix of a half, which becomes one of that matrix; 3 where there is none.
FUNCTION int matrix_of_half(const Matrices &m, int &half_of) {
#pragma unroll
    for (int i = 0; i < 3; i++) {
        if (half_of < halves_of(m.rows[i])) return i;
        half_of -= halves_of(m.rows[i]);
    }
    return 3;
}

template <int WIDE, int GATED>
FUNCTION int place_of_half(const Matrices &m, const GemmTile &tile, int i, int &local) {
    local = tile.half_of + (GATED ? 0 : i);
    return GATED ? i : matrix_of_half(m, local);
}

template <int WIDE, int GATED>
struct Gemm {
    static const int HALVES = WIDE ? 2 : 1;
    static const int STAGE = (1 + HALVES) * PIECE_BYTES;
    static const int COLUMNS = 128 * HALVES;

    FUNCTION static int column_tiles(const Matrices &m) {
        int halves = halves_of(m.rows[0]);
        if (GATED) return halves;
        halves += halves_of(m.rows[1]) + halves_of(m.rows[2]);
        return (halves + HALVES - 1) / HALVES;
    }

    // Neighbours in time share weights.
    FUNCTION static GemmTile tile(int i, int row_tiles) {
        GemmTile t = {i % row_tiles, i / row_tiles * (GATED ? 1 : HALVES)};
        return t;
    }

    FUNCTION static void produce(u8 *room, u64 *full, u64 *empty, const Matrices &m, const u8 *rows, int row_tiles, int tiles, int pieces) {
        int stage = 0, parity = 1;
        for (int i = GROUP(0); i < tiles; i += GROUPS(0)) {
            GemmTile t = tile(i, row_tiles);
            const u8 *a = rows + (u64)t.row * (u64)pieces * PIECE_BYTES, *b[HALVES];
            int there = 0;
#pragma unroll
            for (int j = 0; j < HALVES; j++) {
                int local, which = place_of_half<WIDE, GATED>(m, t, j, local);
                b[j] = which < 3 ? CHOOSE(m.weights, which) + (u64)local * (u64)pieces * PIECE_BYTES : 0;
                there += which < 3;
            }
            for (int piece = 0; piece < pieces; piece++) {
                barrier_wait(empty + stage, parity);
                barrier_expect(full + stage, (1 + there) * PIECE_BYTES);
                u8 *to = room + stage * STAGE;
                copy_bulk(to, a + (u64)piece * PIECE_BYTES, PIECE_BYTES, full + stage);
#pragma unroll
                for (int j = 0; j < HALVES; j++) {
                    if (b[j]) copy_bulk(to + (1 + j) * PIECE_BYTES, b[j] + (u64)piece * PIECE_BYTES, PIECE_BYTES, full + stage);
                }
                if (++stage == GEMM_STAGES) {
                    stage = 0;
                    parity ^= 1;
                }
            }
        }
    }

    FUNCTION static void multiply(float *c, const u8 *a, const u8 *b) {
        u64 left = operand(a), right = operand(b);
        products_begin();
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (WIDE) multiply_64x256x16(c, left + 2 * i, right + 2 * i);
            else multiply_64x128x16(c, left + 2 * i, right + 2 * i);
        }
        products_commit();
    }

    // Results of a row of activations are 16 pairs of columns of each half.
    FUNCTION static void store(const Matrices &m, const float *c, const GemmTile &t, const float *up, int tokens) {
        int lane = THREAD(0) % 32, first = t.row * 128 + THREAD(0) / 32 * 16 + lane / 4;
#pragma unroll
        for (int j = 0; j < (GATED ? 1 : HALVES); j++) {
            int local, which = place_of_half<WIDE, GATED>(m, t, j, local);
            if (which == 3) continue;
            int rows = CHOOSE(m.rows, which);
            bool whole = rows % 2 == 0 && 128 * local + 128 <= rows;
#pragma unroll
            for (int upper = 0; upper < 2; upper++) {
                int token = first + 8 * upper;
                if (token >= tokens) continue;
                float factor = up[token] * CHOOSE(m.scale, which), other = GATED ? up[token] * m.scale[1] : 0.0f;
                int column = 128 * local + lane % 4 * 2;
                const float *sums = c + 64 * j + 2 * upper;
                if (!whole) store_odd(m, which, column, token, sums, factor, other);
                else if (GATED) store_gated_row(m, column, token, sums, factor, other);
                else store_row(m, which, column, token, sums, factor);
            }
        }
    }

    FUNCTION static void store_row(const Matrices &m, int which, int column, int token, const float *sums, float factor) {
        int rows = CHOOSE(m.rows, which);
        float *at = CHOOSE(m.out, which) + (u64)token * (u64)rows + column;
        const float *bias = CHOOSE(m.bias, which) + column;
        bool has_bias = HAS_BIAS(m.flags, which), adds = ADDS(m.flags, which);
#pragma unroll
        for (int n = 0; n < 16; n++) {
            Float2 pair = {sums[4 * n] * factor, sums[4 * n + 1] * factor};
            if (has_bias) {
                pair.x += bias[8 * n];
                pair.y += bias[8 * n + 1];
            }
            if (adds) add_pair_to(at + 8 * n, pair.x, pair.y);
            else *(Float2 *)(at + 8 * n) = pair;
        }
    }

    FUNCTION static void store_gated_row(const Matrices &m, int column, int token, const float *sums, float gate_by, float up_by) {
        Float2 *at = (Float2 *)(m.out[0] + (u64)token * (u64)m.rows[0] + column);
        const float *bias[2] = {m.bias[0] + column, m.bias[1] + column};
#pragma unroll
        for (int n = 0; n < 16; n++) {
            float gate[2] = {sums[4 * n] * gate_by, sums[4 * n + 1] * gate_by}, up[2] = {sums[64 + 4 * n] * up_by, sums[65 + 4 * n] * up_by};
#pragma unroll
            for (int i = 0; i < 2; i++) {
                if (HAS_BIAS(m.flags, 0)) gate[i] += bias[0][8 * n + i];
                if (HAS_BIAS(m.flags, 1)) up[i] += bias[1][8 * n + i];
            }
            Float2 pair = {activation(ACTIVATION, gate[0]) * up[0], activation(ACTIVATION, gate[1]) * up[1]};
            at[4 * n] = pair;
        }
    }

    FUNCTION static void store_odd(const Matrices &m, int which, int column, int token, const float *sums, float factor, float other) {
#pragma unroll
        for (int n = 0; n < 16; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int at = column + 8 * n + i;
                if (GATED) store_gated(m, at, token, sums[4 * n + i] * factor, sums[(GATED ? 64 : 0) + 4 * n + i] * other, ACTIVATION);
                else store_result(m, which, at, token, sums[4 * n + i] * factor);
            }
    }

    FUNCTION static void run(const Matrices &m, const u8 *rows, const float *up, int depth, int tokens) {
        DYNAMIC_SHARED(room);
        SHARED(u64, full, GEMM_STAGES);
        SHARED(u64, empty, GEMM_STAGES);
        if (THREAD(0) == 0) {
            for (int i = 0; i < GEMM_STAGES; i++) {
                barrier_init(full + i, 1);
                barrier_init(empty + i, 8);
            }
            barriers_are_visible();
        }
        BARRIER();
        WAIT_FOR_EARLIER();
        int row_tiles = (tokens + 127) / 128, tiles = row_tiles * column_tiles(m), pieces = 2 * ((depth + UNIT_DEPTH - 1) / UNIT_DEPTH);
        int warp = THREAD(0) / 32, lane = THREAD(0) % 32;
        if (warp == 8) {
            if (lane == 0) produce(room, full, empty, m, rows, row_tiles, tiles, pieces);
            return;
        }
        int stage = 0, parity = 0;
        for (int i = GROUP(0); i < tiles; i += GROUPS(0)) {
            float c[COLUMNS / 2];
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; j++) c[j] = 0.0f;
            int before = 0;
            for (int piece = 0; piece < pieces; piece++) {
                barrier_wait(full + stage, parity);
                const u8 *at = room + stage * STAGE;
                multiply(c, at + warp / 4 * 8192, at + PIECE_BYTES);
                products_wait<1>();
                if (piece > 0 && lane == 0) barrier_arrive(empty + before);
                before = stage;
                if (++stage == GEMM_STAGES) {
                    stage = 0;
                    parity ^= 1;
                }
            }
            products_wait<0>();
            if (lane == 0) barrier_arrive(empty + before);
            store(m, c, tile(i, row_tiles), up, tokens);
        }
    }
};

#define GEMM_PARAMETERS                                                                                                 \
    IN(u8, w0), IN(u8, w1), IN(u8, w2), IN(float, bias0), IN(float, bias1), IN(float, bias2), OUT(float, out0), OUT(float, out1),  \
        OUT(float, out2), IN(u8, rows), IN(float, up), INT(rows0), INT(rows1), INT(rows2), INT(depth), INT(tokens), INT(flags),  \
        FLOAT(scale0), FLOAT(scale1), FLOAT(scale2)
#define GEMM_BODY(wide, gated)                                                                                          \
    Matrices m = {{w0, w1, w2}, {bias0, bias1, bias2}, {out0, out1, out2}, {rows0, rows1, rows2}, {scale0, scale1, scale2}, flags};  \
    Gemm<wide, gated>::run(m, rows, up, depth, tokens);

#undef KERNEL
#define KERNEL(name) KERNEL_WITHIN(__launch_bounds__(GEMM_THREADS, 1), name)
KERNEL(gemm_narrow)(GEMM_PARAMETERS IDS) { GEMM_BODY(0, 0) }
KERNEL(gemm_wide)(GEMM_PARAMETERS IDS) { GEMM_BODY(1, 0) }
KERNEL(gemm_gated)(GEMM_PARAMETERS IDS) { GEMM_BODY(1, 1) }
#undef KERNEL
#define KERNEL(name) KERNEL_WITHIN(, name)
#endif
