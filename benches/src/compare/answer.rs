//! The program that runs on the host: it answers each number that is typed with that number, in a
//! form that cannot be an echo.

use std::io::{self, Read as _, Write as _};

use rustix::stdio;
use rustix::termios::{self, OptionalActions};

/// What a number is typed between.
pub(super) const BEGIN: u8 = b'k';
pub(super) const END: u8 = b'.';
/// Ends the program.
pub(super) const QUIT: u8 = b'q';

/// Answers until its input ends.
///
/// # Errors
/// Its terminal is gone.
pub fn run() -> io::Result<()> {
    let mut terminal = termios::tcgetattr(stdio::stdin())?;
    terminal.make_raw();
    termios::tcsetattr(stdio::stdin(), OptionalActions::Now, &terminal)?;
    let pid = std::process::id();
    print(b"\x1b[2J")?;
    answer(0, pid)?;
    let (mut typed, mut number) = ([0; 4096], None);
    loop {
        let count = io::stdin().read(&mut typed)?;
        if count == 0 {
            return Ok(());
        }
        for byte in &typed[..count] {
            match (*byte, number) {
                (BEGIN, _) => number = Some(0),
                (END, Some(whole)) => {
                    answer(whole, pid)?;
                    number = None;
                }
                (digit @ b'0'..=b'9', Some(so_far)) => {
                    number = Some(so_far * 10 % 1_000_000_000 + u64::from(digit - b'0'));
                }
                (QUIT, None) => return Ok(()),
                _ => number = None,
            }
        }
    }
}

/// Always in the first row, where it is looked for: so that a program that draws a screen has as
/// little to draw as can be.
fn answer(number: u64, pid: u32) -> io::Result<()> {
    print(format!("\x1b[H<{number}@{pid}>\x1b[K").as_bytes())
}

/// The number and the process of an answer in this row.
pub(super) fn parse(row: &str) -> Option<(u64, u32)> {
    let (number, rest) = row.strip_prefix('<')?.split_once('@')?;
    let (pid, _) = rest.split_once('>')?;
    Some((number.parse().ok()?, pid.parse().ok()?))
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes)?;
    stdout.flush()
}
