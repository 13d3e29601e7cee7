//! The switched machines: with no mutant selected they are those that ship. With a mutant selected,
//! the transition tables, the stories below and the runs at random read differently than without it,
//! and differently than with any other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

// What the tests of `rejoin-protocol` share, here with the switched machines.
extern crate rejoin_switched as rejoin_protocol;

#[path = "../../../protocol/tests/common/mod.rs"]
mod common;
mod random;
mod stories;
#[path = "../../../protocol/tests/table/mod.rs"]
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use common::drive::{ClientDrive, ServerDrive};
use common::show::{client_effect, effects, server_effect};
use common::{
    ALICE, BOB, EPOCH, HOST, WINDOW, close, exit, greeting, hello, holder, input, item, open,
    refused, resume,
};
use rejoin_edits::{AFTER_SHIPPED, BEFORE_SHIPPED, SWITCH};
use rejoin_protocol::client::{self, OnLoss};
use rejoin_protocol::frame::{From, Refused, Wish};
use rejoin_protocol::mutant::{self, MachineMutant, select};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::server;
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    AttachNumber, ExitStatus, Frame, HostId, Incarnation, Item, Link, Reason, Seq, Stream,
};

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

/// Processes are lost one after the other, until none is started any more.
fn lost_processes() -> String {
    let mut drive = ClientDrive::open(OnLoss::Respawn);
    let mut lost = |_| {
        drive.dial();
        drive.greet();
        drive.welcome();
        drive.cut();
        drive.dial();
        let told = told(&drive.frame(refused(drive.attach_number(), Reason::ProcessGone)));
        drive.cut();
        told
    };
    (0..12).map(&mut lost).collect::<Vec<_>>().join("\n")
}

/// A process is lost, and no incarnation is left for another.
fn the_last_incarnation() -> String {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    drive.cut();
    drive.dial();
    let counters = Counters { used: Some(Incarnation(u64::MAX)), ..Counters::default() };
    let (attach, reason) = (AttachNumber(drive.attach_number()), Reason::ProcessGone);
    told(&drive.frame(Frame::Refused(Refused { attach, reason, counters })))
}

/// The application has taken the exit; the link is cut before the server answers the Close.
fn a_close_after_the_exit() -> String {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    drive.frame(item(0, exit(3)));
    let closing = told(&drive.step(client::Event::Taken(Seq(1))));
    drive.cut();
    drive.dial();
    [closing, told(&drive.greet())].join("\n")
}

/// The Close of a living session names a later incarnation.
fn a_close_from_ahead() -> String {
    let mut drive = ServerDrive::attached();
    let closing = drive.hello(2, 2, close(5));
    let ended = drive.step(server::Event::Ended(0));
    [effects(&closing, server_effect), effects(&ended, server_effect)].join("\n")
}

/// A session whose holder has the last tenure is claimed.
fn a_claim_beyond_the_last_tenure() -> String {
    let mut drive = ServerDrive::absent(server::Past::default());
    drive.frame(1, hello(ALICE, 1, u64::MAX, open(0)));
    drive.start(Overflow::Block);
    let claim = Wish::Claim { expected: Some(holder(u64::MAX)), from: From::FirstHeld };
    effects(&drive.frame(2, hello(BOB, 1, 0, claim)), server_effect)
}

/// A mutant may panic: that is something it does.
fn rendering() -> String {
    let parts: [fn() -> String; 22] = [
        || table::text(&table::client::lines()),
        || table::text(&table::server::lines()),
        a_repeated_open,
        || a_replacement(ClientDrive::open(OnLoss::Respawn)),
        || a_replacement(ClientDrive::claim(BOB, Some(holder(0)), From::FirstHeld)),
        a_claim_of_a_busy_session,
        an_exit_while_detached,
        a_flood,
        lost_processes,
        the_last_incarnation,
        a_close_after_the_exit,
        a_close_from_ahead,
        a_claim_beyond_the_last_tenure,
        stories::full_windows,
        stories::left_input,
        stories::waiting_input,
        stories::closed_before_asking,
        stories::earlier_output,
        stories::held_again,
        stories::takeovers,
        stories::closes_at_the_end,
        || random::digest().to_string(),
    ];
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let parts = parts.map(|part| panic::catch_unwind(part).unwrap_or_else(|_| PANIC.to_owned()));
    panic::set_hook(hook);
    parts.join("\n\n")
}

const PANIC: &str = "it panics";

/// The files of the two machines, which the tables and the stories are about.
fn is_of_the_machines(mutant: &MachineMutant) -> bool {
    let is_here = |file: &&str| {
        file.starts_with("client/")
            || file.starts_with("server/")
            || ["receive.rs", "replay.rs"].contains(file)
    };
    mutant.files.iter().any(is_here)
}

// The selection is the process's: what depends on it stays in one test.
#[test]
fn each_mutant_changes_what_the_machines_do_and_no_two_the_same() {
    select(None);
    let shipped = rendering();
    let snapshot = |machine: &str| {
        let file = format!("../../protocol/tests/snapshots/{machine}.txt");
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
    };
    let tables = [snapshot("client"), snapshot("server")].join("\n\n");
    assert!(!shipped.contains(PANIC), "the machines that ship panic");
    assert!(shipped.starts_with(&tables), "the copy is another machine than the one that ships");
    let mut seen = BTreeMap::from([(shipped, "no mutant")]);
    let mut same_machines = Vec::new();
    for mutant in mutant::ALL.iter().filter(|mutant| is_of_the_machines(mutant)) {
        select(Some(mutant));
        let same = seen.insert(rendering(), mutant.name);
        same_machines.extend(same.map(|other| (mutant.name, other)));
    }
    select(None);
    assert_eq!(same_machines, [], "these are the same machine");
    assert_eq!(seen.get(&rendering()), Some(&"no mutant"), "something is left of a mutant");
}

#[test]
fn every_rule_of_the_machines_has_a_mutant() {
    let of_session = mutant::ALL.iter().filter(|mutant| !mutant.is_of_paths());
    let broken: BTreeSet<_> = of_session.map(|mutant| mutant.rule).collect();
    let missing: Vec<u8> = (1..=18).filter(|rule| !broken.contains(rule)).collect();
    assert_eq!(missing, [0; 0]);
}

/// P8 is judged in days, and P10 is a rule of the client machine.
#[test]
fn every_rule_of_the_path_machine_has_a_mutant() {
    let of_paths = mutant::ALL.iter().filter(|mutant| mutant.is_of_paths());
    let broken: BTreeSet<_> = of_paths.map(|mutant| mutant.rule).collect();
    assert_eq!(broken, BTreeSet::from([1, 2, 3, 4, 5, 6, 7, 9]));
}

/// The copy without what the mutants brought.
fn without_switches(mut copy: &str) -> String {
    let mut shipped = String::new();
    while let Some((before, switched)) = copy.split_once(SWITCH) {
        let (_, body) = switched.split_once(BEFORE_SHIPPED).unwrap();
        let (body, after) = body.split_once(AFTER_SHIPPED).unwrap();
        shipped += &[before, body].concat();
        copy = after;
    }
    shipped + copy
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    entries.flat_map(below).collect()
}

#[test]
fn without_its_switches_the_copy_is_the_source_that_ships() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/src");
    let copies = Path::new(env!("OUT_DIR")).join("machines");
    let mut switched = 0;
    for path in files_below(&source) {
        let copy = fs::read_to_string(copies.join(path.strip_prefix(&source).unwrap())).unwrap();
        let mut shipped = fs::read_to_string(&path).unwrap();
        if path.ends_with("src/lib.rs") {
            // A file that is included has no attributes of its crate.
            shipped = shipped.lines().filter(|line| !line.starts_with("#!")).fold(
                String::new(),
                |text, line| {
                    if line.starts_with("//!") { text } else { text + line + "\n" }
                },
            );
        }
        switched += usize::from(copy != shipped);
        assert_eq!(without_switches(&copy), shipped, "{}", path.display());
    }
    assert!(switched > 5, "only {switched} files have mutants");
}
