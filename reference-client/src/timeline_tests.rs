use serde_json::json;

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A link that reaches these, so many milliseconds after it was begun, and the last timeline of it.
struct Run {
    progress: LinkProgress,
    timeline: Option<Timeline>,
}

impl Run {
    fn begun() -> Self {
        Self::begun_over(LinkLane::Ssh)
    }

    fn begun_over(lane: LinkLane) -> Self {
        Self { progress: LinkProgress::begin(lane, Milestones::default()), timeline: None }
    }

    fn instant(&self, at: u64) -> Instant {
        self.progress.began + ms(at)
    }

    fn at(self, milestone: Milestone, at: u64) -> Self {
        self.progress.milestones.reached_at(milestone, self.instant(at));
        self
    }

    fn greeted(mut self, at: u64) -> Self {
        self.progress.greeted(self.instant(at));
        self
    }

    fn used(mut self, away: u64, at: u64) -> Self {
        self.progress.used_at(ms(away), self.instant(at));
        self
    }

    fn answered(mut self, at: u64) -> Self {
        self.timeline = Some(self.progress.answered_at(How::Resumed, self.instant(at)));
        self
    }

    fn output(mut self, at: u64) -> Self {
        self.timeline = self.progress.output_at(self.instant(at));
        self
    }

    /// The phases, which are checked to be the whole.
    fn phases(&self) -> Vec<(PhaseKind, u128)> {
        let timeline = self.timeline.as_ref().unwrap();
        let mut end = Duration::ZERO;
        for phase in &timeline.phases {
            assert_eq!(phase.start, end);
            end += phase.length;
        }
        assert_eq!(timeline.length, end);
        timeline.phases.iter().map(|phase| (phase.kind, phase.length.as_millis())).collect()
    }
}

/// A reconnect over ssh, 50 ms after a loss.
fn reconnect() -> Run {
    let dialled = Run::begun().used(50, 0).at(Milestone::Resolved, 10).at(Milestone::Connected, 11);
    let there = dialled.at(Milestone::KeysExchanged, 40).at(Milestone::Authenticated, 60);
    there.at(Milestone::CommandSent, 62).greeted(75).answered(78)
}

#[test]
fn every_phase_follows_the_one_before_from_the_loss_on() {
    let run = reconnect();
    let all = [
        (PhaseKind::Wait, 50),
        (PhaseKind::Start, 10),
        (PhaseKind::Dial, 1),
        (PhaseKind::KeyExchange, 29),
        (PhaseKind::Login, 20),
        (PhaseKind::Channel, 2),
        (PhaseKind::Attach, 13),
        (PhaseKind::Hello, 3),
    ];
    assert_eq!(run.phases(), all);
    let mut run = run.output(79);
    assert_eq!(run.phases()[8..], [(PhaseKind::FirstByte, 1)]);
    assert_eq!(run.progress.output(), None, "only the first output counts");
}

#[test]
fn a_part_that_is_unknown_belongs_to_the_next_one() {
    let run = Run::begun().used(0, 0).greeted(70).answered(71);
    assert_eq!(run.phases(), [(PhaseKind::Connect, 70), (PhaseKind::Hello, 1)]);
    let proxied = Run::begun().used(0, 0).at(Milestone::Resolved, 5);
    let run = proxied.at(Milestone::KeysExchanged, 40).greeted(60).answered(61);
    assert_eq!(run.phases()[..2], [(PhaseKind::Start, 5), (PhaseKind::KeyExchange, 35)]);
}

#[test]
fn a_milestone_that_arrives_late_moves_nothing() {
    let run = Run::begun().used(0, 0).at(Milestone::Connected, 10);
    let run = run.at(Milestone::Authenticated, 20).greeted(30);
    let run = run.at(Milestone::CommandSent, 31).answered(32);
    let expected = [
        (PhaseKind::Dial, 10),
        (PhaseKind::Login, 10),
        (PhaseKind::Attach, 10),
        (PhaseKind::Hello, 2),
    ];
    assert_eq!(run.phases(), expected);
}

#[test]
fn a_link_that_stood_by_has_its_past() {
    let run = Run::begun().at(Milestone::Connected, 20).greeted(70);
    let run = run.used(4, 60_070).answered(60_072);
    let expected = [
        (PhaseKind::Dial, 20),
        (PhaseKind::Attach, 50),
        (PhaseKind::StandBy, 60_000),
        (PhaseKind::Hello, 2),
    ];
    assert_eq!(run.phases(), expected);
}

#[test]
fn a_link_that_is_used_before_it_is_ready_does_not_stand_by() {
    let run = Run::begun().at(Milestone::Connected, 20).used(1, 30).greeted(70).answered(75);
    let expected = [(PhaseKind::Dial, 20), (PhaseKind::Attach, 50), (PhaseKind::Hello, 5)];
    assert_eq!(run.phases(), expected);
}

#[test]
fn a_program_reads_the_phases_in_milliseconds() {
    let run = Run::begun_over(LinkLane::Fast).used(0, 0).greeted(70).answered(71);
    let event = crate::Event::Timeline(run.timeline.unwrap());
    let json = serde_json::to_value(&event).unwrap();
    let expected = json!({
        "event": "timeline",
        "how": "resumed",
        "lane": "fast",
        "millis": 71.0,
        "phases": [
            { "phase": "connect", "start_millis": 0.0, "millis": 70.0 },
            { "phase": "hello", "start_millis": 70.0, "millis": 1.0 },
        ],
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<crate::Event>(json).unwrap(), event);
}

#[test]
fn a_phase_of_a_newer_version_is_still_read() {
    let json = json!({ "phase": "teleport", "start_millis": 0.0, "millis": 0.001 });
    let phase: Phase = serde_json::from_value(json).unwrap();
    assert_eq!((phase.kind, phase.length), (PhaseKind::Other, Duration::from_micros(1)));
}
