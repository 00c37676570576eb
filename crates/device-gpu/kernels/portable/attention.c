// Attention over the cache of keys and values.
//
// A cache lies in blocks of BLOCK_LEN positions: keys `[block][head][position]`, a vector of k_dim values each, values likewise with
// v_dim. How a vector lies is said by the part before this one. What a step is about lies in `step`: positions and slices by row, slices
// of five numbers (first row, rows, first position, first entry of the table of blocks, known tokens), and the table of blocks.
#define SLICE_INTS 5

// Appends a vector of each head to the cache, as many values per thread as its type takes together.
KERNEL(append)(IN(float, x), IN(int, step), OUT(kv_cell, cache), INT(at_positions), INT(at_slice_of), INT(at_slices),
               INT(at_blocks), INT(heads), INT(dim), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i >= count) return;
    int parts = (dim + KV_TOGETHER - 1) / KV_TOGETHER;
    int part = i % parts, head = (i / parts) % heads, row = i / (parts * heads);
    int position = step[at_positions + row];
    int first_block = step[at_slices + step[at_slice_of + row] * SLICE_INTS + 3];
    int block = step[at_blocks + first_block + position / BLOCK_LEN];
    u64 vector = ((u64)block * (u64)heads + (u64)head) * BLOCK_LEN + (u64)(position % BLOCK_LEN);
    kv_append(cache, vector, dim, part * KV_TOGETHER, x + ((u64)row * (u64)heads + (u64)head) * (u64)dim);
}

// One group of threads per head of a row. Keys are looked at as many at a time as there are threads; sums are scaled down when a
// larger score turns up. A thread holds the values of some dimensions: at most ATTEND_DIMS times the number of threads.
#define ATTEND_THREADS 64
#define ATTEND_DIMS 16
#define MOST_K_DIM 1024
KERNEL(attend)(IN(float, q), IN(kv_cell, keys), IN(kv_cell, values), IN(int, step), IN(float, sinks), OUT(float, out),
               INT(at_positions), INT(at_slice_of), INT(at_slices), INT(at_blocks), INT(heads), INT(kv_heads), INT(k_dim), INT(v_dim),
               INT(v_stride), INT(v_first), INT(window), INT(has_sinks), FLOAT(scale), FLOAT(softcap) IDS) {
    SHARED(float, query, MOST_K_DIM);
    SHARED(float, room, ATTEND_THREADS);
    SHARED(float, weights, ATTEND_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), head = GROUP(0), row = GROUP(1), kv_head = head / (heads / kv_heads);
    int position = step[at_positions + row];
    GLOBAL const int *blocks = step + at_blocks + step[at_slices + step[at_slice_of + row] * SLICE_INTS + 3];
    for (int i = t; i < k_dim; i += ATTEND_THREADS) query[i] = q[((u64)row * (u64)heads + (u64)head) * (u64)k_dim + (u64)i];
    BARRIER();
    int first = window > 0 && position + 1 > window ? position + 1 - window : 0;
    float most = has_sinks ? sinks[head] : -INFINITY, total = has_sinks ? 1.0f : 0.0f;
    float sums[ATTEND_DIMS];
    for (int i = 0; i < ATTEND_DIMS; i++) sums[i] = 0.0f;
    for (int start = first; start <= position; start += ATTEND_THREADS) {
        int j = start + t;
        float score = -INFINITY;
        if (j <= position) {
            u64 vector = ((u64)blocks[j / BLOCK_LEN] * (u64)kv_heads + (u64)kv_head) * BLOCK_LEN + (u64)(j % BLOCK_LEN);
            float product = kv_product(query, keys, vector, k_dim);
            score = product * scale;
            if (softcap > 0.0f) score = softcap * TANH(score / softcap);
        }
        float largest = FMAX(most, group_max(score, room, t, ATTEND_THREADS));
        float shrink = EXP(most - largest);
        float weight = j <= position ? EXP(score - largest) : 0.0f;
        weights[t] = weight;
        total = total * shrink + group_sum(weight, room, t, ATTEND_THREADS);
        most = largest;
        int seen = position + 1 - start < ATTEND_THREADS ? position + 1 - start : ATTEND_THREADS;
        for (int d = 0; d * ATTEND_THREADS + t < v_dim; d++) sums[d] *= shrink;
        for (int key = 0; key < seen; key++) {
            int at_key = start + key;
            u64 vector =
                ((u64)blocks[at_key / BLOCK_LEN] * (u64)kv_heads + (u64)kv_head) * BLOCK_LEN + (u64)(at_key % BLOCK_LEN);
            float w = weights[key];
            for (int d = 0; d * ATTEND_THREADS + t < v_dim; d++) {
                sums[d] = FMA(w, kv_value(values, vector, v_stride, v_first + d * ATTEND_THREADS + t), sums[d]);
            }
        }
        BARRIER();
    }
    for (int d = 0; d * ATTEND_THREADS + t < v_dim; d++) {
        out[((u64)row * (u64)heads + (u64)head) * (u64)v_dim + (u64)(d * ATTEND_THREADS + t)] = sums[d] / total;
    }
}
