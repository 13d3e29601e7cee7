//! What the tests of several files need.

// Each test file is a program of its own and uses a part of this.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

pub mod deploy;
pub mod lane;

use std::future::Future;
use std::time::Duration;

use rejoin_ssh::{
    Attempt, Connect, Link, LinkError, LinkGuard, LinkReader, LinkWriter, SshConnect,
};
use rejoin_testing::{Random, Sshd};
use rustix::process::{Pid, test_kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A test that waits this long has failed. Nothing waits for it in a run that succeeds.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The future's outcome, or a failed test when there is none in time.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(outcome) = tokio::time::timeout(LIMIT, future).await else {
        panic!("{what}: nothing happened within {LIMIT:?}");
    };
    outcome
}

pub fn sshd() -> Sshd {
    Sshd::start().unwrap_or_else(|error| panic!("{error}"))
}

/// Links to the sshd, at its own port.
pub fn ssh(sshd: &Sshd, command: &str) -> SshConnect {
    ssh_at(sshd, sshd.addr().port(), command)
}

/// Links to the sshd, at the port of what stands in front of it.
pub fn ssh_at(sshd: &Sshd, port: u16, command: &str) -> SshConnect {
    SshConnect::new(sshd.destination(), command).options(sshd.ssh_options(port))
}

pub async fn connect(connect: &impl Connect, attempt: Attempt) -> Link {
    in_time("connect", connect.connect(attempt)).await.expect("the link starts")
}

/// Starts a link that is expected to end, and says why it did.
pub async fn why_it_ends(connector: &impl Connect, attempt: Attempt) -> LinkError {
    let (mut reader, writer, guard) = connect(connector, attempt).await.into_parts();
    let mut heard = Vec::new();
    let _ = in_time("the end of the stream", reader.read_to_end(&mut heard)).await;
    drop((reader, writer));
    in_time("the post-mortem", guard.post_mortem()).await
}

/// The halves and the guard of a link to something that sends everything back.
pub struct Echo {
    pub reader: LinkReader,
    pub writer: LinkWriter,
    pub guard: LinkGuard,
}

impl Echo {
    pub async fn start(connector: &impl Connect, attempt: Attempt) -> Self {
        let (reader, writer, guard) = connect(connector, attempt).await.into_parts();
        let mut echo = Self { reader, writer, guard };
        echo.say(b"hello").await;
        echo
    }

    /// The same where the link may fail.
    pub async fn try_start(connector: &impl Connect, attempt: Attempt) -> Option<Self> {
        let (reader, writer, guard) = connect(connector, attempt).await.into_parts();
        let mut echo = Self { reader, writer, guard };
        let mut back = [0; 5];
        let Self { reader, writer, .. } = &mut echo;
        let both =
            async { tokio::try_join!(writer.write_all(b"hello"), reader.read_exact(&mut back)) };
        let is_heard = in_time("an echo or an end", both).await.is_ok() && back == *b"hello";
        is_heard.then_some(echo)
    }

    /// Sends bytes and expects them back.
    pub async fn say(&mut self, bytes: &[u8]) {
        let mut back = vec![0; bytes.len()];
        let Self { reader, writer, .. } = self;
        let both =
            async { tokio::try_join!(writer.write_all(bytes), reader.read_exact(&mut back)) };
        in_time("the echo", both).await.expect("the link carries bytes");
        assert!(back == bytes, "the bytes came back changed");
    }

    /// Waits for the end of the stream, and says why it ended.
    pub async fn why_it_ended(mut self) -> LinkError {
        let mut rest = Vec::new();
        let _ = in_time("the end of the stream", self.reader.read_to_end(&mut rest)).await;
        drop((self.reader, self.writer));
        in_time("the post-mortem", self.guard.post_mortem()).await
    }
}

/// Bytes of every value, with what terminals and ssh's escape character would act on.
pub fn wild_bytes(length: usize, random: &mut Random) -> Vec<u8> {
    let special: [&[u8]; 5] =
        [b"\n~.\n~?", b"\r\n~&", b"\x03\x04\x11\x13\x1a", b"\0\xff", b"\xff\xfb"];
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        match random.below(64) {
            choice @ 0..5 => bytes.extend_from_slice(special[usize::try_from(choice).unwrap()]),
            _ => bytes.extend_from_slice(&random.next_u64().to_le_bytes()),
        }
    }
    bytes.truncate(length);
    bytes
}

/// Whether the process is gone, and not merely a zombie.
pub fn is_gone(pid: Pid) -> bool {
    test_kill_process(pid).is_err()
}

/// Waits until a child of this process is reaped.
pub async fn until_gone(pid: Pid) {
    until("the reaping of the child", || is_gone(pid)).await;
}

/// Waits until something is so, which no event tells.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    in_time(what, so).await;
}

/// A process id that something wrote, in decimal.
pub fn parse_pid(text: &str) -> Pid {
    text.trim().parse().ok().and_then(Pid::from_raw).expect("a process id")
}
