//! Which mutants there are, and which one runs.

use core::sync::atomic::{AtomicUsize, Ordering};

/// The number of the mutant that runs; 0 if none does.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A fault of the machines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MachineMutant {
    /// Its number in the switched functions, from 1.
    number: usize,
    /// Its name on a command line.
    pub name: &'static str,
    /// The number of the rule that it breaks: the one whose property has to notice.
    pub rule: u8,
    /// What is wrong, in one sentence.
    pub fault: &'static str,
    /// Why no run of the model can show it, if none can.
    pub unseen: Option<&'static str>,
    /// The files that it changes, relative to `protocol/src`.
    pub files: &'static [&'static str],
}

impl MachineMutant {
    /// Whether it is one of the path machine, the rules of which are P1 to P10 of SPEC section 7.9.
    pub fn is_of_paths(&self) -> bool {
        self.files.iter().all(|file| file.starts_with("paths/"))
    }
}

/// All that `model-check/mutants` has.
pub const ALL: &[MachineMutant] = include!(concat!(env!("OUT_DIR"), "/mutants.rs"));

/// Chooses the mutant that runs, or none, for the whole process. What a machine did before stands:
/// begin with fresh ones.
pub fn select(mutant: Option<&MachineMutant>) {
    RUNNING.store(mutant.map_or(0, |mutant| mutant.number), Ordering::Relaxed);
}

/// The number of the mutant that runs, or 0.
pub(crate) fn running() -> usize {
    RUNNING.load(Ordering::Relaxed)
}
