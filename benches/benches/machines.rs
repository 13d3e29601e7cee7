//! One step of each machine, and the replay log that both have.

#![allow(missing_docs, reason = "the macros of criterion document nothing")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rejoin_protocol::client::{self, OnLoss};
use rejoin_protocol::frame::{Greeting, Hello, How, Welcome, Wish};
use rejoin_protocol::replay::ReplayLog;
use rejoin_protocol::server::{self, Limits, Past};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    AttachNumber, Capabilities, Client, ClientInstance, ClientName, Epoch, Frame, HostId,
    Incarnation, Item, Link, Seq, Server, SessionId, Stream, Tenure, Timer, Version, VersionRange,
};

const WINDOW: u64 = 4 * 1024 * 1024;
const HOST: HostId = HostId { machine: [1; 16], boot: [2; 16] };
const EPOCH: Epoch = Epoch::from_bytes([3; 16]);
const INSTANCE: ClientInstance = ClientInstance::from_bytes([4; 16]);
const SESSION: SessionId = SessionId::from_bytes([5; 16]);
/// What is unacknowledged at a typical cut.
const BEHIND: u64 = 16;

fn data() -> Bytes {
    Bytes::from_static(&[b'x'; 1024])
}

fn client_config() -> client::Config {
    client::Config {
        session: SESSION,
        instance: INSTANCE,
        name: ClientName::new("benchmark"),
        versions: VersionRange::SUPPORTED,
        spec: Some(Bytes::from_static(b"spec")),
        on_loss: OnLoss::Fail,
        take_over: false,
        window: WINDOW,
    }
}

fn welcome(attach: u64, how: How, next_output: u64) -> Frame {
    Frame::Welcome(Welcome {
        attach: AttachNumber(attach),
        version: Version::CURRENT,
        capabilities: Capabilities(0),
        epoch: EPOCH,
        incarnation: Incarnation(0),
        tenure: Tenure(0),
        accepted: Seq(0),
        handed_over: Seq(0),
        buffered: 0,
        first_output: Seq(0),
        next_output: Seq(next_output),
        window: WINDOW,
        how,
    })
}

fn attached_client(config: &client::Config) -> Client {
    let mut client = Client::open(config);
    client.step(config, client::Event::Timer(Timer::Reconnect));
    client.step(config, client::Event::LinkOpened(Link(1)));
    let versions = VersionRange::SUPPORTED;
    let greeting = Greeting { versions, host: HOST, host_name: "host".into() };
    client.step(config, client::Event::Frame(Link(1), Frame::Greeting(greeting)));
    client.step(config, client::Event::Frame(Link(1), welcome(1, How::Opened, 0)));
    assert!(client.is_attached());
    client
}

fn output(seq: u64) -> Frame {
    let item = Item::Output { stream: Stream::Stdout, data: data() };
    Frame::Item { seq: Seq(seq), item }
}

/// A client that has sent input and been cut, and has a link again.
fn resuming_client(config: &client::Config) -> Client {
    let mut client = attached_client(config);
    for _ in 0..BEHIND {
        client.step(config, client::Event::Input(Item::Input(Bytes::from_static(b"x"))));
    }
    client.step(config, client::Event::LinkLost(Link(1)));
    client.step(config, client::Event::Timer(Timer::Reconnect));
    client
}

fn client_steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("client step");
    let config = client_config();
    let (mut client, mut seq) = (attached_client(&config), 0);
    // An item alone would fill the window: it is taken, which sends an Ack.
    group.bench_function("item, and taken", |bencher| {
        bencher.iter(|| {
            let item = client::Event::Frame(Link(1), output(seq));
            seq += 1;
            black_box(client.step(&config, item));
            black_box(client.step(&config, client::Event::Taken(Seq(seq))));
        });
    });
    let (mut client, mut seq) = (attached_client(&config), 0);
    group.bench_function("input, and its ack", |bencher| {
        bencher.iter(|| {
            let input = client::Event::Input(Item::Input(Bytes::from_static(b"x")));
            black_box(client.step(&config, input));
            seq += 1;
            let ack = Frame::Ack { next: Seq(seq) };
            black_box(client.step(&config, client::Event::Frame(Link(1), ack)));
        });
    });
    let client = resuming_client(&config);
    group.bench_function("resume with 16 inputs", |bencher| {
        bencher.iter_batched_ref(
            || client.clone(),
            |client| {
                black_box(client.step(&config, client::Event::LinkOpened(Link(2))));
                let welcome = welcome(2, How::Resumed, 0);
                black_box(client.step(&config, client::Event::Frame(Link(2), welcome)));
                assert!(client.is_attached());
            },
            BatchSize::SmallInput,
        );
    });
}

fn hello(attach: u64, wish: Wish) -> Frame {
    Frame::Hello(Hello {
        version: Version::CURRENT,
        session: SESSION,
        instance: INSTANCE,
        name: ClientName::new("benchmark"),
        attach: AttachNumber(attach),
        tenure: Tenure(0),
        wish,
    })
}

fn attached_server(config: &server::Config) -> Server {
    let mut server = Server::Absent(Past::default());
    let spec = Bytes::from_static(b"spec");
    let open = Wish::Open { incarnation: Incarnation(0), host: HOST, spec };
    server.step(config, server::Event::Frame(Link(1), hello(1, open)));
    let limits = Limits { window: WINDOW, overflow: Overflow::Block };
    server.step(config, server::Event::Started(EPOCH, limits));
    assert_eq!(server.attached(), Some(Link(1)));
    server
}

fn server_steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("server step");
    let config = server::Config {
        session: SESSION,
        host: HOST,
        versions: VersionRange::SUPPORTED,
        capabilities: Capabilities(0),
    };
    let (mut server, mut seq) = (attached_server(&config), 0);
    group.bench_function("item, and taken", |bencher| {
        bencher.iter(|| {
            let item = Frame::Item { seq: Seq(seq), item: Item::Input(data()) };
            seq += 1;
            black_box(server.step(&config, server::Event::Frame(Link(1), item)));
            black_box(server.step(&config, server::Event::InputTaken(Seq(seq))));
        });
    });
    let (mut server, mut seq) = (attached_server(&config), 0);
    group.bench_function("output, and its ack", |bencher| {
        bencher.iter(|| {
            let output = server::Event::Output(Stream::Stdout, data());
            black_box(server.step(&config, output));
            seq += 1;
            let ack = Frame::Ack { next: Seq(seq) };
            black_box(server.step(&config, server::Event::Frame(Link(1), ack)));
        });
    });
    let mut server = attached_server(&config);
    for _ in 0..BEHIND {
        server.step(&config, server::Event::Output(Stream::Stdout, data()));
    }
    server.step(&config, server::Event::LinkLost(Link(1)));
    group.bench_function("resume with 16 outputs", |bencher| {
        bencher.iter_batched_ref(
            || server.clone(),
            |server| {
                let (incarnation, next_output) = (Incarnation(0), Seq(0));
                let resume = Wish::Resume { incarnation, epoch: EPOCH, next_output };
                let event = server::Event::Frame(Link(2), hello(2, resume));
                black_box(server.step(&config, event));
                assert_eq!(server.attached(), Some(Link(2)));
            },
            BatchSize::SmallInput,
        );
    });
}

fn replay_log(criterion: &mut Criterion) {
    let item = Item::Output { stream: Stream::Stdout, data: data() };
    let mut group = criterion.benchmark_group("replay log");
    let mut log = ReplayLog::new(WINDOW, Overflow::Block);
    group.bench_function("push, send, acknowledge", |bencher| {
        bencher.iter(|| {
            log.push(item.clone()).unwrap();
            let (seq, item) = log.take_sendable().unwrap();
            log.acknowledge(black_box(item.end(seq))).unwrap();
        });
    });
    let mut log = ReplayLog::new(WINDOW, Overflow::Block);
    let mut held: u64 = 0;
    while log.push(item.clone()).is_ok() {
        held += 1;
    }
    while log.take_sendable().is_some() {}
    group.throughput(Throughput::Elements(held));
    group.bench_function("rewind, send a full window again", |bencher| {
        bencher.iter(|| {
            log.rewind(black_box(Seq(0)));
            while let Some(sent) = log.take_sendable() {
                black_box(sent);
            }
        });
    });
}

criterion_group!(benches, client_steps, server_steps, replay_log);
criterion_main!(benches);
