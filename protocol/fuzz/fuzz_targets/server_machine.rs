//! The server's machine, with any frames of clients on a few links, and anything that can become of a process: it
//! does not panic, and stays within its bounds.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use rejoin_protocol::server::{Config, Effect, Event, Limits, Past};
use rejoin_protocol::spec::{Overflow, ProcessSpec};
use rejoin_protocol::{
    Capabilities, Incarnation, Item, Link, Seq, Server, Stream, Tenure, Timer, VersionRange,
};
use rejoin_protocol_fuzz::frames::{HOST, SESSION, Source};
use rejoin_protocol_fuzz::ledger::{Links, Waiting};
use rejoin_protocol_fuzz::{check_round_trip, is_shown};

/// More links than this are not open at once.
const MOST_LINKS: usize = 4;

fuzz_target!(|input: &[u8]| {
    // An input that ends ends the run.
    let _ = run(&mut Unstructured::new(input));
});

/// The machine, and what is known of it from outside.
struct Driver {
    is_shown: bool,
    config: Config,
    server: Server,
    links: Links,
    /// The incarnation that a process may have, and the machine asked for.
    used: Option<Incarnation>,
    has_started: bool,
    has_stopped: bool,
    input: Waiting,
    window: u64,
}

fn run(bytes: &mut Unstructured<'_>) -> Result<()> {
    let mut driver = Driver::new(&mut Source::new(bytes, 0))?;
    while !bytes.is_empty() {
        let event = driver.event(bytes)?;
        driver.step(event);
    }
    Ok(())
}

impl Driver {
    fn new(source: &mut Source<'_, '_>) -> Result<Self> {
        let config = Config {
            session: SESSION,
            host: HOST,
            versions: VersionRange::SUPPORTED,
            capabilities: Capabilities(0),
        };
        let past = if source.one_of(2)? == 0 { Past::default() } else { past(source)? };
        Ok(Self {
            is_shown: is_shown(),
            config,
            used: past.used,
            server: Server::Absent(past),
            links: Links::default(),
            has_started: false,
            has_stopped: false,
            input: Waiting::default(),
            window: 0,
        })
    }

    fn event(&mut self, bytes: &mut Unstructured<'_>) -> Result<Event> {
        let near = if bytes.arbitrary::<u8>()? % 2 == 0 { 0 } else { self.input.next().0 };
        let source = &mut Source::new(bytes, near);
        Ok(match source.one_of(16)? {
            0..=6 => Event::Frame(self.link(source)?, source.frame(false)?),
            7 => Event::LinkLost(self.link(source)?),
            8 => Event::LinkMisbehaved(self.link(source)?, source.misbehaviour()?),
            9 => match source.one_of(8)? {
                0 => Event::Displaced,
                1 => Event::Timer(Timer::Retention),
                2 => Event::Timer(Timer::LinkSilent),
                3 => Event::Exited(source.exit_status()?),
                _ => Event::Timer(Timer::Heartbeat),
            },
            10 | 11 => Event::InputTaken(source.seq()?),
            12 => Event::TenureRecorded,
            13 => Event::TenureNotRecorded,
            _ => self.of_process(source)?,
        })
    }

    /// What can happen next to the process.
    fn of_process(&mut self, source: &mut Source<'_, '_>) -> Result<Event> {
        Ok(match self.server {
            Server::Starting(_) if source.one_of(8)? == 7 => {
                Event::StartFailed(source.spawn_error()?)
            }
            Server::Starting(_) => {
                let overflow =
                    if source.one_of(2)? == 0 { Overflow::Block } else { Overflow::DropOldest };
                let window = ProcessSpec::MIN_WINDOW + u64::from(source.one_of(255)?) * 1024;
                Event::Started(source.epoch()?, Limits { window, overflow })
            }
            Server::Ending(_) => Event::Ended(1),
            _ => {
                let stream = if source.one_of(2)? == 0 { Stream::Stdout } else { Stream::Stderr };
                Event::Output(stream, self.output(source)?)
            }
        })
    }

    fn output(&self, source: &mut Source<'_, '_>) -> Result<Bytes> {
        source.payload(self.server.output_room())
    }

    fn link(&mut self, source: &mut Source<'_, '_>) -> Result<Link> {
        let choice = usize::from(source.one_of(16)?);
        let open: Vec<_> = self.links.all().collect();
        Ok(match open.get(choice % MOST_LINKS) {
            Some(link) => *link,
            None => self.links.open(),
        })
    }

    fn step(&mut self, event: Event) {
        if self.is_shown {
            eprintln!("{}: {event:?}", self.server.name());
        }
        let was_gone = self.server.is_gone();
        match &event {
            Event::LinkLost(link) => self.links.lose(*link),
            Event::InputTaken(next) => self.input.take(*next),
            Event::Started(_, limits) if matches!(self.server, Server::Starting(_)) => {
                self.window = limits.window;
                self.input = Waiting::starting_at(Seq::ZERO, limits.window);
            }
            _ => {}
        }
        for effect in self.server.step(&self.config, event) {
            assert!(!was_gone || matches!(effect, Effect::Close(_)));
            self.carry_out(effect);
        }
        self.check();
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send(link, frame) => {
                assert!(self.links.is_open(link), "{frame:?} is sent on a link that is not open");
                check_round_trip(&frame);
            }
            Effect::Close(link) => self.links.close(link),
            Effect::HandOver(seq, item) => {
                assert!(item.is_input());
                self.input.give(seq, &item);
            }
            Effect::Start { incarnation, .. } => {
                assert!(!self.has_started, "a second process is started");
                assert!(self.used < Some(incarnation), "an incarnation is started twice");
                self.has_started = true;
            }
            // The attach program does so too, without a server.
            Effect::Bury(past) => self.used = self.used.max(past.used),
            Effect::Stop => {
                assert!(!self.has_stopped, "it stops twice");
                self.has_stopped = true;
            }
            _ => {}
        }
    }

    fn check(&self) {
        assert!(self.server.output_room() <= Item::MAX_PAYLOAD);
        assert!(self.server.output_in_flight() <= self.window + Item::OVERHEAD);
        assert_eq!(self.has_stopped, self.server.is_gone());
        let attached = self.server.attached();
        assert!(attached.is_none_or(|link| self.links.is_open(link)), "a closed link is attached");
    }
}

fn past(source: &mut Source<'_, '_>) -> Result<Past> {
    let used = Some(Incarnation(source.number()?));
    let failed = if source.one_of(4)? == 0 {
        Some((Incarnation(source.number()?), source.spawn_error()?))
    } else {
        None
    };
    Ok(Past { is_known: true, used, tenure: Tenure(source.number()?), failed, ended: 0 })
}
