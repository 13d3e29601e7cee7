//! A private sshd.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::SshServer;
use super::files::{KeyKind, ServerFiles, make_key, needed, user_name};
use super::other_server::{OtherServer, ServerKind, use_users};
use super::server_process::{ProcessEntry, ServerLog, SshServerProcess, processes};

/// Names an sshd to use in the place of the system's.
const OTHER: &str = "REJOIN_SSHD";

/// Since 9.8 an sshd refuses who has hung up on it too often before the login, as a test may do all the
/// time. One that is about that says so in front of this line.
const PATIENT: &str = "PerSourcePenalties no";

/// Another program may take the port between its choice and sshd's bind.
const PORT_TRIES: usize = 5;

/// An sshd of one's own, on a free loopback port, with its own keys and a home directory that is empty.
///
/// It admits the user who runs it, by one key. Dropping it ends it and its sessions.
pub struct Sshd {
    files: Arc<ServerFiles>,
    addr: SocketAddr,
    listener: SshServerProcess,
    /// Sessions whose listener was restarted: they are nobody's children any more.
    survivors: Vec<Pid>,
    log: ServerLog,
}

/// The settings of an [`Sshd`].
#[derive(Clone, Debug, Default)]
pub struct SshdBuilder {
    lines: Vec<String>,
    host_keys: Vec<KeyKind>,
    has_host_certificates: bool,
    has_user_certificate: bool,
    login_shell: Option<String>,
}

impl SshdBuilder {
    /// Gives its user another login shell. Needs [`can_change_login_shells`](super::can_change_login_shells).
    pub fn login_shell(mut self, path: &str) -> Self {
        self.login_shell = Some(path.to_owned());
        self
    }

    /// Adds a line to `sshd_config`, in front of the others: the first value of an option counts.
    pub fn config_line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Makes every session run `command`, whatever the client requests.
    pub fn force_command(self, command: &str) -> Self {
        self.config_line(format!("ForceCommand {command}"))
    }

    /// Gives it one more host key. One of Ed25519 is all that it has if this is not called.
    pub fn host_key(mut self, kind: KeyKind) -> Self {
        self.host_keys.push(kind);
        self
    }

    /// Makes it use host certificates. The client knows only their authority.
    pub fn host_certificates(mut self) -> Self {
        self.has_host_certificates = true;
        self
    }

    /// Makes it accept its user only with a certificate for the key.
    pub fn user_certificate(mut self) -> Self {
        self.has_user_certificate = true;
        self
    }

    /// Starts the sshd, and returns once it listens.
    pub fn start(mut self) -> io::Result<Sshd> {
        let files = Arc::new(self.prepare()?);
        let log = ServerLog::default();
        let mut failure = io::Error::other("no port was tried");
        for _ in 0..PORT_TRIES {
            let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            fs::write(files.path("sshd_config"), config(&files, addr, &self.lines))?;
            match listen(&files, &log) {
                Ok(listener) => {
                    return Ok(Sshd { files, addr, listener, survivors: Vec::new(), log });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn prepare(&mut self) -> io::Result<ServerFiles> {
        if geteuid().is_root() {
            // Where sshd confines its children. Distributions make it when the service starts.
            fs::DirBuilder::new().recursive(true).mode(0o755).create("/run/sshd")?;
        }
        if self.host_keys.is_empty() {
            self.host_keys.push(KeyKind::Ed25519);
        }
        let files = ServerFiles::make(&self.host_keys)?;
        if self.has_host_certificates {
            files.certify_host()?;
            let path = |key: PathBuf| format!("HostCertificate {}-cert.pub", key.display());
            self.lines.extend(files.host_keys().into_iter().map(path));
        }
        if self.has_user_certificate {
            files.certify_user()?;
            let authority = files.path("authority.pub");
            self.lines.push(format!("TrustedUserCAKeys {}", authority.display()));
        }
        if let Some(shell) = &self.login_shell {
            change_login_shell(&files, shell)?;
        }
        if knows(PATIENT, &files)? {
            self.lines.push(PATIENT.to_owned());
        }
        Ok(files)
    }
}

impl Sshd {
    /// Starts one with nothing special about it, and returns once it listens.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Builds an sshd with other settings.
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
        self.files.home()
    }

    /// The private key, without a passphrase, by which it admits its user.
    pub fn user_key(&self) -> PathBuf {
        self.files.user_key()
    }

    /// The options with which ssh reaches this sshd at a loopback port - its own or a relay's - with its
    /// key and without any configuration of the user's. Of an `-o` option, ssh takes the first value:
    /// put other ones in front.
    pub fn ssh_options(&self, port: u16) -> Vec<OsString> {
        self.files.ssh_options(port)
    }

    /// Its log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// The process that listens, whose children those are that serve its connections.
    pub fn listener(&self) -> Pid {
        self.listener.pid()
    }

    /// The processes that serve its connections, one for each.
    pub fn sessions(&self) -> io::Result<Vec<Pid>> {
        Ok(self.serving()?.0)
    }

    /// The processes that serve its connections, one for each, and their children, which have the
    /// connection where sshd separates privileges.
    fn serving(&self) -> io::Result<(Vec<Pid>, Vec<Pid>)> {
        let (processes, listener) = (processes()?, self.listener.pid());
        // Numbers are reused: of the survivors, only what still is an sshd counts.
        let is_session = |process: &&ProcessEntry| {
            process.parent == Some(listener)
                || self.survivors.contains(&process.pid) && process.is_sshd()
        };
        let sessions: Vec<_> =
            processes.iter().filter(is_session).map(|process| process.pid).collect();
        let is_child = |process: &&ProcessEntry| {
            process.is_sshd() && process.parent.is_some_and(|parent| sessions.contains(&parent))
        };
        let children = processes.iter().filter(is_child).map(|process| process.pid).collect();
        Ok((sessions, children))
    }

    /// Sends a signal to every process that serves a connection, and says how many connections there were.
    pub fn kill_sessions(&self, signal: Signal) -> io::Result<usize> {
        let (sessions, children) = self.serving()?;
        for &pid in sessions.iter().chain(&children) {
            // It may have ended by itself since it was listed.
            let _ = kill_process(pid, signal);
        }
        Ok(sessions.len())
    }

    /// Ends the process that listens and starts another at the same port, as a restart of the service
    /// does: the sessions live on.
    pub fn restart(&mut self) -> io::Result<()> {
        self.listener.halt()?;
        self.survivors = self.sessions()?;
        self.listener.stop()?;
        self.listener = listen(&self.files, &self.log)?;
        Ok(())
    }

    /// The same with a new host key, which no client knows.
    pub fn change_host_key(&mut self) -> io::Result<()> {
        let path = self.files.path("host_key");
        fs::remove_file(&path)?;
        make_key(&path, KeyKind::Ed25519)?;
        self.restart()
    }

    /// The same with this line in front of its configuration.
    pub fn reconfigure(&mut self, line: &str) -> io::Result<()> {
        let path = self.files.path("sshd_config");
        let config = fs::read_to_string(&path)?;
        fs::write(&path, format!("{line}\n{config}"))?;
        self.restart()
    }

    /// Ends it, and has another program listen at the same port, with the same keys. It has to be one with
    /// an Ed25519 key.
    pub fn replace(self, other: ServerKind) -> io::Result<OtherServer> {
        let (files, port) = (Arc::clone(&self.files), self.addr.port());
        drop(self);
        OtherServer::at(other, &files, port)
    }
}

impl SshServer for Sshd {
    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn files(&self) -> &ServerFiles {
        &self.files
    }

    fn log(&self) -> Vec<String> {
        self.log.lines()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.listener.halt();
        let (sessions, children) = self.serving().unwrap_or_default();
        self.listener.end_with(&[sessions, children].concat());
    }
}

impl fmt::Debug for Sshd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sshd")
            .field("addr", &self.addr)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn config(files: &ServerFiles, addr: SocketAddr, lines: &[String]) -> String {
    let key = |path: PathBuf| format!("HostKey {}\n", path.display());
    let host_keys: String = files.host_keys().into_iter().map(key).collect();
    format!(
        "{lines}\n\
         ListenAddress {ip}\n\
         Port {port}\n\
         {host_keys}\
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
        dir = files.folder().display(),
    )
}

/// Writes files of users in which the user has this shell.
fn change_login_shell(files: &ServerFiles, shell: &str) -> io::Result<()> {
    let name = user_name()?;
    let changed = |line: &str| match line.rsplit_once(':') {
        Some((rest, _)) if line.split(':').next() == Some(&name) => format!("{rest}:{shell}\n"),
        _ => format!("{line}\n"),
    };
    let users: String = fs::read_to_string("/etc/passwd")?.lines().map(changed).collect();
    fs::write(files.path("passwd"), users)?;
    fs::copy("/etc/group", files.path("group")).map(drop)
}

/// Starts the process that listens, and returns once it does.
fn listen(files: &ServerFiles, log: &ServerLog) -> io::Result<SshServerProcess> {
    // By its full path, since it runs itself again for every connection.
    let program = sshd_program()?;
    let mut command = Command::new(&program);
    command.args(["-D", "-e", "-f"]).arg(files.path("sshd_config")).args(parts(&program));
    if files.path("passwd").exists() {
        use_users(&mut command, files);
    }
    let is_ready = |line: &str| line.starts_with("Server listening on").then_some(());
    Ok(SshServerProcess::start(&mut command, log, is_ready)?.0)
}

/// Whether this sshd has such an option: what it does not know it does not start with.
fn knows(line: &str, files: &ServerFiles) -> io::Result<bool> {
    let mut command = Command::new(sshd_program()?);
    command.args(["-t", "-f", "/dev/null", "-h"]).arg(files.path("host_key")).args(["-o", line]);
    let ran = command.output().map_err(|error| needed("sshd", &error))?;
    Ok(ran.status.success())
}

fn sshd_program() -> io::Result<PathBuf> {
    if let Some(other) = std::env::var_os(OTHER) {
        return Ok(other.into());
    }
    let places = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| needed("sshd", &io::Error::from(io::ErrorKind::NotFound)))
}

/// Newer ones consist of several programs, and look for the others where they were to be installed.
fn parts(sshd: &Path) -> Vec<String> {
    let prefix = sshd.parent().and_then(Path::parent).filter(|_| std::env::var_os(OTHER).is_some());
    let parts = [("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")];
    let options = parts.into_iter().filter_map(|(option, part)| {
        let path = prefix?.join("lib/openssh").join(part);
        path.exists().then(|| format!("-o{option}={}", path.display()))
    });
    options.collect()
}
