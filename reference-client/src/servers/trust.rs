//! Files of this machine that only the user and root can have put where they are, and written.
//!
//! A path is followed from `/` on, name by name, links included. Every name must belong to the user or
//! to root, and nobody else may be able to write to it, or to the folder in which it stands. So nobody
//! else can change what was looked at, at any time: no look at a name is outdated by the next one.
//!
//! The one exception is a folder with the sticky bit, such as `/tmp`. A folder of the user's or of root's
//! in it is accepted: others cannot remove or rename it, and no folder can be a hard link. A file or
//! a symbolic link there is refused, even the user's own: others can make hard links to both.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;

/// As many symbolic links as Linux follows in a path.
const MOST_LINKS: usize = 40;

/// Why a file or a folder is not used.
#[derive(Debug)]
pub(super) enum Distrust {
    /// It belongs to another user.
    Foreign(PathBuf, u32),
    /// Others can write to it, by these permissions.
    Writable(PathBuf, u32),
    /// It is no regular file.
    NoFile(PathBuf),
    /// It cannot be looked at, or opened.
    Failed(PathBuf, io::Error),
}

impl Distrust {
    /// Whether there is nothing by that name.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Failed(_, error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether another user may have a hand in it.
    pub(super) fn is_unsafe(&self) -> bool {
        matches!(self, Self::Foreign(..) | Self::Writable(..))
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(path, owner) => {
                write!(f, "{} belongs to another user (uid {owner})", path.display())
            }
            Self::Writable(path, mode) => {
                let (path, mode) = (path.display(), mode & 0o7777);
                write!(f, "other users can write to {path} (mode {mode:04o}; chmod go-w)")
            }
            Self::NoFile(path) => write!(f, "{} is not a regular file", path.display()),
            Self::Failed(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

/// Opens a file for reading. What is checked last is the opened file itself.
pub(super) fn open(path: &Path) -> Result<File, Distrust> {
    let (path, found) = resolve(path)?;
    regular(&path, &found)?;
    // Should it be something else meanwhile, that cannot make this wait.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&path, flags, Mode::empty()).map(File::from);
    let file = opened.map_err(|error| Distrust::Failed(path.clone(), error.into()))?;
    let found = file.metadata().map_err(|error| Distrust::Failed(path.clone(), error))?;
    regular(&path, &found)?;
    owned(&path, &found)?;
    unwritable(&path, &found)?;
    Ok(file)
}

/// Whether nobody else can put anything into a folder.
pub(super) fn check_folder(path: &Path) -> Result<(), Distrust> {
    let (path, found) = resolve(path)?;
    unwritable(&path, &found)
}

/// Whether the user or root owns a file or folder.
pub fn is_own(found: &Metadata) -> bool {
    found.uid() == 0 || found.uid() == geteuid().as_raw()
}

/// Whether anybody but the owner can write to a file or folder. A group that only the user is in does not count.
pub fn is_shared(path: &Path, found: &Metadata) -> bool {
    let mode = found.mode();
    mode & 0o002 != 0 || mode & 0o020 != 0 && !is_group_private(path, found.gid())
}

/// The path without symbolic links, and what is there; everything up to it is the user's own.
fn resolve(path: &Path) -> Result<(PathBuf, Metadata), Distrust> {
    let failed = |path: &Path, error| Distrust::Failed(path.to_owned(), error);
    let absolute = std::path::absolute(path).map_err(|error| failed(path, error))?;
    let mut names = names(&absolute);
    let mut links = 0;
    let mut at = PathBuf::from("/");
    let mut found = look(&at)?;
    owned(&at, &found)?;
    while let Some(name) = names.pop() {
        if name == ".." {
            at.pop();
            found = look(&at)?;
            continue;
        }
        let next = at.join(name);
        let there = look(&next)?;
        owned(&next, &there)?;
        let is_kept = found.mode() & 0o1000 != 0 && there.is_dir();
        if !is_kept {
            unwritable(&at, &found)?;
        }
        if !there.is_symlink() {
            (at, found) = (next, there);
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(failed(path, rustix::io::Errno::LOOP.into()));
        }
        let target = fs::read_link(&next).map_err(|error| failed(&next, error))?;
        if target.is_absolute() {
            at = PathBuf::from("/");
            found = look(&at)?;
        }
        names.extend(self::names(&target));
    }
    Ok((at, found))
}

/// The names in a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let is_name =
        |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().rev().filter(is_name).map(|part| part.as_os_str().to_owned()).collect()
}

fn look(path: &Path) -> Result<Metadata, Distrust> {
    fs::symlink_metadata(path).map_err(|error| Distrust::Failed(path.to_owned(), error))
}

fn regular(path: &Path, found: &Metadata) -> Result<(), Distrust> {
    if found.is_file() { Ok(()) } else { Err(Distrust::NoFile(path.to_owned())) }
}

fn owned(path: &Path, found: &Metadata) -> Result<(), Distrust> {
    if is_own(found) { Ok(()) } else { Err(Distrust::Foreign(path.to_owned(), found.uid())) }
}

fn unwritable(path: &Path, found: &Metadata) -> Result<(), Distrust> {
    if is_shared(path, found) {
        return Err(Distrust::Writable(path.to_owned(), found.mode()));
    }
    Ok(())
}

/// Whether a group is the user's private one. Where each user has one, umask is 002, and all that
/// a user makes is writable by that group.
#[cfg(target_os = "linux")]
fn is_group_private(path: &Path, group: u32) -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    // With an access control list, these permissions are the most that anybody named there has.
    let list = rustix::fs::lgetxattr(path, c"system.posix_acl_access", &mut [0_u8; 0][..]);
    let has_list = !matches!(list, Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP));
    let user = geteuid().as_raw();
    !has_list && is_private(group, user, &read("/etc/passwd"), &read("/etc/group"))
}

/// Elsewhere, those files do not list everybody.
#[cfg(not(target_os = "linux"))]
fn is_group_private(_path: &Path, _group: u32) -> bool {
    false
}

/// Whether a group has the user's name, and no other member. Accounts that other services list (LDAP)
/// are taken not to have their place in a group that is named after a local user.
#[cfg(target_os = "linux")]
fn is_private(group: u32, user: u32, accounts: &str, groups: &str) -> bool {
    let (group, user) = (group.to_string(), user.to_string());
    let row = |line: &'_ str| -> Option<[String; 4]> {
        let fields: Vec<_> = line.split(':').take(4).map(str::to_owned).collect();
        fields.try_into().ok()
    };
    // Name, password, user, first group; and name, password, group, members.
    let accounts: Vec<_> = accounts.lines().filter_map(row).collect();
    let groups: Vec<_> = groups.lines().filter_map(row).filter(|row| row[2] == group).collect();
    let own = accounts.iter().find(|row| row[2] == user);
    let (Some([name, ..]), [[named, _, _, members]]) = (own, &groups[..]) else { return false };
    let is_first = |row: &&[String; 4]| row[3] == group;
    name == named
        && (members.is_empty() || members == name)
        && accounts.iter().filter(is_first).all(|row| row[2] == user)
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
