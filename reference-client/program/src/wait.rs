//! Waiting for a time that may never come.

use tokio::time::Instant;

/// Waits until then, if ever.
pub(crate) async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
