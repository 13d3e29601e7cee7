//! The host of a run: how it is reached, and how its server program is come by.

pub(crate) mod deploy_progress;
pub(crate) mod login_messages;
pub(crate) mod query;
pub(crate) mod ssh_program;

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rejoin_protocol::codec::SERVER_MAGIC;
use rejoin_ssh::{
    Attempt, BoxFuture, Connect, DeployConnect, DeployEvent, Deployment, FastLaneEvent, Forwards,
    Ineligible, Link, LinkError, SshConfig, SshConfigError, SshConnect,
};
use tokio::sync::mpsc;

use crate::args::LinkOptions;
use crate::messages::SLOW;
use crate::terminal::quote;
use rejoin_client::servers::{ServerStore, VERSION};

/// What is said while a link is opened.
#[derive(Debug)]
pub(crate) enum SshMessage {
    /// By ssh, or the host.
    Ssh(Attempt, String),
    /// About the server program.
    News(DeployEvent),
    /// About the fast lane.
    Lane(FastLaneEvent),
    /// The host has let the user in, and no server has begun to speak for a while.
    Slow,
    /// So many sessions on the host are detached.
    Detached(u32),
}

/// How long ssh's words wait for the failure that they announce, which then says it all.
pub(crate) const HELD_BACK: Duration = Duration::from_millis(700);
/// So many lines wait to be shown; what more is said meanwhile is dropped. Whoever is at the other end
/// can say more than any terminal shows, and is not to fill this machine's memory with it.
pub(crate) const MOST_LINES: usize = 1000;

/// The word by which this program is ssh's helper that gets a connection from here. It is looked for
/// before anything else is: every reconnect waits for it.
pub(crate) const FD_PASS: &str = "__hand-over";

/// All that is said.
pub(crate) type SshMessages = mpsc::Receiver<SshMessage>;

/// The host of a run.
pub(crate) struct Host {
    ssh: SshConnect,
    program: Program,
}

/// How the server program is come by.
enum Program {
    /// The user says where it is.
    At(OsString),
    /// It is put there where it is missing.
    Deployed(Arc<Deployment>),
}

impl Host {
    /// Nothing is connected yet. The command is what the user has typed, which may change what the configuration
    /// says.
    pub(crate) fn new(
        link: &LinkOptions,
        destination: &OsStr,
        command: &[OsString],
    ) -> (Self, SshMessages) {
        let (sender, ssh_messages) = mpsc::channel(MOST_LINES);
        // After the end of the session nobody listens.
        let say = move |said| drop(sender.try_send(said));
        let (tell, tell_lane, tell_slow) = (say.clone(), say.clone(), say.clone());
        // The login shell has run what it was given, and what follows takes its time.
        let is_deploying = Arc::new(AtomicBool::new(false));
        let told_of_deploying = Arc::clone(&is_deploying);
        let ssh = SshConnect::new(destination, "")
            .program(ssh_program::found(&link.ssh))
            .environment(ssh_program::STARTED_BY, std::process::id().to_string())
            .options(link.ssh_options.handed_on())
            .typed(link.ssh_options.asked(), command)
            .on_slow_start(SLOW, move || {
                if !told_of_deploying.load(Ordering::Relaxed) {
                    tell_slow(SshMessage::Slow);
                }
            })
            .on_stderr(move |attempt, line| say(heard(attempt, line)));
        let ssh =
            ssh.fast_lane().on_fast_lane(move |news| tell_lane(SshMessage::Lane(news.clone())));
        let ssh = match std::env::current_exe() {
            Ok(program) => ssh.fd_pass_program(program, [FD_PASS]),
            Err(_) => ssh,
        };
        let program = link.server.clone().map_or_else(
            || {
                let servers = ServerStore::from_environment();
                #[cfg(feature = "embedded-server")]
                let servers = servers.this_program("__server");
                let deployment = Deployment::new(VERSION, servers);
                let deployment = deployment.on_event(move |news| {
                    is_deploying.store(true, Ordering::Relaxed);
                    tell(SshMessage::News(news));
                });
                Program::Deployed(Arc::new(deployment))
            },
            Program::At,
        );
        (Self { ssh, program }, ssh_messages)
    }

    /// Has the steps of these attempts of ssh's told to whoever makes timelines.
    pub(crate) fn followed(mut self, attempts: fn(Attempt) -> bool) -> Self {
        self.ssh = self.ssh.timeline(attempts);
        self
    }

    /// What ssh would do, as its options and its configuration say.
    pub(crate) fn configuration(
        &self,
    ) -> impl Future<Output = Result<SshConfig, SshConfigError>> + use<> {
        let ssh = self.ssh.clone();
        async move { ssh.configuration().await }
    }

    /// A setting with its tokens replaced that ssh tells without.
    pub(crate) fn expand(
        &self,
        resolved: &SshConfig,
        text: &str,
    ) -> impl Future<Output = Result<String, SshConfigError>> + use<> {
        let (ssh, resolved, text) = (self.ssh.clone(), resolved.clone(), text.to_owned());
        async move { ssh.expand(&resolved, &text).await }
    }

    /// Whether it can be come back to over the fast lane. It is learnt for that.
    pub(crate) fn check_fast_lane(&self) -> impl Future<Output = Result<(), Ineligible>> + use<> {
        let ssh = self.ssh.clone();
        async move { ssh.check_fast_lane().await }
    }

    /// Opens links for one session.
    pub(crate) fn attach(&self) -> Arc<dyn Connect> {
        self.connector("attach", &SERVER_MAGIC)
    }

    /// The same for a new session. The first link also brings [`SshMessage::Detached`], if any session is; that
    /// costs neither a login nor a round trip.
    pub(crate) fn attach_and_count(&self) -> Arc<dyn Connect> {
        let first = self.connector("attach --tell-detached", &SERVER_MAGIC);
        Arc::new(Counting { first, later: self.attach() })
    }

    /// Opens links on which the server program does something else, with these words.
    pub(crate) fn asking(&self, words: &str) -> Arc<dyn Connect> {
        self.connector(words, b"")
    }

    fn connector(&self, words: &str, first_words: &[u8]) -> Arc<dyn Connect> {
        let ssh = self.ssh.clone();
        match &self.program {
            Program::At(path) => {
                let command = quote::server_command(path, &[words]);
                Arc::new(ssh.command(command).command_name(&path.to_string_lossy()))
            }
            Program::Deployed(deployment) => {
                let connect = DeployConnect::new(ssh, Arc::clone(deployment), words);
                Arc::new(connect.first_words(first_words))
            }
        }
    }
}

/// A line on ssh's stderr.
fn heard(attempt: Attempt, line: &str) -> SshMessage {
    let count = line.strip_prefix("rejoin-server: detached sessions: ");
    match count.and_then(|count| count.parse().ok()) {
        Some(count) => SshMessage::Detached(count),
        None => SshMessage::Ssh(attempt, line.to_owned()),
    }
}

/// Opens the first link in another way than those that follow.
struct Counting {
    first: Arc<dyn Connect>,
    later: Arc<dyn Connect>,
}

impl Connect for Counting {
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Result<Link, LinkError>> {
        match attempt {
            Attempt::First => self.first.connect(attempt),
            Attempt::Reconnect => self.later.connect(attempt),
        }
    }

    fn destination(&self) -> String {
        self.later.destination()
    }

    fn retry_now(&self) {
        self.later.retry_now();
    }

    fn prepare(&self) {
        self.later.prepare();
    }

    fn fast(&self) -> Option<BoxFuture<'_, Result<Link, LinkError>>> {
        self.later.fast()
    }

    fn learn(&self) {
        self.later.learn();
    }

    fn is_exclusive(&self) -> bool {
        self.later.is_exclusive()
    }

    fn forwards(&self) -> Option<Arc<dyn Forwards>> {
        self.later.forwards()
    }

    fn is_shared(&self) -> bool {
        self.later.is_shared()
    }

    fn revived(&self) -> BoxFuture<'static, ()> {
        self.later.revived()
    }
}

#[cfg(test)]
mod tests {
    use rejoin_testing::make_program;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_host_that_floods_stderr_fills_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let ssh = folder.path().join("ssh");
        make_program(&ssh, "#!/bin/sh\nseq 100000 >&2\n").unwrap();
        let server = Some("rejoin-server".into());
        let link = LinkOptions { ssh: ssh.into(), server, ..LinkOptions::default() };
        let (host, mut ssh_messages) = Host::new(&link, "host".as_ref(), &[]);
        let link = host.asking("ls").connect(Attempt::First).await.unwrap();
        let (mut reader, writer, guard) = link.into_parts();
        reader.read_to_end(&mut Vec::new()).await.unwrap();
        drop((reader, writer));
        guard.post_mortem().await;
        let mut lines = Vec::new();
        while let Ok(SshMessage::Ssh(_, line)) = ssh_messages.try_recv() {
            lines.push(line);
        }
        assert_eq!((lines.len(), lines[0].as_str()), (MOST_LINES, "1"));
    }
}
