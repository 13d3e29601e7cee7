//! What happened in a run, counted.

use std::fmt;

use rejoin_protocol::client::{self, Notice};
use rejoin_protocol::frame::How;
use rejoin_protocol::record::{ClientStep, ServerStep};
use rejoin_protocol::{Frame, Item, Timer, server};

use super::{RecordedRun, Recording};

macro_rules! report {
    ($($(#[$doc:meta])* $name:ident: $shown:literal,)*) => {
        /// What happened, counted: a run that was replayed and held its properties proves nothing
        /// of what did not happen in it.
        #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub struct Report {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl std::ops::AddAssign for Report {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl Report {
            /// Everything that happened at all, in words.
            fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($shown, self.$name),)*].into_iter().filter(|(_, count)| *count > 0)
            }
        }
    };
}

report! {
    /// Recordings of clients.
    clients: "clients",
    /// Recordings of servers.
    servers: "servers",
    /// Recordings of attach programs.
    attach_programs: "attach programs",
    /// Recordings whose last line is unfinished.
    torn: "torn recordings",
    /// Recordings that were cut at the length that was allowed.
    cut: "recordings that were cut",
    /// Steps of all machines.
    steps: "steps",
    /// Links that a client asked for.
    connects: "links asked for",
    /// Links that it did not get.
    failed_links: "links that failed",
    /// Links that were reported as lost to a client.
    cuts: "cuts seen by clients",
    /// Links that were reported as lost to a server.
    server_cuts: "cuts seen by servers",
    /// Attaches told by clients, whatever the wish.
    attaches: "attaches",
    /// Those of a Resume.
    resumes: "resumes",
    /// Those of a Claim.
    claims: "claims",
    /// Lost attachments told by clients.
    detaches: "detaches",
    /// Replacements told.
    replacements: "replacements",
    /// Losses told.
    losses: "losses",
    /// Clients that were told to be superseded.
    superseded: "superseded clients",
    /// Clients that were refused for good.
    refusals: "refusals for good",
    /// Refusals for now.
    hindrances: "refusals for now",
    /// Exits told.
    exits: "exits told",
    /// Clients that gave up.
    gave_up: "clients that gave up",
    /// Clients that ended; the others were killed, or still ran.
    ended_clients: "clients that ended",
    /// Output items that were delivered, gaps included.
    delivered: "items delivered",
    /// Their bytes.
    delivered_bytes: "bytes delivered",
    /// Gaps among them.
    gaps: "gaps delivered",
    /// Input items that clients took.
    put_in: "items put in",
    /// Their bytes.
    put_in_bytes: "bytes put in",
    /// Input items that they had no room for, or no process.
    returned: "items returned",
    /// Items that clients sent, again and again.
    items_sent: "items sent by clients",
    /// Items that servers sent, again and again.
    server_items_sent: "items sent by servers",
    /// Starts that servers were told to carry out.
    starts: "starts",
    /// Those that failed.
    failed_starts: "failed starts",
    /// Takeovers that were recorded.
    takeovers: "takeovers",
    /// Output items that processes wrote.
    outputs: "items written by processes",
    /// Processes that ended.
    process_exits: "exits of processes",
    /// Input items that were handed over.
    handed_over: "items handed over",
    /// Their bytes.
    handed_over_bytes: "bytes handed over",
    /// Servers that ended; the others were killed, or still ran.
    ended_servers: "servers that ended",
    /// Timers that fired.
    timers: "timers fired",
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (shown, count)) in self.counts().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {shown}")?;
        }
        Ok(())
    }
}

impl Report {
    /// Counts what happened in a recording.
    pub fn of(recording: &Recording) -> Self {
        let mut report = Self {
            torn: u64::from(recording.torn.is_some()),
            cut: u64::from(recording.is_cut),
            steps: recording.run.len() as u64,
            ..Self::default()
        };
        match &recording.run {
            RecordedRun::Client(track) => {
                report.clients = 1;
                track.steps.iter().for_each(|step| report.client(step));
            }
            RecordedRun::Server(track) => {
                report.servers = 1;
                track.steps.iter().for_each(|step| report.server(step));
            }
            RecordedRun::Attach(_) => report.attach_programs = 1,
        }
        report
    }

    fn client(&mut self, ClientStep { event, effects }: &ClientStep) {
        match event {
            client::Event::LinkFailed => self.failed_links += 1,
            client::Event::LinkLost(_) => self.cuts += 1,
            client::Event::Timer(_) => self.timers += 1,
            client::Event::Input(item) => {
                self.put_in += 1;
                self.put_in_bytes += item.payload().len() as u64;
            }
            _ => {}
        }
        for effect in effects {
            self.client_effect(effect);
        }
    }

    fn client_effect(&mut self, effect: &client::Effect) {
        match effect {
            client::Effect::Connect => self.connects += 1,
            client::Effect::Send(_, Frame::Item { .. }) => self.items_sent += 1,
            client::Effect::Deliver(_, item) => {
                self.delivered += 1;
                self.delivered_bytes += item.payload().len() as u64;
                self.gaps += u64::from(matches!(item, Item::Gap { .. }));
            }
            client::Effect::Return(item) => {
                self.put_in -= 1;
                self.put_in_bytes -= item.payload().len() as u64;
                self.returned += 1;
            }
            client::Effect::Tell(notice) => self.notice(notice),
            // Nothing but the end stops this timer.
            client::Effect::Disarm(Timer::Reconnect) => self.ended_clients += 1,
            _ => {}
        }
    }

    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Attached { how, .. } => {
                self.attaches += 1;
                self.resumes += u64::from(*how == How::Resumed);
                self.claims += u64::from(*how == How::Claimed);
            }
            Notice::Detached(_) => self.detaches += 1,
            Notice::Replaced { .. } => self.replacements += 1,
            Notice::Lost { .. } => self.losses += 1,
            Notice::Refused(_) => self.refusals += 1,
            Notice::Hindered(_) => self.hindrances += 1,
            Notice::Superseded { .. } => self.superseded += 1,
            Notice::Exited { .. } => self.exits += 1,
            Notice::GaveUp(_) => self.gave_up += 1,
            Notice::Closed { .. } => {}
        }
    }

    fn server(&mut self, ServerStep { event, effects }: &ServerStep) {
        match event {
            server::Event::LinkLost(_) => self.server_cuts += 1,
            server::Event::Timer(_) => self.timers += 1,
            server::Event::StartFailed(_) => self.failed_starts += 1,
            server::Event::TenureRecorded => self.takeovers += 1,
            server::Event::Output(..) => self.outputs += 1,
            server::Event::Exited(_) => self.process_exits += 1,
            _ => {}
        }
        for effect in effects {
            match effect {
                server::Effect::Send(_, Frame::Item { .. }) => self.server_items_sent += 1,
                server::Effect::Start { .. } => self.starts += 1,
                server::Effect::HandOver(_, item) => {
                    self.handed_over += 1;
                    self.handed_over_bytes += item.payload().len() as u64;
                }
                server::Effect::Stop => self.ended_servers += 1,
                _ => {}
            }
        }
    }
}
