//! The form in which blocks of the newer types are read: integers of 8 bits, and a scale per 16 values.

/// Values that share a scale, at least.
pub const SUB: usize = 16;

/// Reads one block: its bytes, one integer per value, one scale per [`SUB`] values. Each value is integer times scale.
pub type Integers = fn(&[u8], &mut [i8], &mut [f32]);

/// Decodes blocks of `BYTES` bytes and `LEN` values (256 at most).
pub(crate) fn decode<const BYTES: usize, const LEN: usize>(data: &[u8], out: &mut [f32], integers: Integers) {
    let mut codes = [0; LEN];
    let mut scales = [0.0; 16];
    for (block, out) in data.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<LEN>().0) {
        integers(block, &mut codes, &mut scales);
        for ((out, codes), scale) in out.chunks_mut(SUB).zip(codes.chunks(SUB)).zip(scales) {
            for (out, code) in out.iter_mut().zip(codes) {
                *out = scale * f32::from(*code);
            }
        }
    }
}
