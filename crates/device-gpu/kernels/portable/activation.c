// The functions between the halves of a feed-forward block, by number, as device/mod.rs gives them.
FUNCTION float sigmoid_of(float x) { return 1.0f / (1.0f + EXP(-x)); }

FUNCTION float gelu_by_tanh(float x) {
    return x * sigmoid_of(2.0f * 0.7978845608028654f * x * (1.0f + 0.044715f * x * x));
}

// Of the value as a half, the result as a half: what ggml looks up in a table.
FUNCTION float gelu_by_halves(float x) {
    if (x <= -10.0f) return 0.0f;
    return x < 10.0f ? from_half(to_half(gelu_by_tanh(from_half(to_half(x))))) : x;
}

FUNCTION float activation(int which, float x) {
    switch (which) {
    case 0: return x * sigmoid_of(x);
    case 1: return 0.5f * x * (1.0f + ERF(x * 0.70710678118654752f));
    case 2: return gelu_by_tanh(x);
    case 3: return x * sigmoid_of(1.702f * x);
    case 4: return FMAX(x, 0.0f);
    case 5: return FMAX(x, 0.0f) * FMAX(x, 0.0f);
    case 6: return TANH(x);
    default: return gelu_by_halves(x);
    }
}
