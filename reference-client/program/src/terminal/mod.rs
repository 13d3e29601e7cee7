//! The user's terminal and streams: what is written there, and what programs have made of the terminal.

pub(crate) mod output;
pub(crate) mod prompt;
pub(crate) mod quote;
pub(crate) mod screen;
pub(crate) mod standard_streams;
pub(crate) mod text;
pub(crate) mod tty;
