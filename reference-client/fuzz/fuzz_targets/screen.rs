//! What a program writes to its terminal, in any pieces. The first byte of an input says in which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use screen::Screen;

#[path = "../../src/cli/screen.rs"]
mod screen;

fuzz_target!(|input: &[u8]| {
    let Some((&seed, output)) = input.split_first() else { return };
    let mut whole = Screen::default();
    whole.pass(output);
    let mut split = Screen::default();
    output.chunks(1 + usize::from(seed)).for_each(|piece| split.pass(piece));
    assert_eq!(format!("{whole:?}"), format!("{split:?}"));
    let undo = whole.undo();
    assert!(whole.can_draw() && !whole.is_alternate() && whole.undo().is_empty());
    if undo.is_empty() {
        assert!(!split.is_alternate());
        return;
    }
    // What undoes it does so in the terminal's own reckoning, too.
    split.pass(&undo);
    assert!(split.can_draw() && !split.is_alternate());
    assert_eq!(split.undo(), b"");
});
