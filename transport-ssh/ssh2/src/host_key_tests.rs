//! Signatures that hold, and all the ways in which others do not.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding,
};

use super::*;
use crate::wire::Writer;

const MESSAGE: &[u8] = b"an exchange hash";

const SCHEMES: [Scheme; 6] = [
    Scheme::Ed25519,
    Scheme::EcdsaP256,
    Scheme::EcdsaP384,
    Scheme::EcdsaP521,
    Scheme::RsaSha256,
    Scheme::RsaSha512,
];

/// A key without its type in front, and its signature over [`MESSAGE`] without its name.
fn signed(scheme: Scheme) -> (Vec<u8>, Vec<u8>) {
    match scheme {
        Scheme::Ed25519 => {
            let pair = Ed25519KeyPair::generate().unwrap();
            let key = Writer::new().string(pair.public_key()).finish();
            (key, pair.sign(MESSAGE).as_ref().to_vec())
        }
        Scheme::EcdsaP256 => ecdsa("nistp256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        Scheme::EcdsaP384 => ecdsa("nistp384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        Scheme::EcdsaP521 => ecdsa("nistp521", &ECDSA_P521_SHA512_FIXED_SIGNING),
        Scheme::RsaSha256 => rsa(&RSA_PKCS1_SHA256),
        Scheme::RsaSha512 => rsa(&RSA_PKCS1_SHA512),
    }
}

fn ecdsa(curve: &str, algorithm: &'static EcdsaSigningAlgorithm) -> (Vec<u8>, Vec<u8>) {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let key = Writer::new().string(curve).string(pair.public_key()).finish();
    let signature = pair.sign(&SystemRandom::new(), MESSAGE).unwrap();
    let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
    (key, Writer::new().magnitude(r).magnitude(s).finish())
}

fn rsa(encoding: &'static dyn RsaEncoding) -> (Vec<u8>, Vec<u8>) {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
    // PKCS 1: a sequence of two numbers, whose lengths are known with 2048 bits and the usual exponent.
    let der = pair.public_key().as_ref();
    let (n, e) = (&der[8..8 + 257], &der[der.len() - 3..]);
    (Writer::new().magnitude(e).magnitude(n).finish(), signature)
}

struct Case {
    algorithm: HostKeyAlgorithm,
    blob: Vec<u8>,
    signature: Vec<u8>,
}

impl Case {
    fn new(scheme: Scheme, is_certificate: bool) -> Self {
        let algorithm = HostKeyAlgorithm { scheme, is_certificate };
        let (key, signature) = signed(scheme);
        let start = Writer::new().string(algorithm.key_type());
        let blob = if is_certificate {
            start.string("a nonce").bytes(&key).bytes(b"and all the rest")
        } else {
            start.bytes(&key)
        };
        let signature = Writer::new().string(scheme.name()).string(signature).finish();
        Self { algorithm, blob: blob.finish(), signature }
    }

    fn is_valid(&self) -> bool {
        self.algorithm.verify(&self.blob, &self.signature, MESSAGE).is_ok()
    }
}

#[test]
fn what_was_signed_is_valid_and_nothing_else_is() {
    for scheme in SCHEMES {
        let case = Case::new(scheme, false);
        assert!(case.is_valid(), "{scheme:?}");
        let other = case.algorithm.verify(&case.blob, &case.signature, b"another hash");
        assert_eq!(other, Err(Error::Peer(Violation::HostSignature)), "{scheme:?}");
    }
}

#[test]
fn a_certificate_is_verified_with_the_key_within_it() {
    for scheme in SCHEMES {
        let mut case = Case::new(scheme, true);
        assert!(case.is_valid(), "{scheme:?}");
        case.signature = Case::new(scheme, true).signature;
        assert!(!case.is_valid(), "{scheme:?}");
    }
}

#[test]
fn no_byte_of_a_key_or_a_signature_can_be_changed() {
    for scheme in SCHEMES {
        let mut case = Case::new(scheme, false);
        for at in 0..case.blob.len() {
            case.blob[at] ^= 1;
            assert!(!case.is_valid(), "{scheme:?}, byte {at} of the key");
            case.blob[at] ^= 1;
        }
        for at in 0..case.signature.len() {
            case.signature[at] ^= 1;
            assert!(!case.is_valid(), "{scheme:?}, byte {at} of the signature");
            case.signature[at] ^= 1;
        }
        case.signature.push(0);
        assert!(!case.is_valid(), "{scheme:?}, a longer signature");
        case.signature.pop();
        case.blob.push(0);
        assert!(!case.is_valid(), "{scheme:?}, a longer key");
    }
}

#[test]
fn a_key_counts_for_what_was_negotiated_only() {
    for scheme in SCHEMES {
        let case = Case::new(scheme, false);
        for algorithm in HostKeyAlgorithm::ALL {
            let is_valid = algorithm.verify(&case.blob, &case.signature, MESSAGE).is_ok();
            assert_eq!(is_valid, algorithm == case.algorithm, "{scheme:?} as {algorithm:?}");
        }
    }
}
