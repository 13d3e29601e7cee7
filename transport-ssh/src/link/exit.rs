//! Classifies the end of a command by its exit status and well-known messages.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use super::child::ChildExit;
use super::error::{LinkError, LinkErrorKind};
use LinkErrorKind::{Closed, Other, Refused, ServerMissing};

const CANNOT_EXECUTE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// Messages of shells that have no exit status for a missing command, and of servers that run no commands.
const REMOTE_SAYS: &[(LinkErrorKind, &[&str])] = &[
    (
        ServerMissing,
        &[
            ": Command not found.",
            "is not recognized as an internal or external command",
            // Printed by `direct.sh`.
            "rejoin finds no ",
        ],
    ),
    (
        Refused,
        &[
            "This account is currently not available",
            "This service allows sftp connections only",
            "fatal: unrecognized command",
            "You appear to be using ssh to clone a git:// URL",
            // bash and zsh, of what a restricted shell does not run.
            ": restricted",
        ],
    ),
];

impl ChildExit {
    /// All output, with the more informative stderr last.
    fn words(&self) -> Vec<String> {
        [&self.greeting[..], &self.lines].concat()
    }
}

/// Classifies the end of a local command.
pub(crate) fn command(evidence: &ChildExit) -> LinkError {
    ended(evidence.status, evidence, "the command", "the command")
        .with_detail(evidence.lines.clone())
}

/// Whether a host that does not let this account run commands says so here.
pub(crate) fn is_refusal(text: &str) -> bool {
    let says = REMOTE_SAYS.iter().filter(|(kind, _)| *kind == Refused);
    says.flat_map(|(_, phrases)| *phrases).any(|phrase| text.contains(phrase))
}

/// Classifies everything but ssh's own failures. `program` ran here; the status is that of `command`.
pub(crate) fn ended(
    status: Option<ExitStatus>,
    evidence: &ChildExit,
    program: &str,
    command: &str,
) -> LinkError {
    let Some(status) = status else {
        return LinkError::new(
            Closed,
            format!("the connection ended, and {program} was stopped because it did not exit"),
        );
    };
    match (status.code(), status.signal()) {
        // csh forgets the status of what it could not run.
        (Some(0), _) if !matches!(remote_says(&evidence.words()), Some((ServerMissing, _))) => {
            LinkError::new(Closed, succeeded(evidence, command))
        }
        (Some(code), _) => command_failed(code, &evidence.words(), command),
        (None, Some(signal)) => {
            LinkError::new(Closed, format!("{program} was killed by signal {signal}"))
        }
        (None, None) => LinkError::new(Closed, format!("{program} ended ({status})")),
    }
}

/// Explains a command that succeeded: without output, or with only text, it is not a server.
fn succeeded(evidence: &ChildExit, command: &str) -> String {
    match evidence.greeting.last() {
        _ if !evidence.was_open => {
            format!(
                "{command} ended without output: it is not rejoin-server, or a start-up \
                 file ended the login shell first"
            )
        }
        Some(line) => format!("{command} ended with only this output: {line}"),
        None => "the other side closed the connection".to_owned(),
    }
}

fn command_failed(code: i32, lines: &[String], command: &str) -> LinkError {
    let last = lines.last().map(|line| format!(" ({line})")).unwrap_or_default();
    match (code, remote_says(lines)) {
        (NOT_FOUND, _) | (_, Some((ServerMissing, _))) => {
            LinkError::new(ServerMissing, format!("the server program was not found{last}"))
        }
        (CANNOT_EXECUTE, _) => {
            LinkError::new(ServerMissing, format!("the server program cannot be run{last}"))
        }
        (_, Some((kind, line))) => LinkError::new(
            kind,
            format!("this account is not allowed to run the server program: {line}"),
        ),
        (code, None) => match lines.last().and_then(|line| line.strip_prefix("rejoin-server: ")) {
            Some(why) => {
                LinkError::new(Other, format!("rejoin-server cannot run on the host: {why}"))
            }
            None => LinkError::new(Other, format!("{command} ended with status {code}{last}")),
        },
    }
}

fn remote_says(lines: &[String]) -> Option<(LinkErrorKind, &str)> {
    REMOTE_SAYS.iter().find_map(|(kind, says)| Some((*kind, find(lines, says)?)))
}

/// The last line that contains one of the phrases.
pub(crate) fn find<'a>(lines: &'a [String], phrases: &[&str]) -> Option<&'a str> {
    let says = |line: &&String| phrases.iter().any(|phrase| line.contains(phrase));
    lines.iter().rev().find(says).map(String::as_str)
}
