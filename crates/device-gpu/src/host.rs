//! Numbers of the host as the bytes that a device gets.

macro_rules! bytes_of {
    ($name:ident, $ty:ty) => {
        /// The bytes of the values, in the order of this machine.
        pub(crate) fn $name(values: &[$ty]) -> &[u8] {
            // SAFETY: every byte of the values is initialised and may be read as a u8, whose alignment is 1; the length is theirs.
            unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
        }
    };
}

bytes_of!(float_bytes, f32);
bytes_of!(int_bytes, i32);

macro_rules! bytes_of_mut {
    ($name:ident, $ty:ty) => {
        /// The bytes of the values, to be written.
        pub(crate) fn $name(values: &mut [$ty]) -> &mut [u8] {
            // SAFETY: as above, and any bytes make valid values; the borrow is exclusive.
            unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
        }
    };
}

bytes_of_mut!(float_bytes_mut, f32);
bytes_of_mut!(int_bytes_mut, i32);
