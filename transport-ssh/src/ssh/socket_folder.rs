//! A folder for a socket that only this user can reach.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::{env, iter};

/// The fallback if the system has not made a folder for this user.
const SHARED_FOLDER: &str = "/tmp";

/// A private folder of this user, with one socket. Dropping it removes the folder.
pub(crate) struct SocketFolder {
    path: PathBuf,
    socket: PathBuf,
}

impl SocketFolder {
    /// Makes a folder. `what` is part of its path, and says what the socket is for.
    pub(crate) fn make(what: &str) -> io::Result<Self> {
        let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let places = own.into_iter().chain(iter::once(env::temp_dir()));
        let places = places.chain(iter::once(SHARED_FOLDER.into()));
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        let name = format!("rejoin-{what}-{:016x}", u64::from_ne_bytes(random));
        let mut failure = io::ErrorKind::NotFound.into();
        for place in places.filter(|place| is_plain(place)) {
            let path = place.join(&name);
            // It fails if there is anything of this name, which nobody can know beforehand.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { socket: path.join(what), path }),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// The path of the socket, without characters that are special to ssh.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for SocketFolder {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_dir(&self.path);
    }
}

/// The longest path of a place. With the names of the folder and the socket, and the 17 bytes that ssh adds
/// while it makes a socket, it fits into the 104 bytes that every system has for a socket's path.
const LONGEST: usize = 54;

/// Whether a path is absolute, of characters that mean nothing in ssh's options, and short enough for a socket.
fn is_plain(path: &Path) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    path.is_absolute()
        && path.to_str().is_some_and(|path| path.len() <= LONGEST && path.chars().all(is_plain))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_is_its_users_alone_and_goes_with_its_socket() {
        let folder = SocketFolder::make("fwd").unwrap();
        fs::write(folder.socket(), "").unwrap();
        let path = folder.path.clone();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_fits_into_its_address_while_ssh_makes_it() {
        let place = PathBuf::from(format!("/{}", "x".repeat(LONGEST - 1)));
        assert!(is_plain(&place));
        let name = format!("{}/rejoin-fwd-0123456789abcdef/fwd.0123456789abcdef", place.display());
        assert!(name.len() < 104, "{}", name.len());
        assert!(!is_plain(&place.join("x")));
    }
}
