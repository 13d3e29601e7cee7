//! Exchanges, against published numbers and recordings of real servers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_768};
use bytes::BytesMut;
use rejoin_testing::Sshd;

use super::*;
use zeroize::Zeroizing;

use crate::hex::{hex, unhex};
use crate::message;
use crate::negotiate::{NameLists, negotiate};
use crate::packet::{Cipher, OpeningKey, Packet, PacketReader};
use crate::wire::Reader;
use crate::{Client, Config, HandshakeMode, HostKeyAlgorithm, Scheme, UserKey};

#[test]
fn x25519_is_as_in_rfc_7748() {
    let alice = unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let ephemeral = EphemeralKey::from_parts(Kex::Curve25519, &alice, &[]).unwrap();
    let public = unhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert_eq!(ephemeral.public(), public);
    let bob = unhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    let shared = "00000020 4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    assert_eq!(*ephemeral.agree(&bob).unwrap(), unhex(shared));
}

#[test]
fn p256_is_as_in_rfc_5903() {
    let private = unhex("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433");
    let ephemeral = EphemeralKey::from_parts(Kex::NistP256, &private, &[]).unwrap();
    let public = unhex(
        "04 dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180
            5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
    );
    assert_eq!(ephemeral.public(), public);
    let other = unhex(
        "04 d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63
            56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
    );
    // The number starts with a one bit: a zero byte is in front.
    let shared = "00000021 00d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de";
    assert_eq!(*ephemeral.agree(&other).unwrap(), unhex(shared));
}

#[test]
fn both_sides_of_every_exchange_agree() {
    for kex in Kex::ALL {
        let ephemeral = EphemeralKey::generate(kex).unwrap();
        let (reply, theirs) = respond(kex, ephemeral.public()).unwrap();
        assert_eq!(ephemeral.agree(&reply).unwrap(), theirs, "{kex:?}");
    }
}

#[test]
fn a_reply_that_was_changed_gives_another_secret_or_none() {
    for kex in Kex::ALL {
        let reply_len =
            respond(kex, EphemeralKey::generate(kex).unwrap().public()).unwrap().0.len();
        for at in (0..reply_len).step_by(reply_len / 16) {
            let ephemeral = EphemeralKey::generate(kex).unwrap();
            let (mut reply, theirs) = respond(kex, ephemeral.public()).unwrap();
            reply[at] ^= 1;
            assert_ne!(ephemeral.agree(&reply), Ok(theirs), "{kex:?}, byte {at}");
        }
    }
}

#[test]
fn replies_that_cannot_be_are_refused() {
    for kex in Kex::ALL {
        let (reply, _) = respond(kex, EphemeralKey::generate(kex).unwrap().public()).unwrap();
        let longer = [&reply[..], &[0]].concat();
        let mut zero = reply.clone();
        let split = reply.len() - 32;
        zero[split..].fill(0);
        for wrong in [&[][..], &reply[1..], &reply[..reply.len() - 1], &longer, &zero] {
            let ephemeral = EphemeralKey::generate(kex).unwrap();
            assert!(ephemeral.agree(wrong).is_err(), "{kex:?}, {} bytes", wrong.len());
        }
    }
    // The same point, shorter: what no server sends.
    let compressed = unhex("02 d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63");
    assert!(EphemeralKey::generate(Kex::NistP256).unwrap().agree(&compressed).is_err());
}

#[test]
fn a_reply_of_any_bytes_is_taken_or_refused() {
    for kex in Kex::ALL {
        let mut reply = respond(kex, EphemeralKey::generate(kex).unwrap().public()).unwrap().0;
        for round in 0..40 {
            match round {
                0 => reply.fill(0xff),
                1 => reply.fill(0x7f),
                _ => aws_lc_rs::rand::fill(&mut reply).unwrap(),
            }
            // Whatever comes of it: the host has no signature for it.
            drop(EphemeralKey::generate(kex).unwrap().agree(&reply));
        }
    }
}

/// What a client with a known private key and a server have said to each other, up to where the server waits:
/// with OpenSSH, behind its first sealed packet.
struct Recording {
    kex: Kex,
    cipher: Cipher,
    curve: Vec<u8>,
    post_quantum: Vec<u8>,
    client: Vec<u8>,
    server: Vec<u8>,
}

fn next(packet_reader: &mut PacketReader, kind: u8) -> Option<Packet> {
    let packet = packet_reader.next().unwrap()?;
    assert_eq!(packet.payload[0], kind);
    Some(packet)
}

impl Recording {
    fn ephemeral(&self) -> EphemeralKey {
        EphemeralKey::from_parts(self.kex, &self.curve, &self.post_quantum).unwrap()
    }

    /// Goes through it with the private key: the host's signature over the exchange hash holds, and what is
    /// sealed can be opened. None if something is still missing.
    fn replay(&self) -> Option<()> {
        let (mut client, mut server) = (PacketReader::default(), PacketReader::default());
        client.feed(&self.client);
        server.feed(&self.server);
        let (client_ident, server_ident) = (client.line().unwrap()?, server.line().unwrap()?);
        let client_init = next(&mut client, message::KEXINIT)?.payload;
        let server_init = next(&mut server, message::KEXINIT)?.payload;
        let lists = NameLists::decode(&server_init).unwrap();
        let host_key = HostKeyAlgorithm::plain(Scheme::Ed25519);
        negotiate(&[self.kex], &[host_key], &[self.cipher], &lists).unwrap();
        let half = next(&mut client, message::KEX_ECDH_INIT)?.payload;
        let ephemeral = self.ephemeral();
        assert_eq!(Reader::new(&half[1..]).string().unwrap(), ephemeral.public());
        let reply = next(&mut server, message::KEX_ECDH_REPLY)?.payload;
        let mut reader = Reader::new(&reply[1..]);
        let (blob, server_public) = (reader.string().unwrap(), reader.string().unwrap());
        let client_public = ephemeral.public().to_vec();
        let exchange = ExchangeTranscript {
            client_ident: &client_ident,
            server_ident: &server_ident,
            client_init: &client_init,
            server_init: &server_init,
            host_key: blob,
            client_public: &client_public,
            server_public,
        };
        let shared = ephemeral.agree(server_public).unwrap();
        let secrets = ExchangeSecrets::new(self.kex, &exchange, shared);
        host_key.verify(blob, reader.string().unwrap(), secrets.hash()).unwrap();
        next(&mut server, message::NEWKEYS)?;
        server.rekey(OpeningKey::new(&secrets.keys(Sender::Server, self.cipher)).unwrap());
        if self.kex == Kex::MlKem768X25519 {
            // This one was recorded of russh, which says no more before it is asked.
            return Some(());
        }
        next(&mut server, message::EXT_INFO).map(drop)
    }

    fn record(kex: Kex, cipher: Cipher, addr: SocketAddr) -> Self {
        let mut curve = vec![0; 32];
        aws_lc_rs::rand::fill(&mut curve).unwrap();
        let post_quantum = match kex {
            Kex::MlKem768X25519 => {
                let key = DecapsulationKey::generate(&ML_KEM_768).unwrap();
                key.key_bytes().unwrap().as_ref().to_vec()
            }
            Kex::Sntrup761X25519 => sntrup761::generate_key_from_seed([9; 32]).1.as_ref().to_vec(),
            _ => Vec::new(),
        };
        let (client, server) = (Vec::new(), Vec::new());
        let mut recording = Self { kex, cipher, curve, post_quantum, client, server };
        let host_key = HostKeyAlgorithm::plain(Scheme::Ed25519);
        let ephemeral = recording.ephemeral();
        let (is_hostbound, channel, ahead) = (false, None, 0);
        let handshake =
            HandshakeMode::Predicted { ephemeral, host_key, is_hostbound, channel, ahead };
        let key = UserKey { blob: vec![], algorithm: String::new() };
        let (user, command) = (String::new(), Vec::new());
        let client = Client::new(Config { user, key, command, ciphers: vec![cipher], handshake });
        recording.client = client.unwrap().output().to_vec();
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&recording.client).unwrap();
        let mut buffer = [0; 8192];
        while recording.replay().is_none() {
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "{kex:?}");
            recording.server.extend_from_slice(&buffer[..count]);
        }
        recording
    }

    fn write(&self) -> String {
        let rest =
            [&self.curve, &self.post_quantum, &self.client, &self.server].map(|part| hex(part));
        format!("{} {} {}\n", self.kex.names()[0], self.cipher.name(), rest.join(" "))
    }

    fn read(line: &str) -> Self {
        let parts: Vec<&str> = line.split(' ').collect();
        let [kex, cipher, curve, post_quantum, client, server] = parts[..] else {
            panic!("{} parts", parts.len())
        };
        Self {
            kex: Kex::ALL.into_iter().find(|known| known.names().contains(&kex)).unwrap(),
            cipher: Cipher::ALL.into_iter().find(|known| known.name() == cipher).unwrap(),
            curve: unhex(curve),
            post_quantum: unhex(post_quantum),
            client: unhex(client),
            server: unhex(server),
        }
    }
}

/// Every exchange and every cipher once. `UPDATE_EXCHANGES=1` records them anew, of whatever the sshd here has;
/// the others stay.
#[test]
fn what_real_servers_said_is_understood() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/exchanges.txt");
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    let mut recordings: Vec<Recording> = recorded.lines().map(Recording::read).collect();
    if std::env::var_os("UPDATE_EXCHANGES").is_some() {
        recordings.retain(|recording| recording.kex == Kex::MlKem768X25519);
        let sshd = Sshd::start().unwrap();
        let pairs = [Kex::Sntrup761X25519, Kex::Curve25519, Kex::NistP256].into_iter();
        for (kex, cipher) in pairs.zip(Cipher::ALL) {
            recordings.push(Recording::record(kex, cipher, sshd.addr()));
        }
        let written: String = recordings.iter().map(Recording::write).collect();
        std::fs::write(&path, written).unwrap();
    }
    for kex in Kex::ALL {
        assert!(recordings.iter().any(|recording| recording.kex == kex), "no {kex:?}");
    }
    for recording in &mut recordings {
        recording.replay().unwrap();
        let end = recording.server.len();
        recording.server.truncate(end - 1);
        assert!(recording.replay().is_none());
    }
}

#[test]
fn keys_of_both_directions_and_all_lengths_differ() {
    let said = ExchangeTranscript {
        client_ident: b"c",
        server_ident: b"s",
        client_init: b"",
        server_init: b"",
        host_key: b"",
        client_public: b"",
        server_public: b"",
    };
    let secrets = ExchangeSecrets::new(Kex::Curve25519, &said, Zeroizing::new(vec![1; 36]));
    let mut seen = BytesMut::new();
    for cipher in Cipher::ALL {
        for side in [Sender::Client, Sender::Server] {
            let keys = secrets.keys(side, cipher);
            assert_eq!((keys.key.len(), keys.iv.len()), (cipher.key_len(), cipher.iv_len()));
            seen.extend_from_slice(&keys.key[..16]);
        }
    }
    let (ours, theirs) = (&seen[..16], &seen[16..32]);
    assert_ne!(ours, theirs);
    // A longer key starts as a shorter one does.
    assert!(seen.chunks(32).all(|pair| pair == [ours, theirs].concat()));
}
