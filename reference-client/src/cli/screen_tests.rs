//! Sequences whole, in pieces and cut short.

use super::*;

/// After the output, whatever pieces it came in.
fn after(output: &[u8]) -> Screen {
    let mut whole = Screen::default();
    whole.pass(output);
    for size in 1..output.len() {
        let mut pieces = Screen::default();
        output.chunks(size).for_each(|piece| pieces.pass(piece));
        assert_eq!(format!("{pieces:?}"), format!("{whole:?}"), "in pieces of {size}");
    }
    whole
}

#[test]
fn the_alternate_screen_is_followed() {
    assert!(after(b"x\x1b[?1049h").is_alternate());
    assert!(after(b"\x1b[?47h").is_alternate());
    assert!(after(b"\x1b[?1047h").is_alternate());
    assert!(after(b"\x1b[?25;1049h").is_alternate());
    assert!(!after(b"\x1b[?1049h...\x1b[?1049l").is_alternate());
    assert!(!after(b"\x1b[?1049h\x1bc").is_alternate());
    assert!(!after(b"\x1b[1049h").is_alternate());
    assert!(!after(b"\x1b]0;\x1b\\[?1049h").is_alternate());
}

#[test]
fn nothing_is_drawn_into_a_sequence_or_a_character() {
    for whole in [&b"text"[..], b"\x1b[1;2m", b"\x1b]0;title\x07", b"\x1b]8;;x\x1b\\", b"\x1b(B"] {
        assert!(after(whole).can_draw(), "{whole:?}");
    }
    for cut in [&b"a\x1b"[..], b"\x1b[1;", b"\x1b]0;ti", b"\x1bPq", b"\x1b(", b"\x1b]0;x\x1b"] {
        assert!(!after(cut).can_draw(), "{cut:?}");
    }
    for (text, is_whole) in
        [("é", true), ("漢", true), ("🙂", true), ("abcdé漢🙂", true), ("漢🙂x", true)]
    {
        assert_eq!(after(text.as_bytes()).can_draw(), is_whole, "{text}");
        let last = text.chars().last().unwrap().len_utf8();
        for missing in 1..last {
            let cut = &text.as_bytes()[..text.len() - missing];
            assert!(!after(cut).can_draw(), "{text} without {missing}");
        }
    }
    assert!(after(b"\xff\xff\x80").can_draw());
}

#[test]
fn nothing_is_drawn_into_a_scroll_region_of_the_normal_screen() {
    assert!(!after(b"\x1b[1;20r").can_draw());
    assert!(after(b"\x1b[1;20r\x1b[r").can_draw());
    assert!(after(b"\x1b[?1049h\x1b[1;20r").can_draw());
    // Restores modes; it is no region.
    assert!(after(b"\x1b[?1r").can_draw());
}

#[test]
fn what_a_program_left_is_undone_and_nothing_else() {
    assert_eq!(after(b"\x1b[1mtext\x1b[0m").undo(), b"");
    assert_eq!(after(b"\x1b[?2004h\x1b[?2004l").undo(), b"");
    let mut vim = after(b"\x1b[?1049h\x1b[?1h\x1b=\x1b[?2004h\x1b[?25l\x1b[1;24r\x1b[>4;2m");
    let undone = b"\x1b[?1l\x1b[?25h\x1b[?1049l\x1b[?2004l\x1b7\x1b[r\x1b8\x1b>\x1b[>4m\x1b[0m";
    assert_eq!(String::from_utf8(vim.undo()).unwrap(), String::from_utf8_lossy(undone));
    assert_eq!(vim.undo(), b"");
    assert_eq!(after(b"\x1b[>1u\x1b[>3u\x1b[<u").undo(), b"\x1b[<u\x1b[0m");
    assert_eq!(after(b"\x1b]0;cut").undo(), b"\x18\x1b\\\x1b[0m");
}

#[test]
fn endless_sequences_take_no_memory() {
    let mut screen = Screen::default();
    screen.pass(b"\x1b[");
    screen.pass(&vec![b'1'; 100_000]);
    assert!(screen.parameters.len() <= MAX_PARAMETERS);
    screen.pass(b"h");
    assert!(screen.can_draw());
}
