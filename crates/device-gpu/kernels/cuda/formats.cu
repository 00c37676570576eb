// How weights lie on the device. A matrix of [rows, depth] is cut into tiles of 16 rows and units of 128 deep; lane 4 g + t of a warp
// finds in a unit what it multiplies: for rows g and g + 8 and each run of 32 deep the values at 4 t .. 4 t + 3 and 16 + 4 t .. 16 + 4 t + 3.
// That order of eight is the order of "slots": slot 8 t + i of a run is depth 4 t + i, slot 8 t + 4 + i is depth 16 + 4 t + i, for i < 4.
// Activations lie in slots too. Rows beyond the matrix and depths beyond its columns are zero.
//
// A format gives: bytes of a unit, where it lies, and of one run of 32 the weights as halves in the order that multiply_16x8x16 wants
// (four words for the first 16 deep, four for the rest), to be multiplied by scales where it has any:
// Programs are compiled for one FORMAT, a name below.
// SCALES 0: they are final; 1: one for each row and run; 2: one for each row and half a run.
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
#pragma unroll
    for (int at = 0; at < BYTES; at += 16 * threads) {
        if (BYTES - at >= 16 * threads || at + 16 * thread < BYTES) copy_async16(to + at + 16 * thread, from + at + 16 * thread);
    }
}

template <int UNIT>
struct InOnePiece {
    static const int BYTES = UNIT;
    FUNCTION static void copy(u8 *to, const u8 *matrix, int tile, int unit, int units, int thread, int threads) {
        copy_piece<UNIT>(to, matrix + ((u64)tile * (u64)units + (u64)unit) * UNIT, thread, threads);
    }
};

// Nibbles around 8 and a scale per run: Q4_0. 1024 bytes of nibbles, [2 pairs of runs][lane][run][row], then scales [g][run][row].
struct Nibbles : InOnePiece<1152> {
    static const int SCALES = 1;
    FUNCTION static void weights(const u8 *unit, int lane, int run, u32 *fragment) {
        Words2 words = *(const Words2 *)(unit + (run / 2) * 512 + lane * 16 + (run % 2) * 8);
        u32 pairs[4];
        nibbles_of(words.x, pairs);
        centre(pairs);
        place_row<0>(fragment, pairs);
        nibbles_of(words.y, pairs);
        centre(pairs);
        place_row<1>(fragment, pairs);
    }
    FUNCTION static void scales(const u8 *unit, int lane, int run, float *scale) {
        u32 pair = *(const u32 *)(unit + 1024 + (lane / 4) * 16 + run * 4);
        scale[0] = lower_half(pair);
        scale[1] = upper_half(pair);
    }
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
    static const int SCALES = 0;
    FUNCTION static void weights(const u8 *unit, int lane, int run, u32 *fragment) {
        Words2 words = *(const Words2 *)(unit + (run / 2) * 512 + lane * 16 + (run % 2) * 8);
        Words2 lines = *(const Words2 *)(unit + 1024 + (lane / 4) * 32 + run * 8);
        u32 pairs[4];
        nibbles_of(words.x, pairs);
        apply(pairs, lines.x);
        place_row<0>(fragment, pairs);
        nibbles_of(words.y, pairs);
        apply(pairs, lines.y);
        place_row<1>(fragment, pairs);
    }
    FUNCTION static void scales(const u8 *, int, int, float *) {}
    FUNCTION static void apply(u32 *pairs, u32 line) {
        u32 scale = pick_bytes(line, 0, 0x1010), least = pick_bytes(line, 0, 0x3232);
        pairs[0] = halves_fma(halves_add(pairs[0], 0xe400e400u), scale, least);
        pairs[1] = halves_fma(halves_fma(pairs[1], 0x2c002c00u, 0xd400d400u), scale, least);
        pairs[2] = halves_fma(halves_add(pairs[2], 0xe400e400u), scale, least);
        pairs[3] = halves_fma(halves_fma(pairs[3], 0x2c002c00u, 0xd400d400u), scale, least);
    }
};

// Bytes around 128, [run][lane][row][8], then scales.
FUNCTION void bytes_of(const u8 *unit, int lane, int run, u32 *fragment) {
    Words4 words = *(const Words4 *)(unit + run * 512 + lane * 16);
    u32 rows[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int row = 0; row < 2; row++) {
        u32 pairs[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 pair = pick_bytes(rows[2 * row + i / 2], 0x64646464u, i % 2 ? 0x4342 : 0x4140);
            pairs[i] = halves_add(pair, 0xe480e480u);
        }
        if (row == 0) place_row<0>(fragment, pairs);
        else place_row<1>(fragment, pairs);
    }
}

// Scales [g][run][row]: Q8_0.
struct Bytes : InOnePiece<2176> {
    static const int SCALES = 1;
    FUNCTION static void weights(const u8 *unit, int lane, int run, u32 *fragment) { bytes_of(unit, lane, run, fragment); }
    FUNCTION static void scales(const u8 *unit, int lane, int run, float *scale) {
        u32 pair = *(const u32 *)(unit + 2048 + (lane / 4) * 16 + run * 4);
        scale[0] = lower_half(pair);
        scale[1] = upper_half(pair);
    }
};

// Scales per 16, [g][run][half of it][row].
FUNCTION void half_run_scales(const u8 *at, int lane, int run, float *scale) {
    Words2 pairs = *(const Words2 *)(at + (lane / 4) * 32 + run * 8);
    scale[0] = lower_half(pairs.x);
    scale[1] = upper_half(pairs.x);
    scale[2] = lower_half(pairs.y);
    scale[3] = upper_half(pairs.y);
}

// Any type of integers of 8 bits with a scale per 16.
struct FineBytes : InOnePiece<2304> {
    static const int SCALES = 2;
    FUNCTION static void weights(const u8 *unit, int lane, int run, u32 *fragment) { bytes_of(unit, lane, run, fragment); }
    FUNCTION static void scales(const u8 *unit, int lane, int run, float *scale) { half_run_scales(unit + 2048, lane, run, scale); }
};

// Six bits around 32 and a scale per 16: Q6_K. Nibbles as in Nibbles, then the upper bits, [lane][run] of words, where pair i of
// row r (0 or 1 for g and g + 8) is at bits 2 (i + 4 r) and 16 more; then scales.
struct Sixes : InOnePiece<1792> {
    static const int SCALES = 2;
    FUNCTION static void weights(const u8 *unit, int lane, int run, u32 *fragment) {
        Words2 words = *(const Words2 *)(unit + (run / 2) * 512 + lane * 16 + (run % 2) * 8);
        u32 upper = *(const u32 *)(unit + 1024 + lane * 16 + run * 4);
        u32 rows[2] = {words.x, words.y};
#pragma unroll
        for (int row = 0; row < 2; row++) {
            u32 pairs[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                u32 high = ((upper >> (2 * (i + 4 * row))) & 0x00030003u) << 4;
                pairs[i] = halves_add(((rows[row] >> (4 * i)) & 0x000f000fu) | high | HALVES_1024, 0xe420e420u);
            }
            if (row == 0) place_row<0>(fragment, pairs);
            else place_row<1>(fragment, pairs);
        }
    }
    FUNCTION static void scales(const u8 *unit, int lane, int run, float *scale) { half_run_scales(unit + 1536, lane, run, scale); }
};

// Halves as the tiles of gemm.cu want them: pieces of 128 rows and 64 slots, a row of a piece is 128 bytes whose chunks of 16 are
// swapped by the row's number. A unit is its 16 rows of two pieces.
#define PIECE_BYTES 16384
struct Halves {
    static const int BYTES = 4096;
    static const int SCALES = 0;
    FUNCTION static void copy(u8 *to, const u8 *matrix, int tile, int unit, int units, int thread, int threads) {
        const u8 *from = matrix + ((u64)(tile / 8) * (u64)(2 * units) + (u64)(2 * unit)) * PIECE_BYTES + (tile % 8) * 2048;
        copy_piece<2048>(to, from, thread, threads);
        copy_piece<2048>(to + 2048, from + PIECE_BYTES, thread, threads);
    }
    FUNCTION static void weights(const u8 *unit, int lane, int run, u32 *fragment) {
        int g = lane / 4, chunk = (4 * (run % 2) + lane % 4) ^ g;
        const u8 *row = unit + (run / 2) * 2048 + g * 128 + chunk * 16;
        Words4 first = *(const Words4 *)row, second = *(const Words4 *)(row + 1024);
        fragment[0] = first.x;
        fragment[1] = second.x;
        fragment[2] = first.y;
        fragment[3] = second.y;
        fragment[4] = first.z;
        fragment[5] = second.z;
        fragment[6] = first.w;
        fragment[7] = second.w;
    }
    FUNCTION static void scales(const u8 *, int, int, float *) {}
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
