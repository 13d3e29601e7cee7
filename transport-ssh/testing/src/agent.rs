//! A private ssh-agent.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// A private ssh-agent. Dropping it ends it.
#[derive(Debug)]
pub struct Agent {
    dir: TempDir,
    child: Child,
}

impl Agent {
    /// Starts an agent with this key, which has no passphrase.
    pub fn start(key: &Path) -> io::Result<Self> {
        let dir = TempDir::with_prefix("rejoin-agent-")?;
        let asker = dir.path().join("ask");
        // A person who takes their time, and agrees.
        let ask = format!("#!/bin/sh\necho asked >>'{}/asked'\nsleep 1\n", dir.path().display());
        fs::write(&asker, ask)?;
        fs::set_permissions(&asker, fs::Permissions::from_mode(0o700))?;
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(dir.path().join("agent"))
            .env("SSH_ASKPASS", asker)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let agent = Self { dir, child };
        let deadline = Instant::now() + PATIENCE;
        // Until it listens, there is nobody to add a key to.
        while let Err(error) = agent.add(key) {
            if Instant::now() >= deadline {
                return Err(error);
            }
            thread::yield_now();
        }
        Ok(agent)
    }

    /// Gives it one more key.
    pub fn add(&self, key: &Path) -> io::Result<()> {
        self.tell(&["-q".as_ref(), key.as_os_str()])
    }

    /// Adds a key that requires a confirmation, which takes a second.
    pub fn add_confirmed(&self, key: &Path) -> io::Result<()> {
        self.tell(&["-q".as_ref(), "-c".as_ref(), key.as_os_str()])
    }

    /// The same with one that signs only for the host of this name, whose keys stand in this file, as ssh
    /// knows them.
    pub fn add_constrained(&self, key: &Path, host: &str, known_hosts: &Path) -> io::Result<()> {
        let known_hosts = ["-H".as_ref(), known_hosts.as_os_str(), "-h".as_ref(), host.as_ref()];
        self.tell(&[&["-q".as_ref()][..], &known_hosts, &[key.as_os_str()]].concat())
    }

    /// Takes all keys away from it.
    pub fn remove_all(&self) -> io::Result<()> {
        self.tell(&["-q".as_ref(), "-D".as_ref()])
    }

    /// Whether it answers, and has a key. While it asks somebody, it does not answer.
    pub fn has_keys(&self) -> bool {
        self.tell(&["-l".as_ref()]).is_ok()
    }

    /// How often it has asked for a confirmation.
    pub fn questions(&self) -> usize {
        fs::read_to_string(self.dir.path().join("asked")).map_or(0, |asked| asked.lines().count())
    }

    fn tell(&self, words: &[&OsStr]) -> io::Result<()> {
        let mut command = Command::new("ssh-add");
        let told = command.args(words).env("SSH_AUTH_SOCK", self.socket()).output()?;
        if told.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&told.stderr).into_owned()))
    }

    /// The path of its socket, for `SSH_AUTH_SOCK`.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    /// The option with which ssh asks this one. Of an `-o` option, ssh takes the first value.
    pub fn ssh_options(&self) -> [OsString; 2] {
        ["-o".into(), format!("IdentityAgent={}", self.socket().display()).into()]
    }

    /// Stops it, so it accepts connections but does not answer; or continues it.
    pub fn set_stopped(&self, is_stopped: bool) -> io::Result<()> {
        let signal = if is_stopped { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(&self.child), signal)?;
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
