//! What a server says and does, judged by what its ledger knows.

use rejoin_protocol::error::{Divergence, Misbehaviour};
use rejoin_protocol::frame::{Bye, From, Hello, How, Refused, Scope, Welcome, Wish};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::server::{Config, Effect, Event, Extent, Past};
use rejoin_protocol::{Counter, Frame, Item, Link, Reason, Seq, Tenure, Timer};

use super::server::{ItemClass, Owner, ServerLedger, ServerStage};
use super::{LedgerResult, absent, require};

impl ServerLedger {
    /// What speaks against a Hello while the process is started.
    pub(super) fn objection_while_starting(
        &self,
        config: &Config,
        hello: &Hello,
    ) -> Option<Reason> {
        if let Some(reason) = general_objection(config, hello) {
            return Some(reason);
        }
        let owner = self.owner.as_ref()?;
        let is_owner = owner.instance == hello.instance;
        if is_owner && hello.attach <= owner.attach {
            return Some(Reason::Stale { last: owner.attach });
        }
        let is_open = is_owner && matches!(hello.wish, Wish::Open { .. });
        (!is_open).then_some(Reason::Unresponsive)
    }

    /// What speaks against a Hello to a living server, by sections 7.3 to 7.5.
    pub(super) fn objection(&self, config: &Config, hello: &Hello) -> Option<Reason> {
        if let Some(reason) = general_objection(config, hello) {
            return Some(reason);
        }
        let owner = self.owner.as_ref()?;
        let is_owner = owner.instance == hello.instance;
        let is_stale = is_owner && hello.attach <= owner.attach;
        let superseded = (hello.tenure < owner.tenure)
            .then(|| Reason::Superseded { by: owner.tenure, name: owner.name.clone() });
        let stale = is_stale.then_some(Reason::Stale { last: owner.attach });
        match &hello.wish {
            Wish::Close { .. } => superseded.or(stale),
            _ if is_stale => stale,
            _ if is_owner => self.position(hello).err(),
            wish => self.objection_to_other(owner, hello, wish).or_else(|| match wish {
                Wish::Claim { .. } => None,
                _ => superseded.or_else(|| self.held(owner)),
            }),
        }
    }

    fn objection_to_other(&self, owner: &Owner, hello: &Hello, wish: &Wish) -> Option<Reason> {
        let Wish::Claim { expected, .. } = wish else { return None };
        match self.process.as_ref().and_then(|process| process.claim.as_ref()) {
            Some(claim) => {
                let is_again =
                    claim.owner.instance == hello.instance && claim.owner.attach < hello.attach;
                if is_again { None } else { self.held(owner) }
            }
            None if *expected != self.holder() || expected.is_none() => self.held(owner),
            None => match self.position(hello) {
                Err(reason) => Some(reason),
                Ok(_) => (owner.tenure.max(hello.tenure) == Tenure(u64::MAX))
                    .then_some(Reason::Exhausted(Counter::Tenure)),
            },
        }
    }

    fn held(&self, owner: &Owner) -> Option<Reason> {
        Some(Reason::Held { by: self.holder()?, name: owner.name.clone() })
    }

    /// Where output starts for a Hello, or what speaks against that.
    pub(super) fn position(&self, hello: &Hello) -> Result<Seq, Reason> {
        let Some(process) = &self.process else { return Ok(Seq::ZERO) };
        let (first, next) = (process.log.acked, process.log.written);
        let ahead = Err(Reason::Diverged(Divergence::OutputAhead));
        match hello.wish {
            Wish::Open { .. } | Wish::Close { .. } | Wish::Claim { from: From::FirstHeld, .. } => {
                Ok(first)
            }
            Wish::Unreadable => Err(Reason::Unknown),
            Wish::Claim { from: From::Latest, .. } => {
                let exit = u64::from(process.has_exited);
                Ok(Seq(next.0 - exit.min(next.0)).max(first))
            }
            Wish::Claim { from: From::Seq(seq), .. } if seq < first => {
                Err(Reason::Gap { first_held: first })
            }
            Wish::Claim { from: From::Seq(seq), .. } if seq > next => ahead,
            Wish::Claim { from: From::Seq(seq), .. } => Ok(seq),
            Wish::Resume { epoch, .. } if epoch != process.epoch => {
                Err(Reason::EpochMismatch { current: process.epoch })
            }
            Wish::Resume { incarnation, next_output, .. } => {
                let tenure = self.owner.as_ref().map(|owner| owner.tenure);
                if incarnation != self.incarnation || Some(hello.tenure) != tenure {
                    Err(Reason::Diverged(Divergence::Identity))
                } else if next_output > next {
                    ahead
                } else if next_output < first {
                    Err(Reason::Diverged(Divergence::OutputBehind))
                } else {
                    Ok(next_output)
                }
            }
        }
    }

    /// Judges each effect in its order.
    pub(super) fn carry_out(
        &mut self,
        config: &Config,
        event: &Event,
        effects: &[Effect],
    ) -> LedgerResult {
        for effect in effects {
            match effect {
                Effect::Send(link, frame) => self.says(config, event, *link, frame)?,
                Effect::Close(link) => {
                    if let Some(process) = &mut self.process {
                        process.lose(*link);
                    }
                }
                Effect::RecordTenure(tenure, name) => {
                    let claim = self.process.as_ref().and_then(|it| it.claim.as_ref());
                    let is_due = is_hello(event)
                        && claim
                            .is_some_and(|it| it.owner.tenure == *tenure && it.owner.name == *name);
                    require(is_due, 11, "another takeover is recorded than was claimed")?;
                }
                Effect::EndProcess(extent) => self.ends(event, *extent)?,
                Effect::Arm(timer) => self.timers.arm(*timer),
                Effect::Disarm(timer) => self.timers.disarm(*timer),
                Effect::HandOver(..) => {}
                Effect::Start { .. } | Effect::Bury(_) | Effect::Stop => {
                    let what = "a living server starts, buries or stops";
                    require(false, 7, what)?;
                }
            }
        }
        Ok(())
    }

    fn says(&mut self, config: &Config, event: &Event, link: Link, frame: &Frame) -> LedgerResult {
        match frame {
            Frame::Welcome(welcome) => self.welcomes(config, event, link, welcome),
            Frame::Refused(refused) => self.refuses(event, link, refused),
            Frame::Item { seq, item } => self.sends(link, *seq, item),
            Frame::Ack { next } => {
                let taken = self.process.as_ref().map(|process| process.taken);
                let is_exact = taken == Some(*next) && self.attached() == Some(link);
                require(is_exact, 2, "an Ack is not what the process has taken")
            }
            Frame::Ping { .. } => {
                let is_due = *event == Event::Timer(Timer::Heartbeat);
                require(is_due && self.attached() == Some(link), 17, "a Ping without a reason")
            }
            Frame::Pong { token } => {
                let is_due = *event == Event::Frame(link, Frame::Ping { token: *token });
                require(is_due, 17, "a Pong answers no Ping")
            }
            Frame::Superseded { by, name } => {
                let owner = self.owner.as_ref();
                let by_close = matches!(event, Event::Frame(_, Frame::Hello(hello))
                    if matches!(hello.wish, Wish::Close { .. }) && hello.name == *name);
                let is_due = *event == Event::TenureRecorded || by_close;
                let is_exact =
                    owner.is_some_and(|it| it.tenure == *by && (by_close || it.name == *name));
                require(is_due && is_exact, 17, "Superseded is said of what did not happen")
            }
            Frame::Closed { .. } => {
                require(false, 7, "Closed is said before the process has ended")
            }
            Frame::Bye(bye) => require(
                self.is_true_bye(event, link, *bye),
                17,
                "a Bye has another reason than is true",
            ),
            Frame::Greeting(_) | Frame::Hello(_) | Frame::Detach | Frame::Close => {
                require(false, 17, "a server sends what it never does")
            }
        }
    }

    fn welcomes(
        &mut self,
        config: &Config,
        event: &Event,
        link: Link,
        welcome: &Welcome,
    ) -> LedgerResult {
        let (from, how) = match event {
            Event::Started(..) => (Seq::ZERO, How::Opened),
            Event::TenureRecorded => {
                let claim = self.process.as_mut().and_then(|process| process.claim.take());
                let claim = claim.filter(|claim| claim.link == Some(link));
                (claim.map_or(Seq(u64::MAX), |claim| claim.from), How::Claimed)
            }
            Event::Frame(from, Frame::Hello(hello)) if *from == link => {
                let how = match hello.wish {
                    Wish::Resume { .. } => How::Resumed,
                    Wish::Claim { .. } => How::Claimed,
                    _ => How::Opened,
                };
                (self.position(hello).unwrap_or_default(), how)
            }
            _ => return require(false, 13, "a Welcome answers nothing"),
        };
        let incarnation = self.incarnation;
        let (Some(process), Some(owner)) = (&mut self.process, &self.owner) else {
            return require(false, 13, "a Welcome to no process");
        };
        process.log.rewind(from);
        let due = Welcome {
            attach: owner.attach,
            version: owner.version,
            capabilities: config.capabilities,
            epoch: process.epoch,
            incarnation,
            tenure: owner.tenure,
            accepted: process.accepted,
            handed_over: process.taken,
            buffered: process.buffered(),
            first_output: process.log.acked,
            next_output: process.log.sent,
            window: process.window,
            how,
        };
        process.link = Some(link);
        let skips = welcome.next_output > due.next_output;
        require(!skips, 1, "a Welcome skips output that was not acknowledged")?;
        require(
            welcome.next_output == due.next_output,
            1,
            "output starts elsewhere than was asked for",
        )?;
        require(
            welcome.handed_over <= due.handed_over,
            2,
            "a Welcome acknowledges input that the process has not taken",
        )?;
        require(*welcome == due, 17, "a Welcome tells other numbers than are true")
    }

    fn refuses(&mut self, event: &Event, link: Link, refused: &Refused) -> LedgerResult {
        match event {
            // Judged before.
            Event::Frame(_, Frame::Hello(_)) => Ok(()),
            Event::TenureNotRecorded => {
                let claim = self.process.as_mut().and_then(|process| process.claim.take());
                let is_due = claim.is_some_and(|claim| {
                    (claim.link, claim.owner.attach) == (Some(link), refused.attach)
                });
                let is_exact =
                    refused.reason == Reason::Unresponsive && refused.counters == self.counters();
                require(is_due && is_exact, 17, "a server that has its process says something else")
            }
            Event::Frame(from, Frame::Ack { next }) => {
                let process = self.process.as_ref();
                let is_ahead = process.is_some_and(|it| *next > it.log.sent) && *from == link;
                let due = Refused {
                    attach: self.owner.as_ref().map_or(refused.attach, |owner| owner.attach),
                    reason: Reason::Diverged(Divergence::OutputAhead),
                    counters: self.counters(),
                };
                require(
                    is_ahead && *refused == due,
                    17,
                    "an attachment is refused without a reason",
                )
            }
            _ => require(false, 17, "a refusal answers nothing"),
        }
    }

    fn sends(&mut self, link: Link, seq: Seq, item: &Item) -> LedgerResult {
        let is_attached = self.attached() == Some(link);
        require(is_attached, 10, "an item is sent on a link that is not attached")?;
        let Some(process) = &mut self.process else { return Ok(()) };
        let may_send = process.log.may_send();
        let is_next = process.log.next() == Some((seq, item));
        process.log.pass();
        require(is_next, 1, "what is sent is not the next item of the log")?;
        require(may_send, 3, "more is in flight than the window allows")
    }

    fn is_true_bye(&self, event: &Event, link: Link, bye: Bye) -> bool {
        match bye {
            Bye::Ending => self.stage == ServerStage::Serving && self.extent.is_none(),
            Bye::Replaced => match event {
                Event::Frame(new, Frame::Hello(_)) => *new != link,
                _ => false,
            },
            Bye::Misbehaved(Misbehaviour::Silent) => *event == Event::Timer(Timer::LinkSilent),
            Bye::Misbehaved(what) => match event {
                Event::LinkMisbehaved(from, seen) => (*from, *seen) == (link, what),
                Event::Frame(from, Frame::Item { seq, item }) => {
                    let verdict = self.process.as_ref().map(|it| it.verdict(*seq, item));
                    let due = match verdict {
                        Some(ItemClass::Skips) => Some(Misbehaviour::SkippedItems),
                        Some(ItemClass::Exceeds) => Some(Misbehaviour::WindowExceeded),
                        Some(ItemClass::WrongSide) => Some(Misbehaviour::WrongSide),
                        _ => None,
                    };
                    *from == link && due == Some(what)
                }
                Event::Frame(from, frame) => {
                    *from == link && is_of_server(frame) && what == Misbehaviour::WrongSide
                }
                _ => false,
            },
        }
    }

    /// How much ends, and for which reason.
    fn ends(&mut self, event: &Event, extent: Extent) -> LedgerResult {
        let Some(process) = &self.process else { return Ok(()) };
        let is_all_acked = process.has_exited && process.log.acked == process.log.written;
        let due = match event {
            Event::Frame(_, Frame::Close) => Some(Extent::Session),
            Event::Frame(_, Frame::Ack { .. }) if is_all_acked => Some(Extent::HangUp),
            Event::Frame(_, Frame::Hello(hello)) => match hello.wish {
                Wish::Close { scope: Scope::Process, .. } if process.has_exited => {
                    Some(Extent::HangUp)
                }
                Wish::Close { .. } => Some(Extent::Session),
                _ => None,
            },
            Event::Timer(Timer::Retention) if process.link.is_none() => Some(Extent::Session),
            Event::Displaced => Some(Extent::Descendants),
            _ => None,
        };
        require(due.is_some(), 7, "a session is ended without a cause")?;
        require(due == Some(extent), 9, "more or less is ended than the cause asks for")?;
        self.stage = ServerStage::Ending;
        self.extent = Some(extent);
        self.is_displaced = *event == Event::Displaced;
        let attach = self.owner.as_ref().map(|owner| owner.attach);
        self.waiting.extend(match event {
            Event::Frame(link, Frame::Hello(hello)) => Some((*link, hello.attach)),
            Event::Frame(link, _) => attach.map(|attach| (*link, attach)),
            _ => None,
        });
        Ok(())
    }

    /// What has to follow from an event.
    pub(super) fn check_due(
        &mut self,
        event: &Event,
        attached: Option<Link>,
        is_news: bool,
        effects: &[Effect],
    ) -> LedgerResult {
        let is_takeover = is_news;
        if self.stage == ServerStage::Ending {
            let claimant = self.process.as_ref().and_then(|it| it.claim.as_ref()?.link);
            let mut left = attached.into_iter().chain(claimant);
            let waits = |link| self.waiting.iter().any(|(waiting, _)| *waiting == link);
            let is_closed = |link| waits(link) || effects.contains(&Effect::Close(link));
            require(left.all(is_closed), 15, "a link is left open at the end")?;
        }
        if let Some(process) = &self.process {
            require(process.log.is_bounded(), 3, "a log grows beyond its window")?;
            let is_all_sent = process.link.is_none() || !process.log.may_send();
            let is_sent = self.stage != ServerStage::Serving || is_all_sent;
            require(is_sent, 15, "output that may be sent is not sent")?;
        }
        let has = |due: &Effect| effects.contains(due);
        match (event, attached) {
            (Event::TenureRecorded, old) => {
                let claim = self.process.as_mut().and_then(|process| process.claim.take());
                let is_due = claim.is_none_or(|claim| claim.link.is_none());
                require(is_due, 17, "a claimant is not welcomed")?;
                let is_moved = old.filter(|_| is_takeover).is_none_or(|old| {
                    is_welcomed(effects, old)
                        || has(&Effect::Close(old)) && is_superseded(effects, old)
                });
                require(is_moved, 12, "a holder is not told of a takeover")
            }
            (Event::TenureNotRecorded, _) => {
                let claim = self.process.as_mut().and_then(|process| process.claim.take());
                let is_due = claim.is_none_or(|claim| claim.link.is_none());
                require(is_due, 17, "a claimant is not told that it cannot take over")
            }
            (Event::Frame(link, Frame::Ping { token }), Some(_)) => {
                let due = Effect::Send(*link, Frame::Pong { token: *token });
                require(has(&due), 15, "a Ping is not answered")
            }
            (Event::Timer(Timer::Heartbeat), Some(link)) => {
                let due = Effect::Send(link, Frame::Ping { token: 0 });
                require(has(&due), 15, "a heartbeat does not ask")
            }
            (Event::InputTaken(_), Some(link)) => {
                let next = self.process.as_ref().map_or(Seq::ZERO, |process| process.taken);
                let due = Effect::Send(link, Frame::Ack { next });
                require(has(&due) == is_news, 2, "what the process took is not acknowledged")
            }
            (Event::Timer(Timer::LinkSilent), Some(link)) => {
                require(has(&Effect::Close(link)), 15, "a silent link is kept")
            }
            (Event::Frame(link, frame), Some(_)) => self.check_frame(*link, frame, effects),
            (Event::Timer(Timer::Retention), None) => {
                require(self.stage == ServerStage::Ending, 7, "retention does not end the process")
            }
            (Event::Timer(_) | Event::Started(..) | Event::StartFailed(_) | Event::Ended(_), _) => {
                require(effects.is_empty(), 18, super::server::UNEXPECTED)
            }
            _ => Ok(()),
        }
    }

    fn check_frame(&self, link: Link, frame: &Frame, effects: &[Effect]) -> LedgerResult {
        let has = |due: &Effect| effects.contains(due);
        let process = self.process.as_ref();
        let is_ended = self.stage == ServerStage::Ending;
        match frame {
            Frame::Detach => require(has(&Effect::Close(link)), 15, "a Detach is not heeded"),
            Frame::Close => require(is_ended, 7, "a Close is not heeded"),
            Frame::Ack { next } => {
                let is_ahead = process.is_some_and(|it| *next > it.log.sent);
                let what = "an Ack of what was never sent is not told";
                require(!is_ahead || has(&Effect::Close(link)), 14, what)?;
                let is_over =
                    process.is_some_and(|it| it.has_exited && it.log.acked == it.log.written);
                require(is_ended || !is_over, 4, "an exit that was acknowledged is kept")
            }
            Frame::Item { seq, item } => {
                // An item that was accepted is known by now.
                let verdict = process.map(|it| it.verdict(*seq, item));
                let is_fault = !matches!(verdict, Some(ItemClass::Known));
                require(
                    has(&Effect::Close(link)) == is_fault,
                    18,
                    "a link that breaks a rule is kept",
                )
            }
            frame if is_of_server(frame) => {
                require(has(&Effect::Close(link)), 18, "a link that breaks a rule is kept")
            }
            Frame::Pong { .. } | Frame::Bye(_) => {
                require(effects.is_empty(), 18, super::server::UNEXPECTED)
            }
            _ => Ok(()),
        }
    }

    /// A start that failed uses its number up, and is told.
    pub(super) fn check_failed_start(&self, event: &Event, effects: &[Effect]) -> LedgerResult {
        let (Event::StartFailed(error), Some(owner)) = (event, &self.owner) else { return Ok(()) };
        let past = Past {
            is_known: true,
            used: Some(self.incarnation),
            tenure: owner.tenure.max(self.past.tenure),
            failed: Some((self.incarnation, error.clone())),
            ended: 0,
        };
        let counters = Counters { used: past.used, tenure: past.tenure, epoch: None };
        let mut due = vec![Effect::Bury(past)];
        if let Some(link) = self.opener {
            let (attach, reason) = (owner.attach, Reason::SpawnFailed(error.clone()));
            let refused = Refused { attach, reason, counters };
            due.extend([Effect::Send(link, Frame::Refused(refused)), Effect::Close(link)]);
        }
        due.push(Effect::Stop);
        require(effects == due, 5, "a failed start is not written down and told as it was")
    }

    /// What is written down at the end, and who is told.
    pub(super) fn check_end(&self, event: &Event, effects: &[Effect]) -> LedgerResult {
        let Event::Ended(ended) = event else { return Ok(()) };
        let process = self.process.as_ref();
        let claimed = process.and_then(|it| it.claim.as_ref()).map(|claim| claim.owner.tenure);
        let tenure = self.owner.as_ref().map_or(Tenure(0), |owner| owner.tenure);
        let past = Past {
            is_known: true,
            used: Some(self.incarnation).max(process.and_then(|it| it.closed)),
            tenure: tenure.max(claimed.unwrap_or_default()),
            failed: None,
            ended: 0,
        };
        let buried = effects.iter().find_map(|effect| match effect {
            Effect::Bury(past) => Some(past),
            _ => None,
        });
        let due = (!self.is_displaced).then_some(&past);
        require(buried == due, 5, "what is written down at the end is not what was used up")?;
        for (link, attach) in &self.waiting {
            let closed = Frame::Closed { attach: *attach, ended: *ended };
            let is_told = effects.contains(&Effect::Send(*link, closed));
            require(is_told != self.is_displaced, 17, "who waits for Closed does not get it")?;
            require(effects.contains(&Effect::Close(*link)), 15, "a link outlives its server")?;
        }
        let told = effects.iter().filter(|it| matches!(it, Effect::Send(..))).count();
        let due = if self.is_displaced { 0 } else { self.waiting.len() };
        require(told == due, 17, "Closed is said to one who did not ask")?;
        require(effects.last() == Some(&Effect::Stop), 15, "a server does not end")
    }
}

fn general_objection(config: &Config, hello: &Hello) -> Option<Reason> {
    [
        Reason::Incompatible { supported: config.versions },
        Reason::Unknown,
        Reason::DifferentHost { host: config.host },
    ]
    .into_iter()
    .find(|reason| absent::general(config, hello, reason) == Some(true))
}

/// Whether this link is attached by these effects.
fn is_welcomed(effects: &[Effect], on: Link) -> bool {
    let is_it =
        |effect: &Effect| matches!(effect, Effect::Send(link, Frame::Welcome(_)) if *link == on);
    effects.iter().any(is_it)
}

/// Whether the holder on this link is told that it lost the session.
fn is_superseded(effects: &[Effect], old: Link) -> bool {
    effects.iter().any(
        |effect| matches!(effect, Effect::Send(link, Frame::Superseded { .. }) if *link == old),
    )
}

fn is_hello(event: &Event) -> bool {
    matches!(event, Event::Frame(_, Frame::Hello(_)))
}

/// Whether only servers send it.
fn is_of_server(frame: &Frame) -> bool {
    matches!(
        frame,
        Frame::Greeting(_)
            | Frame::Welcome(_)
            | Frame::Refused(_)
            | Frame::Superseded { .. }
            | Frame::Closed { .. }
    )
}
