//! The server's half of an exchange, for tests.

use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::kem::{EncapsulationKey, ML_KEM_768};
use zeroize::Zeroizing;

use super::method::Kex;

const ML_KEM_PUBLIC_LEN: usize = 1184;

/// What to answer a client that sent this, and the secret that is shared then. None if it is malformed.
pub(crate) fn respond(kex: Kex, client: &[u8]) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    let (mut reply, secret, point) = match kex {
        Kex::Curve25519 | Kex::NistP256 => (Vec::new(), None, client),
        Kex::MlKem768X25519 => {
            let (public, point) = client.split_at_checked(ML_KEM_PUBLIC_LEN)?;
            let public = EncapsulationKey::new(&ML_KEM_768, public).ok()?;
            let (ciphertext, secret) = public.encapsulate().ok()?;
            (ciphertext.as_ref().to_vec(), Some(secret.as_ref().to_vec()), point)
        }
        Kex::Sntrup761X25519 => {
            let (public, point) = client.split_at_checked(sntrup761::PUBLIC_KEY_SIZE)?;
            let public = sntrup761::EncapsulationKey::try_from(public).ok()?;
            let mut seed = [0; 32];
            aws_lc_rs::rand::fill(&mut seed).ok()?;
            let (ciphertext, secret) = public.encapsulate_deterministic(seed);
            (ciphertext.as_ref().to_vec(), Some(secret.as_ref().to_vec()), point)
        }
    };
    let algorithm = if kex == Kex::NistP256 { &ECDH_P256 } else { &X25519 };
    let curve = PrivateKey::generate(algorithm).ok()?;
    reply.extend_from_slice(curve.compute_public_key().ok()?.as_ref());
    let point = UnparsedPublicKey::new(algorithm, point);
    let encode = |shared: &[u8]| Ok(kex.encode(secret.as_deref(), shared));
    let shared = agreement::agree(&curve, point, (), encode).ok()?;
    Some((reply, shared))
}
