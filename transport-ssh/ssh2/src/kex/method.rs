//! The key exchange methods.

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::wire::Writer;

/// A key exchange that this client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kex {
    /// `mlkem768x25519-sha256`: ML-KEM-768 and X25519 together. OpenSSH from 9.9.
    MlKem768X25519,
    /// `sntrup761x25519-sha512`: Streamlined NTRU Prime and X25519 together. OpenSSH from 8.5.
    Sntrup761X25519,
    /// `curve25519-sha256` (RFC 8731). A recording of it can be read by a quantum computer, if there
    /// ever is one.
    Curve25519,
    /// `ecdh-sha2-nistp256` (RFC 5656). The same holds.
    NistP256,
}

impl Kex {
    /// All of them, those first that a quantum computer does not break.
    pub const ALL: [Self; 4] =
        [Self::MlKem768X25519, Self::Sntrup761X25519, Self::Curve25519, Self::NistP256];

    /// Its names in a negotiation. They mean the very same.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::MlKem768X25519 => &["mlkem768x25519-sha256"],
            Self::Sntrup761X25519 => {
                &["sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com"]
            }
            Self::Curve25519 => &["curve25519-sha256", "curve25519-sha256@libssh.org"],
            Self::NistP256 => &["ecdh-sha2-nistp256"],
        }
    }

    pub(crate) fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sntrup761X25519 => &digest::SHA512,
            Self::MlKem768X25519 | Self::Curve25519 | Self::NistP256 => &digest::SHA256,
        }
    }

    /// The shared secret in the encoding that is hashed: a number from a curve alone, a string from a
    /// hybrid, which hashes what its two parts gave.
    pub(super) fn encode(self, post_quantum: Option<&[u8]>, curve: &[u8]) -> Zeroizing<Vec<u8>> {
        let writer = Writer::new();
        Zeroizing::new(match post_quantum {
            None => writer.magnitude(curve).finish(),
            Some(post_quantum) => {
                let both = Zeroizing::new([post_quantum, curve].concat());
                writer.string(digest::digest(self.digest(), &both)).finish()
            }
        })
    }
}
