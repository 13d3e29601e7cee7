//! Streams of `rejoin-server mux` are held to what an attach program's link is.

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::{Child, Stdio};

use bytes::BytesMut;
use rejoin_protocol::Frame;
use rejoin_protocol::codec::{CLIENT_MAGIC, Decoder};
use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::frame::Bye;
use rejoin_protocol::mux;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode};

use crate::edges::{resume, wrong_openings};
use crate::support::{Client, LIMIT, bytes_of};

/// A stream as its client has it.
struct Stream {
    bytes: Compat<yamux::Stream>,
    decoder: Decoder,
    buffer: BytesMut,
}

impl Stream {
    fn new(bytes: Compat<yamux::Stream>) -> Self {
        Self { bytes, decoder: Decoder::of_server(), buffer: BytesMut::new() }
    }

    /// The next frame; none at the end.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            // What has begun has half a minute to be whole.
            let read = timeout(2 * LIMIT, self.bytes.read_buf(&mut self.buffer));
            if read.await.expect("a frame in time").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn last_word(&mut self) -> Option<Frame> {
        assert!(matches!(self.next().await, Some(Frame::Greeting(_))));
        let word = self.next().await;
        assert_eq!(self.next().await, None);
        word
    }
}

fn bye(what: Misbehaviour) -> Frame {
    Frame::Bye(Bye::Misbehaved(what))
}

/// A connection with so many streams, of which each has begun with these bytes.
async fn connection(client: &Client, openings: &[Vec<u8>]) -> (Child, Vec<Stream>) {
    let (ours, theirs) = StdStream::pair().unwrap();
    let input = OwnedFd::from(theirs.try_clone().unwrap());
    let mut command = client.server();
    let mux = command.arg("mux").stdin(input).stdout(OwnedFd::from(theirs)).stderr(Stdio::null());
    let child = mux.spawn().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut channel = UnixStream::from_std(ours).unwrap();
    channel.write_all(&mux::CLIENT_MAGIC).await.unwrap();
    let mut magic = [0; 8];
    channel.read_exact(&mut magic).await.unwrap();
    assert_eq!(magic, mux::HOST_MAGIC);
    let mut connection = Connection::new(channel.compat(), Config::default(), Mode::Client);
    let mut streams = Vec::new();
    for _ in openings {
        let stream = poll_fn(|cx| connection.poll_new_outbound(cx)).await.unwrap();
        streams.push(Stream::new(stream.compat()));
    }
    tokio::spawn(async move {
        while let Some(Ok(_)) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {}
    });
    for (stream, opening) in streams.iter_mut().zip(openings) {
        stream.bytes.write_all(opening).await.unwrap();
    }
    (child, streams)
}

#[test]
fn a_stream_is_told_what_is_wrong_stands_by_and_has_to_finish_what_it_began() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::new();
        let wrong = wrong_openings();
        let mut openings: Vec<_> = wrong.iter().map(|(bytes, _)| bytes.clone()).collect();
        let broken_off = [&CLIENT_MAGIC[..], &[0]].concat();
        openings.extend([CLIENT_MAGIC.to_vec(), broken_off]);
        let (mut child, mut streams) = connection(&client, &openings).await;
        for (stream, (bytes, what)) in streams.iter_mut().zip(wrong) {
            assert_eq!(stream.last_word().await, Some(bye(what)), "{bytes:02x?}");
        }
        let [standing_by, broken_off] = streams.last_chunk_mut().unwrap();
        assert_eq!(broken_off.last_word().await, Some(bye(Misbehaviour::Silent)));
        // What cut that one would have cut this one before.
        assert!(matches!(standing_by.next().await, Some(Frame::Greeting(_))));
        standing_by.bytes.write_all(&bytes_of(&client.hello(resume()))).await.unwrap();
        assert!(matches!(standing_by.next().await, Some(Frame::Refused(_))));
        child.kill().unwrap();
        child.wait().unwrap();
    });
}
