//! What several profiles have in common: roles, what has happened before, a starting point.

use crate::action::Action as A;
use crate::profile::{AMPLE, Profile, Role};
use rejoin_protocol::{Incarnation, Tenure};

pub(super) const ALONE: &[Role] = &[Role::Opener];
pub(super) const RIVALS: &[Role] = &[Role::Opener, Role::CLAIMANT];
pub(super) const CLOSED: &[Role] = &[Role::Opener, Role::Closer];
pub(super) const AHEAD: &[Role] = &[Role::Opener, Role::CloserAhead, Role::CLAIMANT];
pub(super) const CLAIMANTS: &[Role] = &[Role::CLAIMANT, Role::CLAIMANT];
pub(super) const THREE: &[Role] = &[Role::Opener, Role::CLAIMANT, Role::CLAIMANT];

/// Opened, welcomed, and nothing else yet.
pub(super) const ATTACHED: &[A] = &[A::Dial(0), A::ToClient(0), A::ToHost(0), A::ToClient(0)];

/// Attached, then a server that is killed, and a client that asks for it.
pub(super) const KILLED: &[A] = &[
    A::Dial(0),
    A::ToClient(0),
    A::ToHost(0),
    A::ToClient(0),
    A::KillServer(0),
    A::ClientLearns(0),
    A::Dial(0),
];

/// Two Opens of the same incarnation are on their way, the first on an abandoned link.
pub(super) const SENT_TWICE: &[A] =
    &[A::Dial(0), A::ToClient(0), A::Cut(0), A::ClientLearns(0), A::Dial(0), A::ToClient(1)];

/// One incarnation and one tenure are left.
pub(super) const NEARLY_ALL: Option<(Incarnation, Tenure)> =
    Some((Incarnation(u64::MAX - 1), Tenure(u64::MAX - 1)));

pub(super) const fn base(name: &'static str, about: &'static str) -> Profile {
    Profile { name, about, roles: ALONE, window: AMPLE, ..Profile::CALM }
}
