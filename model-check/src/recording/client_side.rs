//! What must hold of a client's recording.

use std::collections::BTreeMap;

use rejoin_protocol::client::{Client, Config, Effect, Event, Notice};
use rejoin_protocol::frame::How;
use rejoin_protocol::record::ClientStep;
use rejoin_protocol::{
    AttachNumber, ClientInstance, Epoch, Frame, Incarnation, Item, Link, Seq, Timer,
};

use super::links::{Links, Standing, Timers};
use super::put_in::PutIn;
use super::violation::{Broken, Held, Property, require};
use super::{Recording, Track, Violation, shown};

/// What a client did, as far as other recordings can tell of it, too.
#[derive(Debug)]
pub(super) struct ClientView<'a> {
    pub(super) recording: &'a Recording,
    pub(super) instance: ClientInstance,
    /// For each process, what was delivered, with its step.
    pub(super) delivered: BTreeMap<Epoch, BTreeMap<Seq, (usize, &'a Item)>>,
    pub(super) put_in: PutIn<'a>,
}

/// How far the output of one process has come.
#[derive(Clone, Copy, Debug)]
struct Output {
    next: Seq,
    taken: Seq,
    has_exit: bool,
}

struct Walk<'a> {
    view: ClientView<'a>,
    step: usize,
    links: Links,
    timers: Timers,
    /// A link was asked for, and nothing was reported of it.
    is_dialing: bool,
    process: Option<(Epoch, Incarnation)>,
    output: BTreeMap<Epoch, Output>,
    attach: AttachNumber,
    is_closing: bool,
    has_ended: bool,
}

/// Looks at a client's recording by itself.
pub(super) fn walk<'a>(
    recording: &'a Recording,
    track: &'a Track<Config, Client, ClientStep>,
) -> Result<ClientView<'a>, Violation> {
    let view = ClientView {
        recording,
        instance: track.config.instance,
        delivered: BTreeMap::new(),
        put_in: PutIn::default(),
    };
    let mut walk = Walk {
        view,
        step: 0,
        links: Links::default(),
        timers: Timers::default(),
        is_dialing: false,
        process: None,
        output: BTreeMap::new(),
        attach: AttachNumber(0),
        is_closing: false,
        has_ended: false,
    };
    // A driver may begin when it likes.
    walk.timers.arm(Timer::Reconnect);
    let mut machine = track.state.clone();
    for (index, step) in track.steps.iter().enumerate() {
        walk.step = index + 1;
        let room = machine.input_room();
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
    fn step(&mut self, step: &'a ClientStep, room: usize) -> Held {
        let ClientStep { event, effects } = step;
        let had_ended = self.has_ended;
        self.event(event, effects, room)?;
        for effect in effects {
            let is_allowed = !had_ended || matches!(effect, Effect::Close(_) | Effect::Return(_));
            require(is_allowed, Property::EndIsFinal, || shown(effect))?;
            self.effect(effect)?;
        }
        self.check_told(step, had_ended)
    }

    fn event(&mut self, event: &'a Event, effects: &[Effect], room: usize) -> Held {
        match event {
            Event::LinkOpened(link) => {
                self.dialled("a link is open that was not asked for")?;
                require(self.links.open(*link), Property::LinkWasOpen, || {
                    format!("{link:?} was the name of another link before")
                })
            }
            Event::LinkFailed => self.dialled("a link failed that was not asked for"),
            Event::LinkReplaced(link) => {
                require(self.links.open(*link), Property::LinkWasOpen, || {
                    format!("{link:?} was the name of another link before")
                })
            }
            Event::Frame(link, _) | Event::LinkMisbehaved(link, _) => self.heard(*link, effects),
            Event::LinkLost(link) => self.links.lose(*link),
            Event::Timer(timer) => self.timers.fire(*timer),
            Event::Input(item) => self.input(item, effects, room),
            Event::Taken(next) => self.taken(*next),
            Event::Close => {
                self.is_closing = true;
                Ok(())
            }
            Event::Detach | Event::Unreachable => Ok(()),
        }
    }

    fn dialled(&mut self, what: &str) -> Held {
        let was_dialing = std::mem::take(&mut self.is_dialing);
        require(was_dialing, Property::ReportWasAsked, || what.to_owned())
    }

    fn heard(&self, link: Link, effects: &[Effect]) -> Held {
        self.links.named(link)?;
        let is_open = self.links.standing(link) == Some(Standing::Open);
        require(is_open || effects.is_empty(), Property::ClosedLinkIgnored, || {
            format!("{link:?} was closed, and leads to {}", shown(&effects))
        })
    }

    /// Whoever asks for room first is never handed back the bytes of a process that lives.
    fn input(&mut self, item: &'a Item, effects: &[Effect], room: usize) -> Held {
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
        let output = self.process.and_then(|(epoch, _)| self.output.get(&epoch));
        self.has_ended || self.is_closing || output.is_some_and(|output| output.has_exit)
    }

    fn taken(&mut self, next: Seq) -> Held {
        if self.has_ended {
            return Ok(());
        }
        let output = self.process.and_then(|(epoch, _)| self.output.get_mut(&epoch));
        let offered = output.as_ref().map(|output| output.next);
        require(offered.is_some_and(|offered| next <= offered), Property::TakenWasOffered, || {
            format!("the output before {next} was taken; offered is that before {offered:?}")
        })?;
        if let Some(output) = output {
            output.taken = output.taken.max(next);
        }
        Ok(())
    }

    fn effect(&mut self, effect: &'a Effect) -> Held {
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
                Ok(())
            }
            Effect::Disarm(timer) => {
                self.timers.disarm(*timer);
                Ok(())
            }
        }
    }

    fn sent(&mut self, frame: &Frame) -> Held {
        match frame {
            Frame::Hello(hello) => {
                let last = std::mem::replace(&mut self.attach, hello.attach);
                require(hello.attach > last, Property::AttachRises, || {
                    format!("attach {} comes after {last}", hello.attach)
                })
            }
            Frame::Item { seq, item } => {
                let is_current = self.view.put_in.is_current(*seq, item);
                let current = self.process.map(|(epoch, _)| epoch);
                let is_old = self.output.keys().any(|epoch| {
                    current != Some(*epoch) && self.view.put_in.find(*epoch, *seq) == Some(item)
                });
                let property =
                    if is_old { Property::InputStaysBehind } else { Property::SentInOrder };
                require(is_current, property, || {
                    format!("under number {seq} something else was put in than {}", shown(item))
                })
            }
            Frame::Ack { next } => {
                let output = self.process.and_then(|(epoch, _)| self.output.get(&epoch));
                let taken = output.map(|output| output.taken);
                require(
                    taken.is_some_and(|taken| *next <= taken),
                    Property::AcknowledgedIsTaken,
                    || format!("acknowledged before {next}, taken before {taken:?}"),
                )
            }
            _ => Ok(()),
        }
    }

    fn deliver(&mut self, seq: Seq, item: &'a Item) -> Held {
        let process = self.process.map(|(epoch, _)| epoch);
        let known = process.and_then(|epoch| Some((epoch, self.output.get_mut(&epoch)?)));
        let Some((epoch, output)) = known else {
            return require(false, Property::DeliveredOnce, || {
                format!("number {seq} is delivered, and no process is attached")
            });
        };
        require(!output.has_exit, Property::ExitIsLast, || {
            format!("number {seq} is delivered behind the exit status")
        })?;
        require(seq == output.next, Property::DeliveredOnce, || {
            format!("number {seq} is delivered where {} comes next", output.next)
        })?;
        output.next = item.end(seq);
        output.has_exit = matches!(item, Item::Exit(_));
        self.view.delivered.entry(epoch).or_default().insert(seq, (self.step, item));
        Ok(())
    }

    fn notice(&mut self, notice: &Notice) -> Held {
        match notice {
            Notice::Attached { how, epoch, incarnation, next_output, next_input, .. } => {
                self.process = Some((*epoch, *incarnation));
                self.attached(*how, *epoch, *next_output)?;
                let is_next = self.view.put_in.attached(*epoch, *next_input);
                require(is_next, Property::SentInOrder, || {
                    format!("the next input is to get number {next_input}")
                })
            }
            Notice::Replaced { .. } => {
                self.process = None;
                self.view.put_in.replaced();
                Ok(())
            }
            // From here on, input is for nobody.
            Notice::Exited { .. } => {
                self.is_closing = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A process is gone on with where it was left; another is begun.
    fn attached(&mut self, how: How, epoch: Epoch, next: Seq) -> Held {
        let fresh = Output { next, taken: next, has_exit: false };
        let expected = match (how, self.output.get(&epoch)) {
            (_, Some(known)) => known.next,
            (How::Opened, None) => Seq::ZERO,
            (How::Claimed, None) => next,
            (How::Resumed, None) => {
                return require(false, Property::DeliveredOnce, || {
                    String::from("a process is resumed that was never attached")
                });
            }
        };
        require(next == expected, Property::DeliveredOnce, || {
            format!("output goes on at {next} where {expected} comes next")
        })?;
        self.output.entry(epoch).or_insert(fresh);
        Ok(())
    }

    /// Nothing but the end stops the timer for the next attempt.
    fn check_told(&mut self, step: &ClientStep, had_ended: bool) -> Held {
        let ends = step.effects.contains(&Effect::Disarm(Timer::Reconnect));
        if had_ended || !ends {
            return Ok(());
        }
        self.has_ended = true;
        let told = step.effects.iter().any(|effect| match effect {
            Effect::Tell(notice) => is_ending(notice),
            _ => false,
        });
        require(told || step.event == Event::Detach, Property::EndingIsTold, || {
            String::from("the client ends without a word")
        })
    }
}

fn is_ending(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::Lost { .. }
            | Notice::Refused(_)
            | Notice::Superseded { .. }
            | Notice::Closed { .. }
            | Notice::GaveUp(_)
    )
}
