//! The network of the demo: a socket through which every link goes, and which cuts them.
//!
//! It stands where `sshd` stands otherwise: for each connection it starts `rejoin __server attach`
//! and copies bytes. A cut kills that program and drops the connection, wherever the bytes are.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A cut that never comes.
const NEVER: u64 = u64::MAX;

pub(super) struct Gate {
    path: PathBuf,
    shared: Arc<Shared>,
    door: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    registry: PathBuf,
    program: PathBuf,
    /// Bytes from the server until the next cut.
    until_cut: AtomicU64,
    /// Counts the cuts; every link ends with the next one.
    cuts: watch::Sender<u64>,
}

impl Gate {
    pub(super) fn open(path: &Path, registry: &Path) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            registry: registry.into(),
            program: std::env::current_exe()?,
            until_cut: AtomicU64::new(NEVER),
            cuts: watch::Sender::new(0),
        });
        let gate = Self { path: path.into(), shared, door: Mutex::new(None) };
        gate.restore()?;
        Ok(gate)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets connections through.
    pub(super) fn restore(&self) -> io::Result<()> {
        let listener = UnixListener::bind(&self.path)?;
        let shared = Arc::clone(&self.shared);
        let door = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).carry(stream));
            }
        });
        *self.door.lock().unwrap_or_else(PoisonError::into_inner) = Some(door);
        Ok(())
    }

    /// Cuts the link once `bytes` more have come from the server, in the middle of whatever they
    /// belong to; no new one comes about until [`Self::restore`].
    pub(super) async fn cut_after(&self, bytes: u64) {
        let mut cuts = self.shared.cuts.subscribe();
        self.shared.until_cut.store(bytes, Ordering::Relaxed);
        // The sender lives as long as `self`.
        let _ = cuts.changed().await;
        self.shut();
    }

    /// Cuts the link now.
    pub(super) fn cut(&self) {
        self.shut();
        self.shared.cut();
    }

    fn shut(&self) {
        if let Some(door) = self.door.lock().unwrap_or_else(PoisonError::into_inner).take() {
            door.abort();
        }
        // Gone already if the gate was shut before.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Shared {
    fn cut(&self) {
        self.until_cut.store(NEVER, Ordering::Relaxed);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    async fn carry(self: Arc<Self>, mut stream: UnixStream) {
        let mut cuts = self.cuts.subscribe();
        let Ok(mut attach) = self.attach() else { return };
        let (Some(mut stdin), Some(mut stdout)) = (attach.stdin.take(), attach.stdout.take())
        else {
            return;
        };
        let (mut from_client, mut to_client) = stream.split();
        tokio::select! {
            // Either end is the end of the link.
            _ = tokio::io::copy(&mut from_client, &mut stdin) => {}
            _ = self.copy_counted(&mut stdout, &mut to_client) => {}
            _ = cuts.changed() => {}
        }
        // Killed and reaped: `attach` was started so that it does not outlive this task.
        let _ = attach.kill().await;
    }

    fn attach(&self) -> io::Result<tokio::process::Child> {
        Command::new(&self.program)
            .args(["__server", "--registry"])
            .arg(&self.registry)
            .arg("attach")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    /// Copies until the end, or until the byte at which the link is to be cut.
    async fn copy_counted(
        &self,
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
    ) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let count = from.read(&mut buffer).await?;
            let left = self.until_cut.load(Ordering::Relaxed);
            // At most the buffer's length, which is a usize.
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(count);
            to.write_all(&buffer[..now]).await?;
            if now < count {
                self.cut();
            }
            if now == 0 {
                return Ok(());
            }
            if left != NEVER {
                self.until_cut.fetch_sub(now as u64, Ordering::Relaxed);
            }
        }
    }
}
