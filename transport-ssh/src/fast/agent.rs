//! The user's agent: which keys it has, and their signatures.
//!
//! Two questions of its protocol are all that is needed (draft-ietf-sshm-ssh-agent), in the very words
//! that the SSH client has anyway. A crate that knows the rest of it would bring key formats and
//! cryptography of its own.

use std::env;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rejoin_ssh2::UserKey;
use rejoin_ssh2::wire::{Malformed, Reader, Writer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
        let signature = parse_signature(&answer).map_err(|Malformed| unclear())?;
        // Some agents sign with SHA-1 whatever they are asked for. The host would count that as a failure.
        let is_asked = Reader::new(&signature).text() == Ok(scheme);
        if is_asked { Ok(signature) } else { Err(unclear()) }
    }

    async fn ask(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let asked = timeout(PATIENCE, self.exchange(request)).await;
        asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.0).await?;
        stream.write_all(&Writer::new().string(request).finish()).await?;
        let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
        if length > MAX_ANSWER {
            return Err(unclear());
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
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

fn parse_signature(answer: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::new(answer);
    if reader.byte()? != SIGN_RESPONSE {
        return Err(Malformed);
    }
    let signature = reader.string()?.to_vec();
    reader.end()?;
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

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
}
