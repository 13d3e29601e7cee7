//! Notes of what happens within a step, for a trace.

use std::cell::RefCell;

thread_local! {
    static NOTES: RefCell<Option<Vec<Note>>> = const { RefCell::new(None) };
}

/// Something that was done in a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Who did it: `client 0`, `server 1`, `program 2`.
    pub who: String,
    /// What.
    pub what: String,
}

/// Takes a note if a trace is being written. Otherwise it costs nothing.
pub(crate) fn note(note: impl FnOnce() -> (String, String)) {
    NOTES.with_borrow_mut(|notes| {
        if let Some(notes) = notes {
            let (who, what) = note();
            notes.push(Note { who, what });
        }
    });
}

/// Runs `act`, and returns the notes that were taken meanwhile.
pub(crate) fn record<R>(act: impl FnOnce() -> R) -> (R, Vec<Note>) {
    NOTES.set(Some(Vec::new()));
    let result = act();
    (result, NOTES.take().unwrap_or_default())
}
