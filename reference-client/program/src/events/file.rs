//! The file that events are appended to.
//!
//! The user names it, and may name what exists: a file, a pipe, a descriptor. Where other users can put
//! something by that name, as in `/tmp`, only what belongs to the user or to root is written to.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use rejoin_client::servers::trust::{is_own, is_shared};

/// As many symbolic links as Linux follows in a path.
const MOST_LINKS: usize = 40;

/// Opens a file to append to, or makes one that its user alone can read. A symbolic link is followed if it
/// belongs to the user or to root; no file is made where one leads.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match create(path) {
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_existing(path),
            made => made,
        },
        _ => open_existing(path),
    }
}

const FLAGS: OFlags =
    OFlags::WRONLY.union(OFlags::APPEND).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

fn create(path: &Path) -> io::Result<File> {
    let flags = FLAGS | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?.into())
}

fn open_existing(path: &Path) -> io::Result<File> {
    let (path, flags) = match followed(path)? {
        Target::File(path) => (path, FLAGS | OFlags::NOFOLLOW),
        Target::Descriptor(path) => (path, FLAGS),
    };
    let is_descriptor = !flags.contains(OFlags::NOFOLLOW);
    // Before it is opened, too: opening a pipe waits for its reader.
    if !is_descriptor {
        check(&path, &fs::symlink_metadata(&path)?)?;
    }
    let file: File = rustix::fs::open(&path, flags, Mode::empty())?.into();
    if !is_descriptor {
        check(&path, &file.metadata()?)?;
    }
    Ok(file)
}

/// What a path leads to.
enum Target {
    /// No symbolic link.
    File(PathBuf),
    /// A link of the kernel's to what a process has open. Its text is no path.
    Descriptor(PathBuf),
}

fn followed(path: &Path) -> io::Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let found = fs::symlink_metadata(&path)?;
        if !found.is_symlink() {
            return Ok(Target::File(path));
        }
        if !is_own(&found) {
            return Err(refused(&path, "is another user's symbolic link"));
        }
        let folder = folder_of(&path).canonicalize()?;
        if folder.starts_with("/proc") {
            return Ok(Target::Descriptor(path));
        }
        path = folder.join(fs::read_link(&path)?);
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Whether another user can have put it there to read what is written, or to have it written elsewhere.
/// Linux refuses the same with `fs.protected_regular` and `fs.protected_fifos`, where those are set, but
/// only to who would also create the file.
fn check(path: &Path, found: &Metadata) -> io::Result<()> {
    let folder = folder_of(path);
    let around = fs::metadata(folder)?;
    let is_shared = is_shared(folder, &around);
    if !is_shared && is_own(&around) {
        return Ok(());
    }
    // In a folder of another user's, that user's files were meant; nobody is deceived.
    let is_meant = is_own(found) || !is_shared && found.uid() == around.uid();
    if !is_meant {
        return Err(refused(path, "belongs to another user, in a folder that others can write to"));
    }
    if found.is_file() && found.nlink() > 1 {
        return Err(refused(path, "is a hard link, in a folder that others can write to"));
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{} {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};

    use super::*;

    const NOBODY: u32 = 65534;

    fn write(path: &Path) -> io::Result<()> {
        open(path)?.write_all(b"line\n")
    }

    fn shared_folder() -> (tempfile::TempDir, PathBuf) {
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path().join("shared");
        fs::create_dir(&folder).unwrap();
        // Not sticky: where it is, Linux may refuse some of it by itself.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        (kept, folder)
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn a_new_file_is_its_users_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640, "it stays as it is");
        assert_eq!(fs::read(&path).unwrap(), b"line\nline\n");
    }

    #[test]
    fn nothing_is_made_where_a_symbolic_link_leads() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        symlink("target", &link).unwrap();
        assert_eq!(write(&link).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!target.exists());
        fs::write(&target, "").unwrap();
        write(&link).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"line\n");
        symlink("loop", folder.path().join("loop")).unwrap();
        assert!(write(&folder.path().join("loop")).is_err());
    }

    #[test]
    fn another_users_symbolic_link_is_refused() {
        if !is_root() {
            return;
        }
        let (_kept, folder) = shared_folder();
        let (link, own, target) = (folder.join("link"), folder.join("own"), folder.join("target"));
        fs::write(&target, "").unwrap();
        symlink("target", &link).unwrap();
        symlink("link", &own).unwrap();
        write(&own).unwrap();
        lchown(&link, Some(NOBODY), None).unwrap();
        for path in [&link, &own] {
            let error = write(path).unwrap_err().to_string();
            assert!(error.ends_with("/link is another user's symbolic link"), "{error}");
        }
        assert_eq!(fs::read(&target).unwrap(), b"line\n");
    }

    #[test]
    fn what_another_user_has_put_into_a_shared_folder_is_refused() {
        if !is_root() {
            return;
        }
        let (_kept, folder) = shared_folder();
        let (file, pipe) = (folder.join("file"), folder.join("pipe"));
        fs::write(&file, "").unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        for path in [&file, &pipe] {
            chown(path, Some(NOBODY), None).unwrap();
            // Nobody reads the pipe: it is refused before it is waited for.
            let error = write(path).unwrap_err().to_string();
            assert!(error.contains("belongs to another user"), "{error}");
        }
        // In a folder of one's own it was put there by root.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        write(&file).unwrap();
    }

    #[test]
    fn in_another_users_folder_only_that_users_files_are_written_to() {
        if !is_root() {
            return;
        }
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path().join("theirs");
        fs::create_dir(&folder).unwrap();
        let (precious, link) = (kept.path().join("precious"), folder.join("link"));
        let (theirs, others) = (folder.join("theirs"), folder.join("others"));
        for path in [&precious, &theirs, &others] {
            fs::write(path, "").unwrap();
        }
        fs::hard_link(&precious, &link).unwrap();
        for (path, user) in [(&folder, NOBODY), (&theirs, NOBODY), (&others, NOBODY - 1)] {
            chown(path, Some(user), None).unwrap();
        }
        write(&theirs).unwrap();
        assert!(write(&others).unwrap_err().to_string().contains("belongs to another user"));
        assert!(write(&link).unwrap_err().to_string().contains("is a hard link"));
    }

    #[test]
    fn a_hard_link_in_a_shared_folder_is_refused() {
        let (kept, folder) = shared_folder();
        let (precious, link) = (kept.path().join("precious"), folder.join("link"));
        fs::write(&precious, "").unwrap();
        fs::hard_link(&precious, &link).unwrap();
        assert!(write(&link).unwrap_err().to_string().contains("is a hard link"));
        assert_eq!(fs::read(&precious).unwrap(), b"");
    }

    #[test]
    fn a_pipe_and_what_is_no_file_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        let mut both = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        write(&pipe).unwrap();
        let mut read = [0; 5];
        both.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"line\n");
        write(Path::new("/dev/null")).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_descriptor_is_written_to_whatever_became_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        for start in ["/dev/fd", "/proc/self/fd"] {
            write(&Path::new(start).join(file.as_raw_fd().to_string())).unwrap();
        }
        let link = folder.path().join("link");
        symlink(format!("/dev/fd/{}", file.as_raw_fd()), &link).unwrap();
        write(&link).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "line\n".repeat(3));
    }
}
