//! Each wrong machine is wrong: with it selected, the transition tables and the stories below read
//! differently than without it, and differently than with any other.
#![cfg(rejoin_mutants)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use common::drive::{ClientDrive, ServerDrive};
use common::show::{client_effect, effects, server_effect};
use common::{BOB, EPOCH, HOST, WINDOW, greeting, holder, input, refused, resume};
use rejoin_protocol::client::{self, OnLoss};
use rejoin_protocol::frame::From;
use rejoin_protocol::mutant::{Mutant, select};
use rejoin_protocol::server;
use rejoin_protocol::{ExitStatus, Frame, HostId, Item, Link, Reason, Seq, Stream};

fn told(effects_of: &[client::Effect]) -> String {
    effects(effects_of, client_effect)
}

/// An Open is cut off, and repeated to the next boot of its host.
fn a_repeated_open() -> String {
    let mut drive = ClientDrive::open(OnLoss::Respawn);
    drive.dial();
    drive.greet();
    drive.cut();
    let rebooted = HostId { boot: [9; 16], ..HOST };
    [told(&drive.dial()), told(&drive.frame(greeting(rebooted)))].join("\n")
}

fn a_replacement(drive: ClientDrive) -> String {
    let mut drive = drive.attached();
    drive.input(input("rm"));
    drive.cut();
    drive.dial();
    drive.greet();
    let gone = refused(drive.attach_number(), Reason::ProcessGone);
    [told(&drive.frame(gone)), told(&drive.welcome())].join("\n")
}

/// A claimant whose predecessor left half of the window unacknowledged.
fn a_claim_of_a_busy_session() -> String {
    let mut drive = ClientDrive::claim(BOB, Some(holder(0)), From::FirstHeld);
    drive.dial();
    drive.greet();
    let mut welcome = drive.matching();
    (welcome.handed_over, welcome.accepted, welcome.buffered) = (Seq(1), Seq(3), WINDOW / 2);
    drive.frame(Frame::Welcome(welcome));
    drive.input(Item::Input(vec![0; 40_000].into()));
    drive.client.input_room().to_string()
}

fn an_exit_while_detached() -> String {
    let mut drive = ServerDrive::attached();
    drive.step(server::Event::LinkLost(Link(1)));
    drive.step(server::Event::Exited(ExitStatus::Code(3)));
    effects(&drive.hello(2, 2, resume(EPOCH, 0)), server_effect)
}

/// A process that writes for as long as it is not made to wait, and a bit more.
fn a_flood() -> String {
    let mut drive = ServerDrive::attached();
    let lines = (0..4).map(|_| {
        let room = drive.server.output_room();
        let data = vec![0; 60_000].into();
        let sent = drive.step(server::Event::Output(Stream::Stdout, data));
        format!("room {room}: {}", effects(&sent, server_effect))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn rendering() -> String {
    [
        table::text(&table::client::lines()),
        table::text(&table::server::lines()),
        a_repeated_open(),
        a_replacement(ClientDrive::open(OnLoss::Respawn)),
        a_replacement(ClientDrive::claim(BOB, Some(holder(0)), From::FirstHeld)),
        a_claim_of_a_busy_session(),
        an_exit_while_detached(),
        a_flood(),
    ]
    .join("\n\n")
}

// The selection is the process's: what depends on it stays in one test.
#[test]
fn each_mutant_changes_what_the_machines_do_and_no_two_the_same() {
    select(None);
    let mut seen = BTreeMap::from([(rendering(), "no mutant")]);
    for mutant in Mutant::ALL {
        select(Some(mutant));
        let same = seen.insert(rendering(), mutant.name());
        assert_eq!(same, None, "{} is the same machine", mutant.name());
    }
    select(None);
    assert_eq!(seen.get(&rendering()), Some(&"no mutant"), "something is left of a mutant");
}

#[test]
fn each_mutant_has_a_name_of_its_own_and_breaks_a_rule() {
    let names: BTreeSet<_> = Mutant::ALL.map(Mutant::name).into();
    assert_eq!(names.len(), Mutant::ALL.len());
    for mutant in Mutant::ALL {
        let variant = format!("{mutant:?}").to_lowercase();
        assert_eq!(mutant.name().replace('-', ""), variant);
        assert!((1..=16).contains(&mutant.rule()), "{variant}");
        assert!(mutant.fault().ends_with('.'), "{variant}");
    }
}

#[test]
fn every_rule_of_the_machines_has_a_mutant() {
    let broken: BTreeSet<_> = Mutant::ALL.map(Mutant::rule).into();
    assert_eq!(broken, (1..=16).collect());
}
