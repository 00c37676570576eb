// What kinds of attention share: scores in powers of two, over quads of lanes that have a row between them.
#define SLICE_INTS 5
#define LOG2_E 1.4426950408889634f
#define NOTHING -1e30f

FUNCTION Words4 no_words() {
    Words4 v = {0, 0, 0, 0};
    return v;
}
FUNCTION u32 word_of(const Words4 &v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

FUNCTION float quad_max(float x) {
    x = FMAX(x, warp_xor(x, 1));
    return FMAX(x, warp_xor(x, 2));
}
FUNCTION float quad_sum(float x) {
    x += warp_xor(x, 1);
    return x + warp_xor(x, 2);
}
