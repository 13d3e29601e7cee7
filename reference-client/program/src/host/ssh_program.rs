//! Which ssh is run: never rejoin itself, which may have the name `ssh` as well.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The variable that tells an ssh, and whatever else is run in its place, which process runs it.
pub(crate) const STARTED_BY: &str = "REJOIN_STARTED_BY";

/// What is said of an ssh that is rejoin.
pub(crate) const LOOP: &str = "the ssh in PATH is rejoin, or a script that runs rejoin, which would start \
    itself without end: install OpenSSH's ssh, or name it with --ssh";

/// How every link begins, which no person types.
const LINK: [&str; 2] = ["-o", "RemoteCommand=none"];

/// The first program of this name in `PATH` that is not rejoin. The name itself if that is the first of
/// all, or if there is none.
pub(crate) fn found(program: &OsStr) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::current_exe().and_then(fs::metadata);
    own.map_or_else(|_| program.to_owned(), |own| found_in(program, &path, &own))
}

fn found_in(program: &OsStr, path: &OsStr, own: &Metadata) -> OsString {
    if program.as_bytes().contains(&b'/') {
        return program.to_owned();
    }
    let candidates = std::env::split_paths(path).map(|folder| folder.join(program));
    let mut candidates = candidates.filter(|candidate| is_program(candidate)).peekable();
    let is_own = |candidate: &Path| {
        fs::metadata(candidate).is_ok_and(|it| (it.dev(), it.ino()) == (own.dev(), own.ino()))
    };
    if !candidates.peek().is_some_and(|first| is_own(first)) {
        return program.to_owned();
    }
    candidates.find(|it| !is_own(it)).map_or_else(|| program.to_owned(), OsString::from)
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.is_file() && it.mode() & 0o111 != 0)
}

/// Whether a rejoin has started this one in the place of ssh: directly, through a script that became this
/// process, or as a link through any script. A rejoin within a `ProxyCommand` is none of that.
pub(crate) fn is_started_by_itself(words: &[OsString]) -> bool {
    let by = std::env::var(STARTED_BY).ok().and_then(|pid| pid.parse().ok());
    by.is_some_and(|by| is_in_place_of_ssh(words, by, std::os::unix::process::parent_id()))
}

fn is_in_place_of_ssh(words: &[OsString], by: u32, parent: u32) -> bool {
    words.starts_with(&LINK.map(OsString::from)) || [std::process::id(), parent].contains(&by)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rejoin_testing::make_program;

    use super::*;

    #[test]
    fn a_rejoin_in_the_place_of_ssh_is_known_by_its_parent_or_its_words() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let (own, parent, other) = (std::process::id(), 1, u32::MAX);
        let link = words("-o RemoteCommand=none -o PermitLocalCommand=no -- host server");
        let typed = words("-o BatchMode=yes gate");
        assert!(is_in_place_of_ssh(&typed, parent, parent));
        assert!(is_in_place_of_ssh(&typed, own, parent));
        assert!(is_in_place_of_ssh(&link, other, parent));
        assert!(!is_in_place_of_ssh(&typed, other, parent), "a proxy command of ssh's");
    }

    #[test]
    fn a_link_to_rejoin_is_skipped_and_anything_else_is_found_by_the_system() {
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let folder = root.path().join(name);
            fs::create_dir(&folder).unwrap();
            folder
        };
        let (own, other, empty) = (folder("own"), folder("other"), folder("empty"));
        let rejoin = root.path().join("rejoin");
        make_program(&rejoin, "#!/bin/sh\n").unwrap();
        make_program(&other.join("ssh"), "#!/bin/sh\n").unwrap();
        symlink(&rejoin, own.join("ssh")).unwrap();
        let found = |folders: &[&Path]| {
            let path = std::env::join_paths(folders).unwrap();
            found_in("ssh".as_ref(), &path, &fs::metadata(&rejoin).unwrap())
        };
        assert_eq!(found(&[&empty, &own, &other]), other.join("ssh"));
        assert_eq!(found(&[&empty, &other, &own]), "ssh");
        assert_eq!(found(&[&own]), "ssh");
        assert_eq!(found(&[]), "ssh");
    }
}
