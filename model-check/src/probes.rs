//! Probes: events that no honest peer and no driver sends, on a copy of every state that the search
//! reaches.
//!
//! A world sends a machine the events that can happen in it. A machine must withstand many others:
//! frames that break a rule, unrequested answers, false reports, impossible numbers. A copy of
//! every machine in a world gets each of these once, and its ledger judges the effects, in some
//! cases after further steps. A machine's state is the same in thousands of worlds, and is probed
//! once.

mod of_client;
mod of_server;

use std::cell::RefCell;

use rejoin_protocol::frame::{Bye, Greeting, Refused};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::{
    AttachNumber, ClientName, Frame, HostId, Item, Link, Reason, Seq, Signal, Stream, Tenure,
    Timer, VersionRange,
};

use crate::names;
use crate::rules::Violation;
use crate::shared::digest;
use crate::world::{Cx, World};

/// A link that no machine has seen.
const UNKNOWN: Link = Link(90);

/// Another one.
const SECOND: Link = Link(91);

/// How many states each thread remembers to have probed.
const REMEMBERED: usize = 1 << 18;

thread_local! {
    static PROBED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Probes every machine of a world.
///
/// # Errors
/// The rule that a machine breaks.
pub fn probe(cx: &Cx, world: &World) -> Result<(), Violation> {
    for (p, party) in (0u8..).zip(&world.parties) {
        let Some(party) = party.as_ref().filter(|party| party.is_alive) else { continue };
        // The whole of a party has its digest already.
        once(digest(&(p, party)).get(), || {
            let config = cx.config(p, party.generation);
            once(digest(&(p, party.generation, &party.machine, &party.ledger)).get(), || {
                of_client::probe(config, &party.machine, &party.ledger)
            })
        })?;
    }
    for server in world.servers.iter().flatten() {
        let config = cx.server_config(world, server.host);
        once(digest(&(config.host, server)).get(), || {
            once(digest(&(config.host, &server.machine, &server.ledger)).get(), || {
                of_server::probe(&config, &server.machine, &server.ledger)
            })
        })?;
    }
    Ok(())
}

/// Does what has to be done once for each digest.
fn once(digest: u64, probe: impl FnOnce() -> Result<(), Violation>) -> Result<(), Violation> {
    if !is_known(digest) {
        probe()?;
        remember(digest);
    }
    Ok(())
}

fn slot(digest: u64) -> usize {
    usize::try_from(digest % REMEMBERED as u64).unwrap_or_default()
}

fn is_known(digest: u64) -> bool {
    PROBED.with_borrow(|probed| probed.get(slot(digest)) == Some(&digest))
}

fn remember(digest: u64) {
    PROBED.with_borrow_mut(|probed| {
        probed.resize(REMEMBERED, 0);
        probed[slot(digest)] = digest;
    });
}

/// Forgets what was probed: another search begins, perhaps of wrong machines.
pub fn forget() {
    PROBED.with_borrow_mut(Vec::clear);
}

/// Whether a machine says as much room as there is.
fn has_room(said: usize, is: usize) -> Result<(), Violation> {
    let what = "a machine says another room than there is";
    if said == is { Ok(()) } else { Err(Violation { rule: 3, what }) }
}

/// Every timer there is.
const TIMERS: [Timer; 7] = [
    Timer::Handshake,
    Timer::Heartbeat,
    Timer::LinkSilent,
    Timer::Reconnect,
    Timer::GiveUp,
    Timer::Stable,
    Timer::Retention,
];

/// Items of both directions, with this number.
fn items(seq: Seq) -> Vec<Frame> {
    [
        names::input(3, 3, 15),
        Item::InputEnd,
        Item::Signal(Signal(15)),
        Item::Output { stream: Stream::Stderr, data: bytes::Bytes::from_static(b"!") },
        Item::Exit(rejoin_protocol::ExitStatus::Code(77)),
        Item::Gap { next: Seq(seq.0.saturating_add(3)) },
    ]
    .map(|item| Frame::Item { seq, item })
    .to_vec()
}

/// Frames that mean the same in every state, of both sides.
fn plain(attach: AttachNumber) -> Vec<Frame> {
    let refused =
        |attach, reason| Frame::Refused(Refused { attach, reason, counters: Counters::default() });
    let other = AttachNumber(attach.0.saturating_add(1));
    let message = String::new();
    vec![
        Frame::Ping { token: 7 },
        Frame::Pong { token: 7 },
        Frame::Detach,
        Frame::Close,
        Frame::Bye(Bye::Replaced),
        Frame::Bye(Bye::Ending),
        Frame::Superseded { by: Tenure(9), name: ClientName::new("other") },
        Frame::Closed { attach, ended: 3 },
        Frame::Closed { attach: other, ended: 3 },
        refused(attach, Reason::Forbidden { message }),
        refused(other, Reason::ProcessGone),
        Frame::Greeting(greeting(names::host(0, 0), VersionRange::SUPPORTED)),
    ]
}

fn greeting(host: HostId, versions: VersionRange) -> Greeting {
    Greeting { versions, host, host_name: String::new() }
}
