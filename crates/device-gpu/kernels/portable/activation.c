// The functions between the halves of a feed-forward block, by number: the order of torchless_device::Activation.
FUNCTION float sigmoid_of(float x) { return 1.0f / (1.0f + EXP(-x)); }

FUNCTION float activation(int which, float x) {
    switch (which) {
    case 0: return x * sigmoid_of(x);
    case 1: return 0.5f * x * (1.0f + ERF(x * 0.70710678118654752f));
    case 2: return x * sigmoid_of(2.0f * 0.7978845608028654f * x * (1.0f + 0.044715f * x * x));
    case 3: return x * sigmoid_of(1.702f * x);
    case 4: return FMAX(x, 0.0f);
    case 5: return FMAX(x, 0.0f) * FMAX(x, 0.0f);
    default: return TANH(x);
    }
}
