// Products of weights with 1 to 8 rows of activations: one pass over the weights, as fast as memory gives them. Teams of warps take tiles of
// 16 rows one after the other, the warps of a team share the depth of each. Every warp keeps DEPTH_FEW units on their way in a ring
// of its own, the first of them from before the wait for the earlier kernel. Sums are added in the order of warps.

#ifndef DEPTH_FEW
#define DEPTH_FEW 4
#endif
#define MOST_WARPS 16
// Few enough that the groups of the next kernel find room beside those of this one.
#ifndef FEW_REGISTERS
#define FEW_REGISTERS 64
#endif
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
    if (ADDS(m.flags, which)) add_to(at, sum);
    else *at = sum;
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

// What is known of a row after looking at it.
struct RowSums {
    float mean, factor, down, up;
};

// A sum and a maximum over all threads of a group.
FUNCTION void group_sum_and_max(float &sum, float &most, float *room) {
    int lane = THREAD(0) % 32, warp = THREAD(0) / 32, warps = THREADS(0) / 32;
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        sum += warp_xor(sum, lanes);
        most = FMAX(most, warp_xor(most, lanes));
    }
    if (lane == 0) {
        room[warp] = sum;
        room[MOST_WARPS + warp] = most;
    }
    BARRIER();
    sum = room[0];
    most = room[MOST_WARPS];
    for (int i = 1; i < warps; i++) {
        sum += room[i];
        most = FMAX(most, room[MOST_WARPS + i]);
    }
}

// Groups of four values of a row that a thread holds, so that as many loads are on their way at once: HELD of its first ones for good,
// those of longer rows HELD_REST at a time.
#define HELD 4
#define HELD_REST 2
template <int N>
struct Values {
    Float4 v[N];
};
typedef Values<HELD> Held;
template <int N>
FUNCTION Values<N> hold(const float *x, int first, int depth) {
    Values<N> held;
#pragma unroll
    for (int i = 0; i < N; i++) {
        int d = first + 4 * i * THREADS(0);
        Float4 nothing = {0.0f, 0.0f, 0.0f, 0.0f};
        held.v[i] = d < depth ? load_floats(x + d) : nothing;
    }
    return held;
}
FUNCTION Float4 times(Float4 a, Float4 b) {
    Float4 c = {a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w};
    return c;
}
FUNCTION Float4 plus(Float4 a, float b) {
    Float4 c = {a.x + b, a.y + b, a.z + b, a.w + b};
    return c;
}
FUNCTION float sum_of(Float4 a) { return (a.x + a.y) + (a.z + a.w); }

// What a thread sums up of a row.
struct RowPart {
    float total, most, least;
};
template <int N>
FUNCTION void look_at_values(RowPart &part, const Values<N> &x, const Values<N> &weight, int first, int depth, const RowNorm &norm, float mean) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        int d = first + 4 * i * THREADS(0);
        if (d >= depth) continue;
        Float4 value = plus(x.v[i], -mean);
        part.total += sum_of(times(value, value));
        part.most = FMAX(part.most, most_of(NORM_OF(norm.flags) != 0 ? times(value, weight.v[i]) : value));
        if (NORM_HAS_BIAS(norm.flags)) part.least = FMAX(part.least, most_of(load_floats(norm.bias + d)));
    }
}

// The sums of a row that all threads of a group work on; `depth` is a multiple of 4. `first` and `weight` are the first values of this thread.
// There are barriers in here, but none at its end.
FUNCTION RowSums look_at_row(const float *x, const Held &first, const Held &weight, int depth, const RowNorm &norm, float *room) {
    int kind = NORM_OF(norm.flags), own = 4 * THREAD(0), rest = own + 4 * HELD * THREADS(0), step = 4 * HELD_REST * THREADS(0);
    RowSums sums = {0.0f, 1.0f, 1.0f, 1.0f};
    if (kind == NORM_LAYER) {
        float total = 0.0f, unused = 0.0f;
#pragma unroll
        for (int i = 0; i < HELD; i++) total += sum_of(first.v[i]);
        for (int d = rest; d < depth; d += step) {
            Values<HELD_REST> v = hold<HELD_REST>(x, d, depth);
#pragma unroll
            for (int i = 0; i < HELD_REST; i++) total += sum_of(v.v[i]);
        }
        group_sum_and_max(total, unused, room + 2 * MOST_WARPS);
        sums.mean = total / depth;
    }
    RowPart part = {0.0f, 0.0f, 0.0f};
    look_at_values(part, first, weight, own, depth, norm, sums.mean);
    for (int d = rest; d < depth; d += step) {
        look_at_values(part, hold<HELD_REST>(x, d, depth), hold<HELD_REST>(norm.weight, d, kind != 0 ? depth : 0), d, depth, norm, sums.mean);
    }
    // A bound is enough for the range: the largest product and the largest bias.
    if (NORM_HAS_BIAS(norm.flags)) {
        float unused = 0.0f;
        group_sum_and_max(unused, part.least, room + 4 * MOST_WARPS);
    }
    group_sum_and_max(part.total, part.most, room);
    if (kind != 0) sums.factor = inverse_root(part.total / depth + norm.eps);
    half_range(part.most * sums.factor + part.least, sums.down, sums.up);
    return sums;
}

// Four values of a normed row, in the range of halves.
FUNCTION Float4 ranged(Float4 v, Float4 weight, int d, const RowNorm &norm, const RowSums &sums) {
    if (NORM_OF(norm.flags) != 0) {
        v = times(plus(v, -sums.mean), weight);
        v.x *= sums.factor;
        v.y *= sums.factor;
        v.z *= sums.factor;
        v.w *= sums.factor;
        if (NORM_HAS_BIAS(norm.flags)) {
            Float4 b = load_floats(norm.bias + d);
            v.x += b.x;
            v.y += b.y;
            v.z += b.z;
            v.w += b.w;
        }
    }
    v.x *= sums.down;
    v.y *= sums.down;
    v.z *= sums.down;
    v.w *= sums.down;
    return v;
}

// Rows in shared memory: halves in slots, `stride` bytes each, and of each run, or of each half where its scales are finer, the sums of the
// rows times -OFFSET 2^-24 (times 2^-24 for minima), as accumulators: [run][rows / 2][row, next row, the same again]. A warp takes a unit of a
// row at a time; it holds the first OWN of its units, and what they are weighed by from before the wait for the earlier kernel.
template <class F, int RMS>
struct StagedRows {
    static const int PARTS = F::SCALES == 2 ? 2 : 1;
    static const bool HAS_STARTS = F::OFFSET != 0 || F::MINIMA;
    static const int OWN = RMS ? 4 : 8;
    u8 *rows;
    float *starts;
    int stride, pairs, units, depth, warp, warps, lane;
    Float4 weight[RMS ? OWN : 1];

    FUNCTION Float4 values(const float *row, int unit) const {
        int d = unit * UNIT_DEPTH + 4 * lane;
        return load_floats_if(d < depth, row + d);
    }

    FUNCTION void hold_weight(const float *norm_weight) {
        if (!RMS) return;
#pragma unroll
        for (int i = 0; i < OWN; i++) weight[RMS ? i : 0] = values(norm_weight, warp + i * warps);
    }

    FUNCTION void put(int token, int unit, Float4 v) const {
        Words2 words = {pack_halves(v.x, v.y), pack_halves(v.z, v.w)};
        if (HAS_STARTS) {
            float sum = (lower_half(words.x) + upper_half(words.x)) + (lower_half(words.y) + upper_half(words.y));
            sum += warp_xor(sum, 1);
            sum += warp_xor(sum, 2);
            if (PARTS == 1) sum += warp_xor(sum, 4);
            sum *= (F::MINIMA ? 1.0f : -(float)F::OFFSET) / 16777216.0f;
            if (lane % (8 / PARTS) == 0) {
                float *at = starts + ((unit * 4 * PARTS + lane / (8 / PARTS)) * pairs + token / 2) * 4 + token % 2;
                at[0] = sum;
                at[2] = sum;
            }
        }
        if (F::SIXTEENTHS) words.y = pack_halves(v.z * 0.0625f, v.w * 0.0625f);
        *(Words2 *)(rows + token * stride + unit * (UNIT_DEPTH * 2) + 2 * slot_of(4 * lane)) = words;
    }

    FUNCTION void look(float &total, float &most, Float4 v, Float4 w) const {
        if (RMS) {
            total += sum_of(times(v, v));
            v = times(v, w);
        }
        most = FMAX(most, most_of(v));
    }

    FUNCTION void stage_row(const float *x, int token, float *up, const float *norm_weight, float eps, float *room) const {
        Float4 v[OWN], nothing = {0.0f, 0.0f, 0.0f, 0.0f};
        float total = 0.0f, most = 0.0f, down, scale, factor = 1.0f;
#pragma unroll
        for (int i = 0; i < OWN; i++) v[i] = values(x, warp + i * warps);
#pragma unroll
        for (int i = 0; i < OWN; i++) {
            if (warp + i * warps < units) look(total, most, v[i], weight[RMS ? i : 0]);
        }
        for (int unit = warp + OWN * warps; unit < units; unit += warps) {
            look(total, most, values(x, unit), RMS ? values(norm_weight, unit) : nothing);
        }
        if (token > 0) BARRIER();
        sum_and_max(total, most, room);
        if (RMS) factor = inverse_root(quotient(total, (float)depth) + eps);
        half_range(most * factor, down, scale);
        if (THREAD(0) == 0) up[token] = scale;
        factor *= down;
#pragma unroll
        for (int i = 0; i < OWN; i++) {
            if (warp + i * warps < units) put(token, warp + i * warps, ranged_by(v[i], weight[RMS ? i : 0], factor));
        }
        for (int unit = warp + OWN * warps; unit < units; unit += warps) {
            put(token, unit, ranged_by(values(x, unit), RMS ? values(norm_weight, unit) : nothing, factor));
        }
    }

    FUNCTION static Float4 ranged_by(Float4 v, Float4 w, float factor) {
        if (RMS) v = times(v, w);
        Float4 by = {factor, factor, factor, factor};
        return times(v, by);
    }

    // Over all threads of a group; places of warps that it has not are 0.
    FUNCTION void sum_and_max(float &total, float &most, float *room) const {
#pragma unroll
        for (int lanes = 16; lanes > 0; lanes /= 2) {
            if (RMS) total += warp_xor(total, lanes);
            most = FMAX(most, warp_xor(most, lanes));
        }
        if (lane == 0) {
            room[warp] = total;
            room[MOST_WARPS + warp] = most;
        }
        BARRIER();
        total = most = 0.0f;
#pragma unroll
        for (int i = 0; i < MOST_WARPS; i += 4) {
            Float4 a = *(const Float4 *)(room + i), b = *(const Float4 *)(room + MOST_WARPS + i);
            if (RMS) total += sum_of(a);
            most = FMAX(most, most_of(b));
        }
    }
};

// acc += one run times the activations b, from integers as the bits of halves.
template <class F>
FUNCTION void multiply_raw(float *acc, const Part &part, int run, Words4 b, const Float4 *starts) {
    u32 fragment[8];
    F::raw(part, run, fragment);
    if (F::SCALES == 0 && !F::MINIMA) {
        multiply_16x8x16(acc, fragment, b.x, b.y);
        multiply_16x8x16(acc, fragment + 4, b.z, b.w);
        return;
    }
    Float4 start = starts[0];
    float scale[4], c[4] = {start.x, start.y, start.z, start.w};
    F::scales(part, run, scale);
    if (F::MINIMA) {
        float least[2];
        F::minimum(part, run, least);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            acc[i] = FMA(c[i], least[i / 2], acc[i]);
            c[i] = 0.0f;
        }
    }
    multiply_16x8x16(c, fragment, b.x, b.y);
    if (F::SCALES == 2) {
#pragma unroll
        for (int i = 0; i < 4; i++) acc[i] = FMA(c[i], scale[i / 2], acc[i]);
        start = starts[1];
        c[0] = start.x;
        c[1] = start.y;
        c[2] = start.z;
        c[3] = start.w;
    }
    multiply_16x8x16(c, fragment + 4, b.z, b.w);
#pragma unroll
    for (int i = 0; i < 4; i++) acc[i] = FMA(c[i], scale[(F::SCALES == 2 ? 2 : 0) + i / 2], acc[i]);
}

// The warps that share a tile, one of several teams of a group.
struct Team {
    int number, warps, warp, thread;
    FUNCTION void barrier() const {
        if (warps == 1) warp_sync();
        else part_barrier(1 + number, 32 * warps);
    }
};

// What a warp fetches next. A tile is one of 16 rows, or where gated those of gate and up.
template <class F, int GATED>
struct Fetcher {
    static const int TILES = GATED ? 2 : 1;
    static const int SLOT = TILES * F::BYTES;
    const u8 *from[TILES];
    int tile, unit, slot;

    FUNCTION void aim(const Matrices &m, int units) {
        if (GATED) {
            from[0] = F::at(m.weights[0], tile, unit, units);
            from[TILES - 1] = F::at(m.weights[1], tile, unit, units);
        } else {
            int local = tile, which = matrix_of(m, local);
            from[0] = F::at(CHOOSE(m.weights, which), local, unit, units);
        }
    }
    FUNCTION void fetch(u8 *ring, const Matrices &m, const Team &team, int tiles, int stride, int units, int lane) {
        if (tile < tiles) {
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                F::copy(ring + slot * SLOT + i * F::BYTES, from[i], lane, 32);
                from[i] += (u32)(team.warps * F::STEP);
            }
            unit += team.warps;
            if (unit >= units) {
                unit = team.warp;
                tile += stride;
                if (tile < tiles) aim(m, units);
            }
        }
        copies_commit();
        slot = slot + 1 == DEPTH_FEW ? 0 : slot + 1;
    }
};

// The sum of what the warps of a team have for a place, in their order.
FUNCTION float team_sum(const float *at, int warps, int step) {
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < MOST_WARPS; w++) {
        if (w < warps) sum += at[w * step];
    }
    return sum;
}

template <class F, int GATED, int RMS>
FUNCTION void few_rows(const Matrices &m, const float *x, const float *norm_weight, float eps, int depth, int tokens, int act, int team_bits) {
    DYNAMIC_SHARED(room);
    SHARED(Float4, part, MOST_WARPS / 2);
    SHARED(float, up, MOST_FEW);
    typedef StagedRows<F, RMS> Staged;
    const int TILES = GATED ? 2 : 1;
    const int SLOT = TILES * F::BYTES;
    int lane = THREAD(0) % 32, warp = own_warp(), warps = THREADS(0) / 32, teams = warps >> team_bits;
    Team team = {warp >> team_bits, 1 << team_bits, warp & ((1 << team_bits) - 1), THREAD(0) & ((32 << team_bits) - 1)};
    int units = (depth + UNIT_DEPTH - 1) / UNIT_DEPTH;
    int tiles = GATED ? (m.rows[0] + TILE_ROWS - 1) / TILE_ROWS : tiles_of(m);
    int first = GROUP(0) * teams + team.number, stride = GROUPS(0) * teams;
    u8 *ring = room + warp * DEPTH_FEW * SLOT;

    Fetcher<F, GATED> fetcher = {{}, team.warp < units ? first : tiles, team.warp, 0};
    if (fetcher.tile < tiles) fetcher.aim(m, units);
#pragma unroll
    for (int i = 0; i < DEPTH_FEW - 1; i++) fetcher.fetch(ring, m, team, tiles, stride, units, lane);

    Staged staged;
    staged.rows = room + warps * DEPTH_FEW * SLOT;
    staged.stride = units * UNIT_DEPTH * 2 + 64;
    staged.pairs = (tokens + 1) / 2;
    staged.starts = (float *)(staged.rows + ((tokens * staged.stride + 127) & ~127));
    staged.units = units;
    staged.depth = depth;
    staged.warp = warp;
    staged.warps = warps;
    staged.lane = lane;
    float *sums = staged.starts + (Staged::HAS_STARTS ? units * 4 * Staged::PARTS * staged.pairs * 4 : 0) + team.number * 2 * team.warps * TILES * 128;
    if (THREAD(0) < 2 * MOST_WARPS && THREAD(0) % MOST_WARPS >= warps) ((float *)part)[THREAD(0)] = 0.0f;
    staged.hold_weight(norm_weight);
    WAIT_FOR_EARLIER();
    for (int token = 0; token < tokens; token++) {
        staged.stage_row(x + (u64)token * (u64)depth, token, up, norm_weight, eps, (float *)part);
    }
    BARRIER();

    // Lanes whose columns are no rows of activations multiply the first one: that reaches no result.
    const u8 *mine = staged.rows + (lane / 4 < tokens ? lane / 4 : 0) * staged.stride + (lane % 4) * 16;
    const Float4 *starts = (const Float4 *)staged.starts + (lane % 4 < staged.pairs ? lane % 4 : 0);
    int slot = 0, parity = 0;
    for (int tile = first; tile < tiles; tile += stride) {
        float acc[TILES][4] = {};
        for (int unit = team.warp; unit < units; unit += team.warps) {
            copies_wait<DEPTH_FEW - 2>();
            warp_sync();
            const u8 *at = ring + slot * SLOT;
            slot = slot + 1 == DEPTH_FEW ? 0 : slot + 1;
#pragma unroll
            for (int two = 0; two < 2; two++) {
                Part parts[TILES];
                Words4 b[2];
                Float4 start[2][Staged::PARTS];
#pragma unroll
                for (int i = 0; i < TILES; i++) parts[i] = F::read(at + i * F::BYTES, lane, two);
#pragma unroll
                for (int run = 0; run < 2; run++) {
                    b[run] = *(const Words4 *)(mine + unit * (UNIT_DEPTH * 2) + (2 * two + run) * 64);
#pragma unroll
                    for (int i = 0; i < Staged::PARTS; i++) {
                        if (Staged::HAS_STARTS) start[run][i] = starts[((unit * 4 + 2 * two + run) * Staged::PARTS + i) * staged.pairs];
                    }
                }
                // While what was read is on its way.
                if (two == 0) fetcher.fetch(ring, m, team, tiles, stride, units, lane);
#pragma unroll
                for (int run = 0; run < 2; run++)
#pragma unroll
                    for (int i = 0; i < TILES; i++) multiply_raw<F>(acc[i], parts[i], run, b[run], start[run]);
            }
        }
        // [parity][warp][tile][row][column]; two of them, so that one barrier per tile is enough.
        float *here = sums + parity * team.warps * TILES * 128;
        parity ^= 1;
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            float *to = here + (team.warp * TILES + i) * 128 + (lane / 4) * 8 + (lane % 4) * 2;
            Float2 upper = {acc[i][0], acc[i][1]}, lower = {acc[i][2], acc[i][3]};
            *(Float2 *)to = upper;
            *(Float2 *)(to + 64) = lower;
        }
        team.barrier();
        for (int i = team.thread; i < TILE_ROWS * tokens; i += 32 * team.warps) {
            int row = i % TILE_ROWS, token = i / TILE_ROWS;
            float factor = up[token] * (F::SCALES != 0 || F::MINIMA ? 16777216.0f : 1.0f), sum[TILES];
#pragma unroll
            for (int j = 0; j < TILES; j++) sum[j] = team_sum(here + j * 128 + row * 8 + token, team.warps, TILES * 128);
            if (GATED) {
                store_gated(m, 16 * tile + row, token, sum[0] * (factor * m.scale[0]), sum[TILES - 1] * (factor * m.scale[1]), act);
            } else {
                int local = tile, which = matrix_of(m, local);
                store_result(m, which, 16 * local + row, token, sum[0] * (factor * CHOOSE(m.scale, which)));
            }
        }
    }
}

#define FEW_PARAMETERS                                                                                                  \
    IN(u8, w0), IN(u8, w1), IN(u8, w2), IN(float, bias0), IN(float, bias1), IN(float, bias2), OUT(float, out0), OUT(float, out1),  \
        OUT(float, out2), IN(float, x), IN(float, norm_weight), INT(rows0), INT(rows1), INT(rows2), INT(depth), INT(tokens),  \
        INT(flags), INT(act), INT(team_bits), FLOAT(eps), FLOAT(scale0), FLOAT(scale1), FLOAT(scale2)
#define FEW_BODY(gated, rms)                                                                                            \
    Matrices m = {{w0, w1, w2}, {bias0, bias1, bias2}, {out0, out1, out2}, {rows0, rows1, rows2}, {scale0, scale1, scale2}, flags};  \
    few_rows<FORMAT, gated, rms>(m, x, norm_weight, eps, depth, tokens, act, team_bits);

#undef KERNEL
#define KERNEL(name) KERNEL_WITHIN(__maxnreg__(FEW_REGISTERS), name)
KERNEL(few)(FEW_PARAMETERS IDS) { FEW_BODY(0, 0) }
KERNEL(few_gated)(FEW_PARAMETERS IDS) { FEW_BODY(1, 0) }
KERNEL(few_rms)(FEW_PARAMETERS IDS) { FEW_BODY(0, 1) }
KERNEL(few_rms_gated)(FEW_PARAMETERS IDS) { FEW_BODY(1, 1) }
#undef KERNEL
#define KERNEL(name) KERNEL_WITHIN(, name)
