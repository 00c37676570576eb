//! From logits to one token: stages in a fixed order, seeded.
