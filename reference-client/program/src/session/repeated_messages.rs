//! What start-up files write to stderr, shown once.
//!
//! The login shell that starts the server program reads them, and so does the shell that runs the process. ssh starts
//! one shell only.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};

use crate::host::MOST_LINES;
use crate::terminal::quote::shown;

/// Lines that were shown before the process began, and that its own first lines may repeat.
#[derive(Debug, Default)]
pub(crate) struct RepeatedMessages {
    shown: VecDeque<String>,
    has_found: bool,
}

impl RepeatedMessages {
    /// A line was shown.
    pub(crate) fn add(&mut self, line: &str) {
        if self.shown.len() < MOST_LINES {
            self.shown.push_back(line.to_owned());
        }
    }

    /// What is new of the process's next bytes. From its first new line on, all of it is.
    pub(crate) fn new_part(&mut self, mut data: Bytes) -> Bytes {
        while !self.shown.is_empty() && !data.is_empty() {
            match self.repeated(&data) {
                Some(length) => data.advance(length),
                None => self.shown.clear(),
            }
        }
        data
    }

    /// How long the first line is, if it is a whole one that was shown. Lines shown before it are no longer looked for.
    fn repeated(&mut self, data: &[u8]) -> Option<usize> {
        let length = data.iter().position(|&byte| byte == b'\n')? + 1;
        let line = shown(&String::from_utf8_lossy(&data[..length]));
        if line.trim().is_empty() && !self.has_found {
            // That is like any other blank line.
            return None;
        }
        let place = self.shown.iter().position(|shown| shown.trim() == line.trim())?;
        self.shown.drain(..=place);
        self.has_found = true;
        Some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(shown: &[&str], written: &[&'static str]) -> String {
        let mut repeats = RepeatedMessages::default();
        for line in shown {
            repeats.add(line);
        }
        let parts =
            written.iter().map(|part| repeats.new_part(Bytes::from_static(part.as_bytes())));
        parts.map(|part| String::from_utf8(part.to_vec()).unwrap()).collect()
    }

    #[test]
    fn leaves_out_first_lines_that_were_shown() {
        assert_eq!(left(&["banner", "a", "b"], &["a\n", "b\nnew\n", "a\n"]), "new\na\n");
        assert_eq!(left(&["a"], &["a\r\n$ "]), "$ ");
        assert_eq!(left(&["a", "", "b"], &["a\n\nb\n\n"]), "\n");
        assert_eq!(left(&["a"], &["a\n", "a\n"]), "a\n", "once for each time that it was shown");
    }

    #[test]
    fn passes_everything_on_from_the_first_new_line() {
        assert_eq!(left(&["a", "b"], &["c\na\n", "b\n"]), "c\na\nb\n");
        assert_eq!(left(&["a", "b"], &["b\na\n"]), "a\n");
        assert_eq!(left(&["a"], &["a", "\n"]), "a\n", "a part of a line may be a prompt");
        assert_eq!(left(&[], &["a\n"]), "a\n");
        assert_eq!(left(&["banner", ""], &["\n", "text\n"]), "\ntext\n");
    }
}
