//! Questions to the person at the terminal.

use std::io::IsTerminal as _;

use crate::terminal::output::say;

/// Whether there is somebody to see a question and to answer it.
pub(crate) fn is_somebody_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on stderr, and returns the line that comes on stdin, without the white space around it. Without an
/// answer, it is empty.
pub(crate) fn ask(question: &str) -> String {
    say(question);
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    answer.trim().to_owned()
}

/// Whether the answer is yes; no answer is no.
pub(crate) fn is_confirmed(question: &str) -> bool {
    let answer = ask(&format!("{question} [y/N] "));
    ["y", "yes"].contains(&answer.to_ascii_lowercase().as_str())
}
