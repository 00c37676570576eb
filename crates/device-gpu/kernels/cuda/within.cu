// Attention of every token of a text to every other, with matrix instructions, and what distances add. Compiled for HEAD_DIM, a multiple of 16,
// 128 at most. Rows are halves, [tokens][heads * HEAD_DIM]; queries have been multiplied by the scale of scores and LOG2_E, and so have the rows
// that keys are multiplied by.
#define WITHIN_ROWS 64
#define WITHIN_WARPS 4
#define WITHIN_STRIDE (HEAD_DIM + 8)
#define WITHIN_TILE (WITHIN_ROWS * WITHIN_STRIDE)
// Distances within a pair of tiles, and what a row of products with them takes.
#define DISTANCES 128
#define DISTANCE_STRIDE (DISTANCES + 8)

// Flags.
#define HAS_BIASES 1
#define HAS_BY_QUERY 2
#define HAS_BY_KEY 4

// Halves of floats times a factor; four each. Grid: over `count` / 4.
KERNEL(to_halves)(IN(float, x), OUT(u8, out), INT(count), FLOAT(factor) IDS) {
    WAIT_FOR_EARLIER();
    int i = 4 * (GROUP(0) * THREADS(0) + THREAD(0));
    if (i >= count) return;
    Float4 v = load_floats(x + i);
    Words2 words = {pack_halves(v.x * factor, v.y * factor), pack_halves(v.z * factor, v.w * factor)};
    *(Words2 *)(out + 2 * (u64)i) = words;
}

// Rows `first` and on into shared memory: the last one again beyond `last`.
FUNCTION void fetch_rows_of_head(u16 *to, const u16 *from, int rows, int first, int last, int width) {
    for (int i = THREAD(0); i < rows * (HEAD_DIM / 8); i += THREADS(0)) {
        int row = i / (HEAD_DIM / 8), chunk = i % (HEAD_DIM / 8), at = first + row < last ? first + row : last;
        copy_async16(to + row * WITHIN_STRIDE + 8 * chunk, from + (u64)(at < 0 ? 0 : at) * (u64)width + 8 * chunk);
    }
}

// 16 rows as the left operand.
FUNCTION void left_fragments(u32 (*fragments)[4], const u16 *rows) {
    int matrix = THREAD(0) % 32 / 8, r = THREAD(0) % 8;
#pragma unroll
    for (int d = 0; d < HEAD_DIM / 16; d++) load_matrices(fragments[d], rows + (8 * (matrix % 2) + r) * WITHIN_STRIDE + 16 * d + 8 * (matrix / 2));
}

// c += left * rows^T for 16 rows.
FUNCTION void multiply_16_rows(float (*c)[4], const u32 (*left)[4], const u16 *rows) {
    int matrix = THREAD(0) % 32 / 8, r = THREAD(0) % 8;
#pragma unroll
    for (int d = 0; d < HEAD_DIM / 16; d++) {
        u32 b[4];
        load_matrices(b, rows + (8 * (matrix / 2) + r) * WITHIN_STRIDE + 16 * d + 8 * (matrix % 2));
        multiply_16x8x16(c[0], left[d], b[0], b[1]);
        multiply_16x8x16(c[1], left[d], b[2], b[3]);
    }
}

// Products of this warp's 16 rows with the embedded distances of a pair of tiles, as halves.
FUNCTION void products_of_distances(u16 *to, const u32 (*left)[4], const u16 *embedded) {
    int lane = THREAD(0) % 32, warp = THREAD(0) / 32, g = lane / 4, t = lane % 4;
    for (int n = 0; n < DISTANCES / 16; n++) {
        float c[2][4] = {};
        multiply_16_rows(c, left, embedded + 16 * n * WITHIN_STRIDE);
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int upper = 0; upper < 2; upper++) {
                u16 *at = to + (16 * warp + g + 8 * upper) * DISTANCE_STRIDE + 16 * n + 8 * i + 2 * t;
                *(u32 *)at = pack_halves(c[i][2 * upper], c[i][2 * upper + 1]);
            }
    }
}

// What a group has in shared memory.
struct WithinRoom {
    u16 *query, *key, *value, *by_query, *by_key, *query_products, *key_products;
    // For each distance of a pair of tiles, from the most negative on: its column of the products.
    int *columns;
    FUNCTION WithinRoom(u8 *at) {
        query = (u16 *)at;
        key = query + WITHIN_TILE;
        value = key + WITHIN_TILE;
        by_query = value + WITHIN_TILE;
        by_key = by_query + 2 * WITHIN_TILE;
        query_products = by_key + 2 * WITHIN_TILE;
        key_products = query_products + WITHIN_ROWS * DISTANCE_STRIDE;
        columns = (int *)(key_products + WITHIN_ROWS * DISTANCE_STRIDE);
    }
};

struct Distances {
    const float *biases;
    const int *columns;
    int reach, flags;
    FUNCTION int at(int distance) const { return reach + (distance < -reach ? -reach : distance > reach ? reach : distance); }
};

struct WithinState {
    float most[2], total[2], sums[HEAD_DIM / 8][4];
};

// Scores of a warp's 16 queries and 64 keys with all that is added to them: `apart` is the first key less the first query, `keys` how many
// there are.
FUNCTION void scores_of_tile(float (*scores)[4], const WithinRoom &room, const u32 (*query)[4], const Distances &distances, int apart, int keys,
                             int window) {
    int lane = THREAD(0) % 32, warp = THREAD(0) / 32, t = lane % 4;
#pragma unroll
    for (int n = 0; n < WITHIN_ROWS / 16; n++) multiply_16_rows(scores + 2 * n, query, room.key + 16 * n * WITHIN_STRIDE);
#pragma unroll
    for (int n = 0; n < WITHIN_ROWS / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int key = 8 * n + 2 * t + i % 2, row = 16 * warp + lane / 4 + i / 2 * 8, distance = apart + key - row;
            float &score = scores[n][i];
            if (distances.flags & (HAS_BY_QUERY | HAS_BY_KEY)) {
                int column = room.columns[key - row + WITHIN_ROWS - 1];
                if (distances.flags & HAS_BY_QUERY) score += from_half(room.query_products[row * DISTANCE_STRIDE + column]);
                if (distances.flags & HAS_BY_KEY) score += from_half(room.key_products[key * DISTANCE_STRIDE + column]);
            }
            if (distances.flags & HAS_BIASES) score = FMA(distances.biases[distances.at(distance)], LOG2_E, score);
            if (key >= keys || (window > 0 && (distance >= window || distance <= -window))) score = NOTHING;
        }
}

FUNCTION void weigh_values(WithinState &state, float (*scores)[4], const u16 *values) {
    int lane = THREAD(0) % 32, matrix = lane / 8, r = lane % 8;
#pragma unroll
    for (int half_of = 0; half_of < 2; half_of++) {
        float most = state.most[half_of];
#pragma unroll
        for (int n = 0; n < WITHIN_ROWS / 8; n++) most = FMAX(most, FMAX(scores[n][2 * half_of], scores[n][2 * half_of + 1]));
        most = quad_max(most);
        float shrink = exp2_of(state.most[half_of] - most), total = 0.0f;
        state.most[half_of] = most;
#pragma unroll
        for (int n = 0; n < WITHIN_ROWS / 8; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float &score = scores[n][2 * half_of + i];
                // A window may leave a row nothing to see in a tile: that is not a weight of 1.
                score = score <= NOTHING ? 0.0f : exp2_of(score - most);
                total += score;
            }
        state.total[half_of] = state.total[half_of] * shrink + total;
#pragma unroll
        for (int d = 0; d < HEAD_DIM / 8; d++) {
            state.sums[d][2 * half_of] *= shrink;
            state.sums[d][2 * half_of + 1] *= shrink;
        }
    }
#pragma unroll
    for (int n = 0; n < WITHIN_ROWS / 16; n++) {
        u32 weights[4] = {pack_halves(scores[2 * n][0], scores[2 * n][1]), pack_halves(scores[2 * n][2], scores[2 * n][3]),
                          pack_halves(scores[2 * n + 1][0], scores[2 * n + 1][1]), pack_halves(scores[2 * n + 1][2], scores[2 * n + 1][3])};
#pragma unroll
        for (int d = 0; d < HEAD_DIM / 16; d++) {
            u32 b[4];
            load_matrices_transposed(b, values + (16 * n + 8 * (matrix % 2) + r) * WITHIN_STRIDE + 16 * d + 8 * (matrix / 2));
            multiply_16x8x16(state.sums[2 * d], weights, b[0], b[1]);
            multiply_16x8x16(state.sums[2 * d + 1], weights, b[2], b[3]);
        }
    }
}

// Grid: heads, tiles of 64 rows; 128 threads. `step` from at_tiles on has for each tile its slice and its first row of that slice. `columns` has
// for distances from -reach on the row of the embedded distances, never ascending and by one at most, of `embedded` rows. `window` is one more
// than the largest distance that is seen, or 0. Dynamic shared memory: 7 tiles, products and columns.
#undef KERNEL
#define KERNEL(name) KERNEL_WITHIN(__launch_bounds__(32 * WITHIN_WARPS), name)
KERNEL(attend_texts)(IN(u16, q), IN(u16, k), IN(u16, v), IN(int, step), IN(float, biases), IN(u16, by_query), IN(u16, by_key),
                     IN(int, columns), OUT(float, out), INT(at_slices), INT(at_tiles), INT(heads), INT(window), INT(reach), INT(embedded),
                     INT(flags) IDS) {
    DYNAMIC_SHARED(bytes);
    WithinRoom room(bytes);
    WAIT_FOR_EARLIER();
    int head = GROUP(0), width = heads * HEAD_DIM, warp = THREAD(0) / 32, lane = THREAD(0) % 32;
    const int *slice = step + at_slices + step[at_tiles + 2 * GROUP(1)] * SLICE_INTS;
    int first = step[at_tiles + 2 * GROUP(1) + 1], rows = slice[1];
    u64 text = (u64)slice[0] * (u64)width + (u64)(head * HEAD_DIM);
    Distances distances = {biases + (u64)head * (2 * reach + 1), columns, reach, flags};
    fetch_rows_of_head(room.query, q + text, WITHIN_ROWS, first, rows - 1, width);
    copies_commit();
    copies_wait<0>();
    BARRIER();
    u32 query[HEAD_DIM / 16][4];
    left_fragments(query, room.query + 16 * warp * WITHIN_STRIDE);

    WithinState state = {{NOTHING, NOTHING}, {0.0f, 0.0f}, {}};
    int from = window > 0 && first + 1 > window ? (first + 1 - window) / WITHIN_ROWS * WITHIN_ROWS : 0;
    int to = window > 0 && first + WITHIN_ROWS - 1 + window < rows ? first + WITHIN_ROWS - 1 + window : rows;
    for (int at = from; at < to; at += WITHIN_ROWS) {
        BARRIER();
        fetch_rows_of_head(room.key, k + text, WITHIN_ROWS, at, rows - 1, width);
        fetch_rows_of_head(room.value, v + text, WITHIN_ROWS, at, rows - 1, width);
        if (flags & (HAS_BY_QUERY | HAS_BY_KEY)) {
            int base = columns[distances.at(at - first + WITHIN_ROWS - 1)];
            for (int i = THREAD(0); i < 2 * WITHIN_ROWS - 1; i += THREADS(0)) {
                room.columns[i] = columns[distances.at(at - first - WITHIN_ROWS + 1 + i)] - base;
            }
            u64 head_at = (u64)(head * HEAD_DIM);
            if (flags & HAS_BY_QUERY) fetch_rows_of_head(room.by_query, by_query + head_at, DISTANCES, base, embedded - 1, width);
            if (flags & HAS_BY_KEY) fetch_rows_of_head(room.by_key, by_key + head_at, DISTANCES, base, embedded - 1, width);
        }
        copies_commit();
        copies_wait<0>();
        BARRIER();
        if (flags & HAS_BY_QUERY) products_of_distances(room.query_products, query, room.by_query);
        if (flags & HAS_BY_KEY) {
            u32 key[HEAD_DIM / 16][4];
            left_fragments(key, room.key + 16 * warp * WITHIN_STRIDE);
            products_of_distances(room.key_products, key, room.by_key);
        }
        BARRIER();
        float scores[WITHIN_ROWS / 8][4] = {};
        scores_of_tile(scores, room, query, distances, at - first, rows - at, window);
        weigh_values(state, scores, room.value);
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float total = quad_sum(state.total[i]);
        int row = first + 16 * warp + lane / 4 + 8 * i;
        if (row >= rows) continue;
        float *at = out + text + (u64)row * (u64)width + lane % 4 * 2;
#pragma unroll
        for (int d = 0; d < HEAD_DIM / 8; d++) {
            Float2 pair = {state.sums[d][2 * i] / total, state.sums[d][2 * i + 1] / total};
            *(Float2 *)(at + 8 * d) = pair;
        }
    }
}
#undef KERNEL
#define KERNEL(name) KERNEL_WITHIN(, name)
