//! A process in a terminal that answers every line, and the person in front of it.

use super::host::Host;
use super::tmux::Tmux;
use super::wait::{until, until_some};

const ECHO: &str = "echo $$; while read line; do echo \"$$ $line\"; done";

/// A session with such a process.
pub(crate) struct Echo {
    pub(crate) tmux: Tmux,
    pub(crate) pid: i32,
}

impl Echo {
    /// Starts it, with these options of rejoin's and ssh's.
    #[track_caller]
    pub(crate) fn start(host: &Host, options: &[&str]) -> Self {
        let tmux = Tmux::rejoin_with(host, options, &[ECHO]);
        let pid = until_some("the process says its pid", || {
            tmux.screen().lines().find_map(|line| line.trim().parse().ok())
        });
        Self { tmux, pid }
    }

    /// The person asks for an attempt now. There must be an outage.
    #[track_caller]
    pub(crate) fn retry(&self) {
        // From here on the keys count that are about outages.
        self.tmux.until_titled("~.");
        self.tmux.text("~r");
    }

    /// Waits until the session is back for so many times.
    #[track_caller]
    pub(crate) fn until_back(&self, times: usize) {
        until("it is attached again", || self.tmux.count("attached") == times + 1);
    }

    /// Waits for a notice with this text.
    #[track_caller]
    pub(crate) fn until_notice(&self, text: &str) {
        until(&format!("a notice of \"{text}\""), || {
            let notices = self.tmux.events_named("notice");
            notices.iter().any(|notice| notice["message"].as_str().unwrap().contains(text))
        });
    }

    /// The same process answers, and ends.
    #[track_caller]
    pub(crate) fn finish(self) {
        self.tmux.text("last word");
        self.tmux.keys(&["Enter"]);
        self.tmux.until_seen(&format!("{} last word", self.pid));
        self.tmux.keys(&["C-d"]);
        self.tmux.until_ended_with(0);
    }
}
