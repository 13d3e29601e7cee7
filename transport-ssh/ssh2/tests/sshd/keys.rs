//! Users' keys, which sign here, and hosts' keys, which ssh-keygen makes.

use std::path::Path;
use std::process::Command;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RsaEncoding,
};
use rejoin_ssh2::UserKey;
use rejoin_ssh2::wire::Writer;

/// A user's key.
pub(crate) enum Signer {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(rsa::KeyPair, &'static str),
}

impl Signer {
    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn ecdsa() -> Self {
        Self::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn rsa(algorithm: &'static str) -> Self {
        Self::Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap(), algorithm)
    }

    pub(crate) fn key(&self) -> UserKey {
        let writer = Writer::new();
        let (blob, algorithm) = match self {
            Self::Ed25519(pair) => {
                (writer.string("ssh-ed25519").string(pair.public_key()), "ssh-ed25519")
            }
            Self::Ecdsa(pair) => {
                let name = "ecdsa-sha2-nistp256";
                (writer.string(name).string("nistp256").string(pair.public_key()), name)
            }
            Self::Rsa(pair, algorithm) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref());
                (writer.string("ssh-rsa").magnitude(&e).magnitude(&n), *algorithm)
            }
        };
        UserKey { blob: blob.finish(), algorithm: algorithm.to_owned() }
    }

    /// As an agent would.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let writer = Writer::new().string(&self.key().algorithm);
        let random = SystemRandom::new();
        match self {
            Self::Ed25519(pair) => writer.string(pair.sign(message)),
            Self::Ecdsa(pair) => {
                let signature = pair.sign(&random, message).unwrap();
                let (r, s) = signature.as_ref().split_at(32);
                writer.string(Writer::new().magnitude(r).magnitude(s).finish())
            }
            Self::Rsa(pair, algorithm) => {
                let encoding: &'static dyn RsaEncoding =
                    if algorithm.ends_with("256") { &RSA_PKCS1_SHA256 } else { &RSA_PKCS1_SHA512 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                writer.string(signature)
            }
        }
        .finish()
    }

    /// A line of `authorized_keys`.
    pub(crate) fn line(&self) -> String {
        let kind = if let Self::Rsa(..) = self { "ssh-rsa" } else { &self.key().algorithm };
        format!("{kind} {}\n", base64(&self.key().blob))
    }
}

/// Modulus and exponent of a PKCS 1 public key.
fn rsa_numbers(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    fn element(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, start) = match der[1] {
            0x81 => (usize::from(der[2]), 3),
            0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
            short => (usize::from(short), 2),
        };
        der[start..].split_at(length)
    }
    let (numbers, _) = element(der);
    let (n, rest) = element(numbers);
    let (e, _) = element(rest);
    (n.to_vec(), e.to_vec())
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = bits >> (18 - 6 * digit) & 63;
            let is_filler = digit > chunk.len();
            text.push(if is_filler { '=' } else { char::from(DIGITS[index as usize]) });
        }
    }
    text
}

/// The bytes of a text without white space.
pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes().filter_map(|byte| DIGITS.iter().position(|known| *known == byte)) {
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
        }
    }
    bytes
}

/// Has ssh-keygen make a key.
pub(crate) fn keygen(path: &Path, options: &[&str]) {
    let mut command = Command::new("ssh-keygen");
    let made = command.args(["-q", "-N", "", "-f"]).arg(path).args(options).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// Has ssh-keygen certify a host's key (`-h`), or a user's.
pub(crate) fn certify(authority: &Path, key: &Path, options: &[&str]) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-I", "test"]).args(options).arg("-s").arg(authority).arg(key);
    let made = command.output();
    assert!(made.as_ref().unwrap().status.success(), "{made:?}");
}

#[test]
fn base64_is_as_in_rfc_4648() {
    let encoded = ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes()));
    assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    assert!(encoded.iter().all(|text| base64(&unbase64(text)) == *text));
}
