//! Every way in which a process can end, told as it was.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use rejoin_model_check::names;
use rejoin_protocol::client::{self, Client, Effect, Notice, OnLoss};
use rejoin_protocol::frame::Greeting;
use rejoin_protocol::server::{self, Event, Limits, Past, Server};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    Capabilities, ClientName, ExitStatus, Frame, Link, Seq, Signal, Timer, VersionRange,
};

const LINK: Link = Link(1);

fn configs() -> (client::Config, server::Config) {
    let client = client::Config {
        session: names::SESSION,
        instance: names::instance(0, 0),
        name: ClientName::default(),
        versions: VersionRange::SUPPORTED,
        spec: Some(bytes::Bytes::new()),
        on_loss: OnLoss::Fail,
        take_over: false,
        window: 70_000,
    };
    let server = server::Config {
        session: names::SESSION,
        host: names::host(0, 0),
        versions: VersionRange::SUPPORTED,
        capabilities: Capabilities(0),
    };
    (client, server)
}

fn frames(effects: Vec<server::Effect>) -> Vec<Frame> {
    let frame = |effect| match effect {
        server::Effect::Send(_, frame) => Some(frame),
        _ => None,
    };
    effects.into_iter().filter_map(frame).collect()
}

/// What a client tells of a process that ends so.
fn told(status: ExitStatus) -> Option<ExitStatus> {
    let (of_client, of_server) = configs();
    let mut client = Client::open(&of_client);
    let mut server = Server::Absent(Past::default());
    client.step(&of_client, client::Event::Timer(Timer::Reconnect));
    client.step(&of_client, client::Event::LinkOpened(LINK));
    let greeting = Greeting {
        versions: VersionRange::SUPPORTED,
        host: names::host(0, 0),
        host_name: String::new(),
    };
    let greeted = client::Event::Frame(LINK, Frame::Greeting(greeting));
    for effect in client.step(&of_client, greeted) {
        if let Effect::Send(link, frame) = effect {
            server.step(&of_server, Event::Frame(link, frame));
        }
    }
    let limits = Limits { window: 70_000, overflow: Overflow::Block };
    let mut sent = frames(server.step(&of_server, Event::Started(names::epoch(0), limits)));
    sent.extend(frames(server.step(&of_server, Event::Exited(status))));
    for frame in sent {
        client.step(&of_client, client::Event::Frame(LINK, frame));
    }
    let effects = client.step(&of_client, client::Event::Taken(Seq(1)));
    effects.into_iter().find_map(|effect| match effect {
        Effect::Tell(Notice::Exited { status, .. }) => Some(status),
        _ => None,
    })
}

#[test]
fn every_status_and_every_signal_is_told_as_it_was() {
    for number in 0..=u8::MAX {
        for status in [ExitStatus::Code(number), ExitStatus::Signal(Signal(number))] {
            assert_eq!(told(status), Some(status));
        }
    }
}
