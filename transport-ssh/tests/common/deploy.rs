//! Hosts that a server program is put on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rejoin_ssh::{
    Attempt, Connect as _, DeployConnect, DeployEvent, DeployTimeouts, Deployment, Link, LinkError,
    LinkErrorKind, Platform, ServerFile, Servers,
};
use rejoin_testing::{Sshd, SshdBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{in_time, ssh_at};

pub const VERSION: &str = "1.2.3";

/// Stands in for a server: says its first words, where it is, what it was started with, and then
/// everything back.
const ECHO: &str = "#!/bin/sh\n\
    case $1 in version) exit 0 ;; esac\n\
    place=$0; case $0 in /proc/self/cwd/*) place=$(pwd -P)/${0##*/} ;; esac\n\
    echo \"HERE $place $* umask $(umask)\"; env | grep ^rj_; exec cat\n";

/// A host, and the programs that there are for it.
pub struct Deployed {
    pub sshd: Sshd,
    pub port: u16,
    pub programs: Programs,
    news: Arc<Mutex<Vec<DeployEvent>>>,
}

/// Programs for this machine's platform and another.
#[derive(Clone)]
pub struct Programs {
    pub folder: PathBuf,
    pub platforms: Vec<(String, PathBuf)>,
}

impl Programs {
    /// One that is the same as [`ECHO`] but for its length.
    pub fn echo(folder: &Path, padding: usize) -> Self {
        let program = folder.join(format!("program-{padding}"));
        let mut random = rejoin_testing::Random::new(7);
        let noise = super::wild_bytes(padding, &mut random);
        let mut bytes = ECHO.as_bytes().to_vec();
        bytes.extend_from_slice(b"exit 1\n");
        bytes.extend_from_slice(&noise);
        fs::write(&program, bytes).unwrap();
        Self { folder: folder.to_owned(), platforms: vec![(platform(), program)] }
    }
}

pub fn platform() -> String {
    let said = std::process::Command::new("uname").arg("-sm").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

impl Servers for Programs {
    fn all(&self) -> Vec<ServerFile> {
        let load = |(platform, path): &(String, PathBuf)| {
            let (system, machine) = platform.split_once(' ').unwrap();
            let platform = Platform::new(system, machine).unwrap();
            ServerFile::load(path, platform, VERSION, "").unwrap()
        };
        self.platforms.iter().map(load).collect()
    }

    fn advice(&self, platform: &Platform) -> String {
        format!("build one for {}", platform.machine())
    }
}

impl Deployed {
    pub fn start() -> Self {
        Self::with(|sshd| sshd)
    }

    /// One whose every command is run by this script, as `$SSH_ORIGINAL_COMMAND`.
    pub fn forced(script: &str) -> Self {
        Self::with(|sshd| sshd.force_command(script))
    }

    pub fn with(change: impl FnOnce(SshdBuilder) -> SshdBuilder) -> Self {
        let sshd = change(Sshd::builder()).start().unwrap_or_else(|error| panic!("{error}"));
        let programs = Programs::echo(sshd.home().parent().unwrap(), 0);
        let port = sshd.addr().port();
        Self { sshd, port, programs, news: Arc::default() }
    }

    /// A client that has just started.
    pub fn deployment(&self) -> Arc<Deployment> {
        self.patient(DeployTimeouts::default())
    }

    pub fn patient(&self, patience: DeployTimeouts) -> Arc<Deployment> {
        let news = Arc::clone(&self.news);
        let deployment = Deployment::new(VERSION, self.programs.clone()).timeouts(patience);
        Arc::new(deployment.on_event(move |told| news.lock().unwrap().push(told)))
    }

    pub fn connector(&self, deployment: &Arc<Deployment>) -> DeployConnect {
        let ssh = ssh_at(&self.sshd, self.port, "false");
        DeployConnect::new(ssh, Arc::clone(deployment), "attach --json").first_words("HERE ")
    }

    /// What was told since it was asked for the last time.
    pub fn news(&self) -> Vec<DeployEvent> {
        std::mem::take(&mut *self.news.lock().unwrap())
    }

    /// How often a program was sent since.
    pub fn uploads(&self) -> usize {
        let is_upload = |told: &DeployEvent| matches!(told, DeployEvent::Installing { .. });
        self.news().into_iter().filter(is_upload).count()
    }

    pub fn folder(&self) -> PathBuf {
        self.sshd.home().join(".local/share/rejoin")
    }

    /// The names in the folder, in order.
    pub fn names(&self) -> Vec<String> {
        let Ok(listed) = fs::read_dir(self.folder()) else { return Vec::new() };
        let mut names: Vec<_> =
            listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The only program in the folder.
    #[track_caller]
    pub fn file(&self) -> PathBuf {
        let names = self.names();
        assert!(
            matches!(&names[..], [name] if name.starts_with("rejoin-server-1.2.3-")),
            "{names:?}"
        );
        self.folder().join(&names[0])
    }

    /// Connects as a client that has just started, and returns where its server is.
    pub async fn first(&self) -> String {
        runs(&self.connector(&self.deployment()), Attempt::First).await
    }

    /// The same for a client that cannot.
    pub async fn first_fails(&self, kind: LinkErrorKind) -> LinkError {
        self.fails(&self.deployment(), kind).await
    }

    pub async fn fails(&self, deployment: &Arc<Deployment>, kind: LinkErrorKind) -> LinkError {
        let connector = self.connector(deployment);
        let error = in_time("a refusal", connector.connect(Attempt::First)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(!error.message.contains(['\n', '\x1b']), "{error:?}");
        error
    }
}

/// Connects, expects the server at the other end, and returns where it is.
pub async fn runs(connector: &DeployConnect, attempt: Attempt) -> String {
    let link = in_time("connect", connector.connect(attempt)).await;
    speaks(link.unwrap_or_else(|error| panic!("{error:?}"))).await
}

async fn speaks(link: Link) -> String {
    let (mut reader, mut writer, guard) = link.into_parts();
    in_time("a write", writer.write_all(b"\x00\xffdone\n")).await.unwrap();
    writer.shutdown().await.unwrap();
    let mut heard = Vec::new();
    in_time("the end", reader.read_to_end(&mut heard)).await.unwrap();
    drop((reader, writer));
    let end = guard.post_mortem().await;
    assert_eq!(end.kind, LinkErrorKind::Closed, "{end:?}");
    let at = heard.windows(5).position(|window| window == b"HERE ").expect("the server speaks");
    let heard = heard[at + 5..].to_vec();
    let end = heard.iter().position(|&byte| byte == b'\n').unwrap();
    assert_eq!(&heard[end + 1..], b"\x00\xffdone\n", "{}", String::from_utf8_lossy(&heard));
    let said = String::from_utf8(heard[..end].to_vec()).unwrap();
    let umask = std::process::Command::new("sh").args(["-c", "umask"]).output().unwrap();
    let umask = String::from_utf8(umask.stdout).unwrap();
    let place = said.strip_suffix(&format!(" attach --json umask {}", umask.trim()));
    place.unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[track_caller]
pub fn assert_private(path: &Path) {
    let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o700, "{}", path.display());
}

/// Runs the command with this shell in the place of the `/bin/sh` that it names.
pub fn through(shell: &str) -> String {
    format!(
        "command=$(printf %s \"$SSH_ORIGINAL_COMMAND\" | sed 's|^/bin/sh|{shell}|'); \
         eval \"$command\""
    )
}

/// Runs the command in a namespace of its own for mounts, after `setup`.
pub fn in_namespace(setup: &str) -> String {
    format!("unshare -m sh -c 'set -e; {setup}; set +e; eval \"$SSH_ORIGINAL_COMMAND\"'")
}

/// Whether this user may mount file systems in a namespace of its own.
pub fn can_mount() -> bool {
    let tried = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", "mount -t tmpfs tmpfs /var/tmp"])
        .output();
    let can = tried.is_ok_and(|tried| tried.status.success());
    if !can {
        eprintln!("PASSED OVER: this user may not mount file systems");
    }
    can
}

pub const SHORT: DeployTimeouts = DeployTimeouts {
    asking: Duration::from_secs(1),
    login: Duration::from_secs(1),
    quiet: Duration::from_secs(1),
};
