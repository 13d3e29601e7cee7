//! Classifies the end of an ssh by its exit status and well-known messages.
//!
//! ssh ends with status 255 for its own failures and with the remote command's status otherwise. Its
//! messages are not translated, whatever the locale.

use crate::link::child::ChildExit;
use crate::link::error::{LinkError, LinkErrorKind};
use crate::link::exit::{ended, find};
use LinkErrorKind::{BadArguments, Closed, HostKey, NeedsUser, Other, Refused, Unreachable};

const SSH_FAILED: i32 = 255;

/// Parts of OpenSSH's messages. An earlier row wins over a later one, since a failure is followed by
/// the messages of those that it makes fail.
const SSH_SAYS: &[(LinkErrorKind, &[&str])] = &[
    (
        HostKey,
        &[
            "Host key verification failed",
            "REMOTE HOST IDENTIFICATION HAS CHANGED",
            "REVOKED HOST KEY DETECTED",
            "you have requested strict checking",
        ],
    ),
    (
        NeedsUser,
        &[
            "Permission denied (",
            "Too many authentication failures",
            "No more authentication methods to try",
        ],
    ),
    // An established connection that was lost. In front of what has the same words at its end.
    (
        Closed,
        &[
            "client_loop: ",
            "Read from remote host ",
            "Timeout, server ",
            "packet_write_wait: ",
            "Write failed: ",
        ],
    ),
    (
        Refused,
        &[
            "exec request failed on channel",
            "shell request failed on channel",
            "subsystem request failed on channel",
            "channel 0: open failed: administratively prohibited",
        ],
    ),
    (
        Unreachable,
        &[
            "Could not resolve hostname",
            "connect to host ",
            "connect to address ",
            "kex_exchange_identification: ",
            "ssh_exchange_identification: ",
            "banner exchange: ",
            "Connection refused",
            "Connection timed out",
            "Operation timed out",
            "No route to host",
            "Network is unreachable",
            "Not allowed at this time",
            "stdio forwarding failed",
        ],
    ),
];

/// "Connection closed by HOST port N" and its kin are said before there is a session;
/// "Connection to HOST closed by remote host." afterwards.
const NEVER_OPEN: &[&str] = &["Connection closed by ", "Connection reset by "];

/// Classifies the end of an `ssh` process.
pub(crate) fn ssh(evidence: &ChildExit) -> LinkError {
    let lines = &evidence.lines;
    if evidence.was_unanswered {
        let message = "you are logged in, but the login shell did not run the command in time; check its \
                       start-up files for a command that waits or replaces the shell, such as read or exec zsh";
        return LinkError::new(Other, message).with_detail(lines.clone());
    }
    match evidence.status {
        Some(status) if status.code() == Some(SSH_FAILED) && evidence.was_open => lost(lines),
        Some(status) if status.code() == Some(SSH_FAILED) => ssh_failed(lines),
        None if !evidence.was_open && find(lines, &["Confirm user presence"]).is_some() => {
            needs_user("touch your security key")
        }
        status => {
            let command = evidence.command.as_deref().unwrap_or("the remote command");
            ended(status, evidence, "ssh", command)
        }
    }
    .with_detail(lines.clone())
}

/// The user was logged in, whatever the message is: newer versions print the same for a connection that breaks
/// early or late, and a server can write anything to its stderr.
fn lost(lines: &[String]) -> LinkError {
    LinkError::new(Closed, lines.last().map_or("ssh lost the connection", String::as_str))
}

fn ssh_failed(lines: &[String]) -> LinkError {
    if let Some(usage) = lines.iter().position(|line| line.starts_with("usage: ssh ")) {
        return bad_arguments(&lines[..usage]);
    }
    let known = SSH_SAYS.iter().find_map(|(kind, says)| Some((*kind, find(lines, says)?)));
    match known.or_else(|| never_open(lines)) {
        Some((HostKey, _)) => host_key(lines),
        Some((NeedsUser, line)) => needs_user(line),
        Some((kind, line)) => LinkError::new(kind, line),
        None => unknown_failure(lines),
    }
}

fn never_open(lines: &[String]) -> Option<(LinkErrorKind, &str)> {
    if let Some(line) = find(lines, &["closed by remote host"]) {
        return Some((Closed, line));
    }
    let line = lines.iter().rev().find(|line| NEVER_OPEN.iter().any(|says| line.starts_with(says)));
    let timed_out =
        |line: &&String| line.starts_with("Connection to ") && line.contains("timed out");
    line.or_else(|| lines.iter().rev().find(timed_out)).map(|line| (Unreachable, line.as_str()))
}

fn host_key(lines: &[String]) -> LinkError {
    let message = if find(lines, &["HAS CHANGED", "has changed and you have"]).is_some() {
        let offending = find(lines, &["Offending "]).map(|line| format!(" ({line})"));
        let offending = offending.unwrap_or_default();
        format!("the host key has changed; find out why before you remove the known key{offending}")
    } else if find(lines, &["REVOKED"]).is_some() {
        "the host key is revoked; do not connect until you know why".to_owned()
    } else {
        "the host key is unknown; connect with ssh once, check the key and accept it".to_owned()
    };
    LinkError::new(HostKey, message)
}

fn needs_user(why: &str) -> LinkError {
    LinkError::new(NeedsUser, format!("authentication needs you: {why}"))
}

/// ssh prints its usage, perhaps behind a line that says why.
fn bad_arguments(before: &[String]) -> LinkError {
    let why = before.last().map(|line| format!(" ({line})")).unwrap_or_default();
    let message = format!("ssh rejected its arguments{why}; check the destination and the options");
    LinkError::new(BadArguments, message)
}

fn unknown_failure(lines: &[String]) -> LinkError {
    let last =
        lines.last().map_or("ssh failed without a message; run ssh -v for details", String::as_str);
    // The reason is an earlier line.
    let cause = find(lines, &["bind ["]).filter(|_| last.starts_with("Could not request local "));
    LinkError::new(Other, cause.map_or_else(|| last.to_owned(), |why| format!("{why}: {last}")))
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
