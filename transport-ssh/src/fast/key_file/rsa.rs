//! RSA keys: two numbers that OpenSSH's format leaves out, and signatures.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding};
use crypto_bigint::{BoxedUint, NonZero};
use rejoin_ssh2::wire::{Reader, Writer};
use zeroize::Zeroizing;

use super::error::{KeyFileError, RSA_SIZES, unknown};

/// How such a key begins, in a file and in `authorized_keys`.
pub(super) const KIND: &str = "ssh-rsa";

/// A private key, and the public blob that belongs to it.
pub(super) struct RsaKey {
    pair: KeyPair,
    public: Vec<u8>,
}

impl RsaKey {
    /// Reads what a file has behind the kind. aws-lc checks that each number fits the others.
    // The names of RFC 8017.
    #[allow(clippy::many_single_char_names)]
    pub(super) fn read(fields: &mut Reader<'_>) -> Result<Self, KeyFileError> {
        let (n, e, d) = (fields.magnitude()?, fields.magnitude()?, fields.magnitude()?);
        let (q_inverse, p, q) = (fields.magnitude()?, fields.magnitude()?, fields.magnitude()?);
        let leading = n.first().map_or(0, |first| first.leading_zeros() as usize);
        if !RSA_SIZES.contains(&(n.len() * 8 - leading)) {
            return Err(KeyFileError::Size);
        }
        let pair = KeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents { n, e },
            d,
            p,
            q,
            dP: &remainder(d, p, n.len())?,
            dQ: &remainder(d, q, n.len())?,
            qInv: q_inverse,
        });
        let public = Writer::new().string(KIND).magnitude(e).magnitude(n).finish();
        pair.map(|pair| Self { pair, public }).map_err(|_| KeyFileError::Malformed)
    }

    /// The public part, as it stands in `authorized_keys`.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// A signature by this scheme of RFC 8332.
    pub(super) fn sign(&self, scheme: &str, message: &[u8]) -> Result<Vec<u8>, KeyFileError> {
        let encoding: &'static dyn RsaEncoding = match scheme {
            "rsa-sha2-512" => &RSA_PKCS1_SHA512,
            "rsa-sha2-256" => &RSA_PKCS1_SHA256,
            // With ssh-rsa it would be SHA-1.
            _ => return Err(unknown(scheme)),
        };
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(encoding, &SystemRandom::new(), message, &mut signature);
        signed.map_err(|_| KeyFileError::Local)?;
        Ok(Writer::new().string(scheme).string(signature).finish())
    }
}

/// `d` modulo `prime` - 1, in a time that tells nothing of them but `length`: neither may be longer, in
/// bytes.
fn remainder(d: &[u8], prime: &[u8], length: usize) -> Result<Zeroizing<Box<[u8]>>, KeyFileError> {
    let d = Zeroizing::new(number(d, length)?);
    let mut divisor = number(prime, length)?;
    divisor.wrapping_sub_assign(BoxedUint::one());
    let divisor = NonZero::new(divisor).into_option().ok_or(KeyFileError::Malformed)?;
    let divisor = Zeroizing::new(divisor);
    // The quotient comes close to the other prime, and `rem` would not wipe it.
    let (quotient, remainder) = d.div_rem(&*divisor);
    let (_, remainder) = (Zeroizing::new(quotient), Zeroizing::new(remainder));
    Ok(Zeroizing::new(remainder.to_be_bytes()))
}

fn number(bytes: &[u8], length: usize) -> Result<BoxedUint, KeyFileError> {
    // No longer than RSA_SIZES.
    let bits = u32::try_from(length * 8).map_err(|_| KeyFileError::Malformed)?;
    BoxedUint::from_be_slice(bytes, bits).map_err(|_| KeyFileError::Malformed)
}
