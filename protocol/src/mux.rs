//! What both ends of a connection that many links share have to agree on (SPEC section 3.4).
//!
//! Numbers and names only: the streams themselves are yamux's.

/// What a host's direction starts with, behind whatever a login shell printed.
pub const HOST_MAGIC: [u8; 8] = *b"\xc1rejoin]";
/// What a client's direction starts with.
pub const CLIENT_MAGIC: [u8; 8] = *b"\xc1rejoin[";
/// How many streams a host serves at once over one connection; what is opened beyond is reset.
/// Each costs the host a descriptor, of which a process usually has 1,024.
pub const MAX_STREAMS: usize = 512;
/// How much may be on its way in one direction of one stream, unread, in bytes. It does not grow:
/// what a stream has on its way, every other one may have to wait for.
pub const WINDOW: usize = 256 * 1024;
/// The longest data frame that an end sends, in bytes: streams take turns by the frame.
pub const MAX_FRAME: usize = 4 * 1024;
