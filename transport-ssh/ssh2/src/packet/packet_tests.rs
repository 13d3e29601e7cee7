//! Packets, against published bytes and against each other.

use bytes::BytesMut;
use zeroize::Zeroizing;

use super::sizes::MAX_PLAIN_PACKET;
use super::*;
use crate::hex::unhex;

fn keys(cipher: Cipher, fill: u8) -> DirectionKeys {
    DirectionKeys {
        cipher,
        key: Zeroizing::new(vec![fill; cipher.key_len()]),
        iv: Zeroizing::new(vec![fill; cipher.iv_len()]),
    }
}

fn pair(cipher: Cipher) -> (PacketWriter, PacketReader) {
    let (mut packet_writer, mut packet_reader) = (PacketWriter::default(), PacketReader::default());
    packet_writer.rekey(SealingKey::new(&keys(cipher, 1)).unwrap());
    packet_reader.rekey(OpeningKey::new(&keys(cipher, 1)).unwrap());
    (packet_writer, packet_reader)
}

fn sealed(packet_writer: &mut PacketWriter, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    packet_writer.seal(payload, &mut out).unwrap();
    out
}

/// The worked example of draft-ietf-sshm-chacha20-poly1305, appendix A.
#[test]
fn chacha20_poly1305_is_as_published() {
    let key = unhex(
        "8bbff6855fc102338c373e73aac0c914f076a905b2444a32eecaffeae22becc5
         e9b7a7a5825a8249346ec1c28301cf394543fc7569887d76e168f37562ac0740",
    );
    let plain = unhex(
        "00000048065e00000000000000384c6f72656d20697073756d20646f6c6f7220
         73697420616d65742c20636f6e7365637465747572206164697069736963696e
         6720656c69744e43e804dc6c",
    );
    let sent = unhex(
        "2c3ecce4a5bc05895bf07a7ba956b6c68829ac7c83b780b7000ecde745afc705
         bbc378ce03a280236b87b53bed5839662302b164b6286a48cd1e097138e3cb90
         9b8b2b829dd18d2a35ff82d995349e855bf02c298ef775f2d1a7e8b8",
    );
    let keys = DirectionKeys {
        cipher: Cipher::ChaCha20Poly1305,
        key: Zeroizing::new(key),
        iv: Zeroizing::default(),
    };
    let mut packet = plain.clone();
    let tag = SealingKey::new(&keys).unwrap().seal(7, &mut packet).unwrap().unwrap();
    assert_eq!([&packet[..], &tag].concat(), sent);

    let mut packet_reader = PacketReader::default();
    packet_reader.rekey(OpeningKey::new(&keys).unwrap());
    packet_reader.number(7);
    packet_reader.feed(&sent);
    let packet = packet_reader.next().unwrap().unwrap();
    assert_eq!((packet.sequence, &packet.payload[..]), (7, &plain[5..plain.len() - 6]));
}

#[test]
fn payloads_of_every_length_arrive_in_whatever_pieces() {
    for cipher in Cipher::ALL.map(Some).into_iter().chain([None]) {
        let (mut packet_writer, mut packet_reader) = cipher.map(pair).unwrap_or_default();
        for length in 1..100 {
            let payload = vec![length; usize::from(length)];
            let packet = sealed(&mut packet_writer, &payload);
            let (last, most) = packet.split_last().unwrap();
            for byte in most {
                packet_reader.feed(&[*byte]);
                assert!(packet_reader.next().unwrap().is_none());
            }
            packet_reader.feed(&[*last]);
            assert_eq!(packet_reader.next().unwrap().unwrap().payload, payload);
        }
        assert_eq!(packet_reader.buffered(), 0);
    }
}

#[test]
fn padding_is_as_rfc_4253_has_it() {
    for (cipher, apart, block) in
        [(None, 4, 8), (Some(Cipher::ChaCha20Poly1305), 0, 8), (Some(Cipher::Aes256Gcm), 0, 16)]
    {
        let key =
            cipher.map_or(SealingKey::None, |cipher| SealingKey::new(&keys(cipher, 1)).unwrap());
        for length in 1..100 {
            let padding = key.padding(length);
            assert!((4..=255).contains(&padding));
            assert_eq!((apart + 1 + length + padding) % block, 0);
        }
    }
}

#[test]
fn no_bit_of_a_sealed_packet_can_be_changed() {
    for cipher in Cipher::ALL {
        let packet = sealed(&mut pair(cipher).0, b"some payload");
        for at in 0..packet.len() * 8 {
            let mut packet_reader = pair(cipher).1;
            let mut packet = packet.clone();
            packet[at / 8] ^= 1 << (at % 8);
            packet_reader.feed(&packet);
            // A longer length has it wait; more of anything shows then.
            packet_reader.feed(&vec![0; MAX_PACKET + TAG_LEN]);
            assert!(packet_reader.next().is_err(), "{cipher:?}, bit {at}");
        }
    }
}

#[test]
fn packets_come_in_their_order_or_not_at_all() {
    for cipher in Cipher::ALL {
        let (mut packet_writer, mut packet_reader) = pair(cipher);
        let first = sealed(&mut packet_writer, b"first");
        let second = sealed(&mut packet_writer, b"second");
        packet_reader.feed(&second);
        packet_reader.feed(&first);
        packet_reader.feed(&vec![0; MAX_PACKET]);
        assert!(packet_reader.next().is_err(), "{cipher:?}");
    }
}

#[test]
fn lengths_that_cannot_be_are_refused_before_anything_follows() {
    let too_long = u32::try_from(MAX_PLAIN_PACKET + 8).unwrap() / 8 * 8 + 4;
    for length in [0, 1, 4, 11, 13, too_long, u32::MAX] {
        let mut packet_reader = PacketReader::default();
        packet_reader.feed(&length.to_be_bytes());
        assert!(matches!(packet_reader.next(), Err(Error::Peer(Violation::Malformed))), "{length}");
    }
}

#[test]
fn padding_that_leaves_no_payload_is_refused() {
    for padding in [0, 3, 11, 12, 255] {
        let mut packet_reader = PacketReader::default();
        packet_reader.feed(&12_u32.to_be_bytes());
        packet_reader.feed(&[padding]);
        packet_reader.feed(&[0; 11]);
        assert!(
            matches!(packet_reader.next(), Err(Error::Peer(Violation::Malformed))),
            "{padding}"
        );
    }
}

#[test]
fn a_key_is_worn_after_a_gigabyte_and_a_new_one_is_not() {
    let (mut packet_writer, mut packet_reader) = pair(Cipher::Aes128Gcm);
    let packet = sealed(&mut packet_writer, b"payload");
    let before = MAX_UNDER_ONE_KEY - packet.len() as u64;
    for (sealed_before, is_worn) in [(before - 1, false), (before, true)] {
        let (mut packet_writer, mut packet_reader) = pair(Cipher::Aes128Gcm);
        packet_writer.wear(sealed_before);
        packet_reader.wear(sealed_before);
        packet_reader.feed(&sealed(&mut packet_writer, b"payload"));
        packet_reader.next().unwrap().unwrap();
        assert_eq!((packet_writer.is_worn(), packet_reader.is_worn()), (is_worn, is_worn));
    }
    packet_writer.wear(u64::MAX / 2);
    packet_writer.number(9);
    packet_writer.rekey(SealingKey::new(&keys(Cipher::Aes256Gcm, 2)).unwrap());
    packet_reader.rekey(OpeningKey::new(&keys(Cipher::Aes256Gcm, 2)).unwrap());
    assert!(!packet_writer.is_worn());
    packet_reader.feed(&sealed(&mut packet_writer, b"anew"));
    assert_eq!(packet_reader.next().unwrap().unwrap().sequence, 0);
}

#[test]
fn a_line_ends_before_its_bound_and_without_its_end() {
    let mut packet_reader = PacketReader::default();
    packet_reader.feed(b"one\r\ntwo\n\nrest");
    let mut lines = Vec::new();
    while let Some(line) = packet_reader.line().unwrap() {
        lines.push(line);
    }
    assert_eq!(lines, ["one", "two", ""]);
    packet_reader.feed(&vec![b'x'; MAX_LINE]);
    assert!(matches!(packet_reader.line(), Err(Error::Peer(Violation::TooMuch))));
}
