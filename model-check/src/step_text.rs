//! One step as text: its title, the frame that arrives, what is done, and the states that change.

use std::fmt;

use crate::notes::{Note, record};
use crate::world::wire::HostEnd;
use crate::world::{Action, Cx, World};

/// One step of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepText {
    /// What happens.
    pub title: String,
    /// Between whom, if it is a frame that arrives.
    pub arrow: Option<(String, String)>,
    /// What is done because of it.
    pub notes: Vec<Note>,
    /// Which states it leads to, in short.
    pub states: Vec<String>,
    /// Whether it belongs to the schedule without faults at the end.
    pub is_settling: bool,
}

impl StepText {
    /// What cannot happen here: the machines do something else than when the run was kept.
    pub(crate) fn impossible(action: Action) -> Self {
        let title = format!("(does not happen: {action})");
        Self { title, arrow: None, notes: Vec::new(), states: Vec::new(), is_settling: false }
    }
}

/// The text of a step from `before` to `after`.
pub(crate) fn describe(
    action: Action,
    before: &World,
    after: &World,
    notes: Vec<Note>,
    is_settling: bool,
) -> StepText {
    StepText {
        title: title(action, before),
        arrow: arrow(action, before),
        notes,
        states: states(before, after),
        is_settling,
    }
}

impl fmt::Display for StepText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for note in &self.notes {
            writeln!(f, "       {}: {}", note.who, note.what)?;
        }
        self.states.iter().try_for_each(|state| writeln!(f, "       = {state}"))
    }
}

/// One step from a world, and the world that it leads to, in full.
pub(crate) fn step(cx: &Cx, world: &World, action: Action) -> String {
    let mut after = world.clone();
    let ((), notes) = record(|| after.act(cx, action));
    format!("{}\n{after:#?}", describe(action, world, &after, notes, false))
}

/// What happens, with the frame that arrives.
fn title(action: Action, world: &World) -> String {
    let frame = match action {
        Action::ToClient(w) => {
            world.wires[usize::from(w)].as_ref().and_then(|it| it.to_client.front())
        }
        Action::ToHost(w) => {
            world.wires[usize::from(w)].as_ref().and_then(|it| it.to_server.front())
        }
        _ => None,
    };
    match frame {
        Some(frame) => format!("{action}: {}", crate::show::frame(frame)),
        None => action.to_string(),
    }
}

fn arrow(action: Action, world: &World) -> Option<(String, String)> {
    let (Action::ToClient(w) | Action::ToHost(w)) = action else { return None };
    let wire = world.wires[usize::from(w)].as_ref()?;
    let client = format!("client{}", wire.party);
    let host_end = match wire.host_end {
        HostEnd::Attach(a) => format!("attach{a}"),
        HostEnd::Server(s) => format!("server{s}"),
        HostEnd::Closed => "gone".to_owned(),
    };
    Some(if matches!(action, Action::ToHost(_)) { (client, host_end) } else { (host_end, client) })
}

fn states(before: &World, after: &World) -> Vec<String> {
    let mut states = Vec::new();
    for (p, pair) in before.parties.iter().zip(&after.parties).enumerate() {
        let [old, new] =
            [pair.0, pair.1].map(|it| it.as_ref().map_or("absent", |it| it.machine.name()));
        if old != new {
            states.push(format!("client {p}: {old} -> {new}"));
        }
    }
    for (s, pair) in before.servers.iter().zip(&after.servers).enumerate() {
        let [old, new] =
            [pair.0, pair.1].map(|it| it.as_ref().map_or("none", |it| it.machine.name()));
        if old != new {
            states.push(format!("server {s}: {old} -> {new}"));
        }
    }
    states
}
