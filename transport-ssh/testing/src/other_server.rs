//! Private SSH servers that are not OpenSSH's.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::{getegid, geteuid};

use super::files::{KeyKind, ServerFiles, run, user_name};
use super::server_process::{ServerLog, SshServerProcess};
use super::{SshServer, is_installed, pass_over};

/// Another program may take the port between its choice and the server's bind.
const PORT_TRIES: usize = 5;
/// Replaces the list of users for a program.
const NSS_WRAPPER: &str = "libnss_wrapper.so";
/// Where Debian's packages for Python are found, whatever other Python comes first.
const PYTHONS: [&str; 2] = ["/usr/bin/python3", "python3"];

/// An SSH server that is not OpenSSH's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// Dropbear.
    Dropbear,
    /// A program on asyncssh.
    Asyncssh,
    /// A program on paramiko.
    Paramiko,
    /// A program on Twisted Conch.
    Conch,
    /// A program on russh: `transport-ssh/russh-server`, which is built by itself.
    Russh,
}

impl ServerKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Dropbear, Self::Asyncssh, Self::Paramiko, Self::Conch, Self::Russh];

    /// Whether what it takes is installed. If not, it says so, as [`needs!`](crate::needs) does.
    ///
    /// # Panics
    /// If not, and the environment has `CI`.
    pub fn is_installed(self) -> bool {
        let missing = match self {
            Self::Dropbear if !is_installed("dropbear") => "dropbear",
            Self::Dropbear if !is_installed("dropbearconvert") => "dropbearconvert",
            Self::Dropbear if !has_nss_wrapper() => "libnss-wrapper",
            Self::Asyncssh if python("asyncssh").is_none() => "python3-asyncssh",
            Self::Paramiko if python("paramiko").is_none() => "python3-paramiko",
            Self::Conch if python("twisted.conch.ssh.factory").is_none() => "python3-twisted",
            Self::Russh if russh_server().is_none() => "transport-ssh/russh-server",
            _ => return true,
        };
        pass_over(&[missing]);
        false
    }

    /// The command that starts it, at this port, or at a free one if that is 0.
    fn command(self, files: &ServerFiles, port: u16) -> io::Result<Command> {
        let mut command = match self {
            Self::Dropbear => return dropbear(files, port),
            Self::Asyncssh => script("asyncssh", "asyncssh_server.py")?,
            Self::Paramiko => script("paramiko", "paramiko_server.py")?,
            Self::Conch => script("twisted.conch.ssh.factory", "conch_server.py")?,
            Self::Russh => Command::new(russh_server().ok_or(io::ErrorKind::NotFound)?),
        };
        command.arg(port.to_string()).arg(files.path("host_key"));
        command.arg(files.path("authorized_keys")).env("HOME", files.home());
        Ok(command)
    }

    /// The port where it listens, if this line of its log says that it does.
    fn port(self, line: &str, asked: u16) -> Option<u16> {
        match self {
            // It has bound its port by then.
            Self::Dropbear => line.ends_with("Not backgrounding").then_some(asked),
            _ => line.strip_prefix("listening on ")?.parse().ok(),
        }
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dropbear => "dropbear",
            Self::Asyncssh => "asyncssh",
            Self::Paramiko => "paramiko",
            Self::Conch => "conch",
            Self::Russh => "russh",
        })
    }
}

/// It looks for its user's keys at home and nowhere else, and makes that its sessions' home: so it is told
/// of another one.
fn dropbear(files: &ServerFiles, port: u16) -> io::Result<Command> {
    let folder = files.home().join(".ssh");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    fs::copy(files.path("authorized_keys"), folder.join("authorized_keys"))?;
    let host_key = files.path("dropbear_host_key");
    let mut convert = Command::new("dropbearconvert");
    run(convert.args(["openssh", "dropbear"]).arg(files.path("host_key")).arg(&host_key))?;
    let (name, uid, gid) = (user_name()?, geteuid().as_raw(), getegid().as_raw());
    let home = files.home();
    fs::write(files.path("passwd"), format!("{name}:x:{uid}:{gid}::{}:/bin/sh\n", home.display()))?;
    fs::write(files.path("group"), format!("{name}:x:{gid}:\n"))?;
    let mut command = Command::new("dropbear");
    command.args(["-F", "-E", "-s", "-m", "-p"]);
    command.arg(format!("{}:{port}", Ipv4Addr::LOCALHOST)).arg("-r").arg(host_key);
    command.arg("-P").arg(files.path("dropbear.pid"));
    use_users(&mut command, files);
    let path = env::var_os("PATH").unwrap_or_default();
    let paths = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    command.env("PATH", env::join_paths(paths).map_err(io::Error::other)?);
    Ok(command)
}

/// Makes a program use only the users in these files' `passwd`.
pub(super) fn use_users(command: &mut Command, files: &ServerFiles) {
    command.env("LD_PRELOAD", NSS_WRAPPER);
    command.env("NSS_WRAPPER_PASSWD", files.path("passwd"));
    command.env("NSS_WRAPPER_GROUP", files.path("group"));
}

/// Whether the test that calls this can change login shells ([`SshdBuilder::login_shell`]). Says so if
/// it cannot, as [`needs`](crate::needs) does.
///
/// [`SshdBuilder::login_shell`]: super::SshdBuilder::login_shell
pub fn can_change_login_shells() -> bool {
    if !has_nss_wrapper() {
        pass_over(&["libnss-wrapper"]);
        return false;
    }
    true
}

/// The loader only complains of what it cannot load.
fn has_nss_wrapper() -> bool {
    let tried = Command::new("true").env("LD_PRELOAD", NSS_WRAPPER).output();
    tried.is_ok_and(|tried| tried.stderr.is_empty())
}

/// A Python that has this module.
fn python(module: &str) -> Option<Command> {
    let has = |python: &&&str| {
        let mut command = Command::new(python);
        command.args(["-W", "ignore", "-c", &format!("import {module}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    PYTHONS.iter().find(has).map(Command::new)
}

fn script(module: &str, name: &str) -> io::Result<Command> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/servers");
    let mut command = python(module).ok_or(io::ErrorKind::NotFound)?;
    // Those that an old module has for its own libraries are no part of the log.
    command.args(["-W", "ignore"]).arg(scripts.join(name));
    Ok(command)
}

/// Beside whatever Cargo has built, in the same folder of targets.
fn russh_server() -> Option<PathBuf> {
    let own = env::current_exe().ok()?;
    let places = own.ancestors().map(|folder| folder.join("russh-server/debug/russh-server"));
    places.into_iter().find(|path| path.is_file())
}

/// A server that runs, at a loopback port. Dropping it ends it and its sessions.
///
/// It has one host key (Ed25519), and admits the user who runs it by another one. Each command is run by
/// `sh -c`, in an environment of which only `HOME` is sure: that of [`ServerFiles`].
pub struct OtherServer {
    files: Arc<ServerFiles>,
    addr: SocketAddr,
    listener: SshServerProcess,
    log: ServerLog,
}

impl OtherServer {
    /// Starts one, and returns once it listens.
    pub fn start(other: ServerKind) -> io::Result<Self> {
        let files = Arc::new(ServerFiles::make(&[KeyKind::Ed25519])?);
        let mut failure = io::Error::other("no port was tried");
        for _ in 0..PORT_TRIES {
            let port = match other {
                ServerKind::Dropbear => {
                    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port()
                }
                _ => 0,
            };
            match Self::at(other, &files, port) {
                Ok(server) => return Ok(server),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Starts a server with these files, at this port.
    pub(super) fn at(other: ServerKind, files: &Arc<ServerFiles>, port: u16) -> io::Result<Self> {
        let (files, log) = (Arc::clone(files), ServerLog::default());
        let mut command = other.command(&files, port)?;
        let is_ready = |line: &str| other.port(line, port);
        let (listener, port) = SshServerProcess::start(&mut command, &log, is_ready)?;
        Ok(Self { files, addr: (Ipv4Addr::LOCALHOST, port).into(), listener, log })
    }
}

impl SshServer for OtherServer {
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

impl Drop for OtherServer {
    fn drop(&mut self) {
        let _ = self.listener.halt();
        let children = self.listener.children().unwrap_or_default();
        self.listener.end_with(&children);
    }
}

impl fmt::Debug for OtherServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtherServer").field("addr", &self.addr).finish_non_exhaustive()
    }
}
