//! What is sent when.

use proptest::prelude::*;
use rejoin_ssh2::testing::ToyScript;
use rejoin_ssh2::{Cipher, Client, Error, Event, HandshakeMode, Kex, Misuse};

use crate::driver::{COMMAND, Pair, config, merged, predicted, predicting, unhurried};

const OUT_OF_TURN: Result<(), Error> = Err(Error::Caller(Misuse::OutOfTurn));

#[test]
fn every_exchange_and_cipher_gets_a_command_started() {
    for kex in Kex::ALL {
        for cipher in Cipher::ALL {
            let script = ToyScript { ciphers: vec![cipher], ..ToyScript::default() };
            let mut pair = Pair::new(predicting(kex, Some(0)), script);
            pair.start();
            assert_eq!(pair.server.command(), Some(COMMAND), "{kex:?} {cipher:?}");
        }
    }
}

#[test]
fn with_a_prediction_all_is_said_in_two_flights() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.feed_server();
    assert_eq!(pair.server.heard(), [20, 30]);
    pair.feed_client().unwrap();
    pair.answer().unwrap();
    pair.feed_server();
    assert_eq!(pair.server.heard(), [20, 30, 21, 5, 50, 90, 98]);
}

#[test]
fn input_that_is_there_in_time_goes_with_the_command_as_far_as_it_may() {
    let HandshakeMode::Predicted { ephemeral, host_key, is_hostbound, channel, .. } = predicted()
    else {
        unreachable!()
    };
    let handshake =
        HandshakeMode::Predicted { ephemeral, host_key, is_hostbound, channel, ahead: 5 };
    let mut pair = Pair::new(handshake, ToyScript::default());
    pair.client.write(b"early, and late").unwrap();
    pair.feed_server();
    assert_eq!(pair.server.heard(), [20, 30], "not before the host is accepted");
    pair.feed_client().unwrap();
    pair.answer().unwrap();
    pair.feed_server();
    assert_eq!(pair.server.heard(), [20, 30, 21, 5, 50, 90, 98, 94]);
    pair.client.finish().unwrap();
    pair.run().unwrap();
    assert_eq!(merged(&pair.events).0, b"early, and late");
}

#[test]
fn without_one_each_step_waits_for_the_one_before() {
    let mut pair = Pair::new(unhurried(), ToyScript::default());
    let steps: [&[u8]; 6] = [&[20], &[30], &[21, 5], &[50], &[90], &[98]];
    let mut expected = Vec::new();
    for step in steps {
        pair.feed_server();
        expected.extend_from_slice(step);
        assert_eq!(pair.server.heard(), expected);
        pair.feed_client().unwrap();
        pair.answer().unwrap();
    }
    assert_eq!(pair.events.last(), Some(&Event::Started));
}

#[test]
fn without_a_channel_number_the_command_waits_for_the_channel() {
    let script = ToyScript { channel: 42, ..ToyScript::default() };
    let mut pair = Pair::new(predicting(Kex::Curve25519, None), script);
    for expected in [&[20, 30][..], &[20, 30, 21, 5, 50], &[20, 30, 21, 5, 50, 90]] {
        pair.feed_server();
        assert_eq!(pair.server.heard(), expected);
        pair.feed_client().unwrap();
        pair.answer().unwrap();
    }
    pair.start();
    assert_eq!(pair.client.learnt().unwrap().channel, Some(42));
}

#[test]
fn what_was_learnt_can_be_read_once_the_user_is_logged_in() {
    let mut pair = Pair::new(unhurried(), ToyScript::default());
    pair.feed_server();
    pair.feed_client().unwrap();
    assert!(pair.client.learnt().is_none());
    pair.start();
    let learnt = pair.client.learnt().unwrap();
    assert_eq!(learnt.ident, rejoin_ssh2::testing::SERVER_IDENT);
    assert_eq!(learnt.predicted_channel(), Some(0));
    assert!(learnt.flight.needed < learnt.flight.whole);
}

#[test]
fn calls_out_of_turn_are_refused_and_change_nothing() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    assert_eq!(pair.client.accept_host(), OUT_OF_TURN);
    assert_eq!(pair.client.signed(b"signature"), OUT_OF_TURN);
    assert_eq!(pair.client.consumed(1), Err(Error::Caller(Misuse::TooMuchConsumed)));
    let count = pair.client.output().len();
    assert_eq!(pair.client.sent(count + 1), OUT_OF_TURN);
    pair.feed_server();
    pair.feed_client().unwrap();
    assert_eq!(pair.client.signed(b"signature"), OUT_OF_TURN);
    pair.client.accept_host().unwrap();
    assert_eq!(pair.client.accept_host(), OUT_OF_TURN);
    let longer = vec![0; 1 << 20];
    assert_eq!(pair.client.signed(&longer), Err(Error::Caller(Misuse::TooLong)));
    assert!(pair.client.output().is_empty());
    pair.client.signed(b"signature").unwrap();
    assert_eq!(pair.client.signed(b"signature"), OUT_OF_TURN);
    while let Some(event) = pair.client.event() {
        pair.events.push(event);
    }
    pair.start();
    assert_eq!(pair.client.consumed(1), Err(Error::Caller(Misuse::TooMuchConsumed)));
    pair.client.finish().unwrap();
    assert_eq!(pair.client.finish(), OUT_OF_TURN);
    assert_eq!(pair.client.write(b"x"), Err(Error::Caller(Misuse::OutOfTurn)));
}

#[test]
fn a_configuration_without_a_choice_or_too_long_is_refused() {
    let mut without = config(predicted());
    without.ciphers.clear();
    assert_eq!(Client::new(without).unwrap_err(), Error::Caller(Misuse::NoMethods));
    let mut long = config(predicted());
    long.command = vec![b'x'; 1 << 20];
    assert_eq!(Client::new(long).unwrap_err(), Error::Caller(Misuse::TooLong));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn reports_the_same_events_for_any_split_of_the_input(
        pieces in proptest::collection::vec(1..400_usize, 1..40),
        is_hurried in any::<bool>(),
    ) {
        let handshake = if is_hurried { predicted() } else { unhurried() };
        let mut pair = Pair::new(handshake, ToyScript::default());
        let input: Vec<u8> = (0..3000_u16).map(|at| at.to_be_bytes()[1]).collect();
        prop_assert_eq!(pair.client.write(&input), Ok(input.len()));
        pair.client.finish().unwrap();
        let mut pieces = pieces.iter().cycle();
        loop {
            pair.feed_server();
            let mut rest = &pair.server.take_output()[..];
            let is_quiet = rest.is_empty();
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
                pair.client.input(piece).unwrap();
                pair.answer().unwrap();
                rest = later;
            }
            if is_quiet && pair.client.output().is_empty() {
                break;
            }
        }
        let (output, others) = merged(&pair.events);
        prop_assert_eq!(output, input);
        let asks = matches!(&others[..2], [Event::HostKey { .. }, Event::Sign(_)]);
        prop_assert!(asks);
        prop_assert_eq!(
            &others[2..],
            [Event::Authenticated, Event::Started, Event::Exit(7), Event::Eof, Event::Closed]
        );
        prop_assert!(pair.client.is_over());
    }
}
