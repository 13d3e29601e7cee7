//! The small profiles in which mutants are found first.

use super::parts::{
    AHEAD, ATTACHED, CLAIMANTS, CLOSED, KILLED, NEARLY_ALL, RIVALS, SENT_TWICE, THREE, base,
};
use crate::budget::{Budget, Chance as C};
use crate::profile::{ONE_ITEM, Profile, Role, TWO_ITEMS};
use rejoin_protocol::client::OnLoss;

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
