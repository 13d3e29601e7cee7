//! Sessions of the library that share one connection to a host.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rejoin_client::spec::{Command, ProcessSpec};
use rejoin_client::{
    ClaimFrom, Control, Event, ExitStatus, How, Input, Options, Output, Session, SessionId, Target,
    new_session_id,
};
use rejoin_ssh::{Connect, SshConnect};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc};

use super::host::Host;
use super::programs::rejoin_server;
use super::wait::until;

/// An application with one connection.
pub(crate) struct Sharing {
    runtime: Runtime,
    pub(crate) host: rejoin_client::Host,
}

impl Sharing {
    /// Over ssh, through the host's relay.
    pub(crate) fn of(host: &Host) -> Self {
        let command = format!("{} mux", rejoin_server().display());
        Self::over(SshConnect::new(host.name(), command).options(host.options()))
    }

    pub(crate) fn over(connect: impl Connect) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let host = {
            let _within = runtime.enter();
            rejoin_client::Host::new(Arc::new(connect))
        };
        Self { runtime, host }
    }

    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Starts a session that runs a line of shell, and reads what it writes.
    pub(crate) fn open(&self, line: &str) -> Talk {
        self.open_unread(line).reading()
    }

    /// The same as a session with this id.
    pub(crate) fn open_as(&self, session: SessionId, line: &str) -> Talk {
        self.start(session, line).reading()
    }

    /// The same, with its output left unread.
    pub(crate) fn open_unread(&self, line: &str) -> Talk {
        self.start(new_session_id().unwrap(), line)
    }

    fn start(&self, id: SessionId, line: &str) -> Talk {
        let _within = self.runtime.enter();
        let options = Options { may_ask: false, ..Options::default() };
        let spec = ProcessSpec::new(Command::Shell(line.into()));
        Talk::new(self.host.open(id, &spec, options).unwrap(), &self.runtime)
    }
}

impl Sharing {
    /// Takes a session over, and reads what it writes from now on.
    pub(crate) fn claim(&self, session: &str) -> Talk {
        let _within = self.runtime.enter();
        let options = Options { take_over: true, ..Options::default() };
        let id = session.parse().unwrap();
        let target = Target { expected: None, from: ClaimFrom::Latest };
        Talk::new(self.host.claim(id, target, None, options).unwrap(), &self.runtime).reading()
    }
}

/// One session, whose events and output are noted.
pub(crate) struct Talk {
    input: mpsc::UnboundedSender<Option<Bytes>>,
    pub(crate) control: Control,
    heard: Arc<Mutex<Heard>>,
    may_read: Arc<Semaphore>,
}

#[derive(Default)]
struct Heard {
    text: Vec<u8>,
    exit: Option<ExitStatus>,
    events: Vec<Event>,
    is_over: bool,
}

impl Talk {
    fn new(session: Session, runtime: &Runtime) -> Self {
        let Session { input, output, mut events, control, .. } = session;
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let may_read = Arc::new(Semaphore::new(0));
        let noted = Arc::clone(&heard);
        runtime.spawn(async move {
            while let Some(event) = events.recv().await {
                lock(&noted).events.push(event);
            }
            lock(&noted).is_over = true;
        });
        runtime.spawn(read(output, Arc::clone(&heard), Arc::clone(&may_read)));
        let (sender, lines) = mpsc::unbounded_channel();
        runtime.spawn(write(input, lines));
        Self { input: sender, control, heard, may_read }
    }

    pub(crate) fn reading(self) -> Self {
        self.may_read.add_permits(1);
        self
    }

    pub(crate) fn say(&self, text: &str) {
        self.input.send(Some(Bytes::copy_from_slice(text.as_bytes()))).unwrap();
    }

    /// How much it has written so far.
    pub(crate) fn length(&self) -> usize {
        lock(&self.heard).text.len()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.heard).text).into_owned()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        lock(&self.heard).events.clone()
    }

    pub(crate) fn count(&self, is_wanted: impl Fn(&Event) -> bool) -> usize {
        lock(&self.heard).events.iter().filter(|event| is_wanted(event)).count()
    }

    #[track_caller]
    pub(crate) fn until_event(&self, what: &str, is_wanted: impl Fn(&Event) -> bool) {
        until(what, || self.count(&is_wanted) > 0);
    }

    /// Waits until it has resumed so many times.
    #[track_caller]
    pub(crate) fn until_resumed(&self, times: usize) {
        let is_resumed = |event: &Event| matches!(event, Event::Attached { how: How::Resumed, .. });
        until("the session has resumed", || self.count(is_resumed) >= times);
    }

    #[track_caller]
    pub(crate) fn until_text(&self, text: &str) {
        until(&format!("{text:?} on the output"), || self.text().contains(text));
    }

    /// Says something, and waits for an answer.
    #[track_caller]
    pub(crate) fn ask(&self, text: &str, answer: &str) {
        self.say(text);
        self.until_text(answer);
    }

    /// The session's id.
    #[track_caller]
    pub(crate) fn session(&self) -> String {
        self.until_event("it is attached", |event| matches!(event, Event::Attached { .. }));
        let session = self.events().into_iter().find_map(|event| match event {
            Event::Attached { session, .. } => Some(session),
            _ => None,
        });
        session.unwrap()
    }

    /// Ends its input, waits for its end, and returns all that it wrote.
    #[track_caller]
    pub(crate) fn finish(self) -> (Vec<u8>, Option<ExitStatus>) {
        let _ = self.input.send(None);
        let talk = self.reading();
        until("the session is over", || lock(&talk.heard).is_over);
        let mut heard = lock(&talk.heard);
        (std::mem::take(&mut heard.text), heard.exit)
    }

    /// Ends its process.
    #[track_caller]
    pub(crate) fn close(self) {
        self.control.close();
        until("the session is closed", || lock(&self.heard).is_over);
    }
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(
    mut output: rejoin_client::Outputs,
    heard: Arc<Mutex<Heard>>,
    may_read: Arc<Semaphore>,
) {
    let _allowed = may_read.acquire().await;
    while let Some(output) = output.recv().await {
        let mut heard = lock(&heard);
        match output {
            Output::Data { data, .. } => heard.text.extend_from_slice(&data),
            Output::Gap { .. } => panic!("no session here asks for gaps"),
            Output::Exit { status, .. } => heard.exit = Some(status),
            Output::Replaced(_) => panic!("no session here asks for a fresh process"),
        }
    }
}

async fn write(mut input: Input, mut lines: mpsc::UnboundedReceiver<Option<Bytes>>) {
    while let Some(line) = lines.recv().await {
        // A session that is over is noticed by its events.
        let _ = match line {
            Some(line) => input.send(line).await,
            None => input.end().await,
        };
    }
}
