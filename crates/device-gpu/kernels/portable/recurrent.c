// Linear attention with a state. A sequence's state lies in a slot: earlier rows of the convolution, then the heads' matrices
// `[head][key_dim][value_dim]`. `at_slots` is where the step's slots lie, one per slice.
#define DELTA_THREADS 64

// out[t] = silu(sum of weight[tap] * x[t - taps + 1 + tap]), rows before the first from the state: one value per thread.
KERNEL(convolve)(IN(float, x), IN(float, weight), IN(float, states), IN(int, step), OUT(float, out), INT(at_slice_of),
                 INT(at_slices), INT(at_slots), INT(width), INT(taps), INT(slot_len), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i >= count) return;
    int row = i / width, column = i % width, slice = step[at_slice_of + row];
    int first = step[at_slices + slice * 5];
    GLOBAL const float *history = states + (u64)step[at_slots + slice] * (u64)slot_len;
    float sum = 0.0f;
    for (int tap = 0; tap < taps; tap++) {
        int from = row - first - (taps - 1) + tap;
        float value = from >= 0 ? x[(u64)(first + from) * (u64)width + (u64)column]
                                : history[(u64)(from + taps - 1) * (u64)width + (u64)column];
        sum = FMA(value, weight[tap * width + column], sum);
    }
    out[i] = sum / (1.0f + EXP(-sum));
}

// The last rows become the history: one column per thread, one slice per group on the second axis.
KERNEL(remember)(IN(float, x), OUT(float, states), IN(int, step), INT(at_slices), INT(at_slots), INT(width), INT(taps),
                 INT(slot_len) IDS) {
    WAIT_FOR_EARLIER();
    int column = GROUP(0) * THREADS(0) + THREAD(0), slice = GROUP(1);
    if (column >= width) return;
    int first = step[at_slices + slice * 5], rows = step[at_slices + slice * 5 + 1];
    GLOBAL float *history = states + (u64)step[at_slots + slice] * (u64)slot_len;
    for (int h = 0; h < taps - 1; h++) {
        int from = rows - (taps - 1) + h;
        float value = from >= 0 ? x[(u64)(first + from) * (u64)width + (u64)column] : history[(h + rows) * width + column];
        history[h * width + column] = value;
    }
}

// One group of threads per value head of a slice; tokens one after the other; a thread has some columns of the state.
KERNEL(delta_rule)(IN(float, qkv), IN(float, alpha), IN(float, beta), IN(float, rate), IN(float, shift), OUT(float, states),
                   IN(int, step), OUT(float, out), INT(at_slices), INT(at_slots), INT(slot_len), INT(history_len), INT(key_heads),
                   INT(value_heads), INT(key_dim), INT(value_dim), INT(rounds) IDS) {
    SHARED(float, room, DELTA_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), head = GROUP(0), slice = GROUP(1);
    int first = step[at_slices + slice * 5], rows = step[at_slices + slice * 5 + 1];
    int key_head = rounds ? head % key_heads : head / (value_heads / key_heads);
    int keys = key_heads * key_dim, width = 2 * keys + value_heads * value_dim;
    GLOBAL float *state = states + (u64)step[at_slots + slice] * (u64)slot_len + (u64)history_len +
                          (u64)head * (u64)key_dim * (u64)value_dim;
    for (int r = first; r < first + rows; r++) {
        GLOBAL const float *row = qkv + (u64)r * (u64)width;
        GLOBAL const float *query = row + key_head * key_dim;
        GLOBAL const float *key = row + keys + key_head * key_dim;
        GLOBAL const float *value = row + 2 * keys + head * value_dim;
        float q = 0.0f, k = 0.0f;
        for (int i = t; i < key_dim; i += DELTA_THREADS) {
            q = FMA(query[i], query[i], q);
            k = FMA(key[i], key[i], k);
        }
        q = 1.0f / (SQRT(group_sum(q, room, t, DELTA_THREADS) + 1e-6f) * SQRT((float)key_dim));
        k = 1.0f / SQRT(group_sum(k, room, t, DELTA_THREADS) + 1e-6f);
        float x = alpha[r * value_heads + head] + shift[head];
        float softplus = x > 20.0f ? x : LOG1P(EXP(x));
        float decay = EXP(rate[head] * softplus);
        float correct = 1.0f / (1.0f + EXP(-beta[r * value_heads + head]));
        for (int column = t; column < value_dim; column += DELTA_THREADS) {
            float known = 0.0f, read = 0.0f;
            for (int i = 0; i < key_dim; i++) {
                float held = state[i * value_dim + column] * decay;
                state[i * value_dim + column] = held;
                known = FMA(held, key[i] * k, known);
            }
            float delta = (value[column] - known) * correct;
            for (int i = 0; i < key_dim; i++) {
                float held = FMA(delta, key[i] * k, state[i * value_dim + column]);
                state[i * value_dim + column] = held;
                read = FMA(held, query[i] * q, read);
            }
            out[(u64)r * (u64)(value_heads * value_dim) + (u64)(head * value_dim + column)] = read;
        }
    }
}
