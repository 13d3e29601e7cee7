//! Anything at all, in every state: no panic, and nothing said that should not be.

use proptest::prelude::*;
use rejoin_ssh2::Event;
use rejoin_ssh2::testing::ToyScript;

use crate::driver::{Pair, predicted, unhurried};

/// What is done to one message.
#[derive(Clone, Debug)]
enum Change {
    Flip { at: prop::sample::Index, mask: u8 },
    Cut { at: prop::sample::Index },
    Extend(Vec<u8>),
    Number { at: prop::sample::Index, number: u32 },
    Twice,
    Instead { kind: u8, rest: Vec<u8> },
}

fn changes() -> impl Strategy<Value = Change> {
    let kind = prop_oneof![
        prop::sample::select(&[1_u8, 2, 3, 4, 5, 6, 7, 20, 21, 30, 31, 51, 52, 53, 60, 80, 81][..]),
        90..=100_u8,
        any::<u8>(),
    ];
    let bytes = || prop::collection::vec(any::<u8>(), 0..64);
    prop_oneof![
        (any::<prop::sample::Index>(), 1..=255_u8).prop_map(|(at, mask)| Change::Flip { at, mask }),
        any::<prop::sample::Index>().prop_map(|at| Change::Cut { at }),
        bytes().prop_map(Change::Extend),
        (
            any::<prop::sample::Index>(),
            prop_oneof![Just(0), Just(u32::MAX), 0..300_u32, any::<u32>()]
        )
            .prop_map(|(at, number)| Change::Number { at, number }),
        Just(Change::Twice),
        (kind, bytes()).prop_map(|(kind, rest)| Change::Instead { kind, rest }),
    ]
}

fn apply(change: &Change, mut message: Vec<u8>) -> Vec<Vec<u8>> {
    match change {
        Change::Flip { at, mask } => {
            let at = at.index(message.len());
            message[at] ^= mask;
        }
        // A payload is never empty.
        Change::Cut { at } => message.truncate(1.max(at.index(message.len()))),
        Change::Extend(bytes) => message.extend_from_slice(bytes),
        Change::Number { at, number } => {
            let at = at.index(message.len());
            for (place, byte) in message[at..].iter_mut().zip(number.to_be_bytes()) {
                *place = byte;
            }
        }
        Change::Twice => return vec![message.clone(), message],
        Change::Instead { kind, rest } => {
            message = vec![*kind];
            message.extend_from_slice(rest);
        }
    }
    vec![message]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// The server means every word that it says: each is sealed as it should be.
    #[test]
    fn sealed_messages_that_make_no_sense(
        number in 0..14_usize,
        change in changes(),
        is_hurried in any::<bool>(),
    ) {
        let mut count = 0;
        let tamper = move |message: Vec<u8>| {
            count += 1;
            if count == number + 1 { apply(&change, message) } else { vec![message] }
        };
        let script = ToyScript { tamper: Box::new(tamper), ..ToyScript::default() };
        let mut pair = Pair::new(if is_hurried { predicted() } else { unhurried() }, script);
        pair.client.write(b"some input").unwrap();
        pair.client.finish().unwrap();
        let outcome = pair.run();
        let is_told = pair.events.iter().any(|event| matches!(event, Event::HostKey { .. }));
        prop_assert!(is_told || pair.server.heard().iter().all(|kind| [20, 30].contains(kind)));
        prop_assert!(outcome.is_ok() || pair.client.is_over());
        prop_assert!(pair.client.is_over() || outcome.is_ok());
    }

    #[test]
    fn bytes_that_make_no_sense(
        rounds in 0..5_usize,
        noise in prop::collection::vec(any::<u8>(), 1..600),
        at in any::<prop::sample::Index>(),
        is_hurried in any::<bool>(),
    ) {
        let mut pair = Pair::new(if is_hurried { predicted() } else { unhurried() }, ToyScript::default());
        for _ in 0..rounds {
            pair.feed_server();
            pair.feed_client().unwrap();
            pair.answer().unwrap();
        }
        pair.feed_server();
        let mut stream = pair.server.take_output();
        let at = at.index(stream.len() + 1);
        stream.splice(at..at, noise);
        for piece in stream.chunks(97) {
            if pair.client.input(piece).is_err() {
                prop_assert!(pair.client.is_over());
                break;
            }
            if pair.answer().is_err() {
                break;
            }
        }
    }
}
