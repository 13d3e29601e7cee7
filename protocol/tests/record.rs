//! What is written down of a run comes back as it was.
#![cfg(feature = "record")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use rejoin_protocol::client::{Client, Config, Event, OnLoss};
use rejoin_protocol::record::{ClientStep, Header, ServerStep, Start, Step};
use rejoin_protocol::server::{self, Limits, Server};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    Capabilities, ClientInstance, ClientName, Epoch, Frame, HostId, Item, Link, Seq, SessionId,
    Stream, Timer, VersionRange, frame,
};
use serde::{Serialize, de::DeserializeOwned};

const SESSION: SessionId = SessionId::from_bytes([1; 16]);
const HOST: HostId = HostId { machine: [2; 16], boot: [3; 16] };

fn config() -> Config {
    Config {
        session: SESSION,
        instance: ClientInstance::from_bytes([4; 16]),
        name: ClientName::new("who@where"),
        versions: VersionRange::SUPPORTED,
        spec: Some(every_byte()),
        on_loss: OnLoss::Respawn,
        take_over: false,
        window: 1 << 20,
    }
}

fn server_config() -> server::Config {
    let versions = VersionRange::SUPPORTED;
    server::Config { session: SESSION, host: HOST, versions, capabilities: Capabilities(0) }
}

fn every_byte() -> Bytes {
    (0..=255).collect::<Vec<u8>>().into()
}

#[track_caller]
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert!(!text.contains('\n'), "one line: {text}");
    assert_eq!(&serde_json::from_str::<T>(&text).expect(&text), value);
}

/// Steps a client and a server against each other, and tries every state and step on the way.
#[test]
fn states_events_and_effects_come_back_as_they_were() {
    let (config, server_config) = (config(), server_config());
    let mut client = Client::open(&config);
    let mut server = Server::Absent(server::Past::default());
    let mut step = |event: Event| {
        comes_back(&Start::Client { config: config.clone(), state: client.clone() });
        let effects = client.step(&config, event.clone());
        comes_back::<ClientStep>(&Step { event, effects: effects.clone() });
        effects
    };
    let mut serve = |event: server::Event| {
        let state = server.clone();
        comes_back(&Header::new(Start::Server { config: server_config.clone(), state }));
        let effects = server.step(&server_config, event.clone());
        comes_back::<ServerStep>(&Step { event, effects: effects.clone() });
        effects
    };
    let greeting = frame::Greeting {
        versions: VersionRange::SUPPORTED,
        host: HOST,
        host_name: String::from("höst\n"),
    };
    step(Event::Timer(Timer::Reconnect));
    step(Event::LinkOpened(Link(1)));
    for effect in step(Event::Frame(Link(1), Frame::Greeting(greeting))) {
        if let rejoin_protocol::client::Effect::Send(_, frame) = effect {
            serve(server::Event::Frame(Link(9), frame));
        }
    }
    let limits = Limits { window: 1 << 20, overflow: Overflow::DropOldest };
    let mut sent = serve(server::Event::Started(Epoch::from_bytes([5; 16]), limits));
    sent.extend(serve(server::Event::Output(Stream::Stderr, every_byte())));
    for effect in sent {
        if let server::Effect::Send(_, frame) = effect {
            step(Event::Frame(Link(1), frame));
        }
    }
    for effect in step(Event::Input(Item::Input(every_byte()))) {
        if let rejoin_protocol::client::Effect::Send(_, frame) = effect {
            serve(server::Event::Frame(Link(9), frame));
        }
    }
    step(Event::Taken(Seq(1)));
    step(Event::LinkLost(Link(1)));
    serve(server::Event::LinkLost(Link(9)));
    serve(server::Event::Timer(Timer::Retention));
    serve(server::Event::Ended(0));
    step(Event::Detach);
}

#[test]
fn payloads_are_text_of_one_character_a_byte() {
    let item = Item::Input(Bytes::from_static(b"ls -l\xe9\n"));
    assert_eq!(serde_json::to_string(&item).unwrap(), r#"{"Input":"ls -lé\n"}"#);
}

#[test]
fn a_payload_with_a_character_that_is_no_byte_is_refused() {
    let error = serde_json::from_str::<Item>(r#"{"Input":"€"}"#).unwrap_err();
    assert!(error.to_string().contains("U+00FF"), "{error}");
}
