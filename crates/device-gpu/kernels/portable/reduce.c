// Sums and maxima over the threads of a group, whose number is a power of two. All threads call; all get the result, and all see what
// any wrote before. Where threads run in waves (WAVE of them, a divisor of the group), each wave reduces by itself first.
#ifdef WAVE
FUNCTION float group_sum(float value, LOCAL float *room, int t, int threads) {
    float sum = wave_sum(value);
    if (threads > WAVE) {
        if (t % WAVE == 0) room[t / WAVE] = sum;
        BARRIER();
        sum = room[0];
        for (int wave = 1; wave < threads / WAVE; wave++) sum += room[wave];
    }
    BARRIER();
    return sum;
}

FUNCTION float group_max(float value, LOCAL float *room, int t, int threads) {
    float most = wave_max(value);
    if (threads > WAVE) {
        if (t % WAVE == 0) room[t / WAVE] = most;
        BARRIER();
        most = room[0];
        for (int wave = 1; wave < threads / WAVE; wave++) most = FMAX(most, room[wave]);
    }
    BARRIER();
    return most;
}
#else
FUNCTION float group_sum(float value, LOCAL float *room, int t, int threads) {
    room[t] = value;
    BARRIER();
    for (int half_of = threads / 2; half_of > 0; half_of /= 2) {
        if (t < half_of) room[t] += room[t + half_of];
        BARRIER();
    }
    float result = room[0];
    BARRIER();
    return result;
}

FUNCTION float group_max(float value, LOCAL float *room, int t, int threads) {
    room[t] = value;
    BARRIER();
    for (int half_of = threads / 2; half_of > 0; half_of /= 2) {
        if (t < half_of) room[t] = FMAX(room[t], room[t + half_of]);
        BARRIER();
    }
    float result = room[0];
    BARRIER();
    return result;
}
#endif

// Which of the values is the largest, the first of equal ones. `room` and `index` have a place per thread.
FUNCTION int group_argmax(float value, int at, LOCAL float *room, LOCAL int *index, int t, int threads) {
    room[t] = value;
    index[t] = at;
    BARRIER();
    for (int half_of = threads / 2; half_of > 0; half_of /= 2) {
        if (t < half_of) {
            float mine = room[t], other = room[t + half_of];
            int i = index[t], j = index[t + half_of];
            if (other > mine || (other == mine && j < i)) {
                room[t] = other;
                index[t] = j;
            }
        }
        BARRIER();
    }
    int result = index[0];
    BARRIER();
    return result;
}
