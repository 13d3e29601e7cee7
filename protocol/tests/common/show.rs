//! Events, effects and frames in a few words each, for the transition tables.

use rejoin_protocol::client::{self, Notice};
use rejoin_protocol::error::FrameError;
use rejoin_protocol::frame::{Bye, Scope, Wish};
use rejoin_protocol::server;
use rejoin_protocol::{Epoch, Frame, Holder, Item, Link, Reason};

fn epoch(epoch: Epoch) -> String {
    epoch.to_string()[..2].to_owned()
}

fn holder(holder: &Holder) -> String {
    format!("{}/{}/{}", epoch(holder.epoch), holder.incarnation, holder.tenure)
}

fn link(link: Link) -> String {
    format!("L{}", link.0)
}

pub fn item(item: &Item) -> String {
    match item {
        Item::Input(data) => format!("Input {}B", data.len()),
        Item::InputEnd => "InputEnd".into(),
        Item::Resize(size) => format!("Resize {}x{}", size.cols, size.rows),
        Item::Signal(signal) => format!("Signal {}", signal.0),
        Item::Output { stream, data } => format!("{stream:?} {}B", data.len()),
        Item::Exit(status) => format!("Exit({status})"),
        Item::Gap { next } => format!("Gap to {next}"),
    }
}

fn wish(wish: &Wish) -> String {
    match wish {
        Wish::Open { incarnation, host, .. } => {
            format!("Open inc {incarnation} host {}", &host.to_string()[..2])
        }
        Wish::Resume { incarnation, epoch: of, next_output } => {
            format!("Resume inc {incarnation} epoch {} out {next_output}", epoch(*of))
        }
        Wish::Claim { expected, from } => {
            format!("Claim {} from {from:?}", expected.as_ref().map_or("?".into(), holder))
        }
        Wish::Close { incarnation, scope: Scope::Session } => format!("Close inc {incarnation}"),
        Wish::Close { incarnation, scope } => format!("Close inc {incarnation} {scope:?}"),
        Wish::Unreadable => "Unreadable".into(),
    }
}

pub fn reason(reason: &Reason) -> String {
    match reason {
        Reason::EpochMismatch { current } => format!("EpochMismatch {}", epoch(*current)),
        Reason::DifferentHost { .. } => "DifferentHost".into(),
        Reason::Diverged(what) => format!("Diverged {what:?}"),
        Reason::Gap { first_held } => format!("Gap first {first_held}"),
        Reason::Stale { last } => format!("Stale last {last}"),
        Reason::Held { by, .. } => format!("Held by {}", holder(by)),
        Reason::Superseded { by, .. } => format!("Superseded by {by}"),
        Reason::SpawnFailed(error) => format!("SpawnFailed {:?}", error.kind),
        Reason::Incompatible { supported } => format!("Incompatible {supported}"),
        Reason::Forbidden { .. } => "Forbidden".into(),
        Reason::Exhausted(counter) => format!("Exhausted {counter:?}"),
        Reason::ProcessGone | Reason::Unknown | Reason::Unresponsive => format!("{reason:?}"),
    }
}

fn bye(bye: &Bye) -> String {
    match bye {
        Bye::Misbehaved(what) => format!("Bye({what:?})"),
        Bye::Replaced | Bye::Ending => format!("Bye({bye:?})"),
    }
}

pub fn frame(frame: &Frame) -> String {
    match frame {
        Frame::Greeting(_) => "Greeting".into(),
        Frame::Hello(hello) => {
            format!("Hello #{} ten {} {}", hello.attach, hello.tenure, wish(&hello.wish))
        }
        Frame::Welcome(welcome) => format!(
            "Welcome #{} {:?} epoch {} inc {} ten {} in {}/{} buf {} out {}/{}",
            welcome.attach,
            welcome.how,
            epoch(welcome.epoch),
            welcome.incarnation,
            welcome.tenure,
            welcome.handed_over,
            welcome.accepted,
            welcome.buffered,
            welcome.first_output,
            welcome.next_output,
        ),
        Frame::Refused(refused) => format!(
            "Refused #{} {} used {} ten {}",
            refused.attach,
            reason(&refused.reason),
            refused.counters.used.map_or("-".into(), |used| used.to_string()),
            refused.counters.tenure,
        ),
        Frame::Item { seq, item: of } => format!("Item {seq} {}", item(of)),
        Frame::Ack { next } => format!("Ack {next}"),
        Frame::Ping { .. } => "Ping".into(),
        Frame::Pong { .. } => "Pong".into(),
        Frame::Superseded { by, .. } => format!("Superseded by {by}"),
        Frame::Detach => "Detach".into(),
        Frame::Close => "Close".into(),
        Frame::Closed { attach, .. } => format!("Closed #{attach}"),
        Frame::Bye(why) => bye(why),
    }
}

fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Attached {
            how, epoch: of, incarnation, tenure, next_output, next_input, ..
        } => {
            format!(
                "Attached {how:?} epoch {} inc {incarnation} ten {tenure} out {next_output} in {next_input}",
                epoch(*of)
            )
        }
        Notice::Detached(loss) => format!("Detached {loss:?}"),
        Notice::Replaced { old, new, reason: why, unacknowledged_input, next_output } => format!(
            "Replaced {old} by {new}: {}, {unacknowledged_input}B unknown, out {next_output}",
            reason(why)
        ),
        Notice::Lost { reason: why, unacknowledged_input, next_output, .. } => {
            format!("Lost: {}, {unacknowledged_input}B unknown, out {next_output}", reason(why))
        }
        Notice::Refused(why) => format!("Refused {}", reason(why)),
        Notice::Hindered(why) => format!("Hindered {}", reason(why)),
        Notice::Superseded { by, .. } => format!("Superseded by {by}"),
        Notice::Exited { status, unacknowledged_input } => {
            format!("Exited({status}), {unacknowledged_input}B unknown")
        }
        Notice::Closed { .. } => "Closed".into(),
        Notice::GaveUp(patience) => format!("GaveUp {patience:?}"),
    }
}

pub fn client_effect(effect: &client::Effect) -> String {
    match effect {
        client::Effect::Connect => "connect".into(),
        client::Effect::Send(on, of) => format!("send {} {}", link(*on), frame(of)),
        client::Effect::Close(on) => format!("close {}", link(*on)),
        client::Effect::Deliver(seq, of) => format!("deliver {seq} {}", item(of)),
        client::Effect::Tell(of) => format!("tell {}", notice(of)),
        client::Effect::Return(of) => format!("return {}", item(of)),
        client::Effect::Arm(timer) => format!("arm {timer:?}"),
        client::Effect::Disarm(timer) => format!("disarm {timer:?}"),
    }
}

pub fn server_effect(effect: &server::Effect) -> String {
    match effect {
        server::Effect::Send(on, of) => format!("send {} {}", link(*on), frame(of)),
        server::Effect::Close(on) => format!("close {}", link(*on)),
        server::Effect::Start { incarnation, tenure, .. } => {
            format!("start inc {incarnation} ten {tenure}")
        }
        server::Effect::RecordTenure(tenure, _) => format!("record tenure {tenure}"),
        server::Effect::HandOver(seq, of) => format!("hand over {seq} {}", item(of)),
        server::Effect::EndProcess(extent) => format!("end {extent:?}"),
        server::Effect::Bury(past) => format!(
            "bury used {} ten {}{}",
            past.used.map_or("-".into(), |used| used.to_string()),
            past.tenure,
            past.failed.as_ref().map_or(String::new(), |(failed, _)| format!(" failed {failed}")),
        ),
        server::Effect::Stop => "stop".into(),
        server::Effect::Arm(timer) => format!("arm {timer:?}"),
        server::Effect::Disarm(timer) => format!("disarm {timer:?}"),
    }
}

pub fn effects<E>(effects: &[E], show: fn(&E) -> String) -> String {
    if effects.is_empty() {
        return "nothing".into();
    }
    effects.iter().map(show).collect::<Vec<_>>().join("; ")
}

/// A frame error that stands for all of them.
pub const BAD_BYTES: FrameError = FrameError::Empty;
