// Attention over the cache with matrix instructions. Compiled for one shape: K_DIM and V_DIM (multiples of 16, 256 at most), GROUP_HEADS (heads of
// queries per head of the cache); cache of halves, keys [block][kv_head][32][K_DIM], values [block][kv_head][32][V_DIM].
// What a step is about lies in `step` as for the portable kernels: positions, slice of each row, slices of five numbers, table of blocks.

// Flags.
#define TURN_AND_APPEND 1
#define HAS_SINKS 2
#define HALVES_PAIRED 4
#define VALUES_TOO 8


struct Step {
    const int *ints;
    int at_positions, at_slice_of, at_slices, at_blocks;
    FUNCTION int position(int row) const { return ints[at_positions + row]; }
    FUNCTION const int *slice(int i) const { return ints + at_slices + i * SLICE_INTS; }
    FUNCTION const int *slice_of(int row) const { return slice(ints[at_slice_of + row]); }
    FUNCTION const int *blocks(const int *slice) const { return ints + at_blocks + slice[3]; }
};

// Both values of pair `i` of a head, turned by the row's angles; pairs beyond those that turn are neighbours that stay.
struct Turning {
    const float *cosines, *sines;
    int pairs, halves;
    FUNCTION int first(int i) const { return i < pairs && halves ? i : 2 * i; }
    FUNCTION int second(int i) const { return i < pairs && halves ? i + pairs : 2 * i + 1; }
    FUNCTION void turn(int row, int i, float &a, float &b) const {
        if (i >= pairs) return;
        float c = cosines[(u64)row * (u64)pairs + i], s = sines[(u64)row * (u64)pairs + i];
        float x = a * c - b * s;
        b = a * s + b * c;
        a = x;
    }
};

FUNCTION u64 place_in_cache(int block, int kv_heads, int kv_head, int position, int dim) {
    return (((u64)block * (u64)kv_heads + (u64)kv_head) * BLOCK_LEN + (u64)(position % BLOCK_LEN)) * (u64)dim;
}

// Pair `i` of a new key, turned, into the cache.
FUNCTION void append_key(u16 *to, const float *k, const Turning &turning, int row, int i) {
    int first = turning.first(i), second = turning.second(i);
    float a = k[first], b = k[second];
    turning.turn(row, i, a, b);
    to[first] = to_half(a);
    to[second] = to_half(b);
}

// Turns q in place and appends turned keys and values: a thread has a pair of one row. Grid: pairs of a row over blocks, rows.
KERNEL(turn_and_append)(OUT(float, q), IN(float, k), IN(float, v), IN(float, cosines), IN(float, sines), OUT(u16, keys), OUT(u16, values),
                        IN(int, step), INT(at_positions), INT(at_slice_of), INT(at_slices), INT(at_blocks), INT(kv_heads), INT(pairs),
                        INT(flags) IDS) {
    WAIT_FOR_EARLIER();
    Step s = {step, at_positions, at_slice_of, at_slices, at_blocks};
    Turning turning = {cosines, sines, pairs, (flags & HALVES_PAIRED) != 0};
    int i = GROUP(0) * THREADS(0) + THREAD(0), row = GROUP(1), heads = kv_heads * GROUP_HEADS;
    if (i < heads * pairs) {
        float *head = q + ((u64)row * (u64)heads + (u64)(i / pairs)) * K_DIM;
        int pair = i % pairs, first = turning.first(pair), second = turning.second(pair);
        float a = head[first], b = head[second];
        turning.turn(row, pair, a, b);
        head[first] = a;
        head[second] = b;
        return;
    }
    i -= heads * pairs;
    if (!(flags & TURN_AND_APPEND)) return;
    int position = s.position(row), block = s.blocks(s.slice_of(row))[position / BLOCK_LEN];
    if (i < kv_heads * (K_DIM / 2)) {
        int head = i / (K_DIM / 2);
        append_key(keys + place_in_cache(block, kv_heads, head, position, K_DIM), k + ((u64)row * (u64)kv_heads + (u64)head) * K_DIM,
                   turning, row, i % (K_DIM / 2));
        return;
    }
    i -= kv_heads * (K_DIM / 2);
    if (i >= kv_heads * V_DIM || !(flags & VALUES_TOO)) return;
    values[place_in_cache(block, kv_heads, i / V_DIM, position, V_DIM) + i % V_DIM] = to_half(v[(u64)row * (u64)(kv_heads * V_DIM) + i]);
}

// --- One row of queries at a time: decoding -------------------------------------------------------------------------------------

// Heads that share a group of threads: the rows of a matrix instruction.
#define TOGETHER (GROUP_HEADS < 16 ? GROUP_HEADS : 16)
#ifndef FEW_WARPS
#define FEW_WARPS (V_DIM <= 64 && TOGETHER <= 16 ? 8 : TOGETHER * V_DIM <= 2048 ? 4 : 2)
#endif
#define KEY_RUNS ((K_DIM + 31) / 32)
#define VALUE_RUNS ((V_DIM + 63) / 64)
#define QUERY_STRIDE (KEY_RUNS * 32 + 8)
// Blocks of the cache that a split has at least.
#ifndef LEAST_BLOCKS
#define LEAST_BLOCKS (2 * FEW_WARPS)
#endif

// What a warp or a split knows: for each head a maximum, a sum, and V_DIM sums weighted by 2^(score - maximum).
struct FewState {
    float most[2], total[2], sums[8 * VALUE_RUNS][4];
};

// Sixteen values of a lane for each half of a block: positions 2 t, 2 t + 1, 2 t + 8, 2 t + 9, dimensions 8 g .. 8 g + 7 of a run of 64.
// What lies beyond `last` was never written.
FUNCTION void load_values(Words4 (*v)[4], const u16 *values, int run, int last) {
    int lane = THREAD(0) % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        int position = 16 * (i / 4) + 2 * t + i % 2 + 8 * (i % 4 / 2);
        v[i / 4][i % 4] = no_words();
        if (position <= last && 64 * run + 8 * g < V_DIM) v[i / 4][i % 4] = load_words(values + position * V_DIM + 64 * run + 8 * g);
    }
}

// Keys of a block: lane 4 g + t has of positions 8 j + g the dimensions 32 run + 8 t and seven more.
FUNCTION void load_keys(Words4 (*k)[KEY_RUNS], const u16 *keys) {
    int lane = THREAD(0) % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int run = 0; run < KEY_RUNS; run++) {
            k[j][run] = no_words();
            if (32 * run + 8 * t < K_DIM) k[j][run] = load_words(keys + (8 * j + g) * K_DIM + 32 * run + 8 * t);
        }
}

// Scores of a block: lane 4 g + t has those of head g (and g + 8) at positions 8 j + 2 t and one more.
FUNCTION void score_keys(float (*scores)[4], const Words4 (*k)[KEY_RUNS], const u32 (*query)[8]) {
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int run = 0; run < KEY_RUNS; run++) {
            multiply_16x8x16(scores[j], query[run], k[j][run].x, k[j][run].y);
            multiply_16x8x16(scores[j], query[run] + 4, k[j][run].z, k[j][run].w);
        }
}

// From scores to weights, of which positions `first` to `last` of the block have some.
FUNCTION void weigh_block(FewState &state, float (*scores)[4], u32 (*weights)[4], int first, int last, float softcap) {
    int t = THREAD(0) % 4;
#pragma unroll
    for (int half_of = 0; half_of < (TOGETHER > 8 ? 2 : 1); half_of++) {
        float most = state.most[half_of];
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int position = 8 * j + 2 * t + i;
                float &score = scores[j][2 * half_of + i];
                if (softcap > 0.0f) score = softcap * LOG2_E * TANH(score / softcap);
                if (position < first || position > last) score = NOTHING;
                most = FMAX(most, score);
            }
        most = quad_max(most);
        float shrink = exp2_of(state.most[half_of] - most), total = 0.0f;
        state.most[half_of] = most;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float a = exp2_of(scores[j][2 * half_of] - most), b = exp2_of(scores[j][2 * half_of + 1] - most);
            total += a + b;
            weights[j / 2][half_of + 2 * (j % 2)] = pack_halves(a, b);
        }
        state.total[half_of] = state.total[half_of] * shrink + total;
#pragma unroll
        for (int n = 0; n < 8 * VALUE_RUNS; n++) {
            state.sums[n][2 * half_of] *= shrink;
            state.sums[n][2 * half_of + 1] *= shrink;
        }
    }
}

FUNCTION void add_values(FewState &state, const Words4 (*v)[4], const u32 (*weights)[4], int run) {
#pragma unroll
    for (int half_of = 0; half_of < 2; half_of++)
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const Words4 *rows = v[half_of];
            u32 which = j % 2 ? 0x7632 : 0x5410;
            u32 b0 = pick_bytes(word_of(rows[0], j / 2), word_of(rows[1], j / 2), which);
            u32 b1 = pick_bytes(word_of(rows[2], j / 2), word_of(rows[3], j / 2), which);
            multiply_16x8x16(state.sums[8 * run + j], weights[half_of], b0, b1);
        }
}

// What a warp has of its next block before it is asked for: of small heads all, loaded while the block before is worked on.
#define HOLDS_BLOCK (K_DIM <= 64 && V_DIM <= 64)
struct HeldBlock {
    Words4 k[4][KEY_RUNS], v[2][4];
};

// Where a warp reads.
struct FewCache {
    const u16 *keys, *values;
    const int *table;
    int kv_heads, kv_head;
    FUNCTION u64 unit(int block) const { return ((u64)table[block] * (u64)kv_heads + (u64)kv_head) * BLOCK_LEN; }
    FUNCTION const u16 *keys_of(int block) const { return keys + unit(block) * K_DIM; }
    FUNCTION const u16 *values_of(int block) const { return values + unit(block) * V_DIM; }
};

// The queries of this group of heads as fragments, from what all threads put into shared memory.
FUNCTION void query_fragments(u32 (*query)[8], const u16 *room) {
    int lane = THREAD(0) % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int run = 0; run < KEY_RUNS; run++) {
        Words4 first = *(const Words4 *)(room + g * QUERY_STRIDE + 32 * run + 8 * t);
        Words4 second = *(const Words4 *)(room + (g + 8) * QUERY_STRIDE + 32 * run + 8 * t);
        query[run][0] = first.x;
        query[run][1] = second.x;
        query[run][2] = first.y;
        query[run][3] = second.y;
        query[run][4] = first.z;
        query[run][5] = second.z;
        query[run][6] = first.w;
        query[run][7] = second.w;
    }
}

FUNCTION void stage_query(u16 *room, const float *q, int i, const Turning &turning, int turns, int row, float factor) {
    int head = i / (K_DIM / 2), pair = i % (K_DIM / 2);
    int first = turns ? turning.first(pair) : 2 * pair, second = turns ? turning.second(pair) : 2 * pair + 1;
    float a = q[head * K_DIM + first], b = q[head * K_DIM + second];
    if (turns) turning.turn(row, pair, a, b);
    room[head * QUERY_STRIDE + first] = to_half(a * factor);
    room[head * QUERY_STRIDE + second] = to_half(b * factor);
}

// Asks for a warp's first blocks of the cache, which earlier steps have written.
FUNCTION void prefetch_blocks(const FewCache &cache, int from, int to) {
    int lane = THREAD(0) % 32;
    for (int block = from; block < to && block < from + 2 * FEW_WARPS; block += FEW_WARPS) {
        const u16 *keys = cache.keys_of(block), *values = cache.values_of(block);
        for (int i = 64 * lane; i < BLOCK_LEN * K_DIM; i += 64 * 32) prefetch_line(keys + i);
        for (int i = 64 * lane; i < BLOCK_LEN * V_DIM; i += 64 * 32) prefetch_line(values + i);
    }
}

// All blocks of a warp, one after the other: `position` and `first` are of the whole sequence.
FUNCTION void see_blocks(FewState &state, const FewCache &cache, HeldBlock &held, const u32 (*query)[8], int from, int to, int first, int position,
                         float softcap) {
    for (int block = from; block < to; block += FEW_WARPS) {
        int next = block + FEW_WARPS, last = position - block * BLOCK_LEN;
        float scores[4][4] = {};
        u32 weights[2][4] = {};
        if (!HOLDS_BLOCK) load_keys(held.k, cache.keys_of(block));
        score_keys(scores, held.k, query);
        if (HOLDS_BLOCK && next < to) load_keys(held.k, cache.keys_of(next));
        if (!HOLDS_BLOCK) load_values(held.v, cache.values_of(block), 0, last);
        weigh_block(state, scores, weights, first - block * BLOCK_LEN, last, softcap);
#pragma unroll
        for (int run = 0; run < VALUE_RUNS; run++) {
            if (run > 0) load_values(held.v, cache.values_of(block), run, last);
            add_values(state, held.v, weights, run);
        }
        if (HOLDS_BLOCK && next < to) load_values(held.v, cache.values_of(next), 0, position - next * BLOCK_LEN);
    }
}

// Grid: splits, kv_heads times groups of 16 heads, rows; FEW_WARPS warps. `step` is written before anything of the step starts. Splits beyond what a row has to see leave at once; where there is more than one,
// the last to arrive puts them together, in their order. `counters` (one per row and group of heads) are zero before and after.
// With TURN_AND_APPEND each slice has one row, and the split that sees its position appends key and values itself.
#if K_DIM <= 64 && V_DIM <= 64
#define ATTEND_REGISTERS 168
#else
#define ATTEND_REGISTERS 255
#endif
#undef KERNEL
#define KERNEL(name) KERNEL_WITHIN(__maxnreg__(ATTEND_REGISTERS), name)
KERNEL(attend_few)(IN(float, q), IN(float, k), IN(float, v), IN(float, cosines), IN(float, sines), OUT(u16, keys), OUT(u16, values),
                   IN(int, step), IN(float, sinks), OUT(float, out), OUT(float, partial), OUT(int, counters), INT(at_positions),
                   INT(at_slice_of), INT(at_slices), INT(at_blocks), INT(kv_heads), INT(pairs), INT(window), INT(flags), FLOAT(scale),
                   FLOAT(softcap) IDS) {
    SHARED(u16, queries, 16 * QUERY_STRIDE);
    SHARED(float, lines, FEW_WARPS * TOGETHER * 2);
    SHARED(float, room, FEW_WARPS * TOGETHER * V_DIM);
    SHARED(int, arrived, 1);
    Step s = {step, at_positions, at_slice_of, at_slices, at_blocks};
    Turning turning = {cosines, sines, pairs, (flags & HALVES_PAIRED) != 0};
    const int SETS = (GROUP_HEADS + TOGETHER - 1) / TOGETHER;
    int row = GROUP(2), kv_head = GROUP(1) / SETS, set = GROUP(1) % SETS, warp = THREAD(0) / 32;
    int first_head = kv_head * GROUP_HEADS + set * TOGETHER, heads = kv_heads * GROUP_HEADS;
    int here = GROUP_HEADS - set * TOGETHER < TOGETHER ? GROUP_HEADS - set * TOGETHER : TOGETHER;
    int position = s.position(row), first = window > 0 && position + 1 > window ? position + 1 - window : 0;
    int first_block = first / BLOCK_LEN, blocks = position / BLOCK_LEN + 1 - first_block;
    int each = (blocks + GROUPS(0) - 1) / GROUPS(0);
    each = each < LEAST_BLOCKS ? LEAST_BLOCKS : each;
    int active = (blocks + each - 1) / each, split = GROUP(0);
    if (split >= active) {
        WAIT_FOR_EARLIER();
        return;
    }
    const int *slice = s.slice_of(row), *table = s.blocks(slice);
    int from = first_block + split * each, to = from + each < first_block + blocks ? from + each : first_block + blocks;
    FewCache cache = {keys, values, table, kv_heads, kv_head};
    // What lies before this step's first position is there already.
    HeldBlock held;
    bool is_there = HOLDS_BLOCK && from + warp < to && (from + warp + 1) * BLOCK_LEN <= slice[2];
    if (is_there) {
        load_keys(held.k, cache.keys_of(from + warp));
        load_values(held.v, cache.values_of(from + warp), 0, BLOCK_LEN);
    }
    prefetch_blocks(cache, from + warp, to);
    for (int i = THREAD(0); i < 16 * (QUERY_STRIDE / 2); i += THREADS(0)) ((u32 *)queries)[i] = 0;
    BARRIER();
    WAIT_FOR_EARLIER();

    // Queries, and the new key and value, each by threads of their own.
    float factor = softcap > 0.0f ? scale : scale * LOG2_E;
    int appends = flags & TURN_AND_APPEND && split == active - 1, of_queries = here * (K_DIM / 2);
    u64 fresh = (u64)row * (u64)kv_heads + (u64)kv_head;
    for (int i = THREAD(0); i < of_queries + (appends ? (K_DIM + V_DIM) / 2 : 0); i += THREADS(0)) {
        int pair = i - of_queries;
        if (pair < 0) {
            stage_query(queries, q + ((u64)row * (u64)heads + (u64)first_head) * K_DIM, i, turning, flags & TURN_AND_APPEND, row, factor);
        } else if (pair < K_DIM / 2) {
            append_key(keys + place_in_cache(table[position / BLOCK_LEN], kv_heads, kv_head, position, K_DIM), k + fresh * K_DIM, turning, row,
                       pair);
        } else {
            const float *value = v + fresh * V_DIM + 2 * (pair - K_DIM / 2);
            u16 *to_value = values + place_in_cache(table[position / BLOCK_LEN], kv_heads, kv_head, position, V_DIM) + 2 * (pair - K_DIM / 2);
            *(u32 *)to_value = pack_halves(value[0], value[1]);
        }
    }
    BARRIER();
    if (HOLDS_BLOCK && !is_there && from + warp < to) {
        load_keys(held.k, cache.keys_of(from + warp));
        load_values(held.v, cache.values_of(from + warp), 0, position - (from + warp) * BLOCK_LEN);
    }
    u32 query[KEY_RUNS][8];
    query_fragments(query, queries);
    FewState state = {{NOTHING, NOTHING}, {0.0f, 0.0f}, {}};
    see_blocks(state, cache, held, query, from + warp, to, first, position, softcap);

    int lane = THREAD(0) % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int half_of = 0; half_of < (TOGETHER > 8 ? 2 : 1); half_of++) {
        int head = g + 8 * half_of;
        float total = quad_sum(state.total[half_of]);
        if (head >= TOGETHER) continue;
        if (t == 0) {
            lines[(warp * TOGETHER + head) * 2] = state.most[half_of];
            lines[(warp * TOGETHER + head) * 2 + 1] = total;
        }
#pragma unroll
        for (int n = 0; n < 8 * VALUE_RUNS; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int dim = 64 * (n / 8) + 8 * (2 * t + i) + n % 8;
                if (dim < V_DIM) room[(warp * TOGETHER + head) * V_DIM + dim] = state.sums[n][2 * half_of + i];
            }
    }
    BARRIER();
    u64 unit = (u64)row * (u64)GROUPS(1) + (u64)GROUP(1);
    float *partial_lines = partial + (u64)GROUPS(2) * GROUPS(1) * GROUPS(0) * (TOGETHER * V_DIM);
    float *my_lines = partial_lines + (unit * GROUPS(0) + split) * (TOGETHER * 2);
    float *my_partial = partial + (unit * GROUPS(0) + split) * (TOGETHER * V_DIM);
    for (int i = THREAD(0); i < here * V_DIM; i += THREADS(0)) {
        int head = i / V_DIM, dim = i % V_DIM;
        float most = NOTHING, total = 0.0f, sum = 0.0f;
        for (int w = 0; w < FEW_WARPS; w++) most = FMAX(most, lines[(w * TOGETHER + head) * 2]);
        if (active == 1 && flags & HAS_SINKS) {
            float sink = sinks[first_head + head] * LOG2_E;
            most = FMAX(most, sink);
            total = exp2_of(sink - most);
        }
        for (int w = 0; w < FEW_WARPS; w++) {
            float weight = exp2_of(lines[(w * TOGETHER + head) * 2] - most);
            total += weight * lines[(w * TOGETHER + head) * 2 + 1];
            sum += weight * room[(w * TOGETHER + head) * V_DIM + dim];
        }
        if (active == 1) {
            out[((u64)row * (u64)heads + (u64)(first_head + head)) * V_DIM + dim] = sum / total;
        } else {
            my_partial[i] = sum;
            if (dim == 0) {
                my_lines[2 * head] = most;
                my_lines[2 * head + 1] = total;
            }
        }
    }
    if (active == 1) return;
    see_arrivals();
    BARRIER();
    if (THREAD(0) == 0) arrived[0] = count_arrival(counters + unit);
    BARRIER();
    if (arrived[0] != active - 1) return;
    see_arrivals();
    if (THREAD(0) == 0) counters[unit] = 0;
    my_lines = partial_lines + unit * GROUPS(0) * (TOGETHER * 2);
    my_partial = partial + unit * GROUPS(0) * (TOGETHER * V_DIM);
    for (int i = THREAD(0); i < here * V_DIM; i += THREADS(0)) {
        int head = i / V_DIM;
        float most = NOTHING, total = 0.0f, sum = 0.0f;
#pragma unroll 4
        for (int j = 0; j < active; j++) most = FMAX(most, load_shared_result(my_lines + (j * TOGETHER + head) * 2));
        if (flags & HAS_SINKS) {
            float sink = sinks[first_head + head] * LOG2_E;
            most = FMAX(most, sink);
            total = exp2_of(sink - most);
        }
#pragma unroll 4
        for (int j = 0; j < active; j++) {
            float weight = exp2_of(load_shared_result(my_lines + (j * TOGETHER + head) * 2) - most);
            total += weight * load_shared_result(my_lines + (j * TOGETHER + head) * 2 + 1);
            sum += weight * load_shared_result(my_partial + j * (TOGETHER * V_DIM) + i);
        }
        out[((u64)row * (u64)heads + (u64)(first_head + head)) * V_DIM + i % V_DIM] = sum / total;
    }
}

// --- Many rows of queries: prompts ----------------------------------------------------------------------------------------------

#ifndef MANY_WARPS
#define MANY_WARPS 8
#endif
#define MANY_ROWS (16 * MANY_WARPS)
#ifndef MANY_KEYS
#define MANY_KEYS 64
#endif
#define KEY_STRIDE (K_DIM + 8)
#define VALUE_STRIDE (V_DIM + 8)
#define KEY_TILE (MANY_KEYS * KEY_STRIDE)
#define VALUE_TILE (MANY_KEYS * VALUE_STRIDE)
#ifndef MANY_TOGETHER
#if K_DIM <= 64 && V_DIM <= 64
#define MANY_TOGETHER 2
#else
#define MANY_TOGETHER 1
#endif
#endif

// Keys and values of MANY_KEYS positions from `start` into shared memory; zeros beyond `last`.
FUNCTION void fetch_tile(u16 *to, const u16 *keys, const u16 *values, const int *table, int kv_heads, int kv_head, int start, int last) {
    for (int i = THREAD(0); i < MANY_KEYS * (K_DIM / 8); i += THREADS(0)) {
        int key = i / (K_DIM / 8), chunk = i % (K_DIM / 8), position = start + key;
        u16 *at = to + key * KEY_STRIDE + 8 * chunk;
        if (position <= last) {
            copy_async16(at, keys + place_in_cache(table[position / BLOCK_LEN], kv_heads, kv_head, position, K_DIM) + 8 * chunk);
        } else {
            *(Words4 *)at = no_words();
        }
    }
    to += KEY_TILE;
    for (int i = THREAD(0); i < MANY_KEYS * (V_DIM / 8); i += THREADS(0)) {
        int key = i / (V_DIM / 8), chunk = i % (V_DIM / 8), position = start + key;
        u16 *at = to + key * VALUE_STRIDE + 8 * chunk;
        if (position <= last) {
            copy_async16(at, values + place_in_cache(table[position / BLOCK_LEN], kv_heads, kv_head, position, V_DIM) + 8 * chunk);
        } else {
            *(Words4 *)at = no_words();
        }
    }
}

struct ManyState {
    float most[2], total[2], sums[V_DIM / 8][4];
};

// Scores of 16 queries and a tile of keys, their weights, and the weighted values. Query rows g and g + 8 see keys `first[i]` to `last[i]` of
// the tile.
FUNCTION void see_tile(ManyState &state, const u16 *tile, const u32 (*query)[4], const int *first, const int *last, float softcap) {
    int lane = THREAD(0) % 32, t = lane % 4, matrix = lane / 8, r = lane % 8;
    float scores[MANY_KEYS / 8][4];
#pragma unroll
    for (int n = 0; n < MANY_KEYS / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) scores[n][i] = 0.0f;
#pragma unroll
    for (int d = 0; d < K_DIM / 16; d++)
#pragma unroll
        for (int n = 0; n < MANY_KEYS / 16; n++) {
            u32 b[4];
            load_matrices(b, tile + (16 * n + 8 * (matrix / 2) + r) * KEY_STRIDE + 16 * d + 8 * (matrix % 2));
            multiply_16x8x16(scores[2 * n], query[d], b[0], b[1]);
            multiply_16x8x16(scores[2 * n + 1], query[d], b[2], b[3]);
        }
    if (softcap > 0.0f) {
#pragma unroll
        for (int n = 0; n < MANY_KEYS / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) scores[n][i] = softcap * LOG2_E * TANH(scores[n][i] / softcap);
    }
    if (first[0] > 0 || first[1] > 0 || last[0] < MANY_KEYS - 1 || last[1] < MANY_KEYS - 1) {
#pragma unroll
        for (int n = 0; n < MANY_KEYS / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int key = 8 * n + 2 * t + i % 2;
                if (key < first[i / 2] || key > last[i / 2]) scores[n][i] = NOTHING;
            }
    }
#pragma unroll
    for (int half_of = 0; half_of < 2; half_of++) {
        float most = state.most[half_of];
#pragma unroll
        for (int n = 0; n < MANY_KEYS / 8; n++) most = FMAX(most, FMAX(scores[n][2 * half_of], scores[n][2 * half_of + 1]));
        most = quad_max(most);
        float shrink = exp2_of(state.most[half_of] - most), total = 0.0f;
        state.most[half_of] = most;
#pragma unroll
        for (int n = 0; n < MANY_KEYS / 8; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float &score = scores[n][2 * half_of + i];
                score = exp2_of(score - most);
                total += score;
            }
        state.total[half_of] = state.total[half_of] * shrink + total;
#pragma unroll
        for (int d = 0; d < V_DIM / 8; d++) {
            state.sums[d][2 * half_of] *= shrink;
            state.sums[d][2 * half_of + 1] *= shrink;
        }
    }
    tile += KEY_TILE;
#pragma unroll
    for (int n = 0; n < MANY_KEYS / 16; n++) {
        u32 weights[4] = {pack_halves(scores[2 * n][0], scores[2 * n][1]), pack_halves(scores[2 * n][2], scores[2 * n][3]),
                          pack_halves(scores[2 * n + 1][0], scores[2 * n + 1][1]), pack_halves(scores[2 * n + 1][2], scores[2 * n + 1][3])};
#pragma unroll
        for (int d = 0; d < V_DIM / 16; d++) {
            u32 b[4];
            load_matrices_transposed(b, tile + (16 * n + 8 * (matrix % 2) + r) * VALUE_STRIDE + 16 * d + 8 * (matrix / 2));
            multiply_16x8x16(state.sums[2 * d], weights, b[0], b[1]);
            multiply_16x8x16(state.sums[2 * d + 1], weights, b[2], b[3]);
        }
    }
}

// Grid: heads, tiles of 128 rows. `step` from at_tiles on has for each tile its slice and its first row of that slice. Queries are turned,
// keys and values appended. Dynamic shared memory: two times both tiles, in halves.
#undef KERNEL
#define KERNEL(name) KERNEL_WITHIN(__launch_bounds__(32 * MANY_WARPS, MANY_TOGETHER), name)
KERNEL(attend_many)(IN(float, q), IN(u16, keys), IN(u16, values), IN(int, step), IN(float, sinks), OUT(float, out), INT(at_slices), INT(at_blocks),
            INT(at_tiles), INT(kv_heads), INT(window), INT(flags), FLOAT(scale), FLOAT(softcap) IDS) {
    DYNAMIC_SHARED(bytes);
    u16 *room = (u16 *)bytes;
    WAIT_FOR_EARLIER();
    Step s = {step, 0, 0, at_slices, at_blocks};
    int head = GROUP(0), heads = GROUPS(0), kv_head = head / GROUP_HEADS, tile = GROUPS(1) - 1 - GROUP(1);
    int warp = THREAD(0) / 32, lane = THREAD(0) % 32, g = lane / 4, t = lane % 4;
    const int *slice = s.slice(step[at_tiles + 2 * tile]), *table = s.blocks(slice);
    int first_row = step[at_tiles + 2 * tile + 1], rows = slice[1];
    int end = first_row + MANY_ROWS < rows ? first_row + MANY_ROWS : rows, last = slice[2] + end - 1;
    int start = window > 0 && slice[2] + first_row + 1 > window ? slice[2] + first_row + 1 - window : 0;
    start = start / MANY_KEYS * MANY_KEYS;

    fetch_tile(room, keys, values, table, kv_heads, kv_head, start, last);
    copies_commit();
    float factor = softcap > 0.0f ? scale : scale * LOG2_E;
    int mine[2] = {first_row + 16 * warp + g, first_row + 16 * warp + g + 8};
    u32 query[K_DIM / 16][4];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const float *row = q + ((u64)(slice[0] + (mine[i] < rows ? mine[i] : rows - 1)) * (u64)heads + (u64)head) * K_DIM;
#pragma unroll
        for (int d = 0; d < K_DIM / 16; d++) {
            query[d][i] = pack_halves(row[16 * d + 2 * t] * factor, row[16 * d + 2 * t + 1] * factor);
            query[d][2 + i] = pack_halves(row[16 * d + 2 * t + 8] * factor, row[16 * d + 2 * t + 9] * factor);
        }
    }
    ManyState state;
    state.most[0] = state.most[1] = NOTHING;
    state.total[0] = state.total[1] = 0.0f;
#pragma unroll
    for (int d = 0; d < V_DIM / 8; d++)
#pragma unroll
        for (int i = 0; i < 4; i++) state.sums[d][i] = 0.0f;
    int which = 0;
    for (int at = start; at <= last; at += MANY_KEYS) {
        if (at + MANY_KEYS <= last) {
            fetch_tile(room + (which ^ 1) * (KEY_TILE + VALUE_TILE), keys, values, table, kv_heads, kv_head, at + MANY_KEYS, last);
        }
        copies_commit();
        copies_wait<1>();
        BARRIER();
        int first_seen[2], last_seen[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int position = slice[2] + mine[i];
            last_seen[i] = position - at;
            first_seen[i] = window > 0 ? position + 1 - window - at : 0;
        }
        // A warp whose rows all come before this tile has nothing to see.
        if (slice[2] + first_row + 16 * warp + 15 >= at) {
            see_tile(state, room + which * (KEY_TILE + VALUE_TILE), query, first_seen, last_seen, softcap);
        }
        which ^= 1;
        BARRIER();
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float most = state.most[i], total = quad_sum(state.total[i]), shrink = 1.0f;
        if (flags & HAS_SINKS) {
            float sink = sinks[head] * LOG2_E, larger = FMAX(most, sink);
            shrink = exp2_of(most - larger);
            total = total * shrink + exp2_of(sink - larger);
        }
        if (mine[i] >= end) continue;
        float *to = out + ((u64)(slice[0] + mine[i]) * (u64)heads + (u64)head) * V_DIM;
        float share = shrink / total;
#pragma unroll
        for (int d = 0; d < V_DIM / 8; d++) {
            to[8 * d + 2 * t] = state.sums[d][2 * i] * share;
            to[8 * d + 2 * t + 1] = state.sums[d][2 * i + 1] * share;
        }
    }
}
#undef KERNEL
#define KERNEL(name) KERNEL_WITHIN(, name)
