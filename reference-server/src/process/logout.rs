//! Hosts that end a user's processes at logout (systemd-logind with `KillUserProcesses=yes`):
//! whether this host does so, and how to start a server that survives.
//!
//! logind ends the scope of the login, with every process in it. Other processes are not affected.
//! The user's service manager has scopes, too, which last as long as the manager: permanently if
//! lingering is enabled for the user, otherwise until the user's last login ends.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a query to systemd may take. Starting a session waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
const NAP: Duration = Duration::from_millis(5);

/// The folders with logind's settings, highest priority first.
const FOLDERS: [&str; 4] =
    ["etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd"];

/// Where logind records the users with lingering enabled.
const LINGERING: &str = "var/lib/systemd/linger";

const SETTINGS: [&str; 3] = ["KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers"];

/// Starts a program in a scope of the user's own service manager.
const SCOPE: [&str; 5] = ["systemd-run", "--user", "--scope", "--quiet", "--"];

/// The variables that locate the user's service manager.
const BUS: [&str; 2] = ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];

/// What happens to processes when their login ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logout {
    /// They keep running: the host ends no processes, or they belong to no login.
    Stays,
    /// The host ends them.
    Ends {
        /// Whether lingering is enabled, so that a scope of the user's service manager survives.
        is_lingering: bool,
    },
    /// Unknown.
    Unknown,
}

impl Logout {
    /// For the calling process.
    pub fn look() -> Self {
        let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
        Self::of(Path::new("/"), &cgroup, &user.unwrap_or_default(), &ask_logind)
    }

    /// For a process in these control groups (`/proc/self/cgroup`) of this user, on the host whose
    /// files are below `root`. `ask` returns logind's settings in force. If it returns nothing, the
    /// configuration files are read.
    pub fn of(root: &Path, cgroup: &str, user: &str, ask: &dyn Fn() -> Option<String>) -> Self {
        if !is_in_login_scope(cgroup) {
            return Self::Stays;
        }
        let told = ask().map(|told| Settings::default().with(&told));
        let settings = told.unwrap_or_else(|| Settings::in_files(root));
        match settings.kills(user) {
            Some(true) => {
                let is_lingering = !user.is_empty() && root.join(LINGERING).join(user).is_file();
                Self::Ends { is_lingering }
            }
            Some(false) => Self::Stays,
            None => Self::Unknown,
        }
    }
}

/// logind's scopes are named after their logins: `session-4.scope`.
fn is_in_login_scope(cgroup: &str) -> bool {
    let mut parts = cgroup.lines().flat_map(|line| line.split('/'));
    parts.any(|part| part.strip_suffix(".scope").is_some_and(|name| name.starts_with("session-")))
}

/// The settings that decide, if somebody set them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settings(BTreeMap<String, String>);

impl Settings {
    /// The same, overridden by the lines `Name=value` of a text.
    fn with(mut self, text: &str) -> Self {
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            if SETTINGS.contains(&name.trim()) {
                self.0.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        self
    }

    /// The main file from the first folder that has one, then all drop-ins in the order of their
    /// names. For each name, the folder with the highest priority wins.
    fn in_files(root: &Path) -> Self {
        let folders = FOLDERS.map(|folder| root.join(folder));
        let mut main = folders.iter().map(|folder| folder.join("logind.conf"));
        let main = main.find_map(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for folder in folders.iter().rev() {
            let listed = fs::read_dir(folder.join("logind.conf.d")).into_iter().flatten();
            let files = listed.flatten().map(|entry| (entry.file_name(), entry.path()));
            drop_ins.extend(files.filter(|(_, path)| path.extension() == Some(OsStr::new("conf"))));
        }
        let texts = drop_ins.values().map(|path| fs::read_to_string(path).unwrap_or_default());
        texts.fold(Self::default().with(&main), |settings, text| settings.with(&text))
    }

    /// Whether logind ends this user's processes. `None` if the default applies, which differs
    /// between distributions.
    fn kills(&self, user: &str) -> Option<bool> {
        let is_listed = |name: &str, default: &str| {
            let list = self.0.get(name).map_or(default, String::as_str);
            (!list.is_empty()).then(|| list.split_whitespace().any(|listed| listed == user))
        };
        if is_listed("KillExcludeUsers", "root") == Some(true) {
            return Some(false);
        }
        is_listed("KillOnlyUsers", "").or_else(|| {
            let kills = self.0.get("KillUserProcesses")?.to_ascii_lowercase();
            match kills.as_str() {
                "yes" | "true" | "on" | "1" | "y" | "t" => Some(true),
                "no" | "false" | "off" | "0" | "n" | "f" => Some(false),
                _ => None,
            }
        })
    }
}

/// logind's settings in force.
fn ask_logind() -> Option<String> {
    let mut command = Command::new("loginctl");
    command.arg("show-session");
    command.args(SETTINGS.map(|name| format!("--property={name}")));
    output_in_time(command).filter(|told| told.contains(SETTINGS[0]))
}

/// The output of a program, if it succeeds in time.
fn output_in_time(mut command: Command) -> Option<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().ok()?.is_none() {
        if Instant::now() >= deadline {
            // It may have ended in the meantime.
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(NAP);
    }
    // It has ended, and its short output is in the pipe.
    let output = child.wait_with_output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The prefix of the server's command line, and a warning for the user.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) prefix: Vec<&'static str>,
    pub(super) warning: Option<&'static str>,
}

impl Launch {
    /// The variables that the prefix needs.
    pub(super) fn variables(&self) -> &'static [&'static str] {
        if self.prefix.is_empty() { &[] } else { &BUS }
    }

    /// For a server that the calling process starts.
    pub(super) fn look() -> Self {
        Self::of(Logout::look(), &has_scopes)
    }

    /// If the user's service manager ends with the login, its scopes do not help.
    fn of(logout: Logout, has_scopes: &dyn Fn() -> bool) -> Self {
        match logout {
            Logout::Stays | Logout::Unknown => Self::default(),
            Logout::Ends { is_lingering: true } if has_scopes() => {
                Self { prefix: SCOPE.to_vec(), warning: None }
            }
            Logout::Ends { is_lingering: true } => Self {
                warning: Some(
                    "this host ends all processes at logout (KillUserProcesses), and systemd-run \
                     --user does not work: the process will not survive a lost connection",
                ),
                ..Self::default()
            },
            Logout::Ends { is_lingering: false } => Self {
                warning: Some(
                    "this host ends all processes at logout (KillUserProcesses): run loginctl \
                     enable-linger there once, or the process will not survive a lost connection",
                ),
                ..Self::default()
            },
        }
    }
}

/// Whether the user's service manager can start programs in scopes.
fn has_scopes() -> bool {
    let mut command = Command::new(SCOPE[0]);
    command.args(&SCOPE[1..]).arg("true");
    output_in_time(command).is_some()
}

/// What happens to a session when the login that started it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It survives.
    Stays,
    /// It survives in a scope of the user's service manager.
    InScope,
    /// The host ends it. Contains what the user can do.
    Ends(&'static str),
    /// Unknown.
    Unknown,
}

impl Persistence {
    /// For a session that the calling process starts.
    pub(crate) fn look() -> Self {
        let logout = Logout::look();
        match (logout, Launch::of(logout, &has_scopes)) {
            (Logout::Stays, _) => Self::Stays,
            (Logout::Unknown, _) => Self::Unknown,
            (Logout::Ends { .. }, Launch { warning: Some(warning), .. }) => Self::Ends(warning),
            (Logout::Ends { .. }, _) => Self::InScope,
        }
    }
}

#[cfg(test)]
#[path = "logout_tests.rs"]
mod tests;
