//! The client's machine, with any frames of a host and any wishes of an application: it does not panic, and
//! stays within its bounds.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use rejoin_protocol::client::{Config, Effect, Event, MAX_REPLACEMENTS, Notice, OnLoss};
use rejoin_protocol::frame::How;
use rejoin_protocol::spec::ProcessSpec;
use rejoin_protocol::{
    Client, ClientInstance, ClientName, Frame, Incarnation, Item, Link, Tenure, Timer, VersionRange,
};
use rejoin_protocol_fuzz::frames::{HOST, SESSION, Source};
use rejoin_protocol_fuzz::ledger::{Links, Waiting};
use rejoin_protocol_fuzz::{check_round_trip, is_shown};

fuzz_target!(|input: &[u8]| {
    // An input that ends ends the run.
    let _ = run(&mut Unstructured::new(input));
});

/// The machine, and what is known of it from outside.
struct Driver {
    is_shown: bool,
    config: Config,
    client: Client,
    links: Links,
    is_dialing: bool,
    output: Waiting,
    /// The most input that may be unacknowledged, in bytes of window.
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
        let choice = source.one_of(32)?;
        let config = Config {
            session: SESSION,
            instance: ClientInstance::from_bytes([0xa0; 16]),
            name: ClientName::new("alice"),
            versions: VersionRange::SUPPORTED,
            spec: (choice & 1 == 0).then(|| Bytes::from_static(b"spec")),
            on_loss: if choice & 2 == 0 { OnLoss::Respawn } else { OnLoss::Fail },
            take_over: choice & 4 == 0,
            window: ProcessSpec::MIN_WINDOW,
        };
        let client = match choice >> 3 {
            0 => Client::open(&config),
            1 => Client::claim(&config, None, source.from()?),
            2 => Client::close(&config, Incarnation(source.number()?), Tenure(source.number()?)),
            _ => Client::open(&config).with_host(HOST),
        };
        let window = config.window;
        let (links, output) = (Links::default(), Waiting::default());
        Ok(Self { is_shown: is_shown(), config, client, links, is_dialing: false, output, window })
    }

    fn event(&mut self, bytes: &mut Unstructured<'_>) -> Result<Event> {
        let near = match bytes.arbitrary::<u8>()? % 4 {
            0 => self.client.next_input().0,
            1 => self.client.incarnation().0,
            2 => self.window,
            _ => self.output.next().0,
        };
        let source = &mut Source::new(bytes, near);
        let link = self.client.link();
        Ok(match (source.one_of(16)?, link) {
            (0..=7, Some(link)) => Event::Frame(link, source.frame(true)?),
            (0..=7, None) if self.is_dialing => Event::LinkOpened(self.links.open()),
            (8, _) if self.is_dialing => Event::LinkFailed,
            (8, Some(link)) => Event::LinkLost(link),
            (9, Some(link)) => Event::LinkMisbehaved(link, source.misbehaviour()?),
            (9, None) => Event::Frame(Link(0), source.frame(true)?),
            (10, _) => Event::Timer(timer(source.one_of(6)?)),
            (11 | 12, _) => Event::Input(source.input_item(Item::MAX_PAYLOAD + 1)?),
            (13 | 14, _) => Event::Taken(source.seq()?),
            (15, _) => match source.one_of(8)? {
                0 => Event::Detach,
                1 => Event::Close,
                _ => Event::Input(source.input_item(self.client.input_room())?),
            },
            _ => Event::Timer(Timer::Reconnect),
        })
    }

    fn step(&mut self, event: Event) {
        if self.is_shown {
            eprintln!("{}: {event:?}", self.client.name());
        }
        let was_ended = self.client.is_ended();
        let had_process = self.client.holder().is_some();
        match &event {
            Event::LinkOpened(_) | Event::LinkFailed => self.is_dialing = false,
            Event::LinkLost(link) => self.links.lose(*link),
            Event::Taken(next) => self.output.take(*next),
            _ => {}
        }
        let window = match &event {
            Event::Frame(_, Frame::Welcome(welcome)) if !had_process => Some(welcome.window),
            _ => None,
        };
        for effect in self.client.step(&self.config, event) {
            assert!(!was_ended || matches!(effect, Effect::Close(_) | Effect::Return(_)));
            self.carry_out(effect, window.map(|window| window.min(ProcessSpec::MAX_WINDOW)));
        }
        self.check();
    }

    fn carry_out(&mut self, effect: Effect, window: Option<u64>) {
        match effect {
            Effect::Connect => {
                assert!(!self.is_dialing, "two links are dialled");
                self.is_dialing = true;
            }
            Effect::Send(link, frame) => {
                assert!(self.links.is_open(link), "{frame:?} is sent on a link that is not open");
                check_round_trip(&frame);
            }
            Effect::Close(link) => self.links.close(link),
            Effect::Deliver(seq, item) => self.output.give(seq, &item),
            Effect::Tell(Notice::Attached { how, next_output, .. }) => match window {
                Some(window) => {
                    self.output = Waiting::starting_at(next_output, window);
                    self.window = self.window.max(window);
                }
                None => assert_eq!((how, next_output), (How::Resumed, self.output.next())),
            },
            _ => {}
        }
    }

    fn check(&self) {
        assert!(self.client.replacements() <= MAX_REPLACEMENTS);
        assert!(self.client.input_room() <= Item::MAX_PAYLOAD);
        assert!(self.client.unacknowledged_input() <= self.window, "too much input is kept");
        for link in self.links.all() {
            assert_eq!(self.client.link(), Some(link), "a link is left open");
        }
    }
}

fn timer(number: u8) -> Timer {
    match number {
        0 => Timer::Handshake,
        1 => Timer::Heartbeat,
        2 => Timer::LinkSilent,
        3 => Timer::GiveUp,
        4 => Timer::Stable,
        _ => Timer::Retention,
    }
}
