//! KEXINIT: which methods each side has, and which are taken (RFC 4253 section 7.1).

use crate::error::{Error, Method, Unsuitable, Violation};
use crate::host_key::HostKeyAlgorithm;
use crate::kex::Kex;
use crate::message;
use crate::packet::Cipher;
use crate::wire::{Reader, Writer};

const COOKIE_LEN: usize = 16;
const STRICT_CLIENT: &str = "kex-strict-c-v00@openssh.com";
pub(crate) const STRICT_SERVER: &str = "kex-strict-s-v00@openssh.com";
const EXTENSIONS: &str = "ext-info-c";
/// They go unused beside ciphers that authenticate. Servers that insist on a common one find it.
const MACS: [&str; 2] = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"];

/// The names that one side has, in its order of preference. Nothing about them is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NameLists {
    /// Key exchanges, and markers among them.
    pub kex: Vec<String>,
    /// Kinds of host keys.
    pub host_keys: Vec<String>,
    /// Ciphers from client to server.
    pub ciphers_to_server: Vec<String>,
    /// Ciphers from server to client.
    pub ciphers_to_client: Vec<String>,
    /// MACs from client to server.
    pub macs_to_server: Vec<String>,
    /// MACs from server to client.
    pub macs_to_client: Vec<String>,
    /// Compressions from client to server.
    pub compressions_to_server: Vec<String>,
    /// Compressions from server to client.
    pub compressions_to_client: Vec<String>,
}

impl NameLists {
    /// The first of these key exchanges that is in the lists.
    pub fn first_kex(&self, preferred: &[Kex]) -> Option<Kex> {
        let has = |kex: &Kex| kex.names().iter().any(|name| is_in(&self.kex, name));
        preferred.iter().copied().find(has)
    }

    /// The first of these kinds of host keys that is in the lists.
    pub fn first_host_key(&self, preferred: &[HostKeyAlgorithm]) -> Option<HostKeyAlgorithm> {
        preferred.iter().copied().find(|kind| is_in(&self.host_keys, kind.name()))
    }

    /// Whether these are a server's with strict key exchange.
    pub fn is_strict(&self) -> bool {
        is_in(&self.kex, STRICT_SERVER)
    }

    pub(crate) fn offer(kex: &[Kex], host_keys: &[HostKeyAlgorithm], ciphers: &[Cipher]) -> Self {
        let mut kex: Vec<String> = owned(kex.iter().flat_map(|kex| kex.names().iter().copied()));
        kex.extend([EXTENSIONS, STRICT_CLIENT].map(str::to_owned));
        let ciphers = owned(ciphers.iter().map(|cipher| cipher.name()));
        let macs = owned(MACS);
        let none = owned(["none"]);
        Self {
            kex,
            host_keys: owned(host_keys.iter().map(|kind| kind.name())),
            ciphers_to_server: ciphers.clone(),
            ciphers_to_client: ciphers,
            macs_to_server: macs.clone(),
            macs_to_client: macs,
            compressions_to_server: none.clone(),
            compressions_to_client: none,
        }
    }

    fn all(&self) -> [&Vec<String>; 8] {
        [
            &self.kex,
            &self.host_keys,
            &self.ciphers_to_server,
            &self.ciphers_to_client,
            &self.macs_to_server,
            &self.macs_to_client,
            &self.compressions_to_server,
            &self.compressions_to_client,
        ]
    }

    /// The whole message. It never announces a guess: see the documentation of this crate.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut cookie = [0; COOKIE_LEN];
        aws_lc_rs::rand::fill(&mut cookie).map_err(|_| Error::Local)?;
        Ok(self.encode_with(&cookie))
    }

    fn encode_with(&self, cookie: &[u8; COOKIE_LEN]) -> Vec<u8> {
        let start = Writer::message(message::KEXINIT).bytes(cookie);
        let lists = self.all().into_iter().fold(start, |writer, list| writer.names(list));
        let no_languages = ["", ""].into_iter().fold(lists, Writer::string);
        no_languages.boolean(false).uint32(0).finish()
    }

    /// The lists of a message.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload);
        reader.bytes(1 + COOKIE_LEN)?;
        let mut next = || reader.names();
        let lists = Self {
            kex: next()?,
            host_keys: next()?,
            ciphers_to_server: next()?,
            ciphers_to_client: next()?,
            macs_to_server: next()?,
            macs_to_client: next()?,
            compressions_to_server: next()?,
            compressions_to_client: next()?,
        };
        let _languages = (reader.string()?, reader.string()?);
        if reader.boolean()? {
            // All exchanges known here start with the client: there is nothing a server could guess.
            return Err(Error::Peer(Violation::Unexpected(message::KEXINIT)));
        }
        reader.uint32()?;
        reader.end()?;
        Ok(lists)
    }
}

/// The result of a negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NegotiatedMethods {
    pub(crate) kex: Kex,
    pub(crate) host_key: HostKeyAlgorithm,
    pub(crate) to_server: Cipher,
    pub(crate) to_client: Cipher,
}

/// The result for a client that offers these methods to a server with those lists.
pub(crate) fn negotiate(
    kex: &[Kex],
    host_keys: &[HostKeyAlgorithm],
    ciphers: &[Cipher],
    theirs: &NameLists,
) -> Result<NegotiatedMethods, Unsuitable> {
    let cipher = |list: &[String]| {
        let found = ciphers.iter().copied().find(|cipher| is_in(list, cipher.name()));
        found.ok_or(Unsuitable::NoCommon(Method::Cipher))
    };
    for list in [&theirs.compressions_to_server, &theirs.compressions_to_client] {
        if !is_in(list, "none") {
            return Err(Unsuitable::NoCommon(Method::Compression));
        }
    }
    Ok(NegotiatedMethods {
        kex: theirs.first_kex(kex).ok_or(Unsuitable::NoCommon(Method::Kex))?,
        host_key: theirs.first_host_key(host_keys).ok_or(Unsuitable::NoCommon(Method::HostKey))?,
        to_server: cipher(&theirs.ciphers_to_server)?,
        to_client: cipher(&theirs.ciphers_to_client)?,
    })
}

fn is_in(list: &[String], name: &str) -> bool {
    list.iter().any(|listed| listed == name)
}

fn owned<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scheme;

    const ED25519: HostKeyAlgorithm = HostKeyAlgorithm::plain(Scheme::Ed25519);

    fn offer() -> NameLists {
        NameLists::offer(&[Kex::Curve25519], &[ED25519], &[Cipher::Aes256Gcm])
    }

    #[test]
    fn an_offer_is_written_as_rfc_4253_has_it_and_announces_no_guess() {
        let written = offer().encode_with(&[9; COOKIE_LEN]);
        let mut expected = vec![20];
        expected.extend_from_slice(&[9; 16]);
        for list in [
            "curve25519-sha256,curve25519-sha256@libssh.org,ext-info-c,kex-strict-c-v00@openssh.com",
            "ssh-ed25519",
            "aes256-gcm@openssh.com",
            "aes256-gcm@openssh.com",
            "hmac-sha2-256-etm@openssh.com,hmac-sha2-256",
            "hmac-sha2-256-etm@openssh.com,hmac-sha2-256",
            "none",
            "none",
            "",
            "",
        ] {
            expected.extend_from_slice(&Writer::new().string(list).finish());
        }
        expected.extend_from_slice(&[0; 5]);
        assert_eq!(written, expected);
        assert_eq!(NameLists::decode(&written), Ok(offer()));
    }

    #[test]
    fn lists_that_end_early_or_late_or_announce_a_guess_are_refused() {
        let written = offer().encode_with(&[0; COOKIE_LEN]);
        for end in 1..written.len() {
            assert!(NameLists::decode(&written[..end]).is_err(), "{end}");
        }
        assert!(NameLists::decode(&[&written[..], &[0]].concat()).is_err());
        let mut guess = written.clone();
        guess[written.len() - 5] = 1;
        assert_eq!(NameLists::decode(&guess), Err(Error::Peer(Violation::Unexpected(20))));
    }

    #[test]
    fn the_first_of_ours_that_they_have_is_taken_in_each_direction() {
        let theirs = NameLists {
            kex: owned(["curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"]),
            host_keys: owned(["rsa-sha2-512", "ssh-ed25519"]),
            ciphers_to_server: owned(["aes128-gcm@openssh.com"]),
            ciphers_to_client: owned([
                "aes256-ctr",
                "aes128-gcm@openssh.com",
                "aes256-gcm@openssh.com",
            ]),
            compressions_to_server: owned(["zlib", "none"]),
            compressions_to_client: owned(["none"]),
            ..NameLists::default()
        };
        let outcome = NegotiatedMethods {
            kex: Kex::Curve25519,
            host_key: ED25519,
            to_server: Cipher::Aes128Gcm,
            to_client: Cipher::Aes256Gcm,
        };
        let ours =
            |theirs: &NameLists| negotiate(&Kex::ALL, &HostKeyAlgorithm::ALL, &Cipher::ALL, theirs);
        assert_eq!(ours(&theirs), Ok(outcome));
        let compressing = NameLists { compressions_to_client: owned(["zlib"]), ..theirs.clone() };
        assert_eq!(ours(&compressing), Err(Unsuitable::NoCommon(Method::Compression)));
        let one_way = NameLists { ciphers_to_client: owned(["aes256-ctr"]), ..theirs };
        assert_eq!(ours(&one_way), Err(Unsuitable::NoCommon(Method::Cipher)));
    }
}
