//! Clients and a server wired together by links that are cut at random, against a history that
//! only the test sees: the rules of delivery, life and attachment hold at every step, and once
//! faults stop, everything is delivered or an ending was told.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod world;

use proptest::prelude::*;
use rejoin_protocol::Timer;
use rejoin_protocol::client::{self, Notice, OnLoss};
use rejoin_protocol::frame::From;
use rejoin_protocol::server;
use rejoin_protocol::spec::Overflow;
use world::World;

/// Something that happens, with a number that picks among the possibilities.
type Action = (u8, u8);

fn act(world: &mut World, (action, pick): Action, faults: u8) {
    let at = usize::from(pick);
    let party = at % world.parties.len();
    let link = world.nth_link(at);
    match action % 32 {
        0..=7 => drop(link.map(|link| world.arrive_at_server(link))),
        8..=14 => drop(link.map(|link| world.arrive_at_client(link))),
        15 => drop(world.reconnect(party)),
        16 => drop(world.connect(party, pick > 40)),
        17 | 18 => world.input(party, at * 2),
        19 => drop(world.take(party)),
        20 => drop(world.consume()),
        21 | 22 => world.produce(at * 3),
        23 => drop(world.report(pick > 20)),
        24 => world.step(party, client::Event::Timer(Timer::Handshake)),
        25 | 26 => world.cut(at),
        27 => world.drop_rest(at / 2, pick % 2 == 0),
        action => rare(world, action, pick, faults),
    }
    world.tidy();
}

fn rare(world: &mut World, action: u8, pick: u8, faults: u8) {
    let party = usize::from(pick) % world.parties.len();
    let from = [From::FirstHeld, From::Latest][usize::from(pick % 2)];
    match (action, pick % 16) {
        (28, 0..=3) if faults > 0 => world.bob(from),
        (28, 4) if faults > 1 => world.kill(),
        (28, 5) if faults > 1 => world.exit(),
        (28, 6) if faults > 1 => world.step(party, client::Event::Close),
        (28, 7) if faults > 1 => world.retention(),
        (29, 0..=7) => world.step(party, client::Event::Timer(Timer::LinkSilent)),
        (29, 8..) => world.serve(server::Event::Timer(Timer::LinkSilent)),
        (30, _) => world.step(party, client::Event::Timer(Timer::Heartbeat)),
        _ => {}
    }
}

/// Everything that can go on does, without faults, until nothing is left to do.
fn settle(world: &mut World) {
    for _ in 0..500 {
        world.tidy();
        let mut goes_on = false;
        let links: Vec<u64> = world.wires.keys().copied().collect();
        for link in links {
            while world.wires.contains_key(&link) && world.arrive_at_server(link) {
                goes_on = true;
            }
            while world.arrive_at_client(link) {
                goes_on = true;
            }
        }
        while world.report(true) || world.consume() {
            goes_on = true;
        }
        for party in 0..world.parties.len() {
            while world.take(party) {
                goes_on = true;
            }
            goes_on |= world.reconnect(party) | world.connect(party, true);
        }
        if !goes_on && !hurry(world) {
            return;
        }
    }
    panic!("it does not settle");
}

/// Only a timer helps a client that waits for an answer on a link that is silent.
fn hurry(world: &mut World) -> bool {
    let waits =
        |party: &world::Party| matches!(party.client.name(), "Greeting" | "Attaching" | "Closing");
    let waiting: Vec<usize> =
        (0..world.parties.len()).filter(|party| waits(&world.parties[*party])).collect();
    for party in &waiting {
        world.step(*party, client::Event::Timer(Timer::Handshake));
        world.step(*party, client::Event::Timer(Timer::LinkSilent));
    }
    !waiting.is_empty()
}

/// Rule 15: everything is delivered and acknowledged, or an ending was told.
fn check_settled(world: &World) {
    for party in &world.parties {
        let client = &party.client;
        if client.is_ended() {
            assert!(was_told(&party.notices), "ended without a word: {:?}", party.notices);
            continue;
        }
        assert!(client.is_attached(), "{} for ever: {:?}", client.name(), party.notices);
        let outputs = &world.history[&party.epoch.unwrap()].outputs;
        assert_eq!(party.expected.0, outputs.len() as u64, "output is not delivered");
        assert_eq!(client.next_output(), party.expected, "output is not taken");
        assert_eq!(client.unacknowledged_input(), 0, "input is not acknowledged");
    }
    let attached = world.parties.iter().filter(|party| party.client.is_attached()).count();
    assert!(attached <= 1, "two clients are attached");
    if let Some(living) = &world.host.server {
        assert!(
            living.machine.output_room() > 0 || world.has_exited(),
            "the process waits for ever"
        );
    }
}

fn was_told(notices: &[Notice]) -> bool {
    notices.iter().any(|notice| {
        matches!(
            notice,
            Notice::Lost { .. }
                | Notice::Refused(_)
                | Notice::Superseded { .. }
                | Notice::Exited { .. }
                | Notice::Closed { .. }
                | Notice::GaveUp(_)
        )
    })
}

fn run(overflow: Overflow, on_loss: OnLoss, actions: &[Action], faults: u8) -> World {
    let mut world = World::new(overflow, on_loss);
    for action in actions {
        act(&mut world, *action, faults);
    }
    settle(&mut world);
    check_settled(&world);
    world
}

/// The process writes, reads and ends: whoever is attached gets all of it.
fn check_end(mut world: World) {
    let Some(party) = world.parties.iter().position(|party| party.client.is_attached()) else {
        return;
    };
    for _ in 0..20 {
        world.produce(300);
        world.input(party, 100);
        settle(&mut world);
        check_settled(&world);
    }
    world.exit();
    settle(&mut world);
    let notices = &world.parties[party].notices;
    assert!(notices.iter().any(|notice| matches!(notice, Notice::Exited { .. })), "{notices:?}");
    assert_eq!(notices.last(), Some(&Notice::Closed { ended: 0 }));
    assert!(world.host.server.is_none(), "something is left behind");
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(any::<Action>(), 0..400)
}

fn overflow() -> impl Strategy<Value = Overflow> {
    prop_oneof![Just(Overflow::Block), Just(Overflow::DropOldest)]
}

fn on_loss() -> impl Strategy<Value = OnLoss> {
    prop_oneof![Just(OnLoss::Respawn), Just(OnLoss::Fail)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn cuts_lose_and_repeat_nothing(overflow in overflow(), actions in actions()) {
        check_end(run(overflow, OnLoss::Fail, &actions, 0));
    }

    #[test]
    fn a_takeover_moves_the_session_whole(overflow in overflow(), actions in actions()) {
        check_end(run(overflow, OnLoss::Respawn, &actions, 1));
    }

    #[test]
    fn dying_servers_ends_and_closes_are_told(
        overflow in overflow(),
        on_loss in on_loss(),
        actions in actions(),
    ) {
        check_end(run(overflow, on_loss, &actions, 2));
    }
}
