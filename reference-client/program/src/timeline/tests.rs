use serde_json::{Value, json};

use super::collector::{Fields, TimelineBuilder, place_of};
use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An attempt that reaches these, so many milliseconds after it began, and how that is told.
struct Run {
    began: Instant,
    course: TimelineBuilder,
    told: Vec<Found>,
}

impl Run {
    fn begun() -> Self {
        Self::begun_over(Lane::Ssh)
    }

    fn begun_over(lane: Lane) -> Self {
        let began = Instant::now();
        Self { began, course: TimelineBuilder::begun(lane, began), told: Vec::new() }
    }

    fn used(self, away: u64, at: u64) -> Self {
        self.reached(Fields { reached: place_of("used"), away: ms(away), ..Fields::default() }, at)
    }

    fn answered(self, at: u64) -> Self {
        let reached = place_of("answered");
        self.reached(Fields { reached, is_resumed: true, ..Fields::default() }, at)
    }

    fn at(self, what: &str, at: u64) -> Self {
        assert!(place_of(what).is_some());
        self.reached(Fields { reached: place_of(what), ..Fields::default() }, at)
    }

    fn reached(mut self, fields: Fields, at: u64) -> Self {
        self.told.extend(self.course.reached(&fields, self.began + ms(at)));
        self
    }

    /// What was told last, whose parts are checked to be the whole.
    fn phases(&self) -> Vec<(&'static str, u128)> {
        let timeline = &self.told.last().unwrap().timeline;
        let mut end = Duration::ZERO;
        for phase in &timeline.phases {
            assert_eq!(phase.start, end);
            end += phase.length;
        }
        assert_eq!(timeline.length, end);
        timeline.phases.iter().map(|phase| (phase.name, phase.length.as_millis())).collect()
    }
}

/// A way back over ssh, 50 ms after a loss.
fn way_back() -> Run {
    let dialled = Run::begun().used(50, 0).at("resolved", 10).at("connected", 11);
    let there = dialled.at("keys_exchanged", 40).at("authenticated", 60).at("command_sent", 62);
    there.at("greeted", 75).answered(78)
}

#[test]
fn every_phase_follows_on_the_one_before_from_the_loss_on() {
    let run = way_back();
    let all = [
        ("wait", 50),
        ("start", 10),
        ("dial", 1),
        ("key_exchange", 29),
        ("login", 20),
        ("channel", 2),
        ("attach", 13),
        ("hello", 3),
    ];
    assert_eq!(run.phases(), all);
    assert!(!run.told[0].is_complete);
    let run = run.at("output", 79);
    assert_eq!(run.phases()[8..], [("first_byte", 1)]);
    assert!(run.told[1].is_complete && run.told[1].timeline.is_resumed);
}

#[test]
fn what_ssh_does_not_tell_is_one_phase_and_a_part_of_it_belongs_to_the_next() {
    let run = Run::begun().used(0, 0).at("greeted", 70).answered(71);
    assert_eq!(run.phases(), [("connect", 70), ("hello", 1)]);
    let proxied = Run::begun().used(0, 0).at("resolved", 5).at("keys_exchanged", 40);
    let run = proxied.at("authenticated", 50).at("command_sent", 51).at("greeted", 60).answered(61);
    assert_eq!(run.phases()[..2], [("start", 5), ("key_exchange", 35)]);
}

#[test]
fn a_line_that_is_read_late_or_said_again_moves_nothing() {
    let run = Run::begun().used(0, 0).at("connected", 10).at("authenticated", 20);
    let run = run.at("authenticated", 21).at("greeted", 30).at("command_sent", 31).answered(32);
    // After an hour, keys are exchanged again.
    let run = run.at("keys_exchanged", 40);
    assert_eq!(run.told.len(), 1);
    assert_eq!(run.phases(), [("dial", 10), ("login", 10), ("attach", 10), ("hello", 2)]);
}

#[test]
fn a_link_that_stood_by_has_its_past_but_was_not_waited_for() {
    let run = Run::begun().at("connected", 20).at("greeted", 70).used(4, 60_070).answered(60_072);
    let expected = [("dial", 20), ("attach", 50), ("stand_by", 60_000), ("hello", 2)];
    assert_eq!(run.phases(), expected);
    let words = run.told[0].timeline.words();
    assert_eq!(words, "back after 2 ms: hello 2 (over ssh, whose connection stood by)");
}

#[test]
fn a_link_that_is_taken_while_it_is_opened_goes_on_as_it_is() {
    let run = Run::begun().at("connected", 20).used(1, 30).at("greeted", 70).answered(75);
    assert_eq!(run.phases(), [("dial", 20), ("attach", 50), ("hello", 5)]);
}

#[test]
fn a_person_reads_one_line_of_whole_milliseconds() {
    let words = way_back().told[0].timeline.words();
    let expected = "back after 128 ms: wait 50, start 10, dial 1, key exchange 29, login 20, \
                    channel 2, attach 13, hello 3 (over ssh)";
    assert_eq!(words, expected);
    let fast = Run::begun_over(Lane::Fast).used(0, 0).at("greeted", 70).answered(71);
    let words = fast.told[0].timeline.words();
    assert_eq!(words, "back after 71 ms: connect 70, hello 1 (over the fast lane)");
}

#[test]
fn a_program_reads_the_phases_in_milliseconds() {
    let run = Run::begun_over(Lane::Fast).used(0, 0).at("greeted", 70).answered(71);
    let found = &run.told[0];
    let told: Value = serde_json::to_value(found.timeline.told()).unwrap();
    let expected = json!({
        "event": "timeline",
        "lane": "fast",
        "millis": 71.0,
        "phases": [
            { "phase": "connect", "start_millis": 0.0, "millis": 70.0 },
            { "phase": "hello", "start_millis": 70.0, "millis": 1.0 },
        ],
    });
    assert_eq!(told, expected);
}

/// What a collector has found, and somebody who reads it.
fn timelines(found: Vec<Found>) -> (mpsc::UnboundedSender<Found>, Timelines) {
    let (sender, receiver) = mpsc::unbounded_channel();
    for found in found {
        sender.send(found).unwrap();
    }
    (sender, Timelines { found: Some(receiver), open: None })
}

#[tokio::test]
async fn the_first_output_completes_a_timeline_and_none_is_told_twice() {
    let (_collector, mut timelines) = timelines(way_back().at("output", 80).told);
    assert_eq!(timelines.next().await.phases.last().unwrap().name, "first_byte");
    assert_eq!(timelines.ready(), None);
}

#[tokio::test]
async fn a_silent_process_is_not_waited_for() {
    let mut told = way_back().at("output", 80).told;
    let late = told.pop().unwrap();
    let (_collector, mut timelines) = timelines(told);
    assert_eq!(timelines.next().await.phases.last().unwrap().name, "hello");
    assert_eq!(timelines.take(late), None, "what it says later is another matter");
}

#[test]
fn what_is_open_when_something_else_happens_is_told_as_it_is() {
    let both = [way_back().told, way_back().at("output", 80).told].into_iter().flatten().collect();
    let (_collector, mut timelines) = timelines(both);
    assert_eq!(timelines.ready().unwrap().phases.last().unwrap().name, "hello");
    assert_eq!(timelines.ready().unwrap().phases.last().unwrap().name, "first_byte");
    assert_eq!(timelines.ready(), None);
    assert_eq!(Timelines::unwanted().ready(), None);
}

#[test]
fn two_ways_are_shown_side_by_side_and_what_takes_most_of_the_way_back_is_explained() {
    let there = Run::begun().used(0, 0).at("connected", 3).at("greeted", 20).answered(21);
    let (there, back) = (&there.told[0].timeline, &way_back().at("output", 400).told[1].timeline);
    let text = table(&[("connect", there), ("reconnect", back)]);
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
    let slow = Run::begun().used(0, 0).at("keys_exchanged", 40).at("authenticated", 900);
    let slow = slow.at("greeted", 950).answered(951);
    let text = table(&[("reconnect", &slow.told[0].timeline)]);
    assert!(text.contains("the login takes most: "), "{text}");
}

#[test]
fn what_is_quick_or_evenly_slow_needs_no_explanation() {
    let quick = Run::begun().used(0, 0).at("keys_exchanged", 10).at("authenticated", 90);
    let even = Run::begun().used(0, 0).at("keys_exchanged", 500).at("authenticated", 1000);
    for run in [quick.at("greeted", 92).answered(93), even.at("greeted", 1500).answered(1501)] {
        let text = table(&[("reconnect", &run.told[0].timeline)]);
        assert!(!text.contains("takes most"), "{text}");
    }
}
