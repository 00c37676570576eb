// Rotary embeddings: angles once per step, then heads are turned by them.

// Cosine and sine of position * frequency. The product's rounding error is kept, and whole turns are taken off in three parts of
// 2 pi, each step exact to the last bit of what is left: positions far out stay right without doubles.
KERNEL(angles)(IN(float, usual), IN(float, beyond), IN(int, step), OUT(float, cosines), OUT(float, sines), INT(at_positions),
               INT(at_slice_of), INT(at_slices), INT(pairs), INT(limit), INT(count), FLOAT(usual_magnitude),
               FLOAT(beyond_magnitude) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i >= count) return;
    int row = i / pairs, pair = i % pairs;
    int is_beyond = step[at_slices + step[at_slice_of + row] * 5 + 4] > limit;
    float frequency = is_beyond ? beyond[pair] : usual[pair];
    float magnitude = is_beyond ? beyond_magnitude : usual_magnitude;
    float position = (float)step[at_positions + row];
    float angle = position * frequency;
    float rest = FMA(position, frequency, -angle);
    float turns = floor(angle * 0.15915494309189535f + 0.5f);
    float left = FMA(-turns, 6.2831854820251465f, angle);
    left = FMA(-turns, -1.7484556000744883e-7f, left);
    left += rest;
    cosines[i] = COS(left) * magnitude;
    sines[i] = SIN(left) * magnitude;
}

// Turns one pair per thread; `halves` says that a pair lies half the turned dimensions apart.
KERNEL(rope)(OUT(float, x), IN(float, cosines), IN(float, sines), INT(heads), INT(dim), INT(pairs), INT(halves), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i >= count) return;
    int pair = i % pairs, head = (i / pairs) % heads, row = i / (pairs * heads);
    u64 at = ((u64)row * (u64)heads + (u64)head) * (u64)dim;
    u64 first = at + (u64)(halves ? pair : 2 * pair), second = at + (u64)(halves ? pair + pairs : 2 * pair + 1);
    float c = cosines[row * pairs + pair], s = sines[row * pairs + pair];
    float a = x[first], b = x[second];
    x[first] = a * c - b * s;
    x[second] = a * s + b * c;
}
