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
        assert!(after(whole).is_between_sequences(), "{whole:?}");
    }
    for cut in [&b"a\x1b"[..], b"\x1b[1;", b"\x1b]0;ti", b"\x1bPq", b"\x1b(", b"\x1b]0;x\x1b"] {
        assert!(!after(cut).is_between_sequences(), "{cut:?}");
    }
    for (text, is_whole) in
        [("é", true), ("漢", true), ("🙂", true), ("abcdé漢🙂", true), ("漢🙂x", true)]
    {
        assert_eq!(after(text.as_bytes()).is_between_sequences(), is_whole, "{text}");
        let last = text.chars().last().unwrap().len_utf8();
        for missing in 1..last {
            let cut = &text.as_bytes()[..text.len() - missing];
            assert!(!after(cut).is_between_sequences(), "{text} without {missing}");
        }
    }
    assert!(after(b"\xff\xff\x80").is_between_sequences());
}

/// What it takes to undo the output, and then to set all of it again.
#[track_caller]
fn assert_undone(output: &[u8], undo: &str, redo: &str) {
    let screen = after(output);
    let shown = String::from_utf8_lossy(output).escape_debug().to_string();
    assert_eq!(String::from_utf8(screen.undo()).unwrap(), undo, "to undo {shown}");
    assert_eq!(String::from_utf8(screen.redo()).unwrap(), redo, "to redo {shown}");
}

#[test]
fn what_is_as_before_needs_no_undoing() {
    let table = [
        "\x1b[1mtext\x1b[0m",
        "\x1b[38;2;1;2;3;48:5:1;4:3mtext\x1b[39;49;24m",
        "\x1b[?2004h\x1b[?2004l",
        "\x1b[?25l\x1b[?25h",
        "\x1b[?1049h\x1b[>1u\x1b[<u\x1b[?1049l",
        "\x1b[1;20r\x1b[r",
        // Restores modes; it is no region.
        "\x1b[?1r",
        "\x1b[=1u\x1b[=0u",
        "\x1b[=3;1u\x1b[=3;3u",
        "\x1b(0qqq\x1b(B",
        "\x0eqqq\x0f",
        "\x1b7\x1b(0\x1b[1m\x1b8",
        "\x1b[4h\x1b[20h\x1b[4;20l",
        "\x1b[3 q\x1b[0 q",
        "\x1b]10;#fff\x07\x1b]110\x07\x1b]4;1;red\x1b\\\x1b]104\x1b\\",
        "\x1b]10;?\x07\x1b]4;1;?\x07",
        "\x1b]8;;http://x\x1b\\text\x1b]8;;\x1b\\",
        "\x1b[22;0t\x1b[23;0t",
        "\x1b[>4;2m\x1b[>4m",
        "\x1b[?1h\x1b=\x1b[?1049h\x1b[>1u\x1b[1m\x1b(0\x1b[4h\x1bc",
        "\x1b[?1;6;25h\x1b[?25;7l\x1b=\x1b(0\x0e\x1b[4h\x1b[2;3r\x1b[7m\x1b[!p",
    ];
    for output in table {
        assert_undone(output.as_bytes(), "", "");
    }
}

#[test]
fn every_mode_that_was_left_on_is_undone_and_can_be_set_again() {
    let modes = [
        1, 5, 9, 12, 45, 66, 67, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 2004,
        2027, 2031, 2048, 9001,
    ];
    for mode in modes {
        let (set, reset) = (format!("\x1b[?{mode}h"), format!("\x1b[?{mode}l"));
        assert_undone(set.as_bytes(), &(reset + "\x1b[0m"), &set);
    }
    for mode in [7, 8, 25] {
        let (set, reset) = (format!("\x1b[?{mode}h"), format!("\x1b[?{mode}l"));
        assert_undone(reset.as_bytes(), &(set + "\x1b[0m"), &reset);
    }
    for mode in [2, 4, 20] {
        let (set, reset) = (format!("\x1b[{mode}h"), format!("\x1b[{mode}l"));
        assert_undone(set.as_bytes(), &(reset + "\x1b[0m"), &set);
    }
    assert_undone(b"\x1b[12l", "\x1b[12h\x1b[0m", "\x1b[12l");
    for mode in [47, 1047, 1049] {
        let (set, reset) = (format!("\x1b[?{mode}h"), format!("\x1b[?{mode}l"));
        assert_undone(set.as_bytes(), &(reset + "\x1b[0m"), &set);
    }
    // The program draws a whole frame again.
    assert_undone(b"\x1b[?2026h", "\x1b[?2026l\x1b[0m", "");
}

#[test]
fn what_has_parameters_is_undone_and_can_be_set_again() {
    let table = [
        ("\x1b=", "\x1b>", "\x1b="),
        ("\x1b[4 q\x1b[6 q", "\x1b[0 q", "\x1b[6 q"),
        ("\x1b[>4;2m", "\x1b[>4m", "\x1b[>4;2m"),
        ("\x1b[>1;3m\x1b[>4;1m", "\x1b[>1m\x1b[>4m", "\x1b[>1;3m\x1b[>4;1m"),
        ("\x1b[>4n", "\x1b[>4m", "\x1b[>4n"),
        ("\x1b(0", "\x1b(B", "\x1b(0"),
        ("\x1b)0\x0e", "\x0f\x1b)B", "\x1b)0\x0e"),
        ("\x1b-A\x1bo", "\x0f\x1b)B", "\x1b-A\x1bo"),
        ("\x1b%@", "\x1b%G", "\x1b%@"),
        ("\x1b[1;3;31;42m\x1b[22;32m", "", "\x1b[3;42;32m"),
        ("\x1b[38;5;9;48;2;1;2;3m", "", "\x1b[38;5;9;48;2;1;2;3m"),
        // Colours that lack their parts are none.
        ("\x1b[38m\x1b[48;;2m", "", "\x1b[2m"),
        (
            "\x1b]10;#123;#456\x07",
            "\x1b]110\x1b\\\x1b]111\x1b\\",
            "\x1b]10;#123\x1b\\\x1b]11;#456\x1b\\",
        ),
        ("\x1b]12;red\x1b\\", "\x1b]112\x1b\\", "\x1b]12;red\x1b\\"),
        ("\x1b]4;1;red;7;blue\x07\x1b]104;1\x07", "\x1b]104;7\x1b\\", "\x1b]4;7;blue\x1b\\"),
        ("\x1b]8;id=1;http://x\x07", "\x1b]8;;\x1b\\", "\x1b]8;id=1;http://x\x1b\\"),
        ("\x1b]9;4;1;50\x07", "\x1b]9;4;0\x1b\\", ""),
        (
            "\x1b]2;a\x07\x1b[22;2t\x1b]2;b\x07",
            "\x1b[23;2t",
            "\x1b]2;a\x1b\\\x1b[22;2t\x1b]2;b\x1b\\",
        ),
    ];
    for (output, undo, redo) in table {
        assert_undone(output.as_bytes(), &format!("{undo}\x1b[0m"), redo);
    }
}

#[test]
fn each_screen_has_a_stack_of_keyboard_flags() {
    let table = [
        ("\x1b[>1u\x1b[>3u\x1b[<u", "\x1b[<u", "\x1b[>1u"),
        ("\x1b[>1u\x1b[>3u\x1b[=8;2u", "\x1b[<2u", "\x1b[>1u\x1b[>11u"),
        ("\x1b[=5u", "\x1b[=0u", "\x1b[=5u"),
        ("\x1b[=5;1u\x1b[>1u", "\x1b[<u\x1b[=0u", "\x1b[=5u\x1b[>1u"),
        ("\x1b[>1u\x1b[?1049h\x1b[>3u", "\x1b[<u\x1b[?1049l\x1b[<u", "\x1b[>1u\x1b[?1049h\x1b[>3u"),
        (
            "\x1b[?1049h\x1b[=3u\x1b[?1049l\x1b[>1u",
            "\x1b[?47h\x1b[=0u\x1b[?47l\x1b[<u",
            "\x1b[>1u\x1b[?47h\x1b[=3u\x1b[?47l",
        ),
    ];
    for (output, undo, redo) in table {
        assert_undone(output.as_bytes(), &format!("{undo}\x1b[0m"), redo);
    }
    // More than was pushed leaves nothing.
    assert_undone(b"\x1b[=1u\x1b[>1u\x1b[<9u", "", "");
}

#[test]
fn a_region_is_undone_without_losing_the_cursor() {
    let table = [
        // The cursor's own place can be saved.
        ("\x1b[2;20r", "\x1b7\x1b[r\x1b8", "\x1b[2;20r\x1b[20;1H"),
        ("\x1b[?69h\x1b[5;70s", "\x1b7\x1b[?69l\x1b8", "\x1b[?69h\x1b[5;70s\x1b[9999;1H"),
        // Not where the program has saved one, nor what would be saved with it.
        ("\x1b7\x1b[2;20r", "\x1b[r\x1b[9999;1H", "\x1b[2;20r\x1b[20;1H"),
        ("\x1b[2;20r\x1b[?6h", "\x1b[?6l\x1b[r\x1b[9999;1H", "\x1b[2;20r\x1b[?6h\x1b[20;1H"),
        // Leaving the alternate screen brings it back.
        ("\x1b[?1049h\x1b[2;20r", "\x1b[r\x1b[?1049l", "\x1b[?1049h\x1b[2;20r"),
        // And an origin that was saved with it.
        ("\x1b[?6h\x1b[?1049h", "\x1b[?6l\x1b[?1049l\x1b[?6l\x1b[9999;1H", "\x1b[?1049h\x1b[?6h"),
    ];
    for (output, undo, redo) in table {
        assert_undone(output.as_bytes(), &format!("{undo}\x1b[0m"), redo);
    }
}

#[test]
fn an_editor_that_is_left_leaves_nothing() {
    assert_undone(
        b"\x1b[?1049h\x1b[22;0t\x1b[>4;2m\x1b[?1h\x1b=\x1b[?2004h\x1b[1;24r\x1b[?25l",
        "\x1b[r\x1b[?1049l\x1b[?1l\x1b[?25h\x1b[?2004l\x1b>\x1b[>4m\x1b[23;0t\x1b[0m",
        "\x1b[?1049h\x1b[1;24r\x1b[?1h\x1b[?25l\x1b[?2004h\x1b=\x1b[>4;2m\x1b[22;0t",
    );
}

#[test]
fn a_sequence_that_has_begun_is_ended_and_begun_again() {
    assert_undone(b"\x1b]0;cut", "\x18\x1b\\\x1b[0m", "\x1b]0;cut");
    assert_undone(b"\x1b[?1h\x1b[3", "\x18\x1b\\\x1b[?1l\x1b[0m", "\x1b[?1h\x1b[3");
    assert_undone(b"\x1b]0;a\x1b", "\x18\x1b\\\x1b[0m", "\x1b]0;a\x1b");
}

#[test]
fn a_text_of_another_origin_is_read_as_it_is() {
    let plain = after(b"\x1b[?1h").around_plain_text();
    assert_eq!(plain, (String::new(), Vec::new()));
    let (before, behind) = after(b"\x1b(0\x0e\x1b[4h\x1b[1m").around_plain_text();
    assert_eq!(before, "\x0f\x1b(B\x1b[4l\x1b[0m");
    assert_eq!(String::from_utf8(behind).unwrap(), "\x1b(0\x0e\x1b[4h\x1b[1m");
}

#[test]
fn the_title_is_the_programs_again() {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let back = |output: &[u8]| {
        let mut screen = after(output);
        assert_eq!(text(screen.put_title("away 1s")), "\x1b[22;2t\x1b]2;away 1s\x1b\\");
        assert_eq!(text(screen.put_title("away 2s")), "\x1b]2;away 2s\x1b\\");
        let back = text(screen.take_title_back());
        assert_eq!(text(screen.take_title_back()), "");
        back
    };
    assert_eq!(back(b"text"), "\x1b]2;\x1b\\\x1b[23;2t");
    assert_eq!(back(b"\x1b]0;a\x07\x1b]2;b;c\x1b\\\x1b]1;icon\x07"), "\x1b[23;2t\x1b]2;b;c\x1b\\");
    assert_eq!(back(b"\x1b]2;a\x07\x1b[22;0t\x1b]2;b\x07\x1b[23;0t"), "\x1b[23;2t\x1b]2;a\x1b\\");
    assert_eq!(back(b"\x1b[22;0t\x1b]2;b\x07\x1b[23;0t"), "\x1b]2;\x1b\\\x1b[23;2t");
}

#[test]
fn endless_sequences_take_no_memory() {
    for start in [&b"\x1b["[..], b"\x1b]2;", b"\x1bP"] {
        let mut screen = Screen::default();
        screen.pass(start);
        screen.pass(&vec![b'1'; 100_000]);
        assert!(screen.sequence.len() <= LONGEST);
        screen.pass(b"h\x1b\\");
        assert!(screen.is_between_sequences());
        assert_eq!(screen.undo(), b"");
    }
}
