// The largest values of rows, in descending order, of equal ones the first: for choosing tokens. Values are compared by their bits, so
// that every compiler agrees on the order, zeros of both signs included. -inf is never listed.
#define LARGEST_THREADS 128

// Larger values have larger ranks. What has NOTHING or less is not listed: -inf, and the end of what a thread has.
#define NOTHING 0x007fffffu

typedef struct {
    u32 rank;
    int at;
} Ranked;

FUNCTION u32 rank_of(float x) {
    u32 bits = as_bits(x);
    if (bits == 0x80000000u) bits = 0u;
    return (bits >> 31) ? ~bits : (bits | 0x80000000u);
}

// NaN and +inf
FUNCTION int is_no_logit(float x) {
    u32 bits = as_bits(x);
    return (bits & 0x7fffffffu) >= 0x7f800000u && bits != 0xff800000u;
}

FUNCTION int comes_before(u32 rank, int at, u32 other, int other_at) {
    return rank > other || (rank == other && at < other_at);
}

// The first after `last` of what lies from `from` to `to`, every `LARGEST_THREADS`th value of it being the thread's. With `has_places`,
// values are those at the places that lie there, -1 for none. Every thread makes the same number of rounds: see EACH_EXPERT.
FUNCTION Ranked next_of_thread(GLOBAL const float *row, GLOBAL const int *places, int has_places, int from, int to, int t,
                               Ranked last) {
    Ranked best;
    best.rank = NOTHING;
    best.at = -1;
    for (int base = from; base < to; base += LARGEST_THREADS) {
        int i = base + t;
        int at = i >= to ? -1 : (has_places ? places[i] : i);
        if (at >= 0) {
            u32 rank = rank_of(row[at]);
            if (comes_before(last.rank, last.at, rank, at) && rank > NOTHING &&
                (best.at < 0 || comes_before(rank, at, best.rank, best.at))) {
                best.rank = rank;
                best.at = at;
            }
        }
    }
    return best;
}

// Which of a node's two children won. Leaves are threads, and come after the LARGEST_THREADS - 1 nodes above them; node 1 is the root.
FUNCTION void play(LOCAL int *winners, LOCAL u32 *ranks, LOCAL int *ats, int node) {
    int left = 2 * node, right = 2 * node + 1;
    left = left >= LARGEST_THREADS ? left - LARGEST_THREADS : winners[left];
    right = right >= LARGEST_THREADS ? right - LARGEST_THREADS : winners[right];
    winners[node] = comes_before(ranks[right], ats[right], ranks[left], ats[left]) ? right : left;
}

// Writes the places of the `count` largest to `list`, `step` apart, and -1 where there are no more. A tournament: who wins brings
// the next value of its own, and plays its games again.
FUNCTION void list_largest(GLOBAL const float *row, GLOBAL const int *places, int has_places, int from, int to, int count,
                           GLOBAL int *list, int step, LOCAL int *winners, LOCAL u32 *ranks, LOCAL int *ats, int t) {
    Ranked mine;
    mine.rank = 0xffffffffu;
    mine.at = -1;
    mine = next_of_thread(row, places, has_places, from, to, t, mine);
    ranks[t] = mine.rank;
    ats[t] = mine.at;
    BARRIER();
    for (int nodes = LARGEST_THREADS / 2; nodes > 0; nodes /= 2) {
        if (t < nodes) play(winners, ranks, ats, nodes + t);
        BARRIER();
    }
    for (int k = 0; k < count; k++) {
        int winner = winners[1];
        if (t == 0) list[k * step] = ranks[winner] > NOTHING ? ats[winner] : -1;
        BARRIER();
        if (t == winner && k + 1 < count) {
            mine = next_of_thread(row, places, has_places, from, to, t, mine);
            ranks[t] = mine.rank;
            ats[t] = mine.at;
            for (int node = (LARGEST_THREADS + t) / 2; node > 0; node /= 2) play(winners, ranks, ats, node);
        }
        BARRIER();
    }
}

// What values from `from` to `to` weigh beside `most`, the largest of them, at a temperature: the sum of e^((value - most) / temperature), which
// thread 0 gets.
FUNCTION float mass_of(GLOBAL const float *row, int from, int to, float most, float temperature, LOCAL float *room, int t) {
    float sum = 0.0f;
    for (int base = from; base < to; base += LARGEST_THREADS) {
        int i = base + t;
        if (i < to) sum += EXP((row[i] - most) / temperature);
    }
    room[t] = sum;
    BARRIER();
    for (int half_of = LARGEST_THREADS / 2; half_of > 0; half_of /= 2) {
        if (t < half_of) room[t] += room[t + half_of];
        BARRIER();
    }
    return room[0];
}

// The largest of each part of a row, `part` values long: groups are [parts, rows]. `faults` says of each part whether it has what is
// no logit, `masses` what it weighs. The rows' temperatures lie in `step` from `at` on; those of 0 are not weighed.
KERNEL(largest_of_parts)(IN(float, x), IN(int, step), OUT(int, places), OUT(int, faults), OUT(float, masses), INT(width), INT(part),
                         INT(count), INT(at) IDS) {
    SHARED(float, room, LARGEST_THREADS);
    SHARED(int, winners, LARGEST_THREADS);
    SHARED(u32, ranks, LARGEST_THREADS);
    SHARED(int, ats, LARGEST_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), index = GROUP(1) * GROUPS(0) + GROUP(0);
    GLOBAL const float *row = x + (u64)GROUP(1) * (u64)width;
    int from = GROUP(0) * part, to = from + part < width ? from + part : width;
    int wrong = 0;
    for (int base = from; base < to; base += LARGEST_THREADS) {
        int i = base + t;
        if (i < to) wrong |= is_no_logit(row[i]);
    }
    ats[t] = wrong;
    BARRIER();
    for (int half_of = LARGEST_THREADS / 2; half_of > 0; half_of /= 2) {
        if (t < half_of) ats[t] |= ats[t + half_of];
        BARRIER();
    }
    if (t == 0) faults[index] = ats[0];
    BARRIER();
    list_largest(row, places, 0, from, to, count, places + index * count, 1, winners, ranks, ats, t);
    float temperature = as_float_bits((u32)step[at + GROUP(1)]);
    int first = places[index * count];
    float mass = 0.0f;
    if (temperature > 0.0f && first >= 0) mass = mass_of(row, from, to, row[first], temperature, room, t);
    if (t == 0) masses[index] = mass;
}

// The largest of a row, of those of its parts: a group per row. What comes out of a row is whether it has what is no logit, the bits of its
// mass, then places and the bits of the values there in turn.
KERNEL(largest_of_rows)(IN(float, x), IN(int, step), IN(int, places), IN(int, faults), IN(float, masses), OUT(int, found), INT(width),
                        INT(parts), INT(count), INT(at) IDS) {
    SHARED(int, winners, LARGEST_THREADS);
    SHARED(u32, ranks, LARGEST_THREADS);
    SHARED(int, ats, LARGEST_THREADS);
    WAIT_FOR_EARLIER();
    int t = THREAD(0), r = GROUP(0);
    GLOBAL const float *row = x + (u64)r * (u64)width;
    GLOBAL int *out = found + r * (2 + 2 * count);
    if (t == 0) {
        int wrong = 0;
        for (int i = 0; i < parts; i++) wrong |= faults[r * parts + i];
        out[0] = wrong;
    }
    int all = parts * count;
    list_largest(row, places + r * all, 1, 0, all, count, out + 2, 2, winners, ranks, ats, t);
    BARRIER();
    if (t == 0) {
        float temperature = as_float_bits((u32)step[at + r]), mass = 0.0f;
        for (int i = 0; i < parts && out[2] >= 0; i++) {
            int first = places[(r * parts + i) * count];
            if (temperature > 0.0f && first >= 0) mass += masses[r * parts + i] * EXP((row[first] - row[out[2]]) / temperature);
        }
        out[1] = (int)as_bits(mass);
    }
    for (int base = 0; base < count; base += LARGEST_THREADS) {
        int k = base + t;
        if (k < count) {
            int place = out[2 + 2 * k];
            out[3 + 2 * k] = place < 0 ? 0 : (int)as_bits(row[place]);
        }
    }
}
