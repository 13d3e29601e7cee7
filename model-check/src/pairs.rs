//! Profiles that are generated, so that every pair of kinds of event stands in one.
//!
//! What goes wrong often needs two things: a takeover while output waits, an entry that is removed
//! while a start fails. The profiles that are made by hand have the pairs that somebody thought of;
//! these have the others. Each is small: a few kinds, each once.

use std::sync::LazyLock;

use rejoin_protocol::frame::From;
use rejoin_protocol::spec::Overflow;

use crate::budget::{Budget, Chance as C};
use crate::names::Kind as Input;
use crate::profile::{ONE_ITEM, Profile, Role, TWO_ITEMS};
use crate::profiles;

/// What can stand in a profile: something that may happen, or a trait of the world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// It may happen.
    Chance(C),
    /// A claimant joins.
    Claimant,
    /// A client that only closes joins.
    Closer,
    /// A claimant joins that wants the latest output only.
    Latest,
    /// An application takes its output in its own time.
    SlowApplication,
    /// A process takes its input in its own time.
    SlowProcess,
    /// Frames of a closed link still reach its client.
    LateFrames,
    /// Windows have room for an item or two.
    SmallWindow,
    /// The oldest output is dropped.
    DropOldest,
    /// Sizes, signals and the end of input are put in.
    Signals,
    /// Every access to the registry is a step.
    Steps,
}

/// Every kind there is.
pub const KINDS: &[Kind] = &[
    Kind::Chance(C::Input),
    Kind::Chance(C::Output),
    Kind::Chance(C::Exit),
    Kind::Chance(C::Daemon),
    Kind::Chance(C::Cut),
    Kind::Chance(C::Silence),
    Kind::Chance(C::Timeout),
    Kind::Chance(C::NoLink),
    Kind::Chance(C::ServerKill),
    Kind::Chance(C::Leftover),
    Kind::Chance(C::AttachKill),
    Kind::Chance(C::AttachDeadline),
    Kind::Chance(C::FailedStart),
    Kind::Chance(C::Retention),
    Kind::Chance(C::ClientKill),
    Kind::Chance(C::ClientRestart),
    Kind::Chance(C::Detach),
    Kind::Chance(C::Close),
    Kind::Chance(C::GiveUp),
    Kind::Chance(C::Wipe),
    Kind::Chance(C::EntryWipe),
    Kind::Chance(C::Day),
    Kind::Chance(C::Sweep),
    Kind::Chance(C::Reboot),
    Kind::Chance(C::OtherHost),
    Kind::Chance(C::Snapshot),
    Kind::Chance(C::TenureFailure),
    Kind::Chance(C::Ping),
    Kind::Chance(C::StaleState),
    Kind::Chance(C::NoRegistry),
    Kind::Chance(C::Upgrade),
    Kind::Chance(C::ServerPing),
    Kind::Chance(C::Garble),
    Kind::Chance(C::Repeat),
    Kind::Claimant,
    Kind::Closer,
    Kind::Latest,
    Kind::SlowApplication,
    Kind::SlowProcess,
    Kind::LateFrames,
    Kind::SmallWindow,
    Kind::DropOldest,
    Kind::Signals,
    Kind::Steps,
];

/// How much the kinds of a generated profile weigh together at most.
const MOST: u32 = 5;

/// How much a kind adds to the size of a world, roughly.
const fn weight(kind: Kind) -> u32 {
    match kind {
        Kind::Claimant | Kind::Latest | Kind::Closer | Kind::Chance(C::TenureFailure) => 3,
        Kind::Chance(
            C::OtherHost | C::StaleState | C::ClientRestart | C::Repeat | C::Timeout | C::Silence,
        )
        | Kind::LateFrames
        | Kind::DropOldest => 2,
        _ => 1,
    }
}

/// Those kinds that have no place in one world.
fn exclude(one: Kind, other: Kind) -> bool {
    let is = |a: Kind, b: Kind| (one, other) == (a, b) || (one, other) == (b, a);
    // A server is put by and rolled back without its registry.
    let snapshot = Kind::Chance(C::Snapshot);
    is(Kind::Claimant, Kind::Latest)
        || is(Kind::Closer, Kind::Latest)
        || is(snapshot, Kind::Chance(C::Wipe))
        || is(snapshot, Kind::Chance(C::EntryWipe))
}

/// Whether a profile has this kind.
pub fn has(profile: &Profile, kind: Kind) -> bool {
    let claims = |wanted: fn(&From) -> bool| {
        profile.roles.iter().skip(1).any(|role| matches!(role, Role::Claimant(it) if wanted(it)))
            && profile.budget.has(C::Join)
    };
    match kind {
        Kind::Chance(chance) => profile.budget.has(chance),
        Kind::Claimant => claims(|_| true),
        Kind::Latest => claims(|from| *from == From::Latest),
        Kind::Closer => {
            profile.roles.iter().any(|role| role.is_closer()) && profile.budget.has(C::Join)
        }
        Kind::SlowApplication => profile.has_slow_application,
        Kind::SlowProcess => profile.has_slow_process,
        Kind::LateFrames => profile.has_late_reports,
        Kind::SmallWindow => profile.window <= TWO_ITEMS,
        Kind::DropOldest => profile.overflow == Overflow::DropOldest,
        Kind::Signals => profile.inputs.contains(&Input::Signal),
        Kind::Steps => profile.is_stepwise,
    }
}

/// The pairs that can stand in one world.
pub fn wanted() -> Vec<(Kind, Kind)> {
    let mut pairs = Vec::new();
    for (at, one) in KINDS.iter().enumerate() {
        let others = KINDS[at + 1..].iter().filter(|other| !exclude(*one, **other));
        pairs.extend(others.map(|other| (*one, *other)));
    }
    pairs
}

/// Those of the pairs that none of these profiles has.
pub fn missing(profiles: &[Profile]) -> Vec<(Kind, Kind)> {
    let is_missing = |(one, other): &(Kind, Kind)| {
        !profiles.iter().any(|profile| has(profile, *one) && has(profile, *other))
    };
    wanted().into_iter().filter(is_missing).collect()
}

/// The profiles that have what those made by hand have not.
pub fn profiles() -> &'static [Profile] {
    static ALL: LazyLock<Vec<Profile>> = LazyLock::new(generate);
    &ALL
}

fn generate() -> Vec<Profile> {
    let by_hand: Vec<Profile> = profiles::CI.iter().chain(profiles::HUNTS).copied().collect();
    let mut left = missing(&by_hand);
    let mut all = Vec::new();
    while let Some((one, other)) = left.first().copied() {
        let mut kinds = vec![one, other];
        loop {
            let left_over = MOST.saturating_sub(kinds.iter().map(|it| weight(*it)).sum());
            let gain = |kind: Kind| {
                let pairs = kinds.iter().filter(|it| is_left(&left, kind, **it)).count();
                let is_free = weight(kind) <= left_over
                    && kinds.iter().all(|it| *it != kind && !exclude(*it, kind));
                if is_free { pairs } else { 0 }
            };
            let Some(best) = KINDS.iter().copied().rev().max_by_key(|kind| gain(*kind)) else {
                break;
            };
            if gain(best) == 0 {
                break;
            }
            kinds.push(best);
        }
        let profile = of(all.len(), &kinds);
        left.retain(|(one, other)| !(has(&profile, *one) && has(&profile, *other)));
        all.push(profile);
    }
    all
}

fn is_left(left: &[(Kind, Kind)], one: Kind, other: Kind) -> bool {
    left.contains(&(one, other)) || left.contains(&(other, one))
}

/// What has to be there for a kind to mean anything.
const fn supports(kind: Kind) -> &'static [C] {
    match kind {
        Kind::Chance(C::Retention | C::OtherHost | C::Reboot | C::Upgrade | C::NoRegistry) => {
            &[C::Cut]
        }
        Kind::Chance(C::Snapshot | C::StaleState) | Kind::SlowApplication | Kind::Latest => {
            &[C::Output]
        }
        Kind::SlowProcess | Kind::Signals => &[C::Input],
        Kind::LateFrames => &[C::Timeout],
        _ => &[],
    }
}

/// A profile with these kinds.
fn of(number: usize, kinds: &[Kind]) -> Profile {
    let is = |kind: Kind| kinds.contains(&kind);
    let mut chances: Vec<(C, u8)> = Vec::new();
    let mut add = |chance: C, times: u8| match chances.iter_mut().find(|(it, _)| *it == chance) {
        Some((_, most)) => *most = times.max(*most),
        None => chances.push((chance, times)),
    };
    for kind in kinds {
        if let Kind::Chance(chance) = kind {
            add(*chance, 1);
        }
        for chance in supports(*kind) {
            add(*chance, 1);
        }
    }
    let claims = is(Kind::Claimant) || is(Kind::Latest) || is(Kind::Chance(C::TenureFailure));
    if is(Kind::SmallWindow) {
        add(C::Output, 2);
    }
    if is(Kind::DropOldest) {
        add(C::Output, 3);
    }
    if claims || is(Kind::Closer) {
        add(C::Join, u8::from(claims) + u8::from(is(Kind::Closer)));
    }
    let from = if is(Kind::Latest) { From::Latest } else { From::FirstHeld };
    let mut roles = vec![Role::Opener];
    roles.extend(claims.then_some(Role::Claimant(from)));
    roles.extend(is(Kind::Closer).then_some(Role::Closer));
    // One for each number, for as long as the program runs.
    let name: &'static str = Box::leak(format!("pairs-{number}").into_boxed_str());
    let about: &'static str = Box::leak(format!("{kinds:?}").into_boxed_str());
    Profile {
        name,
        about,
        roles: roles.leak(),
        window: window(&is),
        attempts: 3,
        overflow: if is(Kind::DropOldest) { Overflow::DropOldest } else { Overflow::Block },
        is_stepwise: is(Kind::Steps),
        has_slow_application: is(Kind::SlowApplication),
        has_slow_process: is(Kind::SlowProcess),
        has_late_reports: is(Kind::LateFrames),
        inputs: if is(Kind::Signals) { &[Input::Signal, Input::Resize] } else { &[] },
        budget: Budget::of(&chances),
        ..Profile::CALM
    }
}

fn window(is: &dyn Fn(Kind) -> bool) -> u64 {
    match (is(Kind::SmallWindow), is(Kind::DropOldest)) {
        (true, false) => ONE_ITEM,
        (_, true) => TWO_ITEMS,
        (false, false) => Profile::CALM.window,
    }
}
