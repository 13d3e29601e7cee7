//! What can happen: the alphabet of the world.

use std::fmt;
use std::str::FromStr;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident $(($number:ident))? => $text:literal;)*) => {
        /// One thing that happens. Numbers name parties, links, programs, servers and hosts.
        ///
        /// It is written and read as `Name` or `Name N`, which is how runs are kept in files; its
        /// [`fmt::Display`] is for people.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Action {
            $($(#[$doc])* $name $(($number))?,)*
        }

        impl Action {
            /// As it stands in files.
            pub fn word(self) -> String {
                match self {
                    $(actions!(@pattern $name it $($number)?) => {
                        actions!(@word $name it $($number)?)
                    })*
                }
            }
        }

        impl fmt::Display for Action {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(actions!(@pattern $name it $($number)?) => {
                        actions!(@text f, $text, it $($number)?)
                    })*
                }
            }
        }

        impl FromStr for Action {
            type Err = NoAction;

            fn from_str(line: &str) -> Result<Self, NoAction> {
                let mut words = line.split_whitespace();
                let name = words.next().ok_or(NoAction)?;
                let number: Option<u8> =
                    words.next().map(str::parse).transpose().map_err(|_| NoAction)?;
                match name {
                    $(stringify!($name) => Ok(actions!(@make $name number $($number)?)),)*
                    _ => Err(NoAction),
                }
            }
        }
    };
    (@pattern $name:ident $it:ident $number:ident) => { Action::$name($it) };
    (@pattern $name:ident $it:ident) => { Action::$name };
    (@word $name:ident $it:ident $number:ident) => { format!(concat!(stringify!($name), " {}"), $it) };
    (@word $name:ident $it:ident) => { stringify!($name).to_owned() };
    (@text $f:ident, $text:literal, $it:ident $number:ident) => { write!($f, $text, $it) };
    (@text $f:ident, $text:literal, $it:ident) => { $f.write_str($text) };
    (@make $name:ident $value:ident $number:ident) => { Action::$name($value.ok_or(NoAction)?) };
    (@make $name:ident $value:ident) => { Action::$name };
}

/// A line that names no action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoAction;

impl fmt::Display for NoAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no action of the model has this name")
    }
}

impl std::error::Error for NoAction {}

actions! {
    /// A party joins.
    Join(u8) => "party {} joins";
    /// A client's next attempt is due; its link opens.
    Dial(u8) => "client {} opens a link";
    /// A client's next attempt is due; its link cannot be opened.
    DialFails(u8) => "client {} cannot open a link";
    /// The application types something.
    Type(u8) => "the application of client {} types";
    /// The application takes the next output.
    Take(u8) => "the application of client {} takes output";
    /// A client gets the next frame of a link.
    ToClient(u8) => "link {} to its client";
    /// A host gets the next frame of a link.
    ToHost(u8) => "link {} to its host";
    /// A client is told that a link is gone.
    ClientLearns(u8) => "link {}: the client is told that it is gone";
    /// A host is told that a link is gone.
    HostLearns(u8) => "link {}: the host is told that it is gone";
    /// A client gets bytes that are no frame.
    GarbleToClient(u8) => "link {} brings its client what is no frame";
    /// A host gets bytes that are no frame.
    GarbleToHost(u8) => "link {} brings its host what is no frame";
    /// A Hello is delivered twice.
    Repeat(u8) => "the Hello on link {} is delivered twice";
    /// A link is reset.
    Cut(u8) => "link {} is reset";
    /// A link falls silent.
    Silence(u8) => "link {} falls silent";
    /// A client has waited too long for an answer.
    HandshakeTimeout(u8) => "client {} has waited too long for an answer";
    /// A client has heard nothing for too long.
    ClientSilent(u8) => "client {} has heard nothing for too long";
    /// A client has sent nothing for a while.
    Heartbeat(u8) => "client {} has sent nothing for a while";
    /// A replacement has been attached for a while.
    Stable(u8) => "client {} has had its replacement for a while";
    /// A client gives up.
    GiveUp(u8) => "client {} has waited for long enough";
    /// The application leaves.
    Detach(u8) => "the application of client {} leaves";
    /// The application ends the session.
    Close(u8) => "the application of client {} ends the session";
    /// A client is killed.
    KillClient(u8) => "client {} is killed";
    /// A client is killed and started anew with what it had written down.
    RestartClient(u8) => "client {} is killed, and starts again with its state";
    /// A client is killed and started anew with a position that it had left behind.
    RestartStale(u8) => "client {} is killed, and starts again with an old state";
    /// A program does its next step.
    Program(u8) => "program {} goes on";
    /// A program is killed.
    KillProgram(u8) => "program {} is killed";
    /// A program may not use the registry.
    ForbidProgram(u8) => "program {} may not use the registry";
    /// A program's next operation fails.
    ProgramFails(u8) => "program {} fails to do its next step";
    /// A program's next operation fails, because the host is short of something.
    ProgramIsShort(u8) => "program {} cannot do its next step now";
    /// A server's next operation fails.
    ServerFails(u8) => "server {} fails to do its next step";
    /// A program's deadline passes.
    Late(u8) => "program {} is past its deadline";
    /// A server does its next step.
    Server(u8) => "server {} goes on";
    /// A server's next step, the start of its process, fails.
    StartFails(u8) => "server {} cannot start its process";
    /// A server's next step, the record of a takeover, fails.
    TenureFails(u8) => "server {} cannot record the takeover";
    /// A server is killed, and its process dies with it.
    KillServer(u8) => "server {} is killed, and its process with it";
    /// A server is killed, and its process stays.
    LeaveProcess(u8) => "server {} is killed, and its process stays";
    /// A server has heard nothing for too long.
    ServerSilent(u8) => "server {} has heard nothing for too long";
    /// A server has sent nothing for a while.
    ServerHeartbeat(u8) => "server {} has sent nothing for a while";
    /// A detached process was kept for long enough.
    Retention(u8) => "server {} has kept its process for long enough";
    /// The process writes.
    Write(u8) => "the process of server {} writes";
    /// The process takes the next input.
    Read(u8) => "the process of server {} reads";
    /// The process starts a daemon.
    Daemon(u8) => "the process of server {} starts a daemon";
    /// The process ends.
    Exit(u8) => "the process of server {} ends";
    /// What was to be ended is gone.
    Ended(u8) => "server {} has ended its process";
    /// A server looks for its entry.
    Guard(u8) => "server {} looks for its entry";
    /// Somebody sweeps a host.
    Sweep(u8) => "somebody sweeps host {}";
    /// A host's registry is removed.
    Wipe(u8) => "the registry of host {} is removed";
    /// A host's entry is removed.
    WipeEntry(u8) => "the entry on host {} is removed";
    /// A day passes.
    Day => "a day passes";
    /// A host boots.
    Reboot(u8) => "host {} boots";
    /// The programs of a host are replaced by later ones.
    Upgrade(u8) => "the programs of host {} are replaced by later ones";
    /// New links lead to the other host.
    OtherHost => "new links lead to the other host";
    /// A server is put by.
    Snapshot(u8) => "server {} is put by";
    /// A server is rolled back.
    RollBack(u8) => "server {} is rolled back";
}

impl Action {
    /// The party that it is about.
    pub fn party(self) -> Option<u8> {
        match self {
            Self::Join(p)
            | Self::Dial(p)
            | Self::DialFails(p)
            | Self::Type(p)
            | Self::Take(p)
            | Self::HandshakeTimeout(p)
            | Self::ClientSilent(p)
            | Self::Heartbeat(p)
            | Self::Stable(p)
            | Self::GiveUp(p)
            | Self::Detach(p)
            | Self::Close(p)
            | Self::KillClient(p)
            | Self::RestartClient(p)
            | Self::RestartStale(p) => Some(p),
            _ => None,
        }
    }
}

impl Action {
    /// Whether a host gets on by it, or what runs on one.
    pub fn is_of_host(self) -> bool {
        matches!(
            self,
            Self::ToHost(_)
                | Self::HostLearns(_)
                | Self::Program(_)
                | Self::Server(_)
                | Self::Write(_)
                | Self::Read(_)
                | Self::Exit(_)
                | Self::Ended(_)
                | Self::Guard(_)
        )
    }

    /// Whether it is something that goes wrong, or ends something.
    pub fn is_fault(self) -> bool {
        !matches!(
            self,
            Self::Dial(_)
                | Self::Type(_)
                | Self::Take(_)
                | Self::ToClient(_)
                | Self::ToHost(_)
                | Self::ClientLearns(_)
                | Self::HostLearns(_)
                | Self::Program(_)
                | Self::Server(_)
                | Self::Write(_)
                | Self::Read(_)
                | Self::Ended(_)
                | Self::Guard(_)
        )
    }
}
