//! `rejoin demo`: it succeeds, and leaves nothing behind however it ends.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rejoin_testing::Signal;
use tempfile::TempDir;

use crate::support::{command_lines, kill, processes, rejoin, until, until_some};

/// A demo that runs, with a folder for temporary files of its own.
struct Demo {
    child: Child,
    temporary: TempDir,
    told: TempDir,
}

impl Demo {
    fn start() -> Self {
        // The paths of its sockets have to be short.
        let temporary = tempfile::tempdir_in("/tmp").unwrap();
        let told = tempfile::tempdir().unwrap();
        let file = |name| File::create(told.path().join(name)).unwrap();
        // These tests may have been started to ignore some signals.
        let mut command = Command::new("env");
        command.arg("--default-signal").arg(rejoin()).arg("demo");
        command.env("TMPDIR", temporary.path()).stdin(Stdio::null());
        let child = command.stdout(file("out")).stderr(file("err")).spawn().unwrap();
        Self { child, temporary, told }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn written(&self, name: &str) -> String {
        fs::read_to_string(self.told.path().join(name)).unwrap()
    }

    /// Waits until its process runs, and returns its number.
    fn process(&self) -> i32 {
        until_some("the demo's process runs", || {
            let text = self.written("out");
            let (line, _) = text.split_once(" runs\n")?;
            line.rsplit(' ').next()?.parse().ok()
        })
    }

    /// The folder that it has made.
    fn folder(&self) -> std::path::PathBuf {
        let mut entries = fs::read_dir(self.temporary.path()).unwrap();
        entries.next().expect("the demo has a folder").unwrap().path()
    }

    /// The server of its process.
    fn server(&self) -> i32 {
        let registry = self.folder().join("sessions");
        let wanted = format!("serve --registry {}", registry.display());
        let mut servers = processes().into_iter().filter(|found| found.command.contains(&wanted));
        servers.next().expect("a server runs").pid
    }

    /// Waits for its end, and returns its status: 128 + n after signal n.
    fn status(&mut self) -> i32 {
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
    }

    #[track_caller]
    fn has_left_nothing(&self) {
        let left: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        let names = self.temporary.path().to_str().unwrap();
        // The last answer of a server that ended by itself may still be on its way.
        until("no server is left", || !command_lines().iter().any(|line| line.contains(names)));
        assert!(!has_entries(self.temporary.path()), "a server made its folder again");
    }
}

fn has_entries(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_some()
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It has ended where the test succeeded.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_succeeds_and_leaves_nothing_behind() {
    let mut demo = Demo::start();
    demo.process();
    let mode = fs::metadata(demo.folder()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "others can look into the folder");
    assert_eq!(demo.status(), 0, "{}{}", demo.written("out"), demo.written("err"));
    assert_eq!(demo.written("err"), "");
    demo.has_left_nothing();
}

#[test]
fn a_demo_that_fails_leaves_nothing_behind() {
    let mut demo = Demo::start();
    demo.process();
    // The demo expects that later; a fresh server is there when it notices.
    kill(demo.server(), Signal::KILL);
    assert_eq!(demo.status(), 1, "{}", demo.written("out"));
    assert!(demo.written("err").starts_with("rejoin demo: "), "{}", demo.written("err"));
    demo.has_left_nothing();
}

#[test]
fn a_demo_that_is_stopped_by_a_signal_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut demo = Demo::start();
        demo.process();
        kill(demo.pid(), signal);
        assert_eq!(demo.status(), 128 + signal.as_raw());
        demo.has_left_nothing();
    }
}
