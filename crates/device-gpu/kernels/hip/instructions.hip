// Instructions of AMD's processors as functions; WAVE is the number of threads that run in step. An emulation replaces this part as a whole.
#if defined(__AMDGCN_WAVEFRONT_SIZE) && __AMDGCN_WAVEFRONT_SIZE != WAVE
#error "waves of another size than the device's"
#endif
FUNCTION float wave_xor(float x, int lanes) { return __shfl_xor(x, lanes); }

#if defined(__gfx908__) || defined(__gfx90a__) || defined(__gfx940__) || defined(__gfx941__) || defined(__gfx942__) || defined(__gfx950__)
#define HAS_MFMA
typedef float Four __attribute__((ext_vector_type(4)));
// c + a b: 16 x 16, 4 deep. Lane l holds of a row l % 16 and of b column l % 16, both at depth l / 16; of c four rows from 4 (l / 16) on,
// column l % 16.
FUNCTION Four multiply_16x16x4(float a, float b, Four c) { return __builtin_amdgcn_mfma_f32_16x16x4f32(a, b, c, 0, 0, 0); }
#endif
