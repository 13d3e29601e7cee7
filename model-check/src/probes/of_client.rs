//! What a client is brought that no honest server or driver brings.

use rejoin_protocol::client::{Client, Config, Effect, Event};
use rejoin_protocol::error::{Divergence, FrameError, Misbehaviour};
use rejoin_protocol::frame::{Greeting, How, Refused, Welcome};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::{
    AttachNumber, ClientName, Counter, Epoch, ExitStatus, Frame, Holder, Incarnation, Item, Reason,
    Seq, SpawnError, SpawnErrorKind, Tenure, Timer, VersionRange,
};

use super::{TIMERS, UNKNOWN, greeting, items, plain};
use crate::ledgers::client::ClientLedger;
use crate::names;
use crate::notes;
use crate::rules::Violation;

/// More than an item carries.
static TOO_LONG: &[u8] = &[0; Item::MAX_PAYLOAD + 1];

pub(super) fn probe(
    config: &Config,
    machine: &Client,
    ledger: &ClientLedger,
) -> Result<(), Violation> {
    super::has_room(machine.input_room(), ledger.input_room())?;
    for event in events(ledger) {
        let (mut machine, mut ledger) = (machine.clone(), ledger.clone());
        let effects = step(config, &mut machine, &mut ledger, &event)?;
        if event == Event::LinkReplaced(UNKNOWN) {
            for event in after_moving(&ledger) {
                step(config, &mut machine.clone(), &mut ledger.clone(), &event)?;
            }
        }
        let tells = effects.iter().any(|effect| matches!(effect, Effect::Tell(_)));
        if machine.is_ended() {
            step(config, &mut machine, &mut ledger, &Event::Timer(Timer::Reconnect))?;
            step(config, &mut machine, &mut ledger, &Event::LinkOpened(UNKNOWN))?;
            step(config, &mut machine, &mut ledger, &Event::Input(Item::InputEnd))?;
        } else if tells {
            let long = bytes::Bytes::from_static(&[0; 5000]);
            let (mut typed, mut judged) = (machine.clone(), ledger.clone());
            step(config, &mut typed, &mut judged, &Event::Input(Item::Input(long)))?;
            for timer in TIMERS {
                let (mut machine, mut ledger) = (machine.clone(), ledger.clone());
                step(config, &mut machine, &mut ledger, &Event::Timer(timer))?;
            }
        }
    }
    Ok(())
}

fn step(
    config: &Config,
    machine: &mut Client,
    ledger: &mut ClientLedger,
    event: &Event,
) -> Result<Vec<Effect>, Violation> {
    notes::note(|| (format!("a copy of a client, {}", machine.name()), format!("gets {event:?}")));
    let effects = machine.step(config, event.clone());
    notes::note(|| {
        (format!("a copy of a client, {}", machine.name()), format!("does {effects:?}"))
    });
    ledger.step(config, event, &effects)?;
    Ok(effects)
}

/// What may become of a session that moves to another link.
fn after_moving(ledger: &ClientLedger) -> Vec<Event> {
    let mut frames = vec![Frame::Welcome(ledger.due_welcome())];
    frames.extend(greetings().into_iter().map(Frame::Greeting));
    frames.extend(refusals(ledger).into_iter().map(Frame::Refused));
    let frames = frames.into_iter().map(|frame| Event::Frame(UNKNOWN, frame));
    let others = [
        Event::LinkLost(UNKNOWN),
        Event::LinkMisbehaved(UNKNOWN, Misbehaviour::Silent),
        Event::LinkReplaced(super::SECOND),
        Event::LinkFailed,
        Event::Unreachable,
        Event::Timer(Timer::Handshake),
        Event::Timer(Timer::LinkSilent),
        Event::Close,
        Event::Detach,
    ];
    frames.chain(others).collect()
}

fn events(ledger: &ClientLedger) -> Vec<Event> {
    let mut events: Vec<Event> = TIMERS.map(Event::Timer).to_vec();
    let too_long = bytes::Bytes::from_static(TOO_LONG);
    events.extend([
        Event::LinkFailed,
        Event::LinkOpened(UNKNOWN),
        Event::LinkReplaced(UNKNOWN),
        Event::Unreachable,
        Event::Detach,
        Event::Close,
        Event::Taken(Seq::ZERO),
        Event::Taken(Seq(99)),
        Event::Input(Item::InputEnd),
        Event::Input(names::input(3, 3, 14)),
        Event::Input(Item::Input(too_long)),
        Event::Input(Item::Exit(ExitStatus::Code(1))),
    ]);
    let numbers = ledger.numbers();
    for link in ledger.link().into_iter().chain([UNKNOWN]) {
        events.push(Event::LinkLost(link));
        events.push(Event::LinkMisbehaved(link, Misbehaviour::Frame(FrameError::Empty)));
        let mut frames = plain(ledger.attach());
        for seq in &numbers {
            frames.extend(items(*seq));
            frames.push(Frame::Ack { next: *seq });
        }
        frames.extend(greetings().into_iter().map(Frame::Greeting));
        frames.extend(welcomes(ledger, &numbers).into_iter().map(Frame::Welcome));
        frames.extend(refusals(ledger).into_iter().map(Frame::Refused));
        events.extend(frames.into_iter().map(|frame| Event::Frame(link, frame)));
    }
    events
}

fn greetings() -> Vec<Greeting> {
    let supported = VersionRange::SUPPORTED;
    vec![
        greeting(names::host(0, 1), supported),
        greeting(names::host(1, 0), supported),
        greeting(names::host(0, 0), names::LATER),
    ]
}

/// The true answer, and the same with each of its numbers wrong.
fn welcomes(ledger: &ClientLedger, numbers: &[Seq]) -> Vec<Welcome> {
    let due = ledger.due_welcome();
    let never = Seq(1 << 63);
    let mut all = vec![
        due.clone(),
        Welcome { attach: AttachNumber(due.attach.0.saturating_add(1)), ..due.clone() },
        Welcome { epoch: names::epoch(9), ..due.clone() },
        Welcome { incarnation: Incarnation(due.incarnation.0 ^ 1), ..due.clone() },
        Welcome { tenure: Tenure(due.tenure.0.saturating_add(1)), ..due.clone() },
        Welcome { window: 70_000, ..due.clone() },
        Welcome { accepted: never, handed_over: never, ..due.clone() },
        Welcome { handed_over: due.accepted.next(), ..due.clone() },
    ];
    for how in [How::Opened, How::Resumed, How::Claimed] {
        all.push(Welcome { how, ..due.clone() });
    }
    for seq in numbers {
        let seq = *seq;
        all.push(Welcome { accepted: seq, ..due.clone() });
        all.push(Welcome { accepted: seq, handed_over: seq, ..due.clone() });
        all.push(Welcome { handed_over: seq, ..due.clone() });
        all.push(Welcome { first_output: seq, ..due.clone() });
        all.push(Welcome { next_output: seq, ..due.clone() });
        all.push(Welcome { first_output: seq, next_output: seq, ..due.clone() });
    }
    all
}

fn refusals(ledger: &ClientLedger) -> Vec<Refused> {
    let attach = ledger.attach();
    let counters = [
        (None, Tenure(0)),
        (Some(Incarnation(8)), Tenure(5)),
        (Some(Incarnation(u64::MAX)), Tenure(u64::MAX)),
    ];
    let with = |reason: &Reason| {
        counters.map(|(used, tenure)| Refused {
            attach,
            reason: reason.clone(),
            counters: Counters { used, tenure, epoch: None },
        })
    };
    reasons(ledger).iter().flat_map(with).collect()
}

fn reasons(ledger: &ClientLedger) -> Vec<Reason> {
    let own = ledger.epoch().unwrap_or(names::epoch(0));
    let (incarnation, tenure) = (Incarnation(2), Tenure(4));
    let held = |epoch: Epoch| {
        let by = Holder { epoch, incarnation, tenure };
        Reason::Held { by, name: ClientName::new("other") }
    };
    vec![
        Reason::ProcessGone,
        Reason::Unknown,
        Reason::EpochMismatch { current: names::epoch(9) },
        Reason::DifferentHost { host: names::host(3, 3) },
        Reason::Diverged(Divergence::OutputBehind),
        Reason::Gap { first_held: Seq(3) },
        Reason::Stale { last: AttachNumber(9) },
        held(own),
        held(names::epoch(9)),
        Reason::Superseded { by: tenure, name: ClientName::new("other") },
        Reason::SpawnFailed(SpawnError::new(SpawnErrorKind::NotFound, "probe")),
        Reason::Incompatible { supported: names::LATER },
        Reason::Incompatible { supported: VersionRange::SUPPORTED },
        Reason::Unresponsive,
        Reason::Exhausted(Counter::Tenure),
    ]
}
