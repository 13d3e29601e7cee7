//! Where the comparison takes place: a private sshd, ways to it that take their time, and a home
//! folder that is empty at the begin of every measurement.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rejoin_testing::{Agent, Relay, Signal, Sshd};
use tokio::runtime::Runtime;

use super::datagrams::Datagrams;
use super::processes;
use super::stop::Stop;
use super::wire::Wire;
use crate::programs::Programs;

/// The host, and the network in front of it.
pub(super) struct Stage {
    /// Runs the relays.
    pub(super) runtime: Runtime,
    pub(super) stop: Stop,
    pub(super) programs: Programs,
    pub(super) shpool: Option<PathBuf>,
    wires: Option<Wires>,
    sshd: Sshd,
    /// Has the user's key: a fast lane needs one.
    agent: Agent,
    folder: tempfile::TempDir,
}

/// One that takes no time, and one that does: where it takes none, that is not to be spent on
/// carrying frames by hand.
struct Wires {
    short: Wire,
    long: Wire,
}

/// A way to the host.
pub(super) struct LinkRoute {
    /// Plays the network, where there are no wires.
    relay: Option<Relay>,
    pub(super) round_trip: Duration,
}

impl Wires {
    fn lay() -> io::Result<Self> {
        Ok(Self { short: Wire::lay(0, false)?, long: Wire::lay(1, true)? })
    }
}

impl Stage {
    pub(super) fn new(programs: Programs, shpool: Option<PathBuf>) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let stop = Stop::listen(&runtime)?;
        let folder = tempfile::TempDir::with_prefix("rejoin-compare-")?;
        let path = folder.path().display();
        let environment = format!(
            "SetEnv HOME={path}/host REJOIN_REGISTRY={path}/host/sessions \
             TMUX_TMPDIR={path}/host XDG_RUNTIME_DIR={path}/host LC_ALL=C.UTF-8 {}",
            mark(&folder)
        );
        let mut sshd = Sshd::builder()
            .config_line("UsePAM yes")
            .config_line(environment)
            .config_line("MaxStartups 100");
        let wires = Wires::lay().inspect_err(|error| {
            eprintln!("no network of its own ({error}): a relay plays one, which flatters TCP");
        });
        let wires = wires.ok();
        for wire in wires.iter().flat_map(|wires| [&wires.short, &wires.long]) {
            sshd = sshd.config_line(format!("ListenAddress {}", wire.host()));
        }
        let sshd = sshd.start()?;
        let agent = Agent::start(&sshd.user_key())?;
        // The next build takes this program's place, and a session is to be started after it, too.
        fs::copy(std::env::current_exe()?, folder.path().join("program"))?;
        let stage = Self { runtime, stop, programs, shpool, wires, sshd, agent, folder };
        stage.clear()?;
        Ok(stage)
    }

    pub(super) fn course(&self, round_trip: Duration) -> io::Result<LinkRoute> {
        if let Some(wires) = &self.wires {
            wires.long.take(round_trip);
            return Ok(LinkRoute { relay: None, round_trip });
        }
        let relay = Relay::builder(self.sshd.addr()).round_trip(round_trip).start();
        let relay = Some(self.runtime.block_on(relay)?);
        Ok(LinkRoute { relay, round_trip })
    }

    /// How the network is played.
    pub(super) fn network(&self) -> &'static str {
        match &self.wires {
            Some(_) => "virtual interfaces in which packets take their time and get lost",
            None => "relays that play the network, which flatters TCP",
        }
    }

    fn wire(&self, course: &LinkRoute) -> Option<&Wire> {
        let wires = self.wires.as_ref()?;
        Some(if course.round_trip.is_zero() { &wires.short } else { &wires.long })
    }

    /// Where clients reach the host.
    pub(super) fn address(&self, course: &LinkRoute) -> IpAddr {
        self.wire(course).map_or(Ipv4Addr::LOCALHOST, Wire::host).into()
    }

    /// Waits until a second attach program runs on the host, and its first word is at the client's.
    pub(super) fn wait_for_standby(&self, course: &LinkRoute) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let is_attach = |pid: &u32| processes::words(*pid).iter().any(|word| word == "attach");
        while self.host_processes().into_iter().filter(is_attach).count() < 2 {
            if Instant::now() > deadline {
                return Err(io::Error::other("no second connection stands by"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(course.round_trip * 2 + Duration::from_millis(200));
        Ok(())
    }

    /// How many logins there were on the host.
    pub(super) fn logins(&self) -> usize {
        let is_login = |line: &&String| line.starts_with("Accepted publickey");
        self.sshd.log().iter().filter(is_login).count()
    }

    /// Waits until so many logins were made from which a host is learnt, and the client is through with them.
    pub(super) fn wait_for_logins(&self, course: &LinkRoute, logins: usize) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.logins() < logins {
            if Instant::now() > deadline {
                return Err(io::Error::other("the host is not learnt"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(course.round_trip * 4 + Duration::from_millis(500));
        Ok(())
    }

    /// Whether one connection can be reset, and another not.
    pub(super) fn can_choose(&self) -> bool {
        self.wires.is_some()
    }

    /// Resets the oldest connection, if there is a choice, and says when that was done.
    pub(super) fn reset(&self, course: &LinkRoute) -> io::Result<Instant> {
        match (self.wire(course), &course.relay) {
            (Some(wire), _) => wire.reset()?,
            (None, Some(relay)) => relay.cut_all_reset(),
            (None, None) => {}
        }
        Ok(Instant::now())
    }

    /// Begins or ends a silence.
    pub(super) fn silence(
        &self,
        course: &LinkRoute,
        datagrams: Option<&Datagrams>,
        is_silent: bool,
    ) -> io::Result<()> {
        if let Some(wire) = self.wire(course) {
            return if is_silent { wire.silence() } else { wire.heal() };
        }
        if let Some(relay) = &course.relay {
            if is_silent { relay.silence() } else { relay.resume() }
        }
        if let Some(datagrams) = datagrams {
            datagrams.silence(is_silent);
        }
        Ok(())
    }

    /// Gives the client another address.
    pub(super) fn change_address(&mut self, course: &LinkRoute) -> io::Result<()> {
        match &mut self.wires {
            Some(wires) if course.round_trip.is_zero() => wires.short.change_address()?,
            Some(wires) => wires.long.change_address()?,
            None => course.relay.iter().for_each(Relay::change_path),
        }
        Ok(())
    }

    /// What answers on the host, as it stands on a command line.
    pub(super) fn answerer(&self) -> String {
        format!("{} answer", self.folder.path().join("program").display())
    }

    /// A folder of the host's.
    pub(super) fn home(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    /// What is in front of a client's command for it to be on the other side of the network.
    pub(super) fn prefix(&self, course: &LinkRoute) -> Vec<OsString> {
        self.wire(course).map(Wire::prefix).unwrap_or_default()
    }

    /// The words of ssh that lead to the host, its name included.
    pub(super) fn ssh_words(&self, course: &LinkRoute) -> Vec<OsString> {
        let addr = course.relay.as_ref().map_or(self.sshd.addr(), Relay::addr);
        let mut words: Vec<OsString> = self.agent.ssh_options().into();
        words.extend(self.sshd.ssh_options(addr.port()));
        words.push(self.address(course).to_string().into());
        words
    }

    /// Relays datagrams to a port of the host's, where nothing else plays the network.
    pub(super) fn datagrams(&self, course: &LinkRoute, port: u16) -> io::Result<Option<Datagrams>> {
        if self.wires.is_some() {
            return Ok(None);
        }
        let started = Datagrams::start(self.address(course), port, course.round_trip);
        self.runtime.block_on(started).map(Some)
    }

    /// Kills the processes of sshd that serve connections, and says when.
    pub(super) fn kill_connections(&self) -> io::Result<Instant> {
        self.sshd.kill_sessions(Signal::KILL)?;
        // Not before: that they have to be found first is nobody's time.
        Ok(Instant::now())
    }

    /// What runs on the host for its users.
    pub(super) fn host_processes(&self) -> Vec<u32> {
        processes::marked(&mark(&self.folder))
    }

    /// Ends everything on the host, and forgets all that it has kept.
    pub(super) fn clear(&self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let left = self.host_processes();
            if left.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("processes on the host do not end"));
            }
            processes::signal(&left, Signal::KILL);
            std::thread::sleep(Duration::from_millis(5));
        }
        match fs::remove_dir_all(self.home()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new().mode(0o700).create(self.home())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!("the host is not left as it was found: {error}");
        }
    }
}

/// In the environment of whatever a connection starts on the host.
fn mark(folder: &tempfile::TempDir) -> String {
    format!("REJOIN_COMPARE={}", folder.path().display())
}
