//! The server programs that this machine has for hosts.
//!
//! What is put on a host runs there as the user. A [`ServerStore`] therefore uses no file that another user of
//! this machine could have put there or changed ([`trust`]). A client that was built with the digests of
//! its release (`REJOIN_SERVER_DIGESTS`) uses other servers only from the folder that the user names.

mod digests;
mod elf;
pub mod trust;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rejoin_ssh::{DeployEvent, Platform, ServerFile, Servers};

use elf::Elf;
use trust::Distrust;

/// Names the folder that is looked into first.
const VARIABLE: &str = "REJOIN_SERVERS";
/// The version in the name that a server program gets on a host. Clients and servers of different versions
/// understand each other.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The longest line that names a file and why it is not used, in bytes.
const MAX_LINE: usize = 2000;
/// So many files are looked at in a folder.
const MOST_FILES: usize = 100;
/// The file of the program that runs, whatever stands by its name now.
const RUNNING: &str = "/proc/self/exe";

/// The server programs that this machine has for hosts.
///
/// They are looked for in the folder that `REJOIN_SERVERS` names, in `PREFIX/share/rejoin` beside a
/// program in `PREFIX/bin`, and in `~/.local/share/rejoin/servers`, as files named
/// `rejoin-server-linux-MACHINE`; for hosts like this machine, a static `rejoin-server` beside this
/// program will do, or [this program itself](Self::this_program). A file that another user of this machine
/// could have put there or changed is never used.
pub struct ServerStore {
    /// The folder that the user names.
    named: Option<PathBuf>,
    /// Where programs are installed.
    folders: Vec<PathBuf>,
    /// The folder where a user puts server programs.
    own: PathBuf,
    /// This program's file.
    program: Option<PathBuf>,
    /// The argument with which this program is a server itself.
    argument: Option<&'static str>,
    /// What may be used of what the user has not named; without any, everything.
    digests: Vec<String>,
    /// What was there and will not do.
    left_out: Mutex<Vec<LeftOut>>,
}

/// A file or folder that will not do.
struct LeftOut {
    path: PathBuf,
    /// None of a folder, which may have had any.
    platform: Option<Platform>,
    why: Unusable,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{}: {}", self.path.display(), self.why);
        f.write_str(&rejoin_text::printable(&line, MAX_LINE))
    }
}

/// Why a server program is not used.
enum Unusable {
    /// Another user may have a hand in it, or it cannot be read.
    Distrusted(Distrust),
    /// It is none of the release's, and was not named by the user.
    NotReleased,
    /// It does not run on the platform.
    Wrong(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Distrusted(why) => write!(f, "{why}"),
            Self::NotReleased => write!(
                f,
                "not a server of this release; to use it nevertheless, set {VARIABLE} to a folder with it"
            ),
            Self::Wrong(why) => f.write_str(why),
        }
    }
}

impl ServerStore {
    /// A store that looks where the environment says.
    pub fn from_environment() -> Self {
        let program = std::env::current_exe().ok();
        Self::new(|name| std::env::var_os(name), program, digests::released())
    }

    /// Sends this program itself to hosts of the same kind as this machine, where nothing else is found for
    /// them. Called with `argument` as the first one, it must run [`rejoin-server`] with the others.
    ///
    /// [`rejoin-server`]: https://docs.rs/rejoin-server
    #[must_use]
    pub fn this_program(mut self, argument: &'static str) -> Self {
        self.argument = Some(argument);
        self
    }

    fn new(
        variable: impl Fn(&str) -> Option<OsString>,
        program: Option<PathBuf>,
        digests: Vec<String>,
    ) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let absolute = |name| variable(name).filter(|path| path.is_absolute());
        let data = absolute("XDG_DATA_HOME");
        let data = data.or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
        let data = data.map(|data| data.join("rejoin/servers"));
        let folders = program.as_deref().and_then(shared).into_iter().chain(data.clone()).collect();
        let own = data.unwrap_or_else(|| "~/.local/share/rejoin/servers".into());
        let (named, left_out) = (variable(VARIABLE), Mutex::default());
        Self { named, folders, own, program, argument: None, digests, left_out }
    }

    /// What a folder has: files named `rejoin-server-SYSTEM-MACHINE`.
    fn in_folder(&self, folder: &Path, is_named: bool, servers: &mut Vec<ServerFile>) {
        let Ok(listed) = fs::read_dir(folder) else { return };
        let names = listed.flatten().take(MOST_FILES).map(|entry| entry.file_name());
        let mut found: Vec<_> =
            names.filter_map(|name| Some((platform_of(&name)?, folder.join(name)))).collect();
        if found.is_empty() {
            return;
        }
        if let Err(why) = trust::check_folder(folder) {
            self.leave_out(folder, None, Unusable::Distrusted(why));
            return;
        }
        found.sort_by(|one, other| one.1.cmp(&other.1));
        for (platform, path) in found {
            self.add(&path, platform, is_named, servers);
        }
    }

    /// What runs on machines like this one: a static server beside this program, or else this program.
    fn of_this_machine(&self, servers: &mut Vec<ServerFile>) {
        let system = rustix::system::uname();
        let names = (system.sysname().to_str(), system.machine().to_str());
        let (Ok(sysname), Ok(machine)) = names else { return };
        let Some(platform) = Platform::new(sysname, machine).filter(|_| sysname == "Linux") else {
            return;
        };
        let Some(program) = &self.program else { return };
        let server = program.with_file_name("rejoin-server");
        // One that needs libraries may not find them on a host, and is no loss.
        let is_dynamic = |file: &File| !matches!(Elf::read(file), Ok(Some(elf)) if elf.is_static);
        match trust::open(&server) {
            Err(why) if why.is_missing() => {}
            Ok(file) if is_dynamic(&file) => {}
            _ => self.add(&server, platform.clone(), false, servers),
        }
        if let Some(argument) = self.argument {
            self.add_running(platform, argument, servers);
        }
    }

    /// Adds this program, which needs no trust: whoever can write to its file has it run as the user here.
    fn add_running(&self, platform: Platform, argument: &str, servers: &mut Vec<ServerFile>) {
        if has(servers, &platform) {
            return;
        }
        let path = Path::new(RUNNING);
        let server = File::open(path)
            .and_then(|file| ServerFile::read(&file, path, platform.clone(), VERSION, argument));
        match server {
            Ok(server) => servers.push(server),
            Err(error) => {
                self.leave_out(path, Some(platform), Unusable::Wrong(error.to_string()));
            }
        }
    }

    /// Adds a program, unless there is one for its platform already.
    fn add(&self, path: &Path, platform: Platform, is_named: bool, servers: &mut Vec<ServerFile>) {
        if has(servers, &platform) {
            return;
        }
        match self.check(path, &platform, is_named) {
            Ok(server) => servers.push(server),
            Err(why) => self.leave_out(path, Some(platform), why),
        }
    }

    fn check(
        &self,
        path: &Path,
        platform: &Platform,
        is_named: bool,
    ) -> Result<ServerFile, Unusable> {
        let failed = |error: std::io::Error| Unusable::Wrong(error.to_string());
        // From here on only the open file counts, not what stands by its name.
        let file = trust::open(path).map_err(Unusable::Distrusted)?;
        match Elf::read(&file).map_err(failed)? {
            Some(elf) if elf.is_for(platform.machine()) == Some(false) => {
                return Err(Unusable::Wrong(format!("it is a program for {}", elf.machine())));
            }
            Some(_) => {}
            None => return Err(Unusable::Wrong("it is no program for Linux".to_owned())),
        }
        let server =
            ServerFile::read(&file, path, platform.clone(), VERSION, "").map_err(failed)?;
        let is_released = || self.digests.iter().any(|digest| digest == server.sum());
        if !is_named && !self.digests.is_empty() && !is_released() {
            return Err(Unusable::NotReleased);
        }
        Ok(server)
    }

    fn leave_out(&self, path: &Path, platform: Option<Platform>, why: Unusable) {
        self.all_left_out().push(LeftOut { path: path.to_owned(), platform, why });
    }

    fn all_left_out(&self) -> std::sync::MutexGuard<'_, Vec<LeftOut>> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a server program that somebody has built is to be put.
    fn place(&self, machine: &str) -> String {
        let name = format!("rejoin-server-linux-{machine}");
        if self.digests.is_empty() {
            self.own.join(name).display().to_string()
        } else {
            format!("{name} in a folder that {VARIABLE} names")
        }
    }
}

impl fmt::Debug for ServerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folders = self.named.iter().chain(&self.folders).collect::<Vec<_>>();
        f.debug_struct("ServerStore").field("folders", &folders).finish_non_exhaustive()
    }
}

impl Servers for ServerStore {
    fn all(&self) -> Vec<ServerFile> {
        let mut servers = Vec::new();
        self.all_left_out().clear();
        if let Some(folder) = &self.named {
            self.in_folder(folder, true, &mut servers);
        }
        for folder in &self.folders {
            self.in_folder(folder, false, &mut servers);
        }
        self.of_this_machine(&mut servers);
        servers
    }

    fn left_out(&self) -> Vec<DeployEvent> {
        let news = |left: &LeftOut| match &left.why {
            Unusable::Distrusted(why) if why.is_unsafe() => {
                DeployEvent::Unsafe { what: left.to_string() }
            }
            _ => DeployEvent::Unused { what: left.to_string() },
        };
        self.all_left_out().iter().map(news).collect()
    }

    fn advice(&self, platform: &Platform) -> String {
        if platform.system() != "Linux" {
            return "only Linux hosts can run it".to_owned();
        }
        let (triple, machine) = (triple(platform.machine()), platform.machine());
        let mut advice = format!(
            "build one with cargo build --release -p rejoin-server --target {triple}, and copy \
             target/{triple}/release/rejoin-server to {}",
            self.place(machine)
        );
        let is_meant =
            |left: &&LeftOut| left.platform.as_ref().is_none_or(|other| other == platform);
        let left_out: Vec<_> =
            self.all_left_out().iter().filter(is_meant).map(LeftOut::to_string).collect();
        if !left_out.is_empty() {
            advice.extend([" (", &left_out.join("; "), ")"]);
        }
        advice
    }
}

/// `PREFIX/share/rejoin` for a program in `PREFIX/bin`. For one that stands anywhere else - unpacked
/// below `/tmp`, say - the same folder may be anybody's, and with it what is put on hosts.
fn shared(program: &Path) -> Option<PathBuf> {
    let folder = program.parent().filter(|folder| folder.ends_with("bin"))?;
    Some(folder.parent()?.join("share/rejoin"))
}

/// The platform in the name of a file.
fn platform_of(name: &OsStr) -> Option<Platform> {
    let (system, machine) = name.to_str()?.strip_prefix("rejoin-server-")?.split_once('-')?;
    (system == "linux").then(|| Platform::new("Linux", machine)).flatten()
}

fn has(servers: &[ServerFile], platform: &Platform) -> bool {
    servers.iter().any(|server| server.platform() == platform)
}

/// What Rust calls a platform for which it makes static programs.
fn triple(machine: &str) -> String {
    match machine {
        "armv7l" | "armv8l" => "armv7-unknown-linux-musleabihf".to_owned(),
        "armv6l" => "arm-unknown-linux-musleabihf".to_owned(),
        "i386" | "i486" | "i586" | "i686" => "i686-unknown-linux-musl".to_owned(),
        "riscv64" => "riscv64gc-unknown-linux-musl".to_owned(),
        "ppc64le" => "powerpc64le-unknown-linux-musl".to_owned(),
        _ => format!("{machine}-unknown-linux-musl"),
    }
}

#[cfg(test)]
mod tests;
