//! The profiles: each a corner of the world that is searched to its end.

use rejoin_protocol::client::OnLoss;
use rejoin_protocol::frame::From;
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{Incarnation, Seq, Tenure};

use crate::budget::{Budget, Chance as C};
use crate::names::Kind;
use crate::pairs;
use crate::profile::{AMPLE, ONE_ITEM, Profile, Role, TWO_ITEMS};
use crate::world::Action as A;

const ALONE: &[Role] = &[Role::Opener];
const RIVALS: &[Role] = &[Role::Opener, Role::CLAIMANT];
const CLOSED: &[Role] = &[Role::Opener, Role::Closer];
const AHEAD: &[Role] = &[Role::Opener, Role::CloserAhead, Role::CLAIMANT];
const CLAIMANTS: &[Role] = &[Role::CLAIMANT, Role::CLAIMANT];
const THREE: &[Role] = &[Role::Opener, Role::CLAIMANT, Role::CLAIMANT];

/// Opened, welcomed, and nothing else yet.
const ATTACHED: &[A] = &[A::Dial(0), A::ToClient(0), A::ToHost(0), A::ToClient(0)];

/// Attached, then a server that is killed, and a client that asks for it.
const KILLED: &[A] = &[
    A::Dial(0),
    A::ToClient(0),
    A::ToHost(0),
    A::ToClient(0),
    A::KillServer(0),
    A::ClientLearns(0),
    A::Dial(0),
];

/// Two Opens of the same incarnation are on their way, the first on an abandoned link.
const SENT_TWICE: &[A] =
    &[A::Dial(0), A::ToClient(0), A::Cut(0), A::ClientLearns(0), A::Dial(0), A::ToClient(1)];

/// One incarnation and one tenure are left.
const NEARLY_ALL: Option<(Incarnation, Tenure)> =
    Some((Incarnation(u64::MAX - 1), Tenure(u64::MAX - 1)));

const fn base(name: &'static str, about: &'static str) -> Profile {
    Profile { name, about, roles: ALONE, window: AMPLE, ..Profile::CALM }
}

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
        inputs: &[Kind::Signal, Kind::Bytes(64), Kind::Resize, Kind::End],
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
        inputs: &[Kind::Bytes(9000), Kind::Bytes(7000)],
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

/// All that `check` searches: what was made for CI, the small worlds in which mutants are looked for,
/// and what is generated.
pub fn checked() -> Vec<Profile> {
    CI.iter().chain(HUNTS).chain(pairs::profiles()).copied().collect()
}

/// Small worlds in which mutants are looked for first.
pub const HUNTS: &[Profile] = &[
    Profile {
        budget: Budget::of(&[(C::Input, 1), (C::Output, 1), (C::Exit, 1), (C::Cut, 1)]),
        ..base("hunt-cuts", "one cut")
    },
    Profile {
        budget: Budget::of(&[(C::Input, 1), (C::Output, 1), (C::Cut, 2)]),
        ..base("hunt-two-cuts", "two cuts")
    },
    Profile {
        window: ONE_ITEM,
        has_slow_application: true,
        has_slow_process: true,
        budget: Budget::of(&[(C::Input, 2), (C::Output, 2), (C::Exit, 1), (C::Cut, 1)]),
        ..base("hunt-windows", "small windows, slow ends")
    },
    Profile {
        budget: Budget::of(&[
            (C::Input, 1),
            (C::Output, 1),
            (C::Cut, 1),
            (C::ServerKill, 1),
            (C::Leftover, 1),
        ]),
        ..base("hunt-kills", "killed servers")
    },
    Profile {
        on_loss: OnLoss::Fail,
        budget: Budget::of(&[(C::Input, 1), (C::Output, 1), (C::Cut, 1), (C::ServerKill, 1)]),
        ..base("hunt-losses", "killed servers, and a client that does not start anew")
    },
    Profile {
        has_late_reports: true,
        budget: Budget::of(&[(C::Output, 1), (C::Silence, 1), (C::Timeout, 1), (C::Cut, 1)]),
        ..base("hunt-silence", "silence and late frames")
    },
    Profile {
        budget: Budget::of(&[(C::Silence, 1), (C::Cut, 1), (C::ServerKill, 1)]),
        ..base("hunt-answers", "refusals over silent links")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Cut, 1), (C::ServerKill, 1)]),
        ..base("hunt-few-steps", "steps of attach and start, with one kill")
    },
    Profile {
        budget: Budget::of(&[(C::Silence, 1), (C::Detach, 1)]),
        ..base("hunt-gone", "a client that leaves over a silent link")
    },
    Profile {
        budget: Budget::of(&[(C::FailedStart, 1), (C::Cut, 2)]),
        ..base("hunt-starts", "failed starts and late Opens")
    },
    Profile {
        roles: &[Role::CLAIMANT],
        budget: Budget::of(&[(C::FailedStart, 1), (C::Cut, 1)]),
        ..base("hunt-claimed", "a start by one who meant to claim, which may fail")
    },
    Profile {
        budget: Budget::of(&[(C::Cut, 1), (C::Retention, 1), (C::Exit, 1), (C::Close, 1)]),
        ..base("hunt-endings", "retention and the end")
    },
    Profile {
        roles: CLOSED,
        budget: Budget::of(&[(C::Cut, 1), (C::Join, 1), (C::GiveUp, 1)]),
        ..base("hunt-closer", "another client ends the session")
    },
    Profile {
        roles: AHEAD,
        budget: Budget::of(&[(C::Join, 2)]),
        ..base("hunt-closer-ahead", "an incarnation is closed that was not started yet")
    },
    Profile {
        roles: CLAIMANTS,
        remembered: NEARLY_ALL,
        budget: Budget::of(&[(C::Join, 1), (C::ServerKill, 1)]),
        ..base("hunt-last-numbers", "one incarnation and one tenure are left")
    },
    Profile {
        is_forgetful: true,
        ..base("hunt-forgetful", "a host that has used every incarnation that it is asked for")
    },
    Profile {
        roles: CLOSED,
        budget: Budget::of(&[
            (C::Daemon, 1),
            (C::Exit, 1),
            (C::Cut, 1),
            (C::Join, 1),
            (C::ServerKill, 1),
        ]),
        ..base("hunt-daemons", "a daemon that outlives its process")
    },
    Profile {
        roles: RIVALS,
        has_slow_process: true,
        budget: Budget::of(&[(C::Input, 1), (C::Cut, 1), (C::Join, 1)]),
        ..base("hunt-takeover", "a takeover")
    },
    Profile {
        roles: RIVALS,
        budget: Budget::of(&[(C::Cut, 1), (C::Join, 1), (C::ServerKill, 1), (C::TenureFailure, 1)]),
        ..base("hunt-succession", "a takeover and a killed server")
    },
    Profile {
        roles: RIVALS,
        window: TWO_ITEMS,
        has_slow_process: true,
        budget: Budget::of(&[(C::Input, 3), (C::Join, 1)]),
        ..base("hunt-buffers", "a takeover of a window that is not empty")
    },
    Profile {
        roles: THREE,
        budget: Budget::of(&[(C::Join, 2)]),
        ..base("hunt-rivals", "two clients that want the same session")
    },
    Profile {
        attempts: 4,
        budget: Budget::of(&[(C::Cut, 1), (C::Reboot, 1), (C::OtherHost, 1)]),
        ..base("hunt-hosts", "reboots and another host")
    },
    Profile {
        budget: Budget::of(&[(C::Input, 1), (C::Output, 1), (C::Snapshot, 1)]),
        ..base("hunt-rollback", "a rollback")
    },
    Profile {
        budget: Budget::of(&[(C::Cut, 1), (C::Wipe, 1), (C::EntryWipe, 1)]),
        ..base("hunt-wipes", "a registry that is removed")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Cut, 2), (C::ServerKill, 1), (C::AttachKill, 1)]),
        ..base("hunt-steps", "steps of attach and start")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Cut, 2), (C::Day, 1), (C::Sweep, 1), (C::Exit, 1)]),
        ..base("hunt-sweeps", "steps of the sweep")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Silence, 1)]),
        prefix: KILLED,
        ..base("hunt-stuck", "an answer over a silent link, step by step")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Wipe, 1)]),
        prefix: SENT_TWICE,
        ..base("hunt-wiped", "a registry that is removed while two attaches go on")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Cut, 1), (C::Wipe, 1), (C::EntryWipe, 1)]),
        prefix: ATTACHED,
        ..base("hunt-guards", "a registry that is removed while a server puts its entry back")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Fault, 1), (C::Cut, 1), (C::ServerKill, 1)]),
        ..base("hunt-faults", "an access to the registry that fails")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[(C::Fault, 1), (C::Close, 1), (C::Cut, 1)]),
        prefix: ATTACHED,
        ..base("hunt-fault-ends", "an access that fails at the end of a server")
    },
];

/// Deeper ones, for a night.
pub const NIGHTLY: &[Profile] = &[
    Profile {
        roles: CLOSED,
        budget: Budget::of(&[
            (C::Input, 1),
            (C::Cut, 2),
            (C::Join, 1),
            (C::ServerKill, 1),
            (C::GiveUp, 1),
        ]),
        ..base("night-closer", "another client ends the session, over links that are cut")
    },
    Profile {
        budget: Budget::of(&[
            (C::Input, 2),
            (C::Output, 2),
            (C::Cut, 2),
            (C::Snapshot, 1),
            (C::Exit, 1),
        ]),
        ..base("night-rollback", "a host that is rolled back, over links that are cut")
    },
    Profile {
        is_stepwise: true,
        roles: RIVALS,
        budget: Budget::of(&[
            (C::Join, 1),
            (C::Cut, 1),
            (C::ServerKill, 1),
            (C::AttachKill, 1),
            (C::Sweep, 1),
        ]),
        prefix: ATTACHED,
        ..base("night-claim-steps", "a takeover, killed and swept between any two steps")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[
            (C::Cut, 2),
            (C::Exit, 1),
            (C::Retention, 1),
            (C::ServerKill, 1),
            (C::Leftover, 1),
            (C::Close, 1),
        ]),
        prefix: ATTACHED,
        ..base("night-end-steps", "the end of a server, over links that are cut twice")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[
            (C::Cut, 2),
            (C::Day, 1),
            (C::Sweep, 2),
            (C::Exit, 1),
            (C::AttachDeadline, 1),
        ]),
        ..base("night-sweep-steps", "two sweeps and old tombstones, step by step")
    },
    Profile {
        is_stepwise: true,
        budget: Budget::of(&[
            (C::Cut, 2),
            (C::AttachKill, 1),
            (C::ServerKill, 1),
            (C::Leftover, 1),
            (C::FailedStart, 1),
            (C::Sweep, 1),
        ]),
        ..base("night-start-steps", "starts that fail or are killed, and are swept, step by step")
    },
];

/// The profile of this name.
pub fn named(name: &str) -> Option<Profile> {
    let all = CI.iter().chain(HUNTS).chain(NIGHTLY).chain(pairs::profiles());
    all.copied().find(|profile| profile.name == name)
}
