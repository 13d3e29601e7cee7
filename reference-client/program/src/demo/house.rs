//! Where the demo takes place: a folder of its own, with everything that it makes.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rejoin_server::registry::{Listed, Registry, sweep};
use rustix::process::{Pid, Signal, kill_process};

/// How long servers that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether they are.
const PAUSE: Duration = Duration::from_millis(10);

/// A folder that only its user can enter. Dropping it ends the servers of its sessions, then their
/// processes, and removes it: a server that lives would make its registry again.
#[derive(Debug)]
pub(super) struct House {
    folder: PathBuf,
    registry: Registry,
}

impl House {
    pub(super) fn new() -> io::Result<Self> {
        let number = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let folder = std::env::temp_dir().join(format!("rejoin-demo-{number:016x}"));
        DirBuilder::new().mode(0o700).create(&folder)?;
        match Registry::open(Some(&folder.join("sessions"))) {
            Ok(registry) => Ok(Self { folder, registry }),
            Err(error) => {
                std::fs::remove_dir_all(&folder)?;
                Err(io::Error::other(error))
            }
        }
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where the demo's network begins.
    pub(super) fn gate(&self) -> PathBuf {
        self.folder.join("gate")
    }

    fn clear(&self) -> io::Result<()> {
        end_servers(&self.registry)?;
        sweep(&self.registry)?;
        std::fs::remove_dir_all(&self.folder)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            say_left(&self.folder, &error);
        }
    }
}

fn say_left(folder: &Path, error: &io::Error) {
    crate::terminal::output::say(format_args!(
        "rejoin demo: cannot clean up ({error}): end what still runs there, and remove {}\n",
        folder.display()
    ));
}

/// Kills every server, and waits until none has its lock any more. One that is just starting has the
/// lock before its record names it.
fn end_servers(registry: &Registry) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = registry.list()?;
        let living: Vec<_> = listed.iter().filter(|listed| listed.is_alive).collect();
        if living.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(io::Error::other("a server does not end"));
        }
        for server in living.into_iter().filter_map(server) {
            // It may have ended meanwhile.
            let _ = kill_process(server, Signal::KILL);
        }
        std::thread::sleep(PAUSE);
    }
}

fn server(listed: &Listed) -> Option<Pid> {
    let server = listed.record.as_ref()?.server.as_ref()?;
    Pid::from_raw(i32::try_from(server.pid).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_folder_is_the_users_alone_and_goes_with_everything_in_it() {
        let house = House::new().unwrap();
        let folder = house.folder.clone();
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::write(house.gate(), "").unwrap();
        drop(house);
        assert!(!folder.exists());
    }
}
