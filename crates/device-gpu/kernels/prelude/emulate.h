// CUDA C++ on a CPU, for tests: stands before the prelude of CUDA (C++20, g++ or clang++). It says what kernels compute, not how fast.
//
// The groups of a launch run one after the other, the threads of a group as fibers that change only where they wait for each
// other. What CUDA leaves undefined is an error here where it can be seen: threads that wait for others that never come,
// arguments of another kind than the kernel declares, a stack that overflows. Shared memory begins as NaN in every group, and
// the order of threads alternates from group to group, so that a missing barrier shows.
#define TORCHLESS_EMULATED 1
#include <math.h>
#include <string.h>
#include <type_traits>
#include <utility>

#define __device__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __global__
#define __host__
#define __restrict__ __restrict
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(...)
#define __maxnreg__(...)
#define __grid_constant__
// All shared variables lie in one section, so that they can be found and filled.
#define __shared__ static __attribute__((section("torchless_shared")))

struct uint3 {
    unsigned x, y, z;
};
typedef uint3 dim3;

namespace emulator {
typedef unsigned int word;
typedef unsigned long long wide;
#ifdef WAVE_LANES
constexpr int LANES = WAVE_LANES;
#else
constexpr int LANES = 32;
#endif
constexpr word STACK_MARK = 0x5afec0de;

// What the host hands over with a launch.
struct Shape {
    uint3 groups, threads;
    word local_bytes;
    word stack_bytes;
    unsigned char *local;
    unsigned char *stacks;
    char *message;
    wide message_bytes;
};

// Lanes of a warp that wait for each other. A lane is at most one meeting ahead of another, hence two sets of slots.
struct Meeting {
    wide mask, arrived;
    word round;
    wide slots[2][LANES];
};

struct Fiber {
    void *stack_pointer;
    // Runs again once `*awaited` is no longer `seen`.
    const volatile word *awaited;
    word seen;
    bool done;
    uint3 index;
    word number;
};

struct Warp {
    wide alive;
    Meeting meetings[4];
};

struct Barrier {
    word arrived, expected, round;
};

constexpr word MOST_THREADS = 1024;
static Fiber fibers[MOST_THREADS];
static Warp warps[MOST_THREADS / LANES];
static Barrier barriers[16];
static Fiber *current;
static void *scheduler;
static uint3 group, threads_of_group, groups_of_grid;
static word threads, alive;
static unsigned char *dynamic_memory;
static word dynamic_bytes;
static void (*body)(void *);
static void *body_argument;
static const char *failure;

// Changes stacks: what must survive a call is kept on the old one.
extern "C" void torchless_switch(void **from, void *to) __attribute__((visibility("hidden")));
#if defined(__x86_64__)
asm(R"(
.text
.globl torchless_switch
.hidden torchless_switch
.type torchless_switch, @function
torchless_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size torchless_switch, . - torchless_switch
)");
static void *first_frame(unsigned char *end, void (*entry)()) {
    void **frame = (void **)((wide)end & ~(wide)15);
    *--frame = nullptr;
    *--frame = (void *)entry;
    for (int i = 0; i < 6; i++) *--frame = nullptr;
    return frame;
}
#elif defined(__aarch64__)
asm(R"(
.text
.globl torchless_switch
.hidden torchless_switch
.type torchless_switch, %function
torchless_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size torchless_switch, . - torchless_switch
)");
static void *first_frame(unsigned char *end, void (*entry)()) {
    void **frame = (void **)((wide)end & ~(wide)15) - 20;
    for (int i = 0; i < 20; i++) frame[i] = nullptr;
    frame[11] = (void *)entry;
    return frame;
}
#else
#error "fibers are written for x86-64 and AArch64"
#endif

static void leave() { torchless_switch(&current->stack_pointer, scheduler); }

// Until `*awaited` changes.
static void wait_for_change(const volatile word *awaited) {
    current->awaited = awaited;
    current->seen = *awaited;
    leave();
}

static void complete(Meeting &meeting) {
    meeting.arrived = 0;
    meeting.mask = 0;
    meeting.round++;
}

// The lanes of `mask` give a value each, and get all of them once all are there. Exited lanes are not waited for.
static const wide *meet(wide mask, wide value) {
    Warp &warp = warps[current->number / LANES];
    word lane = current->number % LANES;
    Meeting *meeting = nullptr;
    for (Meeting &open : warp.meetings)
        if (open.mask == mask) meeting = &open;
    for (Meeting &open : warp.meetings)
        if (!meeting && open.mask == 0) meeting = &open;
    if (!meeting || !(mask >> lane & 1)) {
        failure = "a lane that is not in its own mask, or too many masks at once";
        for (;;) leave();
    }
    meeting->mask = mask;
    wide *slots = meeting->slots[meeting->round & 1];
    slots[lane] = value;
    meeting->arrived |= (wide)1 << lane;
    if (meeting->arrived == (mask & warp.alive)) complete(*meeting);
    else wait_for_change(&meeting->round);
    return slots;
}

static void arrive(Barrier &barrier, word expected) {
    barrier.expected = expected;
    if (++barrier.arrived == expected) {
        barrier.arrived = 0;
        barrier.round++;
    } else {
        wait_for_change(&barrier.round);
    }
}

// Those that wait may have waited for this one alone.
static void exit_thread() {
    Warp &warp = warps[current->number / LANES];
    alive--;
    warp.alive &= ~((wide)1 << current->number % LANES);
    for (Meeting &open : warp.meetings)
        if (open.mask && open.arrived == (open.mask & warp.alive)) complete(open);
    if (barriers[0].arrived && barriers[0].arrived == alive) {
        barriers[0].arrived = 0;
        barriers[0].round++;
    }
    current->done = true;
}

static void enter() {
    body(body_argument);
    exit_thread();
    for (;;) leave();
}

static void prepare(const Shape &shape) {
    alive = threads;
    memset(warps, 0, sizeof warps);
    memset(barriers, 0, sizeof barriers);
    for (word i = 0; i < threads; i++) {
        Fiber &fiber = fibers[i];
        unsigned char *stack = shape.stacks + (wide)i * shape.stack_bytes;
        *(word *)stack = STACK_MARK;
        fiber.stack_pointer = first_frame(stack + shape.stack_bytes, enter);
        fiber.awaited = nullptr;
        fiber.done = false;
        fiber.number = i;
        uint3 size = shape.threads;
        fiber.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
        warps[i / LANES].alive |= (wide)1 << i % LANES;
    }
}

static void run_group(const Shape &shape, bool backwards) {
    prepare(shape);
    while (alive > 0 && !failure) {
        bool moved = false;
        for (word n = 0; n < threads && !failure; n++) {
            word i = backwards ? threads - 1 - n : n;
            Fiber &fiber = fibers[i];
            if (fiber.done || (fiber.awaited && *fiber.awaited == fiber.seen)) continue;
            fiber.awaited = nullptr;
            current = &fiber;
            torchless_switch(&scheduler, fiber.stack_pointer);
            moved = true;
            if (*(word *)(shape.stacks + (wide)i * shape.stack_bytes) != STACK_MARK) failure = "a stack overflowed";
        }
        if (!moved) failure = "threads wait for others that never come";
    }
}

extern "C" unsigned char __start_torchless_shared[] __attribute__((weak, visibility("hidden")));
extern "C" unsigned char __stop_torchless_shared[] __attribute__((weak, visibility("hidden")));

static void fill_shared(const Shape &shape) {
    if (__start_torchless_shared) memset(__start_torchless_shared, 0xff, __stop_torchless_shared - __start_torchless_shared);
    if (shape.local_bytes) memset(shape.local, 0xff, shape.local_bytes);
}

static void report(const Shape &shape) {
    const char *text = failure;
    wide n = strlen(text);
    if (n >= shape.message_bytes) n = shape.message_bytes - 1;
    memcpy(shape.message, text, n);
    shape.message[n] = 0;
}

static bool run_grid(const Shape &shape) {
    static word launches;
    failure = nullptr;
    threads = shape.threads.x * shape.threads.y * shape.threads.z;
    threads_of_group = shape.threads;
    groups_of_grid = shape.groups;
    dynamic_memory = shape.local;
    dynamic_bytes = shape.local_bytes;
    if (threads == 0 || threads > MOST_THREADS) failure = "a group of no thread, or of more than 1024";
    word n = launches++;
    for (group.z = 0; group.z < shape.groups.z; group.z++)
        for (group.y = 0; group.y < shape.groups.y; group.y++)
            for (group.x = 0; group.x < shape.groups.x && !failure; group.x++) {
                fill_shared(shape);
                run_group(shape, n++ & 1);
            }
    if (failure) report(shape);
    return !failure;
}

// Pointers are kind 0, `int` is kind 1, `float` is kind 2.
template <class A> constexpr int kind_of = std::is_pointer_v<A> ? 0 : std::is_same_v<A, int> ? 1 : std::is_same_v<A, float> ? 2 : 3;

template <class... A, unsigned long... I>
static bool run_with(void (*kernel)(A...), const Shape &shape, void **arguments, std::index_sequence<I...>) {
    auto call = [&] { kernel(*(std::remove_cv_t<A> *)arguments[I]...); };
    body = [](void *call_of) { (*(decltype(call) *)call_of)(); };
    body_argument = &call;
    return run_grid(shape);
}

template <class... A>
static bool launch(void (*kernel)(A...), const Shape &shape, void **arguments, const int *kinds, int count) {
    const int declared[] = {kind_of<A>..., -1};
    failure = count == (int)sizeof...(A) ? nullptr : "another number of arguments than the kernel declares";
    for (int i = 0; i < count && !failure; i++)
        if (declared[i] != kinds[i]) failure = "an argument of another kind than the kernel declares";
    if (failure) {
        report(shape);
        return false;
    }
    return run_with(kernel, shape, arguments, std::index_sequence_for<A...>());
}

template <class T> static wide to_wide(T value) {
    static_assert(sizeof(T) <= 8);
    wide bits = 0;
    memcpy(&bits, &value, sizeof(T));
    return bits;
}
template <class T> static T from_wide(wide bits) {
    T value;
    memcpy(&value, &bits, sizeof(T));
    return value;
}
static word lane() { return current->number % LANES; }

// The value of lane `from`, or of this one where the shuffle reaches outside its segment.
template <class T> static T shuffle(wide mask, T value, word from, bool inside) {
    const wide *slots = meet(mask, to_wide(value));
    if (inside && !(mask >> from & 1)) failure = "a shuffle from a lane outside its mask";
    return inside ? from_wide<T>(slots[from]) : value;
}
} // namespace emulator

#define threadIdx (emulator::current->index)
#define blockIdx (emulator::group)
#define blockDim (emulator::threads_of_group)
#define gridDim (emulator::groups_of_grid)
#define warpSize 32

static void __syncthreads() { emulator::arrive(emulator::barriers[0], emulator::alive); }
static void __syncwarp(unsigned mask = 0xffffffffu) { emulator::meet(mask, 0); }
static void __threadfence() {}
static void __threadfence_block() {}

template <class T> static T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
    unsigned start = emulator::lane() & ~(unsigned)(width - 1);
    return emulator::shuffle(mask, value, start | (from & (width - 1)), true);
}
template <class T> static T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    unsigned lane = emulator::lane(), from = lane ^ bits;
    return emulator::shuffle(mask, value, from & 31, from < (lane & ~(unsigned)(width - 1)) + width);
}
template <class T> static T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    unsigned lane = emulator::lane();
    return emulator::shuffle(mask, value, (lane + by) & 31, (lane & (width - 1)) + by < (unsigned)width);
}
template <class T> static T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    unsigned lane = emulator::lane();
    return emulator::shuffle(mask, value, (lane - by) & 31, (lane & (width - 1)) >= by);
}
static unsigned __ballot_sync(unsigned mask, int predicate) {
    const emulator::wide *slots = emulator::meet(mask, predicate != 0);
    unsigned alive = emulator::warps[emulator::current->number / 32].alive, bits = 0;
    for (int i = 0; i < 32; i++)
        if (mask & alive & 1u << i) bits |= (unsigned)slots[i] << i;
    return bits;
}
static int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
static int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
static unsigned __activemask() { return emulator::warps[emulator::current->number / 32].alive; }
template <class T, class Join> static T torchless_reduce(unsigned mask, T value, Join join) {
    const emulator::wide *slots = emulator::meet(mask, emulator::to_wide(value));
    bool first = true;
    T total = value;
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1)) continue;
        T other = emulator::from_wide<T>(slots[i]);
        total = first ? other : join(total, other);
        first = false;
    }
    return total;
}
template <class T> static T __reduce_add_sync(unsigned mask, T value) {
    return torchless_reduce(mask, value, [](T a, T b) { return a + b; });
}
template <class T> static T __reduce_max_sync(unsigned mask, T value) {
    return torchless_reduce(mask, value, [](T a, T b) { return a > b ? a : b; });
}
template <class T> static T __reduce_min_sync(unsigned mask, T value) {
    return torchless_reduce(mask, value, [](T a, T b) { return a < b ? a : b; });
}

static unsigned __float_as_uint(float x) { return emulator::from_wide<unsigned>(emulator::to_wide(x)); }
static int __float_as_int(float x) { return (int)__float_as_uint(x); }
static float __uint_as_float(unsigned x) { return emulator::from_wide<float>(x); }
static float __int_as_float(int x) { return __uint_as_float((unsigned)x); }
static int __popc(unsigned x) { return __builtin_popcount(x); }
static int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static int __ffs(int x) { return __builtin_ffs(x); }
static float rsqrtf(float x) { return 1.0f / sqrtf(x); }
// The system's header has these names for itself.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
static float __fdividef(float a, float b) { return a / b; }
static float __frcp_rn(float x) { return 1.0f / x; }
static float __fmul_rn(float a, float b) { return a * b; }
static float __fadd_rn(float a, float b) { return a + b; }
static float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static int __float2int_rn(float x) { return (int)rintf(x); }
static float __int2float_rn(int x) { return (float)x; }
template <class A, class B> static std::common_type_t<A, B> min(A a, B b) { return b < a ? b : a; }
template <class A, class B> static std::common_type_t<A, B> max(A a, B b) { return a < b ? b : a; }
template <class T> static T __ldg(const T *at) { return *at; }
template <class T> static T __ldcs(const T *at) { return *at; }
template <class T> static T __ldcg(const T *at) { return *at; }

static int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; i++) c += (int)(signed char)(a >> 8 * i) * (int)(signed char)(b >> 8 * i);
    return c;
}
static unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
    for (int i = 0; i < 4; i++) c += (a >> 8 * i & 255) * (b >> 8 * i & 255);
    return c;
}
// Each digit of the selector picks one of eight bytes; its highest bit spreads that byte's sign.
static unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    unsigned long long bytes = (unsigned long long)b << 32 | a;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = selector >> 4 * i & 15, byte = (unsigned)(bytes >> 8 * (digit & 7)) & 255;
        if (digit & 8) byte = byte & 128 ? 255 : 0;
        out |= byte << 8 * i;
    }
    return out;
}
static unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
    return (unsigned)(((unsigned long long)high << 32 | low) >> (by & 31));
}
static unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
    return (unsigned)(((unsigned long long)high << 32 | low) << (by & 31) >> 32);
}
template <class Lane> static unsigned torchless_four(unsigned a, unsigned b, Lane lane) {
    unsigned out = 0;
    for (int i = 0; i < 4; i++) out |= (unsigned)(lane((signed char)(a >> 8 * i), (signed char)(b >> 8 * i)) & 255) << 8 * i;
    return out;
}
static unsigned __vsub4(unsigned a, unsigned b) {
    return torchless_four(a, b, [](int x, int y) { return x - y; });
}
static unsigned __vadd4(unsigned a, unsigned b) {
    return torchless_four(a, b, [](int x, int y) { return x + y; });
}
static unsigned __vsubss4(unsigned a, unsigned b) {
    return torchless_four(a, b, [](int x, int y) { return x - y > 127 ? 127 : x - y < -128 ? -128 : x - y; });
}
static unsigned __vcmpne4(unsigned a, unsigned b) {
    return torchless_four(a, b, [](int x, int y) { return x != y ? 255 : 0; });
}
static unsigned __vcmpeq4(unsigned a, unsigned b) {
    return torchless_four(a, b, [](int x, int y) { return x == y ? 255 : 0; });
}

// Groups run one after the other and threads change only where they wait: nothing can come between.
template <class T, class Join> static T torchless_atomic(T *at, Join join) {
    T old = *at;
    *at = join(old);
    return old;
}
template <class T, class V> static T atomicAdd(T *at, V value) {
    return torchless_atomic(at, [=](T old) { return (T)(old + (T)value); });
}
template <class T, class V> static T atomicSub(T *at, V value) {
    return torchless_atomic(at, [=](T old) { return (T)(old - (T)value); });
}
template <class T, class V> static T atomicMax(T *at, V value) {
    return torchless_atomic(at, [=](T old) { return old < (T)value ? (T)value : old; });
}
template <class T, class V> static T atomicMin(T *at, V value) {
    return torchless_atomic(at, [=](T old) { return (T)value < old ? (T)value : old; });
}
template <class T, class V> static T atomicOr(T *at, V value) {
    return torchless_atomic(at, [=](T old) { return (T)(old | (T)value); });
}
template <class T, class V> static T atomicExch(T *at, V value) {
    return torchless_atomic(at, [=](T) { return (T)value; });
}
template <class T, class V, class W> static T atomicCAS(T *at, V expected, W value) {
    return torchless_atomic(at, [=](T old) { return old == (T)expected ? (T)value : old; });
}
static unsigned atomicInc(unsigned *at, unsigned last) {
    return torchless_atomic(at, [=](unsigned old) { return old >= last ? 0 : old + 1; });
}

#define TORCHLESS_VECTOR(type, name, align)                                                                            \
    struct alignas(2 * align) name##2 {                                                                                \
        type x, y;                                                                                                     \
    };                                                                                                                 \
    struct alignas(4 * align > 16 ? 16 : 4 * align) name##4 {                                                          \
        type x, y, z, w;                                                                                               \
    };                                                                                                                 \
    static inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                            \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
TORCHLESS_VECTOR(float, float, 4)
TORCHLESS_VECTOR(int, int, 4)
TORCHLESS_VECTOR(unsigned, uint, 4)
TORCHLESS_VECTOR(unsigned short, ushort, 2)
TORCHLESS_VECTOR(unsigned char, uchar, 1)
TORCHLESS_VECTOR(signed char, char, 1)
