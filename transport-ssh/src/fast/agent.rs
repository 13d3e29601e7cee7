//! The user's agent: which keys it has, and their signatures.
//!
//! Two questions of its protocol are all that is needed (draft-ietf-sshm-ssh-agent), in the very words
//! that the SSH client has anyway. The crates for it (ssh-agent-lib 0.6, ssh-agent-client-rs 1.1) look into
//! every key that the agent has, and tell none of them if one is a certificate that never expires, as
//! those of ssh-keygen do unless they are told to, or of a kind that they do not know, as OpenSSH 10.6's
//! ssh-mldsa44-ed25519. Here a key is bytes until ssh has logged in with it.

use std::env;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rejoin_ssh2::UserKey;
use rejoin_ssh2::wire::{Malformed, Reader, Writer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::resolve::Resolved;

/// How long an agent may take. One that asks its user takes longer, and is not waited for.
const PATIENCE: Duration = Duration::from_millis(300);
/// The longest answer that is read, in bytes: OpenSSH's own bound.
const MAX_ANSWER: usize = 256 * 1024;
/// More keys than this are not looked at.
const MAX_KEYS: u32 = 1024;

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// Which hash an RSA key signs with.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// Where an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agent(PathBuf);

impl Agent {
    /// The one that ssh would ask. None if it would ask none, or names it in a way that is not understood
    /// here.
    pub(super) fn of(resolved: &Resolved) -> Option<Self> {
        let named = resolved.get("identityagent").unwrap_or("SSH_AUTH_SOCK");
        let path = match named {
            "none" | "" => return None,
            "SSH_AUTH_SOCK" => env::var_os("SSH_AUTH_SOCK")?.into(),
            _ if named.contains(['%', '{']) => return None,
            _ => match (named.strip_prefix("~/"), named.strip_prefix('$')) {
                (Some(rest), _) => PathBuf::from(env::var_os("HOME")?).join(rest),
                (None, Some(variable)) => env::var_os(variable)?.into(),
                (None, None) => named.into(),
            },
        };
        path.is_absolute().then_some(Self(path))
    }

    /// The public parts of the keys that it has, certificates among them.
    pub(super) async fn keys(&self) -> io::Result<Vec<Vec<u8>>> {
        let answer = self.ask(&Writer::message(REQUEST_IDENTITIES).finish()).await?;
        parse_keys(&answer).map_err(|Malformed| unclear())
    }

    /// Whether it still has this key.
    pub(super) async fn has(&self, key: &UserKey) -> io::Result<bool> {
        Ok(self.keys().await?.contains(&key.blob))
    }

    /// Its signature with this key.
    pub(super) async fn sign(&self, key: &UserKey, message: &[u8]) -> io::Result<Vec<u8>> {
        let scheme = key.algorithm.trim_end_matches("-cert-v01@openssh.com");
        let flags = match scheme {
            "rsa-sha2-512" => RSA_SHA2_512,
            "rsa-sha2-256" => RSA_SHA2_256,
            _ => 0,
        };
        let request = Writer::message(SIGN_REQUEST).string(&key.blob).string(message);
        let answer = self.ask(&request.uint32(flags).finish()).await?;
        parse_signature(&answer, scheme).map_err(|Malformed| unclear())
    }

    async fn ask(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        exchange(UnixStream::connect(&self.0), request).await
    }
}

/// Asks one question, within the time that an agent has for all of it.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    connected: impl Future<Output = io::Result<S>>,
    request: &[u8],
) -> io::Result<Vec<u8>> {
    let asked = async {
        let mut stream = connected.await?;
        stream.write_all(&Writer::new().string(request).finish()).await?;
        let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
        if length > MAX_ANSWER {
            return Err(unclear());
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn unclear() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not do what it was asked for")
}

fn parse_keys(answer: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
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
fn parse_signature(answer: &[u8], scheme: &str) -> Result<Vec<u8>, Malformed> {
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
    use std::future::ready;

    use proptest::prelude::*;
    use tokio::io::duplex;
    use tokio::net::UnixListener;
    use tokio::time::sleep;

    use super::*;

    fn agent_of(settings: &str) -> Option<Agent> {
        Agent::of(&Resolved::of(&format!("hostname h\nport 22\n{settings}")).unwrap())
    }

    #[test]
    fn the_agent_is_the_one_that_the_configuration_names() {
        assert_eq!(agent_of("identityagent none"), None);
        assert_eq!(agent_of("identityagent /run/%u/agent"), None);
        assert_eq!(agent_of("identityagent here"), None);
        assert_eq!(agent_of("identityagent $REJOIN_NO_SUCH_VARIABLE"), None);
        let named = Agent("/run/agent".into());
        assert_eq!(agent_of("identityagent /run/agent"), Some(named));
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
        let keys = Agent(path).keys().await;
        agent.await.unwrap();
        keys
    }

    #[tokio::test]
    async fn keys_come_in_the_order_of_the_agent() {
        let answer = b"\0\0\0\x17\x0c\0\0\0\x02\0\0\0\x01a\0\0\0\0\0\0\0\x01b\0\0\0\0";
        assert_eq!(asked(answer).await.unwrap(), [b"a", b"b"]);
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_an_error() {
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
        tokio::select! {
            answer = exchange(ready(Ok(ours)), b"?") => answer,
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
    fn a_signature_by_another_scheme_than_the_one_asked_for_is_none() {
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
        fn whatever_an_agent_answers_is_read_within_its_bounds(
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
