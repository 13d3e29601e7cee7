//! The commands that run on the host, made of the scripts beside this file.
//!
//! `common.sh`, `direct.sh` and `bootstrap.sh` travel in ssh's command line, which the login shell
//! reads first, whatever that is. They are one word in single quotes, which means the same to all of
//! them as long as it contains no quote, no line end, no backslash and no exclamation mark.
//! `install.sh` comes over the link and is read by `/bin/sh` alone.

use super::server_file::ServerFile;
use crate::ssh::arguments::THEN_EXIT;

const PATH: &str = include_str!("path.sh");
const COMMON: &str = include_str!("common.sh");
const DIRECT: &str = include_str!("direct.sh");
const BOOTSTRAP: &str = include_str!("bootstrap.sh");
const INSTALL: &str = include_str!("install.sh");

/// Where the server program may be, as words for `/bin/sh`; the first that works is taken. Beside the
/// sessions' folder `/tmp/rejoin-UID`, and never in it.
const FOLDERS: [&str; 6] = [
    r#""${XDG_DATA_HOME:-$rj_h/.local/share}/rejoin""#,
    r#""${XDG_CACHE_HOME:-$rj_h/.cache}/rejoin""#,
    r#""$rj_h/.rejoin""#,
    r#""${XDG_RUNTIME_DIR:--}/rejoin""#,
    r#""/var/tmp/rejoin-$rj_u""#,
    r#""/tmp/rejoin-$rj_u-bin""#,
];
/// The first of them that needs the user's number, which takes a process to find out.
const FIRST_WITH_UID: usize = 4;
/// How many folders there are to try.
pub(super) const MOST_FOLDERS: usize = FOLDERS.len();

/// Runs the server that was found in the folder of this number, or in another one.
pub(super) fn direct(server: &ServerFile, folder: usize, words: &str) -> String {
    let (first, rest): (Vec<_>, Vec<_>) =
        FOLDERS.iter().enumerate().partition(|(number, _)| *number == folder);
    let joined = |folders: Vec<(usize, &&str)>| {
        folders.into_iter().map(|(_, folder)| *folder).collect::<Vec<_>>().join(" ")
    };
    let script = DIRECT
        .replace("@PATH@", PATH)
        .replace("@NAME@", server.name())
        .replace("@WORDS@", server.with_prefix(words).trim())
        .replace("@UID@", if folder < FIRST_WITH_UID { "" } else { "$(id -u)" })
        .replace("@FIRST@", &joined(first))
        .replace("@REST@", &joined(rest));
    command(&[COMMON, &script])
}

/// Runs the server that `PATH` has.
pub(super) fn installed(words: &str) -> String {
    command(&[&format!("exec rejoin-server {words}")])
}

/// Runs one of these servers if the host has it, and says what there is otherwise.
pub(super) fn bootstrap(servers: &[ServerFile], mark: &ReplyMarker, words: &str) -> String {
    let table: String = servers.iter().map(row).collect();
    let (first, second) = mark.halves();
    let (at_home, elsewhere) = FOLDERS.split_at(FIRST_WITH_UID);
    let script = BOOTSTRAP
        .replace("@PATH@", PATH)
        .replace("@MARK_A@", first)
        .replace("@MARK_B@", second)
        .replace("@TABLE@", &table)
        .replace("@AT_HOME@", &at_home.join(" "))
        .replace("@ELSEWHERE@", &elsewhere.join(" "))
        .replace("@WORDS@", words);
    command(&[COMMON, &script])
}

fn row(server: &ServerFile) -> String {
    let (name, sum, prefix) = (server.name(), server.sum(), server.prefix());
    format!("\"{}\") rj_n={name} rj_s={sum} rj_w=\"{prefix}\" ;; ", server.platform())
}

/// What is sent to a host that needs a server, or, without one for its platform, may have its own.
/// `length` counts the bytes that are uploaded, packed or not.
pub(super) fn install(
    server: Option<&ServerFile>,
    (length, is_packed): (usize, bool),
    version: &str,
    words: &str,
) -> Vec<u8> {
    let of = |part: fn(&ServerFile) -> &str| server.map_or("", part);
    let script = INSTALL
        .replace("@NAME@", of(ServerFile::name))
        .replace("@SUM@", of(ServerFile::sum))
        .replace("@PREFIX@", of(ServerFile::prefix))
        .replace("@LENGTH@", &length.to_string())
        .replace("@UNPACK@", if is_packed { "gzip -dc" } else { "cat" })
        .replace("@VERSION@", version)
        .replace("@WORDS@", words);
    format!("{}\n{script}", script.len()).into_bytes()
}

/// One command for a login shell of any kind. The shell waits for it (see [`THEN_EXIT`]).
fn command(scripts: &[&str]) -> String {
    let lines = scripts.iter().flat_map(|script| script.lines()).map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    format!("/bin/sh -c '{}'{THEN_EXIT}", lines.join(" "))
}

/// A word that nobody who did not read the script can say.
pub(super) struct ReplyMarker(String);

impl ReplyMarker {
    /// A fresh one.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{:032x}", u128::from_ne_bytes(bytes))))
    }

    /// One that is known beforehand.
    #[cfg(feature = "fuzz")]
    pub(super) fn of(word: &str) -> Self {
        Self(word.to_owned())
    }

    fn halves(&self) -> (&str, &str) {
        self.0.split_at(self.0.len() / 2)
    }

    /// What each line of the script begins with.
    pub(super) fn start_of_line(&self) -> Vec<u8> {
        format!("rejoin-{} ", self.0).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::server_file::Platform;

    fn server() -> ServerFile {
        ServerFile::of_bytes(
            b"\x7fELF",
            Platform::new("Linux", "x86_64").unwrap(),
            "1.2",
            "__server",
        )
    }

    fn commands() -> [String; 3] {
        let servers = [server(), server()];
        [
            direct(&servers[0], 2, "ls --json"),
            bootstrap(&servers, &ReplyMarker::new().unwrap(), "ls --json"),
            installed("attach"),
        ]
    }

    #[test]
    fn no_login_shell_finds_anything_of_its_own_in_a_command() {
        for command in commands() {
            let script = command.strip_prefix("/bin/sh -c '").unwrap();
            let script = script.strip_suffix("'; exit").unwrap();
            assert!(!script.contains(['\'', '\n', '\r', '\\', '!', '@']), "{script}");
            assert!(script.is_ascii());
            // What a csh of old takes for one word.
            assert!(script.len() < 4000, "{}", script.len());
        }
    }

    #[test]
    fn a_shell_can_read_every_script() {
        let install = install(Some(&server()), (5, true), "1.2", "attach");
        let install = String::from_utf8(install).unwrap();
        assert!(!install.replace("$@", "").contains('@'), "{install}");
        let (length, script) = install.split_once('\n').unwrap();
        assert_eq!(length.parse(), Ok(script.len()));
        for script in commands().into_iter().chain([script.to_owned()]) {
            let read = std::process::Command::new("sh").args(["-n", "-c", &script]).output();
            let read = read.unwrap();
            assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        }
    }

    #[test]
    fn the_mark_is_not_in_the_command() {
        let mark = ReplyMarker::new().unwrap();
        let command = bootstrap(&[server()], &mark, "attach");
        let (first, second) = mark.halves();
        assert!(command.contains(first) && command.contains(second));
        assert!(!command.contains(&mark.0));
    }
}
