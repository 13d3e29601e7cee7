//! What an application is told, as types and as JSON.

use std::fmt;

use rejoin_protocol::client::{MAX_REPLACEMENTS, Patience};
use rejoin_protocol::{ExitStatus, Incarnation, Reason, Seq, VersionRange};
use rejoin_ssh::{ForwardKind, LinkErrorKind, ListenAddress, MissingForward};
use serde::{Deserialize, Serialize};

use crate::attachment::{How, LinkLane};
use crate::timeline::Timeline;

/// A change in a session's life. As JSON it is `{"event": "attached", ...}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The first link is being opened.
    Connecting,
    /// The process is there: its output follows, and its input is taken.
    Attached {
        /// The session, in hexadecimal digits.
        session: String,
        /// The process's number within it.
        incarnation: u64,
        /// The server's epoch, in hexadecimal digits.
        epoch: String,
        /// The host's name, or its machine id where it has not said a name.
        host: String,
        /// How the client came to it.
        how: How,
        /// How long that took: since the link was lost, or since the client began.
        millis: u64,
    },
    /// The session goes on over another link, which was ready: nothing was lost. It is attached, as before.
    Moved {
        /// Over what it goes now.
        lane: LinkLane,
        /// How long that took.
        millis: u64,
    },
    /// The link is gone. The process lives on; the client reconnects.
    Detached {
        /// What became of the link.
        reason: String,
    },
    /// The next attempt is planned.
    Reconnecting {
        /// Its number, from 1 since the link was lost.
        attempt: u64,
        /// How long until then.
        delay_millis: u64,
        /// Why the one before failed.
        reason: String,
        /// Whether the host wants something that only a person can give: a passphrase, a password,
        /// a second factor.
        needs_user: bool,
    },
    /// The process is gone; a fresh one is started in the same session. Output of the old one may still
    /// be unread: [`Output::Replaced`](crate::Output::Replaced) stands behind it.
    Replaced(Replaced),
    /// The process is gone, and the session over.
    Lost {
        /// One word for programs: that of a refusal, `exhausted` where no number is left for a fresh process, or
        /// `replaced_too_often` where several fresh processes were lost in a row.
        reason: String,
        /// One line for people.
        message: String,
        /// Bytes of input whose fate is unknown.
        unacked_input_bytes: u64,
        /// The last output that was received; none if there was none.
        last_output_seq: Option<u64>,
    },
    /// Another client took the session over.
    Superseded {
        /// Who it is.
        by: String,
    },
    /// The process ended, and all of its output was taken.
    Exited {
        /// Its exit status, if it ended by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u8>,
        /// The signal that ended it.
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<u8>,
        /// Bytes of input that it never took.
        unacked_input_bytes: u64,
    },
    /// The session was ended and forgotten.
    Closed {
        /// How many processes the host has ended for that; 0 where it did not say.
        ended: u32,
    },
    /// The host refused the wish for good; the session is over for this client.
    Refused {
        /// One word for programs.
        reason: String,
        /// One line for people.
        message: String,
        /// What a shell would exit with, where the process could not be started: 127 or 126.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u8>,
    },
    /// The client ended without knowing the outcome.
    GaveUp {
        /// One word for programs: `unreachable`, `host_key`, `needs_user`, `program_missing`, `bad_arguments`,
        /// `server_missing`, `undeployable`, `refused`, `closed`, `timeout` or `other`; `different_host` or
        /// `unresponsive` where the host could be reached, and the session could not.
        reason: String,
        /// One line for people.
        message: String,
    },
    /// A port or socket that the configuration forwards is not forwarded: ssh could not make the forward. The
    /// session goes on. This is reported once, until the forward is [made](Self::ForwardMade). Every new
    /// connection makes it again if it can.
    ForwardMissing {
        /// Which one.
        #[serde(flatten)]
        forward: Forward,
        /// Why it is missing, for people.
        reason: String,
        /// Whether rejoin tries to make it while the connection lasts, with pauses of 1 to 60 seconds.
        is_retried: bool,
    },
    /// A forward that was [missing](Self::ForwardMissing) is there.
    ForwardMade(Forward),
    /// How long each part of the connection took that the session uses now. It follows on
    /// [`Attached`](Self::Attached) or [`Moved`](Self::Moved): with the first output, or after a second.
    Timeline(Timeline),
    /// Something worth knowing that changes nothing.
    Notice {
        /// One line for people.
        message: String,
    },
    /// An event that a newer version writes as JSON. No session of this version reports it.
    #[serde(other)]
    Unknown,
}

/// A fresh process took the place of one that is gone, in the same session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The old one's number.
    pub old: Incarnation,
    /// The fresh one's number.
    pub new: Incarnation,
    /// How it is known that the old one is gone: one word for programs.
    pub reason: String,
    /// Bytes of input whose fate is unknown: the old process may have read them or not, and the fresh one
    /// does not get them.
    pub unacked_input_bytes: u64,
    /// The last output of the old process that was received; none if there was none.
    pub last_output_seq: Option<u64>,
}

/// A forwarded port, socket or tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Where it listens.
    pub side: ForwardSide,
    /// On what it listens: a port, or the path of a socket. None if ssh did not say.
    pub listen: Option<String>,
}

/// Where a forward listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardSide {
    /// On this machine (`-L`, `-D`).
    Local,
    /// On the host (`-R`).
    Remote,
    /// It is a tunnel between two devices (`-w`), which listens nowhere.
    Tunnel,
}

impl Forward {
    pub(crate) fn of(it: &MissingForward) -> Self {
        let side = match it.kind {
            ForwardKind::Local => ForwardSide::Local,
            ForwardKind::Remote => ForwardSide::Remote,
            ForwardKind::Tunnel => ForwardSide::Tunnel,
        };
        let listen = match &it.listen {
            ListenAddress::Port(port) => Some(port.to_string()),
            ListenAddress::Path(path) => Some(path.clone()),
            ListenAddress::Unknown => None,
        };
        Self { side, listen }
    }
}

impl fmt::Display for Forward {
    /// Such as `port 8080 on the host`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.listen {
            _ if self.side == ForwardSide::Tunnel => return f.write_str("the tunnel"),
            Some(path) if path.contains('/') => write!(f, "the socket {path}")?,
            Some(port) => write!(f, "port {port}")?,
            None => f.write_str("a port")?,
        }
        f.write_str(if self.side == ForwardSide::Local { " here" } else { " on the host" })
    }
}

impl Event {
    pub(crate) fn forward_missing(missing: &MissingForward, is_retried: bool) -> Self {
        let reason = match (&missing.reason, missing.kind) {
            (Some(reason), _) => reason.as_str(),
            (None, ForwardKind::Remote) => "the host refused it",
            (None, ForwardKind::Local | ForwardKind::Tunnel) => "ssh could not make it",
        };
        let reason = reason.to_owned();
        Self::ForwardMissing { forward: Forward::of(missing), reason, is_retried }
    }
}

impl Replaced {
    pub(crate) fn new(
        (old, new): (Incarnation, Incarnation),
        reason: &Reason,
        unacked_input_bytes: u64,
        next_output: Seq,
    ) -> Self {
        let last_output_seq = last_before(next_output);
        Self { old, new, reason: word(reason).to_owned(), unacked_input_bytes, last_output_seq }
    }
}

impl Event {
    /// Whether the session is over for this client: nothing follows.
    pub fn is_end(&self) -> bool {
        match self {
            Self::Lost { .. }
            | Self::Superseded { .. }
            | Self::Exited { .. }
            | Self::Closed { .. }
            | Self::Refused { .. }
            | Self::GaveUp { .. } => true,
            Self::Connecting
            | Self::Attached { .. }
            | Self::Moved { .. }
            | Self::Detached { .. }
            | Self::Reconnecting { .. }
            | Self::Replaced(_)
            | Self::ForwardMissing { .. }
            | Self::ForwardMade(_)
            | Self::Timeline(_)
            | Self::Notice { .. }
            | Self::Unknown => false,
        }
    }

    /// What an [end](Self::is_end) means, for people.
    pub(crate) fn end_message(&self) -> String {
        match self {
            Self::Lost { message, .. }
            | Self::Refused { message, .. }
            | Self::GaveUp { message, .. } => message.clone(),
            Self::Superseded { by } => format!("{by} took the session over"),
            Self::Closed { .. } => String::from("the session was ended"),
            _ => String::from("the process has ended"),
        }
    }

    pub(crate) fn lost(
        reason: &Reason,
        replacements: u8,
        unacked_input_bytes: u64,
        next_output: Seq,
    ) -> Self {
        let (reason, message) = if replacements >= MAX_REPLACEMENTS {
            let message = format!("{reason}, and so are the {replacements} that replaced it");
            ("replaced_too_often", message)
        } else {
            (word(reason), reason.to_string())
        };
        Self::Lost {
            reason: reason.to_owned(),
            message,
            unacked_input_bytes,
            last_output_seq: last_before(next_output),
        }
    }

    pub(crate) fn refused(reason: &Reason) -> Self {
        let status = match reason {
            Reason::SpawnFailed(error) => Some(error.shell_code()),
            _ => None,
        };
        let message = match reason {
            Reason::Incompatible { supported } => incompatible(VersionRange::SUPPORTED, *supported),
            reason => reason.to_string(),
        };
        Self::Refused { reason: word(reason).to_owned(), message, status }
    }

    pub(crate) fn exited(status: ExitStatus, unacked_input_bytes: u64) -> Self {
        let (status, signal) = match status {
            ExitStatus::Code(code) => (Some(code), None),
            ExitStatus::Signal(signal) => (None, Some(signal.0)),
        };
        Self::Exited { status, signal, unacked_input_bytes }
    }

    pub(crate) fn gave_up(patience: Patience) -> Self {
        let message = match patience {
            Patience::Open => {
                "it is unknown whether the process was started: the host did not answer in time"
            }
            Patience::Close => {
                "it is unknown whether the session was ended: the host did not answer in time"
            }
            Patience::Hindrance => "the session's server could not be reached in time",
            Patience::Link => "no connection came about in time",
        };
        Self::GaveUp { reason: String::from("timeout"), message: message.to_owned() }
    }
}

/// The name of a link's end for programs.
pub(crate) fn link_word(kind: LinkErrorKind) -> &'static str {
    match kind {
        LinkErrorKind::Unreachable => "unreachable",
        LinkErrorKind::HostKey => "host_key",
        LinkErrorKind::NeedsUser => "needs_user",
        LinkErrorKind::ProgramMissing => "program_missing",
        LinkErrorKind::BadArguments => "bad_arguments",
        LinkErrorKind::ServerMissing => "server_missing",
        LinkErrorKind::Undeployable => "undeployable",
        LinkErrorKind::Refused => "refused",
        LinkErrorKind::Closed => "closed",
        LinkErrorKind::Other => "other",
    }
}

/// Which side is the older one, and by how much.
fn incompatible(own: VersionRange, servers: VersionRange) -> String {
    let (old, new, older, newer) = if servers.max < own.min {
        ("the server on the host", "this rejoin", servers, own)
    } else if own.max < servers.min {
        ("this rejoin", "the server on the host", own, servers)
    } else {
        // What answers there and what keeps the session understand nothing in common.
        return "the programs on the host are of versions that do not work together".to_owned();
    };
    format!("{old} is older than {new}: it speaks protocol {older}, the other one {newer}")
}

fn last_before(next: Seq) -> Option<u64> {
    next.0.checked_sub(1)
}

/// The reason's name for programs, as SPEC section 8.1 lists it.
pub(crate) fn word(reason: &Reason) -> &'static str {
    match reason {
        Reason::ProcessGone => "process_gone",
        Reason::Unknown => "unknown",
        Reason::EpochMismatch { .. } => "epoch_mismatch",
        Reason::DifferentHost { .. } => "different_host",
        Reason::Diverged(_) => "diverged",
        Reason::Gap { .. } => "gap",
        Reason::Stale { .. } => "stale",
        Reason::Held { .. } => "held",
        Reason::Superseded { .. } => "superseded",
        Reason::SpawnFailed(_) => "spawn_failed",
        Reason::Incompatible { .. } => "incompatible",
        Reason::Unresponsive => "unresponsive",
        Reason::Forbidden { .. } => "forbidden",
        Reason::Exhausted(_) => "exhausted",
    }
}

#[cfg(test)]
mod tests {
    use rejoin_protocol::Version;

    use super::*;

    fn range(min: u16, max: u16) -> VersionRange {
        VersionRange { min: Version(min), max: Version(max) }
    }

    #[test]
    fn replaced_is_one_flat_object_as_json() {
        let numbers = (Incarnation(1), Incarnation(2));
        let replaced = Replaced::new(numbers, &Reason::ProcessGone, 3, Seq(5));
        let json = serde_json::to_value(Event::Replaced(replaced)).unwrap();
        let expected = serde_json::json!({
            "event": "replaced", "old": 1, "new": 2, "reason": "process_gone",
            "unacked_input_bytes": 3, "last_output_seq": 4,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn of_two_that_do_not_understand_each_other_the_older_is_named() {
        let server = "the server on the host is older than this rejoin: it speaks protocol v1 to \
                      v2, the other one v3 to v4";
        assert_eq!(incompatible(range(3, 4), range(1, 2)), server);
        let client = "this rejoin is older than the server on the host: it speaks protocol v1 to \
                      v2, the other one v3 to v4";
        assert_eq!(incompatible(range(1, 2), range(3, 4)), client);
        assert!(incompatible(range(1, 2), range(2, 2)).contains("do not work together"));
    }
}
