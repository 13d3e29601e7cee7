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
use tracing::Instrument as _;

use super::lane::{Opening, Why};
use crate::link::Link;
use crate::link::child::Evidence;
use crate::link::error::{LinkError, LinkErrorKind};
use crate::link::stderr::{LineSink, Tail};
use crate::ssh::classify;

/// How much waits between the link and the client in each direction, in bytes.
const BUFFER: usize = 64 * 1024;
/// How much is read at once.
const READ: usize = 32 * 1024;
/// How long the last bytes may take once the command has ended, and everything when the link is dropped.
const GRACE: Duration = Duration::from_secs(1);

/// How long the login waits for what the link is to say first, so that both go out together.
const FIRST_WORDS: Duration = Duration::from_millis(10);

/// Told what came of the login.
pub(super) type Outcome = Box<dyn FnOnce(&Result<(), Why>) + Send>;

/// The link over a connection to a host that has proved to be the right one, with what logs in there.
pub(super) fn link(
    opening: Opening,
    signature: Vec<u8>,
    outcome: Outcome,
    (sink, tail): (LineSink, Tail),
) -> Link {
    let (reader, to_link) = tokio::io::duplex(BUFFER);
    let (from_link, writer) = tokio::io::duplex(BUFFER);
    // It ends with whatever waits for it.
    let mut running = JoinSet::new();
    let run = async move {
        let mut login = Login { opening, from_link, to_link };
        let started = login.start(&signature).await;
        outcome(&started);
        match started {
            Ok(()) => login.into_pump(sink).await,
            Err(why) => Ended::NotStarted(why),
        }
    };
    running.spawn(run.in_current_span());
    Link::explained(reader, writer, async move {
        let ended = timeout(GRACE, running.join_next()).await.ok().flatten();
        let ended = ended.and_then(Result::ok).unwrap_or(Ended::Abandoned);
        let error = ended.judge(&tail);
        tracing::debug!(kind = ?error.kind, %error, "fast link ended");
        error
    })
}

/// Before the command has started.
struct Login {
    opening: Opening,
    from_link: DuplexStream,
    to_link: DuplexStream,
}

impl Login {
    async fn start(&mut self, signature: &[u8]) -> Result<(), Why> {
        let mut words = vec![0; READ];
        let first = timeout(FIRST_WORDS, self.from_link.read(&mut words)).await;
        let count = first.map_or(0, Result::unwrap_or_default);
        self.opening.client.write(&words[..count]).map_err(Why::Failed)?;
        self.opening.start(signature).await
    }

    async fn into_pump(self, sink: LineSink) -> Ended {
        let Self { opening, from_link, to_link } = self;
        let Opening { client, stream, .. } = opening;
        let to_link = Some(to_link);
        let pump = Pump { client, sink, to_link, from_link, output: BytesMut::new() };
        pump.run(stream).await
    }
}

struct Pump {
    client: Client,
    sink: LineSink,
    /// None once nobody reads.
    to_link: Option<DuplexStream>,
    from_link: DuplexStream,
    /// What the command has said and nobody has taken. The client's window bounds it: in one piece, since
    /// what it came in may be single bytes.
    output: BytesMut,
}

/// How it ended.
enum Ended {
    /// The command was not started.
    NotStarted(Why),
    /// With the command.
    Command(ExitStatus),
    /// The connection ended first.
    Lost(io::Error),
    Failed(Error),
    /// The host wants other keys.
    Rekey,
    Abandoned,
}

/// What happened next.
enum Happened {
    Arrived(usize),
    Sent(usize),
    Given(usize),
    Taken(usize),
    NobodyReads,
}

impl Pump {
    async fn run(mut self, mut stream: TcpStream) -> Ended {
        let (mut reader, mut writer) = stream.split();
        let ended = match self.carry(&mut reader, &mut writer).await {
            Ok(ended) => ended,
            Err(error) => Ended::Lost(error),
        };
        // What was said before the end is still wanted.
        let _ = timeout(GRACE, self.finish(&mut writer)).await;
        ended
    }

    async fn carry(
        &mut self,
        reader: &mut ReadHalf<'_>,
        writer: &mut WriteHalf<'_>,
    ) -> io::Result<Ended> {
        let (mut arrived, mut given) = (vec![0; READ], vec![0; READ]);
        let (mut status, mut is_input_over) = (ExitStatus::from_raw(0), false);
        loop {
            if let Some(ended) = self.events(&mut status) {
                return Ok(ended);
            }
            let room = self.client.writable().min(READ);
            let happened = tokio::select! {
                count = reader.read(&mut arrived) => Happened::Arrived(count?),
                count = writer.write(self.client.output()), if !self.client.output().is_empty() => {
                    Happened::Sent(count?)
                }
                count = self.from_link.read(&mut given[..room]), if room > 0 && !is_input_over => {
                    Happened::Given(count?)
                }
                count = deliver(&mut self.to_link, &self.output) => {
                    count.map_or(Happened::NobodyReads, Happened::Taken)
                }
            };
            let done = match happened {
                Happened::Arrived(0) => return Err(io::ErrorKind::ConnectionAborted.into()),
                Happened::Arrived(count) => self.client.input(&arrived[..count]),
                Happened::Sent(count) => self.client.sent(count),
                Happened::Given(0) => {
                    is_input_over = true;
                    self.client.finish()
                }
                Happened::Given(count) => self.client.write(&given[..count]).map(drop),
                Happened::Taken(count) => self.taken(count),
                Happened::NobodyReads => {
                    self.to_link = None;
                    Ok(())
                }
            };
            // What came with the fault, such as an exit status, came before it.
            if let Err(error) = done {
                return Ok(self.events(&mut status).unwrap_or(Ended::Failed(error)));
            }
        }
    }

    /// Takes what the client tells. Something, if that is the end.
    fn events(&mut self, status: &mut ExitStatus) -> Option<Ended> {
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
                Event::Closed => return Some(Ended::Command(*status)),
                Event::Rekey => return Some(Ended::Rekey),
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

impl Ended {
    fn judge(self, tail: &Tail) -> LinkError {
        let lines = tail.lines();
        let closed = |message: String| LinkError::new(LinkErrorKind::Closed, message);
        match self {
            Self::NotStarted(why) => why.into_error(),
            Self::Command(status) => {
                let greeting = Vec::new();
                let evidence = Evidence {
                    status: Some(status),
                    lines,
                    greeting,
                    was_open: true,
                    ..Evidence::default()
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
            Self::Rekey => closed("the host wants new keys, which only ssh makes".to_owned()),
            Self::Abandoned => closed("the link was closed".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rejoin_ssh2::testing::{Script, ToyServer, toy_user_key};
    use rejoin_ssh2::wire::Writer;
    use rejoin_ssh2::{Cipher, Config, HostKeyAlgorithm, Kex, Opening, Scheme};

    use super::*;
    use crate::Attempt;
    use crate::link::stderr::AllLines;

    /// A client whose command has started, and its server.
    fn started() -> (Client, ToyServer) {
        let config = Config {
            user: "somebody".to_owned(),
            key: toy_user_key(),
            command: b"say it back".to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            opening: Opening::Unhurried {
                kex: vec![Kex::Curve25519],
                host_keys: vec![HostKeyAlgorithm::plain(Scheme::Ed25519)],
            },
        };
        let (mut client, mut server) =
            (Client::new(config).unwrap(), ToyServer::new(Script::default()).unwrap());
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
        let sink = LineSink::new(Attempt::Reconnect, Tail::default(), None, Box::new(AllLines));
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
