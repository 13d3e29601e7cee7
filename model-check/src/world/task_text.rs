//! What a server does, in words for a trace.

use rejoin_protocol::Link;
use rejoin_protocol::registry::{Next, Program};
use rejoin_protocol::server::{Effect, Event};

use super::serve::ServerTask;
use crate::show;

pub(super) fn task_text(todo: &ServerTask) -> String {
    match todo {
        ServerTask::Effect(Effect::Send(Link(link), frame)) => {
            format!("sends on {link}: {}", show::frame(frame))
        }
        ServerTask::Effect(Effect::HandOver(seq, item)) => {
            format!("hands over {seq}: {}", show::item(item))
        }
        ServerTask::Effect(Effect::Start { incarnation, tenure, .. }) => {
            format!("is to start incarnation {incarnation} with tenure {tenure}")
        }
        ServerTask::Effect(Effect::Close(Link(link))) => format!("closes {link}"),
        ServerTask::Effect(effect) => format!("{effect:?}"),
        ServerTask::Event(server_event) => event_text(server_event),
        ServerTask::Start(start) => operation_text(start),
        ServerTask::Bury(burial) => operation_text(burial),
        ServerTask::Guard(guard) => operation_text(guard),
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
