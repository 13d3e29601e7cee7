//! A registry that cannot be written: nothing is answered that relies on what was not written.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;

use rejoin_protocol::frame::{Scope, Wish};
use rejoin_protocol::{AttachNumber, Frame, Incarnation, Reason};
use rejoin_server::registry::Registry;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::process::{PidfdFlags, geteuid, pidfd_open};

use crate::edges::resume;
use crate::sessions::{NOBODY, install};
use crate::support::{Client, LIMIT, Link, until_ended};

/// Names the folder of a small file system to a test that is run on one.
const SMALL: &str = "REJOIN_TEST_SMALL_DISK";

const FOREVER: &str = "exec sleep 1000";

/// Whether the calling test is on a file system that can be filled. If not, it is run on one by another
/// process, in mounts of its own.
fn is_on_small_disk(test: &str) -> bool {
    if std::env::var_os(SMALL).is_some() {
        return true;
    }
    let mut unshare = vec!["--mount"];
    if !geteuid().is_root() {
        unshare.push("--map-root-user");
    }
    let mounts = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(&unshare).args(["--", "sh", "-c", script, "sh"]);
        command
    };
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=256k,mode=700 tmpfs \"$1\"";
    let tried = mounts(mount).arg(folder.path()).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("PASSED OVER: this user may not mount a file system, or there is no unshare");
        return false;
    }
    let script = format!("{mount} && exec \"$2\" --exact \"$3\" --nocapture");
    let mut command = mounts(&script);
    command.arg(folder.path()).arg(std::env::current_exe().unwrap()).arg(test);
    command.env(SMALL, folder.path()).env("TMPDIR", folder.path());
    let run = command.output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    false
}

/// What fills the disk, until it is dropped.
struct Filler(PathBuf);

impl Filler {
    fn fill() -> Self {
        let path = PathBuf::from(std::env::var_os(SMALL).unwrap()).join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

/// Takes from the lock file the room that its tombstone was promised, and fills the disk.
fn without_room_for_tombstone(client: &Client) -> Filler {
    let registry = Registry::open(Some(&client.folder())).unwrap();
    let lock = registry.lock_path(client.session);
    let lock = OpenOptions::new().write(true).open(lock).unwrap();
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&lock, flags, 0, 4096).unwrap();
    Filler::fill()
}

fn close(client: &mut Client) -> Link {
    let mut link = client.link();
    let wish = Wish::Close { incarnation: Incarnation(0), scope: Scope::Session };
    link.send(&client.hello(wish));
    link
}

fn is_forbidden(link: &Link, why: &str) -> bool {
    match link.refusal() {
        Reason::Forbidden { message } => message.contains(why),
        other => panic!("{other:?}"),
    }
}

fn has_entry(client: &Client) -> bool {
    Registry::open(Some(&client.folder())).unwrap().has_entry(client.session).unwrap()
}

#[test]
fn a_full_disk_starts_nothing_says_so_and_keeps_nothing() {
    if !is_on_small_disk("faults::a_full_disk_starts_nothing_says_so_and_keeps_nothing") {
        return;
    }
    let mut client = Client::new();
    let full = Filler::fill();
    assert!(is_forbidden(&client.open(0, FOREVER), "free some"));
    assert_eq!(fs::read_dir(client.folder()).unwrap().count(), 0);
    drop(full);
    client.open(0, FOREVER).welcomed();
}

#[test]
fn a_full_disk_keeps_no_session_from_being_closed() {
    if !is_on_small_disk("faults::a_full_disk_keeps_no_session_from_being_closed") {
        return;
    }
    let mut client = Client::new();
    let _first = client.open(0, FOREVER).welcomed();
    let _full = Filler::fill();
    let closer = close(&mut client);
    closer.until(&Frame::Closed { attach: AttachNumber(2), ended: 1 });
    assert!(!has_entry(&client));
}

#[test]
fn a_server_that_cannot_write_its_tombstone_does_not_say_that_the_session_is_closed() {
    let name =
        "faults::a_server_that_cannot_write_its_tombstone_does_not_say_that_the_session_is_closed";
    if !is_on_small_disk(name) {
        return;
    }
    let mut client = Client::new();
    let _first = client.open(0, FOREVER).welcomed();
    let server = pidfd_open(client.server_pid(), PidfdFlags::empty()).unwrap();
    let full = without_room_for_tombstone(&client);
    let closer = close(&mut client);
    assert_eq!(closer.frames.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
    until_ended(&server);
    assert!(has_entry(&client));
    assert!(is_forbidden(&close(&mut client), "free some"));
    assert!(has_entry(&client));
    drop(full);
    let closer = close(&mut client);
    assert!(matches!(closer.next(), Frame::Closed { .. }));
    assert!(!has_entry(&client));
    assert_eq!(client.open(0, FOREVER).refusal(), Reason::ProcessGone);
}

#[test]
fn attach_does_not_say_that_a_process_is_gone_by_a_tombstone_that_it_cannot_write() {
    let name =
        "faults::attach_does_not_say_that_a_process_is_gone_by_a_tombstone_that_it_cannot_write";
    if !is_on_small_disk(name) {
        return;
    }
    let mut client = Client::new();
    let _first = client.open(0, FOREVER).welcomed();
    client.kill_server();
    let full = without_room_for_tombstone(&client);
    let mut link = client.link();
    link.send(&client.hello(resume()));
    assert!(is_forbidden(&link, "free some"));
    // On the same link, since nothing has changed that a client could know.
    link.send(&client.hello(resume()));
    assert!(is_forbidden(&link, "free some"));
    assert!(has_entry(&client));
    drop(full);
    link.send(&client.hello(resume()));
    assert_eq!(link.refusal(), Reason::ProcessGone);
    assert!(!has_entry(&client));
}

#[test]
fn what_may_not_be_written_or_removed_is_forbidden_and_nothing_is_said_by_it() {
    if !geteuid().is_root() {
        eprintln!("passed over: only root can act as another user");
        return;
    }
    let mut client = Client::new();
    let folder = client.registry.path().to_owned();
    let program = folder.join("rejoin-server");
    assert!(install(env!("CARGO_BIN_EXE_rejoin-server"), &program, "755"));
    chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    (client.program, client.user) = (program, Some(NOBODY));
    let _first = client.open(0, FOREVER).welcomed();
    client.kill_server();
    let dir = client.folder();
    let lock = dir.join(format!("{}.lock", client.session));
    let entry = dir.join(client.session.to_string());
    let mut resumed = |path: &PathBuf, mode: u32, usual: u32| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let mut link = client.link();
        link.send(&client.hello(resume()));
        assert!(is_forbidden(&link, "Permission denied"), "{}", path.display());
        fs::set_permissions(path, Permissions::from_mode(usual)).unwrap();
    };
    resumed(&lock, 0o400, 0o600);
    resumed(&entry, 0o500, 0o700);
    let mut link = client.link();
    link.send(&client.hello(resume()));
    assert_eq!(link.refusal(), Reason::ProcessGone);
    assert!(!entry.exists());
}

#[test]
fn an_entry_without_a_record_keeps_no_session_from_starting() {
    let mut client = Client::new();
    let registry = Registry::open(Some(&client.folder())).unwrap();
    fs::create_dir(registry.entry_path(client.session)).unwrap();
    // Nobody listens on the socket that is left.
    drop(UnixListener::bind(registry.socket_path(client.session)).unwrap());
    client.open(0, FOREVER).welcomed();
}
