// How weights lie on the device. A matrix of [rows, depth] is cut into tiles of 16 rows and units of 128 deep; lane 4 g + t of a warp
// finds in a unit what it multiplies: for rows g and g + 8 and each run of 32 deep the values at 4 t .. 4 t + 3 and 16 + 4 t .. 16 + 4 t + 3.
// That order of eight is the order of "slots": slot 8 t + i of a run is depth 4 t + i, slot 8 t + 4 + i is depth 16 + 4 t + i, for i < 4.
// Activations lie in slots too. Rows beyond the matrix and depths beyond its columns are zero.
//
// Fragments are eight words: those that multiply_16x8x16 wants for the first 16 deep of a run, then those for the rest.
// Programs are compiled for one FORMAT, a name below. SCALES 0: its weights are final; 1: a scale for each row and run; 2: one for each
// row and half a run.
#define UNIT_DEPTH 128
#define TILE_ROWS 16

// 1024 and a small integer is the half 0x6400 | integer.
#define HALVES_1024 0x64006400u

// Four words of halves 0 .. 15 from eight nibbles: pair i is at bits 4 i and 16 + 4 i.
FUNCTION void nibbles_of(u32 word, u32 *pairs) {
    pairs[0] = (word & 0x000f000fu) | HALVES_1024;
    pairs[1] = (word & 0x00f000f0u) | HALVES_1024;
    word >>= 8;
    pairs[2] = (word & 0x000f000fu) | HALVES_1024;
    pairs[3] = (word & 0x00f000f0u) | HALVES_1024;
}

// The words of one row into the places of its fragments.
template <int SECOND>
FUNCTION void place_row(u32 *fragment, const u32 *pairs) {
    fragment[0 + SECOND] = pairs[0];
    fragment[2 + SECOND] = pairs[1];
    fragment[4 + SECOND] = pairs[2];
    fragment[6 + SECOND] = pairs[3];
}

// Bytes of a unit that lies in one piece, copied by a warp or by more threads.
template <int BYTES>
FUNCTION void copy_piece(u8 *to, const u8 *from, int thread, int threads) {
#if __CUDA_ARCH__ >= 800
#pragma unroll
    for (int at = 0; at < BYTES; at += 16 * threads) {
        if (BYTES - at >= 16 * threads) copy_async16(to + at + 16 * thread, from + at + 16 * thread);
        else copy_async16_if(at + 16 * thread < BYTES, to + at + 16 * thread, from + at + 16 * thread);
    }
#else
    // All loads are on their way before the first store waits for one.
    const int MOST = (BYTES + 511) / 512;
    Words4 held[MOST];
#pragma unroll
    for (int i = 0; i < MOST; i++) {
        int at = 16 * (i * threads + thread);
        if (at < BYTES) held[i] = *(const Words4 *)(from + at);
    }
#pragma unroll
    for (int i = 0; i < MOST; i++) {
        int at = 16 * (i * threads + thread);
        if (at < BYTES) *(Words4 *)(to + at) = held[i];
    }
#endif
}

// What a lane reads of a unit for two runs.
struct Part {
    Words4 w[4], s;
};

FUNCTION Words4 four_words(const u8 *at) { return *(const Words4 *)at; }
FUNCTION Words4 two_words(const u8 *at) {
    Words2 two = *(const Words2 *)at;
    Words4 words = {two.x, two.y, 0, 0};
    return words;
}
FUNCTION u32 word_of(const Words4 &v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// Scales of rows g and g + 8 for a run, and for each half of one.
FUNCTION void run_scales(const Part &part, int run, float *scale) {
    scale[0] = lower_half(word_of(part.s, run));
    scale[1] = upper_half(word_of(part.s, run));
}
FUNCTION void half_run_scales(const Part &part, int run, float *scale) {
    scale[0] = lower_half(word_of(part.s, 2 * run));
    scale[1] = upper_half(word_of(part.s, 2 * run));
    scale[2] = lower_half(word_of(part.s, 2 * run + 1));
    scale[3] = upper_half(word_of(part.s, 2 * run + 1));
}

// The parts of a format:
//   BYTES of a unit, at(matrix, tile, unit, units) where it lies, STEP to the next one of a tile, copy to bring it;
//   read(unit, lane, pair): what is needed for runs 2 pair and 2 pair + 1; run is 0 or 1 in what follows;
//   weights(part, run, fragment): halves as above, and scales(part, run, scale) as SCALES says;
//   raw(part, run, fragment): the same as plain integers, which as the bits of halves are integers times 2^-24, less OFFSET from the weight;
//   with SIXTEENTHS the second and the fourth pair of eight are 16 times as large, so that activations there are a sixteenth;
//   MINIMA: a weight is scale times integer plus minimum(part, run).
template <int UNIT>
struct InOnePiece {
    static const int BYTES = UNIT, STEP = UNIT, MINIMA = 0;
    FUNCTION static const u8 *at(const u8 *matrix, int tile, int unit, int units) { return matrix + (u64)(u32)tile * (u32)(units * UNIT) + (u32)(unit * UNIT); }
    FUNCTION static void copy(u8 *to, const u8 *from, int thread, int threads) { copy_piece<UNIT>(to, from, thread, threads); }
    FUNCTION static void minimum(const Part &, int, float *) {}
};

FUNCTION void raw_nibbles(u32 word, u32 *pairs) {
    pairs[0] = word & 0x000f000fu;
    pairs[1] = word & 0x00f000f0u;
    word >>= 8;
    pairs[2] = word & 0x000f000fu;
    pairs[3] = word & 0x00f000f0u;
}
FUNCTION void raw_rows_of_nibbles(const Part &part, int run, u32 *fragment) {
    u32 pairs[4];
    raw_nibbles(word_of(part.w[0], 2 * run), pairs);
    place_row<0>(fragment, pairs);
    raw_nibbles(word_of(part.w[0], 2 * run + 1), pairs);
    place_row<1>(fragment, pairs);
}

// Nibbles around 8 and a scale per run: Q4_0. 1024 bytes of nibbles, [2 pairs of runs][lane][run][row], then scales [g][run][row].
struct Nibbles : InOnePiece<1152> {
    static const int SCALES = 1, OFFSET = 8, SIXTEENTHS = 1;
    FUNCTION static Part read(const u8 *unit, int lane, int pair) {
        Part part;
        part.w[0] = four_words(unit + pair * 512 + lane * 16);
        part.s = two_words(unit + 1024 + (lane / 4) * 16 + pair * 8);
        return part;
    }
    FUNCTION static void raw(const Part &part, int run, u32 *fragment) { raw_rows_of_nibbles(part, run, fragment); }
    FUNCTION static void weights(const Part &part, int run, u32 *fragment) {
        u32 pairs[4];
        nibbles_of(word_of(part.w[0], 2 * run), pairs);
        centre(pairs);
        place_row<0>(fragment, pairs);
        nibbles_of(word_of(part.w[0], 2 * run + 1), pairs);
        centre(pairs);
        place_row<1>(fragment, pairs);
    }
    FUNCTION static void scales(const Part &part, int run, float *scale) { run_scales(part, run, scale); }
    // To -8 .. 7: from 1024 + n, and from 1024 + 16 n by a sixteenth.
    FUNCTION static void centre(u32 *pairs) {
        pairs[0] = halves_add(pairs[0], 0xe408e408u);
        pairs[1] = halves_fma(pairs[1], 0x2c002c00u, 0xd480d480u);
        pairs[2] = halves_add(pairs[2], 0xe408e408u);
        pairs[3] = halves_fma(pairs[3], 0x2c002c00u, 0xd480d480u);
    }
};

// Nibbles with a scale and a minimum per run: Q4_1, Q4_K. As Nibbles, with words of scale and minimum, [g][run][row].
struct Affine : InOnePiece<1280> {
    static const int SCALES = 0, OFFSET = 0, SIXTEENTHS = 1, MINIMA = 1;
    FUNCTION static Part read(const u8 *unit, int lane, int pair) {
        Part part;
        part.w[0] = four_words(unit + pair * 512 + lane * 16);
        part.s = four_words(unit + 1024 + (lane / 4) * 32 + pair * 16);
        return part;
    }
    FUNCTION static void raw(const Part &part, int run, u32 *fragment) { raw_rows_of_nibbles(part, run, fragment); }
    FUNCTION static void weights(const Part &part, int run, u32 *fragment) {
        u32 pairs[4];
        nibbles_of(word_of(part.w[0], 2 * run), pairs);
        apply(pairs, word_of(part.s, 2 * run));
        place_row<0>(fragment, pairs);
        nibbles_of(word_of(part.w[0], 2 * run + 1), pairs);
        apply(pairs, word_of(part.s, 2 * run + 1));
        place_row<1>(fragment, pairs);
    }
    FUNCTION static void scales(const Part &part, int run, float *scale) {
        scale[0] = lower_half(word_of(part.s, 2 * run));
        scale[1] = lower_half(word_of(part.s, 2 * run + 1));
    }
    FUNCTION static void minimum(const Part &part, int run, float *least) {
        least[0] = upper_half(word_of(part.s, 2 * run));
        least[1] = upper_half(word_of(part.s, 2 * run + 1));
    }
    FUNCTION static void apply(u32 *pairs, u32 line) {
        u32 scale = pick_bytes(line, 0, 0x1010), least = pick_bytes(line, 0, 0x3232);
        pairs[0] = halves_fma(halves_add(pairs[0], 0xe400e400u), scale, least);
        pairs[1] = halves_fma(halves_fma(pairs[1], 0x2c002c00u, 0xd400d400u), scale, least);
        pairs[2] = halves_fma(halves_add(pairs[2], 0xe400e400u), scale, least);
        pairs[3] = halves_fma(halves_fma(pairs[3], 0x2c002c00u, 0xd400d400u), scale, least);
    }
};

// Bytes around 128, [run][lane][row][8]: pairs on top of `upper`, which is 0 or the upper byte of 1024.
FUNCTION void pairs_of_bytes(const Part &part, int run, u32 upper, u32 *fragment) {
#pragma unroll
    for (int row = 0; row < 2; row++) {
        u32 pairs[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            pairs[i] = pick_bytes(word_of(part.w[run], 2 * row + i / 2), upper, i % 2 ? 0x4342 : 0x4140);
        }
        if (row == 0) place_row<0>(fragment, pairs);
        else place_row<1>(fragment, pairs);
    }
}
template <int UNIT>
struct AnyBytes : InOnePiece<UNIT> {
    static const int OFFSET = 128, SIXTEENTHS = 0;
    FUNCTION static void raw(const Part &part, int run, u32 *fragment) { pairs_of_bytes(part, run, 0, fragment); }
    FUNCTION static void weights(const Part &part, int run, u32 *fragment) {
        pairs_of_bytes(part, run, 0x64646464u, fragment);
#pragma unroll
        for (int i = 0; i < 8; i++) fragment[i] = halves_add(fragment[i], 0xe480e480u);
    }
    FUNCTION static Part bytes(const u8 *unit, int lane, int pair) {
        Part part;
        part.w[0] = four_words(unit + pair * 1024 + lane * 16);
        part.w[1] = four_words(unit + pair * 1024 + 512 + lane * 16);
        return part;
    }
};

// Scales [g][run][row]: Q8_0.
struct Bytes : AnyBytes<2176> {
    static const int SCALES = 1;
    FUNCTION static Part read(const u8 *unit, int lane, int pair) {
        Part part = bytes(unit, lane, pair);
        part.s = two_words(unit + 2048 + (lane / 4) * 16 + pair * 8);
        return part;
    }
    FUNCTION static void scales(const Part &part, int run, float *scale) { run_scales(part, run, scale); }
};

// Any type of integers of 8 bits with a scale per 16, [g][run][half of it][row].
struct FineBytes : AnyBytes<2304> {
    static const int SCALES = 2;
    FUNCTION static Part read(const u8 *unit, int lane, int pair) {
        Part part = bytes(unit, lane, pair);
        part.s = four_words(unit + 2048 + (lane / 4) * 32 + pair * 16);
        return part;
    }
    FUNCTION static void scales(const Part &part, int run, float *scale) { half_run_scales(part, run, scale); }
};

// Six bits around 32 and a scale per 16: Q6_K. Nibbles as in Nibbles, then the upper bits, [lane][run] of words, where pair i of
// row r (0 or 1 for g and g + 8) is at bits 2 (i + 4 r) and 16 more; then scales as in FineBytes.
struct Sixes : InOnePiece<1792> {
    static const int SCALES = 2, OFFSET = 32, SIXTEENTHS = 0;
    FUNCTION static Part read(const u8 *unit, int lane, int pair) {
        Part part;
        part.w[0] = four_words(unit + pair * 512 + lane * 16);
        part.w[1] = two_words(unit + 1024 + lane * 16 + pair * 8);
        part.s = four_words(unit + 1536 + (lane / 4) * 32 + pair * 16);
        return part;
    }
    FUNCTION static void raw(const Part &part, int run, u32 *fragment) {
        u32 upper = word_of(part.w[1], run);
#pragma unroll
        for (int row = 0; row < 2; row++) {
            u32 word = word_of(part.w[0], 2 * run + row), pairs[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                pairs[i] = ((word >> (4 * i)) & 0x000f000fu) | ((upper >> (2 * (i + 4 * row))) & 0x00030003u) << 4;
            }
            if (row == 0) place_row<0>(fragment, pairs);
            else place_row<1>(fragment, pairs);
        }
    }
    FUNCTION static void weights(const Part &part, int run, u32 *fragment) {
        raw(part, run, fragment);
#pragma unroll
        for (int i = 0; i < 8; i++) fragment[i] = halves_add(fragment[i] | HALVES_1024, 0xe420e420u);
    }
    FUNCTION static void scales(const Part &part, int run, float *scale) { half_run_scales(part, run, scale); }
};

// Halves as the tiles of gemm.cu want them: pieces of 128 rows and 64 slots, a row of a piece is 128 bytes whose chunks of 16 are
// swapped by the row's number. A unit is its 16 rows of two pieces.
#define PIECE_BYTES 16384
struct Halves {
    static const int BYTES = 4096, STEP = 2 * PIECE_BYTES, SCALES = 0, OFFSET = 0, SIXTEENTHS = 0, MINIMA = 0;
    FUNCTION static const u8 *at(const u8 *matrix, int tile, int unit, int units) {
        return matrix + (u64)(u32)(tile / 8) * (u32)(2 * units * PIECE_BYTES) + (u32)(2 * unit * PIECE_BYTES + tile % 8 * 2048);
    }
    FUNCTION static void copy(u8 *to, const u8 *from, int thread, int threads) {
        copy_piece<2048>(to, from, thread, threads);
        copy_piece<2048>(to + 2048, from + PIECE_BYTES, thread, threads);
    }
    FUNCTION static Part read(const u8 *unit, int lane, int pair) {
        int g = lane / 4, t = lane % 4;
        const u8 *row = unit + pair * 2048 + g * 128;
        Part part;
        part.w[0] = four_words(row + (t ^ g) * 16);
        part.w[1] = four_words(row + (t ^ g) * 16 + 1024);
        part.w[2] = four_words(row + ((4 + t) ^ g) * 16);
        part.w[3] = four_words(row + ((4 + t) ^ g) * 16 + 1024);
        return part;
    }
    FUNCTION static void weights(const Part &part, int run, u32 *fragment) {
#pragma unroll
        for (int i = 0; i < 8; i++) fragment[i] = word_of(part.w[2 * run + i % 2], i / 2);
    }
    FUNCTION static void raw(const Part &part, int run, u32 *fragment) { weights(part, run, fragment); }
    FUNCTION static void scales(const Part &, int, float *) {}
    FUNCTION static void minimum(const Part &, int, float *) {}
};

// acc += one run of 32 of a tile times the activations b.
template <class F>
FUNCTION void multiply_run(float *acc, const u32 *weights, const float *scale, Words4 b) {
    if (F::SCALES == 0) {
        multiply_16x8x16(acc, weights, b.x, b.y);
        multiply_16x8x16(acc, weights + 4, b.z, b.w);
        return;
    }
    float c[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    multiply_16x8x16(c, weights, b.x, b.y);
    if (F::SCALES == 2) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            acc[i] = FMA(c[i], scale[i / 2], acc[i]);
            c[i] = 0.0f;
        }
    }
    multiply_16x8x16(c, weights + 4, b.z, b.w);
#pragma unroll
    for (int i = 0; i < 4; i++) acc[i] = FMA(c[i], scale[(F::SCALES == 2 ? 2 : 0) + i / 2], acc[i]);
}
