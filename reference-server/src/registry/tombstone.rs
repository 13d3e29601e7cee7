//! The tombstone: the state of a session that outlives its entry, so that a late Open does not
//! start an incarnation twice.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rejoin_protocol::registry::Remembered;
use rejoin_protocol::{Incarnation, SpawnError, Tenure};
use rustix::io::{pread, pwrite};
use serde::{Deserialize, Serialize};

use super::seal::{self, Found};
use crate::host;

/// The size of a tombstone's file, in bytes.
pub(super) const BLOCK: usize = 1024;

/// Whether the file has its full length.
pub(super) fn has_room(file: impl AsFd) -> io::Result<bool> {
    let length = rustix::fs::fstat(file)?.st_size;
    Ok(usize::try_from(length).is_ok_and(|length| length >= BLOCK))
}

const MARK: [u8; 4] = *b"rjTS";

/// The remembered state of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The highest incarnation that was ever used.
    pub used: Option<Incarnation>,
    /// The highest tenure.
    pub tenure: Tenure,
    /// The last failed start. Its incarnation counts as used.
    pub failed: Option<(Incarnation, SpawnError)>,
    /// When it was written, in seconds since boot.
    pub buried: u64,
    /// The boot in which it was written.
    pub boot_id: [u8; 16],
}

impl Tombstone {
    /// A tombstone with this state, written now.
    pub fn of(Remembered { used, tenure, failed }: Remembered) -> Self {
        // A tombstone with a wrong date is better than no tombstone.
        let boot_id = host::boot_id().unwrap_or_default();
        Self { used, tenure, failed, buried: host::boottime().as_secs(), boot_id }
    }

    /// The remembered state.
    pub fn into_remembered(self) -> Remembered {
        let Self { used, tenure, failed, .. } = self;
        Remembered { used, tenure, failed }
    }

    /// Its age. The age of a tombstone from an earlier boot is the time since this boot.
    pub fn age(&self, boottime: Duration, boot_id: [u8; 16]) -> Duration {
        if self.boot_id == boot_id {
            boottime.saturating_sub(Duration::from_secs(self.buried))
        } else {
            boottime
        }
    }
}

/// Reads the tombstone from its file.
pub(super) fn read(file: impl AsFd) -> io::Result<Found<Tombstone>> {
    let mut block = [0; BLOCK];
    let length = pread(file, &mut block, 0)?;
    Ok(seal::open(MARK, &block[..length]))
}

/// Writes the whole block in place with one write: a killed writer leaves the old or the new
/// tombstone, and the space is already reserved if the disk is full. It is not synced, because only
/// clients of this boot need it.
pub(super) fn write(file: impl AsFd, tombstone: &Tombstone) -> io::Result<()> {
    let sealed = seal::seal(MARK, tombstone).filter(|sealed| sealed.len() <= BLOCK);
    let sealed = sealed.ok_or(io::ErrorKind::InvalidInput)?;
    let mut block = [0; BLOCK];
    block[..sealed.len()].copy_from_slice(&sealed);
    match pwrite(file, &block, 0)? {
        BLOCK => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_protocol::{Reason, SpawnErrorKind};
    use std::os::unix::fs::FileExt;

    fn tombstone() -> Tombstone {
        let error = SpawnError::new(SpawnErrorKind::NotFound, &"x".repeat(10_000));
        Tombstone::of(Remembered {
            used: Some(Incarnation(u64::MAX)),
            tenure: Tenure(u64::MAX),
            failed: Some((Incarnation(u64::MAX), error)),
        })
    }

    #[test]
    fn the_largest_tombstone_fits_its_file() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(read(&file).unwrap(), Found::Nothing);
        write(&file, &tombstone()).unwrap();
        assert_eq!(read(&file).unwrap(), Found::Whole(tombstone()));
        assert_eq!(file.metadata().unwrap().len(), BLOCK as u64);
        assert!(tombstone().failed.unwrap().1.message.len() <= Reason::MAX_MESSAGE);
    }

    #[test]
    fn a_torn_tombstone_is_damaged_not_absent() {
        let file = tempfile::tempfile().unwrap();
        write(&file, &tombstone()).unwrap();
        file.write_all_at(&[0; 512], 512).unwrap();
        assert_eq!(read(&file).unwrap(), Found::Damaged);
        file.write_all_at(b"what a shell printed\n", 0).unwrap();
        assert_eq!(read(&file).unwrap(), Found::Damaged);
    }

    #[test]
    fn counts_age_in_boot_time_and_after_a_reboot_from_boot() {
        let second = Duration::from_secs;
        let tombstone = Tombstone { buried: 100, boot_id: [1; 16], ..Tombstone::default() };
        assert_eq!(tombstone.age(second(160), [1; 16]), second(60));
        assert_eq!(tombstone.age(second(90), [1; 16]), second(0));
        assert_eq!(tombstone.age(second(30), [2; 16]), second(30));
    }
}
