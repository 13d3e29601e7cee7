//! Finds the registry's folder, and checks that nobody else can write there.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rejoin_protocol::SessionId;
use rustix::fs::{Mode, OFlags, fstat, fstatfs};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::Registry;

/// The variable with the registry's folder, unless the command line names one.
pub const FOLDER_VARIABLE: &str = "REJOIN_REGISTRY";

/// The longest path of a Unix socket on Linux, without its terminating zero.
const SOCKET_PATH_MAX: usize = 107;

/// Network file systems, by the magic numbers of statfs(2). Their locks are emulated, are not
/// inherited at fork, and are shared with other hosts.
const NETWORK_FILE_SYSTEMS: [(u32, &str); 5] = [
    (0x0000_6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x5346_414f, "AFS"),
    (0x00c3_6400, "Ceph"),
];

impl Registry {
    /// Opens the registry, and creates its folder if necessary: `dir`, else `$REJOIN_REGISTRY`,
    /// else `/tmp/rejoin-<uid>`.
    ///
    /// The default is not in `$XDG_RUNTIME_DIR`, because that folder is removed when the user's
    /// last login ends. It is not in the home folder, because several hosts may share that, so that
    /// locks do not work, and it may not be writable.
    pub fn open(dir: Option<&Path>) -> Result<Self, RegistryError> {
        let dir = locate(dir)?;
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        // An existing file is not an error here; the check below judges it.
        match builder.create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(RegistryError::Io { dir, error });
            }
            _ => {}
        }
        verify(&dir)?;
        Ok(Self { dir })
    }

    /// Opens the registry if its folder exists, and creates nothing.
    pub fn open_existing(dir: Option<&Path>) -> Result<Option<Self>, RegistryError> {
        let dir = locate(dir)?;
        match verify(&dir) {
            Ok(()) => Ok(Some(Self { dir })),
            Err(RegistryError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Protects the folder from systemd-tmpfiles while the descriptor is open: it skips folders
    /// with a shared lock. Every server holds one.
    pub fn guard(&self) -> io::Result<OwnedFd> {
        let folder = open_folder(&self.dir)?;
        rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockShared)?;
        Ok(folder)
    }
}

fn locate(dir: Option<&Path>) -> Result<PathBuf, RegistryError> {
    let from_environment = || std::env::var_os(FOLDER_VARIABLE).filter(|dir| !dir.is_empty());
    let dir = match dir.map(PathBuf::from).or_else(|| from_environment().map(PathBuf::from)) {
        Some(dir) => dir,
        None => PathBuf::from(format!("/tmp/rejoin-{}", geteuid().as_raw())),
    };
    let absolute = std::path::absolute(&dir).map_err(|error| RegistryError::Io { dir, error })?;
    // Without a slash at its end, because the system would follow a symbolic link.
    let registry = Registry { dir: absolute.components().collect() };
    let socket = registry.socket_path(SessionId::from_bytes([0; 16])).as_os_str().len();
    if socket > SOCKET_PATH_MAX {
        return Err(RegistryError::TooLong { dir: registry.dir, by: socket - SOCKET_PATH_MAX });
    }
    Ok(registry.dir)
}

fn open_folder(dir: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::empty())
}

fn verify(dir: &Path) -> Result<(), RegistryError> {
    let failed = |errno: Errno| match (errno, stranger(dir)) {
        (Errno::NOTDIR | Errno::LOOP, _) => RegistryError::NotAFolder { dir: dir.into() },
        // Even if it cannot be opened, its owner can be read.
        (Errno::ACCESS, Some(owner)) => RegistryError::NotOurs { dir: dir.into(), owner },
        (errno, _) => RegistryError::Io { dir: dir.into(), error: errno.into() },
    };
    let folder = open_folder(dir).map_err(failed)?;
    let stat = fstat(&folder).map_err(failed)?;
    if stat.st_uid != geteuid().as_raw() {
        return Err(RegistryError::NotOurs { dir: dir.into(), owner: stat.st_uid });
    }
    let mode = stat.st_mode & 0o7777;
    if mode & 0o077 != 0 {
        return Err(RegistryError::Open { dir: dir.into(), mode });
    }
    let kind = fstatfs(&folder).map_err(failed)?.f_type;
    // The magic numbers have 32 bits, in a field that is wider on most platforms.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let known = NETWORK_FILE_SYSTEMS.iter().find(|(magic, _)| *magic == kind as u32);
    match known {
        Some((_, name)) => Err(RegistryError::OnNetwork { dir: dir.into(), name }),
        None => Ok(()),
    }
}

/// The owner, if it is another user.
fn stranger(dir: &Path) -> Option<u32> {
    let owner = rustix::fs::lstat(dir).ok()?.st_uid;
    (owner != geteuid().as_raw()).then_some(owner)
}

/// Why the registry cannot be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum RegistryError {
    /// The folder cannot be created or opened.
    Io {
        /// The folder.
        dir: PathBuf,
        /// The system error.
        error: io::Error,
    },
    /// The path is not a folder. A symbolic link does not count as one.
    NotAFolder {
        /// The path.
        dir: PathBuf,
    },
    /// The folder belongs to another user.
    NotOurs {
        /// The folder.
        dir: PathBuf,
        /// The user's id.
        owner: u32,
    },
    /// Others may read or write in the folder.
    Open {
        /// The folder.
        dir: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The folder is on a network file system.
    OnNetwork {
        /// The folder.
        dir: PathBuf,
        /// The file system's name.
        name: &'static str,
    },
    /// The folder's path is too long for sockets in it.
    TooLong {
        /// The folder.
        dir: PathBuf,
        /// How many bytes too long.
        by: usize,
    },
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elsewhere = format!("remove it, or name another folder in {FOLDER_VARIABLE}");
        match self {
            Self::Io { dir, error } => {
                write!(f, "the folder {} for sessions cannot be used ({error}): ", dir.display())?;
                write!(f, "name another folder in {FOLDER_VARIABLE}")
            }
            Self::NotAFolder { dir } => {
                write!(
                    f,
                    "{} should be the folder for sessions, but is not a folder: {elsewhere}",
                    dir.display()
                )
            }
            Self::NotOurs { dir, owner } => write!(
                f,
                "the folder {} for sessions belongs to user {owner}, not to you: \
                 name another folder in {FOLDER_VARIABLE}",
                dir.display()
            ),
            Self::Open { dir, mode } => write!(
                f,
                "the folder {0} for sessions is open to other users (mode {mode:o}): \
                 check what is in it, then run: chmod 700 {0}",
                dir.display()
            ),
            Self::OnNetwork { dir, name } => write!(
                f,
                "the folder {} for sessions is on a network file system ({name}), where locks \
                 do not work: name a local folder in {FOLDER_VARIABLE}",
                dir.display()
            ),
            Self::TooLong { dir, by } => write!(
                f,
                "the path of the folder {} for sessions is {by} bytes too long: \
                 name a shorter one in {FOLDER_VARIABLE}",
                dir.display()
            ),
        }
    }
}

impl std::error::Error for RegistryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::tests::as_nobody;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn creates_a_private_folder() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("a/b");
        assert_eq!(Registry::open_existing(Some(&dir)).unwrap(), None);
        assert!(!dir.exists());
        let registry = Registry::open(Some(&dir)).unwrap();
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(Registry::open_existing(Some(&dir)).unwrap(), Some(registry));
    }

    #[test]
    fn refuses_a_folder_open_to_others_and_leaves_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
        let error = Registry::open(Some(folder.path())).unwrap_err();
        assert!(matches!(error, RegistryError::Open { mode: 0o750, .. }), "{error}");
        assert_eq!(mode(folder.path()), 0o750);
    }

    #[test]
    fn refuses_a_symbolic_link_even_with_a_trailing_slash() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good");
        Registry::open(Some(&good)).unwrap();
        let link = folder.path().join("link");
        symlink(&good, &link).unwrap();
        for link in [link.clone(), link.join("")] {
            let error = Registry::open(Some(&link)).unwrap_err();
            assert!(matches!(error, RegistryError::NotAFolder { .. }), "{error}");
        }
    }

    #[test]
    fn the_default_folder_is_local_and_not_in_the_home() {
        if std::env::var_os(FOLDER_VARIABLE).is_none() {
            let dir = locate(None).unwrap();
            assert_eq!(dir, PathBuf::from(format!("/tmp/rejoin-{}", geteuid().as_raw())));
        }
    }

    const TRIED: &str = "REJOIN_TEST_TRIED_FOLDER";

    /// Run by [`reports_the_owner_of_another_users_closed_folder`] as that user.
    #[test]
    fn reports_the_owner_if_asked() {
        let Some(dir) = std::env::var_os(TRIED) else { return };
        let error = Registry::open(Some(dir.as_ref())).unwrap_err();
        assert!(matches!(error, RegistryError::NotOurs { owner: 0, .. }), "{error}");
    }

    /// An attacker may create the folder to keep another user from having sessions.
    #[test]
    fn reports_the_owner_of_another_users_closed_folder() {
        if !geteuid().is_root() {
            eprintln!("passed over: only root can act as another user");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = folder.path().join("closed");
        Registry::open(Some(&dir)).unwrap();
        let test = "registry::folder::tests::reports_the_owner_if_asked";
        let told = as_nobody(test, TRIED, &dir);
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
    }

    #[test]
    fn refuses_a_file_in_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Registry::open(Some(file.path())).unwrap_err();
        assert!(matches!(error, RegistryError::NotAFolder { .. }), "{error}");
    }

    #[test]
    fn refuses_a_path_too_long_for_sockets_before_creating_anything() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("x".repeat(70));
        let error = Registry::open(Some(&dir)).unwrap_err();
        assert!(matches!(error, RegistryError::TooLong { .. }), "{error}");
        assert!(!dir.exists());
    }

    #[test]
    fn many_servers_can_guard_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(Some(&folder.path().join("r"))).unwrap();
        let _first = registry.guard().unwrap();
        let _second = registry.guard().unwrap();
    }
}
