//! The profiles: each a part of the world that is searched to its end.

mod ci;
pub mod generated;
mod hunts;
mod nightly;
mod parts;

use crate::profile::Profile;

pub use ci::CI;
pub use hunts::HUNTS;
pub use nightly::NIGHTLY;

/// All that `check` searches: what was made for CI, the small worlds in which mutants are looked for,
/// and what is generated.
pub fn checked() -> Vec<Profile> {
    CI.iter().chain(HUNTS).chain(generated::profiles()).copied().collect()
}

/// The profile of this name.
pub fn named(name: &str) -> Option<Profile> {
    let all = CI.iter().chain(HUNTS).chain(NIGHTLY).chain(generated::profiles());
    all.copied().find(|profile| profile.name == name)
}
