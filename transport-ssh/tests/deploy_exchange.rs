//! Another user exchanges the folder of the server program while a deployment script uses it.
//!
//! The other user owns the folder above, so the exchange is two renames. A program that the script
//! runs, and that the test put into `PATH`, makes the exchange as that user, between the look and the
//! use.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use common::deploy::{Deployed, assert_private, runs, through};
use rejoin_ssh::{Attempt, LinkErrorKind};
use rejoin_testing::needs;
use rejoin_testing::{are_installed, make_program};

/// The user and the group that `setpriv` makes a process of.
const OTHER: u32 = 65534;
const AS_OTHER: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups";

/// Each as `/bin/sh`.
const SHELLS: [&str; 3] = ["dash", "bash", "busybox sh"];

/// A host whose folders for programs are in a folder of another user's.
struct Exchanged {
    host: Deployed,
    /// The other user's folder.
    above: tempfile::TempDir,
}

impl Exchanged {
    fn start(shell: &str) -> Self {
        Self::with_path(shell, "$HOME/bin:$PATH")
    }

    fn with_path(shell: &str, path: &str) -> Self {
        let above = tempfile::TempDir::with_prefix("rejoin-exchange-").unwrap();
        let host = Deployed::forced(&format!(
            "export PATH={path} XDG_DATA_HOME={}; {}",
            above.path().display(),
            through(shell)
        ));
        fs::set_permissions(above.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(host.sshd.home().join("bin")).unwrap();
        give_away(above.path());
        Self { host, above }
    }

    fn folder(&self) -> PathBuf {
        self.above.path().join("rejoin")
    }

    /// Where the exchange leaves the victim's folder.
    fn moved(&self) -> PathBuf {
        self.above.path().join("genuine")
    }

    /// From now on, the victim's `program` makes the exchange when it is done. In the place of the
    /// victim's folder comes one of the other user's, with a program of the same name as `planted`.
    fn arm(&self, program: &str, planted: &str) {
        let trap = self.above.path().join("planted");
        fs::create_dir(&trap).unwrap();
        let mark = self.mark().display().to_string();
        make_program(&trap.join(planted), format!("#!/bin/sh\ntouch {mark}\n")).unwrap();
        give_away(&trap.join(planted));
        give_away(&trap);
        self.arm_with(program, "mv planted rejoin");
    }

    /// The same, and the other user's command puts something in the place of the victim's folder.
    fn arm_with(&self, program: &str, command: &str) {
        let script = format!(
            "#!/bin/sh\n{} \"$@\"\nstatus=$?\n\
             {AS_OTHER} sh -c 'cd {}; [ ! -e genuine ] && mv rejoin genuine && {command}' \
             >/dev/null 2>&1 </dev/null\nexit $status\n",
            real(program).display(),
            self.above.path().display(),
        );
        make_program(&self.host.sshd.home().join("bin").join(program), script).unwrap();
    }

    /// What a planted program leaves where it ran.
    fn mark(&self) -> PathBuf {
        self.host.sshd.home().join("ran-what-was-planted")
    }

    /// The folders were exchanged, and only the victim's was used.
    #[track_caller]
    fn assert_unharmed(&self, place: &str, name: &str, shell: &str) {
        assert!(self.moved().exists(), "{shell}: the folders were not exchanged");
        assert!(!self.mark().exists(), "{shell}: the planted program ran");
        assert_eq!(place, self.moved().join(name).to_str().unwrap(), "{shell}");
        assert_eq!(names(&self.folder()), [name], "{shell}: something was put beside the planted");
        assert_eq!(names(&self.moved()), [name], "{shell}: something was left");
        assert_private(&self.moved());
        assert_private(Path::new(place));
    }
}

fn give_away(path: &Path) {
    chown(path, Some(OTHER), Some(OTHER)).unwrap();
}

fn real(program: &str) -> PathBuf {
    let places = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(program));
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| panic!("{program}"))
}

fn names(folder: &Path) -> Vec<String> {
    let listed = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn name_of(place: &str) -> &str {
    place.rsplit('/').next().unwrap()
}

/// Whether the test can act as another user.
fn can_be_another() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("PASSED OVER: this user cannot act as another one");
    }
    is_root && are_installed(&["setpriv"])
}

/// The shells that are there.
fn shells() -> impl Iterator<Item = &'static str> {
    let is_there = |shell: &&str| are_installed(&[shell.split(' ').next().unwrap()]);
    SHELLS.into_iter().filter(is_there)
}

#[tokio::test]
async fn a_direct_link_runs_the_program_in_the_folder_that_it_looked_at() {
    needs!("ssh", "sshd", "ps");
    if !can_be_another() {
        return;
    }
    for shell in shells() {
        let attacked = Exchanged::start(shell);
        let deployment = attacked.host.deployment();
        let connector = attacked.host.connector(&deployment);
        let place = runs(&connector, Attempt::First).await;
        let name = name_of(&place);
        assert_eq!(place, attacked.folder().join(name).to_str().unwrap(), "{shell}");
        attacked.arm("ls", name);
        let place = runs(&connector, Attempt::Reconnect).await;
        attacked.assert_unharmed(&place, name, shell);
    }
}

#[tokio::test]
async fn a_first_link_runs_the_program_whose_digest_it_compared() {
    needs!("ssh", "sshd", "ps", "sha256sum");
    if !can_be_another() {
        return;
    }
    for shell in shells() {
        for program in ["ls", "sha256sum", "touch"] {
            let attacked = Exchanged::start(shell);
            let place = attacked.host.first().await;
            let name = name_of(&place);
            attacked.arm(program, name);
            let place = attacked.host.first().await;
            assert_eq!(attacked.host.uploads(), 1, "{shell}: {program}");
            attacked.assert_unharmed(&place, name, shell);
        }
    }
}

#[tokio::test]
async fn an_upload_goes_to_the_folder_that_was_looked_at_and_runs_there() {
    needs!("ssh", "sshd", "ps", "sha256sum");
    if !can_be_another() {
        return;
    }
    for shell in shells() {
        let attacked = Exchanged::start(shell);
        let place = attacked.host.first().await;
        let name = name_of(&place);
        for program in ["ls", "head", "sha256sum", "chmod", "mv"] {
            let attacked = Exchanged::start(shell);
            attacked.arm(program, name);
            let place = attacked.host.first().await;
            attacked.assert_unharmed(&place, name, &format!("{shell}: {program}"));
        }
    }
}

/// Where `PATH` has the current folder, whoever can write to a folder decides what runs in it.
#[tokio::test]
async fn nothing_runs_in_a_folder_before_it_is_looked_at() {
    needs!("ssh", "sshd", "ps");
    if !can_be_another() {
        return;
    }
    for shell in shells() {
        let attacked = Exchanged::with_path(shell, ".:$PATH");
        let deployment = attacked.host.deployment();
        let connector = attacked.host.connector(&deployment);
        runs(&connector, Attempt::First).await;
        fs::set_permissions(attacked.folder(), Permissions::from_mode(0o777)).unwrap();
        let script = format!("#!/bin/sh\ntouch {}\n", attacked.mark().display());
        make_program(&attacked.folder().join("ls"), script).unwrap();
        let error = common::why_it_ends(&connector, Attempt::Reconnect).await;
        assert_eq!(error.kind, LinkErrorKind::Closed, "{shell}: {error}");
        assert!(!attacked.mark().exists(), "{shell}: what others put there ran");
    }
}

#[tokio::test]
async fn an_upload_does_not_follow_a_symbolic_link_that_takes_the_folders_place() {
    needs!("ssh", "sshd", "ps");
    if !can_be_another() {
        return;
    }
    for shell in shells() {
        let attacked = Exchanged::start(shell);
        let home = attacked.host.sshd.home();
        let private = home.join("private");
        fs::create_dir(&private).unwrap();
        fs::set_permissions(&private, Permissions::from_mode(0o700)).unwrap();
        attacked.arm_with("mkdir", &format!("ln -s {} rejoin", private.display()));
        let place = attacked.host.first().await;
        assert!(attacked.folder().is_symlink(), "{shell}: the folders were not exchanged");
        assert_eq!(Path::new(&place).parent(), Some(&*home.join(".cache/rejoin")), "{shell}");
        assert_eq!(names(&private), [""; 0], "{shell}");
    }
}
