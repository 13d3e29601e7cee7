//! What an ssh that waits for its connection saves when the back-off ends.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rejoin_ssh::{Connect, SshConnect};
use rejoin_testing::{Relay, Sshd};

use crate::figures::print;
use crate::prober::Prober;

/// Of each kind, in turn.
const RUNS: usize = 20;
/// How long an ssh may take until it waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// Writes once and stays: something to replay, and nothing to do.
const IDLE: &str = "echo ready; exec sleep 1000";
/// The word by which this program is the helper.
pub const HELPER: &str = "hand-over";

/// Prints how long a resume takes with an ssh that connects by itself, with one that has waited, and with
/// one that is started while its connection is made, without and with a round trip of 50 ms.
///
/// # Errors
/// A program could not be run, or did not answer as it should.
pub async fn measure(server: &Path) -> io::Result<()> {
    let sshd = Sshd::start()?;
    for millis in [0, 50] {
        let round_trip = Duration::from_millis(millis);
        let relay = Relay::builder(sshd.addr()).round_trip(round_trip).start().await?;
        println!("round trip {millis} ms, {RUNS} of each in turn, until the first replayed byte");
        compare(server, &sshd, relay.addr()).await?;
    }
    Ok(())
}

async fn compare(server: &Path, sshd: &Sshd, relay: SocketAddr) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = folder.path().join("sessions");
    let command = format!("{} --registry {} attach", server.display(), registry.display());
    let options = sshd.ssh_options(relay.port());
    let started = SshConnect::new(sshd.destination(), command).options(options);
    let waiting = started.clone().fd_pass_program(std::env::current_exe()?, [HELPER]);
    let raced = waiting.clone().addresses([relay, relay]);
    let mut prober = Prober::open(&started, IDLE).await?;
    prober.resume(&raced).await?;
    // It has that time to ask ssh, in the background.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut by_itself, mut before, mut meanwhile) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        by_itself.push(prober.resume(&started).await?);
        waiting.prepare();
        until_a_helper_waits().await?;
        before.push(prober.resume(&waiting).await?);
        meanwhile.push(prober.resume(&raced).await?);
    }
    print("ssh by itself", &mut by_itself);
    print("ssh that waited", &mut before);
    print("started meanwhile", &mut meanwhile);
    prober.close(&started).await
}

async fn until_a_helper_waits() -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !has_helper()? {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no ssh waits for a connection"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It is there, but perhaps not yet where it waits.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}

fn has_helper() -> io::Result<bool> {
    let own = std::env::current_exe()?;
    let line = format!("{}\0{HELPER}\0", own.display());
    let is_helper = |entry: fs::DirEntry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|found| found == line.as_bytes())
    };
    Ok(fs::read_dir("/proc")?.filter_map(Result::ok).any(is_helper))
}
