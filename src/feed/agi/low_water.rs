//! Bytes that must have come before the kernel wakes anybody (`SO_RCVLOWAT`).
//!
//! An Asterisk sends a request in some forty writes, and each of them would wake a task here, and cost the phone
//! call's own thread the time to do so. A connection inherits the mark from its listener, so all this costs is
//! one call to the kernel to take it away. A hint and nothing more: where it cannot be set, all works as well.

use std::ffi::c_int;
use std::os::fd::AsRawFd;

/// Connections to `listener` are told as readable when so many bytes have come, or the end.
pub(super) fn set(listener: &impl AsRawFd, bytes: u16) {
    set_option(listener, c_int::from(bytes));
}

/// From now on each byte counts; what lies there is told at once.
pub(super) fn lift(stream: &impl AsRawFd) {
    set_option(stream, 1);
}

#[allow(unsafe_code)] // no crate that we have knows this option
fn set_option(socket: &impl AsRawFd, bytes: c_int) {
    let size = libc::socklen_t::try_from(size_of::<c_int>()).unwrap_or_default();
    // SAFETY: the kernel reads `size` bytes from a pointer to a value of that size, which outlives the call, and
    // the descriptor is open while its owner is borrowed.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            std::ptr::from_ref(&bytes).cast(),
            size,
        );
    }
}
