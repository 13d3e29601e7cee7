//! The server programs that this machine has for hosts.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rejoin_ssh::{Platform, ServerFile, Servers};

use super::elf::Elf;
use super::quote::shown;

/// Names the folder that is looked into first.
const VARIABLE: &str = "REJOIN_SERVERS";
/// Servers and clients of other versions understand each other; that of the file's name is this one's.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// So many files are looked at in a folder.
const MOST_FILES: usize = 100;

/// Folders and programs, in the order in which they count.
pub(crate) struct Shelf {
    folders: Vec<PathBuf>,
    /// The folder where a user puts server programs.
    own: PathBuf,
    /// This program's file.
    program: Option<PathBuf>,
    /// What was there and will not do, and for which platform.
    unusable: Mutex<Vec<(Platform, String)>>,
}

impl Shelf {
    /// As the environment has it.
    pub(crate) fn of_environment() -> Self {
        Self::new(|name| std::env::var_os(name), std::env::current_exe().ok())
    }

    fn new(variable: impl Fn(&str) -> Option<OsString>, program: Option<PathBuf>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let absolute = |name| variable(name).filter(|path| path.is_absolute());
        let data = absolute("XDG_DATA_HOME");
        let data = data.or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
        let data = data.map(|data| data.join("rejoin/servers"));
        let folders = variable(VARIABLE).into_iter();
        let folders = folders.chain(program.as_deref().and_then(shared)).chain(data.clone());
        let folders = folders.collect();
        let own = data.unwrap_or_else(|| "~/.local/share/rejoin/servers".into());
        Self { folders, own, program, unusable: Mutex::default() }
    }

    /// What a folder has: files named `rejoin-server-SYSTEM-MACHINE`.
    fn in_folder(&self, folder: &Path, servers: &mut Vec<ServerFile>) {
        let Ok(listed) = fs::read_dir(folder) else { return };
        let mut names: Vec<_> =
            listed.flatten().take(MOST_FILES).map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            if let Some(platform) = platform_of(&name) {
                self.add(&folder.join(&name), platform, "", servers);
            }
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
        if matches!(Elf::read(&server), Ok(Some(elf)) if elf.is_static) {
            self.add(&server, platform.clone(), "", servers);
        }
        if cfg!(feature = "embedded-server") {
            self.add(program, platform, "__server", servers);
        }
    }

    /// Adds a program, unless there is one for its platform already.
    fn add(&self, path: &Path, platform: Platform, prefix: &str, servers: &mut Vec<ServerFile>) {
        if servers.iter().any(|server| *server.platform() == platform) {
            return;
        }
        match check(path, &platform, prefix) {
            Ok(server) => servers.push(server),
            Err(why) => {
                self.unusable().push((platform, shown(&format!("{}: {why}", path.display()))));
            }
        }
    }

    fn unusable(&self) -> std::sync::MutexGuard<'_, Vec<(Platform, String)>> {
        self.unusable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Servers for Shelf {
    fn all(&self) -> Vec<ServerFile> {
        let mut servers = Vec::new();
        for folder in &self.folders {
            self.in_folder(folder, &mut servers);
        }
        self.of_this_machine(&mut servers);
        servers
    }

    fn advice(&self, platform: &Platform) -> String {
        if platform.system() != "Linux" {
            return "only Linux hosts can run it".to_owned();
        }
        let (triple, machine) = (triple(platform.machine()), platform.machine());
        let path = self.own.join(format!("rejoin-server-linux-{machine}"));
        let mut advice = format!(
            "build one with cargo build --release -p rejoin-server --target {triple}, and copy \
             target/{triple}/release/rejoin-server to {}",
            path.display()
        );
        if let Some((_, why)) = self.unusable().iter().find(|(other, _)| other == platform) {
            advice.extend([" (", why, ")"]);
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

fn check(path: &Path, platform: &Platform, prefix: &str) -> Result<ServerFile, String> {
    match Elf::read(path) {
        Ok(Some(elf)) if elf.is_for(platform.machine()) == Some(false) => {
            return Err(format!("it is a program for {}", elf.machine()));
        }
        Ok(Some(_)) => {}
        Ok(None) => return Err("it is no program for Linux".to_owned()),
        Err(error) => return Err(error.to_string()),
    }
    ServerFile::load(path, platform.clone(), VERSION, prefix).map_err(|error| error.to_string())
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
mod tests {
    use super::*;

    /// The least that is taken for a program: an ELF head for this machine.
    const X86: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0";

    fn program(path: &Path, machine: u8) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut head = X86.to_vec();
        head[18] = machine;
        head.resize(64, 0);
        fs::write(path, head).unwrap();
    }

    fn shelf(root: &Path, with_variable: bool) -> Shelf {
        let root = root.to_owned();
        let program = root.join("prefix/bin/rejoin");
        let variable = move |name: &str| match name {
            VARIABLE => with_variable.then(|| root.join("named").into()),
            "HOME" => Some(root.join("home").into()),
            _ => None,
        };
        Shelf::new(variable, Some(program))
    }

    #[test]
    fn folders_count_in_their_order_and_each_platform_once() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        program(&at("named/rejoin-server-linux-aarch64"), 183);
        program(&at("prefix/share/rejoin/rejoin-server-linux-aarch64"), 183);
        program(&at("prefix/share/rejoin/rejoin-server-linux-riscv64"), 243);
        program(&at("home/.local/share/rejoin/servers/rejoin-server-linux-s390x"), 0);
        program(&at("home/.local/share/rejoin/servers/notes"), 62);
        let found = |with_variable| {
            let servers = shelf(root.path(), with_variable).all();
            let found = servers.iter().filter(|server| server.platform().machine() != "x86_64");
            found.map(|server| server.path().to_owned()).collect::<Vec<_>>()
        };
        let shared = at("prefix/share/rejoin/rejoin-server-linux-riscv64");
        assert_eq!(found(true), [at("named/rejoin-server-linux-aarch64"), shared.clone()]);
        assert_eq!(found(false), [at("prefix/share/rejoin/rejoin-server-linux-aarch64"), shared]);
    }

    #[test]
    fn no_folder_is_looked_into_that_may_be_anybodys() {
        let without_home = Shelf::new(|name| (name == "HOME").then(OsString::new), None);
        assert_eq!(without_home.folders, [""; 0].map(PathBuf::from));
        let relative = Shelf::new(|_| Some("here".into()), None);
        assert_eq!(relative.folders, [PathBuf::from("here")], "only what the user names");
        let program = Some("/tmp/unpacked/rejoin".into());
        assert_eq!(Shelf::new(|_| None, program).folders, [""; 0].map(PathBuf::from));
        let program = Some("/usr/local/bin/rejoin".into());
        let shared = PathBuf::from("/usr/local/share/rejoin");
        assert_eq!(Shelf::new(|_| None, program).folders, [shared]);
    }

    #[test]
    fn a_program_for_another_machine_than_its_name_says_is_told_and_not_used() {
        let root = tempfile::tempdir().unwrap();
        program(&root.path().join("named/rejoin-server-linux-aarch64"), 62);
        let shelf = shelf(root.path(), true);
        let aarch64 = Platform::new("Linux", "aarch64").unwrap();
        assert!(shelf.all().iter().all(|server| *server.platform() != aarch64));
        let advice = shelf.advice(&aarch64);
        assert!(advice.contains("--target aarch64-unknown-linux-musl"), "{advice}");
        assert!(advice.contains("home/.local/share/rejoin/servers/rejoin-server-linux-aarch64"));
        assert!(advice.ends_with("rejoin-server-linux-aarch64: it is a program for x86_64)"));
    }
}
