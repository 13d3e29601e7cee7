//! The configuration that `ssh` uses, as `ssh -G` prints it.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use crate::link::error::{LinkError, LinkErrorKind, printable};
use crate::ssh::debug_log;

/// How long ssh may take; it runs the user's `Match exec` meanwhile.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// The most output that is read. A configuration is a few KiB; the log names every line of every file.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// The exit status of an ssh that rejects its options or its configuration.
const REFUSED: i32 = 255;

/// The configuration that ssh uses for one destination, as `ssh -G` prints it: options, configuration
/// files and defaults together. Keys are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshConfig {
    /// In the order in which ssh prints them, which is their order of precedence.
    settings: Vec<(String, String)>,
    is_conditional: bool,
}

impl SshConfig {
    /// Runs `program`, whose arguments include `-vvv` and `-G`. It does not prompt or connect, but it runs the
    /// programs in the user's `Match exec`.
    pub(crate) async fn ask(
        program: &OsString,
        arguments: &[OsString],
        environment: &[(OsString, OsString)],
        patience: Duration,
    ) -> Result<Self, SshConfigError> {
        let mut command = Command::new(program);
        command.args(arguments).env("SSH_ASKPASS_REQUIRE", "never");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let told = timeout(patience, output(command)).await;
        let told = told.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let unclear = |error: &dyn fmt::Display| {
            SshConfigError::Unclear(LinkError::unclear(&format!(
                "{} -G: {error}",
                program.display()
            )))
        };
        let SshOutput { status, text, log } = told.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SshConfigError::Unclear(LinkError::new(
                LinkErrorKind::ProgramMissing,
                format!("{}: {error}", program.display()),
            )),
            _ => unclear(&error),
        })?;
        match status.code() {
            Some(0) => {}
            Some(REFUSED) if !errors(&log).is_empty() => {
                return Err(SshConfigError::Refused(errors(&log)));
            }
            _ => return Err(unclear(&status)),
        }
        let nowhere = || SshConfigError::Unclear(LinkError::unclear("it has no host name or port"));
        Self::parse(&text, &log).ok_or_else(nowhere)
    }

    /// `None` if there is no host and port: then it is not a configuration.
    pub(crate) fn parse(text: &str, log: &str) -> Option<Self> {
        let pair = |line: &str| {
            let (key, value) = line.split_once(' ')?;
            Some((key.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let settings = text.lines().filter_map(pair).collect();
        let resolved = Self { settings, is_conditional: is_conditional(log) };
        resolved.host_name().filter(|name| !name.is_empty())?;
        resolved.port()?;
        Some(resolved)
    }

    /// The value of a setting. `None` if ssh does not print it; most unset settings are not printed.
    pub fn get(&self, key: &str) -> Option<&str> {
        let is_meant = |setting: &&(String, String)| setting.0.eq_ignore_ascii_case(key);
        self.settings.iter().find(is_meant).map(|(_, value)| value.as_str())
    }

    /// The values of a setting that may be given several times, such as `identityfile`.
    pub fn get_all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let is_meant = move |setting: &&(String, String)| setting.0.eq_ignore_ascii_case(key);
        self.settings.iter().filter(is_meant).map(|(_, value)| value.as_str())
    }

    /// Whether a setting is printed with another value than `no`, `none` or `false`.
    pub fn is_set(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| !matches!(value, "" | "no" | "none" | "false"))
    }

    /// Whether ssh forwards ports, sockets or a tunnel.
    pub fn forwards_ports(&self) -> bool {
        let kinds = ["localforward", "remoteforward", "dynamicforward"];
        kinds.iter().any(|kind| self.get(kind).is_some()) || self.is_set("tunnel")
    }

    /// Whether the configuration may differ at another time or place, because it runs a program
    /// (`Match exec`) or looks at the network (`Match localnetwork`). Also true if ssh does not say.
    pub fn is_conditional(&self) -> bool {
        self.is_conditional
    }

    /// The name or address that ssh connects to.
    pub fn host_name(&self) -> Option<&str> {
        self.get("hostname")
    }

    /// The port that ssh connects to.
    pub fn port(&self) -> Option<u16> {
        self.get("port")?.parse().ok().filter(|&port| port > 0)
    }

    /// The user that ssh logs in as.
    pub fn user(&self) -> Option<&str> {
        self.get("user")
    }
}

/// Whether OpenSSH's most verbose log shows that conditions were evaluated.
fn is_conditional(log: &str) -> bool {
    const CONDITIONS: &[&str] =
        &["Executing command: ", "matched 'exec ", "matched 'localnetwork "];
    let is_condition =
        |line: &str| line.starts_with("debug") && CONDITIONS.iter().any(|it| line.contains(it));
    !log.contains("OpenSSH_") || log.lines().any(is_condition)
}

/// Why ssh's configuration could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshConfigError {
    /// ssh rejects its options or its configuration, and would not connect: its message, line by line, made
    /// [printable](rejoin_text::printable). Never empty.
    Refused(Vec<String>),
    /// ssh rejects the destination, which is an `ssh://` address.
    BadAddress(LinkError),
    /// There was no usable answer in time, or the program is not ssh.
    Unclear(LinkError),
}

impl From<SshConfigError> for LinkError {
    fn from(unresolved: SshConfigError) -> Self {
        match unresolved {
            SshConfigError::Refused(lines) => Self::unclear(&lines.join(" ")),
            SshConfigError::BadAddress(error) | SshConfigError::Unclear(error) => error,
        }
    }
}

/// How ssh ended, and what it printed and logged.
struct SshOutput {
    status: ExitStatus,
    text: String,
    log: String,
}

async fn output(mut command: Command) -> io::Result<SshOutput> {
    let mut child = command.spawn()?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let (said, logged) = tokio::try_join!(all(stdout), all(stderr))?;
    let status = child.wait().await?;
    let text = String::from_utf8(said).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(SshOutput { status, text, log: String::from_utf8_lossy(&logged).into_owned() })
}

async fn all(from: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    from.take(MAX_BYTES).read_to_end(&mut read).await?;
    if read.len() as u64 == MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(read)
}

/// What ssh says in its log that it would say without one, too. That stdin is no terminal is true of every
/// ssh that is asked.
fn errors(log: &str) -> Vec<String> {
    let is_said =
        |line: &&str| !debug_log::is_detail(line) && !line.starts_with("Pseudo-terminal ");
    log.lines().filter(is_said).map(printable).filter(|line| !line.is_empty()).collect()
}

impl LinkError {
    pub(crate) fn unclear(why: &str) -> Self {
        let message = format!("cannot read ssh's configuration: {}", printable(why));
        Self::new(LinkErrorKind::Other, message)
    }
}

#[cfg(test)]
impl SshConfig {
    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::parse(text, "OpenSSH_9.9")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(script: &str) -> Result<SshConfig, SshConfigError> {
        let arguments = ["-c", script].map(OsString::from);
        SshConfig::ask(&"sh".into(), &arguments, &[], PATIENCE).await
    }

    #[tokio::test]
    async fn settings_are_found_by_their_names_once_or_in_order() {
        let said = "echo 'hostname h\nport 2222\nuser u v\nidentityfile a\nidentityfile b\n\
                    proxyjump none\ncheckhostip no\nbindaddress 10.0.0.1\nlonely'";
        let resolved = told(said).await.unwrap();
        assert_eq!(resolved.host_name(), Some("h"));
        assert_eq!(resolved.port(), Some(2222));
        assert_eq!(resolved.user(), Some("u v"));
        assert_eq!(resolved.get("IdentityFile"), Some("a"));
        assert_eq!(resolved.get_all("identityfile").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(resolved.get("lonely"), None);
        assert!(resolved.is_set("bindaddress"));
        for off in ["proxyjump", "checkhostip", "proxycommand"] {
            assert!(!resolved.is_set(off), "{off}");
        }
    }

    #[test]
    fn detects_a_conditional_configuration_in_the_log() {
        let is_conditional = |log: &str| {
            SshConfig::parse("hostname h\nport 22", log).expect("a configuration").is_conditional()
        };
        let plain = "OpenSSH_9.9\r\ndebug3: config line 1: matched 'host \"h\"' \r\n\
                     debug3: config line 3: skipped exec \"false\"";
        assert!(!is_conditional(plain));
        for line in [
            "debug1: Executing command: 'true'",
            "debug3: config line 1: not matched 'exec \"true\"'",
            "debug3: config line 1: matched 'localnetwork \"10.0.0.0/8\"'",
        ] {
            assert!(is_conditional(&format!("{plain}\r\n{line}")), "{line}");
        }
        assert!(is_conditional(""), "it is not ssh that tells");
    }

    #[tokio::test]
    async fn rejects_output_that_is_not_a_configuration() {
        for script in [
            "echo hello",
            "echo 'hostname h\nport 0'",
            "echo 'hostname h\nport 22'; exit 1",
            "echo 'hostname h'; yes 'port 22'",
            "printf 'hostname \\377\nport 22'",
        ] {
            let error = told(script).await.unwrap_err();
            assert!(matches!(error, SshConfigError::Unclear(_)), "{script}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_has_the_words_of_ssh_and_nothing_of_its_log() {
        let said = "echo 'OpenSSH_9.9\r\ndebug1: a\r\nPseudo-terminal will not be\r' >&2; \
                    echo 'Cannot execute command-line and remote command.\r' >&2; exit 255";
        let refused = "Cannot execute command-line and remote command.".to_owned();
        assert_eq!(told(said).await, Err(SshConfigError::Refused(vec![refused])));
        assert!(matches!(told("exit 255").await, Err(SshConfigError::Unclear(_))));
    }
}
