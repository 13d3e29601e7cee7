//! What is answered where no server lives: every Hello, to everything that can be known.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use rejoin_model_check::ledgers::absent;
use rejoin_model_check::names;
use rejoin_protocol::frame::{From, Hello, Scope, Wish};
use rejoin_protocol::server::{Config, Event, Past, Server};
use rejoin_protocol::{
    AttachNumber, Capabilities, ClientName, Frame, Holder, Incarnation, Link, SpawnError,
    SpawnErrorKind, Tenure, Version, VersionRange,
};

fn config() -> Config {
    Config {
        session: names::SESSION,
        host: names::host(0, 0),
        versions: VersionRange::SUPPORTED,
        capabilities: Capabilities(0),
    }
}

fn pasts() -> Vec<Past> {
    let mut all = vec![Past::default()];
    for used in [None, Some(Incarnation(0)), Some(Incarnation(1)), Some(Incarnation(u64::MAX))] {
        for tenure in [Tenure(0), Tenure(1), Tenure(u64::MAX)] {
            for failed in [None, Some(Incarnation(0)), Some(Incarnation(1))] {
                let error = SpawnError::new(SpawnErrorKind::NotFound, "gone");
                let failed = failed.map(|it| (it, error.clone()));
                all.push(Past { is_known: true, used, tenure, failed, ended: 2 });
            }
        }
    }
    all
}

fn hellos() -> Vec<Hello> {
    let mut wishes = vec![Wish::Claim { expected: None, from: From::Latest }];
    for incarnation in [Incarnation(0), Incarnation(1), Incarnation(2)] {
        for host in [names::host(0, 0), names::host(0, 1), names::host(1, 0)] {
            wishes.push(Wish::Open { incarnation, host, spec: bytes::Bytes::new() });
        }
        for scope in [Scope::Session, Scope::Process] {
            wishes.push(Wish::Close { incarnation, scope });
        }
        let (epoch, next_output) = (names::epoch(0), rejoin_protocol::Seq(3));
        wishes.push(Wish::Resume { incarnation, epoch, next_output });
        for tenure in [Tenure(0), Tenure(1)] {
            let expected = Some(Holder { epoch, incarnation, tenure });
            wishes.push(Wish::Claim { expected, from: From::FirstHeld });
        }
    }
    let mut all = Vec::new();
    for wish in wishes {
        for tenure in [Tenure(0), Tenure(1), Tenure(2)] {
            let hello = Hello {
                version: VersionRange::SUPPORTED.max,
                session: names::SESSION,
                instance: names::instance(0, 0),
                name: ClientName::new("anybody"),
                attach: AttachNumber(5),
                tenure,
                wish: wish.clone(),
            };
            let other = rejoin_protocol::SessionId::from_bytes([1; 16]);
            all.push(Hello { session: other, ..hello.clone() });
            all.push(Hello { version: Version(60), ..hello.clone() });
            all.push(hello);
        }
    }
    all
}

#[test]
fn every_hello_gets_the_true_answer_where_no_server_lives() {
    let config = config();
    for past in pasts() {
        for hello in hellos() {
            let mut machine = Server::Absent(past.clone());
            let event = Event::Frame(Link(3), Frame::Hello(hello.clone()));
            let effects = machine.step(&config, event);
            let held = absent::judge(&config, &past, &hello, &effects);
            assert_eq!(held, Ok(()), "{hello:?} where {past:?} is known: {effects:?}");
        }
    }
}

#[test]
fn other_frames_than_a_hello_start_nothing_where_no_server_lives() {
    use rejoin_protocol::error::Misbehaviour;
    use rejoin_protocol::frame::Bye;
    use rejoin_protocol::server::Effect;
    let link = Link(3);
    let bye = Effect::Send(link, Frame::Bye(Bye::Misbehaved(Misbehaviour::WrongSide)));
    let closed = Effect::Close(link);
    let item = Frame::Item { seq: rejoin_protocol::Seq(0), item: names::input(0, 0, 0) };
    let cases = [
        (item, vec![]),
        (Frame::Bye(Bye::Ending), vec![closed.clone()]),
        (Frame::Ping { token: 1 }, vec![bye.clone(), closed.clone()]),
        (Frame::Detach, vec![bye.clone(), closed.clone()]),
        (Frame::Close, vec![bye, closed]),
    ];
    for past in pasts() {
        for (frame, due) in &cases {
            let mut machine = Server::Absent(past.clone());
            let effects = machine.step(&config(), Event::Frame(link, frame.clone()));
            assert_eq!(effects, *due, "{frame:?}");
            assert_eq!(machine, Server::Absent(past.clone()));
        }
    }
}
