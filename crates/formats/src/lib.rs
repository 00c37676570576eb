//! Model files (GGUF, safetensors, native .bin) to one Checkpoint; every byte is hostile.
