//! The program `rejoin-server`.

mod kill;
mod list;
mod prune;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rejoin_protocol::{SessionId, VersionRange};
use serde::Serialize;

use crate::attach::{self, AttachContext};
use crate::process::Program;
use crate::{admin, mux, serve};

/// Keeps remote processes whole through anything that happens to the connection.
#[derive(Debug, Parser)]
#[command(name = "rejoin-server", version, about, arg_required_else_help = true)]
struct Arguments {
    /// The folder that holds the sessions [default: /tmp/rejoin-UID]
    #[arg(long, global = true, env = crate::registry::FOLDER_VARIABLE, value_name = "FOLDER")]
    registry: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Speak for one session on standard input and output: what a connection runs
    Attach {
        /// Say on standard error how many sessions are detached, if any is
        #[arg(long)]
        tell_detached: bool,
    },
    /// Speak for many sessions on standard input and output: what a connection runs that they share
    Mux,
    /// Keep one process: what `attach` starts
    #[command(hide = true)]
    Serve {
        /// The session
        session: SessionId,
    },
    /// List the sessions on this host
    Ls {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove what dead servers left behind: entries, processes, old tombstones
    Prune {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what of this host matters to sessions, as JSON
    Doctor,
    /// End sessions: their processes are ended, and the host forgets them
    Kill {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Their ids, or the first digits of each
        #[arg(required = true, value_name = "SESSION")]
        sessions: Vec<String>,
    },
    /// Say which versions this program is and speaks
    Version {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the program with these arguments, its own name not included. `prefix` is what stands
/// before them when the current executable is started again as a server: a program that embeds
/// this one names its own subcommand there.
pub fn run(arguments: impl IntoIterator<Item = OsString>, prefix: &[&str]) -> ExitCode {
    let name = OsString::from("rejoin-server");
    let arguments = match Arguments::try_parse_from(std::iter::once(name).chain(arguments)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let text = error.render().to_string();
            // To a closed stdout or stderr nothing can be said.
            let _ = match text.strip_prefix("error: ") {
                Some(told) => write!(io::stderr(), "rejoin-server: {told}"),
                None => error.print(),
            };
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    leave_own_folder();
    match act(arguments, prefix) {
        Ok(code) => code,
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rejoin-server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A deployment starts the program in the folder that it lies in. From there it goes to where a login
/// starts: the home folder, or else the root.
fn leave_own_folder() {
    let places = std::env::current_exe().ok().zip(std::env::current_dir().ok());
    if places.is_some_and(|(program, current)| program.parent() == Some(&current)) {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        if home.is_none_or(|home| std::env::set_current_dir(home).is_err()) {
            // It exists for every process.
            let _ = std::env::set_current_dir("/");
        }
    }
}

fn act(arguments: Arguments, prefix: &[&str]) -> io::Result<ExitCode> {
    let Arguments { registry, action } = arguments;
    let place = || -> io::Result<AttachContext> {
        Ok(AttachContext {
            registry: registry.clone(),
            program: Program::own()?,
            prefix: prefix.iter().map(OsString::from).collect(),
        })
    };
    match action {
        Action::Attach { tell_detached } => attach::run(&place()?, tell_detached)?,
        Action::Mux => mux::run(place()?)?,
        Action::Serve { session } => {
            let folder = registry.clone().ok_or_else(|| io::Error::other("no --registry given"))?;
            serve::run(&folder, session)?;
        }
        Action::Ls { json } => list::list(registry.as_deref(), json)?,
        Action::Prune { json } => return prune::prune(registry.as_deref(), json),
        Action::Doctor => print_json(&admin::report(registry.as_deref()))?,
        Action::Kill { json, sessions } => return kill::kill(&place()?, &sessions, json),
        Action::Version { json } => print_version(json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints an answer: one line.
fn print_json(answer: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(answer).map_err(io::Error::other)?;
    writeln!(io::stdout(), "{text}")
}

fn print_version(json: bool) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let VersionRange { min, max } = VersionRange::SUPPORTED;
    if json {
        let value = serde_json::json!({
            "program": "rejoin-server",
            "version": version,
            "protocol": { "min": min.0, "max": max.0 },
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
        });
        writeln!(io::stdout(), "{value}")
    } else {
        writeln!(io::stdout(), "rejoin-server {version} (protocol {min} to {max})")
    }
}
