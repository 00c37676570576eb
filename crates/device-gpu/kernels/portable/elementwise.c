// One value per thread: `count` values in groups of any size. Buffers of several rows come with their widths.
KERNEL(activate)(OUT(float, x), INT(which), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) x[i] = activation(which, x[i]);
}

// out = act(gate) * up; the output may be one of the inputs
KERNEL(glu)(IN(float, gate), IN(float, up), OUT(float, out), INT(which), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) out[i] = activation(which, gate[i]) * up[i];
}

// gate = g sigmoid(alpha g) (u + 1), g at most `limit`, u within `limit` of 0
KERNEL(clamped_glu)(OUT(float, gate), IN(float, up), INT(count), FLOAT(alpha), FLOAT(limit) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) {
        float g = FMIN(gate[i], limit), u = FMIN(FMAX(up[i], -limit), limit);
        gate[i] = g * sigmoid_of(alpha * g) * (u + 1.0f);
    }
}

KERNEL(clamp_values)(OUT(float, x), INT(count), FLOAT(limit) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) x[i] = FMIN(limit, FMAX(-limit, x[i]));
}

KERNEL(scale_values)(OUT(float, x), INT(count), FLOAT(factor) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) x[i] *= factor;
}

// x[row] *= y[row] from column `first` on
KERNEL(multiply)(OUT(float, x), IN(float, y), INT(width), INT(y_width), INT(first), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) x[i] *= y[(i / width) * y_width + first + i % width];
}

KERNEL(add_scaled)(OUT(float, x), IN(float, y), INT(count), FLOAT(factor) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) x[i] = FMA(y[i], factor, x[i]);
}

// x *= sigmoid(gate), one gate for each run of `width / gate_width` values
KERNEL(sigmoid_gate)(OUT(float, x), IN(float, gate), INT(width), INT(gate_width), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) {
        int run = width / gate_width, column = i % width;
        x[i] *= sigmoid_of(gate[(i / width) * gate_width + column / run]);
    }
}

// out[i] = in[rows[i]], rows of `width` values; the list of rows lies in `step` from `at` on
KERNEL(select_rows)(IN(float, x), IN(int, step), OUT(float, out), INT(at), INT(width), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) out[i] = x[step[at + i / width] * width + i % width];
}

// Takes columns out of heads: out[row, out_at + head * width + i] = in[row, head * in_head + in_at + i]
KERNEL(move_heads)(IN(float, x), OUT(float, out), INT(in_width), INT(in_head), INT(in_at), INT(out_width), INT(out_head),
                   INT(out_at), INT(width), INT(heads), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) {
        int column = i % width, head = (i / width) % heads, row = i / (width * heads);
        out[row * out_width + head * out_head + out_at + column] = x[row * in_width + head * in_head + in_at + column];
    }
}

// One term of a sum: sum (+)= weights[row, column] * x from value `at` on, the weights of a row `w_width` apart
KERNEL(blend_term)(IN(float, x), IN(float, weights), OUT(float, sum), INT(width), INT(w_width), INT(column), INT(at),
                   INT(adds), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) sum[at + i] = FMA(weights[(i / width) * w_width + column], x[i], adds ? sum[at + i] : 0.0f);
}

KERNEL(copy_values)(IN(float, x), OUT(float, out), INT(first), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) out[i] = x[first + i];
}

KERNEL(times_row)(OUT(float, x), IN(float, factors), INT(width), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < count) x[i] *= factors[i % width];
}
