//! The programs of this workspace that are measured.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where they are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `rejoin`.
    pub client: PathBuf,
    /// `rejoin-server`.
    pub server: PathBuf,
}

impl Programs {
    /// Those of the same build as the running program, built first where that was started by Cargo.
    ///
    /// # Errors
    /// They cannot be built, or are not there.
    pub fn built() -> io::Result<Self> {
        if let Some(cargo) = std::env::var_os("CARGO") {
            build(Path::new(&cargo))?;
        }
        let own = std::env::current_exe()?;
        let mut folder = own.parent().unwrap_or(Path::new(".")).to_owned();
        // Benchmarks are one level below.
        if folder.ends_with("deps") {
            folder.pop();
        }
        let found = Self { client: folder.join("rejoin"), server: folder.join("rejoin-server") };
        for program in [&found.client, &found.server] {
            if !program.is_file() {
                let message = format!("{} is not there: build it", program.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, message));
            }
        }
        Ok(found)
    }
}

fn build(cargo: &Path) -> io::Result<()> {
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "-p", "rejoin-client", "-p", "rejoin-server"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    if command.status()?.success() { Ok(()) } else { Err(io::Error::other("cargo build failed")) }
}
