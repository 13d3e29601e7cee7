//! What each way back costs the host and the client, beside the time that it takes.

use std::fmt::Display;
use std::fs;
use std::io;
use std::time::Duration;

use rejoin_testing::Sshd;
use rustix::process::Pid;

use crate::programs::Programs;
use crate::servers::{Host, Session, calm, median};

/// Of each lane, in turn.
const RUNS: usize = 20;
/// A tick of /proc, in milliseconds.
const TICK: f64 = 10.0;
const LEFT_TO_SSH: &str = "ssh";
/// How an sshd says that somebody has logged in.
const LOGIN: &str = "Accepted publickey";

/// Prints, for each lane, how long a return takes, and how many logins and how much of a processor.
///
/// # Errors
/// A program could not be run, or did not answer as it should.
pub async fn measure(programs: &Programs) -> io::Result<()> {
    let mut lanes = Vec::new();
    for name in [LEFT_TO_SSH, "auto", "fast"] {
        lanes.push(Lane::start(programs, name).await?);
    }
    let mut runs = Vec::new();
    for lane in &mut lanes {
        if lane.name != LEFT_TO_SSH {
            lane.session.until_known().await?;
        }
        runs.push((lane.cost()?, Vec::new()));
    }
    for _ in 0..RUNS {
        for (lane, (_, times)) in lanes.iter_mut().zip(&mut runs) {
            times.push(lane.session.come_back().await?);
            calm(Duration::ZERO).await;
        }
    }
    println!("{RUNS} of each lane, in turn; medians and means\n");
    println!(
        "| --lane | back after, ms | logins | processor at the host, ms | at the client, ms |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for (lane, (before, times)) in lanes.iter().zip(runs) {
        let Cost { logins, host, client } = lane.cost()?.since(&before);
        let (name, time) = (lane.name, median(times));
        println!("| {name} | {time:.0} | {logins:.1} | {host:.0} | {client:.0} |");
    }
    for lane in lanes {
        lane.session.end().await?;
    }
    Ok(())
}

/// A session with a host of its own.
struct Lane {
    name: &'static str,
    session: Session,
    host: Host,
    /// The sshd that listens, to which the time of its connections is added as they end.
    listener: Pid,
}

impl Lane {
    async fn start(programs: &Programs, name: &'static str) -> io::Result<Self> {
        let sshd = Sshd::builder().config_line("UsePAM yes").start()?;
        let listener = sshd.listener();
        let host = Host::new(name.to_owned(), Box::new(sshd))?;
        let session = Session::start(programs, &host, name, Duration::ZERO).await?;
        Ok(Self { name, session, host, listener })
    }

    /// What it has cost so far.
    #[allow(clippy::cast_precision_loss)]
    fn cost(&self) -> io::Result<Cost> {
        let logins = self.host.server.log().iter().filter(|line| line.contains(LOGIN)).count();
        Ok(Cost {
            logins: logins as f64,
            host: processor(self.listener.as_raw_nonzero())?,
            client: processor(self.session.id()?)?,
        })
    }
}

struct Cost {
    logins: f64,
    /// In milliseconds, as is the next.
    host: f64,
    client: f64,
}

impl Cost {
    /// What a run has cost since then.
    #[allow(clippy::cast_precision_loss)]
    fn since(self, before: &Self) -> Self {
        let each = |now: f64, then: f64| (now - then) / RUNS as f64;
        Self {
            logins: each(self.logins, before.logins),
            host: each(self.host, before.host),
            client: each(self.client, before.client),
        }
    }
}

/// The time that a process and its children that have ended have had of a processor, in milliseconds.
#[allow(clippy::cast_precision_loss)]
fn processor(pid: impl Display) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = text.rsplit_once(") ").map(|(_, rest)| rest.split(' ').skip(11).take(4));
    let ticks = fields.into_iter().flatten().map(|field| field.parse::<u64>().unwrap_or(0));
    Ok(ticks.sum::<u64>() as f64 * TICK)
}
