//! What a server is brought that no honest client or driver brings.

use rejoin_protocol::error::{FrameError, Misbehaviour};
use rejoin_protocol::frame::{From, Hello, Scope, Wish};
use rejoin_protocol::server::{Config, Effect, Event, Limits, Server};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    AttachNumber, ClientInstance, ClientName, ExitStatus, Frame, Holder, Incarnation, Seq,
    SessionId, SpawnError, SpawnErrorKind, Stream, Tenure, Timer, Version, VersionRange,
};

use super::{SECOND, TIMERS, UNKNOWN, items, plain};
use crate::ledgers::server::ServerLedger;
use crate::names;
use crate::notes;
use crate::rules::Violation;

pub(super) fn probe(
    config: &Config,
    machine: &Server,
    ledger: &ServerLedger,
) -> Result<(), Violation> {
    if matches!(machine, Server::Absent(_)) {
        return Ok(());
    }
    super::has_room(machine.output_room(), ledger.output_room())?;
    for event in events(config, ledger) {
        let (mut machine, mut ledger) = (machine.clone(), ledger.clone());
        let effects = step(config, &mut machine, &mut ledger, &event)?;
        for later in follow_ups(&ledger, &event, &effects) {
            let (mut machine, mut ledger) = (machine.clone(), ledger.clone());
            for event in later {
                step(config, &mut machine, &mut ledger, &event)?;
            }
        }
    }
    Ok(())
}

fn step(
    config: &Config,
    machine: &mut Server,
    ledger: &mut ServerLedger,
    event: &Event,
) -> Result<Vec<Effect>, Violation> {
    notes::note(|| (format!("a copy of a server, {}", machine.name()), format!("gets {event:?}")));
    let effects = machine.step(config, event.clone());
    notes::note(|| {
        (format!("a copy of a server, {}", machine.name()), format!("does {effects:?}"))
    });
    ledger.step(config, event, &effects)?;
    Ok(effects)
}

/// What shows what became of an event that began something.
fn follow_ups(ledger: &ServerLedger, event: &Event, effects: &[Effect]) -> Vec<Vec<Event>> {
    let is_end = effects.iter().any(|it| matches!(it, Effect::EndProcess(_)));
    if ledger.is_starting() {
        return of_start();
    }
    let is_taken = matches!(event, Event::Frame(_, Frame::Ack { .. }) | Event::InputTaken(_));
    if let (true, Some(comes_back)) = (is_taken, by_holder(ledger)) {
        return vec![vec![comes_back]];
    }
    if effects.iter().any(|it| matches!(it, Effect::RecordTenure(..))) {
        of_takeover(ledger, event)
    } else if is_end {
        of_end()
    } else {
        Vec::new()
    }
}

fn of_takeover(ledger: &ServerLedger, event: &Event) -> Vec<Vec<Event>> {
    let Event::Frame(link, Frame::Hello(hello)) = event else { return Vec::new() };
    let again = Hello { attach: AttachNumber(hello.attach.0.saturating_add(1)), ..hello.clone() };
    let again = Event::Frame(SECOND, Frame::Hello(again));
    let lost = Event::LinkLost(*link);
    let detached = Event::Frame(*link, Frame::Detach);
    // While the takeover is under way.
    let by_holder = by_holder(ledger).unwrap_or(Event::TenureNotRecorded);
    vec![
        vec![detached, Event::TenureRecorded],
        vec![by_holder, Event::TenureRecorded],
        vec![Event::TenureRecorded],
        vec![Event::TenureNotRecorded, Event::TenureRecorded],
        vec![lost.clone(), Event::TenureRecorded],
        vec![lost.clone(), Event::TenureNotRecorded],
        vec![again.clone(), lost, Event::TenureRecorded],
        vec![again, Event::TenureNotRecorded],
        vec![Event::Timer(Timer::LinkSilent), Event::TenureRecorded],
        vec![event.clone(), Event::Timer(Timer::Retention), Event::Ended(1)],
        vec![Event::Displaced, Event::Ended(2)],
    ]
}

/// The holder attaches over another link.
fn by_holder(ledger: &ServerLedger) -> Option<Event> {
    let (instance, attach, tenure) = ledger.owner_says()?;
    let wish = Wish::Claim { expected: ledger.holder(), from: From::FirstHeld };
    let attach = AttachNumber(attach.0.saturating_add(1));
    let hello = Hello { instance, attach, tenure, ..hello(wish) };
    Some(Event::Frame(SECOND, Frame::Hello(hello)))
}

/// The start of the process goes on, or fails.
fn of_start() -> Vec<Vec<Event>> {
    let limits = Limits { window: 70_000, overflow: Overflow::Block };
    let error = SpawnError::new(SpawnErrorKind::NotFound, "probe");
    vec![
        vec![Event::Started(names::epoch(9), limits)],
        vec![Event::StartFailed(error), Event::Timer(Timer::Retention)],
    ]
}

fn of_end() -> Vec<Vec<Event>> {
    let ping = Event::Frame(SECOND, Frame::Ping { token: 9 });
    let close = |scope, incarnation| {
        let incarnation = Incarnation(incarnation);
        Event::Frame(SECOND, Frame::Hello(hello(Wish::Close { incarnation, scope })))
    };
    let ended = Event::Ended(3);
    let misbehaved = Event::LinkMisbehaved(SECOND, Misbehaviour::Frame(FrameError::Empty));
    vec![
        vec![ended.clone(), ping.clone()],
        vec![close(Scope::Session, 7), ended.clone()],
        vec![close(Scope::Process, 7), Event::LinkLost(SECOND), ended.clone()],
        vec![close(Scope::Process, 8), misbehaved, ended.clone()],
        vec![close(Scope::Process, 8), ping, close(Scope::Process, 3), ended.clone()],
        vec![Event::Displaced, ended],
    ]
}

fn hello(wish: Wish) -> Hello {
    Hello {
        version: VersionRange::SUPPORTED.max,
        session: names::SESSION,
        instance: ClientInstance::from_bytes([0xee; 16]),
        name: ClientName::new("stranger"),
        attach: AttachNumber(40),
        tenure: Tenure(u64::MAX - 1),
        wish,
    }
}

fn events(config: &Config, ledger: &ServerLedger) -> Vec<Event> {
    let mut events = reports();
    if ledger.has_exited() {
        events.push(Event::Output(Stream::Stdout, bytes::Bytes::from_static(b"late")));
    }
    let numbers = ledger.numbers();
    for link in ledger.link().into_iter().chain([UNKNOWN]) {
        events.push(Event::LinkMisbehaved(link, Misbehaviour::Frame(FrameError::Empty)));
        events.push(Event::LinkLost(link));
        let mut frames = plain(ledger.owner_attach());
        for seq in &numbers {
            frames.extend(items(*seq));
            frames.push(Frame::Ack { next: *seq });
        }
        frames.extend(hellos(config, ledger, &numbers).into_iter().map(Frame::Hello));
        events.extend(frames.into_iter().map(|frame| Event::Frame(link, frame)));
    }
    events
}

/// What drivers report, at any time.
fn reports() -> Vec<Event> {
    let limits = Limits { window: 70_000, overflow: Overflow::Block };
    let mut events: Vec<Event> = TIMERS.map(Event::Timer).to_vec();
    events.extend([
        Event::Started(names::epoch(9), limits),
        Event::StartFailed(SpawnError::new(SpawnErrorKind::NotFound, "probe")),
        Event::TenureRecorded,
        Event::TenureNotRecorded,
        Event::InputTaken(Seq::ZERO),
        Event::InputTaken(Seq(99)),
        Event::Output(Stream::Stdout, bytes::Bytes::new()),
        Event::Exited(ExitStatus::Code(99)),
        Event::Ended(3),
        Event::Displaced,
    ]);
    events
}

fn hellos(config: &Config, ledger: &ServerLedger, numbers: &[Seq]) -> Vec<Hello> {
    let mut hellos = vec![
        Hello { session: SessionId::from_bytes([7; 16]), ..hello(Wish::Unreadable) },
        Hello { version: Version(60), ..hello(Wish::Unreadable) },
    ];
    for wish in wishes(config, ledger, numbers) {
        let stranger = hello(wish);
        hellos.push(Hello { tenure: Tenure(0), ..stranger.clone() });
        hellos.push(Hello { tenure: Tenure(u64::MAX), ..stranger.clone() });
        if let Some((instance, attach, tenure)) = ledger.owner_says() {
            let own = Hello { instance, tenure, attach, ..stranger.clone() };
            let next = AttachNumber(attach.0.saturating_add(1));
            let higher = Tenure(tenure.0.saturating_add(1));
            hellos.push(Hello { attach: next, ..own.clone() });
            hellos.push(Hello { attach: next, tenure: higher, ..own.clone() });
            hellos.push(own);
        }
        hellos.push(stranger);
    }
    hellos
}

fn wishes(config: &Config, ledger: &ServerLedger, numbers: &[Seq]) -> Vec<Wish> {
    let spec = bytes::Bytes::from_static(b"spec");
    let open = |incarnation, host| Wish::Open { incarnation, host, spec: spec.clone() };
    let mut wishes = vec![
        open(Incarnation(0), config.host),
        open(Incarnation(5), config.host),
        open(Incarnation(0), names::host(3, 3)),
        Wish::Claim { expected: None, from: From::Latest },
    ];
    for scope in [Scope::Session, Scope::Process] {
        wishes.push(Wish::Close { incarnation: Incarnation(0), scope });
        wishes.push(Wish::Close { incarnation: Incarnation(6), scope });
    }
    let Some(holder) = ledger.holder() else { return wishes };
    let (incarnation, epoch) = (holder.incarnation, holder.epoch);
    let other = Incarnation(incarnation.0 ^ 1);
    let next_output = Seq::ZERO;
    wishes.push(Wish::Resume { incarnation, epoch: names::epoch(9), next_output });
    wishes.push(Wish::Resume { incarnation: other, epoch, next_output });
    let wrong = [
        Holder { epoch: names::epoch(9), ..holder },
        Holder { incarnation: other, ..holder },
        Holder { tenure: Tenure(holder.tenure.0 ^ 1), ..holder },
    ];
    wishes.extend(wrong.map(|it| Wish::Claim { expected: Some(it), from: From::FirstHeld }));
    for from in [From::FirstHeld, From::Latest] {
        wishes.push(Wish::Claim { expected: Some(holder), from });
    }
    for seq in numbers {
        wishes.push(Wish::Resume { incarnation, epoch, next_output: *seq });
        wishes.push(Wish::Claim { expected: Some(holder), from: From::Seq(*seq) });
    }
    wishes
}
