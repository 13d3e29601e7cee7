//! The sessions of a host: lists, ends and removes them, and looks at the host (SPEC section 14).
//!
//! Each function but [`kill_listed`] takes a [`Connect`] whose links run the server program with the
//! [`words`] of one command. It opens one link, as [`Attempt::First`](rejoin_ssh::Attempt::First): a
//! person may be asked for a password. It reads at most [`MAX_ANSWER`](rejoin_protocol::admin::MAX_ANSWER)
//! bytes for at most [`PATIENCE`]; what a login shell prints around the answer does no harm. Dropping
//! the future ends the link.
//!
//! ```no_run
//! # async fn example() -> Result<(), rejoin_client::admin::AdminError> {
//! use rejoin_client::admin::{self, words};
//! use rejoin_ssh::SshConnect;
//!
//! let connect = SshConnect::new("user@host", format!("rejoin-server {}", words::LIST));
//! for session in admin::list(&connect).await? {
//!     println!("{} {} {}", session.session, session.status, session.command);
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod error;
mod findings;
mod kill;

use rejoin_protocol::admin::SessionList;
use rejoin_ssh::Connect;

pub use answer::PATIENCE;
pub use error::{AdminError, Fault, KillError};
pub use findings::{Finding, ServerProgram, Severity, findings};
pub use kill::kill_listed;
pub use rejoin_protocol::admin::{
    AdminVersion, EndProblem, EndedSession, HostReport, KillReport, Persistence, PruneProblem,
    PruneReport, RegistryReport, SessionInfo, SessionStatus, Text, words,
};

/// The sessions on a host, the oldest first. The words are [`words::LIST`].
///
/// # Errors
/// The host did not answer, or not in a way that this version understands.
pub async fn list(connect: &dyn Connect) -> Result<Vec<SessionInfo>, AdminError> {
    answer::ask(connect).await.map(|list: SessionList| list.sessions)
}

/// Ends sessions, whichever process each of them has now, with one login for all of them. The words
/// are those of [`words::kill`].
///
/// [`kill_listed`] ends one session, unless another client took it over since it was listed. It also
/// works with server programs that do not know these words.
///
/// # Errors
/// The host did not answer, or not in a way that this version understands. Sessions may have been
/// ended nevertheless. A session that was not ended is in the report.
pub async fn kill(connect: &dyn Connect) -> Result<KillReport, AdminError> {
    answer::ask(connect).await
}

/// Removes what dead servers left on a host. The words are [`words::PRUNE`].
///
/// # Errors
/// The host did not answer, or not in a way that this version understands. Something may have been
/// removed nevertheless. A session that could not be removed is in the report.
pub async fn prune(connect: &dyn Connect) -> Result<PruneReport, AdminError> {
    answer::ask(connect).await
}

/// Looks at a host. The words are [`words::REPORT`]. [`findings`] says what follows from the report.
///
/// # Errors
/// The host did not answer, or not in a way that this version understands.
pub async fn host_report(connect: &dyn Connect) -> Result<HostReport, AdminError> {
    answer::ask(connect).await
}

#[cfg(test)]
mod tests;
