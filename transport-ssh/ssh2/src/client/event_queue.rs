//! The events to report, with the command's output in few pieces.

use std::collections::VecDeque;
use std::mem;

use bytes::BytesMut;

use crate::event::Event;

/// The longest piece of output in an event, in bytes: as long as the longest message.
const MAX_PIECE: usize = 32 * 1024;

/// The kind of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputStream {
    Output,
    ErrorOutput,
}

/// The events to report. Output is joined: a server may send it byte by byte, and what a byte's own
/// event and packet take would be a hundred times what the window allows.
#[derive(Default)]
pub(super) struct EventQueue {
    events: VecDeque<Event>,
    /// Output behind these events.
    output: BytesMut,
    error_output: BytesMut,
}

impl EventQueue {
    pub(super) fn push(&mut self, event: Event) {
        self.end_piece(OutputStream::Output);
        self.end_piece(OutputStream::ErrorOutput);
        self.events.push_back(event);
    }

    /// Adds output of the command. Empty output makes no event.
    pub(super) fn push_output(&mut self, stream: OutputStream, bytes: &[u8]) {
        if self.piece(stream).len() + bytes.len() > MAX_PIECE {
            self.end_piece(stream);
        }
        self.piece(stream).extend_from_slice(bytes);
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        if self.events.is_empty() {
            self.end_piece(OutputStream::Output);
            self.end_piece(OutputStream::ErrorOutput);
        }
        self.events.pop_front()
    }

    fn piece(&mut self, stream: OutputStream) -> &mut BytesMut {
        match stream {
            OutputStream::Output => &mut self.output,
            OutputStream::ErrorOutput => &mut self.error_output,
        }
    }

    fn end_piece(&mut self, stream: OutputStream) {
        let piece = mem::take(self.piece(stream));
        if piece.is_empty() {
            return;
        }
        self.events.push_back(match stream {
            OutputStream::Output => Event::Data(piece.freeze()),
            OutputStream::ErrorOutput => Event::Stderr(piece.freeze()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut event_queue: EventQueue) -> Vec<Event> {
        std::iter::from_fn(|| event_queue.pop()).collect()
    }

    #[test]
    fn joins_short_pieces_without_loss() {
        let mut event_queue = EventQueue::default();
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        for byte in &bytes {
            event_queue.push_output(OutputStream::Output, &[*byte]);
            event_queue.push_output(OutputStream::ErrorOutput, &[!*byte]);
        }
        let events = all(event_queue);
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
        let mut event_queue = EventQueue::default();
        event_queue.push(Event::Started);
        event_queue.push_output(OutputStream::Output, b"a");
        event_queue.push_output(OutputStream::Output, b"");
        event_queue.push(Event::Exit(0));
        event_queue.push_output(OutputStream::Output, b"b");
        event_queue.push_output(OutputStream::ErrorOutput, b"c");
        event_queue.push(Event::Eof);
        let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| bytes.as_slice().into());
        let expected = [
            Event::Started,
            Event::Data(a),
            Event::Exit(0),
            Event::Data(b),
            Event::Stderr(c),
            Event::Eof,
        ];
        assert_eq!(all(event_queue), expected);
    }
}
