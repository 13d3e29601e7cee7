//! What must hold of a client's recording.

use std::collections::BTreeMap;

use rejoin_protocol::client::{Client, Config, Effect, Event, Notice};
use rejoin_protocol::frame::{How, Welcome};
use rejoin_protocol::record::ClientStep;
use rejoin_protocol::{
    AttachNumber, ClientInstance, Epoch, Frame, HostId, Incarnation, Item, Link, Seq, Tenure, Timer,
};

use super::links::{LinkState, Links, RunningTimers};
use super::typed_input::TypedInput;
use super::{Recording, RecordingViolation, Track};
use crate::properties::client::{self as properties, Asking, Losses, ToldAttachment};
use crate::properties::{BrokenProperty, Property, PropertyResult, require, shown};

/// What a client did, as far as other recordings can tell of it, too.
#[derive(Debug)]
pub(super) struct ClientView<'a> {
    pub(super) recording: &'a Recording,
    pub(super) instance: ClientInstance,
    /// For each process, what was delivered, with its step.
    pub(super) delivered: BTreeMap<Epoch, BTreeMap<Seq, (usize, &'a Item)>>,
    pub(super) put_in: TypedInput<'a>,
}

/// How far the output of one process has come.
#[derive(Clone, Copy, Debug)]
struct OutputLog {
    next: Seq,
    taken: Seq,
    has_exit: bool,
}

// Each of them is a fact of its own.
#[allow(clippy::struct_excessive_bools)]
struct ClientWalk<'a> {
    view: ClientView<'a>,
    step: usize,
    links: Links,
    timers: RunningTimers,
    /// A link was asked for, and nothing was reported of it.
    is_dialing: bool,
    process: Option<Epoch>,
    /// The process that it opens, or was told of last.
    incarnation: Incarnation,
    output: BTreeMap<Epoch, OutputLog>,
    input: InputLog,
    told: ToldAttachment,
    attach: AttachNumber,
    tenure: Tenure,
    /// The host whose Greeting was read on the latest link.
    greeted: Option<HostId>,
    /// What the frame of this step is, if it is one.
    welcome: Option<&'a Welcome>,
    has_exit: bool,
    is_closing: bool,
    wants_out: bool,
    has_ended: bool,
}

/// How far the input of the current process has come.
#[derive(Clone, Copy, Default, Debug)]
struct InputLog {
    /// Everything before it is known to be taken.
    acked: Seq,
    /// Everything before it, the last Welcome said to have arrived.
    accepted: Seq,
    /// Whether some was sent on the latest link.
    is_sent: bool,
}

/// Looks at a client's recording by itself.
pub(super) fn walk<'a>(
    recording: &'a Recording,
    track: &'a Track<Config, Client, ClientStep>,
) -> Result<ClientView<'a>, RecordingViolation> {
    let view = ClientView {
        recording,
        instance: track.config.instance,
        delivered: BTreeMap::new(),
        put_in: TypedInput::default(),
    };
    let mut walk = ClientWalk {
        view,
        step: 0,
        links: Links::default(),
        timers: RunningTimers::default(),
        is_dialing: false,
        process: None,
        incarnation: track.state.incarnation(),
        output: BTreeMap::new(),
        input: InputLog::default(),
        told: ToldAttachment::Detached,
        attach: AttachNumber(0),
        tenure: Tenure(0),
        greeted: None,
        welcome: None,
        has_exit: false,
        is_closing: false,
        wants_out: false,
        has_ended: false,
    };
    // A driver may begin when it likes.
    walk.timers.arm(Timer::Reconnect);
    let mut machine = track.state.clone();
    for (index, step) in track.steps.iter().enumerate() {
        walk.step = index + 1;
        let room = machine.input_room();
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

impl<'a> ClientWalk<'a> {
    fn step(&mut self, step: &'a ClientStep, room: usize) -> PropertyResult {
        let ClientStep { event, effects } = step;
        let had_ended = self.has_ended;
        self.welcome = None;
        self.event(event, effects, room)?;
        for effect in effects {
            let is_act = !matches!(effect, Effect::Close(_) | Effect::Return(_));
            properties::acted(had_ended && is_act, || shown(effect))?;
            self.effect(effect)?;
        }
        self.check_told(step, had_ended)
    }

    fn event(&mut self, event: &'a Event, effects: &[Effect], room: usize) -> PropertyResult {
        match event {
            Event::LinkOpened(link) => {
                self.dialled("a link is open that was not asked for")?;
                self.greeted = None;
                self.input.is_sent = false;
                require(self.links.open(*link), Property::LinkWasOpen, || {
                    format!("{link:?} was the name of another link before")
                })
            }
            Event::LinkFailed => self.dialled("a link failed that was not asked for"),
            Event::LinkReplaced(link) => {
                if self.told == ToldAttachment::Attached {
                    self.told = ToldAttachment::Moving;
                }
                self.greeted = None;
                self.input.is_sent = false;
                require(self.links.open(*link), Property::LinkWasOpen, || {
                    format!("{link:?} was the name of another link before")
                })
            }
            Event::Frame(link, frame) => {
                self.heard(*link, effects)?;
                if self.links.standing(*link) == Some(LinkState::Open) {
                    self.read(frame);
                }
                Ok(())
            }
            Event::LinkMisbehaved(link, _) => self.heard(*link, effects),
            Event::LinkLost(link) => self.links.lose(*link),
            Event::Timer(timer) => self.timers.fire(*timer),
            Event::Input(item) => self.input(item, effects, room),
            Event::Taken(next) => self.taken(*next),
            Event::Close => {
                self.is_closing = true;
                Ok(())
            }
            Event::Detach => {
                self.wants_out = true;
                Ok(())
            }
            Event::Unreachable => Ok(()),
        }
    }

    fn dialled(&mut self, what: &str) -> PropertyResult {
        let was_dialing = std::mem::take(&mut self.is_dialing);
        require(was_dialing, Property::ReportWasAsked, || what.to_owned())
    }

    fn heard(&self, link: Link, effects: &[Effect]) -> PropertyResult {
        self.links.named(link)?;
        let is_open = self.links.standing(link) == Some(LinkState::Open);
        properties::heeded(is_open || effects.is_empty(), || {
            format!("{link:?} was closed, and leads to {}", shown(&effects))
        })
    }

    /// What a frame of an open link says.
    fn read(&mut self, frame: &'a Frame) {
        match frame {
            Frame::Greeting(greeting) => self.greeted = self.greeted.or(Some(greeting.host)),
            Frame::Welcome(welcome) => self.welcome = Some(welcome),
            Frame::Ack { next } if self.told == ToldAttachment::Attached => {
                self.input.acked = self.input.acked.max(*next);
            }
            _ => {}
        }
    }

    /// Whoever asks for room first is never handed back the bytes of a process that lives.
    fn input(&mut self, item: &'a Item, effects: &[Effect], room: usize) -> PropertyResult {
        let length = item.payload().len();
        let is_over = self.is_over();
        require(length <= room || is_over, Property::RoomWasAsked, || {
            format!("{length} bytes were put in where there was room for {room}")
        })?;
        let returned = effects.iter().any(|effect| matches!(effect, Effect::Return(_)));
        require(!returned || length == 0 || is_over, Property::RoomWasAsked, || {
            format!("{length} bytes of input were handed back by a process that lives")
        })?;
        if !returned {
            self.view.put_in.push(item);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let output = self.process.and_then(|epoch| self.output.get(&epoch));
        self.has_ended || self.is_closing || output.is_some_and(|output| output.has_exit)
    }

    fn taken(&mut self, next: Seq) -> PropertyResult {
        if self.has_ended {
            return Ok(());
        }
        let output = self.process.and_then(|epoch| self.output.get_mut(&epoch));
        let offered = output.as_ref().map(|output| output.next);
        require(offered.is_some_and(|offered| next <= offered), Property::TakenWasOffered, || {
            format!("the output before {next} was taken; offered is that before {offered:?}")
        })?;
        if let Some(output) = output {
            output.taken = output.taken.max(next);
        }
        Ok(())
    }

    fn effect(&mut self, effect: &'a Effect) -> PropertyResult {
        match effect {
            Effect::Connect => {
                let is_double = std::mem::replace(&mut self.is_dialing, true);
                require(!is_double, Property::ReportWasAsked, || {
                    String::from("nothing was reported of the link before")
                })
            }
            Effect::Send(link, frame) => {
                self.links.sent_to(*link)?;
                self.sent(frame)
            }
            Effect::Close(link) => {
                self.links.close(*link);
                Ok(())
            }
            Effect::Deliver(seq, item) => self.deliver(*seq, item),
            Effect::Tell(notice) => self.notice(notice),
            Effect::Return(_) => Ok(()),
            Effect::Arm(timer) => {
                self.timers.arm(*timer);
                let is_retry = *timer == Timer::Reconnect;
                if is_retry { properties::retries(self.told) } else { Ok(()) }
            }
            Effect::Disarm(timer) => {
                self.timers.disarm(*timer);
                Ok(())
            }
        }
    }

    fn sent(&mut self, frame: &Frame) -> PropertyResult {
        match frame {
            Frame::Hello(hello) => {
                let last = std::mem::replace(&mut self.attach, hello.attach);
                let Self { tenure, has_exit, incarnation, greeted, .. } = *self;
                properties::numbered(hello.attach, last)?;
                properties::asked(hello, &Asking { tenure, has_exit, incarnation, greeted })
            }
            Frame::Item { seq, item } => self.sent_item(*seq, item),
            Frame::Ack { next } => {
                let output = self.process.and_then(|epoch| self.output.get(&epoch));
                properties::acknowledged(*next, output.map(|output| output.taken))
            }
            _ => Ok(()),
        }
    }

    fn sent_item(&mut self, seq: Seq, item: &Item) -> PropertyResult {
        let is_current = self.view.put_in.is_current(seq, item);
        let is_old = self.output.keys().any(|epoch| {
            self.process != Some(*epoch) && self.view.put_in.find(*epoch, seq) == Some(item)
        });
        let property = if is_old { Property::InputStaysBehind } else { Property::SentInOrder };
        require(is_current, property, || {
            format!("under number {seq} something else was put in than {}", shown(item))
        })?;
        let InputLog { acked, accepted, .. } = self.input;
        let is_first = !std::mem::replace(&mut self.input.is_sent, true);
        if is_first { properties::went_on(seq, acked.max(accepted)) } else { Ok(()) }
    }

    fn deliver(&mut self, seq: Seq, item: &'a Item) -> PropertyResult {
        let known = self.process.and_then(|epoch| Some((epoch, self.output.get_mut(&epoch)?)));
        let Some((epoch, output)) = known else { return properties::delivered(seq, None) };
        require(!output.has_exit, Property::ExitIsLast, || {
            format!("number {seq} is delivered behind the exit status")
        })?;
        properties::delivered(seq, Some(output.next))?;
        output.next = item.end(seq);
        output.has_exit = matches!(item, Item::Exit(_));
        self.view.delivered.entry(epoch).or_default().insert(seq, (self.step, item));
        Ok(())
    }

    fn notice(&mut self, notice: &Notice) -> PropertyResult {
        match notice {
            Notice::Attached { how, epoch, incarnation, next_output, next_input, .. } => {
                properties::attached(self.welcome, self.told, self.attach)?;
                self.attached(*how, *epoch, *next_output)?;
                self.process = Some(*epoch);
                self.incarnation = *incarnation;
                self.told = ToldAttachment::Attached;
                let is_next = self.view.put_in.attached(*epoch, *next_input);
                require(is_next, Property::SentInOrder, || {
                    format!("the next input is to get number {next_input}")
                })
            }
            Notice::Detached(_) => {
                self.told = ToldAttachment::Detached;
                Ok(())
            }
            Notice::Replaced { old, new, unacknowledged_input, next_output, .. } => {
                properties::replaced(*old, *new)?;
                self.lost(*unacknowledged_input, *next_output)?;
                self.process = None;
                self.incarnation = *new;
                self.input = InputLog::default();
                self.view.put_in.replaced();
                Ok(())
            }
            Notice::Lost { unacknowledged_input, next_output, .. } => {
                self.told = ToldAttachment::Ended;
                self.lost(*unacknowledged_input, *next_output)
            }
            // From here on, input is for nobody.
            Notice::Exited { .. } => {
                self.is_closing = true;
                self.has_exit = true;
                let output = self.process.and_then(|epoch| self.output.get(&epoch));
                output.map_or(Ok(()), |output| properties::exited(output.taken, output.next))
            }
            Notice::Hindered(_) => Ok(()),
            Notice::Refused(_)
            | Notice::Superseded { .. }
            | Notice::Closed { .. }
            | Notice::GaveUp(_) => {
                self.told = ToldAttachment::Ended;
                Ok(())
            }
        }
    }

    fn lost(&self, unacknowledged_input: u64, next_output: Seq) -> PropertyResult {
        let output = self.process.and_then(|epoch| self.output.get(&epoch));
        let known = Losses {
            unacknowledged_input: self.view.put_in.bytes_from(self.input.acked),
            next_output: output.map_or(Seq::ZERO, |output| output.next),
        };
        properties::lost(Losses { unacknowledged_input, next_output }, known)
    }

    /// A process is gone on with where it was left; another is begun.
    fn attached(&mut self, how: How, epoch: Epoch, next: Seq) -> PropertyResult {
        let known = self.output.get(&epoch).map(|output| output.next);
        let is_right = match how {
            How::Opened => known.is_some() || next == Seq::ZERO,
            How::Resumed => known.is_some(),
            How::Claimed => true,
        };
        require(is_right, Property::DeliveredOnce, || {
            format!("{how:?}, output goes on at {next} where {known:?} comes next")
        })?;
        properties::delivered(next, Some(known.unwrap_or(next)))?;
        // That there is one was looked at before.
        let Some(welcome) = self.welcome else { return Ok(()) };
        if let Some(next) = known.filter(|_| self.process == Some(epoch)) {
            properties::resumed(welcome, self.input.acked, next)?;
        } else {
            self.input.acked = Seq::ZERO;
        }
        self.input.acked = self.input.acked.max(welcome.handed_over);
        self.input.accepted = welcome.accepted;
        self.tenure = self.tenure.max(welcome.tenure);
        self.output.entry(epoch).or_insert(OutputLog { next, taken: next, has_exit: false });
        Ok(())
    }

    /// Nothing but the end stops the timer for the next attempt.
    fn check_told(&mut self, step: &ClientStep, had_ended: bool) -> PropertyResult {
        let ends = step.effects.contains(&Effect::Disarm(Timer::Reconnect));
        if had_ended || !ends {
            return Ok(());
        }
        self.has_ended = true;
        properties::ended(self.told, self.wants_out)
    }
}
