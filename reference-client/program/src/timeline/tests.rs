use rejoin_client::{How, Phase};

use super::*;

/// A timeline of these phases, in milliseconds.
fn timeline(lane: LinkLane, parts: &[(PhaseKind, u64)]) -> Timeline {
    let mut length = Duration::ZERO;
    let mut phases = Vec::new();
    for (kind, millis) in parts {
        let phase = Phase { kind: *kind, start: length, length: Duration::from_millis(*millis) };
        length += phase.length;
        phases.push(phase);
    }
    Timeline { how: How::Resumed, lane, length, phases }
}

/// A reconnect over ssh, 50 ms after a loss.
fn reconnect() -> Timeline {
    let parts = [
        (PhaseKind::Wait, 50),
        (PhaseKind::Start, 10),
        (PhaseKind::Dial, 1),
        (PhaseKind::KeyExchange, 29),
        (PhaseKind::Login, 20),
        (PhaseKind::Channel, 2),
        (PhaseKind::Attach, 13),
        (PhaseKind::Hello, 3),
    ];
    timeline(LinkLane::Ssh, &parts)
}

#[test]
fn a_person_reads_one_line_of_whole_milliseconds() {
    let expected = "back after 128 ms: wait 50, start 10, dial 1, key exchange 29, login 20, \
                    channel 2, attach 13, hello 3 (over ssh)";
    assert_eq!(words(&reconnect()), expected);
    let fast = timeline(LinkLane::Fast, &[(PhaseKind::Connect, 70), (PhaseKind::Hello, 1)]);
    assert_eq!(words(&fast), "back after 71 ms: connect 70, hello 1 (over the fast lane)");
}

#[test]
fn the_line_leaves_out_what_a_link_did_before_it_stood_by() {
    let parts = [
        (PhaseKind::Dial, 20),
        (PhaseKind::Attach, 50),
        (PhaseKind::StandBy, 60_000),
        (PhaseKind::Hello, 2),
    ];
    let expected = "back after 2 ms: hello 2 (over ssh, whose connection stood by)";
    assert_eq!(words(&timeline(LinkLane::Ssh, &parts)), expected);
}

#[test]
fn the_table_shows_two_timelines_side_by_side() {
    let parts = [(PhaseKind::Dial, 3), (PhaseKind::Attach, 17), (PhaseKind::Hello, 1)];
    let there = timeline(LinkLane::Ssh, &parts);
    let mut back = reconnect();
    let last = Phase {
        kind: PhaseKind::FirstByte,
        start: back.length,
        length: Duration::from_millis(322),
    };
    back.phases.push(last);
    back.length += last.length;
    let text = table(&[("connect", &there), ("reconnect", &back)]);
    let expected = "\
ms             connect  reconnect
lane               ssh        ssh
wait                 -       50.0
start                -       10.0
dial               3.0        1.0
key exchange         -       29.0
login                -       20.0
channel              -        2.0
attach            17.0       13.0
hello              1.0        3.0
first byte           -      322.0
in all            21.0      450.0
";
    assert_eq!(text, expected);
}

#[test]
fn the_table_explains_a_phase_that_takes_more_than_all_others_together() {
    let exchange = |millis| (PhaseKind::KeyExchange, millis);
    let slow = timeline(LinkLane::Ssh, &[exchange(40), (PhaseKind::Login, 860)]);
    let text = table(&[("reconnect", &slow)]);
    assert!(text.contains("the login takes most: "), "{text}");
    let quick = timeline(LinkLane::Ssh, &[exchange(10), (PhaseKind::Login, 80)]);
    let even = timeline(LinkLane::Ssh, &[exchange(500), (PhaseKind::Login, 500)]);
    for other in [quick, even] {
        let text = table(&[("reconnect", &other)]);
        assert!(!text.contains("takes most"), "{text}");
    }
}
