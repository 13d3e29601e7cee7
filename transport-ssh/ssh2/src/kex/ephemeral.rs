//! The client's half of a key exchange.

use std::fmt;

use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::kem::{self, ML_KEM_768};
use zeroize::Zeroizing;

use super::method::Kex;
use crate::error::{Error, Violation};

const X25519_LEN: usize = 32;
const P256_POINT_LEN: usize = 65;
/// The first byte of an uncompressed point.
const UNCOMPRESSED: u8 = 4;

/// A key pair for one exchange, and for no second one: it cannot be copied, and is used up.
///
/// It may be made ahead of time, since making one for [`Kex::Sntrup761X25519`] takes some
/// milliseconds. Its private part is overwritten when it is dropped.
pub struct EphemeralKey {
    kex: Kex,
    curve: PrivateKey,
    post_quantum: PostQuantum,
    public: Vec<u8>,
}

enum PostQuantum {
    None,
    MlKem(kem::DecapsulationKey),
    Sntrup(Box<sntrup761::DecapsulationKey>),
}

impl EphemeralKey {
    /// A fresh one for this exchange.
    ///
    /// # Errors
    /// [`Error::Local`] if this machine has no random numbers.
    pub fn generate(kex: Kex) -> Result<Self, Error> {
        let algorithm = if kex == Kex::NistP256 { &ECDH_P256 } else { &X25519 };
        let curve = PrivateKey::generate(algorithm).map_err(|_| Error::Local)?;
        let post_quantum = PostQuantum::generate(kex)?;
        let public = post_quantum.public()?;
        Self::new(kex, curve, post_quantum, public)
    }

    fn new(
        kex: Kex,
        curve: PrivateKey,
        post_quantum: PostQuantum,
        mut public: Vec<u8>,
    ) -> Result<Self, Error> {
        let point = curve.compute_public_key().map_err(|_| Error::Local)?;
        public.extend_from_slice(point.as_ref());
        Ok(Self { kex, curve, post_quantum, public })
    }

    /// The exchange that it is for.
    pub fn kex(&self) -> Kex {
        self.kex
    }

    /// The public part, which is sent to the server.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// The secret that is shared with the server which answered this, encoded for hashing.
    pub(crate) fn agree(self, reply: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let malformed = || Error::Peer(Violation::Malformed);
        let point_len = if self.kex == Kex::NistP256 { P256_POINT_LEN } else { X25519_LEN };
        let split = reply.len().checked_sub(point_len).ok_or_else(malformed)?;
        let (ciphertext, point) = reply.split_at(split);
        if self.kex == Kex::NistP256 && point[0] != UNCOMPRESSED {
            return Err(malformed());
        }
        let secret = self.post_quantum.decapsulate(ciphertext)?;
        let point = UnparsedPublicKey::new(self.curve.algorithm(), point);
        // Points that are not on the curve are refused here, and so is a result of zeros alone
        // (RFC 8731 section 3).
        agreement::agree(&self.curve, point, malformed(), |curve| {
            Ok(self.kex.encode(secret.as_ref().map(|secret| secret.as_slice()), curve))
        })
    }
}

impl PostQuantum {
    fn generate(kex: Kex) -> Result<Self, Error> {
        Ok(match kex {
            Kex::Curve25519 | Kex::NistP256 => Self::None,
            Kex::MlKem768X25519 => {
                Self::MlKem(kem::DecapsulationKey::generate(&ML_KEM_768).map_err(|_| Error::Local)?)
            }
            Kex::Sntrup761X25519 => {
                let mut seed = Zeroizing::new([0; 32]);
                aws_lc_rs::rand::fill(&mut *seed).map_err(|_| Error::Local)?;
                let (_, key) = sntrup761::generate_key_from_seed(*seed);
                Self::Sntrup(Box::new(key))
            }
        })
    }

    fn public(&self) -> Result<Vec<u8>, Error> {
        Ok(match self {
            Self::None => Vec::new(),
            Self::MlKem(key) => {
                let public = key.encapsulation_key().and_then(|key| key.key_bytes());
                public.map_err(|_| Error::Local)?.as_ref().to_vec()
            }
            Self::Sntrup(key) => sntrup761::EncapsulationKey::from(&**key).as_ref().to_vec(),
        })
    }

    /// What the ciphertext holds. One that was made for another key, or altered, gives a secret that
    /// nobody else has, as both methods define.
    fn decapsulate(&self, ciphertext: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let malformed = || Error::Peer(Violation::Malformed);
        let secret = match self {
            Self::None if ciphertext.is_empty() => return Ok(None),
            Self::None => return Err(malformed()),
            Self::MlKem(key) => {
                let secret = key.decapsulate(ciphertext.into()).map_err(|_| malformed())?;
                Zeroizing::new(secret.as_ref().to_vec())
            }
            Self::Sntrup(key) => {
                let ciphertext = ciphertext.try_into().map_err(|_| malformed())?;
                Zeroizing::new(key.decapsulate(&ciphertext).as_ref().to_vec())
            }
        };
        Ok(Some(secret))
    }
}

impl fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EphemeralKey").field("kex", &self.kex).finish_non_exhaustive()
    }
}

/// For known answers.
#[cfg(test)]
impl EphemeralKey {
    pub(crate) fn from_parts(kex: Kex, curve: &[u8], post_quantum: &[u8]) -> Option<Self> {
        let algorithm = if kex == Kex::NistP256 { &ECDH_P256 } else { &X25519 };
        let curve = PrivateKey::from_private_key(algorithm, curve).ok()?;
        let (post_quantum, public) = match kex {
            Kex::MlKem768X25519 => {
                let key = kem::DecapsulationKey::new(&ML_KEM_768, post_quantum).ok()?;
                // FIPS 203 has the public key within the private one.
                (PostQuantum::MlKem(key), post_quantum[1152..2336].to_vec())
            }
            Kex::Sntrup761X25519 => {
                let key = PostQuantum::Sntrup(Box::new(post_quantum.try_into().ok()?));
                let public = key.public().ok()?;
                (key, public)
            }
            Kex::Curve25519 | Kex::NistP256 => (PostQuantum::None, Vec::new()),
        };
        Self::new(kex, curve, post_quantum, public).ok()
    }
}
