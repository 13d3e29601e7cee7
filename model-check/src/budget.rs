//! How often things may happen in a run that do not have to.

/// What happens at most so many times.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Chance {
    /// An application types something.
    Input,
    /// A process writes something.
    Output,
    /// A process ends by itself.
    Exit,
    /// A process starts something that leaves it, as daemons do.
    Daemon,
    /// A link is reset.
    Cut,
    /// A link falls silent: nothing arrives any more, and nobody is told.
    Silence,
    /// A timer for silence fires although the link is whole.
    Timeout,
    /// A link cannot be opened.
    NoLink,
    /// A server is killed, and its process with it.
    ServerKill,
    /// A server is killed, and its process stays.
    Leftover,
    /// An attach program is killed before it has joined its stream to a server.
    AttachKill,
    /// An attach program's own deadline passes.
    AttachDeadline,
    /// A process cannot be started.
    FailedStart,
    /// A detached process has been kept for long enough.
    Retention,
    /// A client is killed, with all that it knew.
    ClientKill,
    /// A client is killed, and starts again with what it had written down.
    ClientRestart,
    /// Another client joins.
    Join,
    /// An application leaves.
    Detach,
    /// An application ends the session.
    Close,
    /// A client has waited for long enough.
    GiveUp,
    /// The registry's folder is removed, with all that is in it.
    Wipe,
    /// The session's entry is removed, its lock file is not.
    EntryWipe,
    /// A day passes.
    Day,
    /// Somebody sweeps.
    Sweep,
    /// The host boots.
    Reboot,
    /// New links lead to another host.
    OtherHost,
    /// The host's state is put by, to be rolled back to.
    Snapshot,
    /// A takeover cannot be recorded.
    TenureFailure,
    /// A heartbeat.
    Ping,
    /// A client is killed, and starts again with what it had written down too early.
    StaleState,
    /// An attach program may not use the registry.
    NoRegistry,
    /// The programs on a host are replaced by later ones.
    Upgrade,
    /// An access to the registry fails.
    Fault,
    /// A server's heartbeat.
    ServerPing,
    /// A link brings bytes that are no frame.
    Garble,
    /// A Hello is delivered twice.
    Repeat,
}

const COUNT: usize = Chance::Repeat as usize + 1;

/// What may still happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Budget([u8; COUNT]);

impl Budget {
    /// Nothing but what is listed.
    pub const fn of(chances: &[(Chance, u8)]) -> Self {
        let mut budget = [0; COUNT];
        let mut at = 0;
        while at < chances.len() {
            budget[chances[at].0 as usize] = chances[at].1;
            at += 1;
        }
        Self(budget)
    }

    /// The same without these.
    #[must_use]
    pub fn but(mut self, chances: &[Chance]) -> Self {
        for chance in chances {
            self.0[*chance as usize] = 0;
        }
        self
    }

    /// Whether it may happen once more.
    pub const fn has(&self, chance: Chance) -> bool {
        self.left(chance) > 0
    }

    /// How often it may still happen.
    pub const fn left(&self, chance: Chance) -> u8 {
        self.0[chance as usize]
    }

    /// It happens.
    pub fn spend(&mut self, chance: Chance) {
        let left = &mut self.0[chance as usize];
        *left = left.saturating_sub(1);
    }
}
