//! Who is compared, in the configuration that each is usually given. `README.md` says it in words.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::answer;
use super::datagrams::Datagrams;
use super::stage::{LinkRoute, Stage};
use super::terminal::{Terminal, within};

/// A program that keeps a session, or plain ssh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rival {
    /// Plain ssh: the floor. What it is asked for after an outage is a fresh `ssh host echo x`.
    Ssh,
    /// autossh, with tmux on the host.
    Autossh,
    /// mosh.
    Mosh,
    /// dtach on the host, attached to by ssh in a loop.
    Dtach,
    /// shpool on the host, attached to by ssh in a loop.
    Shpool,
    /// rejoin.
    Rejoin,
    /// rejoin, with a second connection that stands by.
    Standby,
}

/// Keepalives as most who set them do.
const ALIVE: [&str; 4] = ["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"];
/// Attaches again for as long as the connection is what ended.
const LOOP: &str = "until ssh -t \"$@\"; do :; done";
/// For a session to begin.
const BEGIN: Duration = Duration::from_mins(1);

impl Rival {
    /// All, in the order of the table's columns.
    pub const ALL: [Self; 7] = [
        Self::Ssh,
        Self::Autossh,
        Self::Mosh,
        Self::Dtach,
        Self::Shpool,
        Self::Rejoin,
        Self::Standby,
    ];

    /// What it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Autossh => "autossh + tmux",
            Self::Mosh => "mosh",
            Self::Dtach => "ssh + dtach",
            Self::Shpool => "ssh + shpool",
            Self::Rejoin => "rejoin",
            Self::Standby => "rejoin --standby",
        }
    }

    /// The program that is missing, with what installs it.
    pub fn missing(self) -> Option<&'static str> {
        let needed: &[(&str, &'static str)] = match self {
            Self::Ssh | Self::Rejoin | Self::Standby => {
                &[("ssh", "apt-get install openssh-client")]
            }
            Self::Autossh => {
                &[("autossh", "apt-get install autossh"), ("tmux", "apt-get install tmux")]
            }
            Self::Mosh => &[("mosh-server", "apt-get install mosh")],
            Self::Dtach => &[("dtach", "apt-get install dtach")],
            Self::Shpool => &[("shpool", "cargo install shpool")],
        };
        needed.iter().find(|(program, _)| which(program).is_none()).map(|(_, install)| *install)
    }

    /// How many logins it has made, its session's included, when it knows the host.
    pub(super) fn learning_logins(self) -> Option<usize> {
        match self {
            Self::Rejoin => Some(3),
            Self::Standby => Some(4),
            _ => None,
        }
    }

    /// Whether a session with a terminal lives on after its connection.
    pub(super) fn keeps_sessions(self) -> bool {
        self != Self::Ssh
    }
}

/// Where a program is.
pub(super) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A rival's session.
pub(super) struct Running {
    pub(super) terminal: Terminal,
    /// mosh's way to the host.
    pub(super) datagrams: Option<Datagrams>,
    /// How long it took from the start to the first word of the program on the host.
    pub(super) connected: Duration,
    next: u64,
    pid: u32,
}

impl Running {
    /// Starts the program that answers, and waits for its first word.
    pub(super) fn start(stage: &Stage, course: &LinkRoute, rival: Rival) -> io::Result<Self> {
        let since = Instant::now();
        let (terminal, datagrams) = run(stage, course, rival, &stage.answerer())?;
        let first = terminal.find(within(BEGIN), |screen| answer::parse(&first_row(screen)));
        let Some(((_, pid), at)) = first else {
            return Err(io::Error::other(format!(
                "{} does not begin; its screen: {}",
                rival.name(),
                terminal.text()
            )));
        };
        Ok(Self { terminal, datagrams, connected: at - since, next: 1, pid })
    }

    /// Types the next number, unless nobody takes what is typed.
    pub(super) fn type_number(&mut self) -> io::Result<u64> {
        let number = self.next;
        if self.terminal.is_read() {
            self.terminal.write(format!("k{number:06}.").as_bytes())?;
            self.next += 1;
        }
        Ok(number)
    }

    /// The first answer to a number from this one on, and when it came. An answer of another process
    /// is told as an error.
    pub(super) fn answer(&self, number: u64, deadline: Instant) -> io::Result<Option<Instant>> {
        let found = self.terminal.find(deadline, |screen| {
            answer::parse(&first_row(screen)).filter(|(answered, pid)| {
                *pid != self.pid || (number..self.next).contains(answered)
            })
        });
        match found {
            Some(((_, pid), _)) if pid != self.pid => {
                Err(io::Error::other("another process answers: the session was lost"))
            }
            Some((_, at)) => Ok(Some(at)),
            None if self.terminal.has_ended() => {
                let text = self.terminal.text();
                Err(io::Error::other(format!("the client has ended; its screen: {text}")))
            }
            None => Ok(None),
        }
    }
}

fn first_row(screen: &vt100::Screen) -> String {
    screen.rows(0, u16::MAX).next().unwrap_or_default()
}

/// Starts a program on the host in a rival's session. Its words are without blanks and quotes, so
/// that each of the shells in between leaves them as they are.
pub(super) fn run(
    stage: &Stage,
    course: &LinkRoute,
    rival: Rival,
    program: &str,
) -> io::Result<(Terminal, Option<Datagrams>)> {
    let mut words = stage.prefix(course);
    let host = stage.ssh_words(course);
    let mut environment = Vec::new();
    let mut datagrams = None;
    let mut add = |more: &[&str]| words.extend(more.iter().map(OsString::from));
    match rival {
        Rival::Ssh => {
            add(&["ssh", "-t"]);
            words.extend(host);
            words.push(program.into());
        }
        Rival::Autossh => {
            environment.push(("AUTOSSH_GATETIME".to_owned(), "0".to_owned()));
            add(&["autossh", "-M", "0", "-t"]);
            add(&ALIVE);
            words.extend(host);
            words.push(format!("tmux new -A -s main {program}").into());
        }
        Rival::Dtach => {
            add(&["sh", "-c", LOOP, "sh"]);
            add(&ALIVE);
            words.extend(host);
            let socket = stage.home().join("dtach");
            words.push(format!("dtach -A {} {program}", socket.display()).into());
        }
        Rival::Shpool => {
            add(&["sh", "-c", LOOP, "sh"]);
            add(&ALIVE);
            words.extend(host);
            let shpool = stage.shpool.clone().unwrap_or_else(|| "shpool".into());
            words.push(format!("{} attach -f --cmd '{program}' main", shpool.display()).into());
        }
        Rival::Mosh => {
            let (port, key) = start_mosh_server(stage, course, program)?;
            datagrams = stage.datagrams(course, port)?;
            let port = datagrams.as_ref().map_or(port, |relay| relay.addr().port());
            add(&["mosh-client", &stage.address(course).to_string(), &port.to_string()]);
            environment.push(("MOSH_KEY".to_owned(), key));
            environment.push(("MOSH_PREDICTION_DISPLAY".to_owned(), "never".to_owned()));
        }
        Rival::Rejoin | Rival::Standby => {
            words.push(stage.programs.client.clone().into());
            words.push("-t".into());
            words.extend((rival == Rival::Standby).then(|| "--standby".into()));
            words.push("--server".into());
            words.push(stage.programs.server.clone().into());
            words.extend(host);
            words.push(program.into());
        }
    }
    Ok((Terminal::run(&words, &environment)?, datagrams))
}

/// What `mosh` itself does, but for the relay that its client is sent to.
fn start_mosh_server(
    stage: &Stage,
    course: &LinkRoute,
    program: &str,
) -> io::Result<(u16, String)> {
    let mut words = stage.prefix(course);
    words.extend(["ssh", "-n", "-tt"].map(OsString::from));
    words.extend(stage.ssh_words(course));
    let address = stage.address(course);
    let server = format!("mosh-server new -c 256 -i {address} -l LC_ALL=C.UTF-8 -- {program}");
    words.push(server.into());
    let output = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.lines().find_map(|line| {
        let (port, key) = line.trim().strip_prefix("MOSH CONNECT ")?.split_once(' ')?;
        Some((port.parse().ok()?, key.to_owned()))
    });
    found.ok_or_else(|| io::Error::other(format!("mosh-server says: {}", text.trim())))
}
