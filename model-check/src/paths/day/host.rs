//! A host that counts: `sshd` with `PerSourcePenalties` and `MaxStartups`, and fail2ban.

use std::collections::BTreeMap;

/// Milliseconds since the day began.
pub type Millis = u64;

const SECOND: Millis = 1000;
/// How long an address may accumulate penalties (OpenSSH 9.8: `max`).
const MOST: Millis = 600 * SECOND;
/// What it has to have before they count (`min`).
const LEAST: Millis = 15 * SECOND;
/// How long a login may take (`LoginGraceTime`).
pub const GRACE: Millis = 120 * SECOND;
/// fail2ban's `findtime` and `bantime`.
const FIND: Millis = 600 * SECOND;
/// fail2ban's `maxretry`.
const RETRIES: usize = 5;

/// How a host counts.
#[derive(Clone, Copy, Debug)]
pub struct LoginLimits {
    /// Its name.
    pub name: &'static str,
    /// Seconds for a connection that ends without an attempt to log in, or that fails, or takes too long.
    pub noauth: Millis,
    /// The same.
    pub authfail: Millis,
    /// The same.
    pub grace: Millis,
    /// Whether fail2ban reads its log.
    pub bans: bool,
    /// How many connections may be logging in at once.
    pub startups: usize,
}

/// As OpenSSH 9.8 comes.
pub const DEFAULTS: LoginLimits =
    LoginLimits { name: "defaults", noauth: 1, authfail: 5, grace: 20, bans: false, startups: 10 };
/// With penalties that a single connection earns.
pub const STRICT: LoginLimits =
    LoginLimits { name: "noauth:300 authfail:300", noauth: 300, authfail: 300, ..DEFAULTS };
/// With fail2ban beside it.
pub const BANS: LoginLimits = LoginLimits { name: "fail2ban", bans: true, ..DEFAULTS };
/// That admits few at a time.
pub const FEW: LoginLimits = LoginLimits { name: "MaxStartups 2", startups: 2, ..DEFAULTS };

/// Why a login came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoginFailure {
    /// The client closed the connection before it had logged in.
    GivenUp,
    /// It was cut.
    Cut,
    /// It was not admitted: a key was missing.
    Refused,
    /// It took too long.
    Late,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// For what the network or a locked key has done.
    Other,
    /// It would have been admitted, had the client never given up a login.
    GivenUp,
    /// The address is banned for logins that failed.
    Banned,
}

#[derive(Clone, Debug, Default)]
struct PenaltyRecord {
    expiry: Millis,
    is_active: bool,
    failures: Vec<Millis>,
    banned_until: Millis,
}

impl PenaltyRecord {
    fn penalise(&mut self, now: Millis, penalty: Millis) {
        if self.expiry <= now {
            (self.expiry, self.is_active) = (now, false);
        }
        self.expiry = (self.expiry + penalty).min(now + MOST);
        self.is_active |= self.expiry - now >= LEAST;
    }

    fn fail(&mut self, now: Millis) {
        self.failures.retain(|at| at + FIND > now);
        self.failures.push(now);
        if self.failures.len() >= RETRIES {
            self.failures.clear();
            self.banned_until = now + FIND;
        }
    }

    fn refuses(&self, now: Millis) -> bool {
        self.is_active && self.expiry > now
    }
}

/// The host, as far as it counts.
#[derive(Clone, Debug)]
pub struct PenalisingHost {
    strictness: LoginLimits,
    /// What is known of the one address, and what would be without the logins that the client gave up.
    known: PenaltyRecord,
    spared: PenaltyRecord,
    /// The connections that are logging in, and whether the client has given them up.
    logins: BTreeMap<u64, bool>,
}

impl PenalisingHost {
    /// A host that knows nothing of the client.
    pub fn new(strictness: LoginLimits) -> Self {
        let (known, spared) = (PenaltyRecord::default(), PenaltyRecord::default());
        Self { strictness, known, spared, logins: BTreeMap::new() }
    }

    /// A connection arrives.
    pub fn accept(&mut self, now: Millis, connection: u64) -> Result<(), Refusal> {
        if self.known.banned_until > now {
            return Err(Refusal::Banned);
        }
        let places = self.strictness.startups;
        let own = self.logins.values().filter(|is_given_up| !**is_given_up).count();
        if self.known.refuses(now) || self.logins.len() >= places {
            let is_other = self.spared.refuses(now) || own >= places;
            return Err(if is_other { Refusal::Other } else { Refusal::GivenUp });
        }
        self.logins.insert(connection, false);
        Ok(())
    }

    /// The client has given up a login, and the host does not know yet.
    pub fn abandoned(&mut self, connection: u64) {
        if let Some(is_given_up) = self.logins.get_mut(&connection) {
            *is_given_up = true;
        }
    }

    /// A login has succeeded.
    pub fn admitted(&mut self, connection: u64) {
        self.logins.remove(&connection);
    }

    /// A login has come to nothing.
    pub fn failed(&mut self, now: Millis, connection: u64, fault: LoginFailure) {
        let Some(is_given_up) = self.logins.remove(&connection) else { return };
        let LoginLimits { noauth, authfail, grace, bans, .. } = self.strictness;
        let penalty = SECOND
            * match fault {
                LoginFailure::GivenUp | LoginFailure::Cut => noauth,
                LoginFailure::Refused => authfail,
                LoginFailure::Late => grace,
            };
        let is_own = is_given_up || fault == LoginFailure::GivenUp;
        let records = [(true, &mut self.known), (!is_own, &mut self.spared)];
        for (_, record) in records.into_iter().filter(|(counts, _)| *counts) {
            record.penalise(now, penalty);
            // fail2ban counts who fails to log in, and not who only closes a connection.
            if bans && fault == LoginFailure::Refused {
                record.fail(now);
            }
        }
    }
}
