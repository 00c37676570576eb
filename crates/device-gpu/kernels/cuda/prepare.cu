// Operands of matrix products: rows of activations as halves, and weights as halves where a product of many rows wants them.

// Where a slot of a row lies in pieces of 128 rows and 64 slots (see Halves), and in fragments: [64 rows][run of 32][8 rows][lane][8].
FUNCTION u64 place_in_pieces(int row, int slot, int units) {
    u64 piece = (u64)(row / 128) * (u64)(2 * units) + (u64)(slot / 64);
    return piece * PIECE_BYTES + (u64)(row % 128 * 128 + ((slot % 64 / 8) ^ (row % 8)) * 16 + slot % 8 * 2);
}
FUNCTION u64 place_in_fragments(int row, int slot, int units) {
    u64 run = (u64)(row / 64) * (u64)(4 * units) + (u64)(slot / 32);
    return run * 4096 + (u64)(row % 64 / 8 * 512 + (row % 8 * 4 + slot % 32 / 8) * 16 + slot % 8 * 2);
}

template <int N>
FUNCTION void put_prepared(u8 *to, int row, const Values<N> &x, const Values<N> &weight, int first, int depth, const RowNorm &norm,
                           const RowSums &sums, int fragments) {
    int units = (depth + UNIT_DEPTH - 1) / UNIT_DEPTH;
#pragma unroll
    for (int i = 0; i < N; i++) {
        int d = first + 4 * i * THREADS(0);
        if (d >= units * UNIT_DEPTH) continue;
        Float4 v = d < depth ? ranged(x.v[i], weight.v[i], d, norm, sums) : x.v[i];
        Words2 words = {pack_halves(v.x, v.y), pack_halves(v.z, v.w)};
        u64 at = fragments ? place_in_fragments(row, slot_of(d), units) : place_in_pieces(row, slot_of(d), units);
        *(Words2 *)(to + at) = words;
    }
}

// Rows, optionally normed, as halves and a power of two each. Grid: rows.
KERNEL(prepare_rows)(IN(float, x), IN(float, norm_weight), IN(float, norm_bias), OUT(u8, to), OUT(float, scale), INT(depth), INT(flags),
                     INT(fragments), FLOAT(eps) IDS) {
    SHARED(float, room, 6 * MOST_WARPS);
    int row = GROUP(0), units = (depth + UNIT_DEPTH - 1) / UNIT_DEPTH, own = 4 * THREAD(0);
    const float *from = x + (u64)row * (u64)depth;
    RowNorm norm = {norm_weight, norm_bias, flags, eps};
    Held weight = hold<HELD>(norm_weight, own, NORM_OF(flags) != 0 ? depth : 0);
    WAIT_FOR_EARLIER();
    Held first = hold<HELD>(from, own, depth);
    RowSums sums = look_at_row(from, first, weight, depth, norm, room);
    if (THREAD(0) == 0) scale[row] = sums.up;
    put_prepared(to, row, first, weight, own, depth, norm, sums, fragments);
    for (int d = own + 4 * HELD * THREADS(0); d < units * UNIT_DEPTH; d += 4 * HELD_REST * THREADS(0)) {
        Values<HELD_REST> v = hold<HELD_REST>(from, d, depth), w = hold<HELD_REST>(norm_weight, d, NORM_OF(flags) != 0 ? depth : 0);
        put_prepared(to, row, v, w, d, depth, norm, sums, fragments);
    }
}

// Weights times `up` as halves in pieces: a warp per unit. Grid: units of the depth times tiles, over the warps of a group.
template <class F>
FUNCTION void expand_units(const u8 *weights, u8 *to, int tiles, int units, float up) {
    int lane = THREAD(0) % 32, g = lane / 4, t = lane % 4;
    int at = GROUP(0) * (THREADS(0) / 32) + THREAD(0) / 32;
    if (at >= tiles * units) return;
    int tile = at / units, unit = at % units;
    const u8 *from = weights + (u64)at * F::BYTES;
    u8 *piece = to + ((u64)(tile / 8) * (u64)(2 * units) + (u64)(2 * unit)) * PIECE_BYTES + tile % 8 * 2048 + g * 128;
#pragma unroll
    for (int run = 0; run < 4; run++) {
        Part part = F::read(from, lane, run / 2);
        u32 w[8];
        float scale[4] = {1.0f, 1.0f, 1.0f, 1.0f};
        F::weights(part, run % 2, w);
        if (F::SCALES > 0) F::scales(part, run % 2, scale);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float factor = scale[(F::SCALES == 2 ? i / 4 * 2 : 0) + i % 2] * up;
            w[i] = halves_mul(w[i], pack_halves(factor, factor));
        }
        Words4 first = {w[0], w[2], w[4], w[6]}, second = {w[1], w[3], w[5], w[7]};
        u8 *place = piece + run / 2 * PIECE_BYTES + ((run % 2 * 4 + t) ^ g) * 16;
        *(Words4 *)place = first;
        *(Words4 *)(place + 1024) = second;
    }
}

KERNEL(expand)(IN(u8, weights), OUT(u8, to), INT(tiles), INT(units), FLOAT(up) IDS) {
    WAIT_FOR_EARLIER();
    expand_units<FORMAT>(weights, to, tiles, units, up);
}

// Rows of a table in a product's layout: out[i] (+)= table[ids[at + i]] * factor, the first row for ids beyond it. A warp per unit of a row;
// grid: units of the depth over the warps of a group, rows.
KERNEL(look_up)(IN(u8, table), IN(int, ids), OUT(float, out), INT(at), INT(rows), INT(depth), INT(adds), FLOAT(factor) IDS) {
    WAIT_FOR_EARLIER();
    int lane = THREAD(0) % 32, t = lane % 4, units = (depth + UNIT_DEPTH - 1) / UNIT_DEPTH;
    int unit = GROUP(0) * (THREADS(0) / 32) + THREAD(0) / 32, id = ids[at + GROUP(1)];
    if (unit >= units) return;
    int row = id >= 0 && id < rows ? id : 0;
    const u8 *from = FORMAT::at(table, row / TILE_ROWS, unit, units);
    // Pieces of halves lie apart.
    const u8 *second = FORMAT::STEP == FORMAT::BYTES ? from : from + PIECE_BYTES - 2048;
#pragma unroll
    for (int run = 0; run < 4; run++) {
        Part part = FORMAT::read(run < 2 ? from : second, lane, run / 2);
        u32 w[8];
        float scale[4] = {1.0f, 1.0f, 1.0f, 1.0f};
        FORMAT::weights(part, run % 2, w);
        if (FORMAT::SCALES > 0) FORMAT::scales(part, run % 2, scale);
        if (lane / 4 != row % 8) continue;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            int upper = row % TILE_ROWS / 8, slot = i / 2;
            u32 pair = upper ? w[2 * slot + 1] : w[2 * slot];
            float value = (i % 2 ? upper_half(pair) : lower_half(pair)) * scale[(FORMAT::SCALES == 2 ? slot / 2 * 2 : 0) + upper];
            int d = unit * UNIT_DEPTH + run * 32 + slot / 2 * 16 + 4 * t + i % 4;
            if (d >= depth) continue;
            float *to = out + (u64)GROUP(1) * (u64)depth + d;
            *to = adds ? FMA(value, factor, *to) : value * factor;
        }
    }
}
