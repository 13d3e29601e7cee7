//! Registers descriptors with the runtime.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Registers `fd` with the runtime. It must be non-blocking.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names an open file, and stays open and the same until it is dropped;
    // the `AsyncFd` owns it, and only lends it out shared.
    unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)
}
