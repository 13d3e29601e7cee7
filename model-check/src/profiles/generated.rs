//! Generated profiles, so that every pair of features occurs in a profile.
//!
//! Bugs often need two features: a takeover while output waits, an entry that is removed while a
//! start fails. The profiles written by hand have some of the pairs; these have the others. Each is
//! small: a few features, each once.

use std::sync::LazyLock;

use rejoin_protocol::frame::From;
use rejoin_protocol::spec::Overflow;

use super::ci::CI;
use super::hunts::HUNTS;
use crate::budget::{Budget, Chance as C};
use crate::names::InputKind as Input;
use crate::profile::{ONE_ITEM, Profile, Role, TWO_ITEMS};

/// A feature of a profile: an event that may happen, or a trait of the world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Feature {
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
pub const FEATURES: &[Feature] = &[
    Feature::Chance(C::Input),
    Feature::Chance(C::Output),
    Feature::Chance(C::Exit),
    Feature::Chance(C::Daemon),
    Feature::Chance(C::Cut),
    Feature::Chance(C::Silence),
    Feature::Chance(C::Timeout),
    Feature::Chance(C::NoLink),
    Feature::Chance(C::ServerKill),
    Feature::Chance(C::Leftover),
    Feature::Chance(C::AttachKill),
    Feature::Chance(C::AttachDeadline),
    Feature::Chance(C::FailedStart),
    Feature::Chance(C::Retention),
    Feature::Chance(C::ClientKill),
    Feature::Chance(C::ClientRestart),
    Feature::Chance(C::Detach),
    Feature::Chance(C::Close),
    Feature::Chance(C::GiveUp),
    Feature::Chance(C::Wipe),
    Feature::Chance(C::EntryWipe),
    Feature::Chance(C::Day),
    Feature::Chance(C::Sweep),
    Feature::Chance(C::Reboot),
    Feature::Chance(C::OtherHost),
    Feature::Chance(C::Snapshot),
    Feature::Chance(C::TenureFailure),
    Feature::Chance(C::Ping),
    Feature::Chance(C::StaleState),
    Feature::Chance(C::NoRegistry),
    Feature::Chance(C::Upgrade),
    Feature::Chance(C::ServerPing),
    Feature::Chance(C::Garble),
    Feature::Chance(C::Repeat),
    Feature::Claimant,
    Feature::Closer,
    Feature::Latest,
    Feature::SlowApplication,
    Feature::SlowProcess,
    Feature::LateFrames,
    Feature::SmallWindow,
    Feature::DropOldest,
    Feature::Signals,
    Feature::Steps,
];

/// How much the kinds of a generated profile weigh together at most.
const MOST: u32 = 5;

/// How much a kind adds to the size of a world, roughly.
const fn weight(kind: Feature) -> u32 {
    match kind {
        Feature::Claimant
        | Feature::Latest
        | Feature::Closer
        | Feature::Chance(C::TenureFailure) => 3,
        Feature::Chance(
            C::OtherHost | C::StaleState | C::ClientRestart | C::Repeat | C::Timeout | C::Silence,
        )
        | Feature::LateFrames
        | Feature::DropOldest => 2,
        _ => 1,
    }
}

/// Those kinds that have no place in one world.
fn exclude(one: Feature, other: Feature) -> bool {
    let is = |a: Feature, b: Feature| (one, other) == (a, b) || (one, other) == (b, a);
    // A server is put by and rolled back without its registry.
    let snapshot = Feature::Chance(C::Snapshot);
    is(Feature::Claimant, Feature::Latest)
        || is(Feature::Closer, Feature::Latest)
        || is(snapshot, Feature::Chance(C::Wipe))
        || is(snapshot, Feature::Chance(C::EntryWipe))
}

/// Whether a profile has this kind.
pub fn has(profile: &Profile, kind: Feature) -> bool {
    let claims = |wanted: fn(&From) -> bool| {
        profile.roles.iter().skip(1).any(|role| matches!(role, Role::Claimant(it) if wanted(it)))
            && profile.budget.has(C::Join)
    };
    match kind {
        Feature::Chance(chance) => profile.budget.has(chance),
        Feature::Claimant => claims(|_| true),
        Feature::Latest => claims(|from| *from == From::Latest),
        Feature::Closer => {
            profile.roles.iter().any(|role| role.is_closer()) && profile.budget.has(C::Join)
        }
        Feature::SlowApplication => profile.has_slow_application,
        Feature::SlowProcess => profile.has_slow_process,
        Feature::LateFrames => profile.has_late_reports,
        Feature::SmallWindow => profile.window <= TWO_ITEMS,
        Feature::DropOldest => profile.overflow == Overflow::DropOldest,
        Feature::Signals => profile.inputs.contains(&Input::Signal),
        Feature::Steps => profile.is_stepwise,
    }
}

/// The pairs that can stand in one world.
pub fn wanted() -> Vec<(Feature, Feature)> {
    let mut pairs = Vec::new();
    for (at, one) in FEATURES.iter().enumerate() {
        let others = FEATURES[at + 1..].iter().filter(|other| !exclude(*one, **other));
        pairs.extend(others.map(|other| (*one, *other)));
    }
    pairs
}

/// Those of the pairs that none of these profiles has.
pub fn missing(profiles: &[Profile]) -> Vec<(Feature, Feature)> {
    let is_missing = |(one, other): &(Feature, Feature)| {
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
    let by_hand: Vec<Profile> = CI.iter().chain(HUNTS).copied().collect();
    let mut left = missing(&by_hand);
    let mut all = Vec::new();
    while let Some((one, other)) = left.first().copied() {
        let mut kinds = vec![one, other];
        loop {
            let left_over = MOST.saturating_sub(kinds.iter().map(|it| weight(*it)).sum());
            let gain = |kind: Feature| {
                let pairs = kinds.iter().filter(|it| is_left(&left, kind, **it)).count();
                let is_free = weight(kind) <= left_over
                    && kinds.iter().all(|it| *it != kind && !exclude(*it, kind));
                if is_free { pairs } else { 0 }
            };
            let Some(best) = FEATURES.iter().copied().rev().max_by_key(|kind| gain(*kind)) else {
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

fn is_left(left: &[(Feature, Feature)], one: Feature, other: Feature) -> bool {
    left.contains(&(one, other)) || left.contains(&(other, one))
}

/// What has to be there for a kind to mean anything.
const fn supports(kind: Feature) -> &'static [C] {
    match kind {
        Feature::Chance(C::Retention | C::OtherHost | C::Reboot | C::Upgrade | C::NoRegistry) => {
            &[C::Cut]
        }
        Feature::Chance(C::Snapshot | C::StaleState)
        | Feature::SlowApplication
        | Feature::Latest => &[C::Output],
        Feature::SlowProcess | Feature::Signals => &[C::Input],
        Feature::LateFrames => &[C::Timeout],
        _ => &[],
    }
}

/// A profile with these kinds.
fn of(number: usize, kinds: &[Feature]) -> Profile {
    let is = |kind: Feature| kinds.contains(&kind);
    let mut chances: Vec<(C, u8)> = Vec::new();
    let mut add = |chance: C, times: u8| match chances.iter_mut().find(|(it, _)| *it == chance) {
        Some((_, most)) => *most = times.max(*most),
        None => chances.push((chance, times)),
    };
    for kind in kinds {
        if let Feature::Chance(chance) = kind {
            add(*chance, 1);
        }
        for chance in supports(*kind) {
            add(*chance, 1);
        }
    }
    let claims =
        is(Feature::Claimant) || is(Feature::Latest) || is(Feature::Chance(C::TenureFailure));
    if is(Feature::SmallWindow) {
        add(C::Output, 2);
    }
    if is(Feature::DropOldest) {
        add(C::Output, 3);
    }
    if claims || is(Feature::Closer) {
        add(C::Join, u8::from(claims) + u8::from(is(Feature::Closer)));
    }
    let from = if is(Feature::Latest) { From::Latest } else { From::FirstHeld };
    let mut roles = vec![Role::Opener];
    roles.extend(claims.then_some(Role::Claimant(from)));
    roles.extend(is(Feature::Closer).then_some(Role::Closer));
    // One for each number, for as long as the program runs.
    let name: &'static str = Box::leak(format!("pairs-{number}").into_boxed_str());
    let about: &'static str = Box::leak(format!("{kinds:?}").into_boxed_str());
    Profile {
        name,
        about,
        roles: roles.leak(),
        window: window(&is),
        attempts: 3,
        overflow: if is(Feature::DropOldest) { Overflow::DropOldest } else { Overflow::Block },
        is_stepwise: is(Feature::Steps),
        has_slow_application: is(Feature::SlowApplication),
        has_slow_process: is(Feature::SlowProcess),
        has_late_reports: is(Feature::LateFrames),
        inputs: if is(Feature::Signals) { &[Input::Signal, Input::Resize] } else { &[] },
        budget: Budget::of(&chances),
        ..Profile::CALM
    }
}

fn window(is: &dyn Fn(Feature) -> bool) -> u64 {
    match (is(Feature::SmallWindow), is(Feature::DropOldest)) {
        (true, false) => ONE_ITEM,
        (_, true) => TWO_ITEMS,
        (false, false) => Profile::CALM.window,
    }
}
