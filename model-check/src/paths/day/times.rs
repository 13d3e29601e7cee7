//! The durations that SPEC section 7.9 recommends.

use rejoin_protocol::paths::{Class, Timer};

use super::host::Millis;

/// The durations of a driver.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The shortest time that a login has.
    pub least_login: Millis,
    /// The first pause after which a path that needs a person is dialled again.
    pub least_person: Millis,
    /// How long the last login took, if there was one.
    pub login: Option<Millis>,
}

impl Times {
    /// As they are recommended, before a login was made.
    pub const REFERENCE: Self = Self { least_login: 30_000, least_person: 120_000, login: None };

    /// How long a timer runs; `jitter` is from 0 to 255.
    pub fn of(&self, timer: Timer, class: Class, step: u8, jitter: u8) -> Millis {
        let login = self.login.unwrap_or(1000);
        match class {
            Class::Retry => {
                let most = doubled(50, step, 2000);
                most / 2 + most / 2 * Millis::from(jitter) / 255
            }
            Class::Aside => doubled(1000, step, 120_000),
            Class::Standby => 60_000,
            Class::Person => doubled(self.least_person, step, 3_600_000),
            Class::HeadStart => 40,
            Class::Login => match self.login {
                None => 60_000,
                Some(login) => doubled((3 * login).max(self.least_login), step, 60_000),
            },
            Class::Asking => 180_000,
            Class::Answer => doubled((login / 2).max(1000), step, 30_000),
            Class::Suspicious => (login / 6).clamp(100, 500),
            Class::Usual => match timer {
                Timer::Calm => 10_000,
                Timer::Settled => 4000,
                Timer::Silence => 3500,
                Timer::Hold => 6000,
                Timer::Patience => 24 * 3_600_000,
                Timer::Learn => 300_000,
                _ => 500,
            },
        }
    }
}

fn doubled(least: Millis, step: u8, most: Millis) -> Millis {
    least.saturating_mul(1 << step.min(16)).min(most)
}
