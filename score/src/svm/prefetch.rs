//! Hints to the processor: what will be read soon.
//!
//! *Why*: the models of all sensors do not fit into the near caches, and each row needs another one. While one
//! row is computed, the next one's model can be on its way.
#![allow(unsafe_code)]

/// Bytes that come together.
const LINE: usize = 64;
/// Of something large the first bytes are enough: the processor itself sees then that the next ones follow,
/// and more would push out what is near.
const BYTES_MAX: usize = 4096;

/// All of a slice.
#[inline]
pub(crate) fn slice<T>(values: &[T]) {
    bytes(values.as_ptr().cast(), size_of_val(values));
}

/// What a reference points to.
#[inline]
pub(crate) fn value<T: ?Sized>(value: &T) {
    bytes(std::ptr::from_ref(value).cast(), size_of_val(value));
}

#[inline]
fn bytes(start: *const u8, length: usize) {
    for offset in (0..length.min(BYTES_MAX)).step_by(LINE) {
        line(start.wrapping_add(offset));
    }
}

#[inline]
fn line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that the program could see, and no address makes it fail.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
