//! What must hold of the recording of a server, or of an attach program.

use std::collections::BTreeMap;

use rejoin_protocol::record::ServerStep;
use rejoin_protocol::server::{Config, Effect, Event, Server};
use rejoin_protocol::{
    AttachNumber, ClientInstance, Epoch, Frame, Incarnation, Item, Link, Seq, SessionId,
};

use super::links::{Links, Standing, Timers};
use super::violation::{Broken, Held, Property, require};
use super::{Recording, Track, Violation, shown};

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
pub(super) struct Walk<'a> {
    pub(super) view: ServerView<'a>,
    pub(super) step: usize,
    /// Whether effects are carried out by somebody else.
    pub(super) is_attach: bool,
    pub(super) links: Links,
    pub(super) timers: Timers,
    /// The last Hello of each link.
    pub(super) hello: BTreeMap<Link, (AttachNumber, ClientInstance)>,
    pub(super) waits_for: WaitsFor,
    pub(super) attached: Option<Link>,
    /// Whose the session is, once a Welcome said so.
    pub(super) owner: Option<ClientInstance>,
    /// The next item to be sent on the attached link.
    pub(super) next_output: Seq,
    /// Everything before it, the process is reported to have taken.
    pub(super) taken: Seq,
    pub(super) has_exited: bool,
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
    pub(super) tenure: u32,
    pub(super) end: bool,
}

/// Looks at a server's recording by itself.
pub(super) fn walk<'a>(
    recording: &'a Recording,
    track: &'a Track<Config, Server, ServerStep>,
    is_attach: bool,
) -> Result<ServerView<'a>, Violation> {
    let mut walk = Walk::new(recording, track.config.session, is_attach);
    let mut machine = track.state.clone();
    for (index, step) in track.steps.iter().enumerate() {
        walk.step = index + 1;
        let room = machine.output_room();
        machine.step(&track.config, step.event.clone());
        walk.step(step, room).map_err(|Broken { property, what }| Violation {
            recording: recording.name.clone(),
            step: Some(index + 1),
            event: Some(shown(&step.event)),
            property,
            what,
        })?;
    }
    Ok(walk.view)
}

impl<'a> Walk<'a> {
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
            timers: Timers::default(),
            hello: BTreeMap::new(),
            waits_for: WaitsFor::default(),
            attached: None,
            owner: None,
            next_output: Seq::ZERO,
            taken: Seq::ZERO,
            has_exited: false,
            is_displaced: false,
            is_ending: false,
            is_buried: false,
            is_stopped: false,
            is_takeover: false,
            speaker: None,
        }
    }

    fn step(&mut self, step: &'a ServerStep, room: usize) -> Held {
        let ServerStep { event, effects } = step;
        let had_stopped = self.is_stopped;
        self.is_takeover = *event == Event::TenureRecorded;
        self.speaker = None;
        self.event(event, effects, room)?;
        let last_bury = effects.iter().rposition(|effect| matches!(effect, Effect::Bury(_)));
        for (index, effect) in effects.iter().enumerate() {
            let is_allowed = !had_stopped || matches!(effect, Effect::Close(_));
            require(is_allowed, Property::EndIsFinal, || shown(effect))?;
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

    fn event(&mut self, event: &'a Event, effects: &[Effect], room: usize) -> Held {
        match event {
            Event::Frame(link, frame) => self.heard(*link, Some(frame), effects),
            Event::LinkMisbehaved(link, _) => self.heard(*link, None, effects),
            Event::LinkLost(link) => self.lost(*link),
            Event::Timer(timer) => self.timers.fire(*timer),
            Event::Started(epoch, _) => {
                self.view.epoch = Some(*epoch);
                let was_asked = std::mem::take(&mut self.waits_for.start);
                asked(was_asked, "a process runs that was not to be started")
            }
            Event::StartFailed(_) => {
                let was_asked = std::mem::take(&mut self.waits_for.start);
                asked(was_asked, "a start failed that was not asked for")
            }
            Event::TenureRecorded | Event::TenureNotRecorded => {
                let was_asked = self.waits_for.tenure > 0;
                self.waits_for.tenure = self.waits_for.tenure.saturating_sub(1);
                asked(was_asked, "a tenure was recorded that nobody asked for")
            }
            Event::Ended(_) => {
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
                Ok(())
            }
        }
    }

    /// The attach program hands a stream over with its first frame: that is how a link appears.
    fn heard(&mut self, link: Link, frame: Option<&Frame>, effects: &[Effect]) -> Held {
        if self.links.standing(link).is_none() {
            self.links.open(link);
        }
        self.links.named(link)?;
        let is_open = self.links.standing(link) == Some(Standing::Open);
        let is_ignored = effects.iter().all(|effect| *effect == Effect::Close(link));
        require(is_open || is_ignored, Property::ClosedLinkIgnored, || {
            format!("{link:?} was closed, and leads to {}", shown(&effects))
        })?;
        if let Some(Frame::Hello(hello)) = frame {
            self.hello.insert(link, (hello.attach, hello.instance));
        }
        self.speaker = self.hello.get(&link).map(|(_, instance)| *instance);
        Ok(())
    }

    /// A link may be lost before it brought anything.
    fn lost(&mut self, link: Link) -> Held {
        if self.links.standing(link).is_none() {
            self.links.open(link);
        }
        if self.attached == Some(link) {
            self.attached = None;
        }
        self.links.lose(link)
    }

    fn taken(&mut self, next: Seq) -> Held {
        let offered = Seq(self.view.handed_over.len() as u64);
        require(next <= offered, Property::TakenWasOffered, || {
            format!("the input before {next} was taken; handed over is that before {offered}")
        })?;
        self.taken = self.taken.max(next);
        Ok(())
    }

    /// What comes once the process is to be ended is for nobody.
    fn wrote(&mut self, item: Item, room: usize) -> Held {
        let length = item.payload().len();
        if self.is_ending || length == 0 {
            return Ok(());
        }
        require(!self.has_exited, Property::ExitIsLast, || {
            format!("{length} bytes were written behind the exit")
        })?;
        require(length <= room, Property::RoomWasAsked, || {
            format!("{length} bytes were read where there was room for {room}")
        })?;
        self.view.written.push(item);
        Ok(())
    }
}

fn asked(was_asked: bool, what: &str) -> Held {
    require(was_asked, Property::ReportWasAsked, || what.to_owned())
}
