// OpenCL C 1.2. Halves are read and written through their bits, so that cl_khr_fp16 is not needed.
#pragma OPENCL FP_CONTRACT OFF
typedef uchar u8;
typedef char i8;
typedef ushort u16;
typedef uint u32;
typedef ulong u64;
#define GLOBAL __global
#define LOCAL __local
#define PRIVATE __private
#define CONSTANT __constant
// An inline function of C99 that is not static has no body where it is not inlined.
#define FUNCTION static inline
// OpenCL C 1.2 has no word for it; compilers unroll loops of a few rounds.
#define UNROLL
#define KERNEL(name) __kernel void name
#define IN(type, name) __global const type *name
#define OUT(type, name) __global type *name
#define INT(name) int name
#define FLOAT(name) float name
#define IDS
#define SHARED(type, name, count) __local type name[count]
#define THREAD(axis) ((int)get_local_id(axis))
#define THREADS(axis) ((int)get_local_size(axis))
#define GROUP(axis) ((int)get_group_id(axis))
#define GROUPS(axis) ((int)get_num_groups(axis))
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define WAIT_FOR_EARLIER()
FUNCTION float as_float_bits(u32 bits) { return as_float(bits); }
FUNCTION u32 as_bits(float x) { return as_uint(x); }
FUNCTION float from_half(u16 bits) { return vload_half(0, (const half *)&bits); }
FUNCTION u16 to_half(float x) {
    u16 bits;
    vstore_half_rte(x, 0, (half *)&bits);
    return bits;
}
#define EXP(x) exp(x)
#define LOG1P(x) log1p(x)
#define TANH(x) tanh(x)
#define ERF(x) erf(x)
#define SQRT(x) sqrt(x)
#define FMAX(a, b) fmax(a, b)
#define FMIN(a, b) fmin(a, b)
#define FABS(x) fabs(x)
#define FMA(a, b, c) fma(a, b, c)
#define COS(x) cos(x)
#define SIN(x) sin(x)
