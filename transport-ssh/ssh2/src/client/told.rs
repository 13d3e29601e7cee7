//! What is to be told, with the command's output in few pieces.

use std::collections::VecDeque;
use std::mem;

use bytes::BytesMut;

use crate::event::Event;

/// The longest piece in which output is told, in bytes: as long as the longest message that brings some.
const MAX_PIECE: usize = 32 * 1024;

/// Where output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Output,
    ErrorOutput,
}

/// What is to be told. Output is copied together: a server may send it byte by byte, and what a byte's own
/// event and packet take would be a hundred times what the window allows.
#[derive(Default)]
pub(super) struct Told {
    events: VecDeque<Event>,
    /// Output behind these events.
    output: BytesMut,
    error_output: BytesMut,
}

impl Told {
    pub(super) fn push(&mut self, event: Event) {
        self.end_piece(Stream::Output);
        self.end_piece(Stream::ErrorOutput);
        self.events.push_back(event);
    }

    /// Output of the command. Empty output is told to nobody.
    pub(super) fn push_output(&mut self, stream: Stream, bytes: &[u8]) {
        if self.piece(stream).len() + bytes.len() > MAX_PIECE {
            self.end_piece(stream);
        }
        self.piece(stream).extend_from_slice(bytes);
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        if self.events.is_empty() {
            self.end_piece(Stream::Output);
            self.end_piece(Stream::ErrorOutput);
        }
        self.events.pop_front()
    }

    fn piece(&mut self, stream: Stream) -> &mut BytesMut {
        match stream {
            Stream::Output => &mut self.output,
            Stream::ErrorOutput => &mut self.error_output,
        }
    }

    fn end_piece(&mut self, stream: Stream) {
        let piece = mem::take(self.piece(stream));
        if piece.is_empty() {
            return;
        }
        self.events.push_back(match stream {
            Stream::Output => Event::Data(piece.freeze()),
            Stream::ErrorOutput => Event::Stderr(piece.freeze()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut told: Told) -> Vec<Event> {
        std::iter::from_fn(|| told.pop()).collect()
    }

    #[test]
    fn short_pieces_are_told_as_few_long_ones_and_none_is_lost() {
        let mut told = Told::default();
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        for byte in &bytes {
            told.push_output(Stream::Output, &[*byte]);
            told.push_output(Stream::ErrorOutput, &[!*byte]);
        }
        let events = all(told);
        assert_eq!(events.len(), 2 * bytes.len().div_ceil(MAX_PIECE));
        let (mut output, mut error_output) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Data(data) => output.extend_from_slice(&data),
                Event::Stderr(data) => error_output.extend(data.iter().map(|byte| !byte)),
                event => panic!("{event:?}"),
            }
        }
        assert!(output == bytes && error_output == bytes);
    }

    #[test]
    fn output_stays_between_the_events_around_it() {
        let mut told = Told::default();
        told.push(Event::Started);
        told.push_output(Stream::Output, b"a");
        told.push_output(Stream::Output, b"");
        told.push(Event::Exit(0));
        told.push_output(Stream::Output, b"b");
        told.push_output(Stream::ErrorOutput, b"c");
        told.push(Event::Eof);
        let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| bytes.as_slice().into());
        let expected = [
            Event::Started,
            Event::Data(a),
            Event::Exit(0),
            Event::Data(b),
            Event::Stderr(c),
            Event::Eof,
        ];
        assert_eq!(all(told), expected);
    }
}
