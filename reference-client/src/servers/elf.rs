//! What the head of an ELF file tells: which machine it is for, and whether it is all there is to it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

/// The program's own segments are listed within the first bytes, wherever a linker wrote the file.
const HEAD: u64 = 4096;
/// The segment that names a dynamic loader.
const PT_INTERP: u32 = 3;

/// What the head of an ELF file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Elf {
    machine: u16,
    is_64: bool,
    is_little: bool,
    /// Whether it needs nothing else on the host.
    pub(super) is_static: bool,
}

impl Elf {
    /// None if the file is no ELF file. It is left at its beginning.
    pub(super) fn read(mut file: &File) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        file.rewind()?;
        file.take(HEAD).read_to_end(&mut head)?;
        file.rewind()?;
        Ok(Self::parse(&head))
    }

    fn parse(head: &[u8]) -> Option<Self> {
        let (is_64, is_little) = match head.get(..6)? {
            [0x7f, b'E', b'L', b'F', class @ (1 | 2), data @ (1 | 2)] => (*class == 2, *data == 1),
            _ => return None,
        };
        let head = Head { bytes: head, is_little };
        let machine = head.u16(18)?;
        let (offset, size, count) = if is_64 { (32, 54, 56) } else { (28, 42, 44) };
        let (offset, size, count) = (
            head.u32(offset + usize::from(is_64 && !is_little) * 4)?,
            head.u16(size)?,
            head.u16(count)?,
        );
        let mut segments = (0..usize::from(count)).map(|number| {
            let at = usize::try_from(offset).ok()?.checked_add(number * usize::from(size))?;
            head.u32(at)
        });
        // A segment that cannot be seen may be that one.
        let is_static = !segments.any(|kind| kind.is_none_or(|kind| kind == PT_INTERP));
        Some(Self { machine, is_64, is_little, is_static })
    }

    /// Whether it is for a machine of this name, as `uname -m` prints it; none if that is not known.
    pub(super) fn is_for(self, machine: &str) -> Option<bool> {
        let row = MACHINES.iter().find(|(name, ..)| machine.starts_with(name))?;
        Some((row.1, row.2, row.3) == (self.machine, self.is_64, self.is_little))
    }

    /// The name of a machine that it is for.
    pub(super) fn machine(self) -> &'static str {
        let is_it = |row: &&(&str, u16, bool, bool)| {
            (row.1, row.2, row.3) == (self.machine, self.is_64, self.is_little)
        };
        MACHINES.iter().find(is_it).map_or("another machine", |row| row.0)
    }
}

/// Beginnings of names, the number of the machine, and whether it has 64 bits and the lowest byte first.
/// A longer beginning stands in front of a shorter one.
const MACHINES: &[(&str, u16, bool, bool)] = &[
    ("x86_64", 62, true, true),
    ("aarch64", 183, true, true),
    ("riscv64", 243, true, true),
    ("ppc64le", 21, true, true),
    ("loongarch64", 258, true, true),
    ("s390x", 22, true, false),
    ("arm", 40, false, true),
    ("i686", 3, false, true),
];

struct Head<'a> {
    bytes: &'a [u8],
    is_little: bool,
}

impl Head<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..)?.first_chunk().copied()?;
        Some(if self.is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..)?.first_chunk().copied()?;
        Some(if self.is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head with one segment of this kind.
    fn head(machine: u8, kind: u8) -> Vec<u8> {
        let mut head = vec![0; 64 + 56];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (head[18], head[32], head[54], head[56], head[64]) = (machine, 64, 56, 1, kind);
        head
    }

    #[test]
    fn a_head_tells_the_machine_and_whether_there_is_a_loader() {
        let elf = Elf::parse(&head(183, 1)).unwrap();
        assert!(elf.is_static);
        assert_eq!(elf.machine(), "aarch64");
        assert_eq!(elf.is_for("aarch64"), Some(true));
        assert_eq!(elf.is_for("x86_64"), Some(false));
        assert_eq!(elf.is_for("vax"), None);
        assert!(!Elf::parse(&head(62, 3)).unwrap().is_static);
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_no_static_program() {
        let whole = head(62, 1);
        for length in 0..whole.len() {
            let elf = Elf::parse(&whole[..length]);
            assert!(elf.is_none_or(|elf| !elf.is_static) || length >= 68, "{length}");
        }
        assert_eq!(Elf::parse(b"#!/bin/sh\nexit 0\n and more, so that it is long enough"), None);
        let mut endless = whole;
        endless[32..40].fill(0xff);
        endless[56..58].fill(0xff);
        assert!(!Elf::parse(&endless).unwrap().is_static);
    }

    #[test]
    fn this_very_program_is_for_this_machine() {
        let elf = Elf::read(&File::open(std::env::current_exe().unwrap()).unwrap()).unwrap();
        if cfg!(target_os = "linux") {
            let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
            assert_ne!(elf.unwrap().is_for(&machine), Some(false));
        }
    }
}
