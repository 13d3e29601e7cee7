//! The transition table of both machines: every event in every representative state.
#![allow(unreachable_pub)]

pub mod client;
pub mod server;

use std::fmt::Write as _;

/// One line: in `state`, `event` leads to `after`, with `effects`.
pub struct Line {
    pub state: String,
    pub name: &'static str,
    pub event: String,
    pub after: &'static str,
    pub is_same: bool,
    pub effects: String,
}

/// The lines as text: a heading for each state, `=` for a state that does not change.
pub fn text(lines: &[Line]) -> String {
    let (mut text, mut state) = (String::new(), "");
    for line in lines {
        if line.state != state {
            state = &line.state;
            let _ = writeln!(text, "\n## {state} ({})\n", line.name);
        }
        let after = if line.is_same { "=" } else { line.after };
        let _ = writeln!(text, "{state} + {} -> {after}: {}", line.event, line.effects);
    }
    text.trim_start().to_owned()
}
