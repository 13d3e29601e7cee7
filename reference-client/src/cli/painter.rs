//! Everything that is written to this end's stdout and stderr, by one task and in one order: what the
//! process writes, the status line, and rejoin's own words.

use std::io;

use bytes::Bytes;
use rejoin_client::{Output, Outputs, Replaced, Stream};
use tokio::sync::mpsc;

use super::output::Sink;
use super::quote::shown;
use super::screen::Screen;
use super::setting::Volume;
use super::status::{self, Place};
use super::{terminal, words};

/// What else is to be written.
#[derive(Debug)]
pub(crate) enum Paint {
    /// The status line, or none.
    Status(Option<String>),
    /// A line on stderr that the next one takes the place of, or none.
    Moving(Option<String>),
    /// A line of rejoin's own, or of the ssh that carries the link. It may quote a peer: the painter makes
    /// it printable.
    Line(String),
    /// No more output: what is not written stays on its host.
    Stop,
    /// From here on lines end as in raw mode, or not.
    Raw(bool),
}

/// The sender's side. Dropping it ends the painter, once all output is written.
pub(crate) type Brush = mpsc::UnboundedSender<Paint>;

/// How the streams are written to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Whether the process has a terminal, and stdout is one.
    pub(crate) is_screen: bool,
    /// Whether a status line can be drawn on it.
    pub(crate) has_status: bool,
    /// Whether it may be in reverse video.
    pub(crate) has_color: bool,
    /// How much is said.
    pub(crate) volume: Volume,
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

pub(crate) struct Painter {
    style: Style,
    stdout: Sink,
    stderr: Sink,
    screen: Screen,
    /// Where the status line stands.
    drawn: Option<Place>,
    /// Whether a line that moves stands on stderr.
    is_moving: bool,
    lines: Lines,
    trouble: mpsc::UnboundedSender<Trouble>,
    is_stopped: bool,
}

impl Painter {
    pub(crate) fn new(style: Style, trouble: mpsc::UnboundedSender<Trouble>) -> Self {
        let screen = Screen::default();
        Self {
            style,
            stdout: Sink::new(Stream::Stdout),
            stderr: Sink::new(Stream::Stderr),
            screen,
            drawn: None,
            is_moving: false,
            lines: Lines::Cooked,
            trouble,
            is_stopped: false,
        }
    }

    /// Writes until there is no more output and nobody has anything else to write. The terminal is left
    /// as a shell expects it.
    ///
    /// Output that could not be written is not acknowledged: `outputs` is kept, but not asked.
    pub(crate) async fn run(
        mut self,
        mut outputs: Outputs,
        mut paints: mpsc::UnboundedReceiver<Paint>,
    ) {
        let (mut has_output, mut has_paints) = (true, true);
        while (has_output && !self.is_stopped) || has_paints {
            tokio::select! {
                biased;
                paint = paints.recv(), if has_paints => match paint {
                    Some(paint) => self.paint(paint).await,
                    None => has_paints = false,
                },
                // What is asked for here acknowledges what was written the time before.
                output = outputs.recv(), if has_output && !self.is_stopped => match output {
                    Some(output) => self.output(output).await,
                    None => has_output = false,
                },
            }
        }
        self.undo().await;
    }

    async fn output(&mut self, output: Output) {
        match output {
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
        self.undo().await;
        if self.style.volume >= Volume::Unread {
            let words = words::replaced(reason, *unacked_input_bytes);
            self.line(&format!("rejoin: {words}")).await;
        }
    }

    async fn data(&mut self, stream: Stream, data: Bytes) {
        self.erase().await;
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

    async fn paint(&mut self, paint: Paint) {
        match paint {
            Paint::Status(Some(line)) => self.status(&line).await,
            Paint::Status(None) | Paint::Moving(None) => self.erase().await,
            Paint::Moving(Some(line)) => {
                self.is_moving = true;
                let line = status::moving(&line, terminal::size().cols);
                let _ = self.stderr.write_all(line.into()).await;
            }
            Paint::Line(line) => self.line(&line).await,
            Paint::Stop => self.is_stopped = true,
            Paint::Raw(true) => self.lines = Lines::Raw { is_at_start: false },
            Paint::Raw(false) => self.lines = Lines::Cooked,
        }
    }

    async fn status(&mut self, line: &str) {
        if !self.style.has_status || !self.screen.can_draw() {
            return;
        }
        let size = terminal::size();
        let place =
            if self.screen.is_alternate() { Place::LastOf(size.rows) } else { Place::Below };
        let has_color = self.style.has_color;
        let bytes = if self.drawn == Some(place) {
            status::redraw(place, line, size.cols, has_color)
        } else {
            self.erase().await;
            status::draw(place, line, size.cols, has_color)
        };
        self.drawn = Some(place);
        self.draw(bytes.into()).await;
    }

    async fn erase(&mut self) {
        if let Some(place) = self.drawn.take() {
            self.draw(status::erase(place).into()).await;
        }
        if std::mem::take(&mut self.is_moving) {
            let _ = self.stderr.write_all(status::MOVED.into()).await;
        }
    }

    async fn undo(&mut self) {
        self.erase().await;
        let undoing = self.screen.undo();
        if !undoing.is_empty() {
            self.left_cursor(false);
        }
        self.draw(undoing.into()).await;
    }

    fn left_cursor(&mut self, is_at_start: bool) {
        if let Lines::Raw { .. } = self.lines {
            self.lines = Lines::Raw { is_at_start };
        }
    }

    /// A line of its own on stderr.
    async fn line(&mut self, line: &str) {
        self.erase().await;
        let line = shown(line);
        let line = match self.lines {
            Lines::Cooked => format!("{line}\n"),
            Lines::Raw { is_at_start: true } => format!("{line}\r\n"),
            Lines::Raw { is_at_start: false } => format!("\r\n{line}\r\n"),
        };
        self.left_cursor(true);
        let _ = self.stderr.write_all(line.into()).await;
    }

    /// What is only for the eye has no one to tell when it fails.
    async fn draw(&mut self, bytes: Bytes) {
        if !bytes.is_empty() && self.style.is_screen {
            let _ = self.stdout.write_all(bytes).await;
        }
    }
}
