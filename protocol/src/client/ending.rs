//! Deadlines of a client, and how it ends (SPEC sections 7.5 and 7.6).

use super::{Client, Effect, Effects, Ending, Loss, Notice, Patience, Phase};
use crate::frame::Frame;
use crate::ident::AttachNumber;
use crate::machine::Timer;
use crate::receive::Receive;
use crate::replay::ReplayLog;
use crate::spec::Overflow;

impl Client {
    /// Starts a deadline. A deadline that runs for the same thing is not restarted, so that repeating a wish
    /// does not prolong it.
    pub(super) fn be_patient(&mut self, patience: Patience, effects: &mut Effects) {
        if self.patience != Some(patience) {
            self.patience = Some(patience);
            effects.push(Effect::Arm(Timer::GiveUp));
        }
    }

    pub(super) fn stop_waiting(&mut self, effects: &mut Effects) {
        if self.patience.take().is_some() {
            effects.push(Effect::Disarm(Timer::GiveUp));
        }
    }

    /// The hindrance is no longer what keeps the client from its session.
    pub(super) fn not_hindered(&mut self, effects: &mut Effects) {
        if self.patience == Some(Patience::Hindrance) {
            self.stop_waiting(effects);
        }
    }

    pub(super) fn give_up(&mut self, effects: &mut Effects) {
        if let Some(patience) = self.patience {
            self.end(Ending::GaveUp, Some(Notice::GaveUp(patience)), effects);
        }
    }

    pub(super) fn leave(&mut self, effects: &mut Effects) {
        if let Phase::Attached { link } = self.phase {
            effects.push(Effect::Send(link, Frame::Detach));
        }
        self.end(Ending::Left, None, effects);
    }

    pub(super) fn close_session(&mut self, effects: &mut Effects) {
        if self.is_closing {
            return;
        }
        // Without a Hello, nothing can have been started.
        if !self.has_asked() && self.claim.is_none() {
            return self.end(Ending::Closed, Some(Notice::Closed { ended: 0 }), effects);
        }
        self.begin_closing(effects);
    }

    pub(super) fn begin_closing(&mut self, effects: &mut Effects) {
        self.is_closing = true;
        self.patience = None;
        self.be_patient(Patience::Close, effects);
        match self.phase {
            Phase::Attached { link } => effects.push(Effect::Send(link, Frame::Close)),
            // The answer would be to another wish.
            Phase::Attaching { link, is_asked: true, .. } => {
                effects.push(Effect::Close(link));
                self.detached(Loss::Cut, effects);
            }
            _ => {}
        }
    }

    pub(super) fn closed(&mut self, attach: AttachNumber, ended: u32, effects: &mut Effects) {
        if attach == self.attach && self.is_closing {
            self.forgotten(ended, effects);
        }
    }

    /// The host has forgotten the session, as requested.
    pub(super) fn forgotten(&mut self, ended: u32, effects: &mut Effects) {
        let ending = if self.exit.is_some() { Ending::Exited } else { Ending::Closed };
        self.end(ending, Some(Notice::Closed { ended }), effects);
    }

    /// The session is over for this client. An ended machine holds nothing.
    pub(super) fn end(&mut self, ending: Ending, notice: Option<Notice>, effects: &mut Effects) {
        effects.extend(self.link().map(Effect::Close));
        effects.extend(notice.map(Effect::Tell));
        for timer in [
            Timer::Handshake,
            Timer::Heartbeat,
            Timer::LinkSilent,
            Timer::Reconnect,
            Timer::GiveUp,
            Timer::Stable,
        ] {
            effects.push(Effect::Disarm(timer));
        }
        self.phase = Phase::Ended(ending);
        self.input = ReplayLog::new(0, Overflow::Block);
        self.output = Receive::starting_at(self.output.handed_over(), 0);
        self.patience = None;
        self.replacements = 0;
        self.is_told_attached = false;
    }
}
