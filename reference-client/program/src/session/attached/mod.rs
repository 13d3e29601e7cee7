//! One session on this end's streams and terminal, from its start to its end.

mod absence;
mod suspension;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rejoin_client::{Control, Event, How, Session, Timeline};
use rejoin_ssh::{Attempt, DeployEvent};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use crate::ending::{Ending, FAILED};
use crate::events::EventLog;
use crate::host::deploy_progress::{Deploying, Show};
use crate::host::login_messages::LoginLines;
use crate::host::{HELD_BACK, SshMessage, SshMessages};
use crate::messages;
use crate::session::escape::{self, Request};
use crate::session::input::Heard;
use crate::session::keyboard::Keyboard;
use crate::session::preferences::{Preferences, Source};
use crate::session::signals::{Signals, Told};
use crate::session::status::Outage;
use crate::session::writer::{TerminalWriter, Trouble, WriterMessage, WriterSender};
use crate::terminal::output;
use crate::terminal::tty;
use crate::timeline;
use crate::volume::Volume;
use crate::wait::at;
use suspension::{Suspension, given_back};

/// How long leaving may take.
const LEAVING: Duration = Duration::from_secs(2);

/// Runs a session to its end.
pub(crate) async fn run(
    session: Session,
    preferences: Preferences,
    log: Option<EventLog>,
    mut ssh_messages: SshMessages,
) -> Ending {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return Ending::failed(format!("signals cannot be handled: {error}")),
    };
    let (writer, paints) = mpsc::unbounded_channel();
    let (trouble, mut troubles) = mpsc::unbounded_channel();
    let (heard_sender, mut heard) = mpsc::unbounded_channel();
    let Session { input, output, mut events, control, .. } = session;
    let terminal_writer =
        TerminalWriter::new(preferences.style, preferences.source == Source::Keys, trouble);
    let terminal_writer = tokio::spawn(terminal_writer.run(output, paints));
    let keyboard = Keyboard::new(writer.clone(), input, heard_sender);
    let mut job = AttachedSession::new(preferences, control, writer, keyboard, log);
    while !job.is_over {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => {
                    // What ssh said before it is shown before it.
                    while let Ok(said) = ssh_messages.try_recv() {
                        job.said(said);
                    }
                    job.event(&event);
                }
                None => job.is_over = true,
            },
            Some(heard) = heard.recv() => job.heard(&heard),
            Some(trouble) = troubles.recv() => job.trouble(trouble),
            Some(said) = ssh_messages.recv() => job.said(said),
            told = signals.next() => job.told(told),
            () = given_back(&mut job.suspension) => job.suspend(),
            () = at(job.due) => job.tick(),
        }
    }
    job.finish(terminal_writer, signals).await
}

struct AttachedSession {
    preferences: Preferences,
    control: Control,
    writer: WriterSender,
    keyboard: Keyboard,
    log: Option<EventLog>,
    is_away: Arc<AtomicBool>,
    outage: Option<Outage>,
    suspension: Option<Suspension>,
    /// Whether the person asked for an attempt while one ran.
    wants_retry: bool,
    /// Once it was attached.
    session: Option<String>,
    lines: LoginLines,
    /// When to look again.
    due: Option<Instant>,
    ending: Option<Ending>,
    /// How it was ended from here.
    left: Option<Ending>,
    /// Whether the process is to stay then.
    is_left_running: bool,
    leave_by: Option<Instant>,
    is_over: bool,
}

impl AttachedSession {
    fn new(
        mut preferences: Preferences,
        control: Control,
        writer: WriterSender,
        keyboard: Keyboard,
        log: Option<EventLog>,
    ) -> Self {
        let lines = std::mem::take(&mut preferences.lines);
        let due = lines.are_held().then(|| Instant::now() + HELD_BACK);
        Self {
            preferences,
            control,
            writer,
            keyboard,
            log,
            is_away: Arc::default(),
            outage: None,
            suspension: None,
            wants_retry: false,
            session: None,
            lines,
            due,
            ending: None,
            left: None,
            is_left_running: false,
            leave_by: None,
            is_over: false,
        }
    }

    fn event(&mut self, event: &Event) {
        if let Event::Timeline(timeline) = event {
            return self.timeline(timeline);
        }
        if let Some(log) = &self.log {
            log.write(event);
        }
        if self.preferences.volume == Volume::Verbose
            && let Some(words) = messages::progress(event, &self.preferences.destination)
        {
            self.say(&words);
        }
        // The first one counts: that the session is closed, too, is only the end of its end.
        if self.ending.is_none() {
            self.ending = Ending::of(event, &self.again());
        }
        if matches!(event, Event::Detached { .. } | Event::Reconnecting { .. }) {
            // What ssh said last announced this, and is its reason.
            self.lines.next_login();
        }
        match event {
            Event::Attached { session, .. } => self.attached(session),
            Event::Detached { reason } => self.detached(reason),
            Event::Reconnecting { delay_millis, reason, needs_user, .. } => {
                self.reclaim();
                let delay = Duration::from_millis(*delay_millis);
                self.outage(reason).planned(delay, reason, *needs_user);
                if std::mem::take(&mut self.wants_retry) {
                    self.retry();
                }
            }
            Event::Exited { .. } => self.release_lines(),
            Event::Notice { message } => self.noticed(message),
            Event::ForwardMissing { .. } | Event::ForwardMade(_) => self.forward_changed(event),
            // The writer reports a replaced process, behind the output of the old one.
            _ => {}
        }
    }

    /// The first connection is not a reconnect.
    fn timeline(&self, timeline: &Timeline) {
        if timeline.how != How::Resumed {
            return;
        }
        if let Some(log) = &self.log {
            log.write(&Event::Timeline(timeline.clone()));
        }
        self.say_from(Volume::Verbose, &timeline::words(timeline));
    }

    fn attached(&mut self, session: &str) {
        self.reclaim();
        self.is_away.store(false, Ordering::Relaxed);
        // In front of whatever the process writes, as with ssh.
        self.release_lines();
        self.wants_retry = false;
        let was_attached = self.session.replace(session.to_owned()).is_some();
        if !was_attached {
            self.begin();
        }
        if !was_attached && let Err(trouble) = self.keyboard.start(&self.preferences, &self.is_away)
        {
            // Output that waits for the terminal's mode is written all the same.
            self.paint(WriterMessage::Raw(false));
            self.trouble(trouble);
        }
        if let Some(background) = self.preferences.background.as_ref().filter(|_| !was_attached) {
            background.go();
        }
        let outage = self.outage.take();
        let is_disturbed = outage.as_ref().is_some_and(|outage| outage.is_disturbed);
        if let Some(outage) = outage.filter(|outage| outage.is_told) {
            self.take_back(&outage);
        }
        let is_new_here = self.preferences.attached_to.is_some() && !was_attached;
        if self.preferences.has_terminal && (is_disturbed || is_new_here) {
            // The size that it has already asks the program to draw itself anew.
            self.control.resize(tty::size());
        }
        self.due = self.leave_by;
    }

    /// The first words, and then the process's.
    fn begin(&self) {
        if let Some(what) = &self.preferences.attached_to {
            self.say_from(Volume::Unread, &format!("attached to {what}"));
        }
        if let Some(others) = self.others() {
            self.say_from(Volume::Normal, &others);
        }
        self.paint(WriterMessage::Begin);
    }

    /// What a person may have forgotten.
    fn others(&self) -> Option<String> {
        let Preferences { destination, attach, has_terminal, .. } = &self.preferences;
        match self.preferences.detached_there {
            _ if !has_terminal => None,
            0 => None,
            1 => Some(format!("1 detached session on {destination}: {attach}")),
            count => Some(format!("{count} detached sessions on {destination}: {attach}")),
        }
    }

    fn reclaim(&mut self) {
        if let Err(trouble) = self.keyboard.reclaim() {
            self.trouble(trouble);
        }
    }

    fn heard(&mut self, heard: &Heard) {
        match heard {
            Heard::Request(Request::Leave) => {
                self.keyboard.discard_rest();
                self.leave(0);
            }
            Heard::Request(Request::Retry) => self.retry(),
            Heard::Request(Request::Suspend) => self.prepare_to_suspend(),
            Heard::Request(Request::Help) => self.help(),
            Heard::Hangup => self.trouble(Trouble::Hangup),
        }
    }

    fn told(&mut self, told: Told) {
        match told {
            // As ssh -N ends.
            Told::End(15) if self.preferences.is_tunnel() => self.close_tunnel(0),
            Told::Interrupt | Told::End(_) if self.preferences.is_tunnel() => {
                self.close_tunnel(FAILED);
            }
            // It has got it, too, and ends.
            Told::Interrupt if self.keyboard.is_interrupt_of_ssh() => {}
            Told::Interrupt if self.stays_when_interrupted() => self.leave(130),
            Told::Interrupt => self.close(Ending::silent(130)),
            Told::End(number) => self.leave(number.saturating_add(128)),
            Told::Resized => self.resized(),
            Told::Continued => self.resume(),
        }
    }

    fn resized(&self) {
        if self.preferences.has_terminal {
            self.control.resize(tty::size());
        }
    }

    /// With a terminal, ^C is a key for the process; the signal comes from elsewhere.
    fn stays_when_interrupted(&self) -> bool {
        self.preferences.has_terminal && self.session.is_some()
    }

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Hangup => self.leave(128 + 1),
            // What a process gets that writes to a pipe that nobody reads.
            Trouble::BrokenPipe => self.close(Ending::silent(128 + 13)),
            Trouble::Failed(line) => self.close(Ending::failed(line)),
        }
    }

    fn leave(&mut self, code: u8) {
        self.leave_because(Ending::silent(code));
    }

    /// Leaves the process running.
    fn leave_because(&mut self, ending: Ending) {
        self.is_left_running |= self.left.is_none();
        self.left.get_or_insert(ending);
        self.paint(WriterMessage::Stop);
        self.control.detach();
        self.end_soon();
    }

    /// Ends the process, if it is this rejoin's. A second time means that nobody waits for the answer.
    fn close(&mut self, ending: Ending) {
        if self.preferences.attached_to.is_some() {
            return self.leave_because(ending);
        }
        self.is_over = self.left.is_some();
        self.left.get_or_insert(ending);
        self.control.close();
        if self.session.is_none() {
            self.end_soon();
        }
    }

    /// Whoever starts it again and again does not wait for a host that is away.
    fn close_tunnel(&mut self, code: u8) {
        self.close(Ending::silent(code));
        self.end_soon();
    }

    fn end_soon(&mut self) {
        self.leave_by.get_or_insert_with(|| Instant::now() + LEAVING);
        self.look_again();
    }

    fn said(&mut self, said: SshMessage) {
        match said {
            SshMessage::Ssh(attempt, line) => self.ssh_says(attempt, line),
            SshMessage::News(news) => self.deploys(&news),
            SshMessage::Slow => self.is_slow(),
            SshMessage::Detached(count) => self.preferences.detached_there = count,
            SshMessage::Lane(news) => self.say_from(Volume::of_news(&news), &news.to_string()),
        }
    }

    /// Before the first attach, ssh talks to its user; afterwards only a person who asked for it hears
    /// it. What announces a failure is held back, for the failure says it in one line.
    fn ssh_says(&mut self, attempt: Attempt, line: String) {
        let is_for_user = self.session.is_none() || self.keyboard.is_lent();
        if self.preferences.volume == Volume::Verbose {
            self.paint(WriterMessage::SshMessage(line));
        } else if attempt == Attempt::First
            && is_for_user
            && self.preferences.volume > Volume::Quiet
            && self.lines.hold(&line)
        {
            self.due.get_or_insert_with(|| Instant::now() + HELD_BACK);
        }
    }

    fn is_slow(&self) {
        if self.session.is_some() {
            return;
        }
        let message = messages::slow(&self.preferences.destination);
        self.say_from(Volume::Unread, &message);
        if let Some(log) = &self.log {
            log.write(&Event::Notice { message });
        }
    }

    /// Shown in its place only while there is nothing else on the screen.
    fn deploys(&self, news: &DeployEvent) {
        let Preferences { destination, volume, is_live, .. } = &self.preferences;
        let is_live = *is_live && self.session.is_none();
        match Deploying::new(destination, *volume, is_live).show(news) {
            Show::Line(line) => self.paint(WriterMessage::Line(line)),
            Show::Moving(line) => self.paint(WriterMessage::Moving(line)),
            Show::Nothing => {}
        }
    }

    fn release_lines(&mut self) {
        for line in self.lines.release() {
            self.paint(WriterMessage::SshMessage(line));
        }
    }

    fn tick(&mut self) {
        if self.leave_by.is_some_and(|by| Instant::now() >= by) {
            self.is_over = true;
        }
        self.release_lines();
        if self.left.is_none() && !self.keyboard.is_lent() {
            self.show_outage();
        }
        self.look_again();
    }

    /// Something that a person should know, and that programs find in the events.
    fn say_from(&self, volume: Volume, words: &str) {
        if self.preferences.volume >= volume {
            self.say(words);
        }
    }

    fn say(&self, words: &str) {
        self.paint(WriterMessage::Line(format!("rejoin: {words}")));
    }

    fn help(&mut self) {
        if let Some(outage) = &mut self.outage {
            outage.is_disturbed = true;
            for line in outage.report() {
                self.say(&line);
            }
        }
        for line in self.preferences.escape.map(escape::help).unwrap_or_default() {
            self.paint(WriterMessage::Line(line));
        }
    }

    fn paint(&self, paint: WriterMessage) {
        // The writer lives as long as the sender.
        let _ = self.writer.send(paint);
    }

    /// What is said where the process stays, if there is one.
    fn stays(&self) -> Option<String> {
        let is_there = self.session.is_some() || self.preferences.attached_to.is_some();
        let is_left = self.is_left_running && is_there;
        is_left.then(|| format!("the process stays; to come back: {}", self.again()))
    }

    fn again(&self) -> String {
        let session = self.session.as_deref().map(messages::short).unwrap_or_default();
        format!("{} {session}", self.preferences.attach).trim_end().to_owned()
    }

    /// Has everything written, gives the terminal back, and says how it ended.
    async fn finish(self, terminal_writer: JoinHandle<()>, signals: Signals) -> Ending {
        let stays = self.stays();
        let Self { writer, keyboard, log, ending, left, session, lines, .. } = self;
        let patience = left.as_ref().map(|_| LEAVING);
        let mut ended = match (left, ending) {
            (Some(left), None) if stays.is_some() => left.and(stays),
            (Some(left), Some(ending)) if session.is_some() && left.line.is_none() => {
                Ending { code: left.code, ..ending }
            }
            (Some(left), _) => left,
            (None, Some(ending)) => ending,
            (None, None) => Ending::failed("the session ended without a word"),
        };
        // Nobody has anything more to write: the writer ends with the output.
        drop(writer);
        let raw = keyboard.close();
        if let Err(error) = wait_for(terminal_writer, patience, signals).await {
            ended = Ending::failed(format!("output was not written: {error}"));
        }
        if raw.is_some() && ended.line.is_some() {
            // The program may have left the cursor anywhere.
            output::say("\r\n");
        }
        drop(raw);
        if let Some(log) = log {
            log.finish();
        }
        lines.said_once(ended)
    }
}

/// Waits for the writer. It may not be able to write: a signal ends the wait, and so does time where
/// nobody wants what it has.
async fn wait_for(
    mut terminal_writer: JoinHandle<()>,
    patience: Option<Duration>,
    mut signals: Signals,
) -> Result<(), JoinError> {
    let deadline = patience.map(|patience| Instant::now() + patience);
    loop {
        tokio::select! {
            ended = &mut terminal_writer => return ended,
            told = signals.next() => {
                if matches!(told, Told::Interrupt | Told::End(_)) {
                    break;
                }
            }
            () = at(deadline) => break,
        }
    }
    terminal_writer.abort();
    Ok(())
}
