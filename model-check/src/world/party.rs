//! A client: its machine, its driver, its application.

use std::collections::VecDeque;

use rejoin_protocol::client::{Client, Effect, Event, MAX_REPLACEMENTS, Notice};
use rejoin_protocol::frame::{From, Hello, How, Welcome};
use rejoin_protocol::{AttachNumber, Frame, Incarnation, Item, Link, Reason, Seq, Tenure, Timer};

use super::{Cx, World};
use crate::budget::Chance as C;
use crate::ledgers::client::ClientLedger;
use crate::names;
use crate::profile::Role;
pub use crate::properties::client::ToldAttachment;
use crate::properties::client::{self, Asking, Losses};
use crate::timers::Timers;
use crate::witness::Witness;
use crate::{notes, show};

/// A client and its application.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Party {
    /// The machine that ships.
    pub machine: Client,
    /// How often it was started anew: each time with a fresh client instance.
    pub generation: u8,
    /// Whether it is there.
    pub is_alive: bool,
    /// The timers that run.
    pub timers: Timers,
    /// Whether a link is being opened.
    pub is_dialing: bool,
    /// What was offered to the application and not taken: the number behind each item.
    pub untaken: VecDeque<Seq>,
    /// What has happened to it.
    pub past: History,
    /// What its machine was given and did, by which that is judged.
    pub ledger: ClientLedger,
}

/// What a client did and was told, as seen from outside.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct History {
    /// What it was told of its attachment.
    pub told: ToldAttachment,
    /// The server that it was attached to last.
    pub epoch: Option<u8>,
    /// The process of its last Attached or Replaced.
    pub incarnation: Incarnation,
    /// The output that must be delivered next.
    pub expected: Seq,
    /// The input items that its machine has accepted.
    pub typed: u8,
    /// Those that were accepted for earlier processes.
    pub first: u8,
    /// What the application has taken of the output.
    pub taken: Seq,
    /// The number that the first input for the present process has.
    pub base: Seq,
    /// The input that it was told is taken.
    pub acked: Seq,
    /// The input that the server said it has, with its last Welcome.
    pub accepted: Seq,
    /// The attach number of its last Hello.
    pub attach: u64,
    /// The highest tenure that it was welcomed with.
    pub tenure: Tenure,
    /// Whether another instance took the session over from it.
    pub is_superseded: bool,
    /// Whether it asked to leave.
    pub wants_out: bool,
    /// Whether it was told how the process ended.
    pub has_exit: bool,
}

impl Party {
    fn new(machine: Client, generation: u8, ledger: ClientLedger) -> Self {
        let mut timers = Timers::default();
        timers.arm(Timer::Reconnect);
        let past = History { incarnation: machine.incarnation(), ..History::default() };
        Self {
            machine,
            generation,
            is_alive: true,
            timers,
            is_dialing: false,
            untaken: VecDeque::new(),
            past,
            ledger,
        }
    }

    /// The party as it joins in its role.
    pub fn join(cx: &Cx, index: u8, role: Role) -> Self {
        let config = cx.config(index, 0);
        let of = |incarnation, claim| ClientLedger::new(config, incarnation, Tenure(0), claim);
        let (machine, ledger) = match role {
            Role::Opener => (Client::open(config), of(Incarnation(0), None)),
            Role::Claimant(from) => {
                (Client::claim(config, None, from), of(Incarnation(0), Some((None, from))))
            }
            Role::Closer | Role::CloserAhead => {
                let incarnation = Incarnation(u64::from(role == Role::CloserAhead));
                let ledger = of(incarnation, None).closing();
                (Client::close(config, incarnation, Tenure(0)), ledger)
            }
        };
        Self::new(machine, 0, ledger)
    }

    /// The same party, started anew with what it had written down: its holder, and this position.
    pub fn restart(&self, cx: &Cx, index: u8, next_output: Seq) -> Self {
        let generation = self.generation + 1;
        let config = cx.config(index, generation);
        let from = From::Seq(next_output);
        let holder = self.machine.holder();
        let mut machine = Client::claim(config, holder, from);
        let (incarnation, tenure) =
            holder.map_or_else(Default::default, |it| (it.incarnation, it.tenure));
        let mut ledger = ClientLedger::new(config, incarnation, tenure, Some((holder, from)));
        if let Some(host) = self.machine.host() {
            machine = machine.with_host(host);
            ledger = ledger.with_host(host);
        }
        Self::new(machine, generation, ledger)
    }
}

impl World {
    /// Steps a client's machine, carries out all effects, and brings it what they lead to.
    pub fn step_client(&mut self, cx: &Cx, p: u8, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let welcome = match &event {
                Event::Frame(_, Frame::Welcome(welcome)) => Some(welcome.clone()),
                _ => None,
            };
            let is_late = self.is_late(&event);
            let party = self.party_mut(p);
            if !is_late {
                party.past.notice(&event);
            }
            let was_ended = party.machine.is_ended();
            let generation = party.generation;
            let config = cx.config(p, generation);
            let effects = party.machine.step(config, event.clone());
            let held = party.ledger.step(config, &event, &effects);
            self.hold(held);
            let acts = effects.iter().any(is_act);
            if acts {
                self.require(client::acted(was_ended, String::new));
            }
            for effect in effects {
                notes::note(|| (format!("client {p}"), effect_text(&effect)));
                self.carry_out_for_client(cx, p, effect, welcome.as_ref(), &mut events);
            }
            self.check_end(cx, p, was_ended);
            if acts {
                self.require(client::heeded(!is_late, String::new));
            }
        }
    }

    /// Whether it is a frame of a link that the client has closed.
    fn is_late(&self, event: &Event) -> bool {
        let Event::Frame(Link(link), _) = event else { return false };
        let at = usize::try_from(*link).unwrap_or(usize::MAX);
        self.wires.get(at).and_then(Option::as_ref).is_some_and(|wire| !wire.is_open)
    }

    fn carry_out_for_client(
        &mut self,
        cx: &Cx,
        p: u8,
        effect: Effect,
        welcome: Option<&Welcome>,
        events: &mut VecDeque<Event>,
    ) {
        match effect {
            Effect::Connect => self.party_mut(p).is_dialing = true,
            Effect::Send(Link(link), frame) => self.send_to_server(p, link, frame),
            Effect::Close(Link(link)) => {
                if let Some(wire) = self.wire_of(link) {
                    wire.close_client(cx.profile.has_late_reports);
                }
            }
            Effect::Deliver(seq, item) => {
                self.check_delivery(cx, p, seq, &item);
                let next = item.end(seq);
                if cx.profile.has_slow_application {
                    self.party_mut(p).untaken.push_back(next);
                } else {
                    events.push_back(Event::Taken(next));
                }
            }
            Effect::Tell(notice) => self.told(cx, p, &notice, welcome),
            Effect::Return(_) => {
                let past = &mut self.party_mut(p).past;
                past.typed = past.typed.saturating_sub(1);
            }
            Effect::Arm(timer) => {
                let party = self.party_mut(p);
                let told = party.past.told;
                party.timers.arm(timer);
                if timer == Timer::Reconnect {
                    self.require(client::retries(told));
                }
            }
            Effect::Disarm(timer) => self.party_mut(p).timers.disarm(timer),
        }
    }

    fn send_to_server(&mut self, p: u8, link: u64, frame: Frame) {
        match &frame {
            Frame::Hello(hello) => self.check_hello(p, link, hello),
            Frame::Ack { next } => self.check_client_ack(p, *next),
            Frame::Item { seq, .. } => self.check_resent(p, link, *seq),
            _ => {}
        }
        if let Some(wire) = self.wire_of(link) {
            wire.send_to_server(frame);
        }
    }

    fn check_hello(&mut self, p: u8, link: u64, hello: &Hello) {
        let greeted = self.wire_of(link).and_then(|wire| wire.greeted);
        let party = self.party_mut(p);
        party.past.attach = hello.attach.0;
        let History { tenure, has_exit, incarnation, .. } = party.past;
        self.require(client::asked(hello, &Asking { tenure, has_exit, incarnation, greeted }));
    }

    fn check_client_ack(&mut self, p: u8, next: Seq) {
        let past = &self.party(p).past;
        let (taken, epoch) = (past.taken, past.epoch);
        self.require(client::acknowledged(next, Some(taken)));
        if let Some(epoch) = epoch {
            self.ghost.edit().acked(epoch, next);
        }
    }

    /// Input goes on behind what was acknowledged, or what the server said that it has.
    fn check_resent(&mut self, p: u8, link: u64, seq: Seq) {
        let past = &self.party(p).past;
        let known = past.acked.max(past.accepted);
        let Some(wire) = self.wire_of(link) else { return };
        if !std::mem::replace(&mut wire.has_input, true) {
            self.require(client::went_on(seq, known));
        }
    }

    /// Rule 1, output: gapless, without duplicates, and of this process.
    fn check_delivery(&mut self, cx: &Cx, p: u8, seq: Seq, item: &Item) {
        let party = self.party_mut(p);
        let Some(epoch) = party.past.epoch else {
            return self.require(client::delivered(seq, None));
        };
        let expected = std::mem::replace(&mut party.past.expected, item.end(seq));
        self.require(client::delivered(seq, Some(expected)));
        if matches!(item, Item::Gap { .. }) {
            cx.seen.mark(Witness::GapDelivered);
        }
        let written = names::written(epoch, seq, item, cx.profile.outputs);
        self.require(client::arrived(seq, item, Some(&written)));
    }

    fn told(&mut self, cx: &Cx, p: u8, notice: &Notice, welcome: Option<&Welcome>) {
        match notice {
            Notice::Attached { .. } => {
                self.check_welcome(p, welcome);
                if let Some(welcome) = welcome {
                    self.attached(cx, p, welcome);
                }
            }
            Notice::Detached(_) => self.party_mut(p).past.told = ToldAttachment::Detached,
            Notice::Replaced { old, new, unacknowledged_input, next_output, .. } => {
                cx.seen.mark(Witness::Replaced);
                self.require(client::replaced(*old, *new));
                self.check_losses(cx, p, *unacknowledged_input, *next_output);
                let party = self.party_mut(p);
                party.untaken.clear();
                let past = &mut party.past;
                *past = History {
                    incarnation: *new,
                    typed: past.typed,
                    first: past.typed,
                    told: past.told,
                    attach: past.attach,
                    tenure: past.tenure,
                    is_superseded: past.is_superseded,
                    wants_out: past.wants_out,
                    ..History::default()
                };
            }
            Notice::Lost { reason, replacements, unacknowledged_input, next_output } => {
                if matches!(reason, Reason::Exhausted(_)) {
                    cx.mark_reason(reason);
                } else if *replacements == MAX_REPLACEMENTS {
                    cx.seen.mark(Witness::Bounded);
                }
                self.check_losses(cx, p, *unacknowledged_input, *next_output);
                self.party_mut(p).past.told = ToldAttachment::Ended;
            }
            Notice::Exited { .. } => {
                let past = &mut self.party_mut(p).past;
                past.has_exit = true;
                let held = client::exited(past.taken, past.expected);
                self.require(held);
            }
            Notice::Hindered(reason) => cx.mark_reason(reason),
            Notice::Refused(reason) => {
                cx.mark_reason(reason);
                // Who names a number that is not written yet is wrong, and nobody was set back.
                let role = cx.profile.roles.get(usize::from(p));
                let is_guess = matches!(role, Some(Role::Claimant(From::Seq(_))));
                let is_diverged = matches!(reason, Reason::Diverged(_)) && !is_guess;
                if is_diverged && !self.ghost.is_rolled_back {
                    self.violate(14, "the two sides diverge though nothing was rolled back");
                }
                self.party_mut(p).past.told = ToldAttachment::Ended;
            }
            Notice::Superseded { .. } => {
                cx.seen.mark(Witness::Superseded);
                self.party_mut(p).past.told = ToldAttachment::Ended;
            }
            Notice::Closed { .. } | Notice::GaveUp(_) => {
                self.party_mut(p).past.told = ToldAttachment::Ended;
            }
        }
    }

    fn check_welcome(&mut self, p: u8, welcome: Option<&Welcome>) {
        let History { told, attach, acked, expected, epoch, .. } = self.party(p).past;
        self.require(client::attached(welcome, told, AttachNumber(attach)));
        if let Some(welcome) = welcome
            && epoch == Some(names::epoch_index(welcome.epoch))
        {
            self.require(client::resumed(welcome, acked, expected));
        }
    }

    fn attached(&mut self, cx: &Cx, p: u8, welcome: &Welcome) {
        cx.seen.mark(match welcome.how {
            How::Opened => Witness::Opened,
            How::Resumed => Witness::Resumed,
            How::Claimed => Witness::TookOver,
        });
        let forgets = [C::Wipe, C::EntryWipe, C::Day, C::Reboot, C::OtherHost, C::Snapshot];
        let is_remembered = !forgets.iter().any(|chance| cx.profile.budget.has(*chance));
        if is_remembered && welcome.tenure < self.party(p).past.tenure {
            self.violate(11, "a tenure falls");
        }
        let index = names::epoch_index(welcome.epoch);
        let past = &mut self.party_mut(p).past;
        if past.epoch != Some(index) {
            past.expected = welcome.next_output;
            past.taken = welcome.next_output;
            past.base = welcome.accepted;
            past.acked = welcome.handed_over;
        }
        past.told = ToldAttachment::Attached;
        past.epoch = Some(index);
        past.incarnation = welcome.incarnation;
        past.acked = past.acked.max(welcome.handed_over);
        past.accepted = welcome.accepted;
        past.tenure = past.tenure.max(welcome.tenure);
    }

    /// Rule 16: what is told of a loss is exact.
    fn check_losses(&mut self, cx: &Cx, p: u8, unacknowledged: u64, next_output: Seq) {
        let past = &self.party(p).past;
        // An item of the model has one byte.
        let typed = u64::from(past.typed - past.first);
        let known = Losses {
            // Items of several lengths are counted by the ledger.
            unacknowledged_input: match cx.profile.inputs {
                [] => typed.saturating_sub(past.acked.since(past.base)),
                _ => unacknowledged,
            },
            next_output: past.expected,
        };
        let told = Losses { unacknowledged_input: unacknowledged, next_output };
        self.require(client::lost(told, known));
    }

    fn check_end(&mut self, cx: &Cx, p: u8, was_ended: bool) {
        let party = self.party(p);
        let Some(ending) = party.machine.ending() else { return };
        if was_ended {
            return;
        }
        cx.mark_ending(ending);
        let held = client::ended(party.past.told, party.past.wants_out);
        self.require(held);
        self.party_mut(p).untaken.clear();
    }
}

impl History {
    fn notice(&mut self, event: &Event) {
        match event {
            Event::Taken(next) => self.taken = self.taken.max(*next),
            Event::Frame(_, Frame::Ack { next }) if self.told == ToldAttachment::Attached => {
                self.acked = self.acked.max(*next);
            }
            Event::Detach => self.wants_out = true,
            _ => {}
        }
    }
}

fn is_act(effect: &Effect) -> bool {
    !matches!(effect, Effect::Close(_) | Effect::Return(_))
}

fn effect_text(effect: &Effect) -> String {
    match effect {
        Effect::Send(Link(link), frame) => format!("sends on {link}: {}", show::frame(frame)),
        Effect::Deliver(seq, item) => format!("delivers {seq}: {}", show::item(item)),
        Effect::Tell(notice) => format!("tells {}", show::notice(notice)),
        Effect::Return(item) => format!("returns {}", show::item(item)),
        Effect::Close(Link(link)) => format!("closes {link}"),
        effect => format!("{effect:?}"),
    }
}
