//! The measurements, and how they are printed.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rejoin_ssh::{Connect, SshConnect};
use rejoin_testing::Sshd;
use tokio::process::Command;

use crate::hosts;
use crate::prober::Prober;

const UNIX_RUNS: usize = 200;
const SSH_RUNS: usize = 40;
/// Writes once and stays: something to replay, and nothing to do.
const IDLE: &str = "echo ready; exec sleep 1000";

/// Prints the figures of one session, measured with this server program.
///
/// # Errors
/// A program could not be run, or did not answer as it should.
pub async fn measure(server: &Path) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = folder.path().join("sessions");
    println!("server program        {:>9.1} KiB", kib(fs::metadata(server)?.len()));
    over_unix_socket(server, folder.path(), &registry).await?;
    over_ssh(server, &registry).await
}

async fn over_unix_socket(server: &Path, folder: &Path, registry: &Path) -> io::Result<()> {
    let connect = hosts::attach_per_connection(server, folder, registry)?;
    let mut prober = Prober::open(&connect, IDLE).await?;
    for name in ["serve", "attach"] {
        let look = || resident_of(registry, name);
        let resident = prober.while_attached(&connect, look).await??;
        println!("{:<22}{resident:>9.1} KiB resident", format!("{name}, idle"));
    }
    let mut times = Vec::new();
    for _ in 0..UNIX_RUNS {
        times.push(prober.resume(&connect).await?);
    }
    print("resume, Unix socket", &mut times);
    prober.close(&connect).await
}

async fn over_ssh(server: &Path, registry: &Path) -> io::Result<()> {
    let sshd = Sshd::start()?;
    let options = sshd.ssh_options(sshd.addr().port());
    let command = format!("{} --registry {} attach", server.display(), registry.display());
    let connect = SshConnect::new(sshd.destination(), command).options(options.iter().cloned());
    let mut prober = Prober::open(&connect, IDLE).await?;
    let (mut resumes, mut echoes) = (Vec::new(), Vec::new());
    for _ in 0..SSH_RUNS {
        echoes.push(echo(&options, sshd.destination()).await?);
        resumes.push(prober.resume(&connect as &dyn Connect).await?);
    }
    let echo = print("ssh host echo x", &mut echoes);
    let resume = print("resume, ssh", &mut resumes);
    println!("resume, ssh / ssh host echo x: {:.2}", resume.as_secs_f64() / echo.as_secs_f64());
    prober.close(&connect).await
}

/// From nothing to the first byte of a fresh `ssh host echo x`.
async fn echo(options: &[OsString], destination: &str) -> io::Result<Duration> {
    use tokio::io::AsyncReadExt;
    let since = Instant::now();
    let mut ssh = Command::new("ssh")
        .args(options)
        .args([destination, "echo x"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut byte = [0];
    if let Some(stdout) = &mut ssh.stdout {
        stdout.read_exact(&mut byte).await?;
    }
    let elapsed = since.elapsed();
    ssh.wait().await?;
    Ok(elapsed)
}

/// The resident memory of the program that runs `name` for this registry.
fn resident_of(registry: &Path, name: &str) -> io::Result<f64> {
    let registry = registry.to_string_lossy();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Ok(line) = fs::read_to_string(path.join("cmdline")) else { continue };
        let mut words = line.split('\0');
        if words.any(|word| word == registry) && line.split('\0').any(|word| word == name) {
            let status = fs::read_to_string(path.join("status"))?;
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number = resident.and_then(|text| text.trim().strip_suffix(" kB"));
            return number.and_then(|text| text.parse().ok()).ok_or_else(not_found);
        }
    }
    Err(not_found())
}

fn not_found() -> io::Error {
    io::Error::other("the program's memory could not be read")
}

pub(crate) fn print(name: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{name:<22}{:>9.2} ms median of {} (5 %: {:.2}, 95 %: {:.2})",
        millis(at(50)),
        times.len(),
        millis(at(5)),
        millis(at(95))
    );
    at(50)
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[allow(clippy::cast_precision_loss)]
pub(crate) fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}
