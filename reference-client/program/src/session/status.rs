//! What is said while there is no connection: in the window's title, and where a person asks for it.

use std::time::{Duration, Instant};

use rejoin_ssh::boottime;
use unicode_width::UnicodeWidthStr as _;

use crate::session::cause::cause;
use crate::session::escape;
use crate::terminal::quote::shown;
use crate::terminal::text::{round, shortened};

/// An outage shorter than this is not worth a word.
pub(crate) const QUIET: Duration = Duration::from_millis(500);
/// What comes so soon may have come already: the session's clock is another one.
const SOON: Duration = Duration::from_millis(200);

/// A time without a connection.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    destination: String,
    /// Since boot: that counts the time asleep, and does not jump as the clock on the wall may.
    since: Duration,
    began: Instant,
    why: String,
    next: Option<Instant>,
    /// What only a person can mend.
    advice: Option<String>,
    needs_user: bool,
    /// Whether somebody was told.
    pub(crate) is_told: bool,
    /// Whether rejoin has written to the screen meanwhile, which the program is to draw anew.
    pub(crate) is_disturbed: bool,
}

impl Outage {
    pub(crate) fn new(destination: &str, why: &str) -> Self {
        Self {
            destination: shown(destination),
            since: boottime(),
            began: Instant::now(),
            why: shown(why),
            next: None,
            advice: None,
            needs_user: false,
            is_told: false,
            is_disturbed: false,
        }
    }

    /// The next attempt, and why the last one failed.
    pub(crate) fn planned(&mut self, delay: Duration, why: &str, needs_user: bool) {
        self.needs_user = needs_user;
        self.next = Some(Instant::now() + delay);
        if !why.is_empty() {
            self.why = shown(why);
        }
    }

    pub(crate) fn advised(&mut self, advice: &str) {
        self.advice = Some(shown(advice));
    }

    /// Whether it has been going on for this long, and is worth a word. Time asleep does not count.
    pub(crate) fn is_lasting(&self, length: Duration) -> bool {
        self.began.elapsed() >= length
    }

    /// Whether ssh needs a person: unlocked keys, a password, a second factor.
    pub(crate) fn needs_user(&self) -> bool {
        self.needs_user
    }

    /// Whether an attempt runs, or is about to.
    pub(crate) fn is_trying(&self) -> bool {
        self.next.is_none_or(|next| next <= Instant::now() + SOON)
    }

    /// How long it has been.
    pub(crate) fn length(&self) -> Duration {
        boottime().saturating_sub(self.since)
    }

    /// For somebody without keys to press.
    pub(crate) fn plain(&self) -> String {
        let Self { destination, why, advice, .. } = self;
        match advice {
            Some(advice) => advice.clone(),
            None => format!("no connection to {destination} ({why}); reconnecting"),
        }
    }

    /// For the window's title: what matters, in at most [`TITLE`] columns. The next attempt is left out
    /// first, then the end of the host's name.
    pub(crate) fn title(&self, escape: Option<u8>) -> String {
        let cause = if self.needs_user { "needs you".to_owned() } else { cause(&self.why) };
        let facts = format!(": {cause}, away {}", round(self.length()));
        let keys = escape.map(|escape| self.keys(&escape::name(escape))).unwrap_or_default();
        let next = if self.needs_user { String::new() } else { format!(", {}", self.next_try()) };
        let room = |rest: &str| TITLE.saturating_sub("rejoin: ".len() + rest.width());
        let whole = format!("{facts}{next}{keys}");
        let least = LEAST_OF_HOST.min(self.destination.width());
        let rest = if room(&whole) < least { facts + &keys } else { whole };
        format!("rejoin: {}{rest}", shortened(&self.destination, room(&rest)))
    }

    fn keys(&self, key: &str) -> String {
        let login = if self.needs_user { format!("{key}r logs in, ") } else { String::new() };
        format!("; {login}{key}. leaves, {key}? help")
    }

    /// All that is known, for a person who asks.
    pub(crate) fn report(&self) -> Vec<String> {
        let Self { destination, why, advice, .. } = self;
        let (length, next) = (round(self.length()), self.next_try());
        let line = format!("no connection to {destination} for {length}, {next}: {why}");
        std::iter::once(line).chain(advice.clone()).collect()
    }

    /// To the eye, an attempt that runs is one that is about to.
    fn next_try(&self) -> String {
        let next = self.next.map(|next| next.saturating_duration_since(Instant::now()));
        match next {
            Some(next) if next >= Duration::from_secs(1) => format!("retry in {}", round(next)),
            _ => "connecting".to_owned(),
        }
    }
}

/// The longest title, in columns: what shows titles cuts them off at about that.
const TITLE: usize = 80;
/// So much of a host's name shows in any case.
const LEAST_OF_HOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// One that has lasted for a while.
    fn outage(destination: &str, why: &str) -> Outage {
        let since = boottime().saturating_sub(Duration::from_secs(72));
        Outage { since, ..Outage::new(destination, why) }
    }

    #[test]
    fn the_title_says_why_how_long_when_and_what_to_press() {
        let mut outage = outage("me@host", "Connection reset by peer");
        let keys = "; ~. leaves, ~? help";
        assert_eq!(
            outage.title(Some(b'~')),
            format!("rejoin: me@host: connection reset, away 1m12s, connecting{keys}")
        );
        outage.planned(Duration::from_millis(3900), "", false);
        assert_eq!(
            outage.title(Some(b'~')),
            format!("rejoin: me@host: connection reset, away 1m12s, retry in 3s{keys}")
        );
        assert_eq!(
            outage.title(None),
            "rejoin: me@host: connection reset, away 1m12s, retry in 3s"
        );
        assert!(outage.title(Some(0x1d)).ends_with("; ^]. leaves, ^]? help"));
    }

    #[test]
    fn the_title_fits_whole_whatever_the_host_is_called_and_ssh_says() {
        let long = "somebody@a-machine.in-a-building.of-a-company.example";
        let whys =
            ["ssh: connect to host x port 22: No route to host", &"long ".repeat(50), "漢字"];
        for (why, needs_user) in whys.iter().flat_map(|why| [(why, true), (why, false)]) {
            for destination in [long, "h"] {
                let mut outage = outage(destination, "lost");
                outage.planned(Duration::from_secs(3599), why, needs_user);
                let title = outage.title(Some(b'~'));
                assert!(title.width() <= TITLE, "{title} has {}", title.width());
                assert!(title.starts_with(&format!("rejoin: {}", &destination[..1])), "{title}");
                assert!(title.ends_with(" ~. leaves, ~? help"), "{title}");
            }
        }
    }

    #[test]
    fn what_only_a_person_can_mend_is_said_first() {
        let mut outage = outage("me@host", "lost");
        outage.advised("me@host needs you: unlock the key, or be there to be asked (no)");
        outage.planned(Duration::from_secs(30), "no", true);
        let title = outage.title(Some(b'~'));
        let expected = "rejoin: me@host: needs you, away 1m12s; ~r logs in, ~. leaves, ~? help";
        assert_eq!(title, expected);
        let report = outage.report();
        assert!(
            report[0].starts_with("no connection to me@host for 1m12s, retry in "),
            "{report:?}"
        );
        assert!(report[0].ends_with("s: no"), "{report:?}");
        assert_eq!(report[1], "me@host needs you: unlock the key, or be there to be asked (no)");
    }

    #[test]
    fn lengths_have_two_units() {
        let rounded = |seconds| round(Duration::from_secs(seconds));
        assert_eq!(rounded(59), "59s");
        assert_eq!(rounded(60), "1m00s");
        assert_eq!(rounded(3599), "59m59s");
        assert_eq!(rounded(3600), "1h00m");
        assert_eq!(rounded(86_399), "23h59m");
        assert_eq!(rounded(8 * 86_400 + 3600), "8d01h");
    }

    #[test]
    fn a_peers_words_cannot_steer_the_terminal() {
        let mut outage = Outage::new("ho\x1b[2J\u{2066}st", "why\u{200b}\r\n\x07");
        let is_steering =
            |c: char| c.is_control() || "\u{2066}\u{200b}\u{61c}\u{e0041}".contains(c);
        assert!(!outage.title(None).contains(is_steering));
        outage.planned(Duration::ZERO, "because\u{61c}\x1b]0;x\x07", false);
        outage.advised("see \u{e0041}\x1b[31mto it");
        assert!(!outage.title(None).contains(is_steering));
        assert!(!outage.plain().contains(is_steering));
        assert!(!outage.report().concat().contains(is_steering));
    }
}
