//! Everything that is written to this end's stdout and stderr, by one task and in one order: what the
//! process writes, the window's title, and rejoin's own words.

use std::io;

use bytes::Bytes;
use rejoin_client::{Output, Outputs, Replaced, Stream};
use tokio::sync::{mpsc, oneshot};

use crate::messages;
use crate::session::repeated_messages::RepeatedMessages;
use crate::terminal::output::Sink;
use crate::terminal::quote::shown;
use crate::terminal::screen::Screen;
use crate::terminal::text;
use crate::terminal::tty;
use crate::volume::Volume;

/// What else is to be written.
#[derive(Debug)]
pub(crate) enum WriterMessage {
    /// What the window's title says, or what it said before.
    Title(Option<String>),
    /// A line on stderr that the next one takes the place of, or none.
    Moving(Option<String>),
    /// A line of rejoin's own, or of the ssh that carries the link. It may quote a peer: the writer makes
    /// it printable.
    Line(String),
    /// A line that ssh, or the host's login shell, has said.
    SshMessage(String),
    /// Output is written from here on, and not before: it comes by another way than what is painted.
    Begin,
    /// No more output: what is not written stays on its host.
    Stop,
    /// The terminal is the process's, or somebody else's for a while: then it is as a shell expects it,
    /// and output waits.
    Raw(bool),
    /// As `Raw(false)`, with a line. Once that is done, whoever listens is told.
    Suspend(String, oneshot::Sender<()>),
}

/// The sender's side. Dropping it ends the writer, once all output is written.
pub(crate) type WriterSender = mpsc::UnboundedSender<WriterMessage>;

/// How the streams are written to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Whether the process has a terminal, and stdout is one.
    pub(crate) is_screen: bool,
    /// How an outage shows.
    pub(crate) outages: Outages,
    /// How much is said.
    pub(crate) volume: Volume,
    /// The process's stream on which it may say again what its host has said at the login, if any.
    pub(crate) repeating: Option<Stream>,
}

/// How an outage shows. On a screen, nobody but the program knows where a line may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outages {
    /// In the title of the screen's window.
    Title,
    /// The screen has none: only where a person asks.
    OnRequest,
    /// As lines on stderr.
    Lines,
}

/// What the main task has to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The terminal is gone. The signal that says so may still be on its way.
    Hangup,
    /// Nobody reads stdout any more.
    BrokenPipe,
    /// Something else: a disk is full.
    Failed(String),
}

/// What it takes to write a line of one's own.
#[derive(Clone, Copy, Debug)]
enum Lines {
    /// The terminal does what it takes.
    Cooked,
    /// Nothing else brings the cursor to a line's start, where what was written last may have left it.
    Raw { is_at_start: bool },
}

/// Who has the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Process,
    /// For a while: a shell, or an ssh that asks.
    Other,
}

pub(crate) struct TerminalWriter {
    style: Style,
    stdout: Sink,
    stderr: Sink,
    screen: Screen,
    /// Whether a line that moves stands on stderr.
    is_moving: bool,
    lines: Lines,
    trouble: mpsc::UnboundedSender<Trouble>,
    has_begun: bool,
    is_stopped: bool,
    holder: Holder,
    repeats: RepeatedMessages,
}

impl TerminalWriter {
    /// With `awaits_mode`, output waits for the first [`WriterMessage::Raw`]: what ssh said until then comes
    /// before it, and a terminal that is not raw yet would change it.
    pub(crate) fn new(
        style: Style,
        awaits_mode: bool,
        trouble: mpsc::UnboundedSender<Trouble>,
    ) -> Self {
        let screen = Screen::default();
        Self {
            style,
            stdout: Sink::new(Stream::Stdout),
            stderr: Sink::new(Stream::Stderr),
            screen,
            is_moving: false,
            lines: Lines::Cooked,
            trouble,
            has_begun: false,
            is_stopped: false,
            holder: if awaits_mode { Holder::Other } else { Holder::Process },
            repeats: RepeatedMessages::default(),
        }
    }

    /// Writes until there is no more output and nobody has anything else to write. The terminal is left
    /// as a shell expects it.
    ///
    /// Output that could not be written is not acknowledged: `outputs` is kept, but not asked.
    pub(crate) async fn run(
        mut self,
        mut outputs: Outputs,
        mut paints: mpsc::UnboundedReceiver<WriterMessage>,
    ) {
        let (mut has_output, mut has_paints) = (true, true);
        while (has_output && !self.is_stopped) || has_paints {
            // If nobody is left to take it back, the terminal stays lent.
            let takes_output = has_output
                && self.can_write(has_paints)
                && !(self.holder == Holder::Other && has_paints);
            tokio::select! {
                biased;
                paint = paints.recv(), if has_paints => match paint {
                    Some(paint) => self.paint(paint).await,
                    None => has_paints = false,
                },
                // What is asked for here acknowledges what was written the time before.
                output = outputs.recv(), if takes_output => match output {
                    Some(output) => self.output(output).await,
                    None => has_output = false,
                },
            }
        }
        self.undo().await;
    }

    /// Whether output is written now. Where nobody paints any more, nobody is going to begin.
    fn can_write(&self, has_paints: bool) -> bool {
        !self.is_stopped && (self.has_begun || !has_paints)
    }

    async fn output(&mut self, output: Output) {
        match output {
            Output::Data { stream, data, .. } if self.style.repeating == Some(stream) => {
                let data = self.repeats.new_part(data);
                if !data.is_empty() {
                    self.data(stream, data).await;
                }
            }
            Output::Data { stream, data, .. } => self.data(stream, data).await,
            Output::Gap { from, next, .. } => {
                let items = next.0.saturating_sub(from.0);
                self.line(&format!("rejoin: output was dropped here: {items} pieces")).await;
            }
            Output::Exit { .. } => {}
            Output::Replaced(replaced) => self.replaced(&replaced).await,
        }
    }

    /// Everything of the old program is written, and nothing of the fresh one.
    async fn replaced(&mut self, Replaced { reason, unacked_input_bytes, .. }: &Replaced) {
        self.repeats = RepeatedMessages::default();
        self.undo().await;
        if self.style.volume >= Volume::Unread {
            let words = messages::replaced(reason, *unacked_input_bytes);
            self.line(&format!("rejoin: {words}")).await;
        }
    }

    async fn data(&mut self, stream: Stream, data: Bytes) {
        self.erase().await;
        self.take_title_back().await;
        if self.style.is_screen {
            self.screen.pass(&data);
        }
        self.left_cursor(data.ends_with(b"\r\n"));
        let sink = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let written = sink.write_all(data).await;
        if let (Stream::Stdout, Err(error)) = (stream, written) {
            self.broken(&error);
        }
    }

    fn broken(&mut self, error: &io::Error) {
        self.is_stopped = true;
        let trouble = match error.kind() {
            io::ErrorKind::BrokenPipe => Trouble::BrokenPipe,
            _ if self.stdout.was_terminal() => Trouble::Hangup,
            _ => Trouble::Failed(format!("stdout cannot be written: {error}")),
        };
        // The main task listens for as long as there is output.
        let _ = self.trouble.send(trouble);
    }

    async fn paint(&mut self, paint: WriterMessage) {
        match paint {
            WriterMessage::Title(Some(title)) => self.title(&title).await,
            WriterMessage::Title(None) => self.take_title_back().await,
            WriterMessage::Moving(None) => self.erase().await,
            WriterMessage::Moving(Some(line)) => {
                self.is_moving = true;
                let line = text::moving(&line, tty::size().cols);
                let _ = self.stderr.write_all(line.into()).await;
            }
            WriterMessage::Line(line) => self.line(&line).await,
            WriterMessage::SshMessage(line) => {
                if !self.has_begun {
                    self.repeats.add(&line);
                }
                self.line(&line).await;
            }
            WriterMessage::Begin => self.has_begun = true,
            WriterMessage::Stop => self.is_stopped = true,
            WriterMessage::Raw(true) => {
                self.lines = Lines::Raw { is_at_start: false };
                self.reclaim().await;
            }
            WriterMessage::Raw(false) => {
                self.lend().await;
                self.lines = Lines::Cooked;
            }
            WriterMessage::Suspend(line, done) => {
                self.lend().await;
                self.line(&line).await;
                // Whoever does not wait any more does not need to know.
                let _ = done.send(());
            }
        }
    }

    /// Not into what the program has begun to write.
    async fn title(&mut self, title: &str) {
        if self.style.outages != Outages::Title || !self.screen.is_between_sequences() {
            return;
        }
        let bytes = self.screen.put_title(title);
        self.draw(bytes.into()).await;
    }

    async fn take_title_back(&mut self) {
        let bytes = self.screen.take_title_back();
        self.draw(bytes.into()).await;
    }

    /// Takes a line away that moves.
    async fn erase(&mut self) {
        if std::mem::take(&mut self.is_moving) {
            let _ = self.stderr.write_all(text::MOVED.into()).await;
        }
    }

    /// The process is gone, or left.
    async fn undo(&mut self) {
        self.lend().await;
        self.holder = Holder::Process;
        self.screen = Screen::default();
    }

    /// Somebody else gets the terminal as a shell expects it.
    async fn lend(&mut self) {
        self.erase().await;
        self.take_title_back().await;
        if std::mem::replace(&mut self.holder, Holder::Other) == Holder::Process {
            let undoing = self.screen.undo();
            if !undoing.is_empty() {
                self.left_cursor(false);
            }
            self.draw(undoing.into()).await;
        }
    }

    /// The process gets the terminal as it expects it.
    async fn reclaim(&mut self) {
        if std::mem::replace(&mut self.holder, Holder::Process) == Holder::Other {
            self.draw(self.screen.redo().into()).await;
        }
    }

    fn left_cursor(&mut self, is_at_start: bool) {
        if let Lines::Raw { .. } = self.lines {
            self.lines = Lines::Raw { is_at_start };
        }
    }

    /// A line of its own on stderr. On a terminal, a line feed alone may not lead to a line's start: the
    /// terminal can be raw before the writer knows.
    async fn line(&mut self, line: &str) {
        self.erase().await;
        let is_terminal = self.stderr.was_terminal();
        let end = if is_terminal { "\r\n" } else { "\n" };
        let start = match self.lines {
            Lines::Raw { is_at_start: false } if is_terminal => end,
            _ => "",
        };
        let (before, behind) = if is_terminal && self.holder == Holder::Process {
            self.screen.around_plain_text()
        } else {
            Default::default()
        };
        self.left_cursor(true);
        let text = format!("{before}{start}{}{end}", shown(line)).into_bytes();
        let _ = self.stderr.write_all([text, behind].concat().into()).await;
    }

    /// What is only for the eye has no one to tell when it fails.
    async fn draw(&mut self, bytes: Bytes) {
        if !bytes.is_empty() && self.style.is_screen {
            let _ = self.stdout.write_all(bytes).await;
        }
    }
}
