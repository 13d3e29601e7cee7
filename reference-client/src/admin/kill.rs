//! Ends a session as it was listed.

use std::sync::Arc;

use rejoin_protocol::Tenure;
use rejoin_protocol::admin::SessionInfo;
use rejoin_ssh::Connect;

use super::error::KillError;
use crate::event::Event;
use crate::options::Options;
use crate::session::Session;

/// Ends a session with all its processes, and has its host forget it (SPEC section 7.5). Returns how
/// many processes were ended.
///
/// `connect` opens links for one session, as [`Session::open`] takes them. A session that another client
/// took over since it was listed is not ended: the error contains [`Event::Superseded`]. If the future is
/// dropped, it is unknown whether the session was ended. Must be called within a tokio runtime.
///
/// # Errors
/// The session was not ended, or that is unknown.
pub async fn kill_listed(
    connect: Arc<dyn Connect>,
    listed: &SessionInfo,
    options: Options,
) -> Result<u32, KillError> {
    let incarnation = listed.incarnation.unwrap_or_default();
    let tenure = listed.tenure.unwrap_or(Tenure(0));
    let mut session = Session::kill(connect, listed.session, incarnation, tenure, options)
        .map_err(KillError::Open)?;
    let mut outcome = Err(KillError::Unknown);
    while let Some(event) = session.events.recv().await {
        match event {
            Event::Closed { ended } => outcome = Ok(ended),
            event if event.is_end() => outcome = Err(KillError::NotEnded(event)),
            _ => {}
        }
    }
    outcome
}
