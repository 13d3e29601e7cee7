//! The user's agent: its keys and signatures.
//!
//! Two questions of its protocol are all that is needed (RFC 9987), and one extension of OpenSSH's, in the very
//! words that the SSH client has anyway. The crates for it (ssh-agent-lib 0.6, ssh-agent-client-rs 1.1) look into
//! every key that the agent has, and tell none of them if one is a certificate that never expires, as
//! those of ssh-keygen do unless they are told to, or of a kind that they do not know, as OpenSSH 10.6's
//! ssh-mldsa44-ed25519. Here a key is bytes until ssh has logged in with it.
//!
//! An agent may ask its user before it signs (`ssh-add -c`), and tells nobody beforehand that it will. A key
//! that once did not sign at once is never used again by this process.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rejoin_ssh2::wire::{Malformed, Reader, Writer};
use rejoin_ssh2::{SessionBinding, UserKey};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout_at};

use crate::ssh::resolve::SshConfig;

/// How long an agent may take. One that asks its user takes longer, and is not waited for.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);
/// How often it is looked whether an agent answers. Who confirms something takes much longer.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(50);
/// The longest message that is read, in bytes: OpenSSH's own bound.
const MAX_MESSAGE: usize = 256 * 1024;
/// More keys than this are not looked at.
const MAX_KEYS: u32 = 1024;

pub(super) const FAILURE: u8 = 5;
pub(super) const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
pub(super) const SIGN_REQUEST: u8 = 13;
pub(super) const SIGN_RESPONSE: u8 = 14;
pub(super) const EXTENSION: u8 = 27;
/// Tells for which connection and host the next signatures are (OpenSSH's PROTOCOL.agent section 1).
pub(super) const SESSION_BIND: &str = "session-bind@openssh.com";
/// Asks which extensions there are. Nobody is asked for that.
const QUERY: &str = "query";
/// Which hash an RSA key signs with.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// The keys that did not sign at once when they were asked to, and whose they are.
static SLOW_KEYS: Mutex<BTreeSet<(PathBuf, Vec<u8>)>> = Mutex::new(BTreeSet::new());

/// Held while a key signs: who waits for it knows whether that was at once, and does not have the user asked
/// a second time.
static SIGNING: AsyncMutex<()> = AsyncMutex::const_new(());

/// The socket of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AgentSocket(PathBuf);

impl AgentSocket {
    /// The one that ssh would ask. None if it would ask none, or names it in a way that is not understood
    /// here.
    pub(super) fn of(resolved: &SshConfig) -> Option<Self> {
        Self::named(resolved.get("identityagent"))
    }

    /// The one that an ssh with these options asks, unless a configuration file says otherwise.
    pub(super) fn expected(options: &[OsString]) -> Option<Self> {
        let settings = options.iter().map(|word| {
            let word = word.as_bytes();
            String::from_utf8_lossy(word.strip_prefix(b"-o").unwrap_or(word)).into_owned()
        });
        let mut names = settings.filter_map(|setting| {
            let (key, value) = setting.trim().split_once(['=', ' '])?;
            let value = value.trim_matches(['=', ' ', '"']);
            key.eq_ignore_ascii_case("identityagent").then(|| value.to_owned())
        });
        Self::named(names.next().as_deref())
    }

    fn named(name: Option<&str>) -> Option<Self> {
        let path = match name.unwrap_or("SSH_AUTH_SOCK") {
            "none" | "" => return None,
            "SSH_AUTH_SOCK" => env::var_os("SSH_AUTH_SOCK")?.into(),
            named if named.contains(['%', '{']) => return None,
            named => match (named.strip_prefix("~/"), named.strip_prefix('$')) {
                (Some(rest), _) => PathBuf::from(env::var_os("HOME")?).join(rest),
                (None, Some(variable)) => env::var_os(variable)?.into(),
                (None, None) => named.into(),
            },
        };
        path.is_absolute().then_some(Self(path))
    }

    /// The public parts of the keys that it has, certificates among them.
    pub(super) async fn keys(&self) -> io::Result<Vec<Vec<u8>>> {
        let deadline = Instant::now() + PATIENCE;
        let mut talk = self.talk(deadline).await?;
        let answer = talk.ask(&Writer::message(REQUEST_IDENTITIES).finish(), deadline).await?;
        parse_keys(&answer).map_err(|Malformed| unclear())
    }

    /// Whether it still has this key.
    pub(super) async fn has(&self, key: &UserKey) -> io::Result<bool> {
        Ok(self.keys().await?.contains(&key.blob))
    }

    /// Its signature with this key, for the connection that is told. If it does not sign at once, it is not
    /// asked again for this key.
    pub(super) async fn sign(
        &self,
        key: &UserKey,
        message: &[u8],
        binding: Option<&SessionBinding>,
    ) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        let mut talk = self.talk(deadline).await?;
        if let Some(binding) = binding {
            // An agent that does not know this says so, and signs all the same, as it does for ssh.
            talk.ask(&session_bind(binding), deadline).await?;
        }
        let scheme = key.algorithm.trim_end_matches("-cert-v01@openssh.com");
        let flags = match scheme {
            "rsa-sha2-512" => RSA_SHA2_512,
            "rsa-sha2-256" => RSA_SHA2_256,
            _ => 0,
        };
        let request = Writer::message(SIGN_REQUEST).string(&key.blob).string(message);
        let answer = self.sign_with(&mut talk, &request.uint32(flags).finish()).await?;
        parse_signature(&answer, scheme).map_err(|Malformed| unclear())
    }

    /// Its answer to a request to sign, in the form of a signature. A key that is late or refused is not
    /// used again: the error is [`SLOW`] then, and from then on.
    pub(super) async fn sign_with<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        talk: &mut AgentConnection<S>,
        request: &[u8],
    ) -> io::Result<Vec<u8>> {
        let mut reader = Reader::new(request.get(1..).unwrap_or_default());
        let key = reader.string().map_err(|Malformed| unclear())?;

        let _turn = SIGNING.lock().await;
        self.check_speed(key)?;
        let doubt = SlowKeyGuard(Some((self.0.clone(), key.to_vec())));
        let answered = talk.ask(request, Instant::now() + PATIENCE).await;
        let is_refused =
            answered.as_ref().is_ok_and(|answer| answer.first() != Some(&SIGN_RESPONSE));
        let is_late = answered.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut);
        if is_refused || is_late {
            return Err(slow());
        }
        doubt.clear();
        answered
    }

    /// Fails if this key ever did not sign at once: then the agent may have asked its user, and would again.
    pub(super) fn check_speed(&self, key: &[u8]) -> io::Result<()> {
        let keys = SLOW_KEYS.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.contains(&(self.0.clone(), key.to_vec())) { Err(slow()) } else { Ok(()) }
    }

    /// Returns once it has not answered for so long that it has to be asking its user: OpenSSH's agent
    /// answers nobody else meanwhile. It asks questions that no agent asks its user about.
    ///
    /// # Errors
    /// There is no such agent any more.
    pub(super) async fn blocks(&self) -> io::Result<()> {
        let question = Writer::message(EXTENSION).string(QUERY).finish();
        let mut talk = self.talk(Instant::now() + PATIENCE).await?;
        loop {
            match talk.ask(&question, Instant::now() + PATIENCE).await {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(()),
                answered => drop(answered?),
            }
            tokio::time::sleep(BETWEEN_QUESTIONS).await;
        }
    }

    /// A connection to it.
    pub(super) async fn talk(&self, deadline: Instant) -> io::Result<AgentConnection<UnixStream>> {
        let connected = timeout_at(deadline, UnixStream::connect(&self.0)).await;
        Ok(AgentConnection(connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?))
    }
}

/// A key that is signing. If it is not cleared, also because nobody waits any more, the key is slow.
struct SlowKeyGuard(Option<(PathBuf, Vec<u8>)>);

impl SlowKeyGuard {
    fn clear(mut self) {
        self.0 = None;
    }
}

impl Drop for SlowKeyGuard {
    fn drop(&mut self) {
        if let Some(key) = self.0.take() {
            SLOW_KEYS.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        }
    }
}

/// A connection over which questions are asked, or answered. What is bound to it holds for it alone.
pub(super) struct AgentConnection<S>(pub(super) S);

impl<S: AsyncRead + AsyncWrite + Unpin> AgentConnection<S> {
    /// Asks one question.
    pub(super) async fn ask(&mut self, question: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
        let asked = async {
            self.say(question).await?;
            self.hear().await
        };
        timeout_at(deadline, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    pub(super) async fn say(&mut self, message: &[u8]) -> io::Result<()> {
        self.0.write_all(&Writer::new().string(message).finish()).await
    }

    pub(super) async fn hear(&mut self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.0.read_u32().await?).unwrap_or(usize::MAX);
        if length > MAX_MESSAGE {
            return Err(unclear());
        }
        let mut message = vec![0; length];
        self.0.read_exact(&mut message).await?;
        Ok(message)
    }
}

fn session_bind(binding: &SessionBinding) -> Vec<u8> {
    Writer::message(EXTENSION)
        .string(SESSION_BIND)
        .string(&binding.host_key)
        .string(&binding.session_id)
        .string(&binding.signature)
        // It is for a login, and not for an agent that is forwarded.
        .boolean(false)
        .finish()
}

/// The kind of this error only.
pub(super) const SLOW: io::ErrorKind = io::ErrorKind::ResourceBusy;

fn slow() -> io::Error {
    io::Error::new(SLOW, "it refuses to sign or asks for confirmation")
}

fn unclear() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its answer is not valid")
}

pub(super) fn parse_keys(answer: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut reader = Reader::new(answer);
    if reader.byte()? != IDENTITIES_ANSWER {
        return Err(Malformed);
    }
    let count = reader.uint32()?.min(MAX_KEYS);
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(reader.string()?.to_vec());
        let _comment = reader.string()?;
    }
    Ok(keys)
}

/// The signature, if it is by the scheme that was asked for. Some agents sign with SHA-1 whatever they are
/// asked, which the host would count as a failure.
pub(super) fn parse_signature(answer: &[u8], scheme: &str) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new(answer);
    if reader.byte()? != SIGN_RESPONSE {
        return Err(Malformed);
    }
    let signature = reader.string()?.to_vec();
    reader.end()?;
    if Reader::new(&signature).text()? == scheme { Ok(signature) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::duplex;
    use tokio::net::UnixListener;
    use tokio::time::sleep;

    use super::*;

    fn agent_of(settings: &str) -> Option<AgentSocket> {
        AgentSocket::of(&SshConfig::of(&format!("hostname h\nport 22\n{settings}")).unwrap())
    }

    #[test]
    fn the_agent_is_the_one_that_the_configuration_names() {
        assert_eq!(agent_of("identityagent none"), None);
        assert_eq!(agent_of("identityagent /run/%u/agent"), None);
        assert_eq!(agent_of("identityagent here"), None);
        assert_eq!(agent_of("identityagent $REJOIN_NO_SUCH_VARIABLE"), None);
        let named = AgentSocket("/run/agent".into());
        assert_eq!(agent_of("identityagent /run/agent"), Some(named));
    }

    #[test]
    fn the_agent_of_an_ssh_is_expected_where_its_options_say_and_the_first_counts() {
        let expected = |words: &[&str]| {
            AgentSocket::expected(&words.iter().map(OsString::from).collect::<Vec<_>>())
        };
        let named = Some(AgentSocket("/run/agent".into()));
        for words in [
            &["-p", "22", "-o", "IdentityAgent=/run/agent"][..],
            &["-oidentityagent /run/agent", "-o", "IdentityAgent=none"],
            &["-o", "IdentityAgent = \"/run/agent\""],
        ] {
            assert_eq!(expected(words), named, "{words:?}");
        }
        assert_eq!(expected(&["-o", "IdentityAgent=none", "-oIdentityAgent=/run/agent"]), None);
        let inherited = env::var_os("SSH_AUTH_SOCK").map(|path| AgentSocket(path.into()));
        assert_eq!(expected(&["-o", "IdentityFile=/key"]), inherited);
    }

    /// An agent that answers one question with these bytes.
    async fn asked(answer: &'static [u8]) -> io::Result<Vec<Vec<u8>>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent");
        let listener = UnixListener::bind(&path).unwrap();
        let agent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = [0; 5];
            stream.read_exact(&mut question).await.unwrap();
            assert_eq!(question, [0, 0, 0, 1, REQUEST_IDENTITIES]);
            stream.write_all(answer).await.unwrap();
            // It keeps the connection, whatever more is waited for.
            let _ = stream.read(&mut question).await;
        });
        let keys = AgentSocket(path).keys().await;
        agent.await.unwrap();
        keys
    }

    #[tokio::test]
    async fn keys_come_in_the_order_of_the_agent() {
        let answer = b"\0\0\0\x17\x0c\0\0\0\x02\0\0\0\x01a\0\0\0\0\0\0\0\x01b\0\0\0\0";
        assert_eq!(asked(answer).await.unwrap(), [b"a", b"b"]);
    }

    #[tokio::test]
    async fn rejects_invalid_answers() {
        let refusal = asked(b"\0\0\0\x01\x05").await.unwrap_err();
        assert_eq!(refusal.kind(), io::ErrorKind::InvalidData);
        let too_long = asked(b"\0\x10\0\0").await.unwrap_err();
        assert_eq!(too_long.kind(), io::ErrorKind::InvalidData);
        let silent = asked(b"\0\0\0\x04\x0c").await.unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
    }

    /// Asks one that answers after so long.
    async fn answered_after(delay: Duration) -> io::Result<Vec<u8>> {
        let (ours, mut theirs) = duplex(64);
        let agent = async {
            theirs.read_u32().await.unwrap();
            sleep(delay).await;
            theirs.write_all(b"\0\0\0\x01\x0c").await.unwrap();
            // It keeps the connection.
            std::future::pending::<()>().await;
        };
        let mut talk = AgentConnection(ours);
        tokio::select! {
            answer = talk.ask(b"?", Instant::now() + PATIENCE) => answer,
            () = agent => unreachable!("it does not end"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_has_a_third_of_a_second_and_no_more() {
        let moment = Duration::from_millis(1);
        assert_eq!(answered_after(PATIENCE.saturating_sub(moment)).await.unwrap(), b"\x0c");
        let late = answered_after(PATIENCE + moment).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn rejects_a_signature_of_another_scheme() {
        let answer = |scheme: &str| {
            let signature = Writer::new().string(scheme).string([7; 256]).finish();
            Writer::message(SIGN_RESPONSE).string(signature).finish()
        };
        assert!(parse_signature(&answer("rsa-sha2-512"), "rsa-sha2-512").is_ok());
        assert_eq!(parse_signature(&answer("ssh-rsa"), "rsa-sha2-512"), Err(Malformed));
    }

    #[test]
    fn a_key_of_a_kind_that_nobody_knows_hides_no_other() {
        let ed25519 = Writer::new().string("ssh-ed25519").string([7; 32]).finish();
        let keys = [b"odd".to_vec(), Writer::new().string("ssh-new").finish(), ed25519];
        let start = Writer::message(IDENTITIES_ANSWER).uint32(3);
        let answer = keys.iter().fold(start, |answer, key| answer.string(key).string("comment"));
        assert_eq!(parse_keys(&answer.finish()).unwrap(), keys);
    }

    proptest! {
        #[test]
        fn reads_any_agent_answer_within_bounds(
            kind in prop_oneof![Just(IDENTITIES_ANSWER), Just(SIGN_RESPONSE), any::<u8>()],
            rest in prop::collection::vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..200),
        ) {
            let answer = [&[kind][..], &rest].concat();
            if let Ok(keys) = parse_keys(&answer) {
                prop_assert_eq!(kind, IDENTITIES_ANSWER);
                prop_assert!(keys.concat().len() <= rest.len() && keys.len() <= rest.len() / 8);
            }
            if let Ok(signature) = parse_signature(&answer, "ssh-ed25519") {
                prop_assert_eq!(signature.len() + 4, rest.len());
            }
        }
    }
}
