//! What every server has to bear, or to be left alone with.

use std::ffi::OsString;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rejoin_ssh::{
    Attempt, Connect as _, FastLaneEvent, Ineligible, Link, LinkError, LinkErrorKind, SshConnect,
};
use rejoin_testing::{Agent, Random, Relay, SshServer, Sshd, SshdBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::common::{in_time, until, wild_bytes};

/// Sends everything back, and ends with a status that is told in a way of its own.
const COMMAND: &str = "cat; echo on stderr >&2; exit 127";
/// Far more than any window but OpenSSH's, which the tests of the fast lane exceed.
const BYTES: usize = 512 * 1024;
/// A row that takes this long hangs.
const LIMIT: Duration = Duration::from_mins(1);

/// The whole of a test, which fails where it hangs.
pub(crate) async fn row(run: impl Future<Output = ()>) {
    tokio::time::timeout(LIMIT, run).await.expect("it is over in time");
}

/// A server behind a relay, and an agent with its user's key.
pub(crate) struct Row<S> {
    pub(crate) server: Option<S>,
    pub(crate) relay: Relay,
    _agent: Agent,
    destination: &'static str,
    options: Vec<OsString>,
    news: Arc<Mutex<Vec<FastLaneEvent>>>,
}

impl Row<Sshd> {
    pub(crate) async fn openssh(change: impl FnOnce(SshdBuilder) -> SshdBuilder) -> Self {
        let sshd = change(Sshd::builder().config_line("LogLevel VERBOSE")).start();
        Self::of(sshd.unwrap_or_else(|error| panic!("{error}"))).await
    }
}

impl<S: SshServer> Row<S> {
    pub(crate) async fn of(server: S) -> Self {
        let relay = Relay::start(server.addr()).await.unwrap();
        let agent = Agent::start(&server.files().user_key()).unwrap();
        let mut options = Vec::from(agent.ssh_options());
        options.extend(server.files().ssh_options(relay.addr().port()));
        let destination = server.destination();
        Self {
            destination,
            server: Some(server),
            relay,
            _agent: agent,
            options,
            news: Arc::default(),
        }
    }

    pub(crate) fn connector(&self) -> SshConnect {
        self.running(COMMAND)
    }

    pub(crate) fn running(&self, command: &str) -> SshConnect {
        let news = Arc::clone(&self.news);
        SshConnect::new(self.destination, command)
            .options(&self.options)
            .fast_lane()
            .on_fast_lane(move |told| news.lock().unwrap().push(told.clone()))
    }

    /// What was told since it was asked for the last time.
    pub(crate) fn news(&self) -> Vec<FastLaneEvent> {
        std::mem::take(&mut *self.news.lock().unwrap())
    }

    #[track_caller]
    fn log(&self) -> String {
        self.server.as_ref().map(|server| server.log().join("\n")).unwrap_or_default()
    }

    /// Has the connector learn the host in the background, as beside a session that is calm.
    pub(crate) async fn learn(&self, connector: &SshConnect) {
        connector.learn();
        until("it is told what became of it", || !self.news.lock().unwrap().is_empty()).await;
        assert_eq!(self.news(), [FastLaneEvent::Learnt], "{}", self.log());
    }

    /// That links over the fast lane carry bytes, several times in a row, also where one was cut; and
    /// that those of ssh do.
    pub(crate) async fn is_taken(&self) {
        let connector = self.connector();
        self.learn(&connector).await;
        for _ in 0..2 {
            carries(fast(&connector).await).await;
        }
        let cut = fast(&connector).await;
        let resets = self.relay.resets();
        self.relay.cut_all_reset();
        in_time("a reset", self.relay.wait_for_resets(resets + 1)).await;
        ends(cut).await;
        carries(fast(&connector).await).await;
        assert_eq!(self.news(), vec![FastLaneEvent::Taken; 4], "{}", self.log());
        self.is_reached_by_ssh(&connector).await;
    }

    /// Why the fast lane is not taken; and that links of ssh carry bytes.
    pub(crate) async fn is_left_to_ssh(&self) -> Ineligible {
        let connector = self.connector();
        let why = in_time("a check", connector.check_fast_lane()).await.unwrap_err();
        assert!(connector.fast().is_none());
        assert_eq!(self.news(), [FastLaneEvent::Ineligible(why.clone())]);
        self.is_reached_by_ssh(&connector).await;
        // It is not tried again with every link.
        connector.learn();
        assert_eq!(self.news(), []);
        why
    }

    pub(crate) async fn is_reached_by_ssh(&self, connector: &SshConnect) {
        let link = in_time("a link", connector.connect(Attempt::Reconnect)).await;
        carries(link.unwrap_or_else(|error| panic!("{error:?}\n{}", self.log()))).await;
    }

    /// A link over the fast lane that leads to nothing: why. The host is predicted no more, and ssh
    /// reaches it.
    pub(crate) async fn is_erased(&self, connector: &SshConnect) -> LinkError {
        let link = in_time("a link", connector.fast().expect("it was learnt")).await;
        let error = match link {
            Ok(link) => ends(link).await,
            Err(error) => error,
        };
        assert!(connector.fast().is_none(), "{error:?}\n{}", self.log());
        assert_eq!(self.news(), [FastLaneEvent::Failed(error.message.clone())]);
        self.is_reached_by_ssh(connector).await;
        error
    }
}

/// A link over the fast lane whose command has said something.
pub(crate) async fn fast(connector: &SshConnect) -> Link {
    let link = in_time("a link", connector.fast().expect("the fast lane is open")).await;
    let (mut reader, mut writer, guard) = link.unwrap().into_parts();
    let mut back = [0; 5];
    in_time("a write", writer.write_all(b"hello")).await.unwrap();
    in_time("an echo", reader.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"hello");
    Link::with_post_mortem(reader, writer, guard.post_mortem())
}

/// That the link carries bytes both ways, and tells the end of the command with its status.
pub(crate) async fn carries(link: Link) {
    let (mut reader, mut writer, guard) = link.into_parts();
    let bytes = wild_bytes(BYTES, &mut Random::from_env());
    let mut back = Vec::new();
    let to = async {
        writer.write_all(&bytes).await?;
        writer.shutdown().await
    };
    let both = async { tokio::try_join!(to, reader.read_to_end(&mut back)) };
    in_time("all of it, and the end", both).await.unwrap();
    assert!(back == bytes, "the bytes came back changed");
    drop((reader, writer));
    let error = in_time("the post-mortem", guard.post_mortem()).await;
    assert_eq!(error.kind, LinkErrorKind::ServerMissing, "{error:?}");
}

/// How the link ends, which it does by itself.
pub(crate) async fn ends(link: Link) -> LinkError {
    let (mut reader, writer, guard) = link.into_parts();
    let _ = in_time("the end", reader.read_to_end(&mut Vec::new())).await;
    drop((reader, writer));
    in_time("the post-mortem", guard.post_mortem()).await
}
