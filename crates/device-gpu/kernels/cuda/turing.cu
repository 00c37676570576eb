// What sm_75 has not, made of what it has: copies go through registers and are done when they return, products come in two steps.
#if __CUDA_ARCH__ < 800
FUNCTION void copy_async16(void *to, const void *from) { *(Words4 *)to = *(const Words4 *)from; }
FUNCTION void copy_async16_if(int wanted, void *to, const void *from) {
    if (wanted) copy_async16(to, from);
}
FUNCTION void copies_commit() {}
template <int LEFT>
FUNCTION void copies_wait() {}

FUNCTION void multiply_16x8x16(float *c, const u32 *a, u32 b0, u32 b1) {
    multiply_16x8x8(c, a[0], a[1], b0);
    multiply_16x8x8(c, a[2], a[3], b1);
}
#endif
