//! The constants of a connection that many links share (SPEC section 3.4).
//!
//! The streams themselves are yamux's.

/// The magic of a host's direction. A login shell may print something before it.
pub const HOST_MAGIC: [u8; 8] = *b"\xc1rejoin]";
/// The magic of a client's direction.
pub const CLIENT_MAGIC: [u8; 8] = *b"\xc1rejoin[";
/// How many streams a host serves at once over one connection; it resets any further stream. Each stream
/// costs the host a descriptor, and a process usually has 1,024.
pub const MAX_STREAMS: usize = 512;
/// How much may be in transit in one direction of one stream, unread, in bytes. It does not grow, because
/// every stream may have to wait for what another stream has in transit.
pub const WINDOW: usize = 256 * 1024;
/// The longest Data frame that an end sends, in bytes: streams take turns frame by frame.
pub const MAX_FRAME: usize = 4 * 1024;

/// How both ends set yamux up.
///
/// The window of a stream does not grow, because the total for the connection leaves no room for that. yamux allows twice
/// [`MAX_STREAMS`]: it counts a stream that has ended until it has noticed the end, and it ends the connection at one
/// stream too many, where a host only resets that stream.
#[cfg(feature = "yamux")]
pub fn yamux_config() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_connection_receive_window(Some(2 * MAX_STREAMS * WINDOW));
    config.set_max_num_streams(2 * MAX_STREAMS);
    config.set_split_send_size(MAX_FRAME);
    config
}
