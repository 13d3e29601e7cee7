//! One session on this end's streams and terminal, from its start to its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rejoin_client::{Control, Event, Input, Session};
use rejoin_ssh::Attempt;
use rustix::process::{Signal as RawSignal, getpid, kill_process};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::escape::{Escapes, HELP, Request};
use super::events::EventLog;
use super::input::{self, Heard, Keys};
use super::painter::{Brush, Paint, Painter, Style, Trouble};
use super::signals::{Signals, Told};
use super::status::{self, Outage};
use super::stdin::{self, Pause};
use super::terminal::{self, RawMode};
use super::words::{self, Ending};

/// How long leaving may take.
const LEAVING: Duration = Duration::from_secs(2);
/// How long ssh's words wait for the failure that they announce, which then says it all.
const HELD_BACK: Duration = Duration::from_millis(700);
/// Without a terminal to draw on, an outage is worth a line of its own only after a while.
const PLAIN: Duration = Duration::from_secs(2);

/// What does not change.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) destination: String,
    /// What to type to come back; the session's id follows.
    pub(crate) attach: String,
    /// Whether the process has a terminal, and stdin is one.
    pub(crate) has_keys: bool,
    /// Whether the process has a terminal.
    pub(crate) has_terminal: bool,
    /// Whether stderr is one.
    pub(crate) has_reader: bool,
    pub(crate) is_stdin_null: bool,
    pub(crate) is_quiet: bool,
    pub(crate) is_verbose: bool,
    pub(crate) escape: Option<u8>,
    pub(crate) style: Style,
}

/// What ssh says.
pub(crate) type SshLines = mpsc::UnboundedReceiver<(Attempt, String)>;

/// Runs a session to its end.
pub(crate) async fn run(
    session: Session,
    setting: Setting,
    log: Option<EventLog>,
    mut lines: SshLines,
) -> Ending {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return Ending::failed(format!("signals cannot be handled: {error}")),
    };
    let (brush, paints) = mpsc::unbounded_channel();
    let (trouble, mut troubles) = mpsc::unbounded_channel();
    let (heard_sender, mut heard) = mpsc::unbounded_channel();
    let Session { input, output, mut events, control } = session;
    let painter = Painter::new(setting.style, trouble).run(output, paints);
    let painter = tokio::spawn(painter);
    let mut job = Job::new(setting, control, brush, log, (input, heard_sender));
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => job.event(&event),
                None => break,
            },
            Some(heard) = heard.recv() => job.heard(heard),
            Some(trouble) = troubles.recv() => job.trouble(trouble),
            Some((attempt, line)) = lines.recv() => job.ssh_says(attempt, line),
            told = signals.next() => job.told(told),
            () = tokio::time::sleep_until(job.due.unwrap_or_else(far)), if job.due.is_some() => {
                job.tick();
            }
        }
        if job.is_over {
            break;
        }
    }
    job.finish(painter).await
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

struct Job {
    setting: Setting,
    control: Control,
    brush: Brush,
    log: Option<EventLog>,
    /// Until the process is there to read it.
    input: Option<(Input, mpsc::UnboundedSender<Heard>)>,
    raw: Option<RawMode>,
    pause: Option<Pause>,
    is_away: Arc<AtomicBool>,
    outage: Option<Outage>,
    /// Whether the outage was told.
    is_told: bool,
    /// Whether ssh has the terminal, to ask for something.
    is_asking: bool,
    was_attached: bool,
    session: Option<String>,
    held_back: Vec<String>,
    /// When to look again.
    due: Option<Instant>,
    ending: Option<Ending>,
    /// How the user ended it.
    left: Option<Ending>,
    leave_by: Option<Instant>,
    is_over: bool,
}

impl Job {
    fn new(
        setting: Setting,
        control: Control,
        brush: Brush,
        log: Option<EventLog>,
        input: (Input, mpsc::UnboundedSender<Heard>),
    ) -> Self {
        Self {
            setting,
            control,
            brush,
            log,
            input: Some(input),
            raw: None,
            pause: None,
            is_away: Arc::default(),
            outage: None,
            is_told: false,
            is_asking: false,
            was_attached: false,
            session: None,
            held_back: Vec::new(),
            due: None,
            ending: None,
            left: None,
            leave_by: None,
            is_over: false,
        }
    }

    fn event(&mut self, event: &Event) {
        if let Some(log) = &self.log {
            log.write(event);
        }
        if let Some(words) = words::progress(event, &self.setting.destination)
            && self.setting.is_verbose
        {
            self.say(&words);
        }
        if let Some(ending) = Ending::of(event, &self.again()) {
            self.ending = Some(ending);
        }
        match event {
            Event::Attached { session, .. } => self.attached(session),
            Event::Detached { reason } => self.detached(reason),
            Event::Reconnecting { delay_millis, reason, .. } => {
                self.asked_for_nothing_more();
                self.outage(reason).planned(Duration::from_millis(*delay_millis), reason);
            }
            Event::Notice { message } => self.outage(message).advised(message),
            Event::Replaced { reason, unacked_input_bytes, .. } => {
                self.paint(Paint::Undo);
                self.notice(&words::replaced(reason, *unacked_input_bytes));
            }
            _ => {}
        }
    }

    fn attached(&mut self, session: &str) {
        self.session = Some(session.to_owned());
        self.asked_for_nothing_more();
        for line in std::mem::take(&mut self.held_back) {
            self.paint(Paint::Line(line));
        }
        let outage = self.outage.take();
        self.is_away.store(false, Ordering::Relaxed);
        if !std::mem::replace(&mut self.was_attached, true) {
            self.start_input();
        }
        let is_told = std::mem::take(&mut self.is_told);
        if self.setting.has_terminal && is_told {
            self.paint(Paint::Status(None));
            // The size that it has already asks the program to draw itself anew.
            self.control.resize(terminal::size());
        } else if let Some(outage) = outage.filter(|_| is_told) {
            self.notice(&format!("connected again after {}", status::round(outage.length())));
        }
        self.due = None;
    }

    fn detached(&mut self, reason: &str) {
        self.outage = Some(Outage::new(&self.setting.destination, reason));
        self.is_away.store(true, Ordering::Relaxed);
        self.look_again();
    }

    /// The outage that there is, or one from now on: also before the first attach, a host may not answer.
    fn outage(&mut self, why: &str) -> &mut Outage {
        if self.outage.is_none() {
            self.due.get_or_insert_with(|| Instant::now() + PLAIN);
        }
        self.outage.get_or_insert_with(|| Outage::new(&self.setting.destination, why))
    }

    /// Keys are read, and the terminal is raw, only once there is a process for them: until then, it
    /// belongs to the ssh that may ask for a password.
    fn start_input(&mut self) {
        let Some((input, heard)) = self.input.take() else { return };
        if self.setting.is_stdin_null {
            tokio::spawn(input::pipe(None, input));
            return;
        }
        let (chunks, pause) = match stdin::start() {
            Ok(started) => started,
            Err(error) => return self.fail(format!("stdin cannot be read: {error}")),
        };
        self.pause = Some(pause);
        if !self.setting.has_keys {
            tokio::spawn(input::pipe(Some(chunks), input));
            return;
        }
        self.enter_raw_mode();
        let escapes = Escapes::new(self.setting.escape);
        let keys = Keys { escapes, is_away: Arc::clone(&self.is_away), heard };
        tokio::spawn(input::keys(chunks, input, keys));
    }

    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Request(Request::Leave) => self.leave(0),
            Heard::Request(Request::Retry) => self.retry(),
            Heard::Request(Request::Suspend) => self.suspend(),
            Heard::Request(Request::Help) => self.paint(Paint::Line(HELP.join("\r\n"))),
            Heard::Hangup => self.leave(129),
        }
    }

    /// Reconnects now. If the last attempt failed for want of a person, ssh may ask this one: it gets
    /// the terminal as ssh expects it, and the keys.
    fn retry(&mut self) {
        let needs_user = self.outage.as_ref().is_some_and(Outage::needs_user);
        if needs_user {
            self.is_asking = true;
            self.paint(Paint::Status(None));
            self.paint(Paint::Line("rejoin: connecting; ^C to stop".to_owned()));
            self.leave_raw_mode();
        }
        self.control.retry_now(needs_user);
    }

    fn asked_for_nothing_more(&mut self) {
        if std::mem::take(&mut self.is_asking) {
            self.enter_raw_mode();
        }
    }

    fn suspend(&mut self) {
        self.leave_raw_mode();
        // Ends in Told::Continued, once the shell has it continue.
        let _ = kill_process(getpid(), RawSignal::TSTP);
    }

    fn told(&mut self, told: Told) {
        match told {
            // The ssh that asks has got it, too, and ends.
            Told::Interrupt if self.is_asking => {}
            Told::Interrupt if self.setting.has_terminal && self.was_attached => self.leave(130),
            Told::Interrupt => self.close(Ending::silent(130)),
            Told::End(number) => self.leave(number.saturating_add(128)),
            Told::Resized if self.setting.has_terminal => self.control.resize(terminal::size()),
            Told::Resized => {}
            Told::Continued if self.setting.has_keys && self.was_attached && !self.is_asking => {
                self.enter_raw_mode();
                self.control.resize(terminal::size());
            }
            Told::Continued => {}
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            // What a process gets that writes to a pipe that nobody reads.
            Trouble::BrokenPipe => self.close(Ending::silent(128 + 13)),
            Trouble::Failed(error) => self.fail(format!("stdout cannot be written: {error}")),
        }
    }

    fn fail(&mut self, line: String) {
        self.close(Ending::failed(line));
    }

    /// Leaves the process running.
    fn leave(&mut self, code: u8) {
        let ending = match (&self.session, self.was_attached) {
            (Some(_), true) => {
                Ending::told(code, format!("the process stays: {} comes back", self.again()))
            }
            _ => Ending::silent(code),
        };
        self.left.get_or_insert(ending);
        self.paint(Paint::Stop);
        self.control.detach();
        self.end_by(LEAVING);
    }

    /// Ends the process. A second time means that nobody waits for the answer.
    fn close(&mut self, ending: Ending) {
        self.is_over = self.left.is_some();
        self.left.get_or_insert(ending);
        self.control.close();
        if !self.was_attached {
            self.end_by(LEAVING);
        }
    }

    fn end_by(&mut self, wait: Duration) {
        let by = *self.leave_by.get_or_insert_with(|| Instant::now() + wait);
        self.due = Some(self.due.map_or(by, |due| due.min(by)));
    }

    /// Before the first attach, ssh talks to its user; afterwards only a person who asked for it hears
    /// it. What announces a failure is held back, for the failure says it in one line.
    fn ssh_says(&mut self, attempt: Attempt, line: String) {
        if self.setting.is_verbose {
            self.paint(Paint::Line(line));
        } else if attempt == Attempt::First && !self.setting.is_quiet {
            self.held_back.push(line);
            self.due.get_or_insert_with(|| Instant::now() + HELD_BACK);
        }
    }

    fn tick(&mut self) {
        self.due = None;
        if self.leave_by.is_some_and(|by| Instant::now() >= by) {
            self.is_over = true;
        }
        for line in std::mem::take(&mut self.held_back) {
            self.paint(Paint::Line(line));
        }
        if self.left.is_none() && !self.is_asking {
            self.show_outage();
        }
        self.look_again();
    }

    fn show_outage(&mut self) {
        let Some(outage) = &self.outage else { return };
        if self.setting.style.has_status && self.was_attached {
            if outage.worth_a_word() <= std::time::Instant::now() {
                let line = outage.line(self.setting.escape);
                self.is_told = true;
                self.paint(Paint::Status(Some(line)));
            }
        } else if !self.is_told && outage.length() >= PLAIN {
            let words = outage.plain();
            self.is_told = true;
            self.notice(&words);
        }
    }

    /// Every second of an outage, and when leaving has taken long enough.
    fn look_again(&mut self) {
        let second = if self.is_told { Duration::from_secs(1) } else { status::QUIET };
        let next = self.outage.as_ref().map(|_| Instant::now() + second);
        self.due = [next, self.leave_by].into_iter().flatten().min();
    }

    fn enter_raw_mode(&mut self) {
        match RawMode::enter() {
            Ok(raw) => self.raw = Some(raw),
            Err(error) => return self.fail(format!("the terminal cannot be made raw: {error}")),
        }
        self.paint(Paint::Raw(true));
        self.set_paused(false);
    }

    fn leave_raw_mode(&mut self) {
        self.set_paused(true);
        self.paint(Paint::Raw(false));
        self.raw = None;
    }

    fn set_paused(&self, is_paused: bool) {
        if let Some(pause) = &self.pause {
            pause.set(is_paused);
        }
    }

    /// Something that a person should know, and that programs find in the events.
    fn notice(&self, words: &str) {
        let has_reader = self.setting.has_reader || self.setting.is_verbose;
        if has_reader && !self.setting.is_quiet {
            self.say(words);
        }
    }

    fn say(&self, words: &str) {
        self.paint(Paint::Line(format!("rejoin: {words}")));
    }

    fn paint(&self, paint: Paint) {
        // The painter lives as long as the brush.
        let _ = self.brush.send(paint);
    }

    fn again(&self) -> String {
        let session = self.session.as_deref().map(words::short).unwrap_or_default();
        format!("{} {session}", self.setting.attach).trim_end().to_owned()
    }

    /// Has everything written, gives the terminal back, and says how it ended.
    async fn finish(self, painter: JoinHandle<()>) -> Ending {
        let Self { brush, raw, log, ending, left, is_over, .. } = self;
        let has_written = wait_for(painter, brush, left.is_some() || is_over).await;
        let was_raw = raw.is_some();
        drop(raw);
        if let Some(log) = log {
            log.finish();
        }
        if was_raw && left.is_some() {
            // The program may have left the cursor anywhere.
            let _ = io::Write::write_all(&mut io::stderr(), b"\n");
        }
        match (left, ending, has_written) {
            (_, _, Err(error)) => Ending::failed(format!("output was not written: {error}")),
            (Some(left), ..) => left,
            (None, Some(ending), _) => ending,
            (None, None, _) => Ending::failed("the session ended without a word"),
        }
    }
}

/// Waits for the painter; for one that cannot write and has nobody who wants it to, only for a while.
async fn wait_for(
    mut painter: JoinHandle<()>,
    brush: Brush,
    is_left: bool,
) -> Result<(), tokio::task::JoinError> {
    drop(brush);
    if !is_left {
        return painter.await;
    }
    match tokio::time::timeout(LEAVING, &mut painter).await {
        Ok(painted) => painted,
        Err(_) => {
            painter.abort();
            Ok(())
        }
    }
}
