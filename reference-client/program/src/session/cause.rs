//! Why a connection is away, in a word or two: what ssh says is too long for a window's title.

use crate::terminal::text::shortened;

/// Parts of what ssh and rejoin say, in lower case, and what they come down to. The first counts.
const CAUSES: &[(&[&str], &str)] = &[
    (&["host key", "host's key", "host identification"], "host key"),
    (&["permission denied", "authentication"], "login refused"),
    (&["connection refused"], "connection refused"),
    (&["no route to host", "host is unreachable"], "host unreachable"),
    (&["network is unreachable", "network is down"], "network unreachable"),
    (&["could not resolve", "name resolution", "not known"], "unknown host name"),
    (&["timed out", "timeout", "nothing was heard", "silent", "not answer"], "timed out"),
    (&["reset", "broken pipe"], "connection reset"),
    (&["closed"], "connection closed"),
    (&["lost the connection", "link ended", "killed", "ended by signal"], "connection lost"),
];

/// The longest that is told of a cause without a name, in columns.
const LONGEST: usize = 24;

/// A word or two for what was said.
pub(crate) fn cause(said: &str) -> String {
    let lower = said.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    match CAUSES.iter().find(|(parts, _)| says(parts)) {
        Some((_, cause)) => (*cause).to_owned(),
        None => shortened(said, LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_comes_down_to_a_word_or_two() {
        let table = [
            ("ssh: connect to host h port 22: Connection refused", "connection refused"),
            ("ssh: connect to host h port 22: No route to host", "host unreachable"),
            ("ssh: connect to host h port 22: Network is unreachable", "network unreachable"),
            ("ssh: connect to host h port 22: Connection timed out", "timed out"),
            ("ssh: Could not resolve hostname h: Name or service not known", "unknown host name"),
            ("Read from remote host h: Connection reset by peer", "connection reset"),
            ("client_loop: send disconnect: Broken pipe", "connection reset"),
            ("Connection to 127.0.0.1 closed by remote host.", "connection closed"),
            ("Host key verification failed.", "host key"),
            ("me@h: Permission denied (publickey).", "login refused"),
            ("ssh was ended by signal 9", "connection lost"),
            ("a proxy said something that nobody knows", "a proxy said something …"),
            ("short", "short"),
        ];
        for (said, expected) in table {
            assert_eq!(cause(said), expected, "{said}");
        }
    }
}
