//! A server program on this machine that can be uploaded to a host.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// The largest server program, in bytes.
const MAX_LENGTH: u64 = 1 << 28;

/// An operating system and architecture, as `uname -s` and `uname -m` print them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    name: String,
    /// The offset of the machine's name.
    machine: usize,
}

impl Platform {
    /// A platform, such as `Linux` and `x86_64`. `None` unless both names have 1 to 64 letters, digits, `_`,
    /// `-` and `.`.
    pub fn new(system: &str, machine: &str) -> Option<Self> {
        let is_name = |text: &str| !text.is_empty() && text.len() <= 64 && is_plain(text);
        (is_name(system) && is_name(machine))
            .then(|| Self { name: format!("{system} {machine}"), machine: system.len() + 1 })
    }

    /// Parses the output of `uname -sm`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (system, machine) = text.split_once(' ')?;
        Self::new(system, machine)
    }

    /// The system, such as `Linux`.
    pub fn system(&self) -> &str {
        &self.name[..self.machine - 1]
    }

    /// The machine, such as `x86_64`.
    pub fn machine(&self) -> &str {
        &self.name[self.machine..]
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Whether no shell finds anything of its own in it.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// A server program on this machine that can be uploaded to a host.
#[derive(Clone, Debug)]
pub struct ServerFile {
    path: PathBuf,
    platform: Platform,
    prefix: String,
    sum: String,
    name: String,
}

impl ServerFile {
    /// Reads the program of this version for this platform. `prefix` is the subcommand before its arguments,
    /// for a program that contains the server; it may be empty. Version and prefix may have letters, digits, `_`,
    /// `-` and `.`.
    ///
    /// Blocks until the program is read.
    ///
    /// # Errors
    /// The file cannot be read or is larger than 256 MiB, or the version or prefix is invalid.
    pub fn load(path: &Path, platform: Platform, version: &str, prefix: &str) -> io::Result<Self> {
        Self::read(&File::open(path)?, path, platform, version, prefix)
    }

    /// Reads a program that is already open, from its current position: a caller that has checked the open
    /// file has checked what is read. For the upload the file at `path` is read again, and must have the same
    /// SHA-256. Otherwise like [`load`](Self::load).
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn read(
        file: &File,
        path: &Path,
        platform: Platform,
        version: &str,
        prefix: &str,
    ) -> io::Result<Self> {
        if !is_plain(version) || !is_plain(prefix) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "invalid version or subcommand",
            ));
        }
        let bytes = read(file)?;
        Ok(Self { path: path.to_owned(), ..Self::of_bytes(&bytes, platform, version, prefix) })
    }

    pub(super) fn of_bytes(bytes: &[u8], platform: Platform, version: &str, prefix: &str) -> Self {
        let sum = sum(bytes);
        let name = format!("rejoin-server-{version}-{}", &sum[..16]);
        Self { path: PathBuf::new(), platform, prefix: prefix.to_owned(), sum, name }
    }

    /// The platform that it runs on.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the file on a host, which depends on its content.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its SHA-256 in lower-case hexadecimal digits.
    pub fn sum(&self) -> &str {
        &self.sum
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn with_prefix(&self, words: &str) -> String {
        format!("{} {words}", self.prefix)
    }

    /// The bytes to upload, compressed if the host can unpack them. Blocks.
    pub(super) fn upload(&self, is_packed: bool) -> io::Result<Upload> {
        let raw = read(&File::open(&self.path)?)?;
        if sum(&raw) != self.sum {
            return Err(io::Error::other("the file has changed since rejoin read it"));
        }
        let length = raw.len();
        let bytes = if is_packed { pack(&raw)? } else { raw };
        Ok(Upload { bytes, length })
    }
}

/// The bytes to upload.
pub(super) struct Upload {
    pub(super) bytes: Vec<u8>,
    /// The size of the file that they contain, in bytes.
    pub(super) length: usize,
}

fn read(file: &File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > MAX_LENGTH {
        return Err(io::Error::other("too large for a server program"));
    }
    // Its length is below 256 MiB.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(MAX_LENGTH).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn sum(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn pack(raw: &[u8]) -> io::Result<Vec<u8>> {
    // Level 9 takes twice as long as 6 and saves less than a hundredth.
    let mut packer = GzEncoder::new(Vec::with_capacity(raw.len() / 2), Compression::new(6));
    packer.write_all(raw)?;
    packer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_two_plain_words() {
        let platform = Platform::parse("Linux x86_64").unwrap();
        assert_eq!((platform.system(), platform.machine()), ("Linux", "x86_64"));
        for bad in ["", "Linux", "Linux ", "a b c", "a b\"", "a $(b)", "a b;c", "a *"] {
            assert_eq!(Platform::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_says_the_version_and_the_content() {
        let platform = Platform::parse("Linux x86_64").unwrap();
        let server = ServerFile::of_bytes(b"abc", platform, "0.1.0", "");
        assert_eq!(server.name(), "rejoin-server-0.1.0-ba7816bf8f01cfea");
        assert_eq!(server.sum().len(), 64);
    }
}
