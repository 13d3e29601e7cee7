//! What a program writes to its terminal, in any pieces: what undoes it, and what sets it again behind that. The
//! first byte of an input says in which pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use terminal::screen::Screen;

// An inline module, so that the parts of `screen` are found where they are.
#[path = "../../src/terminal"]
mod terminal {
    #[allow(dead_code)]
    pub(crate) mod screen;
}

fuzz_target!(|input: &[u8]| {
    let Some((&seed, output)) = input.split_first() else { return };
    let whole = after([output]);
    let mut terminal = after(output.chunks(1 + usize::from(seed)));
    assert_eq!(format!("{whole:?}"), format!("{terminal:?}"));
    let undo = whole.undo();
    terminal.pass(&undo);
    assert!(undo.is_empty() || terminal.is_between_sequences());
    let rest = without_sets(&terminal.undo());
    assert_eq!(rest.escape_debug().to_string(), "", "{} undoes all", shown(&undo));
    // The cursor that is saved is not set again.
    let redo = whole.redo();
    assert_eq!(shown(&after([&redo[..]]).redo()), shown(&redo), "it is set again as it was");
});

fn after<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Screen {
    let mut screen = Screen::default();
    pieces.into_iter().for_each(|piece| screen.pass(piece));
    screen
}

/// Without what designates character sets: those that are saved with the cursor stay with it.
fn without_sets(undo: &[u8]) -> String {
    let sets = ["\u{f}", "\u{1b}(B", "\u{1b})B", "\u{1b}*B", "\u{1b}+B", "\u{1b}[0m"];
    sets.iter().fold(String::from_utf8_lossy(undo).into_owned(), |text, set| text.replace(set, ""))
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().to_string()
}
