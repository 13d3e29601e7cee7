//! The lengths in the binary packet protocol, in bytes.

/// The longest packet that is taken once there are keys, without its length field and tag. As much as
/// OpenSSH sends.
pub(crate) const MAX_PACKET: usize = 256 * 1024;
/// The longest packet that is taken before. RFC 4253 section 6.1 has every program take as much.
pub(crate) const MAX_PLAIN_PACKET: usize = 35_000;

pub(crate) const LENGTH_LEN: usize = 4;
pub(crate) const TAG_LEN: usize = 16;
pub(crate) const MIN_PADDING: usize = 4;
