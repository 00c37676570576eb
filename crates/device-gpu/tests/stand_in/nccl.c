// Stands in for NCCL beside cuda.c, whose memory is the host's: sums are made when a group ends, as NCCL's are started then.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *handle;

static struct {
    const float *from;
    float *to;
    size_t count;
    int member;
    handle stream;
} asked[16];
static int length, groups, failing;
static char written[1 << 16];

static void put(const char *text, int a, int b) {
    size_t used = strlen(written);
    snprintf(written + used, sizeof(written) - used, "%s %d %d\n", text, a, b);
}

const char *stand_in_calls(void) { return written; }
void stand_in_fail(int status) { failing = status; }

int ncclGetVersion(int *out) {
    *out = 22703;
    return 0;
}
const char *ncclGetErrorString(int status) { return status == 5 ? "invalid usage" : "unhandled system error"; }

int ncclCommInitAll(handle *out, int count, const int *devices) {
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < i; j++) {
            if (devices[i] == devices[j]) { return 5; }
        }
        int *member = malloc(sizeof(int));
        *member = devices[i];
        out[i] = member;
        put("join", devices[i], count);
    }
    return 0;
}
int ncclCommDestroy(handle which) {
    put("leave", *(int *)which, 0);
    free(which);
    return 0;
}
int ncclGroupStart(void) { return groups++ ? 5 : 0; }

int ncclAllReduce(const void *from, void *to, size_t count, int type, int what, handle member, handle stream) {
    if (groups != 1 || type != 7 || what != 0) { return 5; }
    if (failing) {
        int status = failing;
        failing = 0;
        return status;
    }
    asked[length].from = from;
    asked[length].to = to;
    asked[length].count = count;
    asked[length].member = *(int *)member;
    asked[length].stream = stream;
    length++;
    return 0;
}
int ncclGroupEnd(void) {
    size_t count = length ? asked[0].count : 0;
    float *sum = calloc(count + 1, sizeof(float));
    for (int i = 0; i < length; i++) {
        put("sum", asked[i].member, (int)asked[i].count);
        for (size_t k = 0; k < count; k++) { sum[k] += asked[i].from[k]; }
    }
    for (int i = 0; i < length; i++) { memcpy(asked[i].to, sum, count * sizeof(float)); }
    free(sum);
    length = 0;
    return groups-- == 1 ? 0 : 5;
}
