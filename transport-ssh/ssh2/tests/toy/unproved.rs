//! What is said to a host that nobody has accepted yet.

use proptest::prelude::*;
use rejoin_ssh2::testing::{SERVER_IDENT, ToyScript, ToyServer};
use rejoin_ssh2::{Client, Error, Event, HandshakeMode, Misuse};

use crate::driver::{COMMAND, config, predicted, unhurried};

const OUT_OF_TURN: Result<(), Error> = Err(Error::Caller(Misuse::OutOfTurn));
/// What the user types, and nobody else says.
const TYPED: &[u8] = b"typed by the user";

/// What happens next: the caller calls, or the server's bytes come.
#[derive(Clone, Debug)]
enum Act {
    /// So much of what is to be written is; the server hears it.
    Sent(usize),
    /// So much comes of what the server says.
    Read(usize),
    /// Of what the server says next, a byte is another one.
    Alter {
        at: prop::sample::Index,
        mask: u8,
    },
    /// Somebody says something in between.
    Insert {
        at: prop::sample::Index,
        noise: Vec<u8>,
    },
    Accept,
    Sign,
    Write,
    Finish,
    Consume,
    TakeEvents,
    Disconnect,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let index = any::<prop::sample::Index>;
    let act = prop_oneof![
        6 => (0..2000_usize).prop_map(Act::Sent),
        8 => (0..2000_usize).prop_map(Act::Read),
        1 => (index(), 1..=255_u8).prop_map(|(at, mask)| Act::Alter { at, mask }),
        1 => (index(), noise()).prop_map(|(at, noise)| Act::Insert { at, noise }),
        3 => Just(Act::Accept),
        3 => Just(Act::Sign),
        3 => Just(Act::Write),
        1 => Just(Act::Finish),
        1 => Just(Act::Consume),
        3 => Just(Act::TakeEvents),
        1 => Just(Act::Disconnect),
    ];
    prop::collection::vec(act, 1..50)
}

/// Bytes, or a packet of any kind that is in order.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..100);
    let packet = (any::<u8>(), bytes()).prop_map(|(kind, rest)| {
        let padding = 4 + (8 - (4 + 1 + 1 + rest.len() + 4) % 8) % 8;
        let length = u32::try_from(1 + 1 + rest.len() + padding).unwrap();
        let start = [&length.to_be_bytes()[..], &[u8::try_from(padding).unwrap(), kind]].concat();
        [start, rest, vec![0; padding]].concat()
    });
    let line = bytes().prop_map(|mut line| {
        line.extend_from_slice(b"\r\n");
        line
    });
    prop_oneof![bytes(), packet, line]
}

/// A client, a server that means well, and what comes between them.
struct Meeting {
    client: Client,
    server: ToyServer,
    /// On its way to the client.
    incoming: Vec<u8>,
    /// What the client has said.
    said: Vec<u8>,
    is_accepted: bool,
    is_left: bool,
}

impl Meeting {
    fn new(handshake: HandshakeMode) -> Self {
        let client = Client::new(config(handshake)).unwrap();
        let mut server = ToyServer::new(ToyScript::default()).unwrap();
        let incoming = server.take_output();
        assert!(incoming.starts_with(SERVER_IDENT.as_bytes()));
        Self { client, server, incoming, said: Vec::new(), is_accepted: false, is_left: false }
    }

    /// Does it. Whether the user has signed, so that everything may be said.
    fn act(&mut self, act: Act) -> Result<bool, TestCaseError> {
        match act {
            Act::Sent(count) => self.send(count),
            Act::Read(count) => {
                let count = count.min(self.incoming.len());
                let rest = self.incoming.split_off(count);
                drop(self.client.input(&std::mem::replace(&mut self.incoming, rest)));
            }
            Act::Alter { at, mask } if !self.incoming.is_empty() => {
                let at = at.index(self.incoming.len());
                self.incoming[at] ^= mask;
            }
            Act::Alter { .. } => {}
            Act::Insert { at, noise } => {
                let at = at.index(self.incoming.len() + 1);
                self.incoming.splice(at..at, noise);
            }
            Act::Accept => self.is_accepted |= self.client.accept_host() != OUT_OF_TURN,
            Act::Sign => {
                let signed = self.client.signed(b"signature");
                if self.is_accepted && signed != OUT_OF_TURN {
                    return Ok(true);
                }
                prop_assert_eq!(signed, OUT_OF_TURN);
            }
            Act::Write => drop(self.client.write(TYPED)),
            Act::Finish => drop(self.client.finish()),
            Act::Consume => drop(self.client.consumed(1)),
            Act::TakeEvents => {
                while let Some(event) = self.client.event() {
                    let is_question = match event {
                        Event::HostKey { .. } => true,
                        Event::Sign(_) => self.is_accepted,
                        _ => false,
                    };
                    prop_assert!(is_question);
                }
            }
            Act::Disconnect => {
                self.is_left |= !self.client.is_over();
                self.client.disconnect().unwrap();
            }
        }
        Ok(false)
    }

    fn send(&mut self, count: usize) {
        let said = self.client.output();
        let said = said[..count.min(said.len())].to_vec();
        self.client.sent(said.len()).unwrap();
        // It may have been told anything.
        drop(self.server.input(&said));
        self.incoming.extend_from_slice(&self.server.take_output());
        self.said.extend_from_slice(&said);
    }

    /// That nothing is said, and is not about to be, but what any host may know: the identification, the
    /// lists, the client's half of the exchange, and that it leaves. One that was accepted is asked as well whether
    /// it takes logins, if nothing is predicted.
    fn check(&self, is_hurried: bool) -> Result<(), TestCaseError> {
        if self.is_accepted && !is_hurried {
            let heard = self.server.heard();
            prop_assert!(
                [20, 30, 21, 5, 1].starts_with(heard) || heard == [20, 30, 21, 1],
                "{heard:?}"
            );
            return Ok(());
        }
        let all = [&self.said, self.client.output()].concat();
        let mut kinds = kinds(&all);
        if self.is_left {
            prop_assert_eq!(kinds.pop(), Some(1));
        }
        prop_assert!(kinds == [20, 30] || !is_hurried && kinds == [20], "{:?}", kinds);
        for secret in [&config(predicted()).key.blob, COMMAND, TYPED, b"somebody"] {
            prop_assert!(!all.windows(secret.len()).any(|window| window == secret));
        }
        Ok(())
    }
}

/// The kinds of the packets behind the identification, none of which is sealed.
fn kinds(stream: &[u8]) -> Vec<u8> {
    let ident = format!("SSH-2.0-rejoin_{}\r\n", env!("CARGO_PKG_VERSION").replace('-', "_"));
    let mut rest = stream.strip_prefix(ident.as_bytes()).unwrap();
    let mut kinds = Vec::new();
    while let Some((length, packet)) = rest.split_first_chunk() {
        kinds.push(packet[1]);
        rest = &packet[u32::from_be_bytes(*length).try_into().unwrap()..];
    }
    kinds
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever the caller does, and whatever comes: the second flight exists once the caller has accepted
    /// the host and handed over the signature, and not sooner.
    #[test]
    fn a_host_that_is_not_accepted_is_told_nothing_but_a_key_exchange(
        acts in acts(),
        is_hurried in any::<bool>(),
    ) {
        let mut meeting = Meeting::new(if is_hurried { predicted() } else { unhurried() });
        for act in acts {
            if meeting.act(act)? {
                return Ok(());
            }
            meeting.check(is_hurried)?;
        }
    }

    /// The same where all is in order, so that the end is reached: there is a second flight.
    #[test]
    fn a_host_that_is_accepted_is_told_everything(
        pieces in prop::collection::vec((0..2000_usize, any::<bool>()), 0..30),
        is_hurried in any::<bool>(),
    ) {
        let mut meeting = Meeting::new(if is_hurried { predicted() } else { unhurried() });
        let mut acts: Vec<Act> = pieces
            .into_iter()
            .map(|(count, is_read)| if is_read { Act::Read(count) } else { Act::Sent(count) })
            .collect();
        let whole = [Act::Sent(usize::MAX), Act::Read(usize::MAX)];
        acts.extend([&whole[..], &whole, &[Act::Write, Act::Accept], &whole].concat());
        for act in acts {
            prop_assert!(!meeting.act(act)?);
            meeting.check(is_hurried)?;
        }
        prop_assert!(meeting.is_accepted && meeting.act(Act::Sign)?);
        meeting.send(usize::MAX);
        prop_assert_eq!(&meeting.server.heard()[..4], [20, 30, 21, 5]);
    }
}
