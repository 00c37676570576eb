// One group of threads per part of a row: `group` values that are normed together, `weights` factors that repeat. Rows of the
// input lie `x_stride` apart, those of the output `y_stride`, from `x_at` and `y_at` on; a row has `parts` parts.
#define NORM_THREADS 128

KERNEL(rms_norm)(IN(float, x), IN(float, weight), OUT(float, y), INT(group), INT(parts), INT(weights), INT(x_stride),
                 INT(y_stride), INT(x_at), INT(y_at), FLOAT(eps) IDS) {
    SHARED(float, room, NORM_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), part = GROUP(0) % parts, row = GROUP(0) / parts;
    GLOBAL const float *from = x + x_at + (u64)row * (u64)x_stride + part * group;
    GLOBAL float *to = y + y_at + (u64)row * (u64)y_stride + part * group;
    GLOBAL const float *factors = weight + (part % (weights / group)) * group;
    float squares = 0.0f;
    for (int i = t; i < group; i += NORM_THREADS) squares = FMA(from[i], from[i], squares);
    squares = group_sum(squares, room, t, NORM_THREADS);
    float scale = 1.0f / SQRT(squares / (float)group + eps);
    for (int i = t; i < group; i += NORM_THREADS) to[i] = from[i] * scale * factors[i];
}

KERNEL(layer_norm)(IN(float, x), IN(float, weight), IN(float, bias), OUT(float, y), INT(group), INT(parts), INT(weights),
                   INT(has_bias), INT(x_stride), INT(y_stride), INT(x_at), INT(y_at), FLOAT(eps) IDS) {
    SHARED(float, room, NORM_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), part = GROUP(0) % parts, row = GROUP(0) / parts;
    GLOBAL const float *from = x + x_at + (u64)row * (u64)x_stride + part * group;
    GLOBAL float *to = y + y_at + (u64)row * (u64)y_stride + part * group;
    int first = (part % (weights / group)) * group;
    float sum = 0.0f;
    for (int i = t; i < group; i += NORM_THREADS) sum += from[i];
    float mean = group_sum(sum, room, t, NORM_THREADS) / (float)group;
    float squares = 0.0f;
    for (int i = t; i < group; i += NORM_THREADS) {
        float d = from[i] - mean;
        squares = FMA(d, d, squares);
    }
    squares = group_sum(squares, room, t, NORM_THREADS);
    float scale = 1.0f / SQRT(squares / (float)group + eps);
    for (int i = t; i < group; i += NORM_THREADS) {
        float shift = has_bias ? bias[first + i] : 0.0f;
        to[i] = (from[i] - mean) * scale * weight[first + i] + shift;
    }
}

FUNCTION float squares_of(GLOBAL const float *x, float centre, LOCAL float *room, int t, int width) {
    float squares = 0.0f;
    for (int i = t; i < width; i += NORM_THREADS) {
        float d = x[i] - centre;
        squares = FMA(d, d, squares);
    }
    return group_sum(squares, room, t, NORM_THREADS);
}

// Scales each row to the root mean square of that row of `like`; its own mean square counts as `least` at least.
KERNEL(match_magnitude)(OUT(float, x), IN(float, like), INT(width), FLOAT(least) IDS) {
    SHARED(float, room, NORM_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), row = GROUP(0);
    GLOBAL float *to = x + (u64)row * (u64)width;
    float wanted = squares_of(like + (u64)row * (u64)width, 0.0f, room, t, width) / (float)width;
    float own = FMAX(squares_of(to, 0.0f, room, t, width) / (float)width, least);
    float factor = SQRT(wanted / own);
    for (int i = t; i < width; i += NORM_THREADS) to[i] *= factor;
}

// Of each row what lies above its mean by more than so many standard deviations, less that bound; 0 of the rest.
KERNEL(cut_below)(OUT(float, x), INT(width), FLOAT(deviations) IDS) {
    SHARED(float, room, NORM_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), row = GROUP(0);
    GLOBAL float *to = x + (u64)row * (u64)width;
    float sum = 0.0f;
    for (int i = t; i < width; i += NORM_THREADS) sum += to[i];
    float mean = group_sum(sum, room, t, NORM_THREADS) / (float)width;
    float below = mean + deviations * SQRT(squares_of(to, mean, room, t, width) / (float)width);
    for (int i = t; i < width; i += NORM_THREADS) to[i] = FMAX(to[i] - below, 0.0f);
}
