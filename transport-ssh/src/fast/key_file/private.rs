//! A private key in OpenSSH's own format (its `PROTOCOL.key`), and signatures with it.

use std::str;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rejoin_ssh2::wire::{Reader, Writer};
use zeroize::Zeroizing;

use super::error::{KeyFileError, unknown};
use super::rsa::{self, RsaKey};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// How other programs begin a file with a passphrase, and within how many lines.
const ENCRYPTED: [&str; 2] = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];
const HEAD: usize = 3;

const ED25519: &str = "ssh-ed25519";
/// The length of its secret, in bytes.
const SEED: usize = 32;

/// A curve of RFC 5656.
pub(super) struct Curve {
    kind: &'static str,
    name: &'static str,
    algorithm: &'static EcdsaSigningAlgorithm,
}

static CURVES: [Curve; 3] = [
    Curve {
        kind: "ecdsa-sha2-nistp256",
        name: "nistp256",
        algorithm: &ECDSA_P256_SHA256_FIXED_SIGNING,
    },
    Curve {
        kind: "ecdsa-sha2-nistp384",
        name: "nistp384",
        algorithm: &ECDSA_P384_SHA384_FIXED_SIGNING,
    },
    Curve {
        kind: "ecdsa-sha2-nistp521",
        name: "nistp521",
        algorithm: &ECDSA_P521_SHA512_FIXED_SIGNING,
    },
];

/// A private key. aws-lc wipes what it frees.
pub(super) enum PrivateKey {
    Ed25519(Ed25519KeyPair),
    Ecdsa(&'static Curve, EcdsaKeyPair),
    Rsa(RsaKey),
}

impl PrivateKey {
    /// The key in a file without a passphrase. Its public halves are the private one's.
    pub(super) fn parse(file: &[u8]) -> Result<Self, KeyFileError> {
        let bytes = unarmoured(file)?;
        let mut reader = Reader::new(&bytes);
        if reader.bytes(MAGIC.len())? != MAGIC {
            return Err(KeyFileError::Malformed);
        }
        let (cipher, _kdf, _options) = (reader.string()?, reader.string()?, reader.string()?);
        if cipher != b"none" {
            return Err(KeyFileError::Encrypted);
        }
        let count = reader.uint32()?;
        let (public, private) = (reader.string()?, reader.string()?);
        reader.end()?;
        let mut fields = Reader::new(private);
        // Two times the same number, whatever it is. With a passphrase it tells whether that was right.
        if count != 1 || fields.uint32()? != fields.uint32()? {
            return Err(KeyFileError::Malformed);
        }
        // Behind the key are a comment and padding.
        let key = Self::read(&mut fields)?;
        if key.public() == public { Ok(key) } else { Err(KeyFileError::Malformed) }
    }

    fn read(fields: &mut Reader<'_>) -> Result<Self, KeyFileError> {
        let kind = fields.text()?;
        if kind == ED25519 {
            let (public, secret) = (fields.string()?, fields.string()?);
            // The public half comes once more behind it.
            let (seed, _) = secret.split_at_checked(SEED).ok_or(KeyFileError::Malformed)?;
            let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public);
            return pair.map(Self::Ed25519).map_err(|_| KeyFileError::Malformed);
        }
        if kind == rsa::KIND {
            return RsaKey::read(fields).map(Self::Rsa);
        }
        if kind.starts_with("sk-") {
            return Err(KeyFileError::SecurityKey);
        }
        let curve = CURVES.iter().find(|curve| curve.kind == kind);
        let curve = curve.ok_or_else(|| unknown(kind))?;
        if fields.text()? != curve.name {
            return Err(KeyFileError::Malformed);
        }
        let (public, secret) = (fields.string()?, fields.magnitude()?);
        let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.algorithm, secret, public);
        pair.map(|pair| Self::Ecdsa(curve, pair)).map_err(|_| KeyFileError::Malformed)
    }

    /// The public part, as it stands in `authorized_keys`.
    pub(super) fn public(&self) -> Vec<u8> {
        let writer = Writer::new();
        match self {
            Self::Ed25519(pair) => writer.string(ED25519).string(pair.public_key()),
            Self::Ecdsa(curve, pair) => {
                writer.string(curve.kind).string(curve.name).string(pair.public_key())
            }
            Self::Rsa(rsa) => writer.bytes(rsa.public()),
        }
        .finish()
    }

    /// A signature: its kind, and what that is made of. Only RSA keys have a choice of `scheme`.
    pub(super) fn sign(&self, scheme: &str, message: &[u8]) -> Result<Vec<u8>, KeyFileError> {
        let writer = Writer::new();
        let signed = match self {
            Self::Ed25519(pair) => {
                let signature = pair.try_sign(message).map_err(|_| KeyFileError::Local)?;
                writer.string(ED25519).string(signature)
            }
            Self::Ecdsa(curve, pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                let signature = signature.map_err(|_| KeyFileError::Local)?;
                let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
                writer.string(curve.kind).string(Writer::new().magnitude(r).magnitude(s).finish())
            }
            Self::Rsa(rsa) => return rsa.sign(scheme, message),
        };
        Ok(signed.finish())
    }
}

/// The decoded content between the first and the last line.
fn unarmoured(file: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let text = str::from_utf8(file).map_err(|_| KeyFileError::NoKey)?;
    let mut lines = text.lines();
    if lines.next() != Some(BEGIN) {
        return Err(other(text));
    }
    let mut encoded = Zeroizing::new(Vec::with_capacity(text.len()));
    loop {
        match lines.next() {
            Some(END) => break,
            Some(line) => encoded.extend_from_slice(line.as_bytes()),
            None => return Err(KeyFileError::Malformed),
        }
    }
    let mut bytes = Zeroizing::new(vec![0; encoded.len()]);
    let decoded = STANDARD.decode_slice(&encoded, &mut bytes);
    bytes.truncate(decoded.map_err(|_| KeyFileError::Malformed)?);
    Ok(bytes)
}

/// Classifies a file that is not in OpenSSH's format.
fn other(text: &str) -> KeyFileError {
    let mut head = text.lines().take(HEAD);
    if head.any(|line| ENCRYPTED.contains(&line)) {
        return KeyFileError::Encrypted;
    }
    let first = text.lines().next().unwrap_or_default();
    let is_private = first.starts_with("-----BEGIN ") && first.ends_with("PRIVATE KEY-----");
    if is_private || first.starts_with("PuTTY-User-Key-File-") {
        KeyFileError::Format
    } else {
        KeyFileError::NoKey
    }
}
