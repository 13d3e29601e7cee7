//! The profiles that CI searches to their ends.

use super::parts::{AHEAD, ATTACHED, CLAIMANTS, CLOSED, NEARLY_ALL, RIVALS, THREE, base};
use crate::budget::{Budget, Chance as C};
use crate::names::InputKind;
use crate::profile::{ONE_ITEM, Profile, Role, TWO_ITEMS};
use rejoin_protocol::Seq;
use rejoin_protocol::client::OnLoss;
use rejoin_protocol::frame::From;
use rejoin_protocol::spec::Overflow;

/// What CI searches.
pub const CI: &[Profile] = &[
    Profile {
        budget: Budget::of(&[(C::Input, 2), (C::Output, 2), (C::Exit, 1), (C::Cut, 2)]),
        ..base("cuts", "a process that reads, writes and ends, over links that are cut")
    },
    Profile {
        window: ONE_ITEM,
        has_slow_application: true,
        has_slow_process: true,
        budget: Budget::of(&[(C::Input, 2), (C::Output, 3), (C::Exit, 1), (C::Cut, 2)]),
        ..base("windows", "windows of one item, a slow application and a slow process")
    },
    Profile {
        window: TWO_ITEMS,
        overflow: Overflow::DropOldest,
        has_slow_application: true,
        budget: Budget::of(&[(C::Input, 1), (C::Output, 4), (C::Exit, 1), (C::Cut, 2)]),
        ..base("gaps", "a log that drops the oldest output")
    },
    Profile {
        has_late_reports: true,
        budget: Budget::of(&[
            (C::Input, 1),
            (C::Output, 1),
            (C::Cut, 1),
            (C::Silence, 1),
            (C::Timeout, 1),
        ]),
        ..base("silence", "links that fall silent, timers that fire, frames that come late")
    },
    Profile {
        budget: Budget::of(&[
            (C::Input, 2),
            (C::Output, 1),
            (C::Cut, 2),
            (C::ServerKill, 1),
            (C::Leftover, 1),
        ]),
        ..base("kills", "servers that are killed, with and without their process")
    },
    Profile {
        on_loss: OnLoss::Fail,
        budget: Budget::of(&[
            (C::Input, 2),
            (C::Output, 1),
            (C::Cut, 2),
            (C::ServerKill, 1),
            (C::Leftover, 1),
            (C::Exit, 1),
        ]),
        ..base("losses", "the same, for a client that does not start anything anew")
    },
    Profile {
        roles: RIVALS,
        has_slow_process: true,
        budget: Budget::of(&[(C::Input, 2), (C::Cut, 1), (C::Join, 1), (C::TenureFailure, 1)]),
        ..base("takeover", "another client takes the session over")
    },
    Profile {
        roles: RIVALS,
        budget: Budget::of(&[(C::Input, 1), (C::Cut, 1), (C::Join, 1), (C::ServerKill, 1)]),
        ..base("succession", "a takeover, and a server that is killed")
    },
    Profile {
        roles: THREE,
        budget: Budget::of(&[(C::Cut, 1), (C::Join, 2)]),
        ..base("rivals", "two clients that want the same session")
    },
    Profile {
        roles: CLOSED,
        budget: Budget::of(&[
            (C::Input, 1),
            (C::Cut, 1),
            (C::Join, 1),
            (C::ServerKill, 1),
            (C::GiveUp, 1),
        ]),
        ..base("closer", "another client ends the session")
    },
    Profile {
        roles: AHEAD,
        budget: Budget::of(&[(C::Cut, 1), (C::Join, 2)]),
        ..base("closer-ahead", "another client closes an incarnation that was not started yet")
    },
    Profile {
        roles: CLAIMANTS,
        remembered: NEARLY_ALL,
        budget: Budget::of(&[
            (C::Input, 1),
            (C::Cut, 1),
            (C::Join, 1),
            (C::ServerKill, 1),
            (C::Exit, 1),
        ]),
        ..base("last-numbers", "one incarnation and one tenure are left")
    },
    Profile {
        budget: Budget::of(&[(C::Input, 1), (C::ServerKill, 3), (C::Timeout, 1)]),
        ..base("replacements", "servers that are killed one after the other")
    },
    Profile {
        is_forgetful: true,
        budget: Budget::of(&[(C::Cut, 2), (C::Silence, 1), (C::Detach, 1)]),
        ..base("forgetful", "a host that has used every incarnation that it is asked for")
    },
    Profile {
        roles: CLOSED,
        budget: Budget::of(&[
            (C::Daemon, 1),
            (C::Exit, 1),
            (C::Cut, 1),
            (C::Close, 1),
            (C::Join, 1),
            (C::ServerKill, 1),
            (C::Retention, 1),
            (C::Sweep, 1),
        ]),
        ..base("daemons", "a process that leaves a daemon behind, and who may end that")
    },
    Profile {
        budget: Budget::of(&[
            (C::Input, 1),
            (C::Cut, 2),
            (C::Close, 1),
            (C::Detach, 1),
            (C::GiveUp, 1),
            (C::Retention, 1),
        ]),
        ..base("endings", "an application that leaves, ends the session, or waits no longer")
    },
    Profile {
        roles: RIVALS,
        budget: Budget::of(&[
            (C::Input, 1),
            (C::Cut, 1),
            (C::ClientRestart, 1),
            (C::ClientKill, 1),
            (C::Join, 1),
        ]),
        ..base("restarts", "clients that are killed, with and without what they had written down")
    },
    Profile {
        budget: Budget::of(&[(C::Output, 2), (C::Cut, 1), (C::StaleState, 1), (C::Ping, 1)]),
        ..base("stale", "a client that had written down its position too early")
    },
    Profile {
        window: 192,
        has_slow_process: true,
        inputs: &[InputKind::Signal, InputKind::Bytes(64), InputKind::Resize, InputKind::End],
        budget: Budget::of(&[(C::Input, 4), (C::Cut, 1), (C::ServerPing, 1)]),
        ..base("sizes", "input of several kinds, some of which fills a window exactly")
    },
    Profile {
        window: 192,
        has_slow_application: true,
        outputs: &[20, 52],
        budget: Budget::of(&[(C::Output, 3), (C::Exit, 1), (C::Cut, 1)]),
        ..base(
            "lengths",
            "output of several lengths, on both streams, and an exit that fits always",
        )
    },
    Profile {
        window: 200_000,
        inputs: &[InputKind::Bytes(9000), InputKind::Bytes(7000)],
        budget: Budget::of(&[(C::Input, 4), (C::Cut, 2)]),
        ..base("early", "more input than goes out behind a Resume")
    },
    Profile {
        window: 378,
        overflow: Overflow::DropOldest,
        has_slow_application: true,
        outputs: &[1, 90, 30],
        budget: Budget::of(&[(C::Output, 6), (C::Exit, 1), (C::Cut, 1)]),
        ..base("drops", "a log that drops output of several sizes")
    },
    Profile {
        roles: &[Role::Opener, Role::Claimant(From::Latest)],
        budget: Budget::of(&[(C::Output, 2), (C::Exit, 1), (C::Cut, 1), (C::Join, 1)]),
        ..base("latest", "a claim of the latest output")
    },
    Profile {
        roles: &[Role::Opener, Role::Claimant(From::Seq(Seq(1)))],
        has_slow_application: true,
        budget: Budget::of(&[(C::Output, 2), (C::Exit, 1), (C::Join, 1)]),
        ..base("positions", "a claim of output from a number on")
    },
    Profile {
        roles: RIVALS,
        has_slow_application: true,
        budget: Budget::of(&[(C::Output, 1), (C::Exit, 1), (C::Join, 1), (C::Close, 1)]),
        ..base("handovers", "a takeover with output under way, an exit, and a Close")
    },
    Profile {
        has_slow_process: true,
        budget: Budget::of(&[(C::Input, 1), (C::Garble, 1), (C::Repeat, 1)]),
        ..base("garbled", "links that bring what is no frame, and a Hello that comes twice")
    },
    Profile {
        budget: Budget::of(&[
            (C::FailedStart, 1),
            (C::Cut, 3),
            (C::NoLink, 1),
            (C::Day, 1),
            (C::Sweep, 1),
            (C::ServerKill, 1),
        ]),
        ..base("starts", "starts that fail, Opens that come late, tombstones that are swept")
    },
    Profile {
        attempts: 4,
        budget: Budget::of(&[
            (C::Input, 1),
            (C::Cut, 2),
            (C::Reboot, 1),
            (C::OtherHost, 2),
            (C::GiveUp, 1),
        ]),
        ..base("hosts", "hosts that boot, and another host behind the same name")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Cut, 2), (C::NoRegistry, 1), (C::Upgrade, 1)]),
        ..base("refusals", "a registry that cannot be used, and programs of another version")
    },
    Profile {
        budget: Budget::of(&[
            (C::Input, 1),
            (C::Output, 2),
            (C::Cut, 1),
            (C::Snapshot, 1),
            (C::Exit, 1),
        ]),
        ..base("rollback", "a host that is rolled back")
    },
    Profile {
        budget: Budget::of(&[
            (C::Input, 1),
            (C::Cut, 2),
            (C::Wipe, 1),
            (C::EntryWipe, 1),
            (C::ServerKill, 1),
            (C::Retention, 1),
        ]),
        ..base("wipes", "a registry that is removed under a living server")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[
            (C::Cut, 2),
            (C::AttachKill, 1),
            (C::ServerKill, 1),
            (C::FailedStart, 1),
        ]),
        ..base("attach-steps", "attach and server start, killed between any two steps")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Cut, 1), (C::Leftover, 1), (C::ServerKill, 1), (C::Sweep, 1)]),
        ..base("leftovers", "what dead servers leave, reaped and swept step by step")
    },
    Profile {
        is_stepwise: true,
        roles: RIVALS,
        on_loss: OnLoss::Respawn,
        budget: Budget::of(&[(C::Join, 1), (C::Cut, 1), (C::ServerKill, 1)]),
        prefix: ATTACHED,
        ..base("claim-steps", "a takeover of a living session, killed between any two steps")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[
            (C::Cut, 2),
            (C::Exit, 1),
            (C::Retention, 1),
            (C::ServerKill, 1),
            (C::Close, 1),
        ]),
        prefix: ATTACHED,
        ..base("end-steps", "the end of a server, killed between any two steps")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[
            (C::Cut, 2),
            (C::Day, 1),
            (C::Sweep, 1),
            (C::Exit, 1),
            (C::AttachDeadline, 1),
        ]),
        ..base("sweep-steps", "sweeps and old tombstones, step by step")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Cut, 1), (C::Wipe, 1), (C::EntryWipe, 1), (C::Sweep, 1)]),
        ..base("wipe-steps", "a registry that is removed between any two steps")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Fault, 2), (C::Cut, 1), (C::ServerKill, 1)]),
        ..base("fault-starts", "attach and server start, with accesses to the registry that fail")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[
            (C::Fault, 2),
            (C::Cut, 1),
            (C::Exit, 1),
            (C::Close, 1),
            (C::Retention, 1),
            (C::Sweep, 1),
        ]),
        prefix: ATTACHED,
        ..base("fault-ends", "the end of a server and the sweep, with accesses that fail")
    },
];
