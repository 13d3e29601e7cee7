//! Converts the modes of a terminal (SPEC section 6) from and to this system's `termios`.

use alloc::vec::Vec;

use rustix::termios::{
    ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex, Termios,
};

use crate::spec::Terminal;

/// Input and output speed, in bits per second.
const INPUT_SPEED: u8 = 128;
const OUTPUT_SPEED: u8 = 129;

/// A special character that is disabled: on the wire, and in this system's `termios`.
const NO_CHARACTER: u8 = 255;
const DISABLED: u8 = if cfg!(target_os = "linux") { 0 } else { 0xff };

/// Where this system keeps a mode.
enum Mode {
    Character(SpecialCodeIndex),
    Input(InputModes),
    Local(LocalModes),
    Output(OutputModes),
    Control(ControlModes),
}

use Mode::{Character, Control, Input, Local, Output};

/// The opcodes of RFC 4254 and RFC 8160 (IUTF8) for which this system has a mode.
const MODES: &[(u8, Mode)] = &[
    (1, Character(SpecialCodeIndex::VINTR)),
    (2, Character(SpecialCodeIndex::VQUIT)),
    (3, Character(SpecialCodeIndex::VERASE)),
    (4, Character(SpecialCodeIndex::VKILL)),
    (5, Character(SpecialCodeIndex::VEOF)),
    (6, Character(SpecialCodeIndex::VEOL)),
    (7, Character(SpecialCodeIndex::VEOL2)),
    (8, Character(SpecialCodeIndex::VSTART)),
    (9, Character(SpecialCodeIndex::VSTOP)),
    (10, Character(SpecialCodeIndex::VSUSP)),
    #[cfg(target_vendor = "apple")]
    (11, Character(SpecialCodeIndex::VDSUSP)),
    (12, Character(SpecialCodeIndex::VREPRINT)),
    (13, Character(SpecialCodeIndex::VWERASE)),
    (14, Character(SpecialCodeIndex::VLNEXT)),
    // Linux has a VSWTC for opcode 16, which does nothing there. OpenSSH ignores it, too.
    #[cfg(target_vendor = "apple")]
    (17, Character(SpecialCodeIndex::VSTATUS)),
    (18, Character(SpecialCodeIndex::VDISCARD)),
    (30, Input(InputModes::IGNPAR)),
    (31, Input(InputModes::PARMRK)),
    (32, Input(InputModes::INPCK)),
    (33, Input(InputModes::ISTRIP)),
    (34, Input(InputModes::INLCR)),
    (35, Input(InputModes::IGNCR)),
    (36, Input(InputModes::ICRNL)),
    #[cfg(target_os = "linux")]
    (37, Input(InputModes::IUCLC)),
    (38, Input(InputModes::IXON)),
    (39, Input(InputModes::IXANY)),
    (40, Input(InputModes::IXOFF)),
    (41, Input(InputModes::IMAXBEL)),
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    (42, Input(InputModes::IUTF8)),
    (50, Local(LocalModes::ISIG)),
    (51, Local(LocalModes::ICANON)),
    #[cfg(target_os = "linux")]
    (52, Local(LocalModes::XCASE)),
    (53, Local(LocalModes::ECHO)),
    (54, Local(LocalModes::ECHOE)),
    (55, Local(LocalModes::ECHOK)),
    (56, Local(LocalModes::ECHONL)),
    (57, Local(LocalModes::NOFLSH)),
    (58, Local(LocalModes::TOSTOP)),
    (59, Local(LocalModes::IEXTEN)),
    (60, Local(LocalModes::ECHOCTL)),
    (61, Local(LocalModes::ECHOKE)),
    (62, Local(LocalModes::PENDIN)),
    (70, Output(OutputModes::OPOST)),
    #[cfg(target_os = "linux")]
    (71, Output(OutputModes::OLCUC)),
    (72, Output(OutputModes::ONLCR)),
    (73, Output(OutputModes::OCRNL)),
    (74, Output(OutputModes::ONOCR)),
    (75, Output(OutputModes::ONLRET)),
    (90, Control(ControlModes::CS7)),
    (91, Control(ControlModes::CS8)),
    (92, Control(ControlModes::PARENB)),
    (93, Control(ControlModes::PARODD)),
];

impl Mode {
    fn of(&self, termios: &Termios) -> u32 {
        let is_set = match *self {
            Character(index) => return character_on_the_wire(termios.special_codes[index]),
            Input(flag) => termios.input_modes.intersects(flag),
            Local(flag) => termios.local_modes.intersects(flag),
            Output(flag) => termios.output_modes.intersects(flag),
            Control(flag) => termios.control_modes.intersects(flag),
        };
        is_set.into()
    }

    fn set(&self, termios: &mut Termios, value: u32) {
        let is_set = value != 0;
        match *self {
            Character(index) => {
                if let Ok(character) = u8::try_from(value) {
                    termios.special_codes[index] = character_of_this_system(character);
                }
            }
            Input(flag) => termios.input_modes.set(flag, is_set),
            Local(flag) => termios.local_modes.set(flag, is_set),
            Output(flag) => termios.output_modes.set(flag, is_set),
            Control(flag) => termios.control_modes.set(flag, is_set),
        }
    }
}

fn character_on_the_wire(character: u8) -> u32 {
    if character == DISABLED { NO_CHARACTER.into() } else { character.into() }
}

fn character_of_this_system(character: u8) -> u8 {
    if character == NO_CHARACTER { DISABLED } else { character }
}

impl Terminal {
    /// The modes of a terminal of this system, for [`Terminal::modes`]. Modes without an opcode are left out.
    pub fn modes_of(termios: &Termios) -> Vec<(u8, u32)> {
        let speeds = [(OUTPUT_SPEED, termios.output_speed()), (INPUT_SPEED, termios.input_speed())];
        let others = MODES.iter().map(|(opcode, mode)| (*opcode, mode.of(termios)));
        speeds.into_iter().chain(others).collect()
    }

    /// Sets [`Terminal::modes`] in `termios`, in their order. Modes that this system does not have are
    /// ignored, and modes that are not listed stay unchanged.
    pub fn apply_modes(&self, termios: &mut Termios) {
        for &(opcode, value) in &self.modes {
            match opcode {
                // A speed that this system does not have changes nothing.
                INPUT_SPEED => drop(termios.set_input_speed(value)),
                OUTPUT_SPEED => drop(termios.set_output_speed(value)),
                _ => {
                    if let Some((_, mode)) = MODES.iter().find(|(known, _)| *known == opcode) {
                        mode.set(termios, value);
                    }
                }
            }
        }
    }
}
