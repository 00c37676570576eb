// Metal Shading Language. Buffers get their numbers in the order of the kernel's parameters.
#include <metal_stdlib>
using namespace metal;
typedef uchar u8;
typedef char i8;
typedef ushort u16;
typedef uint u32;
typedef ulong u64;
#define GLOBAL device
#define LOCAL threadgroup
#define PRIVATE thread
#define CONSTANT constant
#define FUNCTION inline
#define UNROLL _Pragma("unroll")
#define KERNEL(name) kernel void name
#define IN(type, name) device const type *name
#define OUT(type, name) device type *name
#define INT(name) constant int &name
#define FLOAT(name) constant float &name
#define IDS                                                                                                           \
    , uint3 torchless_thread [[thread_position_in_threadgroup]], uint3 torchless_threads [[threads_per_threadgroup]],  \
        uint3 torchless_group [[threadgroup_position_in_grid]], uint3 torchless_groups [[threadgroups_per_grid]]
#define SHARED(type, name, count) threadgroup type name[count]
#define THREAD(axis) ((int)torchless_thread[axis])
#define THREADS(axis) ((int)torchless_threads[axis])
#define GROUP(axis) ((int)torchless_group[axis])
#define GROUPS(axis) ((int)torchless_groups[axis])
#define BARRIER() threadgroup_barrier(mem_flags::mem_threadgroup | mem_flags::mem_device)
#define WAIT_FOR_EARLIER()
FUNCTION float as_float_bits(u32 bits) { return as_type<float>(bits); }
FUNCTION u32 as_bits(float x) { return as_type<u32>(x); }
FUNCTION float from_half(u16 bits) { return (float)as_type<half>(bits); }
FUNCTION u16 to_half(float x) { return as_type<u16>((half)x); }
#define EXP(x) precise::exp(x)
#define LOG1P(x) (precise::log(1.0f + (x)))
#define TANH(x) precise::tanh(x)
#define SQRT(x) precise::sqrt(x)
#define FMAX(a, b) fmax(a, b)
#define FMIN(a, b) fmin(a, b)
#define FABS(x) fabs(x)
#define FMA(a, b, c) fma(a, b, c)
#define COS(x) precise::cos(x)
#define SIN(x) precise::sin(x)
// Abramowitz and Stegun 7.1.26 has an error of 1.5e-7, that of f32.
FUNCTION float metal_erf(float x) {
    float t = 1.0f / (1.0f + 0.3275911f * fabs(x));
    float p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    float y = 1.0f - p * precise::exp(-x * x);
    return x < 0.0f ? -y : y;
}
#define ERF(x) metal_erf(x)
