// Sums and maxima over the threads of a group, whose number is a power of two. All threads call; all get the result.
FUNCTION float group_sum(float value, LOCAL float *room, int thread, int threads) {
    room[thread] = value;
    BARRIER();
    for (int half_of = threads / 2; half_of > 0; half_of /= 2) {
        if (thread < half_of) room[thread] += room[thread + half_of];
        BARRIER();
    }
    float result = room[0];
    BARRIER();
    return result;
}

FUNCTION float group_max(float value, LOCAL float *room, int thread, int threads) {
    room[thread] = value;
    BARRIER();
    for (int half_of = threads / 2; half_of > 0; half_of /= 2) {
        if (thread < half_of) room[thread] = FMAX(room[thread], room[thread + half_of]);
        BARRIER();
    }
    float result = room[0];
    BARRIER();
    return result;
}

// Which of the values is the largest, the first of equal ones. `room` and `index` have a place per thread.
FUNCTION int group_argmax(float value, int at, LOCAL float *room, LOCAL int *index, int thread, int threads) {
    room[thread] = value;
    index[thread] = at;
    BARRIER();
    for (int half_of = threads / 2; half_of > 0; half_of /= 2) {
        if (thread < half_of) {
            float mine = room[thread], other = room[thread + half_of];
            int i = index[thread], j = index[thread + half_of];
            if (other > mine || (other == mine && j < i)) {
                room[thread] = other;
                index[thread] = j;
            }
        }
        BARRIER();
    }
    int result = index[0];
    BARRIER();
    return result;
}
