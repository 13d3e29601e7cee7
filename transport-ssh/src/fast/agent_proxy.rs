//! A proxy for the user's agent, for the ssh that logs in to learn a host.
//!
//! The user did not request that login. So the user's agent signs for it at once or not at all: an ssh that
//! asks the agent directly would wait for the user's confirmation, and then ask with the next key.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rejoin_ssh2::wire::Reader;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::agent::{
    AgentConnection, AgentSocket, EXTENSION, FAILURE, PATIENCE, REQUEST_IDENTITIES, SESSION_BIND,
    SIGN_REQUEST, SLOW,
};
use super::eligibility::Ineligible;
use crate::ssh::socket_folder::SocketFolder;

/// An agent that forwards what a login needs. Dropping it ends it.
pub(super) struct AgentProxy {
    folder: SocketFolder,
    failure_state: Arc<ProxyFailure>,
    _serving: JoinSet<()>,
}

/// Why the user's agent is of no use for this login, if that is so.
#[derive(Default)]
struct ProxyFailure {
    why: Mutex<Option<Ineligible>>,
    changed: Notify,
}

impl AgentProxy {
    /// Starts a proxy for this agent. Only this user can reach it.
    ///
    /// # Errors
    /// There is no place for its socket.
    pub(super) fn start(agent: AgentSocket) -> io::Result<Self> {
        let folder = SocketFolder::make("agent")?;
        let listener = UnixListener::bind(folder.socket())?;
        let failure_state: Arc<ProxyFailure> = Arc::default();
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, agent, Arc::clone(&failure_state)));
        Ok(Self { folder, failure_state, _serving: serving })
    }

    /// The path of its socket, without characters that are special to ssh.
    pub(super) fn socket(&self) -> &Path {
        self.folder.socket()
    }

    /// Why the user's agent is of no use, if that is so: it does not answer, or not sign at once. An ssh that
    /// went on without it could use the very key in a file about which the agent is asking.
    pub(super) fn failure(&self) -> Option<Ineligible> {
        self.failure_state.why().clone()
    }

    /// Returns that once it is so.
    pub(super) async fn failed(&self) -> Ineligible {
        loop {
            if let Some(why) = self.failure() {
                return why;
            }
            self.failure_state.changed.notified().await;
        }
    }
}

impl ProxyFailure {
    fn why(&self) -> MutexGuard<'_, Option<Ineligible>> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first reason counts.
    fn fail(&self, error: &io::Error) {
        let what = format!("the ssh agent: {error}");
        let is_slow = error.kind() == SLOW;
        let why = if is_slow { Ineligible::Signature(what) } else { Ineligible::Agent(what) };
        self.why().get_or_insert(why);
        // Kept if nobody waits yet.
        self.changed.notify_one();
    }
}

async fn accept(listener: UnixListener, agent: AgentSocket, failure_state: Arc<ProxyFailure>) {
    let mut clients = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while clients.try_join_next().is_some() {}
        let (agent, failure_state) = (agent.clone(), Arc::clone(&failure_state));
        // Each ends with its client, or with a message that is none.
        clients.spawn(
            async move { drop(serve(AgentConnection(client), &agent, &failure_state).await) },
        );
    }
}

/// Answers this client, over a connection of its own to the agent, so that it can be bound.
async fn serve(
    mut client: AgentConnection<UnixStream>,
    agent: &AgentSocket,
    failure_state: &ProxyFailure,
) -> io::Result<()> {
    let behind = agent.talk(Instant::now() + PATIENCE).await;
    let mut behind = behind.inspect_err(|error| failure_state.fail(error))?;
    loop {
        let question = client.hear().await?;
        let answer = match question.first() {
            _ if failure_state.why().is_some() => Ok(vec![FAILURE]),
            Some(&SIGN_REQUEST) => agent.sign_with(&mut behind, &question).await,
            Some(&REQUEST_IDENTITIES) => hand_on(&mut behind, &question).await,
            Some(&EXTENSION) if is_session_bind(&question) => hand_on(&mut behind, &question).await,
            _ => Ok(vec![FAILURE]),
        };
        // On an error, ssh gets no answer, because it is about to be ended.
        client.say(&answer.inspect_err(|error| failure_state.fail(error))?).await?;
    }
}

async fn hand_on(behind: &mut AgentConnection<UnixStream>, question: &[u8]) -> io::Result<Vec<u8>> {
    behind.ask(question, Instant::now() + PATIENCE).await
}

fn is_session_bind(question: &[u8]) -> bool {
    Reader::new(&question[1..]).string() == Ok(SESSION_BIND.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use rejoin_ssh2::wire::Writer;
    use tokio::sync::mpsc;

    use super::*;
    use crate::ssh::resolve::SshConfig;

    const SUCCESS: u8 = 6;

    /// An agent that agrees to everything, and what it is asked.
    fn obliging(path: &Path) -> (AgentSocket, mpsc::UnboundedReceiver<Vec<u8>>) {
        let (tell, told) = mpsc::unbounded_channel();
        let listener = UnixListener::bind(path).unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut client = AgentConnection(client);
                while let Ok(question) = client.hear().await {
                    tell.send(question).unwrap();
                    client.say(&[SUCCESS]).await.unwrap();
                }
            }
        });
        let settings = format!("hostname h\nport 22\nidentityagent {}", path.display());
        (AgentSocket::of(&SshConfig::of(&settings).unwrap()).unwrap(), told)
    }

    #[tokio::test]
    async fn nothing_reaches_the_agent_but_what_a_login_needs() {
        let dir = tempfile::tempdir().unwrap();
        let (agent, mut told) = obliging(&dir.path().join("agent"));
        let proxy = AgentProxy::start(agent).unwrap();
        let mut client = AgentConnection(UnixStream::connect(proxy.socket()).await.unwrap());
        let extension = |name: &str| Writer::message(EXTENSION).string(name).finish();
        let bind = extension(SESSION_BIND);
        for (question, answer) in [
            (vec![REQUEST_IDENTITIES], SUCCESS),
            // Adding keys, removing them, locking.
            (vec![17], FAILURE),
            (vec![19], FAILURE),
            (vec![22], FAILURE),
            (extension("query"), FAILURE),
            (vec![], FAILURE),
            (bind.clone(), SUCCESS),
        ] {
            client.say(&question).await.unwrap();
            assert_eq!(client.hear().await.unwrap(), [answer], "{question:?}");
        }
        assert_eq!(told.recv().await.unwrap(), [REQUEST_IDENTITIES]);
        assert_eq!(told.recv().await.unwrap(), bind);
        assert!(told.try_recv().is_err() && proxy.failure().is_none());
    }

    #[tokio::test]
    async fn a_refusal_ends_it_and_no_other_key_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (agent, mut told) = obliging(&dir.path().join("agent"));
        let proxy = AgentProxy::start(agent).unwrap();
        let sign = |key: &str| {
            Writer::message(SIGN_REQUEST).string(key).string("message").uint32(0).finish()
        };
        let mut client = AgentConnection(UnixStream::connect(proxy.socket()).await.unwrap());
        // Its answer is not a signature.
        client.say(&sign("one key")).await.unwrap();
        assert!(client.hear().await.is_err());
        assert!(matches!(proxy.failed().await, Ineligible::Signature(_)));
        let mut client = AgentConnection(UnixStream::connect(proxy.socket()).await.unwrap());
        client.say(&sign("another key")).await.unwrap();
        assert_eq!(client.hear().await.unwrap(), [FAILURE]);
        assert_eq!(told.recv().await.unwrap(), sign("one key"));
        assert!(told.try_recv().is_err(), "it is asked once");
    }

    /// What ssh would do without it, it might do with the same key in a file.
    #[tokio::test]
    async fn an_agent_that_does_not_answer_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent");
        let _silent = UnixListener::bind(&path).unwrap();
        let settings = format!("hostname h\nport 22\nidentityagent {}", path.display());
        let agent = AgentSocket::of(&SshConfig::of(&settings).unwrap()).unwrap();
        let proxy = AgentProxy::start(agent).unwrap();
        let mut client = AgentConnection(UnixStream::connect(proxy.socket()).await.unwrap());
        client.say(&[REQUEST_IDENTITIES]).await.unwrap();
        assert!(matches!(proxy.failed().await, Ineligible::Agent(_)));
    }

    #[tokio::test]
    async fn its_socket_is_its_users_alone_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let (agent, _told) = obliging(&dir.path().join("agent"));
        let proxy = AgentProxy::start(agent).unwrap();
        let folder = proxy.socket().parent().unwrap().to_owned();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        drop(proxy);
        assert!(!folder.exists());
    }
}
