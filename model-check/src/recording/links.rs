//! Links and timers, as the driver tells of them.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_protocol::{Link, Timer};

use crate::properties::{Property, PropertyResult, require};

/// Where a link stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LinkState {
    Open,
    /// The machine closed it. What it still brings may arrive, and means nothing.
    Closed,
    /// Nothing comes from it any more.
    Lost,
}

/// All links of a driver, by their names.
#[derive(Debug, Default)]
pub(super) struct Links {
    standing: BTreeMap<Link, LinkState>,
}

impl Links {
    /// A link of this name opens; whether the name is a new one.
    pub(super) fn open(&mut self, link: Link) -> bool {
        self.standing.insert(link, LinkState::Open).is_none()
    }

    pub(super) fn standing(&self, link: Link) -> Option<LinkState> {
        self.standing.get(&link).copied()
    }

    /// The machine closes a link. One that is lost already stays so.
    pub(super) fn close(&mut self, link: Link) {
        if let Some(standing) = self.standing.get_mut(&link)
            && *standing == LinkState::Open
        {
            *standing = LinkState::Closed;
        }
    }

    /// The driver says something of a link.
    pub(super) fn named(&self, link: Link) -> PropertyResult {
        let standing = self.standing(link);
        require(
            matches!(standing, Some(LinkState::Open | LinkState::Closed)),
            Property::LinkWasOpen,
            || match standing {
                None => format!("{link:?} was never opened"),
                _ => format!("{link:?} was reported as lost before"),
            },
        )
    }

    /// The driver reports the end of a link.
    pub(super) fn lose(&mut self, link: Link) -> PropertyResult {
        self.named(link)?;
        self.standing.insert(link, LinkState::Lost);
        Ok(())
    }

    /// The machine sends something.
    pub(super) fn sent_to(&self, link: Link) -> PropertyResult {
        let standing = self.standing(link);
        require(standing == Some(LinkState::Open), Property::SentToOpenLink, || {
            format!("{link:?} is {standing:?}")
        })
    }
}

/// The timers that run.
#[derive(Debug, Default)]
pub(super) struct RunningTimers {
    armed: BTreeSet<Timer>,
}

impl RunningTimers {
    pub(super) fn arm(&mut self, timer: Timer) {
        self.armed.insert(timer);
    }

    pub(super) fn disarm(&mut self, timer: Timer) {
        self.armed.remove(&timer);
    }

    /// A timer fires. Those of a silent link are started again by the driver itself.
    pub(super) fn fire(&mut self, timer: Timer) -> PropertyResult {
        require(self.armed.contains(&timer), Property::TimerWasArmed, || {
            format!("{timer:?} is not armed")
        })?;
        if !matches!(timer, Timer::Heartbeat | Timer::LinkSilent) {
            self.armed.remove(&timer);
        }
        Ok(())
    }
}
