//! What can happen in a world.

use std::fmt;

use rejoin_protocol::Link;
use rejoin_protocol::paths::{Event, Need, Path, Timer, Wake, Why};

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PathAction(pub Event);

/// Everything that can be reported at all.
pub(super) fn all() -> Vec<Event> {
    let mut events = vec![
        Event::Wanted { may_ask: false },
        Event::Wanted { may_ask: true },
        Event::Unwanted,
        Event::Asked,
        Event::Attached,
        Event::Progressed,
        Event::Sent,
        Event::Pinged,
        Event::Heard,
        Event::Answered,
        Event::Woken(Wake::Slept),
        Event::Woken(Wake::NetworkChanged),
        Event::Retry { may_ask: false },
        Event::Retry { may_ask: true },
        Event::Outdated,
        Event::Standby(false),
        Event::Standby(true),
        Event::Expecting(false),
        Event::Expecting(true),
        Event::Stop,
    ];
    events.extend(Path::ALL.map(Event::Available));
    events.extend(Timer::ALL.map(Event::Timer));
    for link in (0..super::world::PLACES as u64).map(Link) {
        events.extend([Event::Opened(link), Event::Begun(link), Event::Greeted(link)]);
        events.push(Event::GivenUp(link));
        events.extend(whys().map(|why| Event::Ended(link, why)));
    }
    events
}

/// Every reason for which a link ends.
pub(super) fn whys() -> impl Iterator<Item = Why> {
    [
        Why::Unreachable,
        Why::Closed,
        Why::NeedsPerson(Need::Login),
        Why::NeedsPerson(Need::HostKey),
        Why::NeedsPerson(Need::Server),
        Why::Unavailable,
        Why::Failed,
    ]
    .into_iter()
}

impl fmt::Display for PathAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
