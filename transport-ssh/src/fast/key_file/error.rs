//! Why a key file cannot sign.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;

use rejoin_ssh2::wire::Malformed;

/// The longest key type that is reported, in bytes.
const MAX_KIND: usize = 64;
/// The lengths of modulus that aws-lc signs with, in bits.
pub(super) const RSA_SIZES: RangeInclusive<usize> = 2048..=8192;

/// Why a file cannot sign. Its text follows the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::fast) enum KeyFileError {
    /// A folder, a pipe, a device.
    NoFile,
    /// Longer than any key.
    TooLong,
    /// Others than its owner have access to it.
    Exposed,
    /// It has a passphrase, which nobody is asked for.
    Encrypted,
    /// A private key in another format than OpenSSH's own.
    Format,
    /// It begins as no key does that was looked for.
    NoKey,
    /// It begins as one, and is broken. So is one whose public half belongs to another private half.
    Malformed,
    /// The private part is on a security key, which wants to be touched.
    SecurityKey,
    /// The kind of this key, or of the signature that it is to make, is not known here.
    Kind(String),
    /// An RSA key that is too short to be safe, or too long for aws-lc.
    Size,
    /// It has another key than the one that was asked for.
    OtherKey,
    /// This machine's cryptography failed.
    Local,
}

impl KeyFileError {
    /// The reason in an error of [`KeyFile`](super::KeyFile). `None` if the file could not be read.
    pub(in crate::fast) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<Malformed> for KeyFileError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<KeyFileError> for io::Error {
    fn from(unusable: KeyFileError) -> Self {
        let kind = match unusable {
            KeyFileError::Exposed => io::ErrorKind::PermissionDenied,
            KeyFileError::Encrypted
            | KeyFileError::Format
            | KeyFileError::SecurityKey
            | KeyFileError::Kind(_)
            | KeyFileError::Size => io::ErrorKind::Unsupported,
            KeyFileError::Local => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, unusable)
    }
}

impl Error for KeyFileError {}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoFile => "it is not a regular file",
            Self::TooLong => "it is too large for a key",
            Self::Exposed => "other users have access to it (fix this with chmod 600)",
            Self::Encrypted => "it has a passphrase (add it to an agent with ssh-add)",
            Self::Format => "it is not in OpenSSH's format (convert it with ssh-keygen -p)",
            Self::NoKey => "it is not a key",
            Self::Malformed => "it is a damaged private key",
            Self::SecurityKey => "the key requires a touch",
            Self::Kind(kind) => {
                return write!(f, "keys of type {kind} are not supported");
            }
            Self::Size => {
                let (least, most) = RSA_SIZES.into_inner();
                return write!(f, "RSA keys must have {least} to {most} bits");
            }
            Self::OtherKey => "it has a different key now",
            Self::Local => "cryptography failed on this machine",
        })
    }
}

/// The error for unsupported keys or signatures.
pub(super) fn unknown(kind: &str) -> KeyFileError {
    KeyFileError::Kind(rejoin_text::printable(kind, MAX_KIND))
}
