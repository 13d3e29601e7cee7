//! The path machine: its faults that were found once, its table, and random runs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod paths_table;

use common::check_file;
use proptest::prelude::*;
use rejoin_protocol::Link;
use rejoin_protocol::paths::{
    Class, Config, Effect, Effects, Event, MANY_ENDS, Mode, Need, Path, Paths, Properties, Story,
    Timer, Urgency, Wake, Why,
};

const FAST: Properties = Properties {
    rank: 0,
    is_quick: true,
    is_exclusive: false,
    is_shared: false,
    judges_keys: false,
};

/// A session may stay on the quick path.
const STAY: Config = Config { fast: Some(FAST), ..Config::PLAIN };
/// It returns to the usual one.
const BRIDGE: Config = Config { fast: Some(Properties { rank: 1, ..FAST }), ..Config::PLAIN };
const EXCLUSIVE: Config =
    Config { main: Properties { is_exclusive: true, ..Config::PLAIN.main }, ..Config::PLAIN };
const SHARED: Config =
    Config { main: Properties { is_shared: true, ..Config::PLAIN.main }, ..Config::PLAIN };
const PATIENT: Config = Config { has_patience: true, ..Config::PLAIN };

const WANTED: Event = Event::Wanted { may_ask: false };
const PAUSE: Event = Event::Timer(Timer::Pause(Path::Main));
const FIRST: Link = Link(0);
const SECOND: Link = Link(1);

const CALM: Event = Event::Timer(Timer::Calm);

/// A session that is attached over the usual path.
const ATTACHED: [Event; 4] = [WANTED, Event::Asked, Event::Greeted(FIRST), Event::Attached];

fn run(config: &Config, events: &[Event]) -> (Paths, Effects) {
    let mut paths = Paths::new();
    let mut last = Effects::new();
    for event in events {
        last = paths.step(config, *event);
    }
    (paths, last)
}

/// The effects of the last of these events, after those of [`ATTACHED`].
fn after(config: &Config, events: &[Event]) -> Effects {
    run(config, &[&ATTACHED[..], events].concat()).1
}

fn dials(effects: &Effects) -> Vec<Path> {
    let dials = effects.iter().filter_map(|effect| match effect {
        Effect::Dial { path, .. } => Some(*path),
        _ => None,
    });
    dials.collect()
}

fn ended(link: Link) -> Event {
    Event::Ended(link, Why::Closed)
}

fn step_of_dial(effects: &Effects) -> Option<u8> {
    effects.iter().find_map(|effect| match effect {
        Effect::Arm(Timer::Pause(Path::Main), Class::Retry, step) => Some(*step),
        _ => None,
    })
}

#[test]
fn a_doubted_link_that_lasts_is_no_success() {
    let doubted = [Event::Timer(Timer::Silence), Event::Timer(Timer::Doubt)];
    assert_eq!(
        after(&Config::PLAIN, &[doubted[0], CALM]),
        [Effect::Arm(Timer::Calm, Class::Usual, 0)]
    );
    let lost = [ended(SECOND), CALM, Event::GivenUp(FIRST), WANTED, PAUSE];
    let effects = after(&Config::PLAIN, &[&doubted[..], &lost[..]].concat());
    assert_eq!(step_of_dial(&effects), Some(2));
}

#[test]
fn a_link_that_does_not_answer_stays_doubted_whatever_comes() {
    let events =
        [Event::Timer(Timer::Silence), Event::Pinged, Event::Timer(Timer::Answer), Event::Heard];
    let (paths, _) =
        run(&Config::PLAIN, &[&ATTACHED[..], &events, &[Event::Timer(Timer::Doubt)]].concat());
    assert!(paths.is_doubted());
    let events = [Event::Timer(Timer::Silence), Event::Pinged, Event::Timer(Timer::Doubt)];
    let late = [Event::Timer(Timer::Answer), Event::Heard];
    let (paths, _) = run(&Config::PLAIN, &[&ATTACHED[..], &events, &late].concat());
    assert!(paths.is_doubted());
}

#[test]
fn silence_after_an_unanswered_ping_is_not_ended_by_a_byte() {
    let events = [Event::Pinged, Event::Timer(Timer::Answer), Event::Timer(Timer::Silence)];
    let late = [Event::Heard, Event::Timer(Timer::Doubt)];
    let (paths, _) = run(&Config::PLAIN, &[&ATTACHED[..], &events, &late].concat());
    assert!(paths.is_doubted());
}

#[test]
fn a_second_link_keeps_its_deadline_when_the_first_is_lost() {
    let doubted = [Event::Timer(Timer::Silence), Event::Timer(Timer::Doubt), Event::Opened(SECOND)];
    let deadline = Effect::Disarm(Timer::Dial(Path::Main));
    let effects = after(&Config::PLAIN, &[&doubted[..], &[ended(FIRST)]].concat());
    assert!(!effects.contains(&deadline), "{effects:?}");
    let effects = after(&Config::PLAIN, &[&doubted[..], &[Event::Attached]].concat());
    assert!(!effects.contains(&deadline), "{effects:?}");
}

/// Where the usual path did not hold, it has no dial of its own until the quick one has failed.
#[test]
fn a_path_that_waits_for_the_quick_one_to_fail_makes_no_attempt_of_its_own() {
    for why in [Why::Unavailable, Why::Unreachable] {
        let fails = [PAUSE, ended(FIRST), WANTED, Event::Ended(FIRST, why)];
        let effects = after(&BRIDGE, &fails);
        assert_eq!(dials(&effects), [Path::Main]);
        assert!(!effects.contains(&Effect::Tell(Story::Waiting)), "{effects:?}");
    }
}

#[test]
fn patience_does_not_count_while_a_person_is_asked() {
    let last = |effects: &Effects| {
        let is_meant = |effect: &&Effect| {
            matches!(effect, Effect::Arm(Timer::Patience, ..) | Effect::Disarm(Timer::Patience))
        };
        effects.iter().rfind(is_meant).copied()
    };
    let disarmed = Some(Effect::Disarm(Timer::Patience));
    let asked = [Event::Wanted { may_ask: true }, Event::Opened(FIRST), Event::Begun(FIRST)];
    assert_eq!(last(&run(&PATIENT, &asked[..1]).1), disarmed);
    assert!(run(&PATIENT, &asked).1.contains(&Effect::Use(FIRST)));
    let refused = Event::Ended(FIRST, Why::NeedsPerson(Need::Login));
    let retried = [ended(FIRST), WANTED, refused, Event::Retry { may_ask: true }];
    assert_eq!(last(&after(&PATIENT, &retried)), None);
    let unreachable = [ended(FIRST), WANTED, ended(FIRST), Event::Retry { may_ask: true }];
    assert_eq!(last(&after(&PATIENT, &unreachable)), disarmed);
    let again = [&unreachable[..], &[ended(FIRST)]].concat();
    let armed = Some(Effect::Arm(Timer::Patience, Class::Usual, 0));
    assert_eq!(last(&after(&PATIENT, &again)), armed);
    assert_eq!(last(&run(&PATIENT, &asked).1), armed);
}

#[test]
fn an_outdated_link_that_is_not_attached_is_not_replaced() {
    let events = [WANTED, Event::Asked, Event::Opened(FIRST), Event::Outdated, PAUSE];
    assert_eq!(dials(&run(&SHARED, &events).1), []);
    assert_eq!(dials(&after(&SHARED, &[Event::Outdated])), [Path::Main]);
}

#[test]
fn one_attempt_over_two_paths_is_told_once() {
    let tell = Effect::Tell(Story::Waiting);
    let head_start = Effect::Arm(Timer::Pause(Path::Main), Class::HeadStart, 0);
    let lost = [PAUSE, CALM, ended(FIRST), WANTED];
    let effects = after(&BRIDGE, &lost);
    assert!(effects.contains(&tell) && effects.contains(&head_start), "{effects:?}");
    let effects = after(&BRIDGE, &[&lost[..], &[ended(FIRST)]].concat());
    assert_eq!(dials(&effects), [Path::Main]);
    assert!(!effects.contains(&tell), "{effects:?}");
}

#[test]
fn a_head_start_uses_up_what_was_granted() {
    // The pause of the first dial runs; the attachment grants one within it.
    let lost = [CALM, ended(FIRST), WANTED];
    let effects = after(&BRIDGE, &lost);
    assert!(effects.contains(&Effect::Arm(Timer::Pause(Path::Main), Class::HeadStart, 0)));
    let effects = after(&BRIDGE, &[&lost[..], &[PAUSE]].concat());
    assert_eq!(dials(&effects), [Path::Main]);
    let effects = after(&BRIDGE, &[&lost[..], &[PAUSE, ended(SECOND)]].concat());
    assert_eq!(dials(&effects), []);
}

#[test]
fn patience_that_ends_beside_an_open_link_ends_the_session_with_it() {
    let events = [WANTED, Event::Asked, Event::Opened(FIRST), Event::Timer(Timer::Patience)];
    let (paths, effects) = run(&PATIENT, &events);
    assert!(!paths.is_over() && effects.is_empty());
    let (paths, effects) = run(&PATIENT, &[&events[..], &[ended(FIRST), WANTED]].concat());
    assert!(paths.is_over());
    assert!(effects.contains(&Effect::GiveUp(Urgency::Patience)), "{effects:?}");
    let (paths, _) = run(&PATIENT, &[&events[..], &[Event::Attached]].concat());
    assert!(!paths.is_over());
}

#[test]
fn a_need_is_told_again_in_another_absence_of_a_session_that_stays_on_the_quick_path() {
    let need = Event::Ended(FIRST, Why::NeedsPerson(Need::Login));
    let tell = Effect::Tell(Story::Needs(Need::Login));
    let retry = Event::Retry { may_ask: false };
    // Whichever path is dialled, it needs a person, and then the quick one works.
    let absence = [CALM, ended(FIRST), WANTED, need, need];
    let back = [retry, Event::Greeted(FIRST), Event::Attached];
    assert!(after(&STAY, &absence).contains(&tell));
    let again = [&absence[..], &back, &absence].concat();
    assert!(after(&STAY, &again).contains(&tell));
    let soon = [&absence[..], &back, &absence[1..]].concat();
    assert!(!after(&STAY, &soon).contains(&tell));
}

#[test]
fn what_did_not_hold_is_not_moved_to_again_at_once() {
    let back = [PAUSE, ended(FIRST), WANTED, Event::Greeted(FIRST), Event::Attached];
    let effects = after(&BRIDGE, &back);
    assert!(effects.contains(&Effect::Arm(Timer::Pause(Path::Main), Class::Aside, 1)));
    assert_eq!(dials(&effects), []);
}

#[test]
fn a_need_that_comes_back_before_another_was_told_is_not_told_again() {
    let need = |need| Event::Ended(FIRST, Why::NeedsPerson(need));
    let retry = Event::Retry { may_ask: false };
    let told = [ended(FIRST), WANTED, ended(FIRST), need(Need::Login)];
    let tell = Effect::Tell(Story::Needs(Need::Login));
    assert!(after(&BRIDGE, &told).contains(&tell));
    // The quick path fails for another reason while the usual one is dialled, and that for the same as before.
    let second = Event::Ended(SECOND, Why::NeedsPerson(Need::Login));
    let again = [retry, PAUSE, need(Need::HostKey), second];
    let effects = after(&BRIDGE, &[&told[..], &again].concat());
    assert!(!effects.contains(&tell), "{effects:?}");
}

#[test]
fn a_login_that_fails_over_the_quick_path_is_not_tried_there_again_in_this_absence() {
    let need = Event::Ended(FIRST, Why::NeedsPerson(Need::Login));
    let pause = Event::Timer(Timer::Pause(Path::Fast));
    let absence = [ended(FIRST), WANTED, need, PAUSE, need];
    assert_eq!(dials(&after(&BRIDGE, &[&absence[..], &[pause]].concat())), []);
    let asked = after(&BRIDGE, &[&absence[..], &[Event::Retry { may_ask: false }]].concat());
    assert_eq!(dials(&asked)[0], Path::Fast);
}

#[test]
fn pauses_for_a_person_begin_anew_after_a_calm_time_on_the_quick_path() {
    let need = Event::Ended(FIRST, Why::NeedsPerson(Need::Login));
    let first = [ended(FIRST), WANTED, ended(FIRST), need];
    let retry = Event::Retry { may_ask: false };
    let back = [retry, Event::Greeted(FIRST), Event::Attached, Event::Timer(Timer::Calm)];
    let effects = after(&STAY, &[&first[..], &back, &first].concat());
    assert!(
        effects.contains(&Effect::Arm(Timer::Pause(Path::Main), Class::Person, 0)),
        "{effects:?}"
    );
}

#[test]
fn a_wake_up_that_cuts_no_pause_leaves_the_next_one_to_another() {
    let slept = Event::Woken(Wake::Slept);
    let effects = after(&Config::PLAIN, &[PAUSE, ended(FIRST), slept, WANTED, ended(FIRST), slept]);
    assert_eq!(dials(&effects), [Path::Main]);
}

#[test]
fn three_links_in_a_row_that_greet_and_end_are_told_of() {
    let ends = [Event::Greeted(FIRST), ended(FIRST), WANTED, PAUSE];
    let events = [&[WANTED, Event::Asked][..], &ends, &ends, &ends[..1]].concat();
    let told =
        |events: &[Event]| run(&Config::PLAIN, events).1.contains(&Effect::Tell(Story::Ends));
    assert_eq!(MANY_ENDS, 3);
    assert!(!told(&events));
    assert!(told(&[&events[..], &[ended(FIRST)]].concat()));
}

#[test]
fn a_changed_host_key_is_not_tried_again_before_a_person_has_looked() {
    let events = [ended(FIRST), WANTED, Event::Ended(FIRST, Why::NeedsPerson(Need::HostKey))];
    let effects = after(&Config::PLAIN, &events);
    assert!(effects.contains(&Effect::Arm(Timer::Pause(Path::Main), Class::Person, 0)));
    assert_eq!(dials(&effects), []);
    for event in [Event::Woken(Wake::Slept), Event::Woken(Wake::NetworkChanged), WANTED] {
        assert_eq!(dials(&after(&Config::PLAIN, &[&events[..], &[event]].concat())), []);
    }
    let asked = after(&Config::PLAIN, &[&events[..], &[Event::Retry { may_ask: true }]].concat());
    let dial = Effect::Dial { path: Path::Main, link: FIRST, mode: Mode::Asking };
    assert!(asked.contains(&dial), "{asked:?}");
}

#[test]
fn it_goes_where_its_table_says() {
    check_file("tests/snapshots/paths.txt", "UPDATE_SNAPSHOTS", &paths_table::text());
}

fn configs() -> impl Strategy<Value = Config> {
    let main = (any::<bool>(), any::<bool>()).prop_map(|(is_exclusive, is_shared)| Properties {
        is_exclusive,
        is_shared,
        ..Config::PLAIN.main
    });
    let fast = prop::option::of((0..2_u8).prop_map(|rank| Properties { rank, ..FAST }));
    (main, fast, any::<[bool; 3]>()).prop_map(|(main, fast, flags)| Config {
        main,
        fast,
        has_patience: flags[0],
        learns_anywhere: flags[1],
        learns: flags[2],
    })
}

/// The links that effects say there are.
#[derive(Default)]
struct Links(std::collections::BTreeMap<Link, Path>);

impl Links {
    fn close(&mut self, config: &Config, link: Link) {
        let path = self.0.get(&link).copied();
        let is_held = |path| config.properties(path).is_some_and(|it| it.is_exclusive);
        if !path.is_some_and(is_held) {
            self.0.remove(&link);
        }
    }

    fn event(&mut self, config: &Config, event: Event, used: Option<Link>) {
        match event {
            Event::Ended(link, _) => drop(self.0.remove(&link)),
            Event::GivenUp(link) if used == Some(link) => self.close(config, link),
            Event::Stop => self.0.clear(),
            _ => {}
        }
    }

    fn effect(&mut self, config: &Config, effect: Effect) {
        match effect {
            Effect::Dial { path, link, .. } => {
                assert_eq!(self.0.insert(link, path), None, "{link:?} is another link's number");
            }
            Effect::Drop(link) | Effect::Replace { old: link, .. } => self.close(config, link),
            Effect::GiveUp(_) => self.0.clear(),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any event in any order, also such as no driver reports.
    #[test]
    fn any_events_leave_the_links_that_effects_say(
        config in configs(),
        picks in prop::collection::vec(0..1000_usize, 0..300),
    ) {
        let events = paths_table::events();
        let (mut paths, mut links) = (Paths::new(), Links::default());
        for pick in picks {
            let event = events[pick % events.len()];
            links.event(&config, event, paths.used().map(|(link, _)| link));
            for effect in paths.step(&config, event) {
                links.effect(&config, effect);
            }
            if paths.is_over() {
                links.0.clear();
            }
            let mut named: Vec<Link> = paths.links().collect();
            named.sort();
            prop_assert_eq!(&named, &links.0.keys().copied().collect::<Vec<_>>());
            for link in named {
                // One for each path beside the one that is used.
                prop_assert!(link.0 <= Path::COUNT as u64);
                prop_assert_eq!(paths.path_of(link), links.0.get(&link).copied());
            }
        }
    }

    /// Whatever repeats itself leads back to a state that was there before: none counts without an end.
    #[test]
    fn what_repeats_itself_leads_to_no_new_state(
        config in configs(),
        first in prop::collection::vec(0..1000_usize, 0..20),
        again in prop::collection::vec(0..1000_usize, 1..8),
    ) {
        let events = paths_table::events();
        let mut paths = Paths::new();
        let mut step = |pick: &usize| {
            paths.step(&config, events[pick % events.len()]);
            paths.clone()
        };
        for pick in &first {
            step(pick);
        }
        let mut seen = Vec::new();
        let mut is_new = |_: &usize| {
            let Some(last) = again.iter().map(&mut step).last() else { return false };
            let is_new = !seen.contains(&last);
            seen.push(last);
            is_new
        };
        let rounds = (0..200).take_while(&mut is_new).count();
        prop_assert!(rounds < 100, "{} states", rounds);
    }
}
