// CUDA C++ and HIP C++ as NVRTC and hipRTC take them: no headers.
typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
#define GLOBAL
#define LOCAL
#define PRIVATE
#define CONSTANT __device__ const
#define FUNCTION __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define KERNEL(name) extern "C" __global__ void name
// Not restrict: the compiler may move loads of what it takes for constant ahead of WAIT_FOR_EARLIER.
#define IN(type, name) const type *name
#define OUT(type, name) type *name
#define INT(name) int name
#define FLOAT(name) float name
#define IDS
#define SHARED(type, name, count) __shared__ type name[count]
#define THREAD(axis) TORCHLESS_AXIS_##axis(threadIdx)
#define THREADS(axis) TORCHLESS_AXIS_##axis(blockDim)
#define GROUP(axis) TORCHLESS_AXIS_##axis(blockIdx)
#define GROUPS(axis) TORCHLESS_AXIS_##axis(gridDim)
#define TORCHLESS_AXIS_0(v) ((int)v.x)
#define TORCHLESS_AXIS_1(v) ((int)v.y)
#define TORCHLESS_AXIS_2(v) ((int)v.z)
#define BARRIER() __syncthreads()
// No header says it here.
#ifndef INFINITY
#define INFINITY __uint_as_float(0x7f800000u)
#endif
// A kernel may start while the one before it still runs (programmatic dependent launch, sm_90): nothing of it is
// read or written before this.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 && !defined(TORCHLESS_EMULATED)
#define WAIT_FOR_EARLIER()                                                                                            \
    do {                                                                                                              \
        asm volatile("griddepcontrol.launch_dependents;");                                                            \
        asm volatile("griddepcontrol.wait;" ::: "memory");                                                            \
    } while (0)
#else
#define WAIT_FOR_EARLIER()
#endif
FUNCTION float as_float_bits(u32 bits) { return __uint_as_float(bits); }
FUNCTION u32 as_bits(float x) { return __float_as_uint(x); }
#if defined(__HIP__) || defined(TORCHLESS_EMULATED)
FUNCTION float from_half(u16 bits) { return (float)__builtin_bit_cast(_Float16, bits); }
FUNCTION u16 to_half(float x) { return __builtin_bit_cast(u16, (_Float16)x); }
#else
FUNCTION float from_half(u16 bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}
FUNCTION u16 to_half(float x) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
#endif
#define EXP(x) expf(x)
#define LOG1P(x) log1pf(x)
#define TANH(x) tanhf(x)
#define ERF(x) erff(x)
#define SQRT(x) sqrtf(x)
#define FMAX(a, b) fmaxf(a, b)
#define FMIN(a, b) fminf(a, b)
#define FABS(x) fabsf(x)
#define FMA(a, b, c) fmaf(a, b, c)
#define COS(x) cosf(x)
#define SIN(x) sinf(x)
