//! Which characters stay, against Unicode's own tables, and how a text becomes a line.

#![allow(clippy::unwrap_used)]

use regex_syntax::hir::{Class, ClassUnicode, HirKind};
use rejoin_text::{is_printable, printable, printable_bytes};

/// What the crate's page says is removed or replaced, in Unicode's terms.
const REMOVED: &str = r"[\p{Cc}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}\x{FFF9}-\x{FFFB}]";

fn class(pattern: &str) -> ClassUnicode {
    match regex_syntax::parse(pattern).unwrap().into_kind() {
        HirKind::Class(Class::Unicode(class)) => class,
        kind => panic!("{kind:?} is no class"),
    }
}

fn is_in(class: &ClassUnicode, character: char) -> bool {
    let after = class.ranges().partition_point(|range| range.end() < character);
    class.ranges().get(after).is_some_and(|range| range.start() <= character)
}

#[test]
fn every_character_stays_or_goes_by_its_unicode_properties() {
    let removed = class(REMOVED);
    let wrong: Vec<char> = ('\0'..=char::MAX)
        .filter(|&character| is_printable(character) == is_in(&removed, character))
        .collect();
    assert!(wrong.is_empty(), "{wrong:x?}");
}

#[test]
fn removes_every_such_character_from_between_others() {
    let removed = class(REMOVED);
    let mut count = 0;
    for character in ('\0'..=char::MAX).filter(|&character| is_in(&removed, character)) {
        let expected = if matches!(character, '\t' | '\n') { "a b" } else { "ab" };
        let text = format!("a{character}b");
        assert_eq!(printable(&text, 100), expected, "{character:?}");
        assert_eq!(printable_bytes(text.as_bytes(), 100), expected, "{character:?}");
        count += 1;
    }
    // Tags and selectors alone are 4096.
    assert!(count > 4096, "{count}");
}

#[test]
fn visible_text_of_all_scripts_stays() {
    for text in
        ["a b", "naïve", "مرحبا", "שלום", "नमस्ते", "한국어", "漢字", "👍🏽", "e\u{301}", "\u{e000}"]
    {
        assert_eq!(printable(text, 100), text);
        assert_eq!(printable_bytes(text.as_bytes(), 100), text);
    }
    assert_eq!(printable("👩\u{200d}👩 ❤\u{fe0f}", 100), "👩👩 ❤");
}

#[test]
fn a_text_becomes_one_line_without_space_at_its_end() {
    assert_eq!(printable("a\x1b[2J\u{9b}b\u{202e}c\td\ne\r\n", 100), "a[2Jbc d e");
    assert_eq!(printable("  a \u{200b}\r\n", 100), "  a");
    assert_eq!(printable("\r\n\t", 100), "");
}

#[test]
fn cuts_at_a_character_and_counts_only_what_stays() {
    assert_eq!(printable("aäb", 2), "a");
    assert_eq!(printable("aäb", 3), "aä");
    assert_eq!(printable(&"\u{feff}x".repeat(1000), 10), "x".repeat(10));
    assert_eq!(printable("a  b", 3), "a");
    assert_eq!(printable("a", 0), "");
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_as_the_standard_library_does() {
    for bytes in [&b"a\xffb"[..], b"\xf0\x9f\x91", b"\xc3\x28\x9b", b"\xed\xa0\x80"] {
        assert_eq!(printable_bytes(bytes, 100), String::from_utf8_lossy(bytes));
    }
    assert_eq!(printable_bytes(&[0xff; 100], 10), "\u{fffd}".repeat(3));
}

#[test]
fn is_the_same_when_it_is_passed_through_again() {
    for text in ["a \u{200b}", "a\t\x1b\n b \r", "x\u{fffe} \u{3000}"] {
        let once = printable(text, 100);
        assert_eq!(printable(&once, 100), once);
    }
}
