//! Servers that are wrong, and what is said of them.

use rejoin_ssh2::testing::{AuthReply, ToyScript};
use rejoin_ssh2::wire::Writer;
use rejoin_ssh2::{Error, Event, Kex, Method, Misprediction, Refusal, Unsuitable, Violation};

use crate::driver::{Pair, predicted, predicting, unhurried};

/// The messages of a server up to a command that is started, with what follows unasked.
const MESSAGES: usize = 9;

/// Characters that steer a terminal, reorder text, or hide in it.
const EVIL: &str = "\u{1b}\u{9b}\u{61c}\u{200b}\u{2066}\u{ad}\u{180e}\u{e0041}\u{fff9}";

fn disconnect() -> Vec<u8> {
    let message = format!("go {EVIL}[2Jaway\r\n");
    Writer::message(1).uint32(2).string(message).string("").finish()
}

/// A script in which the message of this number is not what it would be.
fn tampered(number: usize, change: impl Fn(Vec<u8>) -> Vec<Vec<u8>> + 'static) -> ToyScript {
    let mut count = 0;
    let tamper = move |message: Vec<u8>| {
        count += 1;
        if count == number + 1 { change(message) } else { vec![message] }
    };
    ToyScript { tamper: Box::new(tamper), ..ToyScript::default() }
}

fn is_told_the_host(pair: &Pair) -> bool {
    pair.events.iter().any(|event| matches!(event, Event::HostKey { .. }))
}

#[test]
fn no_byte_of_the_key_exchange_can_be_changed() {
    for number in 0..2 {
        // Until there are no more bytes to change.
        for at in 0.. {
            let was_there = std::rc::Rc::new(std::cell::Cell::new(false));
            let is_there = was_there.clone();
            let script = tampered(number, move |mut message| {
                is_there.set(at < message.len());
                if let Some(byte) = message.get_mut(at) {
                    *byte ^= 1;
                }
                vec![message]
            });
            let mut pair = Pair::new(predicted(), script);
            pair.feed_server();
            let first = pair.sent;
            let outcome = pair.run();
            if !was_there.get() {
                assert!(at > 100 && outcome.is_ok(), "{number} {at}");
                break;
            }
            assert!(outcome.is_err(), "byte {at} of message {number}");
            assert!(!is_told_the_host(&pair));
            assert_eq!(pair.sent + pair.client.output().len(), first);
        }
    }
}

#[test]
fn an_identification_that_was_changed_is_found_out() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.feed_server();
    let mut stream = pair.server.take_output();
    stream[12] ^= 1;
    assert_eq!(pair.client.input(&stream), Err(Error::Peer(Violation::HostSignature)));
    assert!(pair.client.output().is_empty() && pair.client.event().is_none());
}

#[test]
fn in_the_key_exchange_nothing_else_is_suffered() {
    let messages = [
        (2, Writer::message(2).string("ignore").finish()),
        (4, Writer::message(4).boolean(false).string("debug").string("").finish()),
        (3, Writer::message(3).uint32(0).finish()),
        (7, Writer::message(7).uint32(0).finish()),
        (53, Writer::message(53).string("banner").string("").finish()),
    ];
    for number in 0..3 {
        for (kind, inserted) in messages.clone() {
            let script = tampered(number, move |message| vec![inserted.clone(), message]);
            let mut pair = Pair::new(predicted(), script);
            assert_eq!(pair.run(), Err(Error::Peer(Violation::Unexpected(kind))), "{number}");
        }
    }
}

#[test]
fn a_message_that_was_taken_out_is_missed() {
    // The server's first sealed one: with it gone, and the numbers gone on, the next cannot be opened.
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.feed_server();
    let mut stream = pair.server.take_output();
    stream.truncate(stream.len() - 24);
    pair.client.input(&stream).unwrap();
    pair.answer().unwrap();
    pair.feed_server();
    let failed = pair.feed_client();
    assert!(matches!(failed, Err(Error::Peer(_))), "{failed:?}");
}

#[test]
fn a_server_without_strict_key_exchange_is_not_for_us() {
    for handshake in [predicted(), unhurried()] {
        let mut pair = Pair::new(handshake, ToyScript { is_strict: false, ..ToyScript::default() });
        assert_eq!(pair.run(), Err(Error::Unsuitable(Unsuitable::NotStrict)));
        assert!(pair.events.is_empty());
    }
}

#[test]
fn methods_that_are_missing_are_mispredicted_or_not_in_common() {
    let script = || ToyScript { kex: vec![Kex::NistP256], ..ToyScript::default() };
    let missing = Error::Mispredicted(Misprediction::Missing(Method::Kex));
    assert_eq!(Pair::new(predicted(), script()).run(), Err(missing));
    let none = Error::Unsuitable(Unsuitable::NoCommon(Method::Kex));
    assert_eq!(Pair::new(unhurried(), script()).run(), Err(none));
    let script = ToyScript { ciphers: vec![], ..ToyScript::default() };
    let none = Error::Unsuitable(Unsuitable::NoCommon(Method::Cipher));
    assert_eq!(Pair::new(predicted(), script).run(), Err(none));
}

#[test]
fn reports_a_mispredicted_channel_number() {
    let mut pair = Pair::new(predicted(), ToyScript { channel: 3, ..ToyScript::default() });
    let channel = Misprediction::Channel { predicted: 0, found: 3 };
    pair.client.write(b"for the command").unwrap();
    assert_eq!(pair.run(), Err(Error::Mispredicted(channel)));
    assert!(!pair.events.contains(&Event::Started) && pair.client.is_over());
    // Nothing was said to that channel but what went with the login.
    assert_eq!(pair.server.heard(), [20, 30, 21, 5, 50, 90, 98]);
    assert!(pair.client.output().is_empty());
}

#[test]
fn reports_a_wrong_or_insufficient_key() {
    for (auth_reply, is_partial) in [(AuthReply::Refused, false), (AuthReply::Partial, true)] {
        for handshake in [predicted(), unhurried()] {
            let mut pair = Pair::new(handshake, ToyScript { auth_reply, ..ToyScript::default() });
            pair.run().unwrap();
            let methods = vec!["publickey".to_owned(), "keyboard-interactive".to_owned()];
            let told = Event::AuthFailed { methods, partial: is_partial };
            assert_eq!(pair.events.last(), Some(&told));
            assert!(pair.client.is_over() && pair.client.learnt().is_none());
        }
    }
}

#[test]
fn reports_a_disconnect_in_every_state() {
    for number in 0..MESSAGES {
        let script = tampered(number, |_| vec![disconnect()]);
        let mut pair = Pair::new(predicted(), script);
        let message = "go [2Jaway".to_owned();
        assert_eq!(pair.run(), Err(Error::Disconnected { reason: 2, message }), "{number}");
        assert!(pair.client.is_over());
    }
}

#[test]
fn new_keys_end_it_at_any_time_after_the_first_ones() {
    for number in 3..MESSAGES {
        let script =
            tampered(number, |message| vec![Writer::message(20).bytes(&[0; 16]).finish(), message]);
        let mut pair = Pair::new(predicted(), script);
        pair.run().unwrap();
        assert_eq!(pair.events.last(), Some(&Event::Rekey), "{number}");
        assert!(pair.client.is_over());
    }
}

#[test]
fn a_login_that_was_not_asked_for_is_not_believed() {
    let script = tampered(3, |message| vec![message, vec![52]]);
    let mut pair = Pair::new(unhurried(), script);
    assert_eq!(pair.run(), Err(Error::Peer(Violation::Unexpected(52))));
    assert!(pair.client.learnt().is_none());
}

#[test]
fn a_message_that_the_server_does_not_know_is_the_end() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.start();
    pair.server.say(&Writer::message(3).uint32(4).finish()).unwrap();
    assert_eq!(pair.run(), Err(Error::Unsuitable(Unsuitable::Unimplemented)));
}

#[test]
fn answers_unknown_messages_with_unimplemented() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.start();
    pair.server.say(&[192, 1, 2, 3]).unwrap();
    pair.run().unwrap();
    assert_eq!(pair.server.heard().last(), Some(&3));
}

#[test]
fn a_channel_that_the_server_opens_is_refused() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.start();
    let open = Writer::message(90).string("x11").uint32(1).uint32(9).uint32(9).finish();
    pair.server.say(&open).unwrap();
    pair.run().unwrap();
    assert_eq!(pair.server.heard().last(), Some(&92));
    assert!(!pair.client.is_over());
}

#[test]
fn reports_a_refused_command_or_channel() {
    let failure = Writer::message(92).uint32(0).uint32(2).string(format!("no{EVIL} more"));
    let failure = failure.string("").finish();
    let mut pair = Pair::new(predicted(), tampered(6, move |_| vec![failure.clone()]));
    pair.run().unwrap();
    let refusal = Refusal::Channel { reason: 2, message: "no more".to_owned() };
    assert_eq!(pair.events.last(), Some(&Event::Refused(refusal)));

    let failure = Writer::message(100).uint32(0).finish();
    let mut pair = Pair::new(predicted(), tampered(8, move |_| vec![failure.clone()]));
    pair.run().unwrap();
    assert_eq!(pair.events.last(), Some(&Event::Refused(Refusal::Command)));
    assert!(pair.client.is_over());
}

#[test]
fn reports_a_bounded_number_of_printable_banners() {
    let script = tampered(4, |message| {
        let banner = format!("wel{EVIL}come\nall");
        let banner = Writer::message(53).string(banner).string("").finish();
        let mut messages = vec![banner; 1000];
        messages.push(message);
        messages
    });
    let mut pair = Pair::new(predicted(), script);
    pair.start();
    let is_banner = |event: &&Event| **event == Event::Banner("welcome all".to_owned());
    assert_eq!(pair.events.iter().filter(is_banner).count(), 16);
}

#[test]
fn rejects_servers_without_ssh_2() {
    let mut pair = Pair::new(predicting(Kex::Curve25519, None), ToyScript::default());
    let failed = pair.client.input(b"Welcome!\r\nSSH-1.5-old\r\n");
    assert_eq!(failed, Err(Error::Unsuitable(Unsuitable::Version)));
    let mut pair = Pair::new(unhurried(), ToyScript::default());
    let endless = vec![b'x'; 64 * 1024];
    assert_eq!(pair.client.input(&endless), Err(Error::Peer(Violation::TooMuch)));
}

#[test]
fn lines_before_the_identification_are_bounded_in_number() {
    let lines = |count: usize| {
        let mut pair = Pair::new(predicted(), ToyScript::default());
        let all = "not yet\r\n".repeat(count);
        pair.feed_server();
        pair.client.input(all.as_bytes()).and_then(|()| pair.run()).map(|()| pair.events.len())
    };
    // As many as OpenSSH's client takes.
    assert!(lines(1024).is_ok_and(|events| events > 0));
    assert_eq!(lines(1025), Err(Error::Peer(Violation::TooMuch)));
}
