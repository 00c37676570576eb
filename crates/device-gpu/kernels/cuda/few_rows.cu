// Products of weights with 1 to 8 rows of activations: one pass over the weights, as fast as memory gives them. A group of threads
// takes tiles of 16 rows one after the other, its warps share the depth of each. Every warp keeps DEPTH_FEW units on their way in a
// ring of its own, the first of them from before the wait for the earlier kernel. Sums are added in the order of warps.

#ifndef DEPTH_FEW
#define DEPTH_FEW 4
#endif
#define MOST_WARPS 16
#define MOST_FEW 8

#define HAS_BIAS(flags, i) ((flags) >> (i)&1)
#define ADDS(flags, i) ((flags) >> (3 + (i)) & 1)
#define NORM_OF(flags) ((flags) >> 6 & 3)
#define NORM_HAS_BIAS(flags) ((flags) >> 8 & 1)
#define NORM_RMS 1
#define NORM_LAYER 2

// Up to three matrices off the same rows, in the order of their tiles.
struct Matrices {
    const u8 *weights[3];
    const float *bias[3];
    float *out[3];
    int rows[3];
    float scale[3];
    int flags;
};

// Which matrix a tile belongs to; the tile becomes one of that matrix.
FUNCTION int matrix_of(const Matrices &m, int &tile) {
    int first = (m.rows[0] + TILE_ROWS - 1) / TILE_ROWS;
    if (tile < first) return 0;
    tile -= first;
    int second = (m.rows[1] + TILE_ROWS - 1) / TILE_ROWS;
    if (tile < second) return 1;
    tile -= second;
    return 2;
}
FUNCTION int tiles_of(const Matrices &m) {
    return (m.rows[0] + TILE_ROWS - 1) / TILE_ROWS + (m.rows[1] + TILE_ROWS - 1) / TILE_ROWS + (m.rows[2] + TILE_ROWS - 1) / TILE_ROWS;
}

// `m.x[i]` with an index that is not known while compiling, without putting the arguments into memory.
#define CHOOSE(array, i) ((i) == 0 ? (array)[0] : (i) == 1 ? (array)[1] : (array)[2])

FUNCTION void store_result(const Matrices &m, int which, int row, int token, float sum) {
    int rows = CHOOSE(m.rows, which);
    if (row >= rows) return;
    float *at = CHOOSE(m.out, which) + (u64)token * (u64)rows + row;
    if (HAS_BIAS(m.flags, which)) sum += CHOOSE(m.bias, which)[row];
    *at = ADDS(m.flags, which) ? *at + sum : sum;
}
FUNCTION void store_gated(const Matrices &m, int row, int token, float gate, float up, int act) {
    if (row >= m.rows[0]) return;
    if (HAS_BIAS(m.flags, 0)) gate += m.bias[0][row];
    if (HAS_BIAS(m.flags, 1)) up += m.bias[1][row];
    m.out[0][(u64)token * (u64)m.rows[0] + row] = activation(act, gate) * up;
}

// A power of two that brings values up to `most` into the upper range of halves, as its reciprocal and itself.
FUNCTION void half_range(float most, float &down, float &up) {
    int exponent = (int)(as_bits(most) >> 23 & 255);
    exponent = exponent < 20 ? 20 : exponent > 240 ? 240 : exponent;
    up = as_float_bits((u32)(exponent - 14) << 23);
    down = as_float_bits((u32)(268 - exponent) << 23);
}

// Where slots of a row lie: those of depth `d`, a multiple of 4, to d + 3.
FUNCTION int slot_of(int d) { return (d & ~31) + 8 * (d % 16 / 4) + 4 * (d % 32 / 16); }

FUNCTION float most_of(Float4 v) { return FMAX(FMAX(FABS(v.x), FABS(v.y)), FMAX(FABS(v.z), FABS(v.w))); }

struct RowNorm {
    const float *weight, *bias;
    int flags;
    float eps;
};

// What is known of a row after looking at it once or twice.
struct RowSums {
    float mean, factor, down, up;
};

FUNCTION float group_sum_of(float x, float *room, int most) {
    int lane = THREAD(0) % 32, warp = THREAD(0) / 32, warps = THREADS(0) / 32;
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        float other = warp_xor(x, lanes);
        x = most ? FMAX(x, other) : x + other;
    }
    BARRIER();
    if (lane == 0) room[warp] = x;
    BARRIER();
    x = room[0];
    for (int i = 1; i < warps; i++) x = most ? FMAX(x, room[i]) : x + room[i];
    return x;
}

// The sums of a row that all threads of a group work on; `depth` is a multiple of 4.
FUNCTION RowSums look_at_row(const float *x, int depth, const RowNorm &norm, float *room) {
    int kind = NORM_OF(norm.flags);
    RowSums sums = {0.0f, 1.0f, 1.0f, 1.0f};
    float total = 0.0f, most = 0.0f;
    for (int d = 4 * THREAD(0); d < depth; d += 4 * THREADS(0)) {
        Float4 v = load_floats(x + d);
        if (kind == NORM_LAYER) {
            total += v.x + v.y + v.z + v.w;
            continue;
        }
        total += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
        if (kind == NORM_RMS) {
            Float4 w = load_floats(norm.weight + d);
            v.x *= w.x;
            v.y *= w.y;
            v.z *= w.z;
            v.w *= w.w;
        }
        most = FMAX(most, most_of(v));
    }
    if (kind != 0) total = group_sum_of(total, room, 0);
    if (kind == NORM_RMS) sums.factor = 1.0f / SQRT(total / depth + norm.eps);
    if (kind == NORM_LAYER) {
        sums.mean = total / depth;
        total = 0.0f;
        float least = 0.0f;
        for (int d = 4 * THREAD(0); d < depth; d += 4 * THREADS(0)) {
            Float4 v = load_floats(x + d), w = load_floats(norm.weight + d);
            v.x -= sums.mean;
            v.y -= sums.mean;
            v.z -= sums.mean;
            v.w -= sums.mean;
            total += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
            Float4 product = {v.x * w.x, v.y * w.y, v.z * w.z, v.w * w.w};
            most = FMAX(most, most_of(product));
            if (NORM_HAS_BIAS(norm.flags)) least = FMAX(least, most_of(load_floats(norm.bias + d)));
        }
        sums.factor = 1.0f / SQRT(group_sum_of(total, room, 0) / depth + norm.eps);
        most = most * sums.factor + least;
    } else {
        most *= sums.factor;
    }
    half_range(group_sum_of(most, room, 1), sums.down, sums.up);
    return sums;
}

// Four values of a normed row, scaled down to halves.
FUNCTION Words2 halves_of_row(const float *x, int d, const RowNorm &norm, const RowSums &sums) {
    Float4 v = load_floats(x + d);
    if (NORM_OF(norm.flags) != 0) {
        Float4 w = load_floats(norm.weight + d);
        v.x = (v.x - sums.mean) * sums.factor * w.x;
        v.y = (v.y - sums.mean) * sums.factor * w.y;
        v.z = (v.z - sums.mean) * sums.factor * w.z;
        v.w = (v.w - sums.mean) * sums.factor * w.w;
        if (NORM_HAS_BIAS(norm.flags)) {
            Float4 b = load_floats(norm.bias + d);
            v.x += b.x;
            v.y += b.y;
            v.z += b.z;
            v.w += b.w;
        }
    }
    Words2 words = {pack_halves(v.x * sums.down, v.y * sums.down), pack_halves(v.z * sums.down, v.w * sums.down)};
    return words;
}

// All rows as halves in slots, `stride` bytes each, and what to multiply results with.
FUNCTION void stage_rows(u8 *to, int stride, float *scale, const float *x, int tokens, int depth, const RowNorm &norm, float *room) {
    for (int token = 0; token < tokens; token++) {
        const float *row = x + (u64)token * (u64)depth;
        RowSums sums = look_at_row(row, depth, norm, room);
        if (THREAD(0) == 0) scale[token] = sums.up;
        for (int d = 4 * THREAD(0); d < (stride - 64) / 2; d += 4 * THREADS(0)) {
            Words2 words = {0, 0};
            if (d < depth) words = halves_of_row(row, d, norm, sums);
            *(Words2 *)(to + token * stride + 2 * slot_of(d)) = words;
        }
    }
    BARRIER();
}

// A warp's place among the units that its group works through.
struct Cursor {
    int tile, unit;
};

// One or, where gated, two tiles of 16 rows at once. Groups start at tile GROUP(0) and go on by GROUPS(0).
template <class F, int GATED>
FUNCTION void few_rows(const Matrices &m, const float *x, const RowNorm &norm, int depth, int tokens, int act) {
    DYNAMIC_SHARED(room);
    SHARED(float, part, MOST_WARPS);
    SHARED(float, up, MOST_FEW);
    const int TILES = GATED ? 2 : 1;
    const int SLOT = TILES * F::BYTES;
    int lane = THREAD(0) % 32, warp = THREAD(0) / 32, warps = THREADS(0) / 32;
    int units = (depth + UNIT_DEPTH - 1) / UNIT_DEPTH, stride = units * UNIT_DEPTH * 2 + 64;
    int tiles = GATED ? (m.rows[0] + TILE_ROWS - 1) / TILE_ROWS : tiles_of(m);
    u8 *ring = room + warp * DEPTH_FEW * SLOT;
    u8 *rows = room + warps * DEPTH_FEW * SLOT;
    float *sums = (float *)(rows + ((tokens * stride + 127) & ~127));

    Cursor ahead = {warp < units ? GROUP(0) : tiles, warp};
    int slot_ahead = 0;
    auto fetch = [&]() {
        if (ahead.tile < tiles) {
            u8 *to = ring + slot_ahead * SLOT;
            if (GATED) {
                F::copy(to, m.weights[0], ahead.tile, ahead.unit, units, lane, 32);
                F::copy(to + F::BYTES, m.weights[1], ahead.tile, ahead.unit, units, lane, 32);
            } else {
                int tile = ahead.tile, which = matrix_of(m, tile);
                F::copy(to, CHOOSE(m.weights, which), tile, ahead.unit, units, lane, 32);
            }
            ahead.unit += warps;
            if (ahead.unit >= units) {
                ahead.unit = warp;
                ahead.tile += GROUPS(0);
            }
        }
        copies_commit();
        slot_ahead = slot_ahead + 1 == DEPTH_FEW ? 0 : slot_ahead + 1;
    };
#pragma unroll
    for (int i = 0; i < DEPTH_FEW - 1; i++) fetch();
    WAIT_FOR_EARLIER();
    stage_rows(rows, stride, up, x, tokens, depth, norm, part);

    int column = lane / 4 < tokens ? lane / 4 : tokens - 1;
    const u8 *mine = rows + column * stride + (lane % 4) * 16;
    int slot = 0, parity = 0;
    for (int tile = GROUP(0); tile < tiles; tile += GROUPS(0)) {
        float acc[TILES][4] = {};
        for (int unit = warp; unit < units; unit += warps) {
            copies_wait<DEPTH_FEW - 2>();
            warp_sync();
            fetch();
            const u8 *at = ring + slot * SLOT;
            slot = slot + 1 == DEPTH_FEW ? 0 : slot + 1;
#pragma unroll
            for (int run = 0; run < 4; run++) {
                Words4 b = *(const Words4 *)(mine + unit * (UNIT_DEPTH * 2) + run * 64);
#pragma unroll
                for (int i = 0; i < TILES; i++) {
                    u32 weights[8];
                    float scale[4];
                    F::weights(at + i * F::BYTES, lane, run, weights);
                    F::scales(at + i * F::BYTES, lane, run, scale);
                    multiply_run<F>(acc[i], weights, scale, b);
                }
            }
        }
        // [parity][warp][tile][row][column]; two of them, so that one barrier per tile is enough.
        float *here = sums + parity * warps * TILES * 128;
        parity ^= 1;
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            float *to = here + (warp * TILES + i) * 128 + (lane / 4) * 8 + (lane % 4) * 2;
            to[0] = acc[i][0];
            to[1] = acc[i][1];
            to[64] = acc[i][2];
            to[65] = acc[i][3];
        }
        BARRIER();
        for (int i = THREAD(0); i < 16 * tokens; i += THREADS(0)) {
            int row = i % 16, token = i / 16;
            float sum[TILES];
#pragma unroll
            for (int j = 0; j < TILES; j++) {
                sum[j] = 0.0f;
                for (int w = 0; w < warps; w++) sum[j] += here[(w * TILES + j) * 128 + row * 8 + token];
            }
            if (GATED) {
                float gate = sum[0] * (up[token] * m.scale[0]), other = sum[TILES - 1] * (up[token] * m.scale[1]);
                store_gated(m, tile * 16 + row, token, gate, other, act);
            } else {
                int local = tile, which = matrix_of(m, local);
                store_result(m, which, local * 16 + row, token, sum[0] * (up[token] * CHOOSE(m.scale, which)));
            }
        }
    }
}

#define FEW_ROWS(kernel, format, gated)                                                                                 \
    KERNEL(kernel)(IN(u8, w0), IN(u8, w1), IN(u8, w2), IN(float, bias0), IN(float, bias1), IN(float, bias2), OUT(float, out0),  \
                   OUT(float, out1), OUT(float, out2), IN(float, x), IN(float, norm_weight), IN(float, norm_bias), INT(rows0),  \
                   INT(rows1), INT(rows2), INT(depth), INT(tokens), INT(flags), INT(act), FLOAT(eps), FLOAT(scale0),          \
                   FLOAT(scale1), FLOAT(scale2)) {                                                                      \
        Matrices m = {{w0, w1, w2}, {bias0, bias1, bias2}, {out0, out1, out2}, {rows0, rows1, rows2}, {scale0, scale1, scale2}, flags}; \
        RowNorm norm = {norm_weight, norm_bias, flags, eps};                                                            \
        few_rows<format, gated>(m, x, norm, depth, tokens, act);                                                        \
    }

FEW_ROWS(few, FORMAT, 0)
FEW_ROWS(few_gated, FORMAT, 1)
