//! A run of the program `rejoin`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::host::Host;
use super::processes::{Signal, kill};
use super::programs::rejoin;
use super::wait::{LIMIT, until, until_some};

type Change<'a> = Box<dyn FnOnce(&mut Command) + 'a>;

/// A run that is being prepared: with pipes on all three streams, and events to a file.
pub(crate) struct Plan<'a> {
    host: &'a Host,
    options: Vec<OsString>,
    subcommand: Option<&'static str>,
    program: PathBuf,
    server: Option<OsString>,
    /// Where rejoin finds programs to put on the host.
    servers: Option<&'a Path>,
    way: (Vec<OsString>, OsString),
    is_read: bool,
    change: Option<Change<'a>>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(host: &'a Host) -> Self {
        Self {
            host,
            options: Vec::new(),
            subcommand: None,
            program: rejoin().to_owned(),
            server: Some(host.server_program().into()),
            servers: None,
            way: (host.options(), host.name().into()),
            is_read: true,
            change: None,
        }
    }

    /// Adds options of rejoin's or ssh's, in front of those for the host.
    pub(crate) fn with<S: AsRef<OsStr>>(mut self, options: impl IntoIterator<Item = S>) -> Self {
        self.options.extend(options.into_iter().map(|option| option.as_ref().to_owned()));
        self
    }

    /// A subcommand, such as `attach`.
    pub(crate) fn subcommand(mut self, name: &'static str) -> Self {
        self.subcommand = Some(name);
        self
    }

    /// Another program than the `rejoin` under test.
    pub(crate) fn program(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.program);
        self
    }

    /// Goes to a host of this configuration file, in the place of the options that lead to this one.
    pub(crate) fn configured(mut self, file: &Path, name: &str) -> Self {
        self.way = (vec!["-F".into(), file.into()], name.into());
        self
    }

    /// Goes to another destination, with the same options.
    pub(crate) fn to(mut self, destination: &str) -> Self {
        self.way.1 = destination.into();
        self
    }

    /// Another server program.
    pub(crate) fn server(mut self, path: &str) -> Self {
        self.server = Some(path.into());
        self
    }

    /// No word about the server program: rejoin puts one on the host, from this folder.
    pub(crate) fn deploying(mut self, servers: &'a Path) -> Self {
        self.server = None;
        self.servers = Some(servers);
        self
    }

    /// Leaves stdout unread until [`Client::read`].
    pub(crate) fn unread(mut self) -> Self {
        self.is_read = false;
        self
    }

    /// Changes the command before it starts.
    pub(crate) fn change(mut self, change: impl FnOnce(&mut Command) + 'a) -> Self {
        self.change = Some(Box::new(change));
        self
    }

    /// Starts it, with a command for the host's shell; or, with a subcommand, what stands there.
    pub(crate) fn run(self, words: &str) -> Client {
        self.run_words([words])
    }

    /// The same with several words, or none.
    pub(crate) fn run_words<S: AsRef<OsStr>>(self, words: impl IntoIterator<Item = S>) -> Client {
        let events = self.host.file_for_run("events");
        let errors = self.host.file_for_run("stderr");
        let mut command = Command::new(self.program);
        command.args(self.subcommand).args(&self.options).args(&self.way.0);
        if let Some(server) = self.server {
            command.arg("--server").arg(server);
        }
        command.envs(self.servers.map(|folder| ("REJOIN_SERVERS", folder)));
        if !matches!(self.subcommand, Some("ls" | "kill" | "prune" | "doctor")) {
            command.arg("--events").arg(&events);
        }
        command.arg(&self.way.1).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&errors).unwrap());
        command.env("HOME", self.host.home()).env_remove("SSH_AUTH_SOCK");
        command.envs(self.host.recording_variables());
        if let Some(change) = self.change {
            change(&mut command);
        }
        let mut child = command.spawn().expect("rejoin starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut client = Client { child, stdin, stdout, out: Arc::default(), events, errors };
        if self.is_read {
            client.read();
        }
        client
    }
}

/// A client that runs. Dropping it kills it.
pub(crate) struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    out: Arc<Out>,
    events: PathBuf,
    errors: PathBuf,
}

/// What was read of its stdout.
#[derive(Default)]
struct Out {
    read: Mutex<Read>,
    more: Condvar,
}

#[derive(Default)]
struct Read {
    bytes: Vec<u8>,
    has_ended: bool,
}

impl Client {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Reads its stdout from now on.
    pub(crate) fn read(&mut self) {
        let Some(mut stdout) = self.stdout.take() else { return };
        let out = Arc::clone(&self.out);
        std::thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            loop {
                let length = stdout.read(&mut chunk).unwrap_or(0);
                let mut read = out.read.lock().unwrap_or_else(PoisonError::into_inner);
                read.bytes.extend_from_slice(&chunk[..length]);
                read.has_ended = length == 0;
                out.more.notify_all();
                if length == 0 {
                    return;
                }
            }
        });
    }

    /// Closes its stdout, unread.
    pub(crate) fn close_stdout(&mut self) {
        drop(self.stdout.take());
    }

    /// Writes to its stdin.
    #[track_caller]
    pub(crate) fn write(&mut self, text: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(text.as_ref()).expect("rejoin reads its stdin");
    }

    /// Its stdin, to be written to by somebody else.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("stdin is open")
    }

    /// Ends its stdin.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// What it has written so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&self.out.read.lock().unwrap().bytes).into_owned()
    }

    /// How much it has written so far.
    pub(crate) fn output_length(&self) -> usize {
        self.out.read.lock().unwrap().bytes.len()
    }

    /// Waits until it has written so many whole lines, and returns the last of them.
    #[track_caller]
    pub(crate) fn line(&self, number: usize) -> String {
        until_some(&format!("line {number} on stdout"), || {
            let output = self.output();
            let line = output.split_inclusive('\n').nth(number - 1)?;
            line.ends_with('\n').then(|| line.trim_end().to_owned())
        })
    }

    /// The same, as a number.
    #[track_caller]
    pub(crate) fn number(&self, line: usize) -> i32 {
        let line = self.line(line);
        line.parse().unwrap_or_else(|_| panic!("no number: {line}"))
    }

    /// Waits until it has written so many bytes.
    #[track_caller]
    pub(crate) fn until_written(&self, length: usize) {
        until(&format!("{length} bytes on stdout"), || self.output_length() >= length);
    }

    /// The events so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.events).unwrap_or_default();
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The events of a kind so far.
    pub(crate) fn events_named(&self, name: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["event"] == name).collect()
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.events_named(name).len()
    }

    /// Waits for the first event of a kind.
    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Value {
        self.nth_event(name, 1)
    }

    /// Waits for an event of a kind to happen a number of times.
    #[track_caller]
    pub(crate) fn nth_event(&self, name: &str, number: usize) -> Value {
        until_some(&format!("event {name} number {number}"), || {
            self.events_named(name).into_iter().nth(number - 1)
        })
    }

    /// The names of all events so far, in order.
    pub(crate) fn story(&self) -> Vec<String> {
        let name = |event: &Value| event["event"].as_str().unwrap_or_default().to_owned();
        self.events().iter().map(name).collect()
    }

    /// The session's id.
    #[track_caller]
    pub(crate) fn session(&self) -> String {
        self.event("attached")["session"].as_str().unwrap().to_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.errors).unwrap_or_default()).into_owned()
    }

    /// Waits for its end, and returns its exit status: 128 + n after signal n.
    #[track_caller]
    pub(crate) fn status(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        let status = until_some("rejoin ends", || self.child.try_wait().unwrap());
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
    }

    /// Waits for its end, and returns its exit status and all of its output. Input ends now.
    #[track_caller]
    pub(crate) fn finish(&mut self) -> (i32, Vec<u8>) {
        self.finish_within(LIMIT)
    }

    /// The same for a run that takes longer.
    #[track_caller]
    pub(crate) fn finish_within(&mut self, limit: Duration) -> (i32, Vec<u8>) {
        self.end_input();
        self.read();
        let deadline = Instant::now() + limit;
        let mut read = self.out.read.lock().unwrap();
        while !read.has_ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "rejoin has not ended within {limit:?}");
            read = self.out.more.wait_timeout(read, left).unwrap().0;
        }
        let output = std::mem::take(&mut read.bytes);
        drop(read);
        (self.status(), output)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
