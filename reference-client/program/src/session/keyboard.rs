//! Stdin on its way to the process, and the terminal's mode on the way.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rejoin_client::Input;
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::mpsc;

use crate::session::escape::Escapes;
use crate::session::input::{self, Heard, Keys};
use crate::session::preferences::{Preferences, Source};
use crate::session::stdin::{self, Pause};
use crate::session::writer::{Trouble, WriterMessage, WriterSender};
use crate::terminal::tty::RawMode;

/// Stdin, and the terminal if it is one.
pub(crate) struct Keyboard {
    writer: WriterSender,
    /// Until the process is there to read it.
    input: Option<(Input, mpsc::UnboundedSender<Heard>)>,
    raw: Option<RawMode>,
    pause: Option<Pause>,
    /// Whether ssh has the terminal, to ask for something.
    is_lent: bool,
    reclaimed: Option<Instant>,
}

/// How long a ^C that ended ssh's question may be on its way to this program.
const LATE: Duration = Duration::from_secs(1);

impl Keyboard {
    pub(crate) fn new(
        writer: WriterSender,
        input: Input,
        heard: mpsc::UnboundedSender<Heard>,
    ) -> Self {
        let input = Some((input, heard));
        Self { writer, input, raw: None, pause: None, is_lent: false, reclaimed: None }
    }

    /// Begins to read, and makes a terminal raw, the first time. Not before there is a process: until
    /// then, the terminal belongs to the ssh that may ask for a password.
    pub(crate) fn start(
        &mut self,
        preferences: &Preferences,
        is_away: &Arc<AtomicBool>,
    ) -> Result<(), Trouble> {
        let Some((input, heard)) = self.input.take() else { return Ok(()) };
        if matches!(preferences.source, Source::Nothing | Source::Forwardings) {
            tokio::spawn(input::pipe(None, input));
            return Ok(());
        }
        let started = stdin::start();
        let unread = |error| Trouble::Failed(format!("stdin cannot be read: {error}"));
        let (chunks, pause) = started.map_err(unread)?;
        self.pause = Some(pause);
        if preferences.source == Source::Pipe {
            tokio::spawn(input::pipe(Some(chunks), input));
            return Ok(());
        }
        self.make_raw()?;
        let escapes = Escapes::new(preferences.escape);
        let keys = Keys { escapes, is_away: Arc::clone(is_away), heard };
        tokio::spawn(input::keys(chunks, input, keys));
        Ok(())
    }

    /// Lets ssh ask: it finds the terminal as it expects it, and gets what is typed.
    pub(crate) fn lend(&mut self) {
        self.is_lent = true;
        self.give_back();
    }

    pub(crate) fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// Whether an interrupt was meant for the ssh that asked: of a raw terminal, there is none.
    pub(crate) fn is_interrupt_of_ssh(&self) -> bool {
        self.is_lent || self.reclaimed.is_some_and(|since| since.elapsed() < LATE)
    }

    /// Ssh has asked for what it needed, or has given up.
    pub(crate) fn reclaim(&mut self) -> Result<(), Trouble> {
        if !std::mem::take(&mut self.is_lent) {
            return Ok(());
        }
        self.reclaimed = Some(Instant::now());
        self.make_raw()
    }

    /// What was typed and not read when the terminal is given back is for nobody.
    pub(crate) fn discard_rest(&mut self) {
        if let Some(raw) = &mut self.raw {
            raw.discard_rest();
        }
    }

    /// Stops this program as a job of the shell, which continues it later. The writer has given the
    /// screen back before. Returns when the program goes on: at once, if no shell controls the job.
    pub(crate) fn suspend(&mut self) {
        self.set_paused(true);
        self.discard_rest();
        self.raw = None;
        let _ = kill_process(getpid(), Signal::TSTP);
    }

    /// After a stop, the terminal is in the mode that others left it in. Says whether it is raw again.
    pub(crate) fn resume(&mut self) -> Result<bool, Trouble> {
        if self.pause.is_none() || self.is_lent || !self.is_keys() {
            return Ok(false);
        }
        self.make_raw().map(|()| true)
    }

    fn is_keys(&self) -> bool {
        self.raw.is_some() || self.pause.as_ref().is_some_and(Pause::is_set)
    }

    fn make_raw(&mut self) -> Result<(), Trouble> {
        // First, for leaving it undoes whatever mode there is.
        self.raw = None;
        // A terminal lets itself be made raw as long as it is there.
        self.raw = Some(RawMode::enter().map_err(|_| Trouble::Hangup)?);
        self.paint(WriterMessage::Raw(true));
        self.set_paused(false);
        Ok(())
    }

    fn give_back(&mut self) {
        self.set_paused(true);
        self.paint(WriterMessage::Raw(false));
        self.raw = None;
    }

    fn set_paused(&self, is_paused: bool) {
        if let Some(pause) = &self.pause {
            pause.set(is_paused);
        }
    }

    fn paint(&self, paint: WriterMessage) {
        // The writer lives as long as the sender.
        let _ = self.writer.send(paint);
    }

    /// Nothing is read any more. The terminal stays raw until what comes back is dropped.
    pub(crate) fn close(self) -> Option<RawMode> {
        self.raw
    }
}
