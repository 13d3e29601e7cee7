//! Information from `/proc` about processes, and process handles that are safe against reused pids.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, geteuid, kill_process, pidfd_open, pidfd_send_signal,
};

/// The kernel's flag of an exiting process (`PF_EXITING`).
const EXITING: u32 = 0x4;

/// The kernel's flag of kernel threads (`PF_KTHREAD`).
const KERNEL_THREAD: u32 = 0x0020_0000;

/// The polling interval where the kernel offers no descriptor to poll.
const NAP: Duration = Duration::from_millis(2);

/// The fields used of `/proc/<pid>/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// The leader of its kernel session, which may be gone.
    pub(crate) session: i32,
    pub(crate) is_zombie: bool,
    /// Whether it has begun to end. It may still have to close what it has open.
    pub(crate) is_exiting: bool,
    is_kernel_thread: bool,
    /// When it started, in clock ticks since boot: tells two users of one pid apart.
    pub(crate) start: u64,
    /// Where its environment begins and ends; zeros while an exec has not laid it out yet.
    environment: (u64, u64),
}

impl Stat {
    /// Reads it; `None` if the process is gone.
    pub(crate) fn read(pid: i32) -> Option<Self> {
        // The program's name in it may be any bytes.
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&text))
    }

    fn parse(pid: i32, text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may hold anything.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let flags: u32 = fields.get(6)?.parse().ok()?;
        let field = |at: usize| fields.get(at).and_then(|field| field.parse().ok()).unwrap_or(0);
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            is_zombie: matches!(*fields.first()?, "Z" | "X"),
            is_exiting: flags & EXITING != 0,
            is_kernel_thread: flags & KERNEL_THREAD != 0,
            start: fields.get(19)?.parse().ok()?,
            environment: (field(47), field(48)),
        })
    }

    /// Whether an empty environment really is empty.
    fn has_no_environment(&self) -> bool {
        let (begin, end) = self.environment;
        self.is_kernel_thread || self.is_zombie || (begin == end && end != 0)
    }
}

/// When the process started, in clock ticks since boot.
pub(crate) fn start_of(pid: i32) -> Option<u64> {
    Stat::read(pid).map(|stat| stat.start)
}

/// The same, from the text of its `stat`.
pub(crate) fn start_in(text: &str) -> Option<u64> {
    // The pid is not needed.
    Stat::parse(0, text).map(|stat| stat.start)
}

/// The pids of all visible processes.
pub(crate) fn pids() -> io::Result<Vec<i32>> {
    let names = fs::read_dir("/proc")?.filter_map(Result::ok);
    Ok(names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// This process and its parents, up to the first.
pub(crate) fn self_and_ancestors() -> Vec<i32> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let parent = |pid: &i32| Stat::read(*pid).map(|stat| stat.parent).filter(|pid| *pid > 0);
    std::iter::successors(Some(own), parent).collect()
}

/// The key of the real user in a process's auxiliary vector (`AT_UID` of the kernel).
const AUX_REAL_USER: u64 = 11;

/// Keys of an auxiliary vector are below this number, unless they are read with the wrong word
/// width.
const AUX_KEYS: u64 = 256;

/// Whether the real user of `pid` is this program's effective user. `None` if the process is gone.
///
/// The real user counts, because the user who starts a setuid program chooses its environment.
fn is_own(pid: i32) -> Option<bool> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let real = real_user(&String::from_utf8_lossy(&status))?;
    Some(real == geteuid().as_raw())
}

fn real_user(status: &str) -> Option<u32> {
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().next()?.parse().ok()
}

/// Whether this user executed the program of `pid`, and so chose its environment.
///
/// A setuid program can change its real user to root, with the environment of another user. Only
/// root can read such an environment, so only root has to check.
fn is_executed_by_own(pid: i32) -> bool {
    if !geteuid().is_root() {
        return true;
    }
    let vector = read_image(pid, "auxv").unwrap_or_default();
    executor(&vector) == Some(geteuid().as_raw().into())
}

/// The real user in an auxiliary vector, for programs of 32 and 64 bits.
fn executor(vector: &[u8]) -> Option<u64> {
    let wide = words(vector, |word: [u8; 8]| u64::from_ne_bytes(word));
    let narrow = || words(vector, |word: [u8; 4]| u32::from_ne_bytes(word).into());
    let is_wide = wide.chunks_exact(2).all(|entry| entry[0] < AUX_KEYS);
    let all = if is_wide { wide } else { narrow() };
    all.chunks_exact(2).find(|entry| entry[0] == AUX_REAL_USER).map(|entry| entry[1])
}

fn words<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> u64) -> Vec<u64> {
    bytes.as_chunks().0.iter().copied().map(read).collect()
}

/// The targets of a process's descriptors, by their names in `/proc`. Empty for another user's
/// process.
pub(crate) fn open_files(pid: i32) -> Vec<PathBuf> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let paths = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    paths.collect()
}

/// The result of reading a process's environment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The process is gone.
    Gone,
    /// The environment is not readable or not trustworthy: the process is another user's, or
    /// undumpable.
    Hidden,
    /// Not readable yet: the process is in an exec, or exiting. Try again.
    Unsettled,
    /// The whole environment since the last exec.
    Whole(Vec<u8>),
}

impl Reading {
    /// Reads the environment of the process with this pid, if the process is this user's. The
    /// environments of other users' processes are not trustworthy.
    pub(crate) fn of(pid: i32) -> Self {
        match is_own(pid) {
            Some(true) => Self::of_own(pid),
            Some(false) => Self::Hidden,
            None => Self::Gone,
        }
    }

    fn of_own(pid: i32) -> Self {
        let whole = match fs::read(format!("/proc/{pid}/environ")) {
            Ok(whole) => whole,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Self::Hidden,
            Err(_) => return Self::Gone,
        };
        if !whole.is_empty() {
            return Self::believed(pid, whole);
        }
        // An empty result may mean that an exec replaced the environment after the file was opened.
        // It counts as empty only if the kernel says so.
        match (read_threads(pid, "environ"), Stat::read(pid)) {
            (Some(whole), _) => Self::believed(pid, whole),
            (None, Some(stat)) if stat.has_no_environment() => Self::Whole(whole),
            (None, Some(_)) => Self::Unsettled,
            (None, None) => Self::Gone,
        }
    }

    fn believed(pid: i32, environment: Vec<u8>) -> Self {
        if is_executed_by_own(pid) { Self::Whole(environment) } else { Self::Hidden }
    }
}

/// Reads this file of a process in `/proc`.
fn read_image(pid: i32, name: &str) -> Option<Vec<u8>> {
    let whole = fs::read(format!("/proc/{pid}/{name}")).ok().filter(|whole| !whole.is_empty());
    whole.or_else(|| read_threads(pid, name))
}

/// If the main thread has ended first, only the other threads' files have content.
fn read_threads(pid: i32, name: &str) -> Option<Vec<u8>> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.filter_map(Result::ok);
    threads
        .filter_map(|thread| fs::read(thread.path().join(name)).ok())
        .find(|whole| !whole.is_empty())
}

/// A handle on one process, which stays valid if its pid is reused.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    pid: Pid,
    start: u64,
    /// `None` on kernels before 5.3, where the start time is compared before each use.
    pidfd: Option<OwnedFd>,
}

impl ProcessHandle {
    /// A handle on the process with this pid now; `None` if there is none.
    pub(crate) fn open(pid: i32) -> io::Result<Option<Self>> {
        let Some(named) = Pid::from_raw(pid) else { return Ok(None) };
        let pidfd = match pidfd_open(named, PidfdFlags::empty()) {
            Ok(pidfd) => Some(pidfd),
            Err(Errno::SRCH) => return Ok(None),
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(start_of(pid).map(|start| Self { pid: named, start, pidfd }))
    }

    /// When it started, in clock ticks since boot.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Whether it has ended, reaped or not. If it has not, everything read by its pid since
    /// [`Self::open`] was about this process.
    pub(crate) fn is_gone(&self) -> io::Result<bool> {
        match &self.pidfd {
            Some(pidfd) => is_readable(pidfd, Duration::ZERO),
            None => Ok(!self.is_still_named()),
        }
    }

    fn is_still_named(&self) -> bool {
        let now = Stat::read(self.pid.as_raw_nonzero().get());
        now.is_some_and(|stat| stat.start == self.start && !stat.is_zombie)
    }

    /// Sends it a signal. A process that has ended is not an error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let sent = match &self.pidfd {
            Some(pidfd) => pidfd_send_signal(pidfd, signal),
            None if self.is_still_named() => kill_process(self.pid, signal),
            None => Ok(()),
        };
        match sent {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has ended or `deadline` has passed. Returns whether it has ended.
    pub(crate) fn wait(&self, deadline: Instant) -> io::Result<bool> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_gone = match &self.pidfd {
                Some(pidfd) => is_readable(pidfd, left)?,
                None => self.is_gone()?,
            };
            if is_gone || left.is_zero() {
                return Ok(is_gone);
            }
            if self.pidfd.is_none() {
                nap(left);
            }
        }
    }
}

/// Sleeps for a moment, at most for `left`.
pub(crate) fn nap(left: Duration) {
    std::thread::sleep(NAP.min(left));
}

fn is_readable(fd: &OwnedFd, timeout: Duration) -> io::Result<bool> {
    let timeout = Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_names_with_parentheses() {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let text = format!("7 (evil) S 1) (x) R {}", fields.join(" "));
        let stat = Stat::parse(7, &text).unwrap();
        assert_eq!((stat.parent, stat.start, stat.environment), (4, 22, (50, 51)));
        assert!(!stat.is_zombie);
    }

    #[test]
    fn reads_the_real_user_and_not_the_effective_one() {
        let status = "Name:\tUid: 7\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\t5\t5\n";
        assert_eq!(real_user(status), Some(1000));
        assert_eq!(real_user("Name:\tx\n"), None);
    }

    #[test]
    fn reads_the_executing_user_of_32_and_64_bit_programs() {
        let vector = [(16, u32::MAX), (6, 4096), (11, 0), (12, 0), (13, 1000), (0, 0)];
        let wide = vector.map(|(key, value)| [u64::from(key), u64::from(value)]).concat();
        let wide: Vec<u8> = wide.into_iter().flat_map(u64::to_ne_bytes).collect();
        let narrow = vector.map(|(key, value)| [key, value]).concat();
        let narrow: Vec<u8> = narrow.into_iter().flat_map(u32::to_ne_bytes).collect();
        assert_eq!((executor(&wide), executor(&narrow)), (Some(0), Some(0)));
        assert_eq!(executor(b""), None);
        let own = read_image(std::process::id().try_into().unwrap(), "auxv").unwrap();
        assert_eq!(executor(&own), Some(rustix::process::getuid().as_raw().into()));
    }

    #[test]
    fn lists_ancestors_from_this_process_to_init() {
        let line = self_and_ancestors();
        assert_eq!(line[0], i32::try_from(std::process::id()).unwrap());
        assert!(line.len() > 1);
    }
}
