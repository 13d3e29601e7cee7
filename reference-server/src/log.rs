//! A log file that cannot grow without bound.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rejoin_text::is_printable;

/// The maximum size of the log and the old log together, in bytes.
pub const DEFAULT_LIMIT: u64 = 256 * 1024;

/// The suffix of the old log's name.
pub(crate) const OLD_SUFFIX: &str = ".1";

const SECONDS_PER_DAY: u64 = 86_400;

/// A log with a maximum size. When the file reaches half of it, it becomes the old log (with the
/// suffix `.1`), and a new file begins.
#[derive(Debug)]
pub struct BoundedLog {
    file: File,
    path: PathBuf,
    length: u64,
    limit: u64,
}

impl BoundedLog {
    /// Opens the log at `path` for appending.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::with_limit(path, DEFAULT_LIMIT)
    }

    /// The same with another maximum for log and old log together.
    pub fn with_limit(path: &Path, limit: u64) -> io::Result<Self> {
        let file = append_to(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, path: path.into(), length, limit })
    }

    /// Writes a line with the time in front. Characters that are not [printable](is_printable) are
    /// escaped. Write errors are ignored, so that they stop nothing else.
    #[expect(clippy::disallowed_methods, reason = "it is read, and decides nothing")]
    pub fn line(&mut self, message: fmt::Arguments<'_>) {
        let time = rfc3339(SystemTime::now());
        let mut line = format!("{time} ");
        for character in message.to_string().chars() {
            if is_printable(character) {
                line.push(character);
            } else {
                line.extend(character.escape_default());
            }
        }
        line.push('\n');
        let _ = self.write_all(line.as_bytes());
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(OLD_SUFFIX);
        // If somebody removed the log meanwhile, there is nothing to rename.
        match fs::rename(&self.path, old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = append_to(&self.path)?;
        self.length = 0;
        Ok(())
    }
}

impl Write for BoundedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let half = self.limit / 2;
        let wanted = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.length > 0 && self.length.saturating_add(wanted) > half {
            self.begin_anew()?;
        }
        // Longer lines are written in parts.
        let part = usize::try_from(half.max(1)).unwrap_or(usize::MAX).min(bytes.len());
        let written = self.file.write(&bytes[..part])?;
        self.length += u64::try_from(written).unwrap_or(0);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl AsFd for BoundedLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// `time` in RFC 3339 format: UTC, with milliseconds.
pub fn rfc3339(time: SystemTime) -> String {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) =
        (since_1970.as_secs() / SECONDS_PER_DAY, since_1970.as_secs() % SECONDS_PER_DAY);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since_1970.subsec_millis()
    )
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `civil_from_days`). Years begin in March, so that the leap day
/// comes last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, millis: u64) -> String {
        rfc3339(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis))
    }

    #[test]
    fn formats_times_as_rfc_3339() {
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400, 5), "2000-02-29T00:00:00.005Z");
        assert_eq!(at(1_767_225_599, 999), "2025-12-31T23:59:59.999Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn log_and_old_log_stay_within_the_bound_and_keep_the_latest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = BoundedLog::with_limit(&path, 1000).unwrap();
        for number in 0..200 {
            log.line(format_args!("line {number}"));
        }
        drop(log);
        let mut log = BoundedLog::with_limit(&path, 1000).unwrap();
        log.line(format_args!("last"));
        let (new, old) = (
            fs::read_to_string(&path).unwrap(),
            fs::read_to_string(folder.path().join("log.1")).unwrap(),
        );
        assert!(new.len() + old.len() <= 1000);
        let shown = old + &new;
        assert!(shown.contains(" line 199\n") && shown.ends_with(" last\n"));
        assert!(shown.lines().all(|line| line.contains("Z l")));
    }

    #[test]
    fn bounds_a_single_long_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = BoundedLog::with_limit(&path, 1000).unwrap();
        log.write_all(&[b'x'; 10_000]).unwrap();
        let sizes = fs::read_dir(folder.path()).unwrap();
        let sum: u64 = sizes.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(sum <= 1000);
    }

    #[test]
    fn escapes_control_characters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        BoundedLog::open(&path).unwrap().line(format_args!("a\nb\x1b[2J\u{2066}ä"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with(" a\\nb\\u{1b}[2J\\u{2066}ä\n"), "{text}");
    }
}
