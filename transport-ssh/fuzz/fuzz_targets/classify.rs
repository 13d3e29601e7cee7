//! How the end of an ssh is judged. An input is: how it ended (two bytes), whether the host was there, in what
//! pieces its stderr came, and how its lines are told (a byte each); then what began its stdout up to a zero byte;
//! then its stderr.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rejoin_ssh::fuzz::{judged, stderr_lines};
use rejoin_ssh_fuzz::{check_text, pieces, split_at_first};

const MAX_LINES: usize = 20;
const MAX_LINE: usize = 1024;
const MAX_ALL: usize = 8 * 1024;
const MAX_MESSAGE: usize = 4096;

fuzz_target!(|input: &[u8]| {
    let Some((&[how, number, flags, seed, details], said)) = input.split_first_chunk() else {
        return;
    };
    let status = match how % 4 {
        0 => None,
        1 => Some(i32::from(number & 0x7f)),
        2 => Some(i32::from(number) << 8),
        _ => Some(255 << 8),
    };
    let (greeting, stderr) = split_at_first(said, 0);
    let lines = stderr_lines([stderr], details);
    assert_eq!(stderr_lines(pieces(stderr, seed), details), lines);
    let greeting = stderr_lines([greeting], 0);
    for error in judged(status, flags & 1 == 1, &lines, &greeting) {
        check_text(&error.message, MAX_MESSAGE);
        assert!(!error.message.is_empty());
        assert!(error.detail.len() <= MAX_LINES);
        assert!(error.detail.iter().map(String::len).sum::<usize>() <= MAX_ALL);
        error.detail.iter().for_each(|line| check_text(line, MAX_LINE));
    }
});
