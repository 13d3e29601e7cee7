//! What a server does, in words for a trace.

use rejoin_protocol::Link;
use rejoin_protocol::registry::{Next, Program};
use rejoin_protocol::server::{Effect, Event};

use super::serve::Todo;
use crate::show;

pub(super) fn todo_text(todo: &Todo) -> String {
    match todo {
        Todo::Effect(Effect::Send(Link(link), frame)) => {
            format!("sends on {link}: {}", show::frame(frame))
        }
        Todo::Effect(Effect::HandOver(seq, item)) => {
            format!("hands over {seq}: {}", show::item(item))
        }
        Todo::Effect(Effect::Start { incarnation, tenure, .. }) => {
            format!("is to start incarnation {incarnation} with tenure {tenure}")
        }
        Todo::Effect(Effect::Close(Link(link))) => format!("closes {link}"),
        Todo::Effect(effect) => format!("{effect:?}"),
        Todo::Event(server_event) => event_text(server_event),
        Todo::Start(start) => operation_text(start),
        Todo::Bury(burial) => operation_text(burial),
        Todo::Guard(guard) => operation_text(guard),
        todo => format!("{todo:?}"),
    }
}

fn operation_text(program: &impl Program) -> String {
    match program.next() {
        Next::Do(operation) => format!("{operation:?}"),
        Next::End(_) => "goes on".to_owned(),
    }
}

fn event_text(event: &Event) -> String {
    match event {
        Event::Frame(Link(link), frame) => format!("gets on {link}: {}", show::frame(frame)),
        event => format!("gets {event:?}"),
    }
}
