//! For the fuzz targets: keys in files, and what ssh says of them.

use std::path::PathBuf;

use super::private::PrivateKey;
use super::{KeyFileError, NamedKey, blob};

/// A private key's public half, and a signature with it.
#[derive(Debug)]
pub struct KeyHalves {
    /// The public half, as `authorized_keys` has it.
    pub public: Vec<u8>,
    /// A signature, by the scheme that was asked for, if the key knows it.
    pub signature: Option<Vec<u8>>,
}

/// What a file has that is said to hold a private key, and what it signs; or why it does not, in words.
pub fn private_key(file: &[u8], scheme: &str) -> Result<KeyHalves, String> {
    let told = |unusable: KeyFileError| unusable.to_string();
    let key = PrivateKey::parse(file).map_err(told)?;
    let signature = key.sign(scheme, b"message").ok();
    Ok(KeyHalves { public: key.public(), signature })
}

/// The blob in a line of a public key's file.
pub fn key_line(text: &[u8]) -> Option<Vec<u8>> {
    blob(text)
}

/// The file, whether it is a certificate, and the fingerprint, of a key that ssh names.
pub fn named_key(words: &str) -> Option<(PathBuf, bool, String)> {
    let NamedKey { path, is_certificate, fingerprint } = NamedKey::parse(words)?;
    Some((path, is_certificate, fingerprint))
}
