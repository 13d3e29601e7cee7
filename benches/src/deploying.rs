//! What it costs to put the server program on a host, and what a connection costs afterwards.

use std::fs;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rejoin_testing::Sshd;

use crate::figures::print;
use crate::programs::Programs;

const RUNS: usize = 21;

/// Prints the figures, each beside plain `ssh host true` in the same run.
///
/// # Errors
/// A program could not be run, or failed.
pub fn measure(programs: &Programs) -> io::Result<()> {
    let shelf = tempfile::tempdir()?;
    let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let server = shelf.path().join(format!("rejoin-server-{platform}"));
    fs::copy(&programs.server, &server)?;
    let home = tempfile::tempdir()?;
    let place = home.path().display();
    let line = format!("SetEnv HOME={place} REJOIN_REGISTRY={place}/sessions");
    let sshd = Sshd::builder().config_line(line).start()?;
    let ssh = || {
        let mut command = Command::new("ssh");
        command.args(sshd.ssh_options(sshd.addr().port())).args([sshd.destination(), "true"]);
        command
    };
    let rejoin = |words: &[&str]| {
        let mut command = Command::new(&programs.client);
        command.args(words).args(sshd.ssh_options(sshd.addr().port()));
        command.args(["-q", sshd.destination(), "true"]).env("REJOIN_SERVERS", shelf.path());
        command
    };
    let given = programs.server.to_string_lossy();
    let (mut plain, mut first, mut later, mut named) = (vec![], vec![], vec![], vec![]);
    for _ in 0..RUNS {
        plain.push(time(ssh())?);
        let _ = fs::remove_dir_all(home.path().join(".local"));
        first.push(time(rejoin(&[]))?);
        later.push(time(rejoin(&[]))?);
        named.push(time(rejoin(&["--server", &given]))?);
    }
    let (raw, packed) = (fs::metadata(&server)?.len(), packed(&server)?);
    println!("uploaded              {packed:>9} bytes, of {raw}");
    let floor = print("ssh host true", &mut plain);
    for (name, times) in [
        ("rejoin, first time", &mut first),
        ("rejoin, later", &mut later),
        ("rejoin --server", &mut named),
    ] {
        let median = print(name, times);
        println!("  / ssh host true: {:.2}", median.as_secs_f64() / floor.as_secs_f64());
    }
    Ok(())
}

fn time(mut command: Command) -> io::Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let status = command.status()?;
    let took = began.elapsed();
    if status.success() {
        Ok(took)
    } else {
        Err(io::Error::other(format!("{command:?}: {status}")))
    }
}

/// How long the program is as it travels.
fn packed(program: &std::path::Path) -> io::Result<usize> {
    let output = Command::new("gzip").args(["-6", "-c"]).arg(program).output()?;
    Ok(output.stdout.len())
}
