//! A private sshd.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

const HOST_KEY_ALIAS: &str = "rejoin-test-host";
/// Another program may take the port between its choice and sshd's bind.
const PORT_TRIES: usize = 5;

/// An sshd of one's own, on a free loopback port, with its own keys and a home directory that is empty.
///
/// It admits the user who runs it, by one key. Dropping it ends it and its sessions.
pub struct Sshd {
    dir: TempDir,
    addr: SocketAddr,
    listener: Child,
    /// Sessions whose listener was restarted: they are nobody's children any more.
    survivors: Vec<Pid>,
    log: Arc<Mutex<Vec<String>>>,
}

/// What an [`Sshd`] is to be like.
#[derive(Clone, Debug, Default)]
pub struct SshdBuilder {
    lines: Vec<String>,
}

impl SshdBuilder {
    /// Adds a line to `sshd_config`, in front of the others: the first value of an option counts.
    pub fn config_line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Has every session run `command`, whatever it asks for.
    pub fn force_command(self, command: &str) -> Self {
        self.config_line(format!("ForceCommand {command}"))
    }

    /// Starts the sshd, and returns once it listens.
    pub fn start(self) -> io::Result<Sshd> {
        let dir = TempDir::with_prefix("rejoin-sshd-")?;
        prepare(dir.path())?;
        let log = Arc::default();
        let mut failure = io::Error::other("no port was tried");
        for _ in 0..PORT_TRIES {
            let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            fs::write(dir.path().join("sshd_config"), config(dir.path(), addr, &self.lines))?;
            match listen(dir.path(), &log) {
                Ok(listener) => {
                    return Ok(Sshd { dir, addr, listener, survivors: Vec::new(), log });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

impl Sshd {
    /// Starts one with nothing special about it, and returns once it listens.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// One with more lines in its configuration.
    pub fn builder() -> SshdBuilder {
        SshdBuilder::default()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What to hand to ssh as the destination, together with [`ssh_options`](Self::ssh_options).
    pub fn destination(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The home directory of its sessions (`HOME`; they start in the user's real one).
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The private key, without a passphrase, by which it admits its user.
    pub fn user_key(&self) -> PathBuf {
        self.dir.path().join("user_key")
    }

    /// The options with which ssh reaches this sshd at a loopback port - its own or a relay's - with its
    /// key and without any configuration of the user's. Of an `-o` option, ssh takes the first value:
    /// put other ones in front.
    pub fn ssh_options(&self, port: u16) -> Vec<OsString> {
        let mut options: Vec<OsString> = ["-F", "none", "-p"].map(OsString::from).into();
        options.push(port.to_string().into());
        options.push("-i".into());
        options.push(self.user_key().into());
        let known_hosts = self.dir.path().join("known_hosts");
        let settings = [
            format!("UserKnownHostsFile=\"{}\"", known_hosts.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            format!("HostKeyAlias={HOST_KEY_ALIAS}"),
            "StrictHostKeyChecking=yes".to_owned(),
            "UpdateHostKeys=no".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "PreferredAuthentications=publickey".to_owned(),
        ];
        options.extend(settings.into_iter().flat_map(|setting| ["-o".into(), setting.into()]));
        options
    }

    /// What it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The processes that serve its connections.
    pub fn sessions(&self) -> io::Result<Vec<Pid>> {
        let listener = Pid::from_child(&self.listener);
        let mut processes = processes()?;
        // Numbers are reused: of the survivors, only what still is an sshd counts.
        processes.retain(|process| {
            process.parent == Some(listener)
                || self.survivors.contains(&process.pid) && process.name.contains("sshd")
        });
        Ok(processes.into_iter().map(|process| process.pid).collect())
    }

    /// Sends a signal to every process that serves a connection, and says how many there were.
    pub fn kill_sessions(&self, signal: Signal) -> io::Result<usize> {
        let sessions = self.sessions()?;
        for &pid in &sessions {
            // It may have ended by itself since it was listed.
            let _ = kill_process(pid, signal);
        }
        Ok(sessions.len())
    }

    /// Ends the process that listens and starts another at the same port, as a restart of the service
    /// does: the sessions live on.
    pub fn restart(&mut self) -> io::Result<()> {
        self.survivors = self.sessions()?;
        self.stop_listener()?;
        self.listener = listen(self.dir.path(), &self.log)?;
        Ok(())
    }

    /// The same with a new host key, which no client knows.
    pub fn change_host_key(&mut self) -> io::Result<()> {
        let path = self.dir.path().join("host_key");
        fs::remove_file(&path)?;
        make_key(&path)?;
        self.restart()
    }

    /// The same with this line in front of its configuration.
    pub fn reconfigure(&mut self, line: &str) -> io::Result<()> {
        let path = self.dir.path().join("sshd_config");
        let config = fs::read_to_string(&path)?;
        fs::write(&path, format!("{line}\n{config}"))?;
        self.restart()
    }

    fn stop_listener(&mut self) -> io::Result<()> {
        if self.listener.try_wait()?.is_none() {
            // Not reaped, so the number is still the child's.
            let _ = kill_process(Pid::from_child(&self.listener), Signal::TERM);
            self.listener.wait()?;
        }
        Ok(())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Listed before their parent is gone, killed after it, so that none is started in between.
        let sessions = self.sessions().unwrap_or_default();
        let _ = self.stop_listener();
        for pid in sessions {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl fmt::Debug for Sshd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sshd")
            .field("addr", &self.addr)
            .field("dir", &self.dir.path())
            .finish_non_exhaustive()
    }
}

fn prepare(dir: &Path) -> io::Result<()> {
    if geteuid().is_root() {
        // Where sshd confines its children. Distributions make it when the service starts.
        fs::DirBuilder::new().recursive(true).mode(0o755).create("/run/sshd")?;
    }
    fs::DirBuilder::new().mode(0o700).create(dir.join("home"))?;
    for key in ["host_key", "user_key"] {
        make_key(&dir.join(key))?;
    }
    fs::copy(dir.join("user_key.pub"), dir.join("authorized_keys"))?;
    let host_key = fs::read_to_string(dir.join("host_key.pub"))?;
    fs::write(dir.join("known_hosts"), format!("{HOST_KEY_ALIAS} {host_key}"))
}

fn make_key(path: &Path) -> io::Result<()> {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "rejoin-test", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| needed("ssh-keygen", &error))?;
    if made.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ssh-keygen: {}", String::from_utf8_lossy(&made.stderr))))
}

fn needed(program: &str, error: &io::Error) -> io::Error {
    let message = format!("this test needs {program} (install openssh-server and procps): {error}");
    io::Error::new(error.kind(), message)
}

fn config(dir: &Path, addr: SocketAddr, lines: &[String]) -> String {
    let dir = dir.display();
    format!(
        "{lines}\n\
         ListenAddress {ip}\n\
         Port {port}\n\
         HostKey {dir}/host_key\n\
         PidFile {dir}/sshd.pid\n\
         AuthorizedKeysFile {dir}/authorized_keys\n\
         StrictModes no\n\
         UsePAM no\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\n\
         AcceptEnv LANG LC_* REJOIN_*\n\
         SetEnv HOME={dir}/home\n\
         Subsystem sftp internal-sftp\n",
        lines = lines.join("\n"),
        ip = addr.ip(),
        port = addr.port(),
    )
}

/// Starts the process that listens, and returns once it does.
fn listen(dir: &Path, log: &Arc<Mutex<Vec<String>>>) -> io::Result<Child> {
    // By its full path, since it runs itself again for every connection.
    let mut listener = Command::new(sshd_program()?)
        .args(["-D", "-e", "-f"])
        .arg(dir.join("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| needed("sshd", &error))?;
    let Some(stderr) = listener.stderr.take() else {
        return Err(io::Error::other("sshd has no stderr"));
    };
    let mut stderr = BufReader::new(stderr);
    if let Err(error) = until_listening(&mut stderr, log) {
        // It ended, which is why its log did; if not, it is of no use.
        let _ = listener.kill();
        listener.wait()?;
        return Err(error);
    }
    let log = Arc::clone(log);
    thread::spawn(move || while next_line(&mut stderr, &log).is_some() {});
    Ok(listener)
}

fn until_listening(
    stderr: &mut BufReader<ChildStderr>,
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut said = Vec::new();
    while let Some(line) = next_line(stderr, log) {
        if line.starts_with("Server listening on") {
            return Ok(());
        }
        said.push(line);
    }
    Err(io::Error::other(format!("sshd does not start: {}", said.join(" / "))))
}

fn next_line(stderr: &mut BufReader<ChildStderr>, log: &Mutex<Vec<String>>) -> Option<String> {
    let mut line = Vec::new();
    stderr.read_until(b'\n', &mut line).ok().filter(|&length| length > 0)?;
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    log.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
    Some(line)
}

fn sshd_program() -> io::Result<PathBuf> {
    let places = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| needed("sshd", &io::Error::from(io::ErrorKind::NotFound)))
}

struct Process {
    parent: Option<Pid>,
    pid: Pid,
    name: String,
}

/// Every process, from `ps`, which every Unix has: `/proc` is Linux's alone.
fn processes() -> io::Result<Vec<Process>> {
    let listed = Command::new("ps").args(["-A", "-o", "ppid=,pid=,comm="]).output();
    let listed = listed.map_err(|error| needed("ps", &error))?;
    Ok(String::from_utf8_lossy(&listed.stdout).lines().filter_map(parse_process).collect())
}

fn parse_process(line: &str) -> Option<Process> {
    let mut words = line.split_whitespace();
    let parent = Pid::from_raw(words.next()?.parse().ok()?);
    let pid = Pid::from_raw(words.next()?.parse().ok()?)?;
    Some(Process { parent, pid, name: words.next()?.to_owned() })
}
