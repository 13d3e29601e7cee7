//! Connections that the doctor can cut.

use std::sync::{Arc, Mutex, PoisonError};

use rejoin_ssh::{Attempt, BoxFuture, Connect, Link, LinkError, LinkErrorKind, LinkGuard};

/// What keeps a link's transport alive, until it is taken out.
type Slot = Arc<Mutex<Option<LinkGuard>>>;

/// Opens links that can be cut, one at a time.
pub(super) struct Cutting {
    connect: Arc<dyn Connect>,
    slot: Slot,
}

impl Cutting {
    pub(super) fn new(connect: Arc<dyn Connect>) -> Arc<Self> {
        Arc::new(Self { connect, slot: Slot::default() })
    }

    /// Ends the program that carries the present link, in the middle of whatever it does.
    pub(super) fn cut(&self) {
        drop(take(&self.slot));
    }

    async fn open(&self, attempt: Attempt) -> Result<Link, LinkError> {
        let (reader, writer, guard) = self.connect.connect(attempt).await?.into_parts();
        let slot = Arc::clone(&self.slot);
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).replace(guard);
        Ok(Link::with_post_mortem(reader, writer, async move {
            match take(&slot) {
                Some(guard) => guard.post_mortem().await,
                None => LinkError::new(LinkErrorKind::Closed, "the doctor cut the connection"),
            }
        }))
    }
}

fn take(slot: &Slot) -> Option<LinkGuard> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Connect for Cutting {
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(self.open(attempt))
    }

    fn destination(&self) -> String {
        self.connect.destination()
    }
}
