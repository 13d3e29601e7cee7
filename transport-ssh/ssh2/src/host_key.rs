//! Host keys: verifies that the host has the private part.
//!
//! Whose key it is, is not judged here: the whole blob is handed out, to be compared with one that is
//! known to be right. That of a certificate is no different: who signed it, whether it is valid and for
//! which host has been settled when the blob was put down as right.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    EcdsaVerificationAlgorithm, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};

use crate::error::{Error, Violation};
use crate::wire::{Malformed, Reader};

/// How a host signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// Ed25519 (RFC 8709).
    Ed25519,
    /// ECDSA over the curve P-256 (RFC 5656).
    EcdsaP256,
    /// ECDSA over the curve P-384.
    EcdsaP384,
    /// ECDSA over the curve P-521.
    EcdsaP521,
    /// RSA with SHA-256, of 2048 to 8192 bits (RFC 8332).
    RsaSha256,
    /// RSA with SHA-512, of 2048 to 8192 bits.
    RsaSha512,
}

/// A kind of host key, as it is negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostKeyAlgorithm {
    /// How it signs.
    pub scheme: Scheme,
    /// Whether the key comes within a certificate.
    pub is_certificate: bool,
}

impl HostKeyAlgorithm {
    /// All of them: certificates first, as OpenSSH has it, the shortest and quickest ones first.
    pub const ALL: [Self; 12] = [
        Self::certificate(Scheme::Ed25519),
        Self::certificate(Scheme::EcdsaP256),
        Self::certificate(Scheme::EcdsaP384),
        Self::certificate(Scheme::EcdsaP521),
        Self::certificate(Scheme::RsaSha512),
        Self::certificate(Scheme::RsaSha256),
        Self::plain(Scheme::Ed25519),
        Self::plain(Scheme::EcdsaP256),
        Self::plain(Scheme::EcdsaP384),
        Self::plain(Scheme::EcdsaP521),
        Self::plain(Scheme::RsaSha512),
        Self::plain(Scheme::RsaSha256),
    ];

    /// A key by itself.
    pub const fn plain(scheme: Scheme) -> Self {
        Self { scheme, is_certificate: false }
    }

    /// A key within a certificate.
    pub const fn certificate(scheme: Scheme) -> Self {
        Self { scheme, is_certificate: true }
    }

    /// Its name in a negotiation.
    pub fn name(self) -> &'static str {
        match (self.scheme, self.is_certificate) {
            (scheme, false) => scheme.name(),
            (Scheme::RsaSha256, true) => "rsa-sha2-256-cert-v01@openssh.com",
            (Scheme::RsaSha512, true) => "rsa-sha2-512-cert-v01@openssh.com",
            (_, true) => self.key_type(),
        }
    }

    /// The type name inside a key. For RSA keys it does not say which hash is used.
    fn key_type(self) -> &'static str {
        match (self.scheme, self.is_certificate) {
            (Scheme::RsaSha256 | Scheme::RsaSha512, false) => "ssh-rsa",
            (scheme, false) => scheme.name(),
            (Scheme::Ed25519, true) => "ssh-ed25519-cert-v01@openssh.com",
            (Scheme::EcdsaP256, true) => "ecdsa-sha2-nistp256-cert-v01@openssh.com",
            (Scheme::EcdsaP384, true) => "ecdsa-sha2-nistp384-cert-v01@openssh.com",
            (Scheme::EcdsaP521, true) => "ecdsa-sha2-nistp521-cert-v01@openssh.com",
            (Scheme::RsaSha256 | Scheme::RsaSha512, true) => "ssh-rsa-cert-v01@openssh.com",
        }
    }

    /// Verifies that `signature` over `message` is by the key in `blob`, and that both have exactly this type.
    pub(crate) fn verify(self, blob: &[u8], signature: &[u8], message: &[u8]) -> Result<(), Error> {
        let is_valid = self.is_valid(blob, signature, message)?;
        if is_valid { Ok(()) } else { Err(Error::Peer(Violation::HostSignature)) }
    }

    fn is_valid(self, blob: &[u8], signature: &[u8], message: &[u8]) -> Result<bool, Malformed> {
        let mut key = Reader::new(blob);
        expect(key.string()?, self.key_type())?;
        if self.is_certificate {
            let _nonce = key.string()?;
        }
        let mut signed = Reader::new(signature);
        expect(signed.string()?, self.scheme.name())?;
        let signature = signed.string()?;
        signed.end()?;
        let is_valid = self.scheme.is_valid(&mut key, signature, message)?;
        if !self.is_certificate {
            key.end()?;
        }
        Ok(is_valid)
    }
}

impl Scheme {
    /// The name of its signatures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521",
            Self::RsaSha256 => "rsa-sha2-256",
            Self::RsaSha512 => "rsa-sha2-512",
        }
    }

    /// Takes the key that is next, and verifies with it.
    fn is_valid(
        self,
        key: &mut Reader<'_>,
        signature: &[u8],
        message: &[u8],
    ) -> Result<bool, Malformed> {
        match self {
            Self::Ed25519 => {
                let key = UnparsedPublicKey::new(&ED25519, key.string()?);
                Ok(key.verify(message, signature).is_ok())
            }
            Self::EcdsaP256 => {
                is_valid_ecdsa(key, "nistp256", 32, &ECDSA_P256_SHA256_FIXED, signature, message)
            }
            Self::EcdsaP384 => {
                is_valid_ecdsa(key, "nistp384", 48, &ECDSA_P384_SHA384_FIXED, signature, message)
            }
            Self::EcdsaP521 => {
                is_valid_ecdsa(key, "nistp521", 66, &ECDSA_P521_SHA512_FIXED, signature, message)
            }
            Self::RsaSha256 => is_valid_rsa(key, &RSA_PKCS1_2048_8192_SHA256, signature, message),
            Self::RsaSha512 => is_valid_rsa(key, &RSA_PKCS1_2048_8192_SHA512, signature, message),
        }
    }
}

fn expect(found: &[u8], expected: &str) -> Result<(), Malformed> {
    if found == expected.as_bytes() { Ok(()) } else { Err(Malformed) }
}

/// RFC 5656 section 3.1. A signature is two numbers of `size` bytes at most.
fn is_valid_ecdsa(
    key: &mut Reader<'_>,
    curve: &str,
    size: usize,
    algorithm: &'static EcdsaVerificationAlgorithm,
    signature: &[u8],
    message: &[u8],
) -> Result<bool, Malformed> {
    expect(key.string()?, curve)?;
    let point = key.string()?;
    // A point in another encoding is one that no host writes.
    if point.len() != 1 + 2 * size {
        return Err(Malformed);
    }
    let mut numbers = Reader::new(signature);
    let mut fixed = Vec::with_capacity(2 * size);
    for number in [numbers.magnitude()?, numbers.magnitude()?] {
        let zeros = size.checked_sub(number.len()).ok_or(Malformed)?;
        fixed.resize(fixed.len() + zeros, 0);
        fixed.extend_from_slice(number);
    }
    numbers.end()?;
    Ok(UnparsedPublicKey::new(algorithm, point).verify(message, &fixed).is_ok())
}

/// RFC 8332.
fn is_valid_rsa(
    key: &mut Reader<'_>,
    parameters: &RsaParameters,
    signature: &[u8],
    message: &[u8],
) -> Result<bool, Malformed> {
    let (e, n) = (key.magnitude()?, key.magnitude()?);
    Ok(RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok())
}

#[cfg(test)]
#[path = "host_key_tests.rs"]
mod tests;
