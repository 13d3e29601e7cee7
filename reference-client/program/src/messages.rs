//! What a person reads about a session: its changes, and how it ended.

use rejoin_client::{Event, How, LinkLane};

use crate::ending::{Ending, FAILED};
use crate::terminal::quote::shown;

/// How long a host that has let the user in may take to answer before rejoin says so.
pub(crate) const SLOW: std::time::Duration = std::time::Duration::from_secs(5);

impl Ending {
    /// What an event means for the end, if it is one. `again` is what to type to come back.
    pub(crate) fn of(event: &Event, again: &str) -> Option<Self> {
        Some(match event {
            Event::Exited { status: Some(status), .. } => Self::silent(*status),
            Event::Exited { signal, .. } => Self::silent(signal.unwrap_or(0).saturating_add(128)),
            Event::Closed { .. } => Self::silent(0),
            Event::Lost { reason, message, unacked_input_bytes, .. } => {
                let input = unknown_input(*unacked_input_bytes);
                Self::failed(advised(&format!("{message}{input}"), reason, again))
            }
            Event::Refused { reason, message, status } => {
                let line = match status {
                    Some(_) => message.clone(),
                    None => advised(message, reason, again),
                };
                Self::told(status.unwrap_or(FAILED), line)
            }
            Event::Superseded { by } => Self::failed(format!(
                "{by} took the session over: {again} takes it back, unless it was ended"
            )),
            Event::GaveUp { reason, message } => Self::failed(gave_up(reason, message)),
            _ => return None,
        })
    }
}

/// What the transport says is mostly complete; what cannot be known from there is added.
pub(crate) fn gave_up(reason: &str, message: &str) -> String {
    match reason {
        "server_missing" => {
            format!("{message}: install rejoin-server on the host, or name it with --server")
        }
        "different_host" | "unresponsive" => advised(message, reason, ""),
        _ => message.to_owned(),
    }
}

/// A refusal with what to do about it. What a host forbids, it says so itself.
fn advised(message: &str, reason: &str, again: &str) -> String {
    match reason {
        "forbidden" => message.to_owned(),
        _ => format!("{message}: {}", advice(reason, again)),
    }
}

/// What to do about a refusal.
fn advice(reason: &str, again: &str) -> String {
    match reason {
        "process_gone" | "unknown" | "epoch_mismatch" => {
            "start it again (--on-loss respawn does that by itself)".to_owned()
        }
        "different_host" => "find out which machines share this name".to_owned(),
        "held" => format!("{again} --take-over takes it"),
        "incompatible" => "upgrade the older of the two".to_owned(),
        "unresponsive" => "it may be stopped or overloaded; look at the host".to_owned(),
        "replaced_too_often" => "find out on the host what ends it".to_owned(),
        "exhausted" => "start a new session".to_owned(),
        "superseded" | "stale" | "gap" | "diverged" => format!("{again} begins anew"),
        _ => "see rejoin ls".to_owned(),
    }
}

/// Told when a fresh process stands in for a lost one.
pub(crate) fn replaced(reason: &str, unacked_input_bytes: u64) -> String {
    let why = match reason {
        "unknown" => "the host does not know it any more",
        "epoch_mismatch" => "another server keeps the session",
        _ => "its server, or the host, has ended",
    };
    let input = unknown_input(unacked_input_bytes);
    format!("the process is gone ({why}){input}; a fresh one is started")
}

fn unknown_input(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        1 => "; whether it got the last byte of input is unknown".to_owned(),
        _ => format!("; whether it got the last {bytes} bytes of input is unknown"),
    }
}

/// Told with `-v` only: what goes as it should. The rest is told anyway.
pub(crate) fn progress(event: &Event, destination: &str) -> Option<String> {
    Some(match event {
        Event::Connecting => format!("connecting to {destination}"),
        Event::Attached { session, host, how, millis, .. } => {
            let how = match how {
                How::Opened => "opened",
                How::Resumed => "resumed",
                How::Claimed => "claimed",
            };
            format!("{how} session {} on {host} in {millis} ms", short(session))
        }
        Event::Moved { lane, millis } => format!("moved to {} in {millis} ms", lane_name(*lane)),
        Event::Detached { reason } => format!("connection lost: {reason}"),
        Event::Reconnecting { attempt, delay_millis, reason, .. } => {
            format!("attempt {attempt} in {delay_millis} ms ({reason})")
        }
        Event::Notice { message } => message.clone(),
        _ => return forward(event),
    })
}

/// Told when ssh could not make a forward, and when it is there.
pub(crate) fn forward(event: &Event) -> Option<String> {
    Some(match event {
        Event::ForwardMissing { forward, reason, is_retried } => {
            let again =
                if *is_retried { "rejoin keeps trying" } else { "the next connection tries again" };
            format!("{forward} is not forwarded ({}); {again}", shown(reason))
        }
        Event::ForwardMade(forward) => format!("{forward} is forwarded now"),
        _ => return None,
    })
}

fn lane_name(lane: LinkLane) -> &'static str {
    match lane {
        LinkLane::Ssh => "ssh",
        LinkLane::Fast => "the fast lane",
    }
}

/// Told when a host has let the user in, and no server has begun to speak for a while.
pub(crate) fn slow(destination: &str) -> String {
    let seconds = SLOW.as_secs();
    format!(
        "{destination} has accepted the connection, but its login shell has not started rejoin's server yet \
         ({seconds} s)"
    )
}

/// As much of an id as tells sessions apart.
pub(crate) fn short(session: &str) -> &str {
    session.get(..8).unwrap_or(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGAIN: &str = "rejoin attach host 1a2b3c4d";

    fn refused(reason: &str, message: &str, status: Option<u8>) -> Event {
        Event::Refused { reason: reason.to_owned(), message: message.to_owned(), status }
    }

    #[test]
    fn the_status_is_the_processs() {
        let exited = |status, signal| Event::Exited { status, signal, unacked_input_bytes: 0 };
        assert_eq!(Ending::of(&exited(Some(7), None), AGAIN), Some(Ending::silent(7)));
        assert_eq!(Ending::of(&exited(None, Some(9)), AGAIN), Some(Ending::silent(137)));
    }

    #[test]
    fn a_process_that_cannot_be_started_has_a_shells_status() {
        let event = refused("spawn_failed", "the process could not be started: no", Some(127));
        let ending = Ending::told(127, "the process could not be started: no");
        assert_eq!(Ending::of(&event, AGAIN), Some(ending));
    }

    #[test]
    fn a_failure_says_why_and_what_to_do_in_one_line() {
        let line = |event| Ending::of(&event, AGAIN).unwrap().line.unwrap();
        assert_eq!(
            line(refused("held", "the session is held by a@b", None)),
            "the session is held by a@b: rejoin attach host 1a2b3c4d --take-over takes it"
        );
        let lost = Event::Lost {
            reason: "process_gone".to_owned(),
            message: "the process is gone".to_owned(),
            unacked_input_bytes: 12,
            last_output_seq: None,
        };
        assert_eq!(
            line(lost),
            "the process is gone; whether it got the last 12 bytes of input is unknown: start it \
             again (--on-loss respawn does that by itself)"
        );
        assert_eq!(
            line(Event::Superseded { by: "a@\nb\x1b[2J".to_owned() }),
            "a@ b[2J took the session over: rejoin attach host 1a2b3c4d takes it back, \
             unless it was ended"
        );
    }

    #[test]
    fn what_goes_on_is_no_ending() {
        assert_eq!(Ending::of(&Event::Connecting, AGAIN), None);
        assert_eq!(Ending::of(&Event::Notice { message: String::new() }, AGAIN), None);
    }
}
