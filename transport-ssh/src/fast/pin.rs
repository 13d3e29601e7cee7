//! Which host key and which of the user's keys ssh itself uses: told by an ssh that logs in once, unasked.
//!
//! ssh has a helper of ours tell the host key that it is about to judge (`KnownHostsCommand`). That tells
//! nothing about the judgement; that ssh then has logged in, does. The helper inherits the stderr of its
//! ssh, which is a pipe of ours, and begins its line with a word that nobody else knows: the host has not been
//! told it, and what the host has printed there counts for nothing.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rejoin_ssh2::wire::{Malformed, Reader, Writer};
use rejoin_ssh2::{HostKeyAlgorithm, Lists, Scheme, UserKey};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::time::timeout;

use super::agent::Agent;
use super::agent_proxy::AgentProxy;
use super::eligible::{Ineligible, is_security_key};
use super::key_file::Named;
use crate::link::child::Evidence;
use crate::link::error::{LinkErrorKind, printable};
use crate::ssh::classify;
use crate::ssh::resolve::Resolved;
use crate::ssh::{Learning, SshConnect};

/// How long ssh may take to log in. Nobody waits for it.
const PATIENCE: Duration = Duration::from_mins(1);
/// What more it says is not read. At this level of detail it is a few KiB.
const MAX_SAID: u64 = 512 * 1024;
/// In front of a fingerprint, in ssh's words.
const SHA256: &str = "SHA256:";

/// Where the helper finds the word behind which it reports. Not on a command line, which everybody on the
/// machine may read.
const WORD: &str = "REJOIN_HOST_KEY_WORD";

/// The helper's whole work: says on stderr which host key ssh looks for. For the program that
/// [`SshConnect::fast_lane`] names, with all of its arguments: ssh has put the words that count behind its
/// own. It prints nothing, so that ssh judges the key as ever, and should end well whatever comes of this.
///
/// # Errors
/// ssh does not listen any more. Also if it is called without a [`Connect::learn`](crate::Connect::learn).
pub fn report_host_key(arguments: &[OsString]) -> io::Result<()> {
    let word = env::var_os(WORD).ok_or(io::ErrorKind::NotFound)?;
    let told = arguments.len().saturating_sub(TOKENS.len());
    let words = std::iter::once(&word).chain(&arguments[told..]);
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    // In one piece: ssh writes to the same place.
    io::stderr().write_all(format!("{}\n", words.join(" ")).as_bytes())
}

/// What ssh puts behind the helper's words: why it looks for a key, and which one.
const TOKENS: [&str; 2] = ["%I", "%K"];
/// It has the host's key, and is about to judge it by the host's name.
const JUDGED: &str = "HOSTNAME";

/// The host key that ssh accepted: the whole blob, and nothing but that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pin(pub(super) Vec<u8>);

impl Pin {
    /// The kinds of host keys under which a host shows this very one, and which ssh would take, in the
    /// order in which it prefers them.
    pub(super) fn algorithms(&self, resolved: &Resolved) -> Vec<HostKeyAlgorithm> {
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
    pub(super) fn algorithm(&self, resolved: &Resolved, lists: &Lists) -> Option<HostKeyAlgorithm> {
        lists.first_host_key(&self.algorithms(resolved))
    }
}

/// What ssh did, as far as it is heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) pin: Pin,
    pub(super) key: Accepted,
}

/// The key that the host accepted, as ssh names it. The host may have forged that: what ssh would not use is
/// not to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) is_certificate: bool,
    fingerprint: String,
    pub(super) source: Source,
}

/// Where ssh has a key from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Agent,
    File(PathBuf),
}

impl Login {
    /// Has ssh log in with a key of one of these kinds, in a file or of this agent's, and listens to it.
    pub(super) async fn watch(
        ssh: &SshConnect,
        helper: &[OsString],
        kinds: &[String],
        agent: Option<&Agent>,
    ) -> Result<Self, Ineligible> {
        let failed = |error: &dyn fmt::Display| Ineligible::Learning(printable(&error.to_string()));
        let secret = secret().map_err(|error| failed(&error))?;
        let named = crate::ssh::fd_pass::proxy_command(helper).ok_or(Ineligible::NoPin)?;
        let known_hosts_command = format!("{named} {}", TOKENS.join(" "));
        let agent = agent.cloned().map(AgentProxy::start).transpose();
        let agent = agent.map_err(|error| failed(&error))?;
        let mut child = ssh.learning(&Learning {
            known_hosts_command,
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

/// That there is a key among these that can sign unasked.
pub(super) fn check_keys(keys: &[Vec<u8>]) -> Result<(), Ineligible> {
    let wants_touch = |blob: &Vec<u8>| key_type(blob).is_some_and(is_security_key);
    if keys.is_empty() {
        return Err(Ineligible::Agent("it has no key".to_owned()));
    }
    if keys.iter().all(wants_touch) { Err(Ineligible::SecurityKey) } else { Ok(()) }
}

/// When this certificate expires. None if it never does, or is none.
pub(super) fn expiry(blob: &[u8]) -> Option<SystemTime> {
    let mut reader = certified(blob).ok()??.1;
    let _serial = reader.bytes(8).ok()?;
    let _kind = reader.uint32().ok()?;
    let _id = reader.string().ok()?;
    let _principals = reader.string().ok()?;
    let _valid_after = reader.bytes(8).ok()?;
    let valid_before = u64::from_be_bytes(reader.bytes(8).ok()?.try_into().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(valid_before))
}

impl Accepted {
    /// What ssh says of a key: its file, its kind, its fingerprint, and where it is. None of one that is
    /// neither in an agent nor in a file.
    fn parse(words: &str) -> Option<Self> {
        if let Some(Named { path, is_certificate, fingerprint }) = Named::parse(words) {
            return Some(Self { is_certificate, fingerprint, source: Source::File(path) });
        }
        let (front, back) = words.rsplit_once(SHA256)?;
        let mut back = back.split(' ');
        let fingerprint = back.next()?.to_owned();
        let is_certificate = front.trim_end().ends_with("-CERT");
        let source = back.any(|word| word == "agent").then_some(Source::Agent)?;
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

fn key_type(blob: &[u8]) -> Option<&str> {
    Reader::new(blob).text().ok()
}

/// The key within a certificate, which is what ssh makes fingerprints of. None where it is none.
pub(super) fn plain(blob: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    Ok(certified(blob)?.map(|(plain, _)| plain))
}

/// The key within a certificate, and what is said of it. None where it is none.
fn certified(blob: &[u8]) -> Result<Option<(Vec<u8>, Reader<'_>)>, Malformed> {
    let mut reader = Reader::new(blob);
    let Some(kind) = reader.text()?.strip_suffix("-cert-v01@openssh.com") else { return Ok(None) };
    let _nonce = reader.string()?;
    let fields = if kind == "ssh-ed25519" { 1 } else { 2 };
    let mut writer = Writer::new().string(kind);
    for _ in 0..fields {
        writer = writer.string(reader.string()?);
    }
    Ok(Some((writer.finish(), reader)))
}

/// A word that only this process and what it starts know.
fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Reads to the end what an ssh says.
pub(super) async fn listen(from: impl AsyncRead + Unpin, secret: String) -> io::Result<Heard> {
    let mut lines = BufReader::new(from.take(MAX_SAID)).split(b'\n');
    let mut heard = Heard::new(secret);
    while let Some(line) = lines.next_segment().await? {
        heard.line(String::from_utf8_lossy(&line).trim_end_matches('\r'));
    }
    Ok(heard)
}

/// What was heard of an ssh so far.
pub(super) struct Heard {
    secret: String,
    /// None if the helper told none.
    pin: Option<Pin>,
    /// Whether it told others as well, or something that is no key.
    is_unclear: bool,
    has_host_spoken: bool,
    /// Or so it reads: it may be the host that says so.
    accepted: Option<Accepted>,
    last: String,
}

impl Heard {
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
            self.accepted = Accepted::parse(key);
        } else if !crate::ssh::details::is_detail(line) && !line.trim().is_empty() {
            self.last = printable(line);
        }
    }

    fn host_key(&mut self, told: &str) {
        let Some(key) = told.strip_prefix(JUDGED).map(str::trim) else { return };
        let pin = STANDARD.decode(key).ok().map(Pin);
        self.is_unclear |= pin.is_none() || (self.pin.is_some() && self.pin != pin);
        self.pin = pin;
    }

    pub(super) fn into_login(self) -> Result<Login, Ineligible> {
        let pin = self.pin.filter(|_| !self.is_unclear).ok_or(Ineligible::NoPin)?;
        Ok(Login { pin, key: self.accepted.ok_or(Ineligible::NoKey)? })
    }

    /// Why ssh has not logged in. What may be otherwise next time is told as such.
    fn into_failure(self, status: ExitStatus) -> Ineligible {
        if self.last.to_ascii_lowercase().contains("knownhostscommand") {
            return Ineligible::NoPin;
        }
        let (lines, greeting) = (vec![self.last.clone()], Vec::new());
        let status = Some(status);
        let kind = classify::ssh(&Evidence {
            status,
            lines,
            greeting,
            was_open: false,
            ..Evidence::default()
        })
        .kind;
        let is_passing = matches!(kind, LinkErrorKind::Unreachable | LinkErrorKind::Closed);
        if is_passing { Ineligible::Learning(self.last) } else { Ineligible::Login(self.last) }
    }
}

#[cfg(test)]
#[path = "pin_tests.rs"]
mod tests;
