//! What must hold of the recording of a server, or of an attach program.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rejoin_protocol::frame::{Hello, Wish};
use rejoin_protocol::record::ServerStep;
use rejoin_protocol::server::{Config, Effect, Event, Limits, Server};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    ClientInstance, Epoch, Frame, Incarnation, Item, Link, Seq, SessionId, Tenure, Timer,
};

use super::links::{LinkState, Links, RunningTimers};
use super::{Recording, RecordingViolation, Track};
use crate::properties::server::{self as properties, Holding};
use crate::properties::{BrokenProperty, Property, PropertyResult, client, require, shown};

/// What a server did, as far as other recordings can tell of it, too.
#[derive(Debug)]
pub(super) struct ServerView<'a> {
    pub(super) recording: &'a Recording,
    pub(super) session: SessionId,
    /// What was started, in which step.
    pub(super) start: Option<(usize, Incarnation)>,
    pub(super) epoch: Option<Epoch>,
    /// What the process wrote, and how it ended, by number.
    pub(super) written: Vec<Item>,
    /// What was handed over to it, with the step and whose it was.
    pub(super) handed_over: Vec<(usize, Option<ClientInstance>, &'a Item)>,
}

/// A walk through a recording.
// Each of them is a fact of its own.
#[allow(clippy::struct_excessive_bools)]
pub(super) struct ServerWalk<'a> {
    pub(super) view: ServerView<'a>,
    pub(super) step: usize,
    /// Whether effects are carried out by somebody else.
    pub(super) is_attach: bool,
    pub(super) links: Links,
    pub(super) timers: RunningTimers,
    /// The last Hello of each link.
    pub(super) hello: BTreeMap<Link, &'a Hello>,
    pub(super) waits_for: WaitsFor,
    pub(super) attached: Option<Link>,
    /// Whose the session is, once a Welcome said so.
    pub(super) owner: Option<Holding<ClientInstance>>,
    /// Those from whom it was taken over.
    pub(super) superseded: BTreeSet<ClientInstance>,
    /// The highest tenure that was recorded, or started with.
    pub(super) recorded: Tenure,
    pub(super) limits: Option<Limits>,
    /// Everything before it, the client has acknowledged.
    pub(super) acked: Seq,
    /// The next item to be sent on the attached link.
    pub(super) next_output: Seq,
    /// Everything before it, the process is reported to have taken.
    pub(super) taken: Seq,
    pub(super) has_exited: bool,
    /// Whether the process was ended.
    pub(super) has_ended: bool,
    /// Whether the entry may go: the exit was acknowledged, or is for nobody.
    pub(super) may_end: bool,
    pub(super) is_displaced: bool,
    pub(super) is_ending: bool,
    pub(super) is_buried: bool,
    pub(super) is_stopped: bool,
    /// Whether a takeover was recorded in this step.
    pub(super) is_takeover: bool,
    /// Whose frame this step is about.
    pub(super) speaker: Option<ClientInstance>,
}

/// What the machine asked for, and the driver has not reported yet.
#[derive(Debug, Default)]
pub(super) struct WaitsFor {
    pub(super) start: bool,
    pub(super) tenures: VecDeque<Tenure>,
    pub(super) end: bool,
}

/// Looks at a server's recording by itself.
pub(super) fn walk<'a>(
    recording: &'a Recording,
    track: &'a Track<Config, Server, ServerStep>,
    is_attach: bool,
) -> Result<ServerView<'a>, RecordingViolation> {
    let mut walk = ServerWalk::new(recording, track.config.session, is_attach);
    let mut machine = track.state.clone();
    for (index, step) in track.steps.iter().enumerate() {
        walk.step = index + 1;
        let room = machine.output_room();
        machine.step(&track.config, step.event.clone());
        walk.step(step, room).map_err(|BrokenProperty { property, what }| RecordingViolation {
            recording: recording.name.clone(),
            step: Some(index + 1),
            event: Some(shown(&step.event)),
            property,
            what,
        })?;
    }
    Ok(walk.view)
}

impl<'a> ServerWalk<'a> {
    fn new(recording: &'a Recording, session: SessionId, is_attach: bool) -> Self {
        let view = ServerView {
            recording,
            session,
            start: None,
            epoch: None,
            written: Vec::new(),
            handed_over: Vec::new(),
        };
        Self {
            view,
            step: 0,
            is_attach,
            links: Links::default(),
            timers: RunningTimers::default(),
            hello: BTreeMap::new(),
            waits_for: WaitsFor::default(),
            attached: None,
            owner: None,
            superseded: BTreeSet::new(),
            recorded: Tenure(0),
            limits: None,
            acked: Seq::ZERO,
            next_output: Seq::ZERO,
            taken: Seq::ZERO,
            has_exited: false,
            has_ended: false,
            may_end: false,
            is_displaced: false,
            is_ending: false,
            is_buried: false,
            is_stopped: false,
            is_takeover: false,
            speaker: None,
        }
    }

    fn step(&mut self, step: &'a ServerStep, room: usize) -> PropertyResult {
        let ServerStep { event, effects } = step;
        let had_stopped = self.is_stopped;
        self.is_takeover = *event == Event::TenureRecorded;
        self.speaker = None;
        self.event(event, effects, room)?;
        let last_bury = effects.iter().rposition(|effect| matches!(effect, Effect::Bury(_)));
        for (index, effect) in effects.iter().enumerate() {
            let is_act = !matches!(effect, Effect::Close(_));
            client::acted(had_stopped && is_act, || shown(effect))?;
            let is_answer =
                matches!(effect, Effect::Send(_, Frame::Refused(_) | Frame::Closed { .. }));
            let is_early = is_answer && last_bury.is_some_and(|bury| index < bury);
            require(!is_early, Property::TombstoneFirst, || {
                format!("{} comes before the tombstone", shown(effect))
            })?;
            self.effect(effect)?;
        }
        Ok(())
    }

    fn event(&mut self, event: &'a Event, effects: &[Effect], room: usize) -> PropertyResult {
        match event {
            Event::Frame(link, frame) => self.heard(*link, Some(frame), effects),
            Event::LinkMisbehaved(link, _) => self.heard(*link, None, effects),
            Event::LinkLost(link) => self.lost(*link, effects),
            Event::Timer(timer) => {
                self.may_end |= *timer == Timer::Retention;
                self.timers.fire(*timer)
            }
            Event::Started(epoch, limits) => {
                self.view.epoch = Some(*epoch);
                self.limits = Some(*limits);
                let was_asked = std::mem::take(&mut self.waits_for.start);
                asked(was_asked, "a process runs that was not to be started")
            }
            Event::StartFailed(_) => {
                self.may_end = true;
                let was_asked = std::mem::take(&mut self.waits_for.start);
                asked(was_asked, "a start failed that was not asked for")
            }
            Event::TenureRecorded | Event::TenureNotRecorded => {
                let tenure = self.waits_for.tenures.pop_front();
                if let Some(tenure) = tenure.filter(|_| self.is_takeover) {
                    self.recorded = self.recorded.max(tenure);
                }
                asked(tenure.is_some(), "a tenure was recorded that nobody asked for")
            }
            Event::Ended(_) => {
                self.has_ended = true;
                let was_asked = std::mem::take(&mut self.waits_for.end);
                asked(was_asked, "a process was ended that was not to be ended")
            }
            Event::InputTaken(next) => self.taken(*next),
            Event::Output(stream, data) => {
                let item = Item::Output { stream: *stream, data: data.clone() };
                self.wrote(item, room)
            }
            Event::Exited(status) => {
                if !self.has_exited && !self.is_ending && self.view.epoch.is_some() {
                    self.view.written.push(Item::Exit(*status));
                }
                self.has_exited = true;
                Ok(())
            }
            Event::Displaced => {
                self.is_displaced = true;
                self.may_end = true;
                Ok(())
            }
        }
    }

    /// The attach program hands a stream over with its first frame: that is how a link appears.
    fn heard(
        &mut self,
        link: Link,
        frame: Option<&'a Frame>,
        effects: &[Effect],
    ) -> PropertyResult {
        if self.links.standing(link).is_none() {
            self.links.open(link);
        }
        self.links.named(link)?;
        let is_open = self.links.standing(link) == Some(LinkState::Open);
        let is_ignored = effects.iter().all(|effect| *effect == Effect::Close(link));
        require(is_open || is_ignored, Property::ClosedLinkIgnored, || {
            format!("{link:?} was closed, and leads to {}", shown(&effects))
        })?;
        if effects.iter().any(|effect| matches!(effect, Effect::HandOver(..))) {
            properties::took(link, self.attached)?;
        }
        self.read(link, frame);
        self.speaker = self.hello.get(&link).map(|hello| hello.instance);
        Ok(())
    }

    fn read(&mut self, link: Link, frame: Option<&'a Frame>) {
        let is_attached = self.attached == Some(link);
        match frame {
            Some(Frame::Hello(hello)) => {
                self.hello.insert(link, hello);
                self.may_end |= matches!(hello.wish, Wish::Close { .. });
            }
            Some(Frame::Close) => self.may_end |= is_attached,
            Some(Frame::Ack { next }) if is_attached => {
                self.acked = self.acked.max(*next);
                self.may_end |= self.has_exited && *next == self.written();
            }
            _ => {}
        }
    }

    /// The number behind what the process wrote.
    pub(super) fn written(&self) -> Seq {
        Seq(self.view.written.len() as u64)
    }

    /// Whether the process lives, as far as the machine was told.
    pub(super) fn is_alive(&self) -> bool {
        self.view.epoch.is_some() && !self.has_exited && !self.has_ended
    }

    /// A link may be lost before it brought anything.
    fn lost(&mut self, link: Link, effects: &[Effect]) -> PropertyResult {
        if self.links.standing(link).is_none() {
            self.links.open(link);
        }
        if self.attached == Some(link) {
            self.attached = None;
        } else {
            properties::lost_late(effects.contains(&Effect::Arm(Timer::Retention)))?;
        }
        self.links.lose(link)
    }

    fn taken(&mut self, next: Seq) -> PropertyResult {
        let offered = Seq(self.view.handed_over.len() as u64);
        require(next <= offered, Property::TakenWasOffered, || {
            format!("the input before {next} was taken; handed over is that before {offered}")
        })?;
        self.taken = self.taken.max(next);
        Ok(())
    }

    /// What comes once the process is to be ended is for nobody.
    fn wrote(&mut self, item: Item, room: usize) -> PropertyResult {
        let length = item.payload().len();
        if self.is_ending || length == 0 {
            return Ok(());
        }
        require(!self.has_exited, Property::ExitIsLast, || {
            format!("{length} bytes were written behind the exit")
        })?;
        self.view.written.push(item);
        self.check_kept()?;
        require(length <= room, Property::RoomWasAsked, || {
            format!("{length} bytes were read where there was room for {room}")
        })
    }

    /// Where output waits, what is not acknowledged fits into the window.
    fn check_kept(&self) -> PropertyResult {
        let Some(limits) = self.limits.filter(|limits| limits.overflow == Overflow::Block) else {
            return Ok(());
        };
        let kept = usize::try_from(self.acked.0).ok().and_then(|at| self.view.written.get(at..));
        let cost = kept.into_iter().flatten().map(Item::cost).sum();
        properties::kept(cost, limits.window)
    }
}

fn asked(was_asked: bool, what: &str) -> PropertyResult {
    require(was_asked, Property::ReportWasAsked, || what.to_owned())
}
