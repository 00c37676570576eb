// Which experts a row goes to, and the way there and back.
#define ROUTE_THREADS 64
#define MOST_GROUPS 64

// Every thread makes the same number of rounds: PoCL 3.1 compiles loops of work-items wrongly whose first round is beyond their end.
#define EACH_EXPERT(i)                                      \
    for (int base = 0; base < experts; base += ROUTE_THREADS) \
        for (int i = base + t, once = 1; once && i < experts; once = 0)

// Scores: 0 softmax over all, 1 softmax over the chosen, 2 sigmoid, 3 sparse mixing.
FUNCTION void score_row(GLOBAL float *scores, LOCAL float *room, int t, int experts, int score) {
    if (score == 0) {
        float most = -INFINITY, sum = 0.0f;
        EACH_EXPERT(i) most = FMAX(most, scores[i]);
        most = group_max(most, room, t, ROUTE_THREADS);
        EACH_EXPERT(i) {
            scores[i] = EXP(scores[i] - most);
            sum += scores[i];
        }
        sum = group_sum(sum, room, t, ROUTE_THREADS);
        EACH_EXPERT(i) scores[i] /= sum;
    } else if (score == 2) {
        EACH_EXPERT(i) scores[i] = 1.0f / (1.0f + EXP(-scores[i]));
    }
    BARRIER();
}

// Takes the experts of all but the best groups out; of equal groups the first is taken. One thread: groups are few.
FUNCTION void mask_groups(GLOBAL float *room, int experts, int groups, int kept, int two_largest) {
    float counts[MOST_GROUPS];
    int size = experts / groups;
    for (int g = 0; g < groups; g++) {
        float first = -INFINITY, second = -INFINITY;
        for (int i = 0; i < size; i++) {
            float x = room[g * size + i];
            if (x > first) {
                second = first;
                first = x;
            } else if (x > second) {
                second = x;
            }
        }
        counts[g] = two_largest ? first + second : first;
    }
    u64 keep = 0;
    for (int n = 0; n < kept; n++) {
        int best = -1;
        for (int g = 0; g < groups; g++) {
            if (!((keep >> g) & 1) && (best < 0 || counts[g] > counts[best])) best = g;
        }
        keep |= (u64)1 << best;
    }
    for (int g = 0; g < groups; g++) {
        if (!((keep >> g) & 1)) {
            for (int i = 0; i < size; i++) room[g * size + i] = -INFINITY;
        }
    }
}

// The largest of what is left, the first of equal ones; what is not a number counts least. Taken out of the choice.
FUNCTION int take_largest(GLOBAL float *left, LOCAL float *room, LOCAL int *index, int t, int experts) {
    float most = -INFINITY;
    int best = experts;
    EACH_EXPERT(i) {
        if (left[i] > most || (best == experts && left[i] == left[i])) {
            most = left[i];
            best = i;
        }
    }
    best = group_argmax(most, best, room, index, t, ROUTE_THREADS);
    best = best < experts ? best : 0;
    BARRIER();
    if (t == 0) left[best] = as_float_bits(0x7fc00000);
    BARRIER();
    return best;
}

// One group of threads per row: `chosen` experts and their weights, the first choice in front. `left` is as large as `scores`.
KERNEL(route)(OUT(float, scores), OUT(float, left), IN(float, bias), IN(float, factors), OUT(int, members), OUT(float, weights),
              INT(experts), INT(chosen), INT(score), INT(groups), INT(kept), INT(two_largest), INT(normalise), INT(has_bias),
              INT(has_factors), FLOAT(least), FLOAT(scale), FLOAT(jitter) IDS) {
    SHARED(float, room, ROUTE_THREADS);
    SHARED(int, index, ROUTE_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), row = GROUP(0);
    scores += row * experts;
    left += row * experts;
    members += row * chosen;
    weights += row * chosen;
    score_row(scores, room, t, experts, score);
    EACH_EXPERT(i) left[i] = scores[i] + (has_bias ? bias[i] : 0.0f);
    BARRIER();
    if (groups > 0 && t == 0) mask_groups(left, experts, groups, kept, two_largest);
    BARRIER();
    for (int n = 0; n < chosen; n++) {
        int best = take_largest(left, room, index, t, experts);
        float most = scores[best];
        if (score == 3) {
            // Logits much smaller than the largest do not count, nor does what was taken before.
            float sum = 0.0f;
            EACH_EXPERT(i) {
                int is_free = i == best || left[i] == left[i];
                float distance = (most - scores[i]) / FMAX(FABS(scores[i]), most);
                if (is_free && distance <= 2.0f * jitter) sum += EXP(scores[i] - most);
            }
            most = 1.0f / group_sum(sum, room, t, ROUTE_THREADS);
        }
        if (t == 0) {
            members[n] = best;
            weights[n] = most;
        }
    }
    if (t != 0) return;
    if (score == 1) {
        float most = weights[0], sum = 0.0f;
        for (int n = 1; n < chosen; n++) most = FMAX(most, weights[n]);
        for (int n = 0; n < chosen; n++) {
            weights[n] = EXP(weights[n] - most);
            sum += weights[n];
        }
        for (int n = 0; n < chosen; n++) weights[n] /= sum;
    }
    if (normalise) {
        float sum = 0.0f;
        for (int n = 0; n < chosen; n++) sum += weights[n];
        sum = FMAX(sum, least);
        for (int n = 0; n < chosen; n++) weights[n] /= sum;
    }
    for (int n = 0; n < chosen; n++) weights[n] *= scale * (has_factors ? factors[members[n]] : 1.0f);
}

// Puts choices in the order of experts, rows of one expert in their order: where the rows of each end, and the place of each
// choice. One group; a thread counts for some of the experts.
#define PLACE_THREADS 256
KERNEL(place)(IN(int, members), OUT(int, ends), OUT(int, places), INT(experts), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int t = THREAD(0);
    for (int e = t; e < experts; e += PLACE_THREADS) {
        int n = 0;
        for (int i = 0; i < count; i++) n += members[i] == e;
        ends[e] = n;
    }
    BARRIER();
    if (t == 0) {
        for (int e = 1; e < experts; e++) ends[e] += ends[e - 1];
    }
    BARRIER();
    for (int e = t; e < experts; e += PLACE_THREADS) {
        int at = e > 0 ? ends[e - 1] : 0;
        for (int i = 0; i < count; i++) {
            if (members[i] == e) places[i] = at++;
        }
    }
}

// out[places[i]] = x[i / chosen]: the input of each choice, at its place.
KERNEL(spread)(IN(float, x), IN(int, places), OUT(float, out), INT(chosen), INT(width), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i >= count) return;
    int choice = i / width, column = i % width;
    out[(u64)places[choice] * (u64)width + (u64)column] = x[(u64)(choice / chosen) * (u64)width + (u64)column];
}

// out[row] (+)= the sum of weight * y[place] over the row's choices, in their order. Without places, choices are where they are.
KERNEL(gather_sum)(IN(float, y), IN(int, places), IN(float, weights), OUT(float, out), INT(chosen), INT(width), INT(placed),
                   INT(adds), INT(count) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i >= count) return;
    int row = i / width, column = i % width;
    float sum = adds ? out[i] : 0.0f;
    for (int n = 0; n < chosen; n++) {
        int choice = row * chosen + n, from = placed ? places[choice] : choice;
        sum = FMA(weights[choice], y[(u64)from * (u64)width + (u64)column], sum);
    }
    out[i] = sum;
}
