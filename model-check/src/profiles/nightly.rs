//! The deeper profiles of the nightly search.

use super::parts::{ATTACHED, CLOSED, RIVALS, base};
use crate::budget::{Budget, Chance as C};
use crate::profile::Profile;

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
