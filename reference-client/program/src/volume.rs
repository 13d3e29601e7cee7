//! How much rejoin says.

use rejoin_ssh::FastLaneEvent;

use crate::args::ssh_options::SshOptions;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Volume {
    /// Failures.
    Quiet,
    /// Also what happened to the process. Nobody reads along.
    Unread,
    /// Also what happens to the connection, when it lasts.
    Normal,
    /// Everything.
    Verbose,
}

impl Volume {
    pub(crate) fn of(options: &SshOptions, is_stderr_terminal: bool) -> Self {
        match (options.has('v'), options.has('q'), is_stderr_terminal) {
            (true, ..) => Self::Verbose,
            (false, true, _) => Self::Quiet,
            (false, false, true) => Self::Normal,
            (false, false, false) => Self::Unread,
        }
    }

    /// From which volume on this is told. Somebody else who answers in the host's place is no detail.
    pub(crate) fn of_news(news: &FastLaneEvent) -> Self {
        match news {
            FastLaneEvent::OtherHost => Self::Unread,
            _ => Self::Verbose,
        }
    }
}
