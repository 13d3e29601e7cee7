//! Frames and specs in plain JSON: the names of SPEC's tables, with `_` for a space.

use rejoin_protocol::error::{FrameError, Misbehaviour};
use rejoin_protocol::frame::{Bye, From, Hello, Refused, Welcome, Wish};
use rejoin_protocol::spec::{Command, ProcessSpec};
use rejoin_protocol::{
    ExitStatus, Frame, Holder, HostId, Item, Reason, SpawnError, VersionRange, WindowSize,
};
use serde_json::{Value, json};

use super::to_hex;

/// A frame. A variant with fields is an object with one field, its name; one without is a text.
pub fn describe(frame: &Frame) -> Value {
    match frame {
        Frame::Greeting(greeting) => {
            let fields = joined(&[&range(greeting.versions), &host(greeting.host)]);
            json!({ "Greeting": joined(&[&fields, &json!({ "host_name": greeting.host_name })]) })
        }
        Frame::Hello(hello) => json!({ "Hello": describe_hello(hello) }),
        Frame::Welcome(welcome) => json!({ "Welcome": describe_welcome(welcome) }),
        Frame::Refused(refused) => json!({ "Refused": describe_refused(refused) }),
        Frame::Item { seq, item } => json!({ "Item": { "seq": seq, "item": describe_item(item) }}),
        Frame::Ack { next } => json!({ "Ack": { "next": next } }),
        Frame::Ping { token } => json!({ "Ping": { "token": token } }),
        Frame::Pong { token } => json!({ "Pong": { "token": token } }),
        Frame::Superseded { by, name } => json!({ "Superseded": { "by": by, "name": name } }),
        Frame::Detach => json!("Detach"),
        Frame::Close => json!("Close"),
        Frame::Closed { attach, ended } => {
            json!({ "Closed": { "attach": attach, "ended": ended } })
        }
        Frame::Bye(bye) => json!({ "Bye": describe_bye(*bye) }),
    }
}

fn joined(objects: &[&Value]) -> Value {
    let fields = objects.iter().filter_map(|object| object.as_object()).flatten();
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn range(versions: VersionRange) -> Value {
    json!({ "min": versions.min, "max": versions.max })
}

fn host(host: HostId) -> Value {
    json!({ "machine": to_hex(&host.machine), "boot": to_hex(&host.boot) })
}

fn holder(holder: &Holder) -> Value {
    json!({
        "epoch": holder.epoch.to_string(),
        "incarnation": holder.incarnation,
        "tenure": holder.tenure,
    })
}

fn describe_hello(hello: &Hello) -> Value {
    json!({
        "version": hello.version, "session": hello.session.to_string(),
        "instance": hello.instance.to_string(), "name": hello.name,
        "attach": hello.attach, "tenure": hello.tenure, "wish": describe_wish(&hello.wish),
    })
}

fn describe_wish(wish: &Wish) -> Value {
    match wish {
        Wish::Open { incarnation, host: named, spec } => {
            let fields = json!({ "incarnation": incarnation, "payload": to_hex(spec) });
            json!({ "Open": joined(&[&fields, &host(*named)]) })
        }
        Wish::Resume { incarnation, epoch, next_output } => json!({ "Resume": {
            "incarnation": incarnation, "epoch": epoch.to_string(), "next_output": next_output }}),
        Wish::Claim { expected, from } => json!({ "Claim": {
            "expected": expected.as_ref().map(holder), "from": describe_from(*from) }}),
        Wish::Close { incarnation, scope } => json!({ "Close": {
            "incarnation": incarnation, "scope": format!("{scope:?}") }}),
        Wish::Unreadable => json!("Unreadable"),
    }
}

fn describe_from(from: From) -> Value {
    match from {
        From::FirstHeld => json!("FirstHeld"),
        From::Latest => json!("Latest"),
        From::Seq(seq) => json!({ "Seq": { "seq": seq } }),
    }
}

fn describe_welcome(welcome: &Welcome) -> Value {
    json!({
        "attach": welcome.attach, "version": welcome.version, "capabilities": welcome.capabilities,
        "epoch": welcome.epoch.to_string(), "incarnation": welcome.incarnation,
        "tenure": welcome.tenure, "accepted": welcome.accepted,
        "handed_over": welcome.handed_over, "buffered": welcome.buffered,
        "first_output": welcome.first_output, "next_output": welcome.next_output,
        "window": welcome.window, "how": format!("{:?}", welcome.how),
    })
}

fn describe_refused(refused: &Refused) -> Value {
    let counters = &refused.counters;
    json!({
        "attach": refused.attach, "reason": describe_reason(&refused.reason),
        "used": counters.used, "tenure": counters.tenure,
        "epoch": counters.epoch.map(|epoch| epoch.to_string()),
    })
}

fn describe_reason(reason: &Reason) -> Value {
    match reason {
        Reason::EpochMismatch { current } => {
            json!({ "EpochMismatch": { "current": current.to_string() } })
        }
        Reason::DifferentHost { host: this } => json!({ "DifferentHost": host(*this) }),
        Reason::Diverged(what) => json!({ "Diverged": { "what": format!("{what:?}") } }),
        Reason::Gap { first_held } => json!({ "Gap": { "first_held": first_held } }),
        Reason::Stale { last } => json!({ "Stale": { "last": last } }),
        Reason::Held { by, name } => json!({ "Held": { "holder": holder(by), "name": name } }),
        Reason::Superseded { by, name } => json!({ "Superseded": { "by": by, "name": name } }),
        Reason::SpawnFailed(SpawnError { kind, message }) => {
            json!({ "SpawnFailed": { "kind": format!("{kind:?}"), "message": message } })
        }
        Reason::Incompatible { supported } => json!({ "Incompatible": range(*supported) }),
        Reason::Forbidden { message } => json!({ "Forbidden": { "message": message } }),
        Reason::Exhausted(counter) => {
            json!({ "Exhausted": { "counter": format!("{counter:?}") } })
        }
        Reason::ProcessGone | Reason::Unknown | Reason::Unresponsive => {
            json!(format!("{reason:?}"))
        }
    }
}

fn describe_item(item: &Item) -> Value {
    match item {
        Item::Input(data) => json!({ "Input": { "payload": to_hex(data) } }),
        Item::InputEnd => json!("InputEnd"),
        Item::Resize(size) => json!({ "Resize": describe_size(*size) }),
        Item::Signal(signal) => json!({ "Signal": { "number": signal } }),
        Item::Output { stream, data } => {
            let stream = format!("{stream:?}").to_lowercase();
            json!({ "Output": { "stream": stream, "payload": to_hex(data) } })
        }
        Item::Exit(ExitStatus::Code(code)) => json!({ "Exit": { "Code": code } }),
        Item::Exit(ExitStatus::Signal(signal)) => json!({ "Exit": { "Signal": signal } }),
        Item::Gap { next } => json!({ "Gap": { "next": next } }),
    }
}

fn describe_size(size: WindowSize) -> Value {
    let WindowSize { rows, cols, xpixel, ypixel } = size;
    json!({ "rows": rows, "columns": cols, "width": xpixel, "height": ypixel })
}

fn describe_bye(bye: Bye) -> Value {
    match bye {
        Bye::Misbehaved(Misbehaviour::Frame(error)) => {
            json!({ "Misbehaved": { "Frame": describe_error(error) } })
        }
        Bye::Misbehaved(what) => json!({ "Misbehaved": format!("{what:?}") }),
        Bye::Replaced | Bye::Ending => json!(format!("{bye:?}")),
    }
}

fn describe_error(error: FrameError) -> Value {
    match error {
        FrameError::TooLong { kind, length, limit } => {
            json!({ "TooLong": { "kind": kind, "length": length, "limit": limit } })
        }
        FrameError::UnknownKind(kind) => json!({ "UnknownKind": { "kind": kind } }),
        FrameError::BadHeader(kind) => json!({ "BadHeader": { "kind": kind } }),
        FrameError::UnexpectedPayload(kind) => json!({ "UnexpectedPayload": { "kind": kind } }),
        FrameError::BadPayload(kind) => json!({ "BadPayload": { "kind": kind } }),
        FrameError::Empty | FrameError::NoMagic => json!(format!("{error:?}")),
    }
}

/// The payload of an Open.
pub fn describe_spec(spec: &ProcessSpec) -> Value {
    let pairs = spec.environment.iter();
    let environment: Vec<_> = pairs.map(|(name, value)| [to_hex(name), to_hex(value)]).collect();
    let terminal = spec.terminal.as_ref().map(|terminal| {
        let modes = json!({ "modes": terminal.modes });
        joined(&[&json!({ "TERM": terminal.term }), &describe_size(terminal.size), &modes])
    });
    json!({
        "command": describe_command(&spec.command),
        "directory": spec.directory.as_deref().map(to_hex),
        "environment": environment,
        "terminal": terminal,
        "window": spec.window,
        "overflow": format!("{:?}", spec.overflow),
        "retention": spec.retention,
    })
}

fn describe_command(command: &Command) -> Value {
    match command {
        Command::LoginShell => json!("LoginShell"),
        Command::Shell(words) => json!({ "Shell": to_hex(words) }),
        Command::Exec(words) => {
            json!({ "Exec": words.iter().map(|word| to_hex(word)).collect::<Vec<_>>() })
        }
        Command::Subsystem(name) => json!({ "Subsystem": name }),
    }
}
