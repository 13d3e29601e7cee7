//! The host of a run: how it is reached, and how its server program is come by.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Duration;

use rejoin_protocol::codec::SERVER_MAGIC;
use rejoin_ssh::{
    Attempt, Connect, DeployConnect, DeployNews, Deployment, FastNews, Ineligible, Resolved,
    SshConnect, Unresolved,
};
use tokio::sync::mpsc;

use super::args::LinkOptions;
use super::quote;
use super::servers::{Shelf, VERSION};
use super::ssh_program;

/// What is said while a link is opened.
#[derive(Debug)]
pub(crate) enum Said {
    /// By ssh, or the host.
    Ssh(Attempt, String),
    /// About the server program.
    News(DeployNews),
    /// About the fast lane.
    Lane(FastNews),
}

/// How long ssh's words wait for the failure that they announce, which then says it all.
pub(crate) const HELD_BACK: Duration = Duration::from_millis(700);
/// So many lines wait to be shown; what more is said meanwhile is dropped. Whoever is at the other end
/// can say more than any terminal shows, and is not to fill this machine's memory with it.
pub(crate) const MOST_LINES: usize = 1000;

/// The word by which this program is ssh's helper that gets a connection from here. It is looked for
/// before anything else is: every reconnect waits for it.
pub(crate) const HAND_OVER: &str = "__hand-over";

/// The word by which this program is ssh's helper that says which host key it judges.
pub(crate) const HOST_KEY: &str = "__host-key";

/// All that is said.
pub(crate) type Chatter = mpsc::Receiver<Said>;

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
    ) -> (Self, Chatter) {
        let (sender, chatter) = mpsc::channel(MOST_LINES);
        // After the end of the session nobody listens.
        let say = move |said| drop(sender.try_send(said));
        let (tell, tell_lane) = (say.clone(), say.clone());
        let ssh = SshConnect::new(destination, "")
            .program(ssh_program::found(&link.ssh))
            .environment(ssh_program::STARTED_BY, std::process::id().to_string())
            .options(link.ssh_options.handed_on())
            .typed(link.ssh_options.asked(), command)
            .on_stderr(move |attempt, line| say(Said::Ssh(attempt, line.to_owned())));
        let ssh = match std::env::current_exe() {
            Ok(program) => ssh
                .hand_over_program(&program, [HAND_OVER])
                .fast_lane(program, [HOST_KEY])
                .on_fast_lane(move |news| tell_lane(Said::Lane(news.clone()))),
            Err(_) => ssh,
        };
        let program = link.server.clone().map_or_else(
            || {
                let deployment = Deployment::new(VERSION, Shelf::of_environment());
                let deployment = deployment.on_news(move |news| tell(Said::News(news)));
                Program::Deployed(Arc::new(deployment))
            },
            Program::At,
        );
        (Self { ssh, program }, chatter)
    }

    /// Has the steps of these attempts of ssh's told to whoever makes timelines.
    pub(crate) fn followed(mut self, attempts: fn(Attempt) -> bool) -> Self {
        self.ssh = self.ssh.timeline(attempts);
        self
    }

    /// What ssh would do, as its options and its configuration say.
    pub(crate) fn configuration(
        &self,
    ) -> impl Future<Output = Result<Resolved, Unresolved>> + use<> {
        let ssh = self.ssh.clone();
        async move { ssh.configuration().await }
    }

    /// A setting with its tokens replaced that ssh tells without.
    pub(crate) fn expand(
        &self,
        resolved: &Resolved,
        text: &str,
    ) -> impl Future<Output = Result<String, Unresolved>> + use<> {
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

    /// Opens links on which the server program does something else, with these words.
    pub(crate) fn asking(&self, words: &str) -> Arc<dyn Connect> {
        self.connector(words, b"")
    }

    fn connector(&self, words: &str, first_words: &[u8]) -> Arc<dyn Connect> {
        let ssh = self.ssh.clone();
        match &self.program {
            Program::At(path) => Arc::new(ssh.command(quote::server_command(path, &[words]))),
            Program::Deployed(deployment) => {
                let connect = DeployConnect::new(ssh, Arc::clone(deployment), words);
                Arc::new(connect.first_words(first_words))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rejoin_ssh::testing::make_program;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_host_that_floods_stderr_fills_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let ssh = folder.path().join("ssh");
        make_program(&ssh, "#!/bin/sh\nseq 100000 >&2\n").unwrap();
        let server = Some("rejoin-server".into());
        let link = LinkOptions { ssh: ssh.into(), server, ..LinkOptions::default() };
        let (host, mut chatter) = Host::new(&link, "host".as_ref(), &[]);
        let link = host.asking("ls").connect(Attempt::First).await.unwrap();
        let (mut reader, writer, guard) = link.into_parts();
        reader.read_to_end(&mut Vec::new()).await.unwrap();
        drop((reader, writer));
        guard.post_mortem().await;
        let mut lines = Vec::new();
        while let Ok(Said::Ssh(_, line)) = chatter.try_recv() {
            lines.push(line);
        }
        assert_eq!((lines.len(), lines[0].as_str()), (MOST_LINES, "1"));
    }
}
