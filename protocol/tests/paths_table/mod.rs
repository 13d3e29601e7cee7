//! The transition table of the path machine: every event in representative states.
#![allow(unreachable_pub)]

use std::fmt::Write as _;

use rejoin_protocol::Link;
use rejoin_protocol::paths::{Config, Event, Need, Path, Paths, Timer, Wake, Why};

use crate::{
    ATTACHED, BRIDGE, EXCLUSIVE, FIRST, PATIENT, PAUSE, SECOND, SHARED, STAY, WANTED, ended,
};

/// Every event, with the links that there can be.
pub fn events() -> Vec<Event> {
    let mut events = vec![
        WANTED,
        Event::Wanted { may_ask: true },
        Event::Unwanted,
        Event::Asked,
        Event::Attached,
        Event::Progressed,
        Event::Sent,
        Event::Pinged,
        Event::Heard,
        Event::Answered,
        Event::Woken(Wake::Slept),
        Event::Woken(Wake::NetworkChanged),
        Event::Retry { may_ask: false },
        Event::Retry { may_ask: true },
        Event::Available(Path::Main),
        Event::Available(Path::Fast),
        Event::Outdated,
        Event::Standby(true),
        Event::Standby(false),
        Event::Expecting(true),
        Event::Expecting(false),
        Event::Stop,
    ];
    events.extend(Timer::ALL.map(Event::Timer));
    for link in [FIRST, SECOND, Link(2)] {
        events.extend([Event::Opened(link), Event::Begun(link), Event::Greeted(link)]);
        events.push(Event::GivenUp(link));
        let needs = [Need::Login, Need::HostKey, Need::Server].map(Why::NeedsPerson);
        let whys = [Why::Unreachable, Why::Closed, Why::Unavailable, Why::Failed];
        events.extend(whys.into_iter().chain(needs).map(|why| Event::Ended(link, why)));
    }
    events
}

/// Each state by the events that lead to it.
fn states() -> Vec<(&'static str, Config, Vec<Event>)> {
    let doubted = [Event::Timer(Timer::Silence), Event::Pinged, Event::Timer(Timer::Doubt)];
    let attached = |more: &[Event]| [&ATTACHED[..], more].concat();
    let opened = Event::Opened(FIRST);
    let need = Event::Ended(FIRST, Why::NeedsPerson(Need::HostKey));
    let plain = Config::PLAIN;
    let standby = [Event::Standby(true), Event::Timer(Timer::Settled), Event::Greeted(SECOND)];
    vec![
        ("fresh", plain, vec![]),
        ("first dial", plain, vec![Event::Wanted { may_ask: true }]),
        ("first link used", plain, vec![WANTED, opened]),
        ("asked", plain, vec![WANTED, opened, Event::Asked]),
        ("attached", plain, attached(&[])),
        ("calm", plain, attached(&[PAUSE, Event::Timer(Timer::Calm)])),
        ("suspected", plain, attached(&doubted[..2])),
        ("doubted", plain, attached(&doubted)),
        (
            "doubted, another open",
            plain,
            attached(&[&doubted[..], &[Event::Opened(SECOND)]].concat()),
        ),
        ("replaced", plain, attached(&[&doubted[..], &[Event::Greeted(SECOND)]].concat())),
        ("lost", plain, attached(&[ended(FIRST)])),
        ("dials again", plain, attached(&[ended(FIRST), WANTED])),
        ("waits", plain, attached(&[ended(FIRST), WANTED, ended(FIRST)])),
        ("waits for a person", plain, attached(&[ended(FIRST), WANTED, need])),
        ("stands by", plain, attached(&standby)),
        ("patient", PATIENT, attached(&[ended(FIRST), WANTED])),
        ("exclusive, doubted", EXCLUSIVE, attached(&doubted)),
        ("exclusive, closing", EXCLUSIVE, attached(&[Event::GivenUp(FIRST), WANTED])),
        ("shared, doubted", SHARED, attached(&doubted)),
        ("shared, outdated", SHARED, attached(&[Event::Outdated])),
        ("quick to stay on, dialled", STAY, attached(&[ended(FIRST), WANTED])),
        ("quick as a bridge, dialled", BRIDGE, attached(&[ended(FIRST), WANTED])),
        ("quick as a bridge, both dialled", BRIDGE, attached(&[ended(FIRST), WANTED, PAUSE])),
        ("quick as a bridge, used", BRIDGE, attached(&[ended(FIRST), WANTED, opened, PAUSE])),
    ]
}

/// The table: events that change nothing and cause nothing are left out.
pub fn text() -> String {
    let mut text = String::new();
    for (name, config, before) in states() {
        let mut paths = Paths::new();
        for event in before {
            paths.step(&config, event);
        }
        let _ = writeln!(text, "\n## {name}\n");
        for event in events() {
            let mut next = paths.clone();
            let effects = next.step(&config, event);
            if next == paths && effects.is_empty() {
                continue;
            }
            let effects: Vec<String> = effects.iter().map(|effect| format!("{effect:?}")).collect();
            let effects = if effects.is_empty() { "nothing".into() } else { effects.join(", ") };
            let _ = writeln!(text, "{event:?}: {effects}{}", place(&next));
        }
    }
    text.trim_start().to_owned()
}

/// What can be seen of the state from outside.
fn place(paths: &Paths) -> String {
    let mut text = String::new();
    let _ = match paths.used() {
        Some((link, path)) => write!(text, " => uses {} over {path:?}", link.0),
        None => write!(text, " => uses none"),
    };
    for (is_so, word) in [
        (paths.is_attached(), "attached"),
        (paths.is_doubted(), "doubted"),
        (paths.is_waiting(), "waiting"),
        (paths.is_over(), "over"),
    ] {
        if is_so {
            let _ = write!(text, ", {word}");
        }
    }
    text
}
