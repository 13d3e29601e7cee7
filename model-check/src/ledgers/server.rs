//! A server, followed from its events and effects alone.

use std::collections::VecDeque;

use rejoin_protocol::frame::{Bye, Hello, Refused, Scope, Wish};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::server::{Config, Effect, Event, Extent, Limits, Past};
use rejoin_protocol::{
    AttachNumber, ClientInstance, ClientName, Epoch, Frame, Holder, Incarnation, Item, Link,
    Reason, Seq, Tenure, Timer, Version,
};

use super::log::Log;
use super::{LedgerResult, absent, require, runs_exactly};
use crate::timers::Timers;

/// What is known of a server from what it was given and what it did.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ServerLedger {
    pub(super) stage: ServerStage,
    pub(super) past: Past,
    pub(super) incarnation: Incarnation,
    pub(super) owner: Option<Owner>,
    /// The link of who opens the process, while it is started.
    pub(super) opener: Option<Link>,
    pub(super) process: Option<Facts>,
    /// Who waits for Closed.
    pub(super) waiting: Vec<(Link, AttachNumber)>,
    pub(super) extent: Option<Extent>,
    pub(super) is_displaced: bool,
    pub(super) timers: Timers,
}

/// What a server does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum ServerStage {
    Absent,
    Starting,
    Serving,
    Ending,
    Gone,
}

/// Who the session belongs to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Owner {
    pub(super) instance: ClientInstance,
    pub(super) name: ClientName,
    pub(super) version: Version,
    pub(super) attach: AttachNumber,
    pub(super) tenure: Tenure,
}

/// A process that is served.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Facts {
    pub(super) epoch: Epoch,
    pub(super) window: u64,
    pub(super) log: Log,
    pub(super) has_exited: bool,
    pub(super) link: Option<Link>,
    pub(super) claim: Option<Claim>,
    /// The highest incarnation that a Close named.
    pub(super) closed: Option<Incarnation>,
    pub(super) accepted: Seq,
    pub(super) taken: Seq,
    /// What was accepted and not taken: the number behind it, and its cost.
    pub(super) buffer: VecDeque<(Seq, u64)>,
}

/// A takeover that is being recorded.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Claim {
    pub(super) owner: Owner,
    pub(super) link: Option<Link>,
    pub(super) from: Seq,
}

/// What an item that comes is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ItemClass {
    New,
    Known,
    Skips,
    Exceeds,
    WrongSide,
}

impl Owner {
    fn of(hello: &Hello) -> Self {
        Self {
            instance: hello.instance,
            name: hello.name.clone(),
            version: hello.version,
            attach: hello.attach,
            tenure: hello.tenure,
        }
    }
}

impl Facts {
    fn new(epoch: Epoch, limits: Limits) -> Self {
        Self {
            epoch,
            window: limits.window,
            log: Log::new(limits.window, limits.overflow),
            has_exited: false,
            link: None,
            claim: None,
            closed: None,
            accepted: Seq::ZERO,
            taken: Seq::ZERO,
            buffer: VecDeque::new(),
        }
    }

    pub(super) fn buffered(&self) -> u64 {
        self.buffer.iter().map(|(_, cost)| cost).sum()
    }

    pub(super) fn verdict(&self, seq: Seq, item: &Item) -> ItemClass {
        if !item.is_input() {
            ItemClass::WrongSide
        } else if item.end(seq) <= self.accepted {
            ItemClass::Known
        } else if seq > self.accepted {
            ItemClass::Skips
        } else if self.buffered() + item.cost() > self.window {
            ItemClass::Exceeds
        } else {
            ItemClass::New
        }
    }

    fn accept(&mut self, seq: Seq, item: &Item) {
        self.accepted = item.end(seq);
        self.buffer.push_back((self.accepted, item.cost()));
    }

    /// Whether that is news.
    fn take(&mut self, next: Seq) -> bool {
        let next = next.min(self.accepted);
        self.buffer.retain(|(end, _)| *end > next);
        let is_news = next > self.taken;
        self.taken = self.taken.max(next);
        is_news
    }

    pub(super) fn lose(&mut self, link: Link) {
        self.link = self.link.filter(|it| *it != link);
        if let Some(claim) = &mut self.claim {
            claim.link = claim.link.filter(|it| *it != link);
        }
    }
}

impl ServerLedger {
    /// A server that has not been asked for anything, and knows this.
    pub fn new(past: Past) -> Self {
        Self {
            stage: ServerStage::Absent,
            past,
            incarnation: Incarnation(0),
            owner: None,
            opener: None,
            process: None,
            waiting: Vec::new(),
            extent: None,
            is_displaced: false,
            timers: Timers::default(),
        }
    }

    /// Judges what follows from an event.
    ///
    /// # Errors
    /// The property that does not hold.
    pub fn step(&mut self, config: &Config, event: &Event, effects: &[Effect]) -> LedgerResult {
        match self.stage {
            ServerStage::Absent => self.absent(config, event, effects),
            ServerStage::Starting => self.starting(config, event, effects),
            ServerStage::Serving => self.serving(config, event, effects),
            ServerStage::Ending => self.ending(config, event, effects),
            ServerStage::Gone => {
                let is_quiet = effects.iter().all(|it| matches!(it, Effect::Close(_)));
                require(is_quiet, 17, "a server acts after its end")
            }
        }
    }

    fn absent(&mut self, config: &Config, event: &Event, effects: &[Effect]) -> LedgerResult {
        let Event::Frame(link, Frame::Hello(hello)) = event else { return Ok(()) };
        absent::judge(config, &self.past, hello, effects)?;
        if let Some(Effect::Start { incarnation, .. }) = effects.first() {
            self.stage = ServerStage::Starting;
            self.incarnation = *incarnation;
            self.owner = Some(Owner::of(hello));
            self.opener = Some(*link);
        }
        Ok(())
    }

    fn starting(&mut self, config: &Config, event: &Event, effects: &[Effect]) -> LedgerResult {
        match event {
            Event::Frame(link, Frame::Hello(hello)) => {
                let due = self.objection_while_starting(config, hello);
                self.judge_refusal(*link, hello, due.as_ref(), effects)?;
                if due.is_none() {
                    let old = self.opener.replace(*link).filter(|old| old != link);
                    let tenure = self.owner.as_ref().map_or(Tenure(0), |owner| owner.tenure);
                    self.owner = Some(Owner { tenure, ..Owner::of(hello) });
                    require(replaced(old) == effects, 10, OLDER)?;
                }
                Ok(())
            }
            Event::LinkLost(link) | Event::LinkMisbehaved(link, _) => {
                self.opener = self.opener.filter(|it| it != link);
                Ok(())
            }
            Event::Started(epoch, limits) => {
                self.stage = ServerStage::Serving;
                self.process = Some(Facts::new(*epoch, *limits));
                let opener = self.opener.take();
                self.carry_out(config, event, effects)?;
                let is_welcome = self.process.as_ref().is_some_and(|it| it.link == opener);
                require(is_welcome, 17, "who opened the process is not welcomed")?;
                self.check_rest()
            }
            Event::StartFailed(_) => {
                self.stage = ServerStage::Gone;
                self.check_failed_start(event, effects)
            }
            _ => require(effects.is_empty(), 18, UNEXPECTED),
        }
    }

    fn serving(&mut self, config: &Config, event: &Event, effects: &[Effect]) -> LedgerResult {
        let attached = self.attached();
        match event {
            Event::Frame(link, Frame::Hello(hello)) => {
                let due = self.objection(config, hello);
                self.judge_refusal(*link, hello, due.as_ref(), effects)?;
                if due.is_none() {
                    self.grant(*link, hello);
                }
            }
            Event::Frame(link, _) if attached != Some(*link) => {
                return require(effects.is_empty(), 10, "a link that is not attached is heeded");
            }
            Event::Frame(_, frame) => self.heard(frame, effects)?,
            event if self.means_nothing(event) => {
                return require(effects.is_empty(), 18, UNEXPECTED);
            }
            _ => {}
        }
        let is_news = self.note(event);
        self.carry_out(config, event, effects)?;
        self.check_due(event, attached, is_news, effects)?;
        self.check_rest()
    }

    /// What a server that serves has no row for.
    fn means_nothing(&self, event: &Event) -> bool {
        match event {
            Event::Exited(_) => self.has_exited(),
            Event::Output(_, data) => self.has_exited() || data.is_empty(),
            Event::Started(..) | Event::StartFailed(_) | Event::Ended(_) => true,
            _ => false,
        }
    }

    fn ending(&mut self, config: &Config, event: &Event, effects: &[Effect]) -> LedgerResult {
        match event {
            Event::LinkLost(lost) | Event::LinkMisbehaved(lost, _) => {
                self.waiting.retain(|(link, _)| link != lost);
            }
            Event::Displaced => self.is_displaced = true,
            Event::Frame(link, Frame::Hello(hello)) => {
                self.waiting.retain(|(waiting, _)| waiting != link);
                let waits = self.waits_for_end(config, hello);
                let turned_away =
                    [Effect::Send(*link, Frame::Bye(Bye::Ending)), Effect::Close(*link)];
                let due: &[Effect] = if waits { &[] } else { &turned_away };
                require(effects == due, 17, "a Hello to a server that ends is answered wrongly")?;
                if let (true, Wish::Close { incarnation, .. }) = (waits, &hello.wish) {
                    self.waiting.push((*link, hello.attach));
                    self.closes(*incarnation);
                }
                return Ok(());
            }
            Event::Ended(_) => {
                self.stage = ServerStage::Gone;
                return self.check_end(event, effects);
            }
            Event::Frame(link, Frame::Ping { token }) => {
                let due = [Effect::Send(*link, Frame::Pong { token: *token })];
                return require(effects == due, 15, "a Ping is not answered");
            }
            _ => {}
        }
        self.carry_out(config, event, effects)
    }

    /// The numbers at which something changes, for input and output: each with its neighbours.
    pub fn numbers(&self) -> Vec<Seq> {
        let Some(process) = &self.process else { return vec![Seq::ZERO] };
        let log = &process.log;
        neighbours(&[log.acked, log.sent, log.written, process.taken, process.accepted])
    }

    /// The attach number that was welcomed last.
    pub fn owner_attach(&self) -> AttachNumber {
        self.owner.as_ref().map_or(AttachNumber(0), |owner| owner.attach)
    }

    /// Whether its process has ended.
    pub fn has_exited(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.has_exited)
    }

    /// What its owner says of itself in a Hello.
    pub fn owner_says(&self) -> Option<(ClientInstance, AttachNumber, Tenure)> {
        self.owner.as_ref().map(|owner| (owner.instance, owner.attach, owner.tenure))
    }

    /// Whether its process is being started.
    pub fn is_starting(&self) -> bool {
        self.stage == ServerStage::Starting
    }

    /// The link that is attached, or waits for the start.
    pub fn link(&self) -> Option<Link> {
        self.attached().or(self.opener)
    }

    /// How long the next output may be.
    pub fn output_room(&self) -> usize {
        let process = self.process.as_ref().filter(|_| self.stage == ServerStage::Serving);
        process.map_or(0, |process| process.log.room())
    }

    /// The link that is attached.
    pub fn attached(&self) -> Option<Link> {
        self.process.as_ref().and_then(|process| process.link)
    }

    fn closes(&mut self, incarnation: Incarnation) {
        if let Some(process) = &mut self.process {
            process.closed = process.closed.max(Some(incarnation));
        }
    }

    fn waits_for_end(&self, config: &Config, hello: &Hello) -> bool {
        let Wish::Close { scope, .. } = hello.wish else { return false };
        let is_enough = self.extent != Some(Extent::HangUp) || scope == Scope::Process;
        is_enough && self.objection(config, hello).is_none()
    }

    /// A wish that nothing speaks against.
    fn grant(&mut self, link: Link, hello: &Hello) {
        let tenure = self.owner.as_ref().map_or(Tenure(0), |owner| owner.tenure);
        let is_owner = self.owner.as_ref().is_some_and(|it| it.instance == hello.instance);
        let from = self.position(hello).unwrap_or_default();
        if let Wish::Close { incarnation, .. } = hello.wish {
            self.closes(incarnation);
            if !is_owner {
                let highest = tenure.max(hello.tenure);
                if highest.next().is_none() {
                    self.closes(Incarnation(u64::MAX));
                }
                let tenure = highest.next().unwrap_or(highest);
                self.owner = self.owner.take().map(|owner| Owner { tenure, ..owner });
            }
        } else if is_owner {
            self.owner = Some(Owner { tenure, ..Owner::of(hello) });
        } else if let Some(process) = &mut self.process {
            if let Some(claim) = &mut process.claim {
                let tenure = claim.owner.tenure;
                claim.owner = Owner { tenure, ..Owner::of(hello) };
                claim.link = Some(link);
            } else {
                let highest = tenure.max(hello.tenure);
                let tenure = highest.next().unwrap_or(highest);
                let owner = Owner { tenure, ..Owner::of(hello) };
                process.claim = Some(Claim { owner, link: Some(link), from });
            }
        }
    }

    /// What an event says by itself; whether it is news: that the process took input, or that a
    /// takeover is recorded.
    fn note(&mut self, event: &Event) -> bool {
        let Some(process) = &mut self.process else { return false };
        match event {
            Event::LinkLost(link) | Event::LinkMisbehaved(link, _) => process.lose(*link),
            Event::Output(stream, data) if !process.has_exited && !data.is_empty() => {
                process.log.write(Item::Output { stream: *stream, data: data.clone() });
            }
            Event::Exited(status) if !process.has_exited => {
                process.has_exited = true;
                process.log.write(Item::Exit(*status));
            }
            Event::InputTaken(next) => return process.take(*next),
            Event::TenureRecorded => {
                if let Some(claim) = &process.claim {
                    self.owner = Some(claim.owner.clone());
                }
                return process.claim.is_some();
            }
            Event::Frame(_, Frame::Ack { next }) if *next <= process.log.sent => {
                process.log.acknowledge(*next);
            }
            Event::Frame(_, Frame::Item { seq, item })
                if process.verdict(*seq, item) == ItemClass::New =>
            {
                process.accept(*seq, item);
            }
            _ => {}
        }
        false
    }

    /// A frame on the attached link, before it counts.
    fn heard(&self, frame: &Frame, effects: &[Effect]) -> LedgerResult {
        let Some(process) = &self.process else { return Ok(()) };
        let Frame::Item { seq, item } = frame else { return Ok(()) };
        let is_due = process.verdict(*seq, item) == ItemClass::New && !process.has_exited;
        let given = [Effect::HandOver(process.accepted, item.clone())];
        if is_due {
            return require(effects == given, 1, "an item that comes is not handed over as it is");
        }
        let is_given = effects.iter().any(|it| matches!(it, Effect::HandOver(..)));
        require(!is_given, 1, "an item is handed over that is not the next one")
    }

    /// A refusal is sent exactly where something speaks against a wish, and says what.
    fn judge_refusal(
        &self,
        link: Link,
        hello: &Hello,
        due: Option<&Reason>,
        effects: &[Effect],
    ) -> LedgerResult {
        let said = effects.iter().find_map(|effect| match effect {
            Effect::Send(_, Frame::Refused(refused)) => Some(refused),
            _ => None,
        });
        let is_host = matches!(due, Some(Reason::DifferentHost { .. }));
        if let Some(Refused { reason, .. }) = said
            && due != Some(reason)
        {
            let rule = if is_host { 8 } else { 17 };
            return require(false, rule, "a refusal has another reason than is true");
        }
        let Some(reason) = due else { return Ok(()) };
        let refused =
            Refused { attach: hello.attach, reason: reason.clone(), counters: self.counters() };
        let due = [Effect::Send(link, Frame::Refused(refused))];
        let rule = if is_host { 8 } else { 11 };
        require(said.is_some(), rule, "a wish is granted that something speaks against")?;
        require(effects == due, 17, "a refusal does more, or tells other numbers than are true")
    }

    pub(super) fn counters(&self) -> Counters {
        let tenure = self.owner.as_ref().map_or(self.past.tenure, |owner| owner.tenure);
        match &self.process {
            Some(process) => {
                Counters { used: Some(self.incarnation), tenure, epoch: Some(process.epoch) }
            }
            None => Counters { used: self.past.used, tenure, epoch: None },
        }
    }

    /// What a claim has to name.
    pub fn holder(&self) -> Option<Holder> {
        let process = self.process.as_ref()?;
        let tenure = self.owner.as_ref()?.tenure;
        Some(Holder { epoch: process.epoch, incarnation: self.incarnation, tenure })
    }

    /// Timers after a step: who is attached is listened for, who is not is kept for a while.
    fn check_rest(&self) -> LedgerResult {
        if self.stage != ServerStage::Serving {
            return Ok(());
        }
        let is_attached = self.attached().is_some();
        let is_right = runs_exactly(
            self.timers,
            &[
                (Timer::Heartbeat, is_attached),
                (Timer::LinkSilent, is_attached),
                (Timer::Retention, !is_attached),
            ],
        );
        require(is_right, 15, "a server runs other timers than its state needs")
    }
}

/// Each of these numbers, the one before and the one behind it, once.
pub(super) fn neighbours(numbers: &[Seq]) -> Vec<Seq> {
    let around = |seq: &Seq| [seq.0.saturating_sub(1), seq.0, seq.0.saturating_add(1)];
    let mut all: Vec<u64> = numbers.iter().flat_map(around).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(Seq).collect()
}

pub(super) const UNEXPECTED: &str = "an event that means nothing here has an effect";
pub(super) const OLDER: &str = "an older link is not closed with Replaced";

/// What the link that a newer one takes the place of gets.
pub(super) fn replaced(old: Option<Link>) -> Vec<Effect> {
    old.map_or_else(Vec::new, |old| {
        vec![Effect::Send(old, Frame::Bye(Bye::Replaced)), Effect::Close(old)]
    })
}
