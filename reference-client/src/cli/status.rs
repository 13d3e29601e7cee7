//! The status line: what it says while there is no connection, and the bytes that draw it.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::quote::shown;

/// An outage shorter than this is not worth a word.
pub(crate) const QUIET: Duration = Duration::from_millis(500);
/// The same of a move from one link to another that is there already: on a long way it takes a while, and
/// nothing is wrong.
const QUIET_MOVE: Duration = Duration::from_secs(2);

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
    /// What it has to last for until it is worth a word.
    pub(crate) quiet: Duration,
    /// Whether somebody was told.
    pub(crate) is_told: bool,
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
            quiet: QUIET,
            is_told: false,
        }
    }

    /// A time in which a session moves.
    pub(crate) fn of_move(destination: &str, why: &str) -> Self {
        Self { quiet: QUIET_MOVE, ..Self::new(destination, why) }
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
        self.began.elapsed() >= length.max(self.quiet)
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

    /// For the status line.
    pub(crate) fn line(&self, escape: Option<u8>) -> String {
        let text = Text {
            destination: &self.destination,
            length: self.length(),
            why: &self.why,
            advice: self.advice.as_deref(),
            next: self.next.map(|next| next.saturating_duration_since(Instant::now())),
            escape,
        };
        text.render()
    }
}

struct Text<'a> {
    destination: &'a str,
    length: Duration,
    why: &'a str,
    advice: Option<&'a str>,
    next: Option<Duration>,
    escape: Option<u8>,
}

impl Text<'_> {
    /// What matters most comes first: a narrow terminal cuts off the end.
    fn render(&self) -> String {
        let Self { destination, why, .. } = self;
        let length = round(self.length);
        let next = match self.next {
            // To the eye, an attempt that runs is one that is about to.
            Some(next) if next >= Duration::from_secs(1) => format!("next try in {}", round(next)),
            _ => "connecting".to_owned(),
        };
        let keys = self.escape.map(key).map(|key| format!(" [{key}r now, {key}. leave]"));
        let keys = keys.unwrap_or_default();
        match self.advice {
            // It may begin with the same name.
            Some(advice) => {
                let advice = advice.strip_prefix(*destination).unwrap_or(advice).trim_start();
                format!(" {destination}{keys} {advice}; no connection for {length}, {next} ")
            }
            None => format!(" {destination}: no connection for {length}, {next}{keys} ({why}) "),
        }
    }
}

fn key(escape: u8) -> String {
    match escape {
        0..=0x1f => format!("^{}", char::from(escape + 0x40)),
        _ => char::from(escape).to_string(),
    }
}

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

/// Where a status line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the line below the cursor's, which is left as it is.
    Below,
    /// On the last of so many rows, over a full-screen program that draws it anew afterwards.
    LastOf(u16),
}

const SAVE: &str = "\x1b7";
const RESTORE: &str = "\x1b8";
/// In no colour of the program's.
const ERASE: &str = "\x1b[0m\x1b[2K";

/// Draws a line where there was none.
pub(crate) fn draw(place: Place, text: &str, width: u16, has_color: bool) -> String {
    // Makes sure that there is a line below: on the last row, this scrolls and goes back up.
    let room = if place == Place::Below { "\n\x1b[A" } else { "" };
    room.to_owned() + &redraw(place, text, width, has_color)
}

/// Draws a line where one was.
pub(crate) fn redraw(place: Place, text: &str, width: u16, has_color: bool) -> String {
    // Not to the last column: that would wrap on some terminals.
    let text = cut(text, usize::from(width.saturating_sub(1)));
    let (on, off) = if has_color { ("\x1b[7m", "\x1b[0m") } else { ("", "") };
    format!("{SAVE}{}{ERASE}{on}{text}{off}{RESTORE}", go(place))
}

/// Takes it away.
pub(crate) fn erase(place: Place) -> String {
    format!("{SAVE}{}{ERASE}{RESTORE}", go(place))
}

fn go(place: Place) -> String {
    match place {
        Place::Below => "\x1b[B\r".to_owned(),
        Place::LastOf(rows) => format!("\x1b[{rows};1H"),
    }
}

/// As much of a text as fits.
/// A line that changes in its place, before anything else is on the screen.
pub(crate) fn moving(text: &str, width: u16) -> String {
    format!("\r{}\x1b[K", cut(text, usize::from(width.saturating_sub(1))))
}

/// Takes such a line away.
pub(crate) const MOVED: &str = "\r\x1b[K";

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

    fn text(seconds: u64, next: Option<u64>, escape: Option<u8>) -> String {
        Text {
            destination: "me@host",
            length: Duration::from_secs(seconds),
            why: "Connection reset by peer",
            advice: None,
            next: next.map(Duration::from_millis),
            escape,
        }
        .render()
    }

    #[test]
    fn it_says_how_long_when_what_to_press_and_why() {
        assert_eq!(
            text(72, Some(3500), Some(b'~')),
            " me@host: no connection for 1m12s, next try in 3s [~r now, ~. leave] \
             (Connection reset by peer) "
        );
        assert_eq!(
            text(0, None, None),
            " me@host: no connection for 0s, connecting (Connection reset by peer) "
        );
        assert!(text(5, Some(900), Some(0x1d)).contains(", connecting [^]r now, ^]. leave]"));
    }

    #[test]
    fn what_only_a_person_can_mend_is_not_cut_off() {
        let mut outage = Outage::new("me@host", "lost");
        outage.advised("me@host needs you: unlock the key, or be there to be asked (no)");
        outage.planned(Duration::from_secs(30), "no", true);
        let line = outage.line(Some(b'~'));
        let expected = " me@host [~r now, ~. leave] needs you: unlock the key";
        assert!(line.starts_with(expected), "{line}");
        outage.advised("another thing to know");
        assert!(outage.line(None).starts_with(" me@host another thing to know; no connection for"));
    }

    #[test]
    fn a_session_that_moves_to_another_link_is_not_told_to_be_out_of_reach() {
        let began = Instant::now().checked_sub(QUIET).unwrap();
        let lost = Outage { began, ..Outage::new("host", "reset") };
        assert!(lost.is_lasting(QUIET));
        let moved = Outage { began, ..Outage::of_move("host", "ssh is there") };
        assert!(!moved.is_lasting(QUIET), "a round trip may be as long");
        let began = began.checked_sub(QUIET_MOVE).unwrap();
        assert!(Outage { began, ..moved }.is_lasting(QUIET), "it leads nowhere");
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
    fn the_line_below_is_drawn_and_erased_without_touching_the_cursors_line() {
        assert_eq!(
            draw(Place::Below, "gone", 80, true),
            "\n\x1b[A\x1b7\x1b[B\r\x1b[0m\x1b[2K\x1b[7mgone\x1b[0m\x1b8"
        );
        assert_eq!(redraw(Place::Below, "gone", 80, false), "\x1b7\x1b[B\r\x1b[0m\x1b[2Kgone\x1b8");
        assert_eq!(erase(Place::Below), "\x1b7\x1b[B\r\x1b[0m\x1b[2K\x1b8");
    }

    #[test]
    fn over_a_full_screen_program_it_stands_on_the_last_line() {
        assert_eq!(
            draw(Place::LastOf(24), "gone", 80, false),
            "\x1b7\x1b[24;1H\x1b[0m\x1b[2Kgone\x1b8"
        );
        assert_eq!(erase(Place::LastOf(24)), "\x1b7\x1b[24;1H\x1b[0m\x1b[2K\x1b8");
    }

    #[test]
    fn it_never_wraps() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("漢字漢字", 5), "漢字");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(redraw(Place::LastOf(1), "abc", 0, false), erase(Place::LastOf(1)));
    }

    #[test]
    fn a_peers_words_cannot_steer_the_terminal() {
        let mut outage = Outage::new("ho\x1b[2J\u{2066}st", "why\u{200b}\r\n\x07");
        let is_steering =
            |c: char| c.is_control() || "\u{2066}\u{200b}\u{61c}\u{e0041}".contains(c);
        assert!(!outage.line(None).contains(is_steering));
        outage.planned(Duration::ZERO, "because\u{61c}\x1b]0;x\x07", false);
        outage.advised("see \u{e0041}\x1b[31mto it");
        assert!(!outage.line(None).contains(is_steering));
        assert!(!outage.plain().contains(is_steering));
    }
}
