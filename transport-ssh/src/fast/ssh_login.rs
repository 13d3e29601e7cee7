//! Which host key and which user key ssh uses: observed on an ssh that logs in once, without asking.
//!
//! ssh calls a helper with the host key that it is about to check (`KnownHostsCommand`). This does not show
//! the result of the check, but a login that succeeds does. The helper inherits the stderr of its ssh,
//! which is a pipe of this process, and starts its line with a random word. The host does not know the word,
//! so nothing that the host prints can be mistaken for the helper's line.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rejoin_ssh2::wire::Malformed;
use rejoin_ssh2::{HostKeyAlgorithm, NameLists, Scheme, UserKey};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::time::timeout;

use super::agent::AgentSocket;
use super::agent_proxy::AgentProxy;
use super::eligibility::{Ineligible, is_security_key};
use super::key_file::NamedKey;
use super::public_key::{key_type, plain};
use crate::link::child::ChildExit;
use crate::link::error::{LinkErrorKind, printable};
use crate::ssh::arguments::LearningLogin;
use crate::ssh::builder::SshConnect;
use crate::ssh::classify;
use crate::ssh::resolve::SshConfig;

/// How long ssh may take to log in. Nobody waits for it.
const PATIENCE: Duration = Duration::from_mins(1);
/// The most output that is read. At this level of detail it is a few KiB.
const MAX_SAID: u64 = 512 * 1024;
/// In front of a fingerprint, in ssh's words.
const SHA256: &str = "SHA256:";

/// The environment variable with the word in front of each report. A command line would not do, because
/// every user of the machine can read it.
const WORD: &str = "REJOIN_HOST_KEY_WORD";

/// Reports on stderr, after the word, which host key ssh checks and why. It prints nothing to stdout, so ssh
/// checks the key as usual. One `echo` writes the line in one piece, since ssh writes to the same pipe. ssh
/// expands the tokens, and runs this without another shell.
const KNOWN_HOSTS_COMMAND: &str = r#"/bin/sh -c 'echo "$REJOIN_HOST_KEY_WORD $0 $1" >&2' %I %K"#;

/// It has the host's key, and is about to judge it by the host's name.
const JUDGED: &str = "HOSTNAME";

/// The host key that ssh accepted: the whole blob, and nothing but that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PinnedHostKey(pub(super) Vec<u8>);

impl PinnedHostKey {
    /// The kinds of host keys under which a host shows this very one, and which ssh would take, in the
    /// order in which it prefers them.
    pub(super) fn algorithms(&self, resolved: &SshConfig) -> Vec<HostKeyAlgorithm> {
        let key_type = key_type(&self.0).unwrap_or_default();
        let allowed: Vec<_> =
            resolved.get("hostkeyalgorithms").unwrap_or_default().split(',').collect();
        let is_of_type = |kind: &HostKeyAlgorithm| {
            let is_rsa = matches!(kind.scheme, Scheme::RsaSha256 | Scheme::RsaSha512);
            let name = match (is_rsa, kind.is_certificate) {
                (true, true) => "ssh-rsa-cert-v01@openssh.com",
                (true, false) => "ssh-rsa",
                (false, _) => kind.name(),
            };
            name == key_type && allowed.contains(&kind.name())
        };
        HostKeyAlgorithm::ALL.into_iter().filter(is_of_type).collect()
    }

    /// The kind under which a host with these lists shows it.
    pub(super) fn algorithm(
        &self,
        resolved: &SshConfig,
        lists: &NameLists,
    ) -> Option<HostKeyAlgorithm> {
        lists.first_host_key(&self.algorithms(resolved))
    }
}

/// How ssh logged in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ObservedLogin {
    pub(super) pin: PinnedHostKey,
    pub(super) key: AcceptedKey,
}

/// The key that the host accepted, as ssh names it. The host may have forged that: what ssh would not use is
/// not to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AcceptedKey {
    pub(super) is_certificate: bool,
    fingerprint: String,
    pub(super) source: KeySource,
}

/// Where ssh found a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeySource {
    Agent,
    File(PathBuf),
}

impl ObservedLogin {
    /// Runs an ssh that logs in with a key of one of these types, from a file or this agent, and reads its log.
    pub(super) async fn watch(
        ssh: &SshConnect,
        kinds: &[String],
        agent: Option<&AgentSocket>,
    ) -> Result<Self, Ineligible> {
        let failed = |error: &dyn fmt::Display| Ineligible::Learning(printable(&error.to_string()));
        let secret = secret().map_err(|error| failed(&error))?;
        let agent = agent.cloned().map(AgentProxy::start).transpose();
        let agent = agent.map_err(|error| failed(&error))?;
        let mut child = ssh.learning(&LearningLogin {
            known_hosts_command: KNOWN_HOSTS_COMMAND,
            key_kinds: kinds.join(","),
            agent: agent.as_ref().map(|agent| agent.socket().to_owned()),
        });
        child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        child.kill_on_drop(true).env(WORD, &secret);
        let run = async {
            let mut child = child.spawn()?;
            let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
            let heard = listen(stderr, secret).await?;
            Ok::<_, io::Error>((heard, child.wait().await?))
        };
        let agent_failed = async {
            match &agent {
                Some(agent) => agent.failed().await,
                None => std::future::pending().await,
            }
        };
        let ran = tokio::select! {
            // Before ssh can go on with another key.
            biased;
            why = agent_failed => return Err(why),
            ran = timeout(PATIENCE, run) => ran,
        };
        if let Some(why) = agent.and_then(|agent| agent.failure()) {
            return Err(why);
        }
        let ran = ran.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let (heard, status) = ran.map_err(|error| failed(&error))?;
        // Any other status is that of what the host ran.
        if status.code().is_none_or(|code| code == 255) {
            return Err(heard.into_failure(status));
        }
        heard.into_login()
    }

    /// The key that the host accepted, which is one of these, and how it is to sign: as one of
    /// these kinds.
    pub(super) fn user_key(
        &self,
        keys: Vec<Vec<u8>>,
        kinds: &[String],
    ) -> Result<UserKey, Ineligible> {
        let is_meant = |blob: &Vec<u8>| self.key.is(blob).unwrap_or(false);
        let blob = keys.into_iter().find(is_meant).ok_or(Ineligible::NoKey)?;
        let kind = key_type(&blob).unwrap_or_default();
        if is_security_key(kind) {
            return Err(Ineligible::SecurityKey);
        }
        let algorithms: &[&str] = match kind {
            "ssh-rsa" => &["rsa-sha2-512", "rsa-sha2-256"],
            "ssh-rsa-cert-v01@openssh.com" => {
                &["rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-256-cert-v01@openssh.com"]
            }
            "ssh-ed25519"
            | "ssh-ed25519-cert-v01@openssh.com"
            | "ecdsa-sha2-nistp256"
            | "ecdsa-sha2-nistp384"
            | "ecdsa-sha2-nistp521"
            | "ecdsa-sha2-nistp256-cert-v01@openssh.com"
            | "ecdsa-sha2-nistp384-cert-v01@openssh.com"
            | "ecdsa-sha2-nistp521-cert-v01@openssh.com" => &[kind],
            _ => &[],
        };
        let is_allowed = |name: &&&str| kinds.iter().any(|kind| kind == **name);
        let found = algorithms.iter().find(is_allowed);
        let algorithm = found.ok_or_else(|| Ineligible::UnknownKey(printable(kind)))?;
        let algorithm = (*algorithm).to_owned();
        Ok(UserKey { blob, algorithm })
    }
}

/// Fails if none of these keys can sign without a touch.
pub(super) fn check_keys(keys: &[Vec<u8>]) -> Result<(), Ineligible> {
    let wants_touch = |blob: &Vec<u8>| key_type(blob).is_some_and(is_security_key);
    if keys.is_empty() {
        return Err(Ineligible::Agent("it has no key".to_owned()));
    }
    if keys.iter().all(wants_touch) { Err(Ineligible::SecurityKey) } else { Ok(()) }
}

impl AcceptedKey {
    /// What ssh says of a key: its file, its kind, its fingerprint, and where it is. None of one that is
    /// neither in an agent nor in a file.
    fn parse(words: &str) -> Option<Self> {
        if let Some(NamedKey { path, is_certificate, fingerprint }) = NamedKey::parse(words) {
            return Some(Self { is_certificate, fingerprint, source: KeySource::File(path) });
        }
        let (front, back) = words.rsplit_once(SHA256)?;
        let mut back = back.split(' ');
        let fingerprint = back.next()?.to_owned();
        let is_certificate = front.trim_end().ends_with("-CERT");
        let source = back.any(|word| word == "agent").then_some(KeySource::Agent)?;
        Some(Self { is_certificate, fingerprint, source })
    }

    fn is(&self, blob: &[u8]) -> Result<bool, Malformed> {
        let plain = plain(blob)?;
        let is_certificate = plain.is_some();
        let digest = Sha256::digest(plain.as_deref().unwrap_or(blob));
        let fingerprint = STANDARD_NO_PAD.encode(digest);
        Ok(self.is_certificate == is_certificate && self.fingerprint == fingerprint)
    }
}

/// A word that only this process and what it starts know.
fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Reads to the end what an ssh says.
pub(super) async fn listen(
    from: impl AsyncRead + Unpin,
    secret: String,
) -> io::Result<LoginObserver> {
    let mut lines = BufReader::new(from.take(MAX_SAID)).split(b'\n');
    let mut heard = LoginObserver::new(secret);
    while let Some(line) = lines.next_segment().await? {
        heard.line(String::from_utf8_lossy(&line).trim_end_matches('\r'));
    }
    Ok(heard)
}

/// Collects how an ssh logs in from its log.
pub(super) struct LoginObserver {
    secret: String,
    /// `None` if the helper reported no key.
    pin: Option<PinnedHostKey>,
    /// Whether the helper reported several keys, or something that is not a key.
    is_unclear: bool,
    has_host_spoken: bool,
    /// Not trusted: the host may have printed this line.
    accepted: Option<AcceptedKey>,
    last: String,
}

impl LoginObserver {
    fn new(secret: String) -> Self {
        Self {
            secret,
            pin: None,
            is_unclear: false,
            has_host_spoken: false,
            accepted: None,
            last: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(told) = line.strip_prefix(&self.secret) {
            if !self.has_host_spoken {
                self.host_key(told.trim_start());
            }
        } else if line.starts_with("debug1: SSH2_MSG_SERVICE_ACCEPT received") {
            // From here on, what the host has ssh print may stand among these lines.
            self.has_host_spoken = true;
        } else if let Some(key) = line.strip_prefix("debug1: Server accepts key: ") {
            self.accepted = AcceptedKey::parse(key);
        } else if !crate::ssh::debug_log::is_detail(line) && !line.trim().is_empty() {
            self.last = printable(line);
        }
    }

    fn host_key(&mut self, told: &str) {
        let Some(key) = told.strip_prefix(JUDGED).map(str::trim) else { return };
        let pin = STANDARD.decode(key).ok().map(PinnedHostKey);
        self.is_unclear |= pin.is_none() || (self.pin.is_some() && self.pin != pin);
        self.pin = pin;
    }

    pub(super) fn into_login(self) -> Result<ObservedLogin, Ineligible> {
        let pin = self.pin.filter(|_| !self.is_unclear).ok_or(Ineligible::NoPin)?;
        Ok(ObservedLogin { pin, key: self.accepted.ok_or(Ineligible::NoKey)? })
    }

    /// Why ssh has not logged in, and whether that may change.
    fn into_failure(self, status: ExitStatus) -> Ineligible {
        if self.last.to_ascii_lowercase().contains("knownhostscommand") {
            return Ineligible::NoPin;
        }
        let (lines, greeting) = (vec![self.last.clone()], Vec::new());
        let status = Some(status);
        let kind = classify::ssh(&ChildExit {
            status,
            lines,
            greeting,
            was_open: false,
            ..ChildExit::default()
        })
        .kind;
        let is_passing = matches!(kind, LinkErrorKind::Unreachable | LinkErrorKind::Closed);
        if is_passing { Ineligible::Learning(self.last) } else { Ineligible::Login(self.last) }
    }
}

#[cfg(test)]
#[path = "ssh_login_tests.rs"]
mod tests;
