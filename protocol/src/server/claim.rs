//! Claims: how another client takes a session over (SPEC section 7.4).

use super::serving::After;
use super::{Config, Effect, Effects, Owner, Serving, Takeover};
use crate::error::Divergence;
use crate::frame::{Bye, Frame, From, Hello, How, Refused, Wish};
use crate::ident::{Counter, Tenure};
use crate::machine::Link;
use crate::reason::Reason;
use crate::seq::Seq;

impl Serving {
    pub(super) fn other_instance(
        &mut self,
        link: Link,
        hello: &Hello,
        effects: &mut Effects,
    ) -> After {
        let by = self.holder();
        let name = self.owner.name.clone();
        match hello.wish {
            Wish::Claim { .. } if self.is_claimant(hello) => {
                self.claim_again(link, hello, effects);
                After::Serve
            }
            Wish::Claim { expected: Some(expected), from }
                if expected == by && self.takeover.is_none() =>
            {
                let takeover = self.claim_position(from).and_then(|from| {
                    let tenure =
                        self.next_tenure(hello).ok_or(Reason::Exhausted(Counter::Tenure))?;
                    Ok((from, tenure))
                });
                match takeover {
                    Ok((from, tenure)) => self.begin_takeover(link, hello, from, tenure, effects),
                    Err(reason) => return self.refuse(link, hello, reason, effects),
                }
                After::Serve
            }
            Wish::Claim { .. } => self.refuse(link, hello, Reason::Held { by, name }, effects),
            _ if hello.tenure < by.tenure => {
                let reason = Reason::Superseded { by: by.tenure, name };
                self.refuse(link, hello, reason, effects)
            }
            _ => self.refuse(link, hello, Reason::Held { by, name }, effects),
        }
    }

    pub(super) fn claim_position(&self, from: From) -> Result<Seq, Reason> {
        let (base, next) = (self.output.base(), self.output.next());
        match from {
            From::FirstHeld => Ok(base),
            From::Latest if self.has_exited => Ok(base.max(Seq(next.0.saturating_sub(1)))),
            From::Latest => Ok(next),
            From::Seq(seq) if seq < base => Err(Reason::Gap { first_held: base }),
            From::Seq(seq) if seq > next => Err(Reason::Diverged(Divergence::OutputAhead)),
            From::Seq(seq) => Ok(seq),
        }
    }

    /// The tenure of the client that takes the session over with this Hello; none beyond the last.
    fn next_tenure(&self, hello: &Hello) -> Option<Tenure> {
        self.owner.tenure.max(hello.tenure).next()
    }

    /// The tenure is recorded first. A server that dies after its Welcome must not leave a record by which
    /// the old owner still owns the session.
    pub(super) fn begin_takeover(
        &mut self,
        link: Link,
        hello: &Hello,
        from: Seq,
        tenure: Tenure,
        effects: &mut Effects,
    ) {
        let owner = Owner { tenure, ..Owner::of(hello) };
        effects.push(Effect::RecordTenure(owner.tenure, owner.name.clone()));
        self.takeover = Some(Takeover { owner, link: Some(link), from });
    }

    /// Whether a takeover by this instance is in progress, and this Hello is a later one of it.
    pub(super) fn is_claimant(&self, hello: &Hello) -> bool {
        self.takeover.as_ref().is_some_and(|takeover| {
            takeover.owner.instance == hello.instance && takeover.owner.attach < hello.attach
        })
    }

    pub(super) fn claim_again(&mut self, link: Link, hello: &Hello, effects: &mut Effects) {
        let Some(takeover) = &mut self.takeover else { return };
        takeover.owner = Owner { tenure: takeover.owner.tenure, ..Owner::of(hello) };
        if let Some(old) = takeover.link.replace(link).filter(|old| *old != link) {
            effects.push(Effect::Send(old, Frame::Bye(Bye::Replaced)));
            effects.push(Effect::Close(old));
            // The owner may be attached on the same link.
            if self.link == Some(old) {
                self.detach(effects);
            }
        }
    }

    pub(super) fn take_over(&mut self, config: &Config, effects: &mut Effects) {
        let Some(Takeover { owner, link, from }) = self.takeover.take() else { return };
        let superseded = Frame::Superseded { by: owner.tenure, name: owner.name.clone() };
        self.owner = owner;
        match link {
            Some(link) => {
                self.close_other(link, superseded, effects);
                self.attach(config, link, from, How::Claimed, effects);
            }
            None => {
                if let Some(old) = self.link {
                    effects.push(Effect::Send(old, superseded));
                    effects.push(Effect::Close(old));
                    self.detach(effects);
                }
            }
        }
    }

    pub(super) fn drop_takeover(&mut self, effects: &mut Effects) {
        let Some(Takeover { owner, link: Some(link), .. }) = self.takeover.take() else { return };
        let refused = Refused {
            attach: owner.attach,
            reason: Reason::Unresponsive,
            counters: self.counters(),
        };
        effects.push(Effect::Send(link, Frame::Refused(refused)));
    }
}
