//! Terminal modes: between this system's `termios` and their opcodes.
#![cfg(feature = "termios")]
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::collections::BTreeMap;

use rejoin_protocol::WindowSize;
use rejoin_protocol::spec::Terminal;
use rustix::pty::{OpenptFlags, openpt};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex, Termios, tcgetattr,
};

/// The modes of a new terminal, with no flag set.
fn blank() -> Termios {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    let mut termios = tcgetattr(&terminal).unwrap();
    termios.input_modes = InputModes::empty();
    termios.local_modes = LocalModes::empty();
    termios.output_modes = OutputModes::empty();
    termios.control_modes -= ControlModes::CSIZE | ControlModes::PARENB | ControlModes::PARODD;
    termios
}

fn with(modes: &[(u8, u32)]) -> Terminal {
    let size = WindowSize::default();
    Terminal { term: "vt100".into(), size, modes: modes.to_vec() }
}

fn applied(modes: &[(u8, u32)]) -> Termios {
    let mut termios = blank();
    with(modes).apply_modes(&mut termios);
    termios
}

/// The modes by their opcodes, each of which stands there once.
fn by_opcode(termios: &Termios) -> BTreeMap<u8, u32> {
    let modes = Terminal::modes_of(termios);
    let map: BTreeMap<u8, u32> = modes.iter().copied().collect();
    assert_eq!(map.len(), modes.len());
    assert!(map.len() <= Terminal::MAX_MODES);
    map
}

/// Sets only this, and returns what is set then, without the speeds and the special characters.
fn flags_with(opcode: u8) -> Vec<u8> {
    let set = by_opcode(&applied(&[(opcode, 1)])).into_iter();
    set.filter(|(opcode, value)| (30..128).contains(opcode) && *value == 1)
        .map(|(opcode, _)| opcode)
        .collect()
}

#[test]
fn each_opcode_is_the_mode_that_the_rfc_names() {
    let input = [
        (30, InputModes::IGNPAR),
        (33, InputModes::ISTRIP),
        (36, InputModes::ICRNL),
        (38, InputModes::IXON),
        (39, InputModes::IXANY),
        (42, InputModes::IUTF8),
    ];
    for (opcode, flag) in input {
        assert_eq!(applied(&[(opcode, 1)]).input_modes, flag, "{opcode}");
    }
    let local = [
        (50, LocalModes::ISIG),
        (51, LocalModes::ICANON),
        (53, LocalModes::ECHO),
        (58, LocalModes::TOSTOP),
        (61, LocalModes::ECHOKE),
    ];
    for (opcode, flag) in local {
        assert_eq!(applied(&[(opcode, 1)]).local_modes, flag, "{opcode}");
    }
    for (opcode, flag) in [(70, OutputModes::OPOST), (72, OutputModes::ONLCR)] {
        assert_eq!(applied(&[(opcode, 1)]).output_modes, flag, "{opcode}");
    }
    for (opcode, flag) in [(91, ControlModes::CS8), (92, ControlModes::PARENB)] {
        assert!(applied(&[(opcode, 1)]).control_modes.contains(flag), "{opcode}");
    }
    let characters = [
        (1, SpecialCodeIndex::VINTR),
        (3, SpecialCodeIndex::VERASE),
        (10, SpecialCodeIndex::VSUSP),
        (13, SpecialCodeIndex::VWERASE),
        (18, SpecialCodeIndex::VDISCARD),
    ];
    for (opcode, index) in characters {
        assert_eq!(applied(&[(opcode, 0x1c)]).special_codes[index], 0x1c, "{opcode}");
    }
}

#[test]
fn what_is_set_is_what_is_read() {
    let unset: Vec<u8> =
        by_opcode(&blank()).into_keys().filter(|opcode| (30..128).contains(opcode)).collect();
    assert!(unset.len() > 30, "{unset:?}");
    for opcode in unset {
        // CS7 and CS8 are numbers in the same two bits.
        let expected = if matches!(opcode, 90 | 91) { vec![90, 91] } else { vec![opcode] };
        assert_eq!(flags_with(opcode), expected);
        assert_eq!(by_opcode(&applied(&[(opcode, 7), (opcode, 0)])), by_opcode(&blank()));
    }
    let mut termios = blank();
    let mut modes = Terminal::modes_of(&termios);
    for (count, (opcode, value)) in modes.iter_mut().filter(|(opcode, _)| *opcode < 30).enumerate()
    {
        *value = u32::from(*opcode) + u32::try_from(count).unwrap();
    }
    with(&modes).apply_modes(&mut termios);
    assert_eq!(Terminal::modes_of(&termios), modes);
}

#[test]
fn a_special_character_can_be_none() {
    let termios = applied(&[(1, 255), (3, 0x7f)]);
    let (none, erase) = (
        termios.special_codes[SpecialCodeIndex::VINTR],
        termios.special_codes[SpecialCodeIndex::VERASE],
    );
    // The kernel's own byte for that.
    assert_eq!((none, erase), (0, 0x7f));
    let read = by_opcode(&termios);
    assert_eq!((read[&1], read[&3]), (255, 0x7f));
}

#[test]
fn speeds_are_bits_per_second() {
    for speed in [134, 9600, 230_400] {
        let termios = applied(&[(129, speed), (128, speed)]);
        assert_eq!((termios.output_speed(), termios.input_speed()), (speed, speed));
        let read = by_opcode(&termios);
        assert_eq!((read[&129], read[&128]), (speed, speed));
    }
}

#[test]
fn the_last_of_several_counts_and_what_is_unknown_changes_nothing() {
    let before = by_opcode(&blank());
    assert_eq!(by_opcode(&applied(&[])), before);
    let unknown: Vec<(u8, u32)> =
        (0..=255).filter(|opcode| !before.contains_key(opcode)).map(|opcode| (opcode, 1)).collect();
    assert!(unknown.len() > 150 && unknown.contains(&(0, 1)) && unknown.contains(&(160, 1)));
    assert_eq!(by_opcode(&applied(&unknown)), before);
    // No byte of a special character.
    assert_eq!(by_opcode(&applied(&[(3, 256), (1, u32::MAX)])), before);
    let twice = by_opcode(&applied(&[(3, 1), (160, 1), (53, 1), (3, 8), (53, 0)]));
    assert_eq!((twice[&3], twice[&53]), (8, 0));
}
