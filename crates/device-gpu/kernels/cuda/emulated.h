// What intrinsics.cu and hopper.cu do, on a CPU: stands in their place where kernels are tested (see prelude/emulate.h).
#define DYNAMIC_SHARED(name) u8 *name = emulator::dynamic_memory
#define BLOCK_LEN 32
#define KERNEL_WITHIN(limits, name) extern "C" __global__ void limits name

struct alignas(16) Words4 {
    u32 x, y, z, w;
};
struct alignas(8) Words2 {
    u32 x, y;
};
struct Float4 {
    float x, y, z, w;
};
struct alignas(8) Float2 {
    float x, y;
};

#if __CUDA_ARCH__ >= 800
// Copies happen when they are waited for, not before: what reads too early finds what was there.
struct PendingCopies {
    struct Copy {
        void *to;
        const void *from;
        int group;
    };
    Copy copies[4096];
    int first, count, group;
};
static PendingCopies pending_copies[emulator::MOST_THREADS];
static PendingCopies &my_copies() { return pending_copies[emulator::current->number]; }

static void copy_async16(void *to, const void *from) {
    if ((u64)to % 16 || (u64)from % 16) emulator::failure = "a copy of 16 bytes that is not aligned";
    PendingCopies &mine = my_copies();
    if (mine.count - mine.first == 4096) emulator::failure = "too many copies on their way";
    mine.copies[mine.count++ % 4096] = {to, from, mine.group};
}
static void copy_async16_if(int wanted, void *to, const void *from) {
    if (wanted) copy_async16(to, from);
}
static void copies_commit() { my_copies().group++; }
template <int LEFT> static void copies_wait() {
    PendingCopies &mine = my_copies();
    while (mine.first < mine.count && mine.copies[mine.first % 4096].group < mine.group - LEFT) {
        PendingCopies::Copy &copy = mine.copies[mine.first++ % 4096];
        memcpy(copy.to, copy.from, 16);
    }
    if (mine.first == mine.count) mine.first = mine.count = 0;
}
#endif

static void warp_sync() { __syncwarp(); }
static void part_barrier(int which, int threads) { emulator::arrive(emulator::barriers[which], threads); }
static float warp_xor(float x, int lanes) { return __shfl_xor_sync(0xffffffffu, x, lanes); }

static u32 pack_halves(float first, float second) { return (u32)to_half(first) | (u32)to_half(second) << 16; }
static float lower_half(u32 pair) { return from_half((u16)pair); }
static float upper_half(u32 pair) { return from_half((u16)(pair >> 16)); }
static u32 halves_add(u32 a, u32 b) { return pack_halves(lower_half(a) + lower_half(b), upper_half(a) + upper_half(b)); }
static u32 halves_mul(u32 a, u32 b) { return pack_halves(lower_half(a) * lower_half(b), upper_half(a) * upper_half(b)); }
static u32 halves_fma(u32 a, u32 b, u32 c) {
    return pack_halves(fmaf(lower_half(a), lower_half(b), lower_half(c)), fmaf(upper_half(a), upper_half(b), upper_half(c)));
}
static u32 pick_bytes(u32 a, u32 b, u32 which) { return __byte_perm(a, b, which); }

static float half_of_words(const u32 *words, int i) { return from_half((u16)(words[i / 2] >> 16 * (i % 2))); }

// Eights of depth.
template <int EIGHTS> static void multiply_16x8(float *c, const u32 *a, const u32 *b) {
    u32 everyone_a[32][2 * EIGHTS], everyone_b[32][EIGHTS];
    for (int i = 0; i < 2 * EIGHTS; i++) {
        const emulator::wide *slots = emulator::meet(0xffffffffu, a[i]);
        for (int lane = 0; lane < 32; lane++) everyone_a[lane][i] = (u32)slots[lane];
    }
    for (int i = 0; i < EIGHTS; i++) {
        const emulator::wide *slots = emulator::meet(0xffffffffu, b[i]);
        for (int lane = 0; lane < 32; lane++) everyone_b[lane][i] = (u32)slots[lane];
    }
    int g = emulator::lane() / 4, t = emulator::lane() % 4;
    for (int i = 0; i < 4; i++) {
        int row = g + 8 * (i / 2), column = 2 * t + i % 2;
        float sum = c[i];
        for (int k = 0; k < 8 * EIGHTS; k++) {
            float left = half_of_words(everyone_a[row % 8 * 4 + k % 8 / 2] + row / 8 + k / 8 * 2, k % 2);
            float right = half_of_words(everyone_b[column * 4 + k % 8 / 2] + k / 8, k % 2);
            sum += left * right;
        }
        c[i] = sum;
    }
}
#if __CUDA_ARCH__ >= 800
static void multiply_16x8x16(float *c, const u32 *a, u32 b0, u32 b1) {
    u32 b[2] = {b0, b1};
    multiply_16x8<2>(c, a, b);
}
#else
static void multiply_16x8x8(float *c, u32 a0, u32 a1, u32 b) {
    u32 a[2] = {a0, a1};
    multiply_16x8<1>(c, a, &b);
}
#endif

static void load_rows(u32 *d, const void *row, bool transposed) {
    const emulator::wide *slots = emulator::meet(0xffffffffu, (emulator::wide)row);
    int g = emulator::lane() / 4, t = emulator::lane() % 4;
    for (int i = 0; i < 4; i++) {
        const u16 *rows[8];
        for (int r = 0; r < 8; r++) {
            rows[r] = (const u16 *)slots[8 * i + r];
            if ((u64)rows[r] % 16) emulator::failure = "a row of a matrix that is not aligned";
        }
        d[i] = transposed ? (u32)rows[2 * t][g] | (u32)rows[2 * t + 1][g] << 16 : (u32)rows[g][2 * t] | (u32)rows[g][2 * t + 1] << 16;
    }
}
static void load_matrices(u32 *d, const void *row) { load_rows(d, row, false); }
static void load_matrices_transposed(u32 *d, const void *row) { load_rows(d, row, true); }

static float exp2_of(float x) { return exp2f(x); }
static int count_arrival(int *counter) { return atomicAdd(counter, 1); }
static void see_arrivals() {}
static float load_shared_result(const float *at) { return *at; }
static Float4 load_floats(const float *at) {
    if ((u64)at % 16) emulator::failure = "a load of 16 bytes that is not aligned";
    return *(const Float4 *)at;
}
static Words4 load_words(const u16 *at) {
    if ((u64)at % 16) emulator::failure = "a load of 16 bytes that is not aligned";
    return *(const Words4 *)at;
}

static void prefetch_line(const u16 *) {}

static int own_warp() { return emulator::current->number / 32; }
static void add_to(float *at, float x) { *at += x; }
static void add_pair_to(float *at, float a, float b) {
    at[0] += a;
    at[1] += b;
}
static float inverse_root(float x) { return 1.0f / sqrtf(x); }
static float quotient(float a, float b) { return a / b; }
static Float4 load_floats_if(int wanted, const float *at) {
    Float4 nothing = {0.0f, 0.0f, 0.0f, 0.0f};
    return wanted ? load_floats(at) : nothing;
}

// A barrier in memory: bit 0 its phase, then arrivals expected, arrivals missing, bytes missing.
struct MemoryBarrier {
    u32 phase : 1, expected : 15, missing : 16;
    int bytes;
};
static void barrier_init(u64 *barrier, int count) { *(MemoryBarrier *)barrier = {0, (u32)count, (u32)count, 0}; }
static void barriers_are_visible() {}
static void barrier_step(MemoryBarrier &barrier) {
    if (barrier.missing || barrier.bytes) return;
    barrier.phase ^= 1;
    barrier.missing = barrier.expected;
}
static void barrier_arrive(u64 *at) {
    MemoryBarrier &barrier = *(MemoryBarrier *)at;
    barrier.missing--;
    barrier_step(barrier);
}
static void barrier_expect(u64 *at, int bytes) {
    ((MemoryBarrier *)at)->bytes += bytes;
    barrier_arrive(at);
}
static void barrier_wait(u64 *at, int parity) {
    for (int turns = 0; (int)((volatile MemoryBarrier *)at)->phase == parity && !emulator::failure; turns++) {
        if (turns == 1 << 20) emulator::failure = "a barrier in memory that nobody completes";
        emulator::leave();
    }
}
static void copy_bulk(void *to, const void *from, int bytes, u64 *at) {
    if ((u64)to % 16 || (u64)from % 16 || bytes % 16) emulator::failure = "a copy in bulk that is not aligned";
    memcpy(to, from, bytes);
    MemoryBarrier &barrier = *(MemoryBarrier *)at;
    barrier.bytes -= bytes;
    barrier_step(barrier);
}
static void products_begin() {}
static void products_commit() {}
template <int LEFT> static void products_wait() {}

// An operand of wgmma with chunks swapped over 128 bytes, 8 rows every 1024 bytes; the address in place of its descriptor, over 16.
static u64 operand(const u8 *at) { return (u64)at >> 4; }
static float operand_value(u64 operand, int row, int k) {
    u64 at = (operand << 4) + (u64)(row / 8 * 1024 + row % 8 * 128 + 2 * k);
    at ^= (at >> 7 & 7) << 4;
    return from_half(*(const u16 *)at);
}
static void multiply_64(float *c, u64 a, u64 b, int columns) {
    int warp = emulator::current->number / 32 % 4, g = emulator::lane() / 4, t = emulator::lane() % 4;
    for (int n = 0; n < columns / 8; n++)
        for (int i = 0; i < 4; i++)
            for (int k = 0; k < 16; k++)
                c[4 * n + i] += operand_value(a, 16 * warp + g + i / 2 * 8, k) * operand_value(b, 8 * n + 2 * t + i % 2, k);
}
static void multiply_64x128x16(float *c, u64 a, u64 b) { multiply_64(c, a, b, 128); }
static void multiply_64x256x16(float *c, u64 a, u64 b) { multiply_64(c, a, b, 256); }
