//! An end before the end: what was set up for a run is taken away again, and what it has found stays.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Whether somebody wants the run to end.
#[derive(Debug)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for SIGINT and SIGTERM. The second one ends the program as it stands.
    pub(super) fn listen(runtime: &Runtime) -> io::Result<Self> {
        let is_wanted = Arc::new(AtomicBool::new(false));
        let _context = runtime.enter();
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let (mut signals, is_wanted) = (signal(kind)?, Arc::clone(&is_wanted));
            runtime.spawn(async move {
                while signals.recv().await.is_some() {
                    if is_wanted.swap(true, Ordering::Relaxed) {
                        process::exit(128 + kind.as_raw_value());
                    }
                    eprintln!("this one is measured to its end; once more ends at once");
                }
            });
        }
        Ok(Self(is_wanted))
    }

    /// # Errors
    /// Somebody does.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped"));
        }
        Ok(())
    }
}
