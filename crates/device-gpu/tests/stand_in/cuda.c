// Stands in for libcuda and NVRTC, or with -DHIP for libamdhip64 and hipRTC, so that the driver can be tested without a GPU: memory is
// the host's, the one kernel that it knows is a C function, and every call that matters is written down.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HIP
#define NAME(cuda, hip) hip
#else
#define NAME(cuda, hip) cuda
#endif

typedef void *handle;
typedef unsigned long long address;

// As cuda.h declares them.
typedef struct {
    int id;
    char pad[8 - sizeof(int)];
    union {
        char pad[64];
        int programmaticStreamSerializationAllowed;
    } value;
} attribute;

typedef struct {
    unsigned gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
    handle hStream;
    attribute *attrs;
    unsigned numAttrs;
} config;

typedef struct {
    char name[64];
} function;

typedef struct {
    function *what;
    address memory[2];
    int count;
    float factor;
} work;

typedef struct {
    work list[64];
    int length;
} graph;

static char written[1 << 20];
static char failing[64];
static int failing_status;
static graph *capturing;
static int devices = 2, capability = 90, version = 12080;
static long allocated;

static void put(const char *format, ...) {
    va_list all;
    va_start(all, format);
    size_t used = strlen(written);
    vsnprintf(written + used, sizeof(written) - used, format, all);
    va_end(all);
}

static int fails(const char *name) {
    if (strcmp(failing, name) != 0) { return 0; }
    failing[0] = 0;
    return failing_status;
}

#define MAY_FAIL(name)                                                                                                \
    do {                                                                                                              \
        int status = fails(name);                                                                                     \
        if (status) { return status; }                                                                                \
    } while (0)

// What tests ask for.
const char *stand_in_calls(void) { return written; }
void stand_in_forget(void) { written[0] = 0; }
void stand_in_fail(const char *name, int status) {
    snprintf(failing, sizeof(failing), "%s", name);
    failing_status = status;
}
void stand_in_is(int count, int compute, int driver) {
    devices = count;
    capability = compute;
    version = driver;
}
long stand_in_allocated(void) { return allocated; }

int NAME(cuInit, hipInit)(unsigned flags) {
    MAY_FAIL("init");
    return flags == 0 ? 0 : 1;
}
int NAME(cuDriverGetVersion, hipDriverGetVersion)(int *out) {
    *out = NAME(version, 60032830);
    return 0;
}
int NAME(cuDeviceGetCount, hipGetDeviceCount)(int *out) {
    *out = devices;
    return 0;
}
int NAME(cuDeviceGet, hipDeviceGet)(int *out, int ordinal) {
    *out = ordinal;
    return ordinal < devices ? 0 : 101;
}
int NAME(cuDeviceGetName, hipDeviceGetName)(char *name, int room, int device) {
    snprintf(name, room, "Stand-in %d", device);
    return 0;
}
int NAME(cuDeviceTotalMem_v2, hipDeviceTotalMem)(size_t *out, int device) {
    (void)device;
    *out = 1 << 30;
    return 0;
}
int NAME(cuDeviceGetAttribute, hipDeviceGetAttribute)(int *out, int number, int device) {
    (void)device;
    switch (number) {
    case NAME(1, 56): *out = 1024; return 0;
    case NAME(8, 74): *out = NAME(49152, 65536); return 0;
    case NAME(97, -1): *out = 232448; return 0;
    case NAME(10, 87): *out = NAME(32, 64); return 0;
    case NAME(16, 63): *out = 132; return 0;
    case NAME(75, 23): *out = NAME(capability / 10, 9); return 0;
    case NAME(76, 61): *out = NAME(capability % 10, 0); return 0;
    }
    return 1;
}
int NAME(cuStreamCreate, hipStreamCreateWithFlags)(handle *out, unsigned flags) {
    static int stream;
    *out = &stream;
    return flags == 1 ? 0 : 1;
}
int NAME(cuStreamDestroy_v2, hipStreamDestroy)(handle stream) {
    (void)stream;
    return 0;
}
int NAME(cuStreamSynchronize, hipStreamSynchronize)(handle stream) {
    (void)stream;
    MAY_FAIL("wait");
    return 0;
}
int NAME(cuEventCreate, hipEventCreateWithFlags)(handle *out, unsigned flags) {
    *out = malloc(1);
    return flags == 2 ? 0 : 1;
}
int NAME(cuEventRecord, hipEventRecord)(handle event, handle stream) {
    (void)event, (void)stream;
    put("record\n");
    return 0;
}
int NAME(cuEventSynchronize, hipEventSynchronize)(handle event) {
    (void)event;
    put("wait for event\n");
    return 0;
}
int NAME(cuEventDestroy_v2, hipEventDestroy)(handle event) {
    free(event);
    return 0;
}
int NAME(cuMemAlloc_v2, hipMalloc)(address *out, size_t bytes) {
    MAY_FAIL("alloc");
    if (bytes > 1 << 30) { return 2; }
    *out = (address)malloc(bytes);
    allocated++;
    return 0;
}
int NAME(cuMemFree_v2, hipFree)(address memory) {
    free((void *)memory);
    allocated--;
    return 0;
}
int NAME(cuMemGetInfo_v2, hipMemGetInfo)(size_t *unused, size_t *total) {
    *unused = 1 << 29;
    *total = 1 << 30;
    return 0;
}
int NAME(cuMemHostAlloc, hipHostMalloc)(void **out, size_t bytes, unsigned flags) {
    MAY_FAIL("host alloc");
    *out = malloc(bytes);
    allocated++;
    return flags == 0 ? 0 : 1;
}
int NAME(cuMemFreeHost, hipHostFree)(void *memory) {
    free(memory);
    allocated--;
    return 0;
}
int NAME(cuMemcpyHtoDAsync_v2, hipMemcpyHtoDAsync)(address to, const void *from, size_t bytes, handle stream) {
    (void)stream;
    MAY_FAIL("copy in");
    put("copy in %zu\n", bytes);
    memcpy((void *)to, from, bytes);
    return 0;
}
int NAME(cuMemcpyDtoHAsync_v2, hipMemcpyDtoHAsync)(void *to, address from, size_t bytes, handle stream) {
    (void)stream;
    put("copy out %zu\n", bytes);
    memcpy(to, (void *)from, bytes);
    return 0;
}
int NAME(cuMemcpyDtoDAsync_v2, hipMemcpyDtoDAsync)(address to, address from, size_t bytes, handle stream) {
    (void)stream;
    memcpy((void *)to, (void *)from, bytes);
    return 0;
}
int NAME(cuMemsetD8Async, hipMemsetD8Async)(address to, unsigned char value, size_t bytes, handle stream) {
    (void)stream;
    memset((void *)to, value, bytes);
    return 0;
}
static int load(handle *out, const void *image) {
    MAY_FAIL("load");
    // Images that are no code for this device.
    if (strncmp(image, "code ", 5) != 0) { return 209; }
    *out = strdup(image);
    put("load\n");
    return 0;
}
int NAME(cuModuleLoadData, hipModuleLoadData)(handle *out, const void *image) { return load(out, image); }
int NAME(cuModuleUnload, hipModuleUnload)(handle module) {
    free(module);
    put("unload\n");
    return 0;
}
int NAME(cuModuleGetFunction, hipModuleGetFunction)(handle *out, handle module, const char *name) {
    char declared[96];
    snprintf(declared, sizeof(declared), "KERNEL(%s)", name);
    if (!strstr(module, declared)) { return 500; }
    function *made = calloc(1, sizeof(function));
    snprintf(made->name, sizeof(made->name), "%s", name);
    *out = made;
    return 0;
}
static void run(const work *w) {
    const float *x = (const float *)w->memory[0];
    float *y = (float *)w->memory[1];
    for (int i = 0; i < w->count; i++) { y[i] = x[i] * w->factor; }
}
static int launched(function *f, void **arguments) {
    work w = {f, {*(address *)arguments[0], *(address *)arguments[1]}, *(int *)arguments[2], *(float *)arguments[3]};
    if (capturing) {
        capturing->list[capturing->length++] = w;
    } else {
        run(&w);
    }
    return 0;
}
int NAME(cuLaunchKernel, hipModuleLaunchKernel)(
    handle f, unsigned gx, unsigned gy, unsigned gz, unsigned tx, unsigned ty, unsigned tz, unsigned shared,
    handle stream, void **arguments, void **extra
) {
    (void)stream;
    MAY_FAIL("launch");
    put("launch %s %u %u %u x %u %u %u, %u\n", ((function *)f)->name, gx, gy, gz, tx, ty, tz, shared);
    return extra ? 1 : launched(f, arguments);
}

#ifdef HIP
int hipSetDevice(int device) { return device < devices ? 0 : 101; }
int hipGetDevicePropertiesR0600(char *out, int device) {
    snprintf(out, 256, "gfx is not here, %d", device);
    strcpy(out + 1160, "gfx90a:sramecc+:xnack-");
    return 0;
}
const char *hipGetErrorName(int status) { return status == 719 ? "hipErrorLaunchFailure" : "hipErrorOther"; }
const char *hipGetErrorString(int status) { return status == 719 ? "unspecified launch failure" : "something else"; }
#else
int cuDevicePrimaryCtxRetain(handle *out, int device) {
    (void)device;
    static int context;
    *out = &context;
    put("retain\n");
    return 0;
}
int cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    put("release\n");
    return 0;
}
int cuCtxSetCurrent(handle context) { return context ? 0 : 201; }
int cuModuleLoadDataEx(handle *out, const void *image, unsigned count, int *options, void **values) {
    int status = load(out, image);
    if (status && count == 2 && options[0] == 5 && options[1] == 6) {
        snprintf(values[0], (size_t)values[1], "no code for sm_%d", capability);
    }
    return status;
}
int cuFuncSetAttribute(handle f, int attribute, int value) {
    put("attribute %s %d %d\n", ((function *)f)->name, attribute, value);
    return 0;
}
#ifndef OLD
int cuLaunchKernelEx(const config *c, handle f, void **arguments, void **extra) {
    MAY_FAIL("launch");
    put("launch with %d=%d: %s %u %u %u x %u %u %u, %u\n", c->attrs->id,
        c->attrs->value.programmaticStreamSerializationAllowed, ((function *)f)->name, c->gridDimX, c->gridDimY,
        c->gridDimZ, c->blockDimX, c->blockDimY, c->blockDimZ, c->sharedMemBytes);
    return extra || c->numAttrs != 1 || !c->hStream ? 1 : launched(f, arguments);
}
#endif
int cuStreamBeginCapture_v2(handle stream, int mode) {
    (void)stream;
    MAY_FAIL("capture");
    put("capture\n");
    capturing = calloc(1, sizeof(graph));
    return mode == 1 ? 0 : 1;
}
int cuStreamEndCapture(handle stream, handle *out) {
    (void)stream;
    *out = capturing;
    capturing = NULL;
    return 0;
}
int cuGraphInstantiateWithFlags(handle *out, handle from, unsigned long long flags) {
    MAY_FAIL("instantiate");
    *out = malloc(sizeof(graph));
    memcpy(*out, from, sizeof(graph));
    return flags == 0 ? 0 : 1;
}
int cuGraphLaunch(handle which, handle stream) {
    (void)stream;
    MAY_FAIL("launch");
    put("replay\n");
    graph *g = which;
    for (int i = 0; i < g->length; i++) { run(&g->list[i]); }
    return 0;
}
int cuGraphDestroy(handle which) {
    free(which);
    return 0;
}
int cuGraphExecDestroy(handle which) {
    free(which);
    put("drop graph\n");
    return 0;
}
int cuGetErrorName(int status, const char **out) {
    *out = status == 719 ? "CUDA_ERROR_LAUNCH_FAILED" : status == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_OTHER";
    return 0;
}
int cuGetErrorString(int status, const char **out) {
    *out = status == 719 ? "unspecified launch failure" : "something else";
    return 0;
}
#endif

// The compiler.
typedef struct {
    char *source, *code, *log;
} program;

int NAME(nvrtcVersion, hiprtcVersion)(int *major, int *minor) {
    *major = 12;
    *minor = 9;
    return 0;
}
int NAME(nvrtcCreateProgram, hiprtcCreateProgram)(
    handle *out, const char *source, const char *name, int headers, const char **texts, const char **names
) {
    program *p = calloc(1, sizeof(program));
    p->source = strdup(source);
    *out = p;
    put("create %s\n", name);
    return headers || texts || names;
}
int NAME(nvrtcCompileProgram, hiprtcCompileProgram)(handle which, int count, const char **options) {
    program *p = which;
    for (int i = 0; i < count; i++) { put("option %s\n", options[i]); }
    p->log = strdup("suite.cu(3): error: identifier \"no_such_variable\" is undefined\n");
    p->code = malloc(strlen(p->source) + 6);
    sprintf(p->code, "code %s", p->source);
    return strstr(p->source, "no_such_variable") ? 6 : 0;
}
int NAME(nvrtcDestroyProgram, hiprtcDestroyProgram)(handle *which) {
    program *p = *which;
    free(p->source), free(p->code), free(p->log), free(p);
    put("destroy\n");
    return 0;
}
int NAME(nvrtcGetProgramLogSize, hiprtcGetProgramLogSize)(handle which, size_t *out) {
    *out = strlen(((program *)which)->log) + 1;
    return 0;
}
int NAME(nvrtcGetProgramLog, hiprtcGetProgramLog)(handle which, char *out) {
    strcpy(out, ((program *)which)->log);
    return 0;
}
int NAME(nvrtcGetCUBINSize, hiprtcGetCodeSize)(handle which, size_t *out) {
    *out = strlen(((program *)which)->code) + 1;
    return 0;
}
int NAME(nvrtcGetCUBIN, hiprtcGetCode)(handle which, char *out) {
    strcpy(out, ((program *)which)->code);
    return 0;
}
const char *NAME(nvrtcGetErrorString, hiprtcGetErrorString)(int status) {
    return status == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR_OTHER";
}
