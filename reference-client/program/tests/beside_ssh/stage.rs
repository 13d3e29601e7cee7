//! The host that both programs are run against, and the comparison.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rejoin_testing::{Sshd, SshdBuilder};
use tempfile::TempDir;

use crate::program::{Outcome, run};
use crate::programs::{rejoin, rejoin_server};
use crate::row::{Differs, Row, Words};

/// An sshd with a home folder, a registry, and a port that is in use.
pub(crate) struct Stage {
    pub(crate) sshd: Sshd,
    dir: TempDir,
    busy: TcpListener,
    runs: AtomicUsize,
}

impl Stage {
    pub(crate) fn start() -> Self {
        Self::with(|sshd| sshd)
    }

    /// One whose sshd is another one.
    pub(crate) fn with(change: impl FnOnce(SshdBuilder) -> SshdBuilder) -> Self {
        let dir = TempDir::with_prefix("rejoin-beside-").unwrap();
        let path = dir.path().display();
        for folder in ["home", "client", "rc"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        // The login shell reads what the row says, if the client names one.
        let rc = format!("[ -n \"$REJOIN_ROW\" ] && . '{path}/rc/'\"$REJOIN_ROW\"\n");
        fs::write(dir.path().join("home/.bashrc"), &rc).unwrap();
        let sshd = Sshd::builder()
            .config_line(format!("SetEnv HOME={path}/home REJOIN_REGISTRY={path}/registry"))
            .config_line("MaxStartups 200:100:300")
            .config_line("MaxSessions 200")
            .config_line("PrintMotd no")
            .config_line("PrintLastLog no");
        let sshd = change(sshd).start().unwrap_or_else(|error| panic!("{error}"));
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { sshd, dir, busy, runs: AtomicUsize::new(0) }
    }

    /// A folder for a row, with its configuration in it.
    pub(crate) fn folder(&self, row: &Row) -> PathBuf {
        let number = self.runs.fetch_add(1, Ordering::Relaxed).to_string();
        let folder = self.dir.path().join("client").join(&number);
        fs::create_dir(&folder).unwrap();
        let mut config = format!("{}\nHost lab\n{}\n", row.head, row.config);
        if !row.rc.is_empty() {
            fs::write(self.dir.path().join("rc").join(&number), row.rc).unwrap();
            writeln!(config, "SetEnv REJOIN_ROW={number}").unwrap();
        }
        config.push_str(&self.base());
        fs::write(folder.join("config"), self.filled(&config, &folder)).unwrap();
        folder
    }

    /// How the host is reached, behind all that a row says.
    fn base(&self) -> String {
        let key = self.sshd.user_key();
        let known_hosts = key.with_file_name("known_hosts");
        format!(
            "Host *\nHostName 127.0.0.1\nPort {}\nIdentityFile {}\nUserKnownHostsFile {}\n\
             GlobalKnownHostsFile /dev/null\nHostKeyAlias rejoin-test-host\nIdentitiesOnly yes\n\
             IdentityAgent none\nStrictHostKeyChecking yes\nUpdateHostKeys no\n\
             PreferredAuthentications publickey\n",
            self.sshd.addr().port(),
            key.display(),
            known_hosts.display()
        )
    }

    fn filled(&self, text: &str, folder: &Path) -> String {
        let port = self.sshd.addr().port().to_string();
        let busy = self.busy.local_addr().unwrap().port().to_string();
        text.replace("{port}", &port)
            .replace("{busy}", &busy)
            .replace("{dir}", &folder.display().to_string())
            .replace("{config}", &folder.join("config").display().to_string())
    }

    /// A program with what the row gives to both, and the row's folder.
    fn command(&self, program: &Path, own: &[&str], row: &Row) -> (Command, PathBuf) {
        let folder = self.folder(row);
        let mut command = Command::new(program);
        command.args(own).arg("-F").arg(folder.join("config"));
        command.args(row.options.iter().map(|word| self.filled(word, &folder)));
        command.args(row.destination.map(|word| self.filled(word, &folder)));
        command.args(row.command.iter().map(|word| self.filled(word, &folder)));
        command.current_dir(&folder).env_remove("SSH_AUTH_SOCK").env_remove("DISPLAY");
        for (name, value) in [("SHELL", "/bin/sh"), ("TERM", "xterm"), ("LC_ALL", "C")] {
            command.env(name, value);
        }
        command.env("HOME", self.dir.path().join("client"));
        command.envs(row.environment.iter().copied());
        (command, folder)
    }

    pub(crate) fn ssh(&self, row: &Row) -> Command {
        self.command(Path::new("ssh"), &[], row).0
    }

    pub(crate) fn rejoin(&self, row: &Row) -> Command {
        self.rejoin_in(row).0
    }

    /// The same, and the folder of the row.
    pub(crate) fn rejoin_in(&self, row: &Row) -> (Command, PathBuf) {
        let server = rejoin_server().display().to_string();
        self.command(rejoin(), &["--server", &server], row)
    }

    /// The sessions of the host.
    pub(crate) fn sessions(&self) -> Vec<serde_json::Value> {
        let listed = self.server().args(["ls", "--json"]).output().unwrap();
        serde_json::from_slice(&listed.stdout).unwrap_or_default()
    }

    fn server(&self) -> Command {
        let mut command = Command::new(rejoin_server());
        command.env("REJOIN_REGISTRY", self.dir.path().join("registry"));
        command
    }

    /// What is wrong with a row, if anything is.
    pub(crate) fn compare(&self, row: &Row) -> Option<String> {
        let both = |outcome: Outcome| self.told(outcome);
        let ssh = both(run(self.ssh(row), &row.stdin));
        let rejoin = both(run(self.rejoin(row), &row.stdin));
        let said = || format!("{}\n  ssh:    {ssh:?}\n  rejoin: {rejoin:?}", row.name);
        match &row.differs {
            None if ssh == rejoin => None,
            None => Some(said()),
            Some(differs) if ssh == rejoin => {
                Some(format!("{}\n  does what ssh does, although {}", said(), differs.because))
            }
            Some(differs) => {
                let is_so = is_as_expected(differs, &ssh, &rejoin);
                (!is_so).then(|| format!("{}\n  and not {differs:?}", said()))
            }
        }
    }

    /// Without what differs from run to run.
    fn told(&self, outcome: Outcome) -> Outcome {
        let dir = self.dir.path().join("client").display().to_string();
        let plain = |text: String| {
            let text = text.replace("\r\n", "\n");
            text.lines().map(|line| without_number(line, &dir) + "\n").collect::<String>()
        };
        let stdout = if outcome.stdout.ends_with('\n') {
            plain(outcome.stdout)
        } else {
            plain(outcome.stdout).trim_end_matches('\n').to_owned()
        };
        let stderr = plain(outcome.stderr)
            .lines()
            .filter(|line| !is_farewell(line))
            .fold(String::new(), |all, line| all + line + "\n");
        Outcome { stdout, stderr, ..outcome }
    }
}

/// Each run has a folder of its own, named by a number.
fn without_number(line: &str, dir: &str) -> String {
    let mut parts = line.split(dir);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        let rest = part.trim_start_matches('/').trim_start_matches(|c: char| c.is_ascii_digit());
        all + "DIR" + rest
    })
}

/// ssh says so of every session with a terminal; rejoin's connection is not what ends.
fn is_farewell(line: &str) -> bool {
    line.starts_with("Connection to ") && line.ends_with(" closed.")
}

fn is_as_expected(differs: &Differs, ssh: &Outcome, rejoin: &Outcome) -> bool {
    let status = differs.status.map_or(ssh.status, Some);
    let says = match &differs.stderr {
        None => ssh.stderr == rejoin.stderr,
        Some(Words::Exactly(words)) => rejoin.stderr == *words,
        Some(Words::With(part)) => rejoin.stderr.contains(part),
    };
    let stdout = differs.stdout.unwrap_or(&ssh.stdout);
    status == rejoin.status && stdout == rejoin.stdout && says
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A session that was left is no longer wanted.
        for session in self.sessions() {
            let id = session["session"].as_str().unwrap_or_default().to_owned();
            let _ = self.server().args(["kill", &id]).output();
        }
    }
}
