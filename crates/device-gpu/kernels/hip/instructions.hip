// Instructions of AMD's processors as functions; WAVE is the number of threads that run in step. An emulation replaces this part as a whole.
#if defined(__AMDGCN_WAVEFRONT_SIZE) && __AMDGCN_WAVEFRONT_SIZE != WAVE
#error "waves of another size than the device's"
#endif
FUNCTION float wave_xor(float x, int lanes) { return __shfl_xor(x, lanes); }

#if defined(__gfx908__) || defined(__gfx90a__) || defined(__gfx940__) || defined(__gfx941__) || defined(__gfx942__) || defined(__gfx950__)
#define HAS_MFMA
typedef float Four __attribute__((ext_vector_type(4)));
typedef float Sixteen __attribute__((ext_vector_type(16)));
typedef _Float16 FourHalves __attribute__((ext_vector_type(4)));
// c + a b: 16 x 16, 4 deep. Lane l holds of a row l % 16 and of b column l % 16, both at depth l / 16; of c four rows from 4 (l / 16) on,
// column l % 16.
FUNCTION Four multiply_16x16x4(float a, float b, Four c) { return __builtin_amdgcn_mfma_f32_16x16x4f32(a, b, c, 0, 0, 0); }
// c + a b: 32 x 32, 8 deep. Lane l holds of a row l % 32 and of b column l % 32, both at four depths from 4 (l / 32) on; of c column l % 32,
// whose value i is row 8 (i / 4) + 4 (l / 32) + i % 4.
FUNCTION Sixteen multiply_32x32x8(FourHalves a, FourHalves b, Sixteen c) { return __builtin_amdgcn_mfma_f32_32x32x8f16(a, b, c, 0, 0, 0); }
#endif

// c plus the products of four signed bytes each.
#if defined(__gfx906__) || defined(__gfx908__) || defined(__gfx90a__) || defined(__gfx940__) || defined(__gfx941__) ||            \
    defined(__gfx942__) || defined(__gfx950__) || defined(__gfx1011__) || defined(__gfx1012__) || defined(__gfx1030__) ||         \
    defined(__gfx1031__) || defined(__gfx1032__) || defined(__gfx1033__) || defined(__gfx1034__) || defined(__gfx1035__) ||       \
    defined(__gfx1036__)
FUNCTION int dot4(u32 a, u32 b, int c) { return __builtin_amdgcn_sdot4((int)a, (int)b, c, false); }
#elif defined(__GFX11__) || defined(__GFX12__)
FUNCTION int dot4(u32 a, u32 b, int c) { return __builtin_amdgcn_sudot4(true, (int)a, true, (int)b, c, false); }
#else
FUNCTION int dot4(u32 a, u32 b, int c) {
    UNROLL for (int i = 0; i < 32; i += 8) c += (int)(i8)(u8)(a >> i) * (int)(i8)(u8)(b >> i);
    return c;
}
#endif
