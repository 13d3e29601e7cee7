//! Data in both directions, and its bounds.

use rejoin_ssh2::testing::ToyScript;
use rejoin_ssh2::wire::Writer;
use rejoin_ssh2::{Error, Event, MAX_OUTPUT, Violation, WINDOW};

use crate::driver::{Pair, predicted};

const TOO_MUCH: Result<(), Error> = Err(Error::Peer(Violation::TooMuch));

fn data(bytes: &[u8]) -> Vec<u8> {
    Writer::message(94).uint32(0).string(bytes).finish()
}

/// Has the server say this, and the client hear it.
fn hear(pair: &mut Pair, message: &[u8]) -> Result<(), Error> {
    pair.server.say(message).unwrap();
    pair.feed_client().map(drop)
}

#[test]
fn input_waits_until_the_server_takes_it() {
    for (window, expected) in [(0, &[20, 30][..]), (1000, &[20, 30])] {
        let mut pair = Pair::new(predicted(), ToyScript { window, ..ToyScript::default() });
        pair.client.write(b"early").unwrap();
        pair.feed_server();
        assert_eq!(pair.server.heard(), expected);
        pair.run().unwrap();
        // Dropbear's window is there with the channel, and nothing follows; OpenSSH's comes later.
        assert!(pair.events.contains(&Event::Data(b"early"[..].into())), "{:?}", pair.events);
    }
}

#[test]
fn no_more_input_is_taken_than_may_wait_and_none_is_lost() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    let input: Vec<u8> =
        (0..3 * MAX_OUTPUT).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
    let mut taken = pair.client.write(&input).unwrap();
    assert_eq!((taken, pair.client.writable()), (MAX_OUTPUT, 0));
    assert_eq!(pair.client.write(&input[taken..]), Ok(0));
    let mut output = Vec::new();
    while output.len() < input.len() {
        pair.run().unwrap();
        taken += pair.client.write(&input[taken..]).unwrap();
        for event in pair.events.drain(..) {
            if let Event::Data(data) = event {
                output.extend_from_slice(&data);
            }
        }
    }
    assert!(output == input);
}

#[test]
fn a_server_may_fill_the_window_and_not_a_byte_more() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.start();
    let piece = vec![1; 32 * 1024];
    for _ in 0..WINDOW / piece.len() {
        hear(&mut pair, &data(&piece)).unwrap();
    }
    assert!(pair.client.output().is_empty());
    assert_eq!(hear(&mut pair, &data(b"x")), TOO_MUCH);
    assert!(pair.client.is_over());
}

#[test]
fn what_was_consumed_may_come_again() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.start();
    let piece = vec![1; 32 * 1024];
    for _ in 0..4 * WINDOW / piece.len() {
        hear(&mut pair, &data(&piece)).unwrap();
        pair.answer().unwrap();
        pair.feed_server();
    }
    // Half a window at a time.
    let grants: Vec<&u8> = pair.server.heard().iter().filter(|kind| **kind == 93).collect();
    assert_eq!(grants.len(), 8);
}

#[test]
fn bounds_input_while_a_decision_is_pending() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.feed_server();
    pair.feed_client().unwrap();
    let noise = vec![0; 100 * 1024];
    let failed = (0..10).find_map(|_| pair.client.input(&noise).err());
    assert_eq!(failed, TOO_MUCH.err());
    assert!(pair.client.output().is_empty());
}

#[test]
fn a_server_that_asks_and_does_not_read_is_left() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.start();
    let request = Writer::message(80).string("keepalive@openssh.com").boolean(true).finish();
    let failed = (0..100_000).find_map(|_| hear(&mut pair, &request).err());
    assert_eq!(failed, TOO_MUCH.err());
    assert!(pair.client.output().len() < 2 * MAX_OUTPUT);
}

#[test]
fn a_window_beyond_what_its_number_holds_is_refused() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.start();
    let grant = Writer::message(93).uint32(0).uint32(u32::MAX).finish();
    assert_eq!(hear(&mut pair, &grant), TOO_MUCH);
}

#[test]
fn reports_no_empty_data_and_nothing_after_the_end() {
    let mut pair = Pair::new(predicted(), ToyScript::default());
    pair.start();
    pair.events.clear();
    hear(&mut pair, &data(b"")).unwrap();
    hear(&mut pair, &Writer::message(96).uint32(0).finish()).unwrap();
    pair.answer().unwrap();
    assert_eq!(pair.events, [Event::Eof]);
    assert_eq!(hear(&mut pair, &data(b"x")), TOO_MUCH);
}
