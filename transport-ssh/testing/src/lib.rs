//! Bad networks and real servers for tests.
//!
//! Nothing here sleeps: a test can wait for every state that it depends on.

mod agent;
mod black_hole;
mod files;
mod other_server;
mod program;
mod relay;
mod server_process;
mod ssh_stream;
mod sshd;

use std::net::SocketAddr;

pub use agent::Agent;
pub use black_hole::BlackHole;
pub use files::{KeyKind, ServerFiles};
pub use other_server::{OtherServer, ServerKind, can_change_login_shells};
pub use program::make_program;
pub use relay::{Direction, Fault, Piece, Relay, RelayBuilder, RelayCounts};
pub use rustix::process::{Pid, Signal};
pub use ssh_stream::ssh_parts;
pub use sshd::{Sshd, SshdBuilder};

/// A private SSH server on a loopback port.
pub trait SshServer: Send {
    /// Its address.
    fn addr(&self) -> SocketAddr;

    /// What to hand to ssh as the destination, together with [`ServerFiles::ssh_options`].
    fn destination(&self) -> &'static str {
        "127.0.0.1"
    }

    /// Its keys, and how it is reached with them.
    fn files(&self) -> &ServerFiles;

    /// Its log so far.
    fn log(&self) -> Vec<String>;
}

/// Ends the calling test early where a program that it needs is not installed, and says so; with
/// `CI` set in the environment the test fails instead, so that nothing is passed over unnoticed.
#[macro_export]
macro_rules! needs {
    ($($program:literal),+) => {
        if !$crate::are_installed(&[$($program),+]) {
            return;
        }
    };
}

/// Whether all these programs are installed. See [`needs!`](crate::needs).
///
/// # Panics
/// If one is not and the environment has `CI`.
pub fn are_installed(programs: &[&str]) -> bool {
    let is_missing = |program: &&str| !is_installed(program);
    let missing: Vec<_> = programs.iter().copied().filter(is_missing).collect();
    if !missing.is_empty() {
        pass_over(&missing);
    }
    missing.is_empty()
}

fn pass_over(missing: &[&str]) {
    let is_strict = std::env::var_os("CI").is_some();
    assert!(!is_strict, "not installed: {missing:?}");
    eprintln!("PASSED OVER: not installed: {missing:?}");
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where system programs are, which a user's own path may leave out.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.into_iter().any(|folder: std::path::PathBuf| folder.join(program).is_file())
}

/// Random numbers that a printed seed repeats (xorshift64*). For tests, never for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that belong to `seed`.
    pub fn new(seed: u64) -> Self {
        // Zero is the one state that xorshift does not leave; the odd factor keeps seeds apart.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The numbers that belong to the seed in the environment variable `REJOIN_SEED`, or to a fresh one. It is
    /// printed, so that a failed test says how to repeat its run.
    pub fn from_env() -> Self {
        let given = std::env::var("REJOIN_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(fresh_seed);
        eprintln!("REJOIN_SEED={seed}");
        Self::new(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }
}

fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_repeats_its_numbers_and_seeds_differ() {
        let numbers = |seed| {
            std::iter::repeat_with({
                let mut random = Random::new(seed);
                move || random.below(1_000_000)
            })
        };
        assert!(numbers(7).take(100).eq(numbers(7).take(100)));
        let firsts: std::collections::BTreeSet<_> =
            (0..100).filter_map(|s| numbers(s).next()).collect();
        assert!(firsts.len() > 90, "{firsts:?}");
    }
}
