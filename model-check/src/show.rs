//! Frames, events and effects in words.

use rejoin_protocol::client::Notice;
use rejoin_protocol::frame::{Hello, Refused, Welcome, Wish};
use rejoin_protocol::{Frame, Item, Reason};

use crate::names;

/// A frame, with every field that the model varies.
pub fn frame(frame: &Frame) -> String {
    match frame {
        Frame::Greeting(greeting) => format!("Greeting host={}", host(&greeting.host)),
        Frame::Hello(hello) => self::hello(hello),
        Frame::Welcome(welcome) => self::welcome(welcome),
        Frame::Refused(refused) => self::refused(refused),
        Frame::Item { seq, item } => format!("Item {seq}: {}", self::item(item)),
        Frame::Ack { next } => format!("Ack next={next}"),
        Frame::Ping { .. } => "Ping".to_owned(),
        Frame::Pong { .. } => "Pong".to_owned(),
        Frame::Superseded { by, .. } => format!("Superseded by tenure {by}"),
        Frame::Detach => "Detach".to_owned(),
        Frame::Close => "Close".to_owned(),
        Frame::Closed { attach, ended } => format!("Closed attach={attach} ended={ended}"),
        Frame::Bye(bye) => format!("Bye {bye:?}"),
    }
}

fn hello(hello: &Hello) -> String {
    let wish = match &hello.wish {
        Wish::Open { incarnation, host, .. } => {
            format!("Open incarnation={incarnation} host={}", self::host(host))
        }
        Wish::Resume { incarnation, epoch, next_output } => {
            format!(
                "Resume incarnation={incarnation} epoch={} next_output={next_output}",
                names::epoch_index(*epoch)
            )
        }
        Wish::Claim { expected, from } => match expected {
            Some(holder) => format!(
                "Claim from epoch={} incarnation={} tenure={}, output {from:?}",
                names::epoch_index(holder.epoch),
                holder.incarnation,
                holder.tenure
            ),
            None => format!("Claim from whoever has it, output {from:?}"),
        },
        Wish::Unreadable => "what cannot be read".to_owned(),
        Wish::Close { incarnation, scope } => {
            format!("Close incarnation={incarnation} scope={scope:?}")
        }
    };
    let who = hello.instance.as_bytes()[0];
    let (party, generation) = (who >> 2 & 3, who & 3);
    format!("Hello of {party}.{generation} attach={} tenure={}: {wish}", hello.attach, hello.tenure)
}

fn welcome(welcome: &Welcome) -> String {
    format!(
        "Welcome attach={} {:?} epoch={} incarnation={} tenure={} accepted={} handed_over={} \
         first_output={} next_output={}",
        welcome.attach,
        welcome.how,
        names::epoch_index(welcome.epoch),
        welcome.incarnation,
        welcome.tenure,
        welcome.accepted,
        welcome.handed_over,
        welcome.first_output,
        welcome.next_output
    )
}

fn refused(refused: &Refused) -> String {
    let used = refused.counters.used.map_or_else(|| "none".to_owned(), |used| used.to_string());
    let tenure = refused.counters.tenure;
    let reason = self::reason(&refused.reason);
    format!("Refused attach={} {reason} (used={used} tenure={tenure})", refused.attach)
}

/// A reason, in short.
pub fn reason(reason: &Reason) -> String {
    match reason {
        Reason::EpochMismatch { current } => {
            format!("EpochMismatch current={}", names::epoch_index(*current))
        }
        Reason::DifferentHost { host } => format!("DifferentHost {}", self::host(host)),
        Reason::Held { by, .. } => {
            format!("Held epoch={} tenure={}", names::epoch_index(by.epoch), by.tenure)
        }
        Reason::Superseded { by, .. } => format!("Superseded by tenure {by}"),
        Reason::SpawnFailed(_) => "SpawnFailed".to_owned(),
        reason => format!("{reason:?}"),
    }
}

fn host(host: &rejoin_protocol::HostId) -> String {
    format!("{}.{}", host.machine[0] - 1, host.boot[0] - 1)
}

/// An item, with what it holds.
pub fn item(item: &Item) -> String {
    match item {
        Item::Input(data) => {
            let typed = names::typed(item);
            typed.map_or_else(
                || format!("Input {data:?}"),
                |(party, generation, number)| format!("Input {party}.{generation}#{number}"),
            )
        }
        Item::Output { data, .. } => {
            let byte = data.first().copied().unwrap_or_default();
            format!("Output {}#{}", byte >> 4, byte & 15)
        }
        item => format!("{item:?}"),
    }
}

/// What an application is told, in short.
pub fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Attached { how, epoch, incarnation, .. } => format!(
            "attached ({how:?}, epoch {}, incarnation {incarnation})",
            names::epoch_index(*epoch)
        ),
        Notice::Detached(loss) => format!("detached: {loss}"),
        Notice::Replaced { old, new, reason, unacknowledged_input, next_output } => format!(
            "replaced: {old} by {new}, {}; input of unknown fate: {unacknowledged_input}, output \
             up to {next_output}",
            self::reason(reason)
        ),
        Notice::Lost { reason, unacknowledged_input, next_output, .. } => format!(
            "lost: {}; input of unknown fate: {unacknowledged_input}, output up to {next_output}",
            self::reason(reason)
        ),
        Notice::Refused(reason) => format!("refused: {}", self::reason(reason)),
        Notice::Hindered(reason) => format!("hindered: {}", self::reason(reason)),
        Notice::Superseded { by, .. } => format!("superseded by tenure {by}"),
        Notice::Exited { status, unacknowledged_input } => {
            format!("exited: {status:?}, input never taken: {unacknowledged_input}")
        }
        Notice::Closed { ended } => format!("closed, {ended} processes ended"),
        Notice::GaveUp(patience) => format!("gave up: {patience:?}"),
    }
}
