//! A host that is asked something; what is said meanwhile is shown on the side.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::sync::Arc;

use rejoin_ssh::{Attempt, Connect, Ineligible, SshConfig, SshConfigError};
use tokio::time::Instant;

use crate::args::LinkOptions;
use crate::ending::Ending;
use crate::host::deploy_progress::{Deploying, Show};
use crate::host::login_messages::LoginLines;
use crate::host::{HELD_BACK, Host, SshMessage, SshMessages};
use crate::messages;
use crate::terminal::output::say;
use crate::terminal::quote::shown;
use crate::terminal::text;
use crate::terminal::tty;
use crate::volume::Volume;
use crate::wait::at;

/// A host that is asked something.
pub(crate) struct HostQuery {
    host: Host,
    ssh_messages: SshMessages,
    shown: Shown,
}

/// What is on stderr.
struct Shown {
    destination: String,
    volume: Volume,
    deploying: Deploying,
    /// Whether a line stands there that moves.
    is_moving: bool,
    /// What ssh says.
    lines: LoginLines,
    /// How many sessions on the host are detached, once it has said so.
    detached_there: u32,
}

impl HostQuery {
    /// Nothing is connected yet.
    pub(crate) fn new(link: &LinkOptions, destination: &OsStr) -> Self {
        Self::running(link, destination, &[])
    }

    /// The same for a command that the user has typed.
    pub(crate) fn running(link: &LinkOptions, destination: &OsStr, command: &[OsString]) -> Self {
        let (host, ssh_messages) = Host::new(link, destination, command);
        let volume = Volume::of(&link.ssh_options, std::io::stderr().is_terminal());
        let is_live = volume >= Volume::Normal && std::io::stderr().is_terminal();
        let deploying = Deploying::new(&destination.to_string_lossy(), volume, is_live);
        let destination = destination.to_string_lossy().into_owned();
        let lines = LoginLines::default();
        let shown =
            Shown { destination, volume, deploying, is_moving: false, lines, detached_there: 0 };
        Self { host, ssh_messages, shown }
    }

    /// Has the steps of these attempts of ssh's told to whoever makes timelines.
    pub(crate) fn followed(mut self, attempts: fn(Attempt) -> bool) -> Self {
        self.host = self.host.followed(attempts);
        self
    }

    /// Opens links on which the server program does something with these words.
    pub(crate) fn asking(&self, words: &str) -> Arc<dyn Connect> {
        self.host.asking(words)
    }

    /// Opens links for one session.
    pub(crate) fn attach(&self) -> Arc<dyn Connect> {
        self.host.attach()
    }

    /// The same for a new session. Where its user reads along, the host also says how many are detached.
    pub(crate) fn attach_and_count(&self) -> Arc<dyn Connect> {
        let is_read = self.shown.volume >= Volume::Normal;
        if is_read { self.host.attach_and_count() } else { self.host.attach() }
    }

    /// What ssh would do, as its options and its configuration say.
    pub(crate) async fn configuration(&mut self) -> Result<SshConfig, SshConfigError> {
        let told = self.host.configuration();
        self.meanwhile(told).await
    }

    /// A setting with its tokens replaced that ssh tells without.
    pub(crate) async fn expand(
        &self,
        from: &SshConfig,
        text: &str,
    ) -> Result<String, SshConfigError> {
        self.host.expand(from, text).await
    }

    /// Whether the host can be come back to over the fast lane.
    pub(crate) async fn check_fast_lane(&mut self) -> Result<(), Ineligible> {
        let checked = self.host.check_fast_lane();
        self.while_waiting(checked).await
    }

    /// From here on, another login says what was said before.
    pub(crate) fn next_login(&mut self) {
        self.shown.lines.next_login();
    }

    /// Where the messages are read from here on, and what was said until now.
    pub(crate) fn into_messages(self) -> (SshMessages, LoginLines, u32) {
        (self.ssh_messages, self.shown.lines, self.shown.detached_there)
    }

    /// Shows what ssh has said at a login that has led to an answer.
    pub(crate) fn release(&mut self) {
        self.shown.release();
    }

    /// A failure that does not quote what is to be seen already.
    pub(crate) fn said_once(&self, ending: Ending) -> Ending {
        self.shown.lines.said_once(ending)
    }

    /// Shows what is said until the work is done, which takes a login of its own.
    pub(crate) async fn while_waiting<T>(&mut self, work: impl Future<Output = T>) -> T {
        self.next_login();
        self.meanwhile(work).await
    }

    /// Shows what is said until the work is done. A login that has begun before may last longer.
    pub(crate) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let done = tokio::select! {
            done = work => done,
            never = self.shown.pass_on(&mut self.ssh_messages) => match never {},
        };
        self.shown.erase();
        done
    }
}

impl Shown {
    /// Shows what ssh says, unless it ends at once: then its failure says it all.
    async fn pass_on(&mut self, ssh_messages: &mut SshMessages) -> Infallible {
        let mut due = None;
        loop {
            tokio::select! {
                Some(said) = ssh_messages.recv() => match said {
                    SshMessage::News(news) => self.show(self.deploying.show(&news)),
                    SshMessage::Slow if self.volume > Volume::Quiet => {
                        self.show(Show::Line(format!("rejoin: {}", messages::slow(&self.destination))));
                    }
                    SshMessage::Ssh(_, line) if self.volume == Volume::Verbose => self.show(Show::Line(line)),
                    SshMessage::Lane(news) if self.volume >= Volume::of_news(&news) => {
                        self.show(Show::Line(format!("rejoin: {news}")));
                    }
                    SshMessage::Ssh(_, line) if self.volume > Volume::Quiet && self.lines.hold(&line) => {
                        due.get_or_insert_with(|| Instant::now() + HELD_BACK);
                    }
                    SshMessage::Detached(count) => self.detached_there = count,
                    SshMessage::Ssh(..) | SshMessage::Lane(_) | SshMessage::Slow => {}
                },
                () = at(due) => {
                    due = None;
                    self.release();
                }
            }
        }
    }

    fn release(&mut self) {
        for line in self.lines.release() {
            self.show(Show::Line(line));
        }
    }

    fn show(&mut self, show: Show) {
        match show {
            Show::Line(line) => {
                self.erase();
                say(format_args!("{}\n", shown(&line)));
            }
            Show::Moving(Some(line)) => {
                say(text::moving(&line, tty::size().cols));
                self.is_moving = true;
            }
            Show::Moving(None) => self.erase(),
            Show::Nothing => {}
        }
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.is_moving) {
            say(text::MOVED);
        }
    }
}
