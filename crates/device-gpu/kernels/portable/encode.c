// What encoders need beyond a decoder's kernels.
#define WITHIN_THREADS 64
#define WITHIN_DIMS 16
#define MOST_WITHIN_DIM 1024

// Each token beside its neighbours, zeros beyond the ends of its text: one value per thread.
KERNEL(unfold)(IN(float, x), IN(int, step), OUT(float, out), INT(at_slice_of), INT(at_slices), INT(width), INT(taps), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i >= count) return;
    int column = i % width, tap = (i / width) % taps, token = i / (width * taps);
    int slice = at_slices + step[at_slice_of + token] * 5;
    int from = token + tap - taps / 2, first = step[slice], end = first + step[slice + 1];
    out[i] = from >= first && from < end ? x[(u64)from * (u64)width + (u64)column] : 0.0f;
}

FUNCTION float product_of(GLOBAL const float *x, GLOBAL const float *y, int dim) {
    float sum = 0.0f;
    for (int i = 0; i < dim; i++) sum = FMA(x[i], y[i], sum);
    return sum;
}

// One group of threads per head of a row; every token of its text is looked at, or those within the window. What distances add:
// a bias per head and distance after scaling, or products with rows of embedded distances before.
KERNEL(attend_within)(IN(float, q), IN(float, k), IN(float, v), IN(int, step), IN(float, biases), IN(float, by_query),
                      IN(float, by_key), IN(int, columns), OUT(float, out), INT(at_slice_of), INT(at_slices), INT(heads), INT(dim),
                      INT(window), INT(reach), INT(has_biases), INT(has_by_query), INT(has_by_key), FLOAT(scale) IDS) {
    SHARED(float, room, WITHIN_THREADS);
    SHARED(float, weights, WITHIN_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), head = GROUP(0), row = GROUP(1), width = heads * dim;
    int slice = at_slices + step[at_slice_of + row] * 5;
    int first = step[slice], end = first + step[slice + 1];
    // The argument is one more than the window; 0 stands for none.
    int from = window > 0 && row - (window - 1) > first ? row - (window - 1) : first;
    int to = window > 0 && row + window < end ? row + window : end;
    GLOBAL const float *query = q + (u64)row * (u64)width + (u64)(head * dim);
    float most = -INFINITY, total = 0.0f;
    float sums[WITHIN_DIMS];
    for (int i = 0; i < WITHIN_DIMS; i++) sums[i] = 0.0f;
    for (int start = from; start < to; start += WITHIN_THREADS) {
        int j = start + t;
        float score = -INFINITY;
        if (j < to) {
            GLOBAL const float *key = k + (u64)j * (u64)width + (u64)(head * dim);
            score = product_of(query, key, dim);
            int distance = j - row + reach;
            if (has_by_query) score += product_of(query, by_query + (u64)columns[distance] * (u64)width + (u64)(head * dim), dim);
            if (has_by_key) score += product_of(key, by_key + (u64)columns[distance] * (u64)width + (u64)(head * dim), dim);
            score *= scale;
            if (has_biases) score += biases[head * (2 * reach + 1) + distance];
        }
        float largest = FMAX(most, group_max(score, room, t, WITHIN_THREADS));
        float shrink = EXP(most - largest);
        float weight = j < to ? EXP(score - largest) : 0.0f;
        weights[t] = weight;
        total = total * shrink + group_sum(weight, room, t, WITHIN_THREADS);
        most = largest;
        int seen = to - start < WITHIN_THREADS ? to - start : WITHIN_THREADS;
        for (int d = 0; d * WITHIN_THREADS + t < dim; d++) {
            int at = head * dim + d * WITHIN_THREADS + t;
            float sum = sums[d] * shrink;
            for (int key = 0; key < seen; key++) sum = FMA(weights[key], v[(u64)(start + key) * (u64)width + (u64)at], sum);
            sums[d] = sum;
        }
        BARRIER();
    }
    for (int d = 0; d * WITHIN_THREADS + t < dim; d++) {
        out[(u64)row * (u64)width + (u64)(head * dim + d * WITHIN_THREADS + t)] = sums[d] / total;
    }
}

// One column of one text per thread; ranges lie in `step` from `at` on, two numbers each. Kinds: 0 mean, 1 sum over the root of the
// number, 2 mean of rows counted by their place, 3 largest. Sums are kept in two parts, the second holds what the first lost.
KERNEL(pool_rows)(IN(float, x), IN(int, step), OUT(float, out), INT(at), INT(width), INT(kind), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i >= count) return;
    int column = i % width, text = i / width;
    int first = step[at + 2 * text], end = step[at + 2 * text + 1];
    float n = (float)(end - first);
    float sum = kind == 3 ? -INFINITY : 0.0f, lost = 0.0f;
    for (int row = first; row < end; row++) {
        float value = x[(u64)row * (u64)width + (u64)column];
        if (kind == 3) {
            sum = FMAX(sum, value);
            continue;
        }
        float term = (kind == 2 ? value * (float)(row - first + 1) : value) - lost;
        float next = sum + term;
        lost = (next - sum) - term;
        sum = next;
    }
    float divisor = kind == 0 ? n : kind == 1 ? SQRT(n) : kind == 2 ? n * (n + 1.0f) * 0.5f : 1.0f;
    out[i] = sum / divisor;
}
