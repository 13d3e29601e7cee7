//! The host of a run: how it is reached, and how its server program is come by.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use rejoin_protocol::codec::SERVER_MAGIC;
use rejoin_ssh::{Attempt, Connect, DeployConnect, DeployNews, Deployment, SshConnect};
use tokio::sync::mpsc;

use super::args::LinkOptions;
use super::quote;
use super::servers::{Shelf, VERSION};

/// What is said while a link is opened.
#[derive(Debug)]
pub(crate) enum Said {
    /// By ssh, or the host.
    Ssh(Attempt, String),
    /// About the server program.
    News(DeployNews),
}

/// All that is said.
pub(crate) type Chatter = mpsc::UnboundedReceiver<Said>;

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
    /// Nothing is connected yet.
    pub(crate) fn new(link: &LinkOptions, destination: &OsStr) -> (Self, Chatter) {
        let (sender, chatter) = mpsc::unbounded_channel();
        // After the end of the session nobody listens.
        let say = move |said| drop(sender.send(said));
        let tell = say.clone();
        let ssh = SshConnect::new(destination, "")
            .program(&link.ssh)
            .options(link.ssh_options.handed_on())
            .on_stderr(move |attempt, line| say(Said::Ssh(attempt, line.to_owned())));
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
