//! What is said while there is no connection: in the window's title, and where a person asks for it.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::session::cause::{cause, shortened};
use crate::session::escape;
use crate::terminal::quote::shown;

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

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // Never negative on this clock, and the nanoseconds stay below a second.
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

impl Outage {
    pub(crate) fn new(destination: &str, why: &str) -> Self {
        Self {
            destination: shown(destination),
            since: since_boot(),
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
        since_boot().saturating_sub(self.since)
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

/// In the largest two units.
pub(crate) fn round(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A line that changes in its place, before anything else is on the screen.
pub(crate) fn moving(text: &str, width: u16) -> String {
    format!("\r{}\x1b[K", cut(text, usize::from(width.saturating_sub(1))))
}

/// Takes such a line away.
pub(crate) const MOVED: &str = "\r\x1b[K";

/// As much of a text as fits.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let fits = |character: &char| {
        used += character.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that has lasted for a while.
    fn outage(destination: &str, why: &str) -> Outage {
        let since = since_boot().saturating_sub(Duration::from_secs(72));
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
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("漢字漢字", 5), "漢字");
        assert_eq!(cut("abc", 0), "");
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
