//! A client, followed from its events and effects alone.

use rejoin_protocol::client::{Config, Effect, Event, Notice, Patience};
use rejoin_protocol::error::{Divergence, Misbehaviour};
use rejoin_protocol::frame::{Bye, From, How, Welcome, Wish};
use rejoin_protocol::{
    AttachNumber, Epoch, ExitStatus, Frame, Holder, HostId, Incarnation, Item, Link, Reason, Seq,
    Tenure, Timer,
};

use super::client_positions::{InputPosition, OutputPosition};
use super::{LedgerResult, require, runs_exactly};
use crate::timers::Timers;

/// What is known of a client from what it was given and what it did.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
// Each is a fact of its own.
#[allow(clippy::struct_excessive_bools)]
pub struct ClientLedger {
    pub(super) link: Option<Link>,
    pub(super) is_dialing: bool,
    pub(super) is_attached: bool,
    /// Whether the application was told last that it is attached.
    pub(super) is_told: bool,
    /// Whether the session was on its way to another link when this step began.
    pub(super) was_moving: bool,
    pub(super) has_ended: bool,
    pub(super) is_closing: bool,
    /// The host whose Greeting came on the link.
    pub(super) greeted: Option<HostId>,
    pub(super) host: Option<HostId>,
    /// What the last Hello on the link asks, while it has no answer.
    pub(super) asked: Option<Wish>,
    pub(super) attach: AttachNumber,
    pub(super) tenure: Tenure,
    pub(super) incarnation: Incarnation,
    pub(super) epoch: Option<Epoch>,
    pub(super) claim: Option<(Option<Holder>, From)>,
    pub(super) may_take_over: bool,
    pub(super) replacements: u8,
    pub(super) patience: Option<Patience>,
    /// Whether the input of this step was kept.
    pub(super) has_kept: bool,
    /// What breaks a rule in the event of this step.
    pub(super) due_fault: Option<Misbehaviour>,
    /// Whether a deadline that runs was started anew in this step.
    pub(super) is_anew: bool,
    pub(super) exit: Option<ExitStatus>,
    pub(super) output: OutputPosition,
    pub(super) input: InputPosition,
    pub(super) timers: Timers,
}

impl ClientLedger {
    /// A client that was just made: for this incarnation and tenure, with this claim.
    pub fn new(
        config: &Config,
        incarnation: Incarnation,
        tenure: Tenure,
        claim: Option<(Option<Holder>, From)>,
    ) -> Self {
        let names_holder = claim.is_some_and(|(expected, _)| expected.is_some());
        Self {
            link: None,
            is_dialing: false,
            is_attached: false,
            is_told: false,
            was_moving: false,
            has_ended: false,
            is_closing: false,
            greeted: None,
            host: None,
            asked: None,
            attach: AttachNumber(0),
            tenure,
            incarnation,
            epoch: None,
            claim,
            may_take_over: config.take_over && !names_holder,
            replacements: 0,
            patience: None,
            has_kept: false,
            is_anew: false,
            due_fault: None,
            exit: None,
            output: OutputPosition::new(Seq::ZERO, u64::MAX),
            input: InputPosition::new(config.window),
            timers: Timers::default(),
        }
        .detached()
    }

    fn detached(mut self) -> Self {
        self.timers.arm(Timer::Reconnect);
        self
    }

    /// Its link.
    pub fn link(&self) -> Option<Link> {
        self.link
    }

    /// How long the next input may be.
    pub fn input_room(&self) -> usize {
        let kept: u64 = self.input.kept.iter().map(Item::cost).sum();
        let used = kept + self.input.left();
        if self.has_ended { 0 } else { super::log::room(self.input.window, used) }
    }

    /// The attach number of its last Hello.
    pub fn attach(&self) -> AttachNumber {
        self.attach
    }

    /// The server that it was attached to.
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// The numbers at which something changes, for input and output: each with its neighbours.
    pub fn numbers(&self) -> Vec<Seq> {
        let Self { input, output, .. } = self;
        super::server::neighbours(&[
            input.acked,
            input.sent,
            input.next(),
            output.taken,
            output.wanted,
        ])
    }

    /// An answer to what was asked that cannot be objected to.
    pub fn due_welcome(&self) -> Welcome {
        let how = match self.asked {
            Some(Wish::Resume { .. }) => How::Resumed,
            Some(Wish::Claim { .. }) => How::Claimed,
            _ => How::Opened,
        };
        let next_output = match self.asked {
            Some(Wish::Claim { from: From::Seq(seq), .. }) => seq,
            _ => self.output.wanted,
        };
        Welcome {
            attach: self.attach,
            version: rejoin_protocol::VersionRange::SUPPORTED.max,
            capabilities: rejoin_protocol::Capabilities(0),
            epoch: self.epoch.unwrap_or(crate::names::epoch(8)),
            incarnation: self.incarnation,
            tenure: self.tenure,
            accepted: self.input.sent.max(self.input.acked),
            handed_over: self.input.acked,
            buffered: 0,
            first_output: self.output.taken.min(next_output),
            next_output,
            window: 70_000,
            how,
        }
    }

    /// One that only ends the session.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.is_closing = true;
        self
    }

    /// One that knows which host the session is on.
    #[must_use]
    pub fn with_host(mut self, host: HostId) -> Self {
        self.host = Some(host);
        self
    }

    /// Judges what follows from an event.
    ///
    /// # Errors
    /// The property that does not hold.
    pub fn step(&mut self, config: &Config, event: &Event, effects: &[Effect]) -> LedgerResult {
        if self.has_ended {
            return require(effects == after_end(event), 12, "a client acts after its end");
        }
        if let Event::Frame(link, _) | Event::LinkLost(link) | Event::LinkMisbehaved(link, _) =
            event
            && self.link != Some(*link)
        {
            let what = "a client acts on a link that is not its own";
            return require(effects.is_empty(), 10, what);
        }
        let was_told = self.is_told;
        self.was_moving = was_told && !self.is_attached;
        let patience = self.patience;
        let is_ahead = matches!(event, Event::Frame(_, Frame::Ack { next })
            if self.is_attached && *next > self.input.sent);
        let due = self.due(event);
        let answer = self.due_answer(config, event);
        self.due_fault = self.fault(event);
        let is_news = self.note(event);
        self.has_kept = matches!(event, Event::Input(item) if self.accepts(item));
        if let (true, Event::Input(item)) = (self.has_kept, event) {
            self.input.kept.push_back(item.clone());
        }
        for effect in effects {
            self.judge(config, event, effect)?;
        }
        let reason = Reason::Diverged(Divergence::InputAhead);
        let is_told = effects.contains(&Effect::Tell(Notice::Refused(reason)));
        require(is_told || !is_ahead, 14, "an Ack of what was never sent is not told")?;
        let is_done = due.iter().all(|due| effects.contains(due));
        let rule = match event {
            Event::LinkReplaced(_) => 10,
            _ if self.due_fault.is_some() => 18,
            _ => 15,
        };
        require(is_done, rule, "a client does not do what is due")?;
        let is_answered = answer.is_none_or(|due| due.is_met_by(effects));
        require(is_answered, 17, "an answer does not lead to what its reason asks for")?;
        self.due_fault = None;
        if self.has_ended {
            self.forget();
            return Ok(());
        }
        if self.link.is_none() {
            self.let_go();
        }
        let is_anew = std::mem::take(&mut self.is_anew) && patience == self.patience;
        require(!is_anew, 15, "a deadline that runs is started anew")?;
        self.check_event(event, was_told, is_news, effects)?;
        self.check_rest()
    }

    /// An end holds nothing.
    fn forget(&mut self) {
        self.link = None;
        self.asked = None;
        self.greeted = None;
        self.is_attached = false;
        self.is_told = false;
        self.is_dialing = false;
        self.input = InputPosition::new(0);
        self.output = OutputPosition::new(Seq::ZERO, 0);
        self.timers = Timers::default();
        self.patience = None;
        self.is_anew = false;
    }

    /// What has to follow in any case.
    fn due(&self, event: &Event) -> Vec<Effect> {
        if let Event::LinkReplaced(new) = event {
            let has_place = self.link.is_some() || self.is_dialing;
            return self
                .link
                .or((!has_place).then_some(*new))
                .map(Effect::Close)
                .into_iter()
                .collect();
        }
        let Some(link) = self.link else { return Vec::new() };
        if !self.is_attached {
            return self.fault(event).map_or_else(Vec::new, |fault| misbehaved(link, fault));
        }
        match event {
            Event::Frame(_, Frame::Ping { token }) => {
                vec![Effect::Send(link, Frame::Pong { token: *token })]
            }
            Event::Timer(Timer::Heartbeat) => {
                vec![Effect::Send(link, Frame::Ping { token: 0 })]
            }
            Event::Timer(Timer::LinkSilent) => vec![Effect::Close(link)],
            Event::Detach => vec![Effect::Send(link, Frame::Detach), Effect::Close(link)],
            Event::Close if !self.is_closing => vec![Effect::Send(link, Frame::Close)],
            Event::Frame(_, Frame::Item { seq, item }) => match self.output.fault(*seq, item) {
                Some(fault) => misbehaved(link, fault),
                None if self.output.is_known(*seq, item) => Vec::new(),
                None => vec![Effect::Deliver(self.output.wanted, item.clone())],
            },
            Event::Frame(_, frame) if is_fault_when_attached(frame) => {
                misbehaved(link, Misbehaviour::WrongSide)
            }
            Event::LinkMisbehaved(_, what) => misbehaved(link, *what),
            _ => Vec::new(),
        }
    }

    /// What an event says by itself; whether it is news that output was taken.
    fn note(&mut self, event: &Event) -> bool {
        match event {
            Event::LinkOpened(link) if self.is_dialing => {
                self.is_dialing = false;
                self.link = Some(*link);
                self.greeted = None;
            }
            Event::LinkReplaced(link) if self.link.is_some() || self.is_dialing => {
                self.is_dialing = false;
                self.let_go();
                self.link = Some(*link);
            }
            Event::LinkFailed if self.is_dialing => {
                self.is_dialing = false;
                self.patience = self.patience.filter(|it| *it != Patience::Hindrance);
            }
            Event::LinkLost(_) => self.let_go(),
            Event::Detach => self.has_ended = true,
            Event::Frame(_, Frame::Greeting(greeting)) if self.greeted.is_none() => {
                self.greeted = Some(greeting.host);
            }
            Event::Frame(_, Frame::Ack { next })
                if self.is_attached && *next <= self.input.sent =>
            {
                self.input.acknowledge(*next);
            }
            Event::Frame(_, Frame::Welcome(welcome)) if self.is_answer(welcome.attach) => {
                self.take_numbers(welcome);
            }
            Event::Taken(next) => {
                let next = (*next).min(self.output.wanted);
                let is_news = next > self.output.taken;
                self.output.taken = self.output.taken.max(next);
                self.output.buffer.retain(|(end, _)| *end > next);
                return is_news;
            }
            Event::Timer(Timer::Stable) if self.is_attached => {
                self.replacements = 0;
                self.timers.disarm(Timer::Stable);
            }
            Event::Timer(timer) if *timer != Timer::Heartbeat => self.timers.disarm(*timer),
            Event::Close if !self.is_closing && (self.attach.0 > 0 || self.claim.is_some()) => {
                self.begin_closing();
            }
            _ => {}
        }
        false
    }

    fn begin_closing(&mut self) {
        self.is_closing = true;
        self.patience = Some(Patience::Close);
    }

    /// Whether this is the answer that the client waits for.
    pub(super) fn is_answer(&self, attach: AttachNumber) -> bool {
        self.asked.is_some() && attach == self.attach
    }

    pub(super) fn accepts(&self, item: &Item) -> bool {
        self.exit.is_none()
            && !self.is_closing
            && item.is_input()
            && item.payload().len() <= Item::MAX_PAYLOAD
            && self.input.fits(item)
    }

    pub(super) fn let_go(&mut self) {
        self.link = None;
        self.greeted = None;
        self.asked = None;
        self.is_attached = false;
    }

    /// A Welcome that is believed.
    fn take_numbers(&mut self, welcome: &Welcome) {
        if self.is_closing || self.divergence(welcome).is_some() {
            return;
        }
        let input = &mut self.input;
        if self.epoch.is_some() {
            input.sent = input.sent.max(welcome.accepted);
            input.acknowledge(welcome.handed_over);
            return;
        }
        self.epoch = Some(welcome.epoch);
        self.incarnation = welcome.incarnation;
        self.output = OutputPosition::new(welcome.next_output, welcome.window);
        input.acked = welcome.handed_over;
        input.first = welcome.accepted;
        input.sent = welcome.accepted;
        input.window = welcome.window;
        let left = (welcome.accepted, welcome.buffered);
        input.left = (welcome.handed_over < welcome.accepted).then_some(left);
    }

    /// Why the numbers of a Welcome cannot be true (SPEC section 8.4).
    pub(super) fn divergence(&self, welcome: &Welcome) -> Option<Divergence> {
        let is_odd =
            welcome.handed_over > welcome.accepted || welcome.first_output > welcome.next_output;
        if is_odd {
            return Some(Divergence::Identity);
        } else if welcome.accepted.0 >= 1 << 63 {
            return Some(Divergence::InputAhead);
        }
        match (&self.asked, self.epoch) {
            (Some(Wish::Resume { .. }), Some(epoch)) => {
                let is_same = welcome.how == How::Resumed
                    && welcome.epoch == epoch
                    && welcome.incarnation == self.incarnation
                    && welcome.tenure == self.tenure;
                [
                    (!is_same, Divergence::Identity),
                    (welcome.accepted > self.input.next(), Divergence::InputAhead),
                    (welcome.handed_over < self.input.acked, Divergence::InputBehind),
                    (welcome.first_output > self.output.taken, Divergence::OutputBehind),
                    (welcome.next_output != self.output.wanted, Divergence::OutputAhead),
                ]
                .into_iter()
                .find_map(|(is_so, divergence)| is_so.then_some(divergence))
            }
            (Some(Wish::Claim { from, .. }), _) => match from {
                _ if welcome.how != How::Claimed => Some(Divergence::Identity),
                From::Seq(wanted) if *wanted != welcome.next_output => {
                    Some(Divergence::OutputBehind)
                }
                _ => None,
            },
            _ => (welcome.how != How::Opened).then_some(Divergence::Identity),
        }
    }

    fn check_event(
        &mut self,
        event: &Event,
        was_told: bool,
        is_news: bool,
        effects: &[Effect],
    ) -> LedgerResult {
        let tells = |wanted: fn(&Notice) -> bool| {
            effects.iter().any(|it| matches!(it, Effect::Tell(notice) if wanted(notice)))
        };
        let is_told = tells(|it| matches!(it, Notice::Detached(_)));
        let is_replaced = tells(|it| matches!(it, Notice::Replaced { .. }));
        let is_lost = self.link.is_none() && !self.is_dialing || is_replaced;
        require(
            is_told == (was_told && is_lost),
            16,
            "a lost link is not told, or one that is not lost",
        )?;
        if let (true, Some(link)) = (is_news && self.is_attached, self.link) {
            let due = Effect::Send(link, Frame::Ack { next: self.output.taken });
            require(effects.contains(&due), 2, "what the application took is not acknowledged")?;
        }
        if let Event::Frame(_, Frame::Welcome(welcome)) = event
            && self.is_attached
        {
            let acks = effects.iter().any(|it| matches!(it, Effect::Send(_, Frame::Ack { .. })));
            let is_due = self.output.taken > welcome.first_output;
            require(acks == is_due, 3, "an Ack that may be lost is not sent again")?;
        }
        self.check_replaced(effects)?;
        if let Event::Input(item) = event {
            let is_returned = effects.contains(&Effect::Return(item.clone()));
            let what = "input is neither kept nor returned";
            require(std::mem::take(&mut self.has_kept) != is_returned, 1, what)?;
        }
        let is_all_taken = is_news && self.output.taken == self.output.wanted;
        if is_all_taken && self.exit.is_some() && !self.is_closing {
            return require(false, 4, "the exit is not told");
        }
        let is_all_sent = !self.is_attached || self.is_closing || !self.input.may_send();
        require(is_all_sent, 15, "input that may be sent is not sent")
    }

    /// Timers after a step.
    fn check_rest(&self) -> LedgerResult {
        let is_open = self.link.is_some();
        let is_idle = !is_open && !self.is_dialing;
        let is_right = runs_exactly(
            self.timers,
            &[
                (Timer::Handshake, is_open && !self.is_attached),
                (Timer::Heartbeat, self.is_attached),
                (Timer::LinkSilent, self.is_attached),
                (Timer::Reconnect, is_idle),
                (Timer::Stable, self.is_attached && self.replacements > 0),
            ],
        );
        require(is_right, 15, "a client runs other timers than its state needs")?;
        let waits = self.patience.is_some();
        require(
            self.timers.has(Timer::GiveUp) == waits,
            15,
            "a client waits without a deadline, or has one for nothing",
        )
    }

    pub(super) fn close(&mut self) {
        self.begin_closing();
    }
}

/// All that may follow once a client has ended.
fn after_end(event: &Event) -> Vec<Effect> {
    match event {
        Event::LinkOpened(link) | Event::LinkReplaced(link) => vec![Effect::Close(*link)],
        Event::Input(item) => vec![Effect::Return(item.clone())],
        _ => Vec::new(),
    }
}

fn misbehaved(link: Link, what: Misbehaviour) -> Vec<Effect> {
    vec![Effect::Send(link, Frame::Bye(Bye::Misbehaved(what))), Effect::Close(link)]
}

/// Whether a frame breaks a rule on an attached link.
pub(super) fn is_fault_when_attached(frame: &Frame) -> bool {
    matches!(
        frame,
        Frame::Greeting(_) | Frame::Hello(_) | Frame::Welcome(_) | Frame::Detach | Frame::Close
    )
}
