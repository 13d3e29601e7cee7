//! A local command as a link.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::Arc;

use tokio::process::Command;

use super::child::ChildLaunch;
use super::connect::{Attempt, Connect};
use super::error::{LinkError, printable};
use super::exit;
use super::stderr::{KeepAllLines, OnStderr};
use super::stream::BoxFuture;
use super::stream::Link;

/// Starts links over the stdin and stdout of a local command, such as `rejoin-server attach`.
///
/// The command runs in a process group of its own, so that a Ctrl-C typed in the terminal does not
/// reach it; it cannot ask a person anything.
#[derive(Clone)]
pub struct CommandConnect {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    on_stderr: Option<OnStderr>,
}

impl CommandConnect {
    /// Links over `program`, which is looked up in `PATH` unless it contains a slash.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), on_stderr: None }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable in the command's environment, which is otherwise inherited.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Calls the function with every line of the command's stderr, without control characters, on the
    /// runtime's threads. It must not block.
    pub fn on_stderr(mut self, told: impl Fn(Attempt, &str) + Send + Sync + 'static) -> Self {
        self.on_stderr = Some(Arc::new(told));
        self
    }

    fn start(&self, attempt: Attempt) -> Result<Link, LinkError> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.process_group(0);
        let on_stderr = self.on_stderr.clone();
        // The command may have started a server that must survive it.
        let owns_group = false;
        ChildLaunch {
            command,
            attempt,
            owns_group,
            on_stderr,
            filter: Box::new(KeepAllLines),
            on_open: None,
            classify: exit::command,
            name: None,
            watch: None,
            resources: None,
        }
        .start()
    }
}

impl Connect for CommandConnect {
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(async move { self.start(attempt) })
    }

    fn destination(&self) -> String {
        let words = [&self.program].into_iter().chain(&self.args).map(OsString::as_os_str);
        printable(&words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Debug for CommandConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandConnect")
            .field("program", &self.program)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}
