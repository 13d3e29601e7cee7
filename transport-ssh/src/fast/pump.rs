//! Carries bytes between a link and the command that it is for, from the login on.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use rejoin_ssh2::{Client, Error, Event};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::handshake::{FastLaneError, Handshake};
use crate::link::child::ChildExit;
use crate::link::error::{LinkError, LinkErrorKind};
use crate::link::milestones::Milestones;
use crate::link::stderr::{LineSink, StderrTail};
use crate::link::stream::Link;
use crate::ssh::classify;

/// How much waits between the link and the client in each direction, in bytes.
const BUFFER: usize = 64 * 1024;
/// How much is read at once.
const READ: usize = 32 * 1024;
/// How long the last bytes may take once the command has ended, and everything when the link is dropped.
const GRACE: Duration = Duration::from_secs(1);

/// How long the login waits for what the link is to say first, so that both go out together.
const FIRST_WORDS: Duration = Duration::from_millis(10);

/// Called with what came of the login.
pub(super) type OnLogin = Box<dyn FnOnce(&Result<(), FastLaneError>) + Send>;

/// The link over a connection to a host that has proved to be the right one, with what logs in there.
pub(super) fn link(
    handshake: Handshake,
    signature: Vec<u8>,
    outcome: OnLogin,
    (sink, tail): (LineSink, StderrTail),
) -> Link {
    let (reader, to_link) = tokio::io::duplex(BUFFER);
    let (from_link, writer) = tokio::io::duplex(BUFFER);
    // It ends with whatever waits for it.
    let mut running = JoinSet::new();
    let run = async move {
        let mut login = PendingLogin { handshake, from_link, to_link };
        let started = login.start(&signature).await;
        outcome(&started);
        match started {
            Ok(()) => login.into_pump(sink).await,
            Err(why) => ChannelEnd::NotStarted(why),
        }
    };
    let milestones = Milestones::current();
    running.spawn(async move { milestones.note(Box::pin(run)).await });
    Link::with_post_mortem(reader, writer, async move {
        let ended = timeout(GRACE, running.join_next()).await.ok().flatten();
        let ended = ended.and_then(Result::ok).unwrap_or(ChannelEnd::Abandoned);
        let error = ended.judge(&tail);
        tracing::debug!(kind = ?error.kind, %error, "fast link ended");
        error
    })
}

/// Before the command has started.
struct PendingLogin {
    handshake: Handshake,
    from_link: DuplexStream,
    to_link: DuplexStream,
}

impl PendingLogin {
    async fn start(&mut self, signature: &[u8]) -> Result<(), FastLaneError> {
        let mut words = vec![0; READ];
        let first = timeout(FIRST_WORDS, self.from_link.read(&mut words)).await;
        let count = first.map_or(0, Result::unwrap_or_default);
        self.handshake.client.write(&words[..count]).map_err(FastLaneError::Failed)?;
        self.handshake.start(signature).await
    }

    async fn into_pump(self, sink: LineSink) -> ChannelEnd {
        let Self { handshake, from_link, to_link } = self;
        let Handshake { client, stream, .. } = handshake;
        let to_link = Some(to_link);
        let pump = Pump { client, sink, to_link, from_link, output: BytesMut::new() };
        pump.run(stream).await
    }
}

struct Pump {
    client: Client,
    sink: LineSink,
    /// `None` once nobody reads.
    to_link: Option<DuplexStream>,
    from_link: DuplexStream,
    /// What the command has said and nobody has taken. The client's window bounds it: in one piece, since
    /// what it came in may be single bytes.
    output: BytesMut,
}

/// How it ended.
enum ChannelEnd {
    /// The command was not started.
    NotStarted(FastLaneError),
    /// With the command.
    Command(ExitStatus),
    /// The connection ended first.
    Lost(io::Error),
    Failed(Error),
    /// The host wants other keys.
    Rekey,
    Abandoned,
}

/// The next event.
enum PumpEvent {
    Arrived(usize),
    Sent(usize),
    Given(usize),
    Taken(usize),
    NobodyReads,
}

impl Pump {
    async fn run(mut self, mut stream: TcpStream) -> ChannelEnd {
        let (mut reader, mut writer) = stream.split();
        let ended = match self.carry(&mut reader, &mut writer).await {
            Ok(ended) => ended,
            Err(error) => ChannelEnd::Lost(error),
        };
        // Output from before the end is still delivered.
        let _ = timeout(GRACE, self.finish(&mut writer)).await;
        ended
    }

    async fn carry(
        &mut self,
        reader: &mut ReadHalf<'_>,
        writer: &mut WriteHalf<'_>,
    ) -> io::Result<ChannelEnd> {
        let (mut arrived, mut given) = (vec![0; READ], vec![0; READ]);
        let (mut status, mut is_input_over) = (ExitStatus::from_raw(0), false);
        loop {
            if let Some(ended) = self.events(&mut status) {
                return Ok(ended);
            }
            let room = self.client.writable().min(READ);
            let happened = tokio::select! {
                count = reader.read(&mut arrived) => PumpEvent::Arrived(count?),
                count = writer.write(self.client.output()), if !self.client.output().is_empty() => {
                    PumpEvent::Sent(count?)
                }
                count = self.from_link.read(&mut given[..room]), if room > 0 && !is_input_over => {
                    PumpEvent::Given(count?)
                }
                count = deliver(&mut self.to_link, &self.output) => {
                    count.map_or(PumpEvent::NobodyReads, PumpEvent::Taken)
                }
            };
            let done = match happened {
                PumpEvent::Arrived(0) => return Err(io::ErrorKind::ConnectionAborted.into()),
                PumpEvent::Arrived(count) => self.client.input(&arrived[..count]),
                PumpEvent::Sent(count) => self.client.sent(count),
                PumpEvent::Given(0) => {
                    is_input_over = true;
                    self.client.finish()
                }
                PumpEvent::Given(count) => self.client.write(&given[..count]).map(drop),
                PumpEvent::Taken(count) => self.taken(count),
                PumpEvent::NobodyReads => {
                    self.to_link = None;
                    Ok(())
                }
            };
            // Events in the same input, such as an exit status, come before the error.
            if let Err(error) = done {
                return Ok(self.events(&mut status).unwrap_or(ChannelEnd::Failed(error)));
            }
        }
    }

    /// Takes the client's events. `Some` if the connection is over.
    fn events(&mut self, status: &mut ExitStatus) -> Option<ChannelEnd> {
        while let Some(event) = self.client.event() {
            match event {
                Event::Data(data) => self.output.extend_from_slice(&data),
                Event::Stderr(data) => {
                    self.sink.feed(&data);
                    // It was handed out just now.
                    let _ = self.client.consumed(data.len());
                }
                Event::Exit(code) => {
                    *status = ExitStatus::from_raw(i32::from(code.to_le_bytes()[0]) << 8);
                }
                // As ssh has it, which knows no signals.
                Event::Signal(_) => *status = ExitStatus::from_raw(255 << 8),
                Event::Closed => return Some(ChannelEnd::Command(*status)),
                Event::Rekey => return Some(ChannelEnd::Rekey),
                _ => {}
            }
        }
        if self.to_link.is_none() {
            self.discard();
        }
        None
    }

    fn discard(&mut self) {
        let count = self.output.len();
        self.output.clear();
        // It was handed out, and not said to be consumed.
        let _ = self.client.consumed(count);
    }

    fn taken(&mut self, count: usize) -> Result<(), Error> {
        self.output.advance(count);
        self.client.consumed(count)
    }

    async fn finish(mut self, writer: &mut WriteHalf<'_>) -> io::Result<()> {
        self.sink.finish();
        if let Some(to_link) = &mut self.to_link {
            to_link.write_all(&self.output).await?;
        }
        let _ = self.client.disconnect();
        writer.write_all(self.client.output()).await?;
        writer.shutdown().await
    }
}

/// Hands out some of what waits. For ever if there is nothing, or nobody reads.
async fn deliver(to: &mut Option<DuplexStream>, output: &[u8]) -> io::Result<usize> {
    match to {
        Some(to) if !output.is_empty() => to.write(output).await,
        _ => std::future::pending().await,
    }
}

impl ChannelEnd {
    fn judge(self, tail: &StderrTail) -> LinkError {
        let lines = tail.lines();
        let closed = |message: String| LinkError::new(LinkErrorKind::Closed, message);
        match self {
            Self::NotStarted(why) => why.into_error(),
            Self::Command(status) => {
                let greeting = Vec::new();
                let evidence = ChildExit {
                    status: Some(status),
                    lines,
                    greeting,
                    was_open: true,
                    ..ChildExit::default()
                };
                classify::ssh(&evidence)
            }
            Self::Lost(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                closed("the host closed the connection".to_owned()).with_detail(lines)
            }
            Self::Lost(error) => {
                closed(format!("the connection was lost: {error}")).with_detail(lines)
            }
            Self::Failed(error) => closed(error.to_string()).with_detail(lines),
            Self::Rekey => {
                closed("the host requested new keys, which only ssh can negotiate".to_owned())
            }
            Self::Abandoned => closed("the link was closed".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rejoin_ssh2::testing::{ToyScript, ToyServer, toy_user_key};
    use rejoin_ssh2::wire::Writer;
    use rejoin_ssh2::{Cipher, Config, HandshakeMode, HostKeyAlgorithm, Kex, Scheme};

    use super::*;
    use crate::Attempt;
    use crate::link::stderr::KeepAllLines;

    /// A client whose command has started, and its server.
    fn started() -> (Client, ToyServer) {
        let config = Config {
            user: "somebody".to_owned(),
            key: toy_user_key(),
            command: b"say it back".to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            handshake: HandshakeMode::Stepwise {
                kex: vec![Kex::Curve25519],
                host_keys: vec![HostKeyAlgorithm::plain(Scheme::Ed25519)],
            },
        };
        let (mut client, mut server) =
            (Client::new(config).unwrap(), ToyServer::new(ToyScript::default()).unwrap());
        loop {
            let output = client.output().to_vec();
            client.sent(output.len()).unwrap();
            server.input(&output).unwrap();
            client.input(&server.take_output()).unwrap();
            while let Some(event) = client.event() {
                match event {
                    Event::HostKey { .. } => client.accept_host().unwrap(),
                    Event::Sign(_) => client.signed(b"signature").unwrap(),
                    Event::Started => return (client, server),
                    _ => {}
                }
            }
        }
    }

    /// Each byte comes by itself, as from a host that sends so.
    #[test]
    fn single_bytes_that_nobody_reads_take_no_more_room_than_the_same_in_one_piece() {
        let (client, mut server) = started();
        let (to_link, _reader) = tokio::io::duplex(1);
        let (_writer, from_link) = tokio::io::duplex(1);
        let sink =
            LineSink::new(Attempt::Reconnect, StderrTail::default(), None, Box::new(KeepAllLines));
        let to_link = Some(to_link);
        let mut pump = Pump { client, sink, to_link, from_link, output: BytesMut::new() };
        let (mut status, count) = (ExitStatus::from_raw(0), 200_000);
        for _ in 0..count {
            server.say(&Writer::message(94).uint32(0).string(b"x").finish()).unwrap();
            pump.client.input(&server.take_output()).unwrap();
            assert!(pump.events(&mut status).is_none());
        }
        assert_eq!(pump.output.len(), count);
        assert!(pump.output.capacity() <= 2 * count, "{}", pump.output.capacity());
        pump.taken(count - 1).unwrap();
        assert_eq!(pump.output, b"x"[..]);
    }
}
