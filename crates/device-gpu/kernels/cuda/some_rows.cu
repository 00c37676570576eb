// Products of quantised weights with tens of rows of activations, and with more where there is nothing better. A group of SOME_TILES warps
// takes as many tiles of 16 rows of weights, pairs of warps with half of each unit's depth, and 8 N rows of activations; the depth may be
// split over groups, whose sums the last to arrive adds up in their order.
#ifndef DEPTH_SOME
#define DEPTH_SOME 3
#endif
#ifndef SOME_TILES
#define SOME_TILES 8
#endif
#define SOME_PAIRS (SOME_TILES / 2)

template <class F, int N>
struct SomeStage {
    static const int WEIGHTS = SOME_TILES * F::BYTES;
    static const int BYTES = WEIGHTS + 4 * N * 512;
};

// A group's share of the work: its tile of each place (gated: gate and up alternate) and its part of the depth.
struct SomeWork {
    int first_tile, tiles, units, from, to;
};

// Where a warp's own tile of the group's begins, which it brings for all; 0 where there is none.
template <class F, int GATED>
FUNCTION const u8 *own_weights(const Matrices &m, const SomeWork &work, int warp) {
    int tile = work.first_tile + (GATED ? warp / 2 : warp);
    if (tile >= work.tiles) return 0;
    int which = GATED ? warp % 2 : matrix_of(m, tile);
    return F::at(CHOOSE(m.weights, which), tile, 0, work.units);
}

template <class F>
FUNCTION void fetch_weights(u8 *stage, const u8 *own, int unit, int warp, int lane) {
    if (own) F::copy(stage + warp * F::BYTES, own + (u64)unit * F::STEP, lane, 32);
}

template <int N>
FUNCTION void fetch_rows(u8 *to, const u8 *rows, int unit) {
#pragma unroll
    for (int run = 0; run < 4; run++) copy_piece<N * 512>(to + run * N * 512, rows + (u64)(4 * unit + run) * 4096, THREAD(0), 32 * SOME_TILES);
}

template <class F, int N>
FUNCTION void multiply_stage(float (*acc)[N][4], const u8 *stage, int pair, int half_of, int lane) {
    Part part[2] = {F::read(stage + 2 * pair * F::BYTES, lane, half_of), F::read(stage + (2 * pair + 1) * F::BYTES, lane, half_of)};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int run = 2 * half_of + i;
        u32 weights[2][8];
        float scale[2][4];
#pragma unroll
        for (int j = 0; j < 2; j++) {
            F::weights(part[j], i, weights[j]);
            F::scales(part[j], i, scale[j]);
        }
        const u8 *rows = stage + SomeStage<F, N>::WEIGHTS + run * N * 512 + lane * 16;
#pragma unroll
        for (int n = 0; n < N; n++) {
            Words4 b = *(const Words4 *)(rows + n * 512);
            multiply_run<F>(acc[0][n], weights[0], scale[0], b);
            multiply_run<F>(acc[1][n], weights[1], scale[1], b);
        }
    }
}

// Sums in shared memory, [tile][row of activations][row of weights], padded for the banks; the halves of the depth are added up.
#define SUM_STRIDE 20
template <int N>
FUNCTION void add_halves(const float (*acc)[N][4], float *sums, int pair, int half_of, int lane) {
    for (int turn = 1; turn >= 0; turn--) {
        BARRIER();
        if (half_of != turn) continue;
#pragma unroll
        for (int j = 0; j < 2; j++)
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int token = 8 * n + lane % 4 * 2 + i % 2, row = lane / 4 + i / 2 * 8;
                    float &place = sums[((2 * pair + j) * 8 * N + token) * SUM_STRIDE + row];
                    place = turn == 1 ? acc[j][n][i] : acc[j][n][i] + place;
                }
    }
    BARRIER();
}

// Adds the parts of the depth up, in the same place; false for all but the last group to arrive.
FUNCTION bool add_parts(float *sums, int size, float *partial, int *counter, int *arrived) {
    u64 unit = (u64)GROUP(2) * GROUPS(0) + GROUP(0);
    partial += unit * GROUPS(1) * size;
    for (int i = THREAD(0); i < size; i += THREADS(0)) partial[(u64)GROUP(1) * size + i] = sums[i / TILE_ROWS * SUM_STRIDE + i % TILE_ROWS];
    see_arrivals();
    BARRIER();
    if (THREAD(0) == 0) arrived[0] = count_arrival(counter + unit);
    BARRIER();
    if (arrived[0] != GROUPS(1) - 1) return false;
    see_arrivals();
    if (THREAD(0) == 0) counter[unit] = 0;
    const int AT_ONCE = 4;
    for (int first = THREAD(0); first < size; first += AT_ONCE * THREADS(0)) {
        float sum[AT_ONCE] = {};
#pragma unroll 4
        for (int part = 0; part < GROUPS(1); part++)
#pragma unroll
            for (int j = 0; j < AT_ONCE; j++) sum[j] += load_shared_result(partial + (u64)part * size + first + j * THREADS(0));
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            int i = first + j * THREADS(0);
            sums[i / TILE_ROWS * SUM_STRIDE + i % TILE_ROWS] = sum[j];
        }
    }
    BARRIER();
    return true;
}

template <int GATED, int N>
FUNCTION void store_some(const Matrices &m, const float *sums, const float *factors, const SomeWork &work, int tokens, int act) {
    int first = GROUP(2) * 8 * N, here = tokens - first < 8 * N ? tokens - first : 8 * N;
    for (int i = THREAD(0); i < SOME_TILES / (GATED ? 2 : 1) * TILE_ROWS * here; i += THREADS(0)) {
        int row = i % TILE_ROWS, local = i / TILE_ROWS / here, token = i / TILE_ROWS % here, tile = work.first_tile + local;
        if (tile >= work.tiles) return;
        const float *sum = sums + ((GATED ? 2 * local : local) * 8 * N + token) * SUM_STRIDE + row;
        float factor = factors[token];
        token += first;
        if (GATED) {
            store_gated(m, 16 * tile + row, token, sum[0] * (factor * m.scale[0]), sum[8 * N * SUM_STRIDE] * (factor * m.scale[1]), act);
        } else {
            int which = matrix_of(m, tile);
            store_result(m, which, 16 * tile + row, token, sum[0] * (factor * CHOOSE(m.scale, which)));
        }
    }
}

template <class F, int N, int GATED>
FUNCTION void some_rows(const Matrices &m, const u8 *rows, const float *up, float *partial, int *counter, int depth, int tokens, int act) {
    DYNAMIC_SHARED(room);
    SHARED(int, arrived, 1);
    SHARED(float, factors, 8 * N);
    const int STAGE = SomeStage<F, N>::BYTES;
    int lane = THREAD(0) % 32, warp = own_warp(), pair = warp % SOME_PAIRS, half_of = warp / SOME_PAIRS;
    SomeWork work;
    work.units = (depth + UNIT_DEPTH - 1) / UNIT_DEPTH;
    work.tiles = GATED ? (m.rows[0] + TILE_ROWS - 1) / TILE_ROWS : tiles_of(m);
    work.first_tile = GROUP(0) * (GATED ? SOME_PAIRS : SOME_TILES);
    work.from = work.units * GROUP(1) / GROUPS(1);
    work.to = work.units * (GROUP(1) + 1) / GROUPS(1);
    // Rows lie in 64s, of which a group may take a part.
    rows += (u64)(GROUP(2) * N / 8) * (u64)(4 * work.units) * 4096 + GROUP(2) * N % 8 * 512;
    const u8 *own = own_weights<F, GATED>(m, work, warp);

    for (int i = 0; i < DEPTH_SOME - 1; i++) {
        if (work.from + i < work.to) fetch_weights<F>(room + i * STAGE, own, work.from + i, warp, lane);
    }
    WAIT_FOR_EARLIER();
    for (int i = 0; i < DEPTH_SOME - 1; i++) {
        if (work.from + i < work.to) fetch_rows<N>(room + i * STAGE + SomeStage<F, N>::WEIGHTS, rows, work.from + i);
        copies_commit();
    }
    int own_row = GROUP(2) * 8 * N + THREAD(0);
    if (THREAD(0) < 8 * N) factors[THREAD(0)] = own_row < tokens ? up[own_row] : 0.0f;
    float acc[2][N][4] = {};
    int slot = 0, ahead = DEPTH_SOME - 1;
    for (int unit = work.from; unit < work.to; unit++) {
        copies_wait<DEPTH_SOME - 2>();
        BARRIER();
        int next = unit + DEPTH_SOME - 1;
        if (next < work.to) {
            fetch_weights<F>(room + ahead * STAGE, own, next, warp, lane);
            fetch_rows<N>(room + ahead * STAGE + SomeStage<F, N>::WEIGHTS, rows, next);
        }
        copies_commit();
        ahead = ahead + 1 == DEPTH_SOME ? 0 : ahead + 1;
        multiply_stage<F, N>(acc, room + slot * STAGE, pair, half_of, lane);
        slot = slot + 1 == DEPTH_SOME ? 0 : slot + 1;
    }
    float *sums = (float *)room;
    add_halves<N>(acc, sums, pair, half_of, lane);
    if (GROUPS(1) > 1 && !add_parts(sums, SOME_TILES * 8 * N * TILE_ROWS, partial, counter, arrived)) return;
    store_some<GATED, N>(m, sums, factors, work, tokens, act);
}

#define SOME_PARAMETERS                                                                                                 \
    IN(u8, w0), IN(u8, w1), IN(u8, w2), IN(float, bias0), IN(float, bias1), IN(float, bias2), OUT(float, out0), OUT(float, out1),  \
        OUT(float, out2), IN(u8, rows), IN(float, up), OUT(float, partial), OUT(int, counters), INT(rows0), INT(rows1), INT(rows2),  \
        INT(depth), INT(tokens), INT(flags), INT(act), FLOAT(scale0), FLOAT(scale1), FLOAT(scale2)
#define SOME_BODY(n, gated)                                                                                             \
    Matrices m = {{w0, w1, w2}, {bias0, bias1, bias2}, {out0, out1, out2}, {rows0, rows1, rows2}, {scale0, scale1, scale2}, flags};  \
    some_rows<FORMAT, n, gated>(m, rows, up, partial, counters, depth, tokens, act);

KERNEL(some16)(SOME_PARAMETERS IDS) { SOME_BODY(2, 0) }
KERNEL(some32)(SOME_PARAMETERS IDS) { SOME_BODY(4, 0) }
KERNEL(some64)(SOME_PARAMETERS IDS) { SOME_BODY(8, 0) }
KERNEL(some16_gated)(SOME_PARAMETERS IDS) { SOME_BODY(2, 1) }
KERNEL(some32_gated)(SOME_PARAMETERS IDS) { SOME_BODY(4, 1) }
KERNEL(some64_gated)(SOME_PARAMETERS IDS) { SOME_BODY(8, 1) }
