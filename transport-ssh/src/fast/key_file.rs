//! Signs with the user's key file without a passphrase, if there is no agent.
//!
//! The file is read anew for each signature, so that no private key waits in memory for a link that may
//! never be wanted. What is read of it is wiped when the signature is made.
//!
//! Only OpenSSH's own format is read, and that by the reader that the SSH client has for the wire, of
//! whose types the format is made: the crate for such files (ssh-key) would bring ciphers and encodings of
//! its own for forty lines. The cryptography is aws-lc's, as in the client.
//! Of an RSA key, aws-lc wants two numbers (d modulo p-1 and q-1) that these files leave out. They are
//! crypto-bigint's work, which takes the same time whatever they are: arithmetic with secret numbers is
//! nothing to write oneself.

mod error;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod private;
mod rsa;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rejoin_ssh2::UserKey;
use rejoin_ssh2::wire::{Malformed, Reader};
use rustix::fs::{Mode, OFlags};
use rustix::process::getuid;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::public_key::plain;
use crate::link::error::printable;
pub(super) use error::KeyFileError;
use private::PrivateKey;

/// The longest file that is read, in bytes. A key takes a few KiB at most.
const MAX_FILE: usize = 64 * 1024;
/// How long the file system and the signature may take. One on a network may be gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// A file that has the user's private key, and no passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyFile(PathBuf);

impl KeyFile {
    /// The one at this path. It is not looked at yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The public part of its key: the blob that `authorized_keys` has. It is told only if the file can
    /// sign.
    ///
    /// # Errors
    /// The file cannot be read in time; or what it has does not serve, for which there is
    /// [`KeyFileError::of`].
    pub(super) async fn public(&self) -> io::Result<Vec<u8>> {
        self.with_key(|private| Ok(private.public())).await
    }

    /// The certificate that ssh finds beside the file: the blob in `…-cert.pub`. Whether it is one, and
    /// for this key, is not looked at.
    ///
    /// # Errors
    /// That file cannot be read in time, or is not a line as ssh-keygen writes it.
    pub(super) async fn certificate(&self) -> io::Result<Vec<u8>> {
        let mut path = self.0.clone().into_os_string();
        path.push("-cert.pub");
        in_time(move || {
            let text = read(path.as_ref(), FileAccess::Anybody)?;
            Ok(blob(&text).ok_or(KeyFileError::NoKey)?)
        })
        .await
    }

    /// Whether it still has this key, or the key in this certificate.
    ///
    /// # Errors
    /// As with [`public`](Self::public).
    pub(super) async fn has(&self, key: &UserKey) -> io::Result<bool> {
        let wanted = wanted(key)?;
        self.with_key(move |private| Ok(private.public() == wanted)).await
    }

    /// Its signature with this key, or with the key in this certificate, as it goes into a login.
    ///
    /// # Errors
    /// As with [`public`](Self::public); or the file has another key by now.
    pub(super) async fn sign(&self, key: &UserKey, message: &[u8]) -> io::Result<Vec<u8>> {
        let wanted = wanted(key)?;
        let scheme = key.algorithm.trim_end_matches("-cert-v01@openssh.com").to_owned();
        let message = message.to_vec();
        let sign = move |private: &PrivateKey| {
            let is_wanted = private.public() == wanted;
            if is_wanted { private.sign(&scheme, &message) } else { Err(KeyFileError::OtherKey) }
        };
        self.with_key(sign).await
    }

    async fn with_key<T: Send + 'static>(
        &self,
        then: impl FnOnce(&PrivateKey) -> Result<T, KeyFileError> + Send + 'static,
    ) -> io::Result<T> {
        let path = self.0.clone();
        in_time(move || {
            let file = read(&path, FileAccess::OwnerAlone)?;
            Ok(then(&PrivateKey::parse(&file)?)?)
        })
        .await
    }
}

impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0.to_string_lossy()))
    }
}

/// The key itself, which may be within a certificate.
fn wanted(key: &UserKey) -> Result<Vec<u8>, KeyFileError> {
    let within = plain(&key.blob).map_err(|Malformed| KeyFileError::OtherKey)?;
    Ok(within.unwrap_or_else(|| key.blob.clone()))
}

/// The public halves, certificates among them, of the keys that ssh finds by these files' names: beside
/// them or in them. What cannot be read has none.
pub(super) async fn public_halves(files: Vec<PathBuf>) -> Vec<Vec<u8>> {
    let all = in_time(move || Ok(files.iter().flat_map(|file| halves(file)).collect()));
    all.await.unwrap_or_default()
}

fn halves(file: &Path) -> impl Iterator<Item = Vec<u8>> {
    let lines = ["", ".pub", "-cert.pub"].map(|end| {
        let mut path = file.as_os_str().to_owned();
        path.push(end);
        blob(&read(path.as_ref(), FileAccess::Anybody).ok()?)
    });
    let private = || PrivateKey::parse(&read(file, FileAccess::OwnerAlone).ok()?).ok();
    lines.into_iter().flatten().chain(private().map(|private| private.public()))
}

/// Does this where it holds up nobody else.
async fn in_time<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = timeout(PATIENCE, spawn_blocking(work)).await;
    let done = done.map_err(|_| io::ErrorKind::TimedOut)?;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Who may have access to a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileAccess {
    OwnerAlone,
    Anybody,
}

fn read(path: &Path, access: FileAccess) -> io::Result<Zeroizing<Vec<u8>>> {
    // To open a pipe would be to wait for whoever writes to it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(KeyFileError::NoFile.into());
    }
    // As ssh has it: somebody else's file is that one's affair.
    let is_exposed = metadata.uid() == getuid().as_raw() && metadata.mode() & 0o077 != 0;
    if is_exposed && access == FileAccess::OwnerAlone {
        return Err(KeyFileError::Exposed.into());
    }
    // All at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(vec![0; MAX_FILE + 1]);
    let mut count = 0;
    while count < bytes.len() {
        match file.read(&mut bytes[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if count > MAX_FILE {
        return Err(KeyFileError::TooLong.into());
    }
    bytes.truncate(count);
    Ok(bytes)
}

/// The blob in a line of a public key's file.
fn blob(text: &[u8]) -> Option<Vec<u8>> {
    let mut words = str::from_utf8(text).ok()?.split_ascii_whitespace();
    let (kind, blob) = (words.next()?, STANDARD.decode(words.next()?).ok()?);
    let is_of_kind = Reader::new(&blob).text() == Ok(kind);
    is_of_kind.then_some(blob)
}

/// A key that ssh has from a file, as it names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedKey {
    /// The private key's file; that of a certificate which `CertificateFile` names, however, is the
    /// certificate's own. One that is not absolute counts from where ssh runs.
    pub(super) path: PathBuf,
    pub(super) is_certificate: bool,
    /// Without what names the hash. That of a certificate is that of the key within.
    pub(super) fingerprint: String,
}

impl NamedKey {
    /// What ssh says of a key, behind `Will attempt key: ` or `Server accepts key: `: its file, its kind, its
    /// fingerprint, and where it comes from. None of one that an agent has (`agent`), or a device
    /// (`token`, `authenticator`), or in any other way than OpenSSH 8.5 to 10 do.
    pub(super) fn parse(words: &str) -> Option<Self> {
        // The path may have any of these words in it, and stands in front.
        let (front, back) = words.rsplit_once(" SHA256:")?;
        let fingerprint = back.strip_suffix(" explicit").unwrap_or(back);
        let (path, kind) = front.rsplit_once(' ')?;
        if path.is_empty() || fingerprint.is_empty() || fingerprint.contains(' ') {
            return None;
        }
        Some(Self {
            path: unescaped(path)?,
            is_certificate: kind.ends_with("-CERT"),
            fingerprint: fingerprint.to_owned(),
        })
    }
}

/// Takes back what ssh does to what it logs: backslashes are doubled, and bytes that are not printable ASCII
/// are octal.
fn unescaped(logged: &str) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    let mut rest = logged.as_bytes();
    while let [first, others @ ..] = rest {
        let (byte, after) = match (first, others) {
            (b'\\', [b'\\', after @ ..]) => (b'\\', after),
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                ((a & 3) << 6 | (b & 7) << 3 | c & 7, after)
            }
            (b'\\', _) => return None,
            _ => (*first, others),
        };
        bytes.push(byte);
        rest = after;
    }
    Some(OsString::from_vec(bytes).into())
}

#[cfg(test)]
#[path = "key_file_tests.rs"]
mod tests;
