//! Uploads the server program to a host that lacks it, over the same connection that then runs it.
//!
//! A host needs `/bin/sh`, `/proc`, the usual small programs (`ls`, `id`, `uname`, `dd`, `head`, `find`)
//! and one of `sha256sum`, `shasum` and `openssl`. The login shell and its output do not matter.
//!
//! - **Bootstrap**: the first link of a [`Deployment`], and the link after one on which no server
//!   answered. The command looks for the program by its name, `rejoin-server-VERSION-DIGITS`, compares
//!   the whole SHA-256, and runs it. If the program is missing, the same command receives it over stdin,
//!   verifies it, tries to run it, renames it to its final name, and runs it.
//! - **Direct**: every other link. The command runs the file with this name, if nobody but the user
//!   can have created it. It costs no round trip.
//!
//! Only the user's own folders are used (mode 0700, or at least writable by nobody else, and no symbolic
//! links): `~/.local/share/rejoin`, `~/.cache/rejoin` (or in `XDG_DATA_HOME` and `XDG_CACHE_HOME`),
//! `~/.rejoin`, `$XDG_RUNTIME_DIR/rejoin`, `/var/tmp/rejoin-UID` and `/tmp/rejoin-UID-bin`. The first of
//! these is used that is writable, has room, and allows execution. The scripts change into a folder
//! once, check the current folder, and then use only names within it, so nobody can swap the folder
//! between check and use. Therefore the program starts in the folder that contains it.
//!
//! A complete file gets its name by one rename. So any number of clients can deploy at once, and an
//! interrupted upload leaves no file with that name. On local file systems, a deployment removes other
//! versions that no process runs and no client has looked for during the last day, and files that
//! killed uploads left.

mod bootstrap;
mod connect;
mod deployment;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod reply;
mod script;
mod server_file;
mod verify;

pub use connect::DeployConnect;
pub use deployment::{DeployEvent, DeployTimeouts, Deployment, Servers};
pub use server_file::{Platform, ServerFile};
