//! Hosts that are reached over the fast lane.

use std::sync::{Arc, Mutex};

use rejoin_ssh::{Connect as _, FastLaneEvent, Link, LinkError, SshConnect};
use rejoin_testing::{Agent, Direction, Relay, Sshd, SshdBuilder};
use tokio::io::AsyncReadExt as _;

use super::{Echo, in_time, until};

/// What the client's own ident looks like in sshd's log.
pub const OURS: &str = "software version rejoin";

/// An sshd behind a relay, and an agent with its user's key.
pub struct Lane {
    pub sshd: Sshd,
    pub relay: Relay,
    pub agent: Agent,
    news: Arc<Mutex<Vec<FastLaneEvent>>>,
}

impl Lane {
    pub async fn start() -> Self {
        Self::to(Sshd::builder()).await
    }

    pub async fn to(builder: SshdBuilder) -> Self {
        let sshd = builder.config_line("LogLevel DEBUG1").start().unwrap();
        let relay = Relay::start(sshd.addr()).await.unwrap();
        let agent = Agent::start(&sshd.user_key()).unwrap();
        Self { sshd, relay, agent, news: Arc::default() }
    }

    pub fn connector(&self, command: &str) -> SshConnect {
        self.configured(command, &[])
    }

    /// With these options of ssh's in front of all others.
    pub fn configured(&self, command: &str, options: &[&str]) -> SshConnect {
        let news = Arc::clone(&self.news);
        SshConnect::new(self.sshd.destination(), command)
            .options(options)
            .options(self.agent.ssh_options())
            .options(self.sshd.ssh_options(self.relay.addr().port()))
            .fast_lane()
            .on_fast_lane(move |told| news.lock().unwrap().push(told.clone()))
    }

    /// With no key but those of these options.
    pub fn without_file(&self, command: &str, options: &[&str]) -> SshConnect {
        let mut given = self.sshd.ssh_options(self.relay.addr().port());
        let key = given.iter().position(|word| word == "-i").unwrap();
        given.drain(key..key + 2);
        SshConnect::new(self.sshd.destination(), command)
            .options(options)
            .options(given)
            .fast_lane()
    }

    /// Has the connector learn the host, as it is done beside a session that is calm.
    pub async fn learn(&self, connector: &SshConnect) {
        let before = self.news().len();
        connector.learn();
        until("the host is learnt", || self.news().len() > before).await;
        assert_eq!(self.news().last(), Some(&FastLaneEvent::Learnt), "{:#?}", self.sshd.log());
    }

    /// One that has learnt the host.
    pub async fn learnt(&self, command: &str) -> SshConnect {
        let connector = self.connector(command);
        self.learn(&connector).await;
        connector
    }

    /// Everything that goes this way in the next connection.
    pub fn tape(&self, way: Direction) -> Arc<Mutex<Vec<u8>>> {
        let tape: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (next, recording) = (self.relay.connections(), Arc::clone(&tape));
        self.relay.intercept(move |piece| {
            if piece.connection == next && piece.way == way {
                recording.lock().unwrap().extend_from_slice(&piece.bytes);
            }
            None
        });
        tape
    }

    pub fn news(&self) -> Vec<FastLaneEvent> {
        self.news.lock().unwrap().clone()
    }

    /// How many connections of the client's own the sshd has logged.
    pub fn logins(&self) -> usize {
        self.sshd.log().iter().filter(|line| line.contains(OURS)).count()
    }

    pub async fn until_logged(&self, text: &str, count: usize) {
        let found = || self.sshd.log().iter().filter(|line| line.contains(text)).count();
        until(&format!("{text:?} in the log"), || found() >= count).await;
    }

    /// What the sshd has logged from here on, once all connections are over.
    pub async fn logged_since(&self, before: usize) -> Vec<String> {
        until("the connections end", || self.sshd.sessions().unwrap().is_empty()).await;
        self.sshd.log().split_off(before)
    }
}

pub async fn link(connector: &SshConnect) -> Result<Link, LinkError> {
    let fast = connector.fast().expect("the fast lane is open");
    in_time("a link or an error", fast).await
}

/// Why there is no link, or why it ends.
pub async fn failure(connector: &SshConnect) -> LinkError {
    let (mut reader, writer, guard) = match link(connector).await {
        Ok(link) => link.into_parts(),
        Err(error) => return error,
    };
    let _ = in_time("the end", reader.read_to_end(&mut Vec::new())).await;
    drop((reader, writer));
    in_time("the post-mortem", guard.post_mortem()).await
}

pub async fn echo(connector: &SshConnect) -> Echo {
    let (reader, writer, guard) = link(connector).await.unwrap().into_parts();
    Echo { reader, writer, guard }
}
