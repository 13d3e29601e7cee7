//! How a client handles the answer to its Hello (SPEC sections 7.6 and 8.1).

use super::{
    Claim, Client, Config, Effect, Effects, Ending, Loss, MAX_REPLACEMENTS, Notice, OnLoss,
    Patience, Phase,
};
use crate::error::Divergence;
use crate::frame::{Frame, From, How, Refused, Welcome};
use crate::ident::{Counter, HostId};
use crate::machine::{Link, Timer};
use crate::reason::{Counters, Reason};
use crate::receive::Receive;
use crate::seq::Seq;
use crate::spec::ProcessSpec;
use crate::version::VersionRange;

/// No process takes so many items in its life. Below this number, a client never runs out of numbers for its
/// input.
const NEVER_ACCEPTED: Seq = Seq(1 << 63);

impl Client {
    pub(super) fn welcome(&mut self, link: Link, welcome: &Welcome, effects: &mut Effects) {
        if welcome.attach != self.attach || self.is_closing {
            return;
        }
        let Phase::Attaching { greeted, .. } = self.phase else { return };
        if let Some(divergence) = self.divergence(welcome) {
            return self.refused_for_good(Reason::Diverged(divergence), effects);
        }
        if self.epoch.is_some() {
            // `divergence` has checked both numbers.
            self.input.skip(welcome.accepted);
            let _ = self.input.acknowledge(welcome.handed_over);
        } else {
            self.first_welcome(welcome);
        }
        self.stop_waiting(effects);
        self.claim = None;
        self.host = greeted.or(self.host);
        self.phase = Phase::Attached { link };
        self.is_told_attached = true;
        effects.push(Effect::Disarm(Timer::Handshake));
        effects.push(Effect::Arm(Timer::Heartbeat));
        effects.push(Effect::Arm(Timer::LinkSilent));
        if self.replacements > 0 {
            effects.push(Effect::Arm(Timer::Stable));
        }
        effects.push(Effect::Tell(Notice::Attached {
            how: welcome.how,
            epoch: welcome.epoch,
            incarnation: welcome.incarnation,
            tenure: welcome.tenure,
            host: self.host,
            next_output: self.output.accepted(),
            next_input: self.input.next(),
        }));
        // An earlier Ack may have been lost with its link, and the server may wait for nothing else.
        let next = self.output.handed_over();
        if next > welcome.first_output {
            effects.push(Effect::Send(link, Frame::Ack { next }));
        }
        self.send_input(link, effects);
    }

    fn first_welcome(&mut self, welcome: &Welcome) {
        self.epoch = Some(welcome.epoch);
        self.incarnation = welcome.incarnation;
        self.tenure = welcome.tenure;
        let window = welcome.window.min(ProcessSpec::MAX_WINDOW);
        self.output = Receive::starting_at(welcome.next_output, window);
        self.number_input(welcome);
    }

    /// Numbers queued input from the number that the server wants next.
    fn number_input(&mut self, welcome: &Welcome) {
        let Welcome { handed_over, accepted, buffered, window, .. } = *welcome;
        self.input.rebase(handed_over, accepted, buffered, window.min(ProcessSpec::MAX_WINDOW));
    }

    /// Finds numbers that contradict each other (rule 14). They are reported and never repaired.
    fn divergence(&self, welcome: &Welcome) -> Option<Divergence> {
        if welcome.handed_over > welcome.accepted || welcome.first_output > welcome.next_output {
            return Some(Divergence::Identity);
        }
        if welcome.accepted >= NEVER_ACCEPTED {
            return Some(Divergence::InputAhead);
        }
        match (self.epoch, &self.claim) {
            (Some(epoch), _) => self.resume_divergence(welcome, epoch),
            (None, Some(claim)) => claim_divergence(claim, welcome),
            // Nothing was sent to the process before its first Welcome, so the client joins it where it
            // stands.
            (None, None) => (welcome.how != How::Opened).then_some(Divergence::Identity),
        }
    }

    fn resume_divergence(
        &self,
        welcome: &Welcome,
        epoch: crate::ident::Epoch,
    ) -> Option<Divergence> {
        let is_same = welcome.epoch == epoch
            && welcome.incarnation == self.incarnation
            && welcome.tenure == self.tenure
            && welcome.how == How::Resumed;
        if !is_same {
            Some(Divergence::Identity)
        } else if welcome.accepted > self.input.next() {
            Some(Divergence::InputAhead)
        } else if welcome.handed_over < self.input.base() {
            Some(Divergence::InputBehind)
        } else if welcome.first_output > self.output.handed_over() {
            Some(Divergence::OutputBehind)
        } else if welcome.next_output != self.output.accepted() {
            Some(Divergence::OutputAhead)
        } else {
            None
        }
    }

    pub(super) fn refused(
        &mut self,
        config: &Config,
        link: Link,
        greeted: Option<HostId>,
        refused: Refused,
        effects: &mut Effects,
    ) {
        let Refused { reason, counters, .. } = refused;
        match reason {
            Reason::ProcessGone | Reason::Unknown | Reason::EpochMismatch { .. } => {
                self.process_gone(config, link, greeted, reason, counters, effects);
            }
            // Nothing survives of the process that this client was attached to, and its input must not reach
            // another process.
            Reason::Held { by, .. } if self.epoch.is_some_and(|epoch| epoch != by.epoch) => {
                let reason = Reason::EpochMismatch { current: by.epoch };
                self.process_gone(config, link, greeted, reason, counters, effects);
            }
            Reason::Held { by, .. } if self.may_take_over && !self.is_closing => {
                self.may_take_over = false;
                let from = self.claim.as_ref().map_or(From::FirstHeld, |claim| claim.from);
                self.claim = Some(Claim { expected: Some(by), from });
                self.epoch = None;
                self.ask(config, link, greeted, effects);
            }
            // A server may be older than the attach program that sent the Greeting, or newer. Ask only in a
            // lower version: two peers without a common version would repeat this endlessly.
            Reason::Incompatible { supported } => {
                let common = config.versions.newest_common(supported);
                match common.filter(|common| *common < self.version) {
                    Some(common) => {
                        self.version = common;
                        self.ask(config, link, greeted, effects);
                    }
                    None => self.refused_for_good(reason, effects),
                }
            }
            Reason::DifferentHost { .. } | Reason::Unresponsive => {
                effects.push(Effect::Close(link));
                self.hindered(reason, effects);
            }
            Reason::Superseded { by, name } => {
                let notice = Notice::Superseded { by, name };
                self.end(Ending::Superseded, Some(notice), effects);
            }
            reason => self.refused_for_good(reason, effects),
        }
    }

    pub(super) fn refused_for_good(&mut self, reason: Reason, effects: &mut Effects) {
        self.end(Ending::Refused, Some(Notice::Refused(reason)), effects);
    }

    pub(super) fn incompatible(&mut self, supported: VersionRange, effects: &mut Effects) {
        self.refused_for_good(Reason::Incompatible { supported }, effects);
    }

    pub(super) fn different_host(&mut self, link: Link, host: HostId, effects: &mut Effects) {
        effects.push(Effect::Close(link));
        self.hindered(Reason::DifferentHost { host }, effects);
    }

    pub(super) fn unresponsive(&mut self, effects: &mut Effects) {
        self.be_hindered(Reason::Unresponsive, effects);
    }

    fn hindered(&mut self, reason: Reason, effects: &mut Effects) {
        self.be_hindered(reason, effects);
        self.detached(Loss::Cut, effects);
    }

    /// A deadline that runs already, of an Open or a Close, is the shorter one.
    fn be_hindered(&mut self, reason: Reason, effects: &mut Effects) {
        effects.push(Effect::Tell(Notice::Hindered(reason)));
        if self.patience.is_none() {
            self.be_patient(Patience::Hindrance, effects);
        }
    }

    fn process_gone(
        &mut self,
        config: &Config,
        link: Link,
        greeted: Option<HostId>,
        reason: Reason,
        counters: Counters,
        effects: &mut Effects,
    ) {
        if self.is_closing {
            return self.forgotten(0, effects);
        }
        if self.exit.is_some() {
            // All of its output has arrived, and waits for the application to take it.
            effects.push(Effect::Close(link));
            return self.detached(Loss::Cut, effects);
        }
        let has_tried_enough = self.replacements >= MAX_REPLACEMENTS;
        if config.on_loss == OnLoss::Fail || config.spec.is_none() || has_tried_enough {
            return self.process_lost(reason, effects);
        }
        let fresh = match self.replacement(config, counters) {
            Ok(fresh) => fresh,
            Err(exhausted) => return self.process_lost(Reason::Exhausted(exhausted), effects),
        };
        self.replace(fresh, reason, effects);
        match greeted {
            // The first lost process is replaced at once. Further replacements wait for the backoff.
            _ if self.replacements > 1 => {
                effects.push(Effect::Close(link));
                self.detached(Loss::Cut, effects);
            }
            Some(host) => self.ask(config, link, Some(host), effects),
            None => self.phase = Phase::Attaching { link, greeted: None, is_asked: false },
        }
    }

    fn process_lost(&mut self, reason: Reason, effects: &mut Effects) {
        let notice = Notice::Lost {
            reason,
            replacements: self.replacements,
            unacknowledged_input: self.input_of_unknown_fate(),
            next_output: self.output.accepted(),
        };
        self.end(Ending::Lost, Some(notice), effects);
    }

    pub(super) fn rebooted(
        &mut self,
        config: &Config,
        link: Link,
        host: HostId,
        effects: &mut Effects,
    ) {
        let counters = Counters::default();
        self.process_gone(config, link, Some(host), Reason::ProcessGone, counters, effects);
    }

    /// The client of the replacement, in the next incarnation.
    fn replacement(&self, config: &Config, counters: Counters) -> Result<Self, Counter> {
        let used = self.incarnation.max(counters.used.unwrap_or_default());
        let next = used.next().ok_or(Counter::Incarnation)?;
        let mut fresh = Self::new(config, next, self.tenure, None);
        if self.claim.is_some() {
            // Opening what was another's is a takeover, too.
            let highest = self.tenure.max(counters.tenure);
            fresh.tenure = highest.next().ok_or(Counter::Tenure)?;
        }
        fresh.attach = self.attach;
        fresh.version = self.version;
        fresh.host = self.host;
        fresh.may_take_over = self.may_take_over;
        fresh.replacements = self.replacements.saturating_add(1);
        Ok(fresh)
    }

    /// Unacknowledged input is not sent to the replacement: nobody can know whether the old process took it.
    fn replace(&mut self, mut fresh: Self, reason: Reason, effects: &mut Effects) {
        self.tell_detached(Loss::Cut, effects);
        let replaced = Notice::Replaced {
            old: self.incarnation,
            new: fresh.incarnation,
            reason,
            unacknowledged_input: self.input_of_unknown_fate(),
            next_output: self.output.accepted(),
        };
        effects.push(Effect::Tell(replaced));
        fresh.phase = self.phase.clone();
        self.stop_waiting(effects);
        *self = fresh;
    }

    /// The payload bytes that are not acknowledged: the process may have taken them or not.
    fn input_of_unknown_fate(&self) -> u64 {
        self.input.unacknowledged_bytes()
    }
}

fn claim_divergence(claim: &Claim, welcome: &Welcome) -> Option<Divergence> {
    match claim.from {
        _ if welcome.how != How::Claimed => Some(Divergence::Identity),
        From::Seq(wanted) if wanted != welcome.next_output => Some(Divergence::OutputBehind),
        _ => None,
    }
}
