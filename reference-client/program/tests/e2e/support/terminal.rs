//! A terminal that can be closed.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::client::Client;
use super::host::Host;
use super::programs::rejoin;

/// The side where the person would sit. Dropping it closes the terminal.
pub(crate) struct Terminal(File);

impl Terminal {
    /// A new terminal, and the side for programs.
    pub(crate) fn open() -> (Self, File) {
        let person =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
        // Not to become the terminal of the tests.
        let no_owner = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        let mut open = OpenOptions::new();
        open.read(true).write(true);
        let line = std::os::unix::fs::OpenOptionsExt::custom_flags(&mut open, no_owner).open(name);
        (Self(person.into()), line.unwrap())
    }

    /// Runs `rejoin -t` as the process that the terminal belongs to, with a command.
    pub(crate) fn rejoin(host: &Host, command: &str) -> (Self, Client) {
        Self::rejoin_with(host, &[], command)
    }

    /// The same with more options.
    pub(crate) fn rejoin_with(host: &Host, options: &[&str], command: &str) -> (Self, Client) {
        let (person, line) = Self::open();
        let attach = |command: &mut Command| {
            command.stdin(line.try_clone().unwrap()).stdout(line);
        };
        let plan = host.plan().program(Path::new("setsid"));
        // These tests may have been started to ignore hangups.
        let words = ["--ctty", "env", "--default-signal"].map(OsStr::new);
        let plan = plan.with(words).with([rejoin().as_os_str(), "-t".as_ref()]).with(options);
        (person, plan.change(attach).run(command))
    }

    /// Gives it a size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.0, size).unwrap();
    }

    /// Everything that is to be seen until no program has it open any more.
    pub(crate) fn until_closed(&mut self) -> String {
        let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            match self.0.read(&mut chunk) {
                Ok(length) => seen.extend_from_slice(&chunk[..length]),
                // What a terminal without programs answers.
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => break,
                Err(error) => panic!("{error}"),
            }
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Types something.
    pub(crate) fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("the terminal is open");
    }

    /// Waits until this is to be seen, and returns what was until then.
    pub(crate) fn until_seen(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(text) {
            let mut chunk = [0; 256];
            let length = self.0.read(&mut chunk).expect("the terminal is open");
            seen.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
        seen
    }
}
