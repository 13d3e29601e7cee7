//! What a client says, does and tells, judged by what its ledger knows.

use rejoin_protocol::client::{
    Config, Effect, Event, Loss, MAX_REPLACEMENTS, Notice, OnLoss, Patience,
};
use rejoin_protocol::error::{Divergence, Misbehaviour};
use rejoin_protocol::frame::{Bye, From, Hello, Refused, Scope, Wish};
use rejoin_protocol::{
    AttachNumber, Counter, Frame, Incarnation, Item, Link, Reason, Seq, Tenure, Timer,
};

use super::client::{ClientLedger, is_fault_when_attached};
use super::{LedgerResult, require};

/// How much input goes out before it is known what has arrived (SPEC section 7.6).
const EARLY: u64 = 16_384;

impl ClientLedger {
    /// Judges an effect, and takes note of it.
    pub(super) fn judge(
        &mut self,
        config: &Config,
        event: &Event,
        effect: &Effect,
    ) -> LedgerResult {
        match effect {
            Effect::Connect => {
                let is_due = *event == Event::Timer(Timer::Reconnect) && self.link.is_none();
                self.is_dialing = true;
                if self.is_closing {
                    self.patience = Some(Patience::Close);
                }
                require(is_due, 17, "a link is opened that is not due")
            }
            Effect::Send(link, frame) => {
                let is_current = self.link == Some(*link);
                require(is_current, 10, "a client sends on a link that is not its own")?;
                self.says(config, event, *link, frame)
            }
            Effect::Close(link) => {
                // What was asked on it is still known until the step is over.
                self.link = self.link.filter(|it| it != link);
                Ok(())
            }
            Effect::Deliver(seq, item) => self.delivers(event, *seq, item),
            Effect::Tell(notice) => self.tells(config, event, notice),
            Effect::Return(item) => {
                let is_due = *event == Event::Input(item.clone()) && !self.has_kept;
                require(is_due, 17, "input is returned that there is room for")
            }
            Effect::Arm(timer) => {
                self.is_anew |= *timer == Timer::GiveUp && self.timers.has(Timer::GiveUp);
                self.timers.arm(*timer);
                Ok(())
            }
            Effect::Disarm(timer) => {
                self.timers.disarm(*timer);
                Ok(())
            }
        }
    }

    fn says(&mut self, config: &Config, event: &Event, link: Link, frame: &Frame) -> LedgerResult {
        match frame {
            Frame::Hello(hello) => self.asks(config, event, hello),
            Frame::Item { seq, item } => self.sends(*seq, item),
            Frame::Ack { next } => {
                let is_exact = self.is_attached && *next == self.output.taken;
                require(is_exact, 2, "an Ack is not what the application has taken")
            }
            Frame::Ping { .. } => {
                let is_due = self.is_attached && *event == Event::Timer(Timer::Heartbeat);
                require(is_due, 17, "a Ping without a reason")
            }
            Frame::Pong { token } => {
                let is_due = *event == Event::Frame(link, Frame::Ping { token: *token });
                require(is_due, 17, "a Pong answers no Ping")
            }
            Frame::Detach => require(*event == Event::Detach, 17, "a client leaves unasked"),
            Frame::Close => {
                require(self.is_attached && self.is_closing, 17, "a client closes unasked")
            }
            Frame::Bye(Bye::Misbehaved(what)) => {
                if !self.is_attached {
                    self.patience = self.patience.or(Some(Patience::Hindrance));
                }
                let is_true = self.due_fault == Some(*what);
                require(is_true, 17, "a Bye has another reason than is true")
            }
            _ => require(false, 17, "a client sends what it never does"),
        }
    }

    /// What breaks a rule in an event.
    pub(super) fn fault(&self, event: &Event) -> Option<Misbehaviour> {
        match event {
            Event::LinkMisbehaved(_, what) => Some(*what),
            Event::Frame(_, Frame::Item { seq, item }) if self.is_attached => {
                self.output.fault(*seq, item)
            }
            Event::Frame(_, Frame::Item { .. }) => None,
            Event::Frame(_, frame) => {
                let is_fault = match frame {
                    Frame::Greeting(_) => self.is_attached || self.greeted.is_some(),
                    Frame::Welcome(_) => self.is_attached,
                    frame => is_fault_when_attached(frame),
                };
                is_fault.then_some(Misbehaviour::WrongSide)
            }
            _ => None,
        }
    }

    /// What the answer at hand has to lead to (SPEC section 8.1); none if it is no answer.
    pub(super) fn due_answer(&self, config: &Config, event: &Event) -> Option<RequiredAnswer> {
        let reason = self.answered(event)?;
        let is_other = matches!(reason, Reason::Held { by, .. } if self.epoch.is_some_and(|it| it != by.epoch));
        Some(match reason {
            _ if self.is_attached => RequiredAnswer::Refused,
            reason if is_gone(reason) || is_other => match (self.is_closing, self.exit) {
                (true, _) => RequiredAnswer::Closed,
                (false, Some(_)) => RequiredAnswer::Wait,
                (false, None) => RequiredAnswer::Gone,
            },
            Reason::DifferentHost { .. } | Reason::Unresponsive => RequiredAnswer::Hindered,
            Reason::Superseded { .. } => RequiredAnswer::Superseded,
            Reason::Held { .. } if self.may_take_over && !self.is_closing => RequiredAnswer::Ask,
            Reason::Incompatible { supported } => {
                let common = config.versions.newest_common(*supported);
                let is_lower = common.is_some_and(|common| common < config.versions.max);
                if is_lower { RequiredAnswer::Ask } else { RequiredAnswer::Refused }
            }
            _ => RequiredAnswer::Refused,
        })
    }

    /// The first replacement is opened at once, each that follows waits.
    pub(super) fn check_replaced(&self, effects: &[Effect]) -> LedgerResult {
        let is_replaced =
            effects.iter().any(|it| matches!(it, Effect::Tell(Notice::Replaced { .. })));
        let waits = self.link.is_none();
        let is_right = !is_replaced || waits == (self.replacements > 1);
        require(is_right, 15, "a replacement waits that should not, or does not wait")
    }

    fn asks(&mut self, config: &Config, event: &Event, hello: &Hello) -> LedgerResult {
        if let Event::Frame(_, Frame::Greeting(greeting)) = event {
            let is_other = self.host.is_some_and(|known| !known.is_same_machine(&greeting.host));
            require(!is_other, 8, "another machine is asked than the session is on")?;
        }
        let may_ask = matches!(
            event,
            Event::LinkOpened(_)
                | Event::LinkReplaced(_)
                | Event::Frame(_, Frame::Greeting(_) | Frame::Refused(_))
        );
        require(may_ask, 17, "a Hello without a reason")?;
        require(hello.attach > self.attach, 11, "an attach number does not rise")?;
        require(hello.tenure >= self.tenure, 11, "a tenure falls")?;
        let is_ours = hello.session == config.session
            && hello.instance == config.instance
            && hello.name == config.name
            && config.versions.contains(hello.version);
        require(is_ours, 17, "a Hello is of somebody else")?;
        self.learn_holder(event);
        require(hello.tenure == self.tenure, 17, "a Hello tells another tenure than is true")?;
        self.attach = hello.attach;
        let due = self.wish(config);
        let is_guess = matches!(hello.wish, Wish::Open { .. }) && self.greeted.is_none();
        require(!is_guess, 8, "an Open is sent before the Greeting of its host")?;
        let is_claim = matches!(hello.wish, Wish::Claim { .. });
        let rule = if is_claim { 12 } else { 17 };
        require(due.as_ref() == Some(&hello.wish), rule, "a Hello wishes something else")?;
        if let Wish::Open { host, .. } = hello.wish {
            self.host = Some(host);
            self.patience = Some(Patience::Open);
        }
        if matches!(hello.wish, Wish::Resume { .. }) {
            self.input.sent = self.input.first;
        }
        self.asked = Some(hello.wish.clone());
        Ok(())
    }

    /// Who holds the session is claimed from, once, if the user wants that.
    fn learn_holder(&mut self, event: &Event) {
        if let Event::Frame(_, Frame::Refused(Refused { reason: Reason::Held { by, .. }, .. })) =
            event
            && self.may_take_over
            && !self.is_closing
            && self.asked.is_some()
        {
            self.may_take_over = false;
            let from = self.claim.map_or(From::FirstHeld, |(_, from)| from);
            self.claim = Some((Some(*by), from));
            self.epoch = None;
        }
    }

    /// The wish of the moment (SPEC section 7.6).
    fn wish(&self, config: &Config) -> Option<Wish> {
        let incarnation = self.incarnation;
        if self.is_closing {
            let scope = if self.exit.is_some() { Scope::Process } else { Scope::Session };
            return Some(Wish::Close { incarnation, scope });
        }
        match (self.epoch, self.claim) {
            (Some(epoch), _) => {
                Some(Wish::Resume { incarnation, epoch, next_output: self.output.wanted })
            }
            (None, Some((expected, from))) => Some(Wish::Claim { expected, from }),
            (None, None) => {
                let spec = config.spec.clone().unwrap_or_default();
                self.greeted.map(|host| Wish::Open { incarnation, host, spec })
            }
        }
    }

    fn sends(&mut self, seq: Seq, item: &Item) -> LedgerResult {
        let is_early = matches!(self.asked, Some(Wish::Resume { .. })) && !self.is_attached;
        require(self.is_attached || is_early, 16, "input is sent to no process")?;
        require(seq == self.input.sent, 1, "what is sent on a link is not contiguous")?;
        require(self.input.item(seq) == Some(item), 1, "what is sent is not what was put in")?;
        let may_send = if is_early { self.input.flying() < EARLY } else { self.input.may_send() };
        self.input.sent = seq.next();
        require(may_send, 3, "more is in flight than may be")
    }

    fn delivers(&mut self, event: &Event, seq: Seq, item: &Item) -> LedgerResult {
        let is_as_it_came = matches!(event, Event::Frame(_, Frame::Item { item: came, .. })
            if came == item);
        let is_next = self.is_attached && seq == self.output.wanted;
        self.output.wanted = item.end(seq);
        self.output.buffer.push_back((self.output.wanted, item.cost()));
        if let Item::Exit(status) = item {
            self.exit = Some(*status);
        }
        require(is_as_it_came && is_next, 1, "an item is not delivered as it came, in its place")
    }

    fn tells(&mut self, config: &Config, event: &Event, notice: &Notice) -> LedgerResult {
        match notice {
            Notice::Attached { .. } => self.tells_attached(event, notice),
            Notice::Detached(loss) => {
                let due = match event {
                    Event::LinkLost(_) => Some(Loss::Cut),
                    Event::Timer(Timer::LinkSilent) => Some(Loss::Silent),
                    _ => self.due_fault.map(Loss::Misbehaved),
                };
                // A new link that leads nowhere is a loss of the old one, too.
                let due = due.or(self.was_moving.then_some(Loss::Cut));
                self.is_told = false;
                require(due.is_some(), 16, "a loss is told where nothing was lost")?;
                require(due == Some(*loss), 17, "a loss is told that was another")
            }
            Notice::Replaced { old, new, reason, unacknowledged_input, next_output } => {
                let used = refused(event).and_then(|refused| refused.counters.used);
                let next = self.incarnation.max(used.unwrap_or_default()).next();
                let is_exact = *old == self.incarnation && Some(*new) == next;
                require(is_exact, 17, "a replacement has another incarnation than is due")?;
                self.check_loss(event, reason, *unacknowledged_input, *next_output)?;
                let may = config.on_loss == OnLoss::Respawn
                    && config.spec.is_some()
                    && self.exit.is_none()
                    && self.replacements < MAX_REPLACEMENTS;
                require(may, 17, "a process is replaced that should not be")?;
                self.replace(config, event, *new);
                Ok(())
            }
            Notice::Lost { reason, replacements, unacknowledged_input, next_output } => {
                self.check_loss(event, reason, *unacknowledged_input, *next_output)?;
                let is_all = *replacements == self.replacements && self.exit.is_none();
                require(is_all, 17, "a loss tells other numbers than are true")?;
                let has_cause = config.on_loss == OnLoss::Fail
                    || config.spec.is_none()
                    || *replacements == MAX_REPLACEMENTS
                    || matches!(reason, Reason::Exhausted(_));
                self.ends();
                require(has_cause, 17, "a process is given up that could be replaced")
            }
            Notice::Refused(reason) => {
                let is_true = self.is_true_refusal(config, event, reason);
                self.ends();
                require(is_true, 17, "a refusal is told that was not sent")
            }
            Notice::Hindered(reason) => {
                let is_true = match event {
                    Event::Timer(Timer::Handshake) => *reason == Reason::Unresponsive,
                    Event::Frame(_, Frame::Greeting(greeting)) => {
                        *reason == Reason::DifferentHost { host: greeting.host }
                    }
                    event => {
                        let is_for_now =
                            matches!(reason, Reason::DifferentHost { .. } | Reason::Unresponsive);
                        is_for_now && self.answered(event) == Some(reason)
                    }
                };
                self.patience = self.patience.or(Some(Patience::Hindrance));
                require(is_true, 17, "a hindrance is told that there is not")
            }
            Notice::Superseded { by, name } => {
                let is_said =
                    frame_of(event) == Some(&Frame::Superseded { by: *by, name: name.clone() });
                let reason = Reason::Superseded { by: *by, name: name.clone() };
                let is_answer = self.answered(event) == Some(&reason);
                self.ends();
                require(is_said || is_answer, 17, "a takeover is told that there was not")
            }
            Notice::Exited { status, unacknowledged_input } => {
                let is_all = self.output.taken == self.output.wanted;
                require(is_all, 4, "the exit is told before all output was taken")?;
                require(self.exit == Some(*status), 4, "another exit status is told than came")?;
                let is_exact = *unacknowledged_input == self.input.bytes();
                self.close();
                require(is_exact, 16, "the input that was never taken is counted wrongly")
            }
            Notice::Closed { ended } => {
                let due = self.closed(event);
                self.ends();
                require(due == Some(*ended), 17, "Closed is told that was not said")
            }
            Notice::GaveUp(patience) => {
                let is_true = match event {
                    Event::Unreachable => *patience == Patience::Link,
                    event => {
                        *event == Event::Timer(Timer::GiveUp) && self.patience == Some(*patience)
                    }
                };
                self.ends();
                require(is_true, 17, "a client gives up without a cause")
            }
        }
    }

    fn ends(&mut self) {
        self.has_ended = true;
    }

    fn tells_attached(&mut self, event: &Event, notice: &Notice) -> LedgerResult {
        let Some(Frame::Welcome(welcome)) = frame_of(event) else {
            return require(false, 13, "attached without a Welcome");
        };
        let is_answer = self.is_answer(welcome.attach);
        require(is_answer, 13, "a Welcome to another attach is taken as an answer")?;
        require(!self.is_closing, 17, "a client that closes attaches")?;
        let is_odd = self.divergence(welcome).is_some();
        require(!is_odd, 14, "a Welcome is believed whose numbers cannot be")?;
        self.tenure = welcome.tenure;
        self.host = self.greeted.or(self.host);
        self.claim = None;
        self.asked = None;
        self.is_attached = true;
        self.is_told = true;
        self.patience = None;
        let due = Notice::Attached {
            how: welcome.how,
            epoch: welcome.epoch,
            incarnation: welcome.incarnation,
            tenure: welcome.tenure,
            host: self.host,
            next_output: self.output.wanted,
            next_input: self.input.next(),
        };
        require(*notice == due, 17, "an attachment tells other numbers than are true")
    }

    fn check_loss(&self, event: &Event, reason: &Reason, bytes: u64, next: Seq) -> LedgerResult {
        let told = self.answered(event);
        let is_true = match (told, reason) {
            // An earlier boot may have started it.
            (None, reason) => {
                let is_due = *reason == Reason::ProcessGone
                    || matches!(reason, Reason::Exhausted(counter) if self.is_exhausted(event, *counter));
                is_due && self.is_rebooted(event)
            }
            (Some(Reason::Held { by, .. }), Reason::EpochMismatch { current }) => {
                *current == by.epoch && self.epoch.is_some_and(|epoch| epoch != by.epoch)
            }
            (Some(_), Reason::Exhausted(counter)) => self.is_exhausted(event, *counter),
            (Some(told), reason) => told == reason && is_gone(reason),
        };
        require(is_true, 17, "a process is told to be gone without a cause")?;
        require(bytes == self.input.bytes(), 16, "the input of unknown fate is counted wrongly")?;
        require(next == self.output.wanted, 16, "the last output is told wrongly")
    }

    /// Whether another boot greets than the one that was asked to open the process.
    fn is_rebooted(&self, event: &Event) -> bool {
        matches!(frame_of(event), Some(Frame::Greeting(_)))
            && self.patience == Some(Patience::Open)
            && self.host != self.greeted
    }

    fn is_exhausted(&self, event: &Event, counter: Counter) -> bool {
        let counters = refused(event).map(|refused| refused.counters).unwrap_or_default();
        match counter {
            Counter::Incarnation => {
                self.incarnation.max(counters.used.unwrap_or_default()) == Incarnation(u64::MAX)
            }
            Counter::Tenure => self.tenure.max(counters.tenure) == Tenure(u64::MAX),
            Counter::AttachNumber => self.attach == AttachNumber(u64::MAX),
        }
    }

    /// Everything of the old process is dropped.
    fn replace(&mut self, config: &Config, event: &Event, new: Incarnation) {
        let tenure = match self.claim {
            Some(_) => {
                let told = refused(event).map_or(Tenure(0), |refused| refused.counters.tenure);
                let highest = self.tenure.max(told);
                highest.next().unwrap_or(highest)
            }
            None => self.tenure,
        };
        let mut fresh = Self::new(config, new, tenure, None);
        fresh.link = self.link;
        fresh.greeted = self.greeted;
        fresh.host = self.host;
        fresh.attach = self.attach;
        fresh.may_take_over = self.may_take_over;
        fresh.replacements = self.replacements + 1;
        fresh.timers = self.timers;
        fresh.is_anew = self.is_anew;
        fresh.due_fault = self.due_fault;
        fresh.was_moving = self.was_moving;
        *self = fresh;
    }

    /// The reason that the answer at hand gives; none if it is no answer.
    fn answered<'a>(&self, event: &'a Event) -> Option<&'a Reason> {
        let refused = refused(event)?;
        let is_answer = refused.attach == self.attach && (self.asked.is_some() || self.is_attached);
        is_answer.then_some(&refused.reason)
    }

    fn is_true_refusal(&self, config: &Config, event: &Event, reason: &Reason) -> bool {
        match frame_of(event) {
            Some(Frame::Refused(_)) => match reason {
                Reason::Exhausted(Counter::AttachNumber) => {
                    self.is_exhausted(event, Counter::AttachNumber)
                }
                reason => {
                    let is_for_good = self.is_attached || !is_gone(reason);
                    self.answered(event) == Some(reason) && is_for_good
                }
            },
            Some(Frame::Greeting(greeting)) => {
                let is_other = config.versions.newest_common(greeting.versions).is_none();
                let due = Reason::Incompatible { supported: greeting.versions };
                is_other && *reason == due || self.is_last_attach(reason)
            }
            Some(Frame::Welcome(welcome)) => {
                let divergence = self.divergence(welcome).map(Reason::Diverged);
                self.is_answer(welcome.attach) && divergence.as_ref() == Some(reason)
            }
            Some(Frame::Ack { next }) => {
                let is_ahead = self.is_attached && *next > self.input.sent;
                is_ahead && *reason == Reason::Diverged(Divergence::InputAhead)
            }
            _ => self.is_last_attach(reason),
        }
    }

    fn is_last_attach(&self, reason: &Reason) -> bool {
        *reason == Reason::Exhausted(Counter::AttachNumber) && self.attach == AttachNumber(u64::MAX)
    }

    /// How many processes were ended, by what was said; none if nothing was said.
    fn closed(&self, event: &Event) -> Option<u32> {
        match frame_of(event) {
            Some(Frame::Closed { attach, ended }) => {
                (*attach == self.attach && self.is_closing).then_some(*ended)
            }
            Some(Frame::Refused(_)) => {
                let reason = self.answered(event)?;
                let is_other = matches!(reason, Reason::Held { by, .. }
                    if self.epoch.is_some_and(|epoch| epoch != by.epoch));
                (self.is_closing && (is_gone(reason) || is_other)).then_some(0)
            }
            _ => {
                let has_asked = self.attach != AttachNumber(0) || self.claim.is_some();
                (*event == Event::Close && !has_asked).then_some(0)
            }
        }
    }
}

/// What an answer leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RequiredAnswer {
    Ask,
    Closed,
    Gone,
    Hindered,
    Refused,
    Superseded,
    /// The application takes what is left, and the client waits for that.
    Wait,
}

impl RequiredAnswer {
    pub(super) fn is_met_by(self, effects: &[Effect]) -> bool {
        let has = |wanted: fn(&Effect) -> bool| effects.iter().any(wanted);
        let asks = has(|it| matches!(it, Effect::Send(_, Frame::Hello(_))));
        let closes = has(|it| matches!(it, Effect::Close(_)));
        match self {
            Self::Ask => asks || has(|it| matches!(it, Effect::Tell(Notice::Refused(_)))),
            Self::Closed => has(|it| matches!(it, Effect::Tell(Notice::Closed { .. }))),
            Self::Gone => {
                has(|it| matches!(it, Effect::Tell(Notice::Replaced { .. } | Notice::Lost { .. })))
            }
            Self::Hindered => closes && has(|it| matches!(it, Effect::Tell(Notice::Hindered(_)))),
            Self::Refused => has(|it| matches!(it, Effect::Tell(Notice::Refused(_)))),
            Self::Superseded => has(|it| matches!(it, Effect::Tell(Notice::Superseded { .. }))),
            Self::Wait => {
                let tells = has(
                    |it| matches!(it, Effect::Tell(notice) if !matches!(notice, Notice::Detached(_))),
                );
                closes && !asks && !tells
            }
        }
    }
}

fn frame_of(event: &Event) -> Option<&Frame> {
    match event {
        Event::Frame(_, frame) => Some(frame),
        _ => None,
    }
}

fn refused(event: &Event) -> Option<&Refused> {
    match event {
        Event::Frame(_, Frame::Refused(refused)) => Some(refused),
        _ => None,
    }
}

/// Whether a reason says that a process is no more.
fn is_gone(reason: &Reason) -> bool {
    matches!(reason, Reason::ProcessGone | Reason::Unknown | Reason::EpochMismatch { .. })
}
