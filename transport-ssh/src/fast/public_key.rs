//! Public keys and certificates, as SSH writes them.

use std::time::{Duration, SystemTime};

use rejoin_ssh2::wire::{Malformed, Reader, Writer};

/// The name of a key's kind, with which it begins.
pub(super) fn key_type(blob: &[u8]) -> Option<&str> {
    Reader::new(blob).text().ok()
}

/// The key within a certificate, which is what ssh makes fingerprints of. None where it is none.
pub(super) fn plain(blob: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    Ok(certified(blob)?.map(|(plain, _)| plain))
}

/// The key within a certificate, and what is said of it. None where it is none.
fn certified(blob: &[u8]) -> Result<Option<(Vec<u8>, Reader<'_>)>, Malformed> {
    let mut reader = Reader::new(blob);
    let Some(kind) = reader.text()?.strip_suffix("-cert-v01@openssh.com") else { return Ok(None) };
    let _nonce = reader.string()?;
    let fields = if kind == "ssh-ed25519" { 1 } else { 2 };
    let mut writer = Writer::new().string(kind);
    for _ in 0..fields {
        writer = writer.string(reader.string()?);
    }
    Ok(Some((writer.finish(), reader)))
}

/// When this certificate expires. None if it never does, or is none.
pub(super) fn expiry(blob: &[u8]) -> Option<SystemTime> {
    let mut reader = certified(blob).ok()??.1;
    let _serial = reader.bytes(8).ok()?;
    let _kind = reader.uint32().ok()?;
    let _id = reader.string().ok()?;
    let _principals = reader.string().ok()?;
    let _valid_after = reader.bytes(8).ok()?;
    let valid_before = u64::from_be_bytes(reader.bytes(8).ok()?.try_into().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(valid_before))
}
