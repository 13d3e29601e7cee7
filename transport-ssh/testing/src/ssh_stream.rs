//! Splits the stream of an SSH server.

use std::ops::Range;

const NEWKEYS: u8 = 21;
/// Behind each packet that is sealed with AES-GCM.
const TAG: usize = 16;

/// The parts of an SSH server's output: its identification, then each packet that is there as a
/// whole. From its NEWKEYS on the lengths of packets can be read only if the cipher is AES-GCM.
pub fn ssh_parts(stream: &[u8]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let line = stream.iter().position(|byte| *byte == b'\n');
    let (mut end, mut tag) = (line.map_or(0, |line| line + 1), 0);
    parts.extend((end > 0).then_some(0..end));
    while let Some(length) = stream[end..].first_chunk().filter(|_| end > 0) {
        let length = u32::from_be_bytes(*length).try_into().unwrap_or(usize::MAX);
        let Some(packet) = stream[end..].get(..length.saturating_add(4 + tag)) else { break };
        parts.push(end..end + packet.len());
        end += packet.len();
        if tag == 0 && packet.get(5) == Some(&NEWKEYS) {
            tag = TAG;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::ssh_parts;

    #[test]
    fn each_part_that_is_whole_has_its_place() {
        let stream = b"SSH-2.0-x\r\n\0\0\0\x02\x05\x14\0\0\0\x02\x05\x15\
            \0\0\0\x01x0123456789abcdef\0\0\0\x09cut";
        assert_eq!(ssh_parts(stream), [0..11, 11..17, 17..23, 23..44]);
        assert!(ssh_parts(b"SSH-2.0").is_empty());
    }
}
