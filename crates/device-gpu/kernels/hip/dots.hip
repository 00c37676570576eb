// Products of few rows by dot products of bytes. Activations become two signed bytes a value, in runs of 32 with one scale: the first is what
// ggml's Q8_0 has, the largest of the run over 127 being one, and the second what that leaves, in 254ths; so that they keep 15 bits.
#define RUN 32
#define FINE 254
// Rows of input that a group takes at a time.
#define DOT_ROWS 8

// A thread per run: `codes` has 16 words of each, four of every eight values, their first bytes before their second; `scales` has one.
KERNEL(code_rows)(IN(float, x), OUT(u32, codes), OUT(float, scales), INT(rows), INT(cols), INT(x_stride), INT(x_at), INT(x_step),
                  INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0), runs = (cols + RUN - 1) / RUN;
    if (i >= count) return;
    int k = i % runs * RUN, row = i / runs % rows, z = i / runs / rows;
    const float *from = x + x_at + (u64)z * (u64)x_step + (u64)row * (u64)x_stride + k;
    int here = cols - k < RUN ? cols - k : RUN;
    float most = 0.0f, fault = 0.0f;
    for (int v = 0; v < here; v++) {
        most = FMAX(most, FABS(from[v]));
        // Not a number where the value is none, or infinite.
        fault += from[v] - from[v];
    }
    float inverse = most > 1e-30f ? 127.0f / most : 0.0f;
    scales[i] = most / 127.0f + fault;
    for (int word = 0; word < RUN / 4; word++) {
        u32 first = 0, second = 0;
        UNROLL for (int v = 0; v < 4; v++) {
            float value = word * 4 + v < here ? from[word * 4 + v] * inverse : 0.0f;
            float whole = rintf(value);
            first |= ((u32)(int)whole & 255) << 8 * v;
            second |= ((u32)(int)rintf((value - whole) * (float)FINE) & 255) << 8 * v;
        }
        u32 *to = codes + (u64)i * 16 + word / 2 * 4 + word % 2;
        to[0] = first;
        to[2] = second;
    }
}

// Eight weights times eight activations over the scale of the latter.
FUNCTION float dot_of(const Coded &w, const u32 *x) {
    int first = dot4(w.words[1], x[1], dot4(w.words[0], x[0], 0)), second = dot4(w.words[1], x[3], dot4(w.words[0], x[2], 0));
    float sum = w.scale * (float)(first * FINE + second);
#ifdef HAS_MINIMUM
    const u32 ones = 0x01010101u;
    first = dot4(ones, x[1], dot4(ones, x[0], 0));
    second = dot4(ones, x[3], dot4(ones, x[2], 0));
    sum += w.minimum * (float)(first * FINE + second);
#endif
    return sum;
}

FUNCTION Coded codes_at(const u8 *w, u64 row, int blocks, int part) {
    const int parts = BLOCK_VALUES / 8;
    Coded coded;
    CODES(w + (row * (u64)blocks + (u64)(part / parts)) * (u64)BLOCK_BYTES, part % parts, &coded);
    return coded;
}

// As matvec, of coded rows.
KERNEL(dots)(IN(u32, codes), IN(float, scales), IN(u8, w), IN(float, bias), OUT(float, y), INT(rows), INT(cols), INT(y_stride), INT(y_at),
             INT(y_step), INT(w_rows), INT(has_bias), INT(adds) IDS) {
    SHARED(float, room, MATVEC_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), n = GROUP(0), z = GROUP(2), first = GROUP(1) * DOT_ROWS;
    int blocks = (cols + BLOCK_VALUES - 1) / BLOCK_VALUES, runs = (cols + RUN - 1) / RUN;
    u64 from = (u64)(z * rows + first) * (u64)runs;
    float sums[DOT_ROWS];
    UNROLL for (int r = 0; r < DOT_ROWS; r++) sums[r] = 0.0f;
    for (int part = t; part * 8 < cols; part += MATVEC_THREADS) {
        Coded coded = codes_at(w, (u64)z * (u64)w_rows + (u64)n, blocks, part);
        UNROLL for (int r = 0; r < DOT_ROWS; r++) {
            if (first + r < rows) {
                u64 run = from + (u64)(r * runs + part / 4);
                sums[r] = FMA(scales[run] * (1.0f / FINE), dot_of(coded, codes + run * 16 + part % 4 * 4), sums[r]);
            }
        }
    }
    UNROLL for (int r = 0; r < DOT_ROWS; r++) {
        float sum = first + r < rows ? group_sum(sums[r], room, t, MATVEC_THREADS) : 0.0f;
        if (t == 0 && first + r < rows) {
            float *to = y + y_at + (u64)z * (u64)y_step + (u64)(first + r) * (u64)y_stride + (u64)n;
            if (has_bias) sum += bias[z * w_rows + n];
            *to = adds ? *to + sum : sum;
        }
    }
}

// As matvec_routed, of coded rows.
KERNEL(dots_routed)(IN(u32, codes), IN(float, scales), IN(u8, w), IN(float, bias), IN(int, members), OUT(float, y), INT(cols), INT(n),
                    INT(share), INT(has_bias) IDS) {
    SHARED(float, room, MATVEC_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), c = GROUP(0), r = GROUP(1), z = members[r];
    int blocks = (cols + BLOCK_VALUES - 1) / BLOCK_VALUES, runs = (cols + RUN - 1) / RUN;
    float sum = 0.0f;
    for (int part = t; part * 8 < cols; part += MATVEC_THREADS) {
        Coded coded = codes_at(w, (u64)z * (u64)n + (u64)c, blocks, part);
        u64 run = (u64)(r / share) * (u64)runs + (u64)(part / 4);
        sum = FMA(scales[run] * (1.0f / FINE), dot_of(coded, codes + run * 16 + part % 4 * 4), sum);
    }
    sum = group_sum(sum, room, t, MATVEC_THREADS);
    if (t == 0) y[(u64)r * (u64)n + (u64)c] = sum + (has_bias ? bias[z * n + c] : 0.0f);
}
