//! `rejoin demo`: what happens to a process when its connection is cut, again and again, and then
//! its server is killed. Everything is real but the network: processes, servers, links, signals.
//! What is shown is verified, byte by byte.

mod gate;
mod script;
mod stage;
mod story;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use rejoin_server::registry::Registry;

use gate::Gate;
use stage::Stage;
use story::Story;

/// Plays the demo. Its exit status says whether everything was as it should be.
pub(crate) fn run() -> ExitCode {
    let mut stage = Stage::new();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&stage, &error.to_string()),
    };
    match runtime.block_on(play(&mut stage)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(&stage, &message),
    }
}

fn failed(stage: &Stage, message: &str) -> ExitCode {
    stage.failed(message);
    ExitCode::FAILURE
}

async fn play(stage: &mut Stage) -> Result<(), String> {
    let folder = Folder::new().map_err(|error| format!("no temporary folder: {error}"))?;
    let registry =
        Registry::open(Some(&folder.path.join("sessions"))).map_err(|error| error.to_string())?;
    let gate = Gate::open(&folder.path.join("gate"), registry.dir())
        .map_err(|error| format!("no link: {error}"))?;
    Story::new(stage, &gate, &registry)?.play().await
}

/// A folder of the demo's own, removed with everything in it.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> io::Result<Self> {
        let number = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let path = std::env::temp_dir().join(format!("rejoin-demo-{number:016x}"));
        std::fs::create_dir(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It holds nothing of value; what cannot be removed goes with the next boot.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
