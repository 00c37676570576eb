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

// Rows, optionally normed, as halves and a power of two each. Grid: rows.
KERNEL(prepare_rows)(IN(float, x), IN(float, norm_weight), IN(float, norm_bias), OUT(u8, to), OUT(float, scale), INT(depth), INT(flags),
                     INT(fragments), FLOAT(eps)) {
    SHARED(float, room, MOST_WARPS);
    WAIT_FOR_EARLIER();
    int row = GROUP(0), units = (depth + UNIT_DEPTH - 1) / UNIT_DEPTH;
    const float *from = x + (u64)row * (u64)depth;
    RowNorm norm = {norm_weight, norm_bias, flags, eps};
    RowSums sums = look_at_row(from, depth, norm, room);
    if (THREAD(0) == 0) scale[row] = sums.up;
    for (int d = 4 * THREAD(0); d < units * UNIT_DEPTH; d += 4 * THREADS(0)) {
        Words2 words = {0, 0};
        if (d < depth) words = halves_of_row(from, d, norm, sums);
        u64 at = fragments ? place_in_fragments(row, slot_of(d), units) : place_in_pieces(row, slot_of(d), units);
        *(Words2 *)(to + at) = words;
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
        u32 w[8];
        float scale[4] = {1.0f, 1.0f, 1.0f, 1.0f};
        F::weights(from, lane, run, w);
        F::scales(from, lane, run, scale);
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

KERNEL(expand)(IN(u8, weights), OUT(u8, to), INT(tiles), INT(units), FLOAT(up)) {
    WAIT_FOR_EARLIER();
    expand_units<FORMAT>(weights, to, tiles, units, up);
}
