// Instructions of NVIDIA's processors as functions: copies that run beside the arithmetic, matrix products of a warp, pairs of
// halves in one word. An emulation replaces this part as a whole.
#define DYNAMIC_SHARED(name) extern __shared__ __align__(1024) u8 name[]
#define BLOCK_LEN 32
// A kernel with what its compiler has to keep within: KERNEL is defined anew by it before such a kernel.
#define KERNEL_WITHIN(limits, name) extern "C" __global__ void limits name

struct __align__(16) Words4 {
    u32 x, y, z, w;
};
struct __align__(8) Words2 {
    u32 x, y;
};
struct Float4 {
    float x, y, z, w;
};
struct __align__(8) Float2 {
    float x, y;
};

FUNCTION u32 shared_address(const void *at) { return (u32)__cvta_generic_to_shared(at); }

#if __CUDA_ARCH__ >= 800
// 16 bytes from global to shared memory, asynchronously. Groups of copies are waited for in order. turing.cu has what is older.
FUNCTION void copy_async16(void *to, const void *from) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from) : "memory");
}
// The same by those lanes alone for which `wanted` is not 0, without a branch.
FUNCTION void copy_async16_if(int wanted, void *to, const void *from) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.s32 p, %2, 0;\n@p cp.async.cg.shared.global.L2::128B [%0], [%1], 16;\n}" ::"r"(shared_address(to)),
                 "l"(from), "r"(wanted)
                 : "memory");
}
FUNCTION void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT>
FUNCTION void copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}
#endif

FUNCTION void warp_sync() { __syncwarp(); }
// A barrier among `threads` threads, whole warps; 0 is that of all threads.
FUNCTION void part_barrier(int which, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(which), "r"(threads) : "memory"); }
FUNCTION float warp_xor(float x, int lanes) { return __shfl_xor_sync(0xffffffffu, x, lanes); }

// Two halves in a word, the first one in the lower bits.
FUNCTION u32 pack_halves(float first, float second) {
    u32 pair;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
#else
    pair = (u32)to_half(first) | (u32)to_half(second) << 16;
#endif
    return pair;
}
FUNCTION u32 halves_add(u32 a, u32 b) {
    u32 d;
    asm("add.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
}
FUNCTION u32 halves_mul(u32 a, u32 b) {
    u32 d;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
}
FUNCTION u32 halves_fma(u32 a, u32 b, u32 c) {
    u32 d;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}
FUNCTION u32 pick_bytes(u32 a, u32 b, u32 which) { return __byte_perm(a, b, which); }
FUNCTION float lower_half(u32 pair) { return from_half((u16)pair); }
FUNCTION float upper_half(u32 pair) { return from_half((u16)(pair >> 16)); }

// c += a b: 16 rows, 8 columns, 16 deep. Lane 4 g + t holds of a: rows g, g + 8, g, g + 8 at depth 2 t (first two) and 2 t + 8; of b:
// column g at depth 2 t and 2 t + 8; of c: rows g, g, g + 8, g + 8 and columns 2 t, 2 t + 1, 2 t, 2 t + 1.
#if __CUDA_ARCH__ >= 800
FUNCTION void multiply_16x8x16(float *c, const u32 *a, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#else
// The same 8 deep: a lane holds of a rows g and g + 8, of b column g, each at depth 2 t.
FUNCTION void multiply_16x8x8(float *c, u32 a0, u32 a1, u32 b) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(b));
}
#endif

// Four matrices of 8 x 8 halves: lane 8 i + r gives the address of row r of matrix i. Lane 4 g + t gets row g, columns 2 t and 2 t + 1
// of each; of the transposed ones column g, rows 2 t and 2 t + 1.
FUNCTION void load_matrices(u32 *d, const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(shared_address(row))
                 : "memory");
}
FUNCTION void load_matrices_transposed(u32 *d, const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// 2^x, and the place in a count that other groups of the same launch share; what was written before it is seen by whoever counts after.
FUNCTION float exp2_of(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
FUNCTION int count_arrival(int *counter) {
    __threadfence();
    return atomicAdd(counter, 1);
}
FUNCTION void see_arrivals() { __threadfence(); }
// Past the first level of cache, which other multiprocessors' writes do not reach.
FUNCTION float load_shared_result(const float *at) {
    float x;
    asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(x) : "l"(at) : "memory");
    return x;
}
// The number of this thread's warp, known to be the same for all of it.
FUNCTION int own_warp() { return __shfl_sync(0xffffffffu, (int)threadIdx.x / 32, 0); }
// Adds to a place that nobody else adds to meanwhile, without waiting for what is there.
FUNCTION void add_to(float *at, float x) { asm volatile("red.relaxed.gpu.global.add.f32 [%0], %1;" ::"l"(at), "f"(x) : "memory"); }
FUNCTION float inverse_root(float x) {
    float y;
    asm("rsqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
FUNCTION float quotient(float a, float b) {
    float y;
    asm("div.approx.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
    return y;
}
// As load_floats, or zeros where it is not wanted.
FUNCTION Float4 load_floats_if(int wanted, const float *at) {
    Float4 v;
    asm volatile("{\n.reg .pred p;\nsetp.ne.s32 p, %5, 0;\nmov.f32 %0, 0f00000000;\nmov.f32 %1, 0f00000000;\nmov.f32 %2, 0f00000000;\n"
                 "mov.f32 %3, 0f00000000;\n@p ld.global.v4.f32 {%0,%1,%2,%3}, [%4];\n}"
                 : "=&f"(v.x), "=&f"(v.y), "=&f"(v.z), "=&f"(v.w)
                 : "l"(at), "r"(wanted)
                 : "memory");
    return v;
}
// Sixteen bytes of what an earlier kernel may have written.
FUNCTION Float4 load_floats(const float *at) {
    Float4 v;
    asm volatile("ld.global.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(at) : "memory");
    return v;
}
FUNCTION Words4 load_words(const u16 *at) {
    Words4 v;
    asm volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(at) : "memory");
    return v;
}
FUNCTION void prefetch_line(const u16 *at) { asm volatile("prefetch.global.L2 [%0];" ::"l"(at)); }
