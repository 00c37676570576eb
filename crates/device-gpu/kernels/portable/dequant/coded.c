// Weights as integers of a byte each, four to a word: what products by bytes take, and floats are made of (decoded.c).
typedef struct {
    u32 words[2];
    // Factor of the integers, and what is added then in types that have a minimum (HAS_MINIMUM).
    float scale, minimum;
} Coded;

// Signed bytes of unsigned ones less `middle`, where no result is beyond a signed byte: nothing is carried between neighbours.
FUNCTION u32 centred(u32 bytes, u32 middle) { return (bytes + (128u - middle) * 0x01010101u) ^ 0x80808080u; }
// Four bits, each as the lowest of a byte.
FUNCTION u32 spread_bits(u32 four) { return (four & 15) * 0x00204081u & 0x01010101u; }
