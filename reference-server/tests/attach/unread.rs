//! Peers that ask and never read, and peers that say nothing, cost a server next to nothing.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use rejoin_protocol::codec::CLIENT_MAGIC;
use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::frame::{Bye, Wish};
use rejoin_protocol::spec::{self, ProcessSpec};
use rejoin_protocol::{Epoch, Frame, Incarnation, Seq};
use rustix::process::Pid;

use crate::support::{Client, LIMIT, Link, bytes_of, last_word, server_frames, sockets, until};

/// How much more memory a server may have used at its peak, in KiB.
const A_LITTLE: u64 = 16 * 1024;

/// What a peer may send in vain at most, in bytes: a server that grows has grown by far more then.
const IN_VAIN: usize = 64 * 1024 * 1024;

fn status(server: Pid, field: &str) -> u64 {
    let status = format!("/proc/{}/status", server.as_raw_nonzero());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap()
}

/// Writes what is asked for until nobody takes it any more.
fn ask_until_closed(mut stream: &UnixStream, mut next: impl FnMut() -> Vec<u8>) {
    let mut sent = 0;
    while sent < IN_VAIN {
        let bytes = next();
        if stream.write_all(&bytes).is_err() {
            return;
        }
        sent += bytes.len();
    }
    panic!("the server takes all of it and never closes the link");
}

/// A session, and how much memory its server has needed so far.
struct Stage {
    client: Client,
    attached: Link,
    server: Pid,
    peak: u64,
}

impl Stage {
    fn new(words: &str) -> Self {
        let mut client = Client::new();
        let attached = client.open(0, words).welcomed();
        let server = client.server_pid();
        Self { client, attached, server, peak: status(server, "VmHWM") }
    }

    /// A link to the server itself, attached by another Hello.
    fn attach(&mut self) -> UnixStream {
        let mut stream = self.client.stream();
        stream.write_all(&CLIENT_MAGIC).unwrap();
        stream.write_all(&self.open_again()).unwrap();
        stream
    }

    fn open_again(&mut self) -> Vec<u8> {
        let spec = ProcessSpec::new(spec::Command::Shell(b"exit 1".to_vec()));
        let hello = self.client.open_hello(self.attached.host, 0, &spec);
        bytes_of(&hello)
    }

    #[track_caller]
    fn must_be_well_and_small(mut self) {
        let peak = status(self.server, "VmHWM");
        assert!(peak < self.peak + A_LITTLE, "from {} to {peak} KiB", self.peak);
        self.attached = self.client.open(0, "exit 1").welcomed();
        assert_eq!(self.client.server_pid(), self.server);
    }
}

#[test]
fn pings_without_end_that_nobody_reads_the_answers_to_cost_their_link() {
    let mut stage = Stage::new("exec sleep 1000");
    let stream = stage.attach();
    let pings = bytes_of(&Frame::Ping { token: u64::MAX }).repeat(1000);
    ask_until_closed(&stream, || pings.clone());
    stage.must_be_well_and_small();
}

#[test]
fn stale_hellos_without_end_that_nobody_reads_the_answers_to_cost_their_link() {
    let mut stage = Stage::new("exec sleep 1000");
    let mut stream = stage.client.stream();
    stream.write_all(&CLIENT_MAGIC).unwrap();
    // Only the first one is new.
    let hellos = stage.open_again().repeat(100);
    ask_until_closed(&stream, || hellos.clone());
    stage.must_be_well_and_small();
}

#[test]
fn output_asked_for_again_and_again_that_nobody_reads_costs_its_link() {
    let mut stage = Stage::new("head -c 3000000 /dev/zero; exec sleep 1000");
    let stream = stage.attach();
    ask_until_closed(&stream, || stage.open_again());
    stage.must_be_well_and_small();
}

#[test]
fn a_client_that_reads_the_answers_may_ask_without_end() {
    const AT_ONCE: u64 = 500;
    let mut stage = Stage::new("exec sleep 1000");
    let mut stream = stage.attach();
    let frames = server_frames(&stream);
    for start in (0..200 * AT_ONCE).step_by(500) {
        let tokens = start..start + AT_ONCE;
        let pings = tokens.clone().flat_map(|token| bytes_of(&Frame::Ping { token }));
        stream.write_all(&pings.collect::<Vec<_>>()).unwrap();
        for token in tokens {
            let pong = Frame::Pong { token };
            while frames.recv_timeout(LIMIT).unwrap() != pong {}
        }
    }
    stage.must_be_well_and_small();
}

#[test]
fn silent_streams_are_few_and_shut_nobody_out() {
    const MANY: usize = 100;
    let mut stage = Stage::new("exec sleep 1000");
    let before = sockets(stage.server).len();
    let streams: Vec<_> = (0..MANY)
        .map(|number| {
            let mut stream = stage.client.stream();
            // Nothing, a part of what they begin with, or all of it and a part of a frame.
            let begun = [&CLIENT_MAGIC[..], &[0, 0]].concat();
            stream.write_all(&begun[..[0, 3, 8, 10][number % 4]]).unwrap();
            stream
        })
        .collect();
    let mut newcomer = stage.client.stream();
    newcomer.write_all(&CLIENT_MAGIC).unwrap();
    newcomer
        .write_all(&bytes_of(&stage.client.hello(Wish::Resume {
            incarnation: Incarnation(0),
            epoch: Epoch::from_bytes([9; 16]),
            next_output: Seq(0),
        })))
        .unwrap();
    let answers = server_frames(&newcomer);
    assert!(matches!(answers.recv_timeout(LIMIT), Ok(Frame::Refused(_))));
    until("most of them are closed", || sockets(stage.server).len() <= before + 16);
    let frames = server_frames(&streams[2]);
    assert_eq!(last_word(&frames), Bye::Misbehaved(Misbehaviour::Silent));
    assert_eq!((&streams[0]).read(&mut [0]).unwrap(), 0);
    // The one that is attached is none of them, and neither is who was answered.
    stage.attached.send(&Frame::Ping { token: 5 });
    stage.attached.until(&Frame::Pong { token: 5 });
    newcomer.write_all(&stage.open_again()).unwrap();
    assert!(matches!(answers.recv_timeout(LIMIT), Ok(Frame::Welcome(_))));
    stage.must_be_well_and_small();
}
