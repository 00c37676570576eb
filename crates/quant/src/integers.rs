//! The form in which blocks of the newer types are read: integers of 8 bits, and a scale per 16 values.

/// Values that share a scale, at least.
pub const SUB: usize = 16;

/// Reads one block: its bytes in both planes, one integer per value, one scale per [`SUB`] values. Each value is integer times
/// scale. Panics where a slice is shorter than the block.
pub type Integers = fn(&[u8], &[u8], &mut [i8], &mut [f32]);

/// Decodes blocks of `BYTES` bytes and `LEN` values (256 at most), with `PLANE` bytes in the second plane.
pub(crate) fn decode<const BYTES: usize, const PLANE: usize, const LEN: usize>(
    (data, plane): (&[u8], &[u8]),
    out: &mut [f32],
    integers: Integers,
) {
    let mut codes = [0; LEN];
    let mut scales = [0.0; 16];
    let blocks = data.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<LEN>().0);
    for (i, (block, out)) in blocks.enumerate() {
        let plane = plane.get(i * PLANE..(i + 1) * PLANE).unwrap_or(&[0; PLANE]);
        integers(block, plane, &mut codes, &mut scales);
        for ((out, codes), scale) in out.chunks_mut(SUB).zip(codes.chunks(SUB)).zip(scales) {
            for (out, code) in out.iter_mut().zip(codes) {
                *out = scale * f32::from(*code);
            }
        }
    }
}
