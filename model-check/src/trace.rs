//! Runs for people: one line a step, frames in full, states in short; and the same as a Mermaid
//! sequence diagram.

use std::cell::RefCell;
use std::fmt::{self, Write as _};

use crate::model::Session;
use crate::probes;
use crate::rules::Violation;
use crate::settle::Run;
use crate::world::wire::Far;
use crate::world::{Action, World};

thread_local! {
    static NOTES: RefCell<Option<Vec<Note>>> = const { RefCell::new(None) };
}

/// Something that was done in a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Who did it: `client 0`, `server 1`, `program 2`.
    pub who: String,
    /// What.
    pub what: String,
}

/// Takes note of what is done, if a trace is being written; costs nothing else.
pub(crate) fn note(note: impl FnOnce() -> (String, String)) {
    NOTES.with_borrow_mut(|notes| {
        if let Some(notes) = notes {
            let (who, what) = note();
            notes.push(Note { who, what });
        }
    });
}

fn record<R>(act: impl FnOnce() -> R) -> (R, Vec<Note>) {
    NOTES.set(Some(Vec::new()));
    let result = act();
    (result, NOTES.take().unwrap_or_default())
}

/// What a copy of a machine was brought, if it broke a rule by that.
fn probed(session: &Session, world: &World) -> Option<Line> {
    probes::forget();
    let (probed, mut notes) = record(|| probes::probe(&session.cx, world));
    probed.err()?;
    // What came last is what broke the rule; one more step may have led to it.
    let notes = notes.split_off(notes.len().saturating_sub(4));
    let title = "a copy of a machine is brought what nobody sends".to_owned();
    Some(Line { title, arrow: None, notes, states: Vec::new(), is_settling: false })
}

/// One step of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
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

/// A run, step by step, and how it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The steps.
    pub lines: Vec<Line>,
    /// The rule that it breaks first, if it breaks any.
    pub violation: Option<Violation>,
    /// Everything that is wrong with its last world.
    pub violations: Vec<Violation>,
}

impl Line {
    /// What cannot happen here: the machines do something else than when the run was kept.
    fn impossible(action: Action) -> Self {
        let title = format!("(does not happen: {action})");
        Self { title, arrow: None, notes: Vec::new(), states: Vec::new(), is_settling: false }
    }
}

impl Trace {
    /// Replays a run; what cannot happen in it any more is passed over. If it breaks no rule by itself, it is left to settle: that is what rule 15
    /// is about.
    pub fn of(session: &Session, actions: &[Action]) -> Self {
        let mut lines = Vec::new();
        let mut world = session.beginning();
        for action in actions {
            if !session.can(&world, *action) {
                lines.push(Line::impossible(*action));
                continue;
            }
            let before = world.clone();
            let ((), notes) = record(|| world.act(&session.cx, *action));
            lines.push(line(*action, &before, &world, notes, false));
        }
        let is_broken = world.violation.or(world.suspicion).is_some();
        if !is_broken && session.violation(&world).is_some() {
            match probed(session, &world) {
                Some(line) => lines.push(line),
                None => settle(session, &world, &mut lines),
            }
        }
        let violations: Vec<_> = session.violations(&world).collect();
        Self { lines, violation: violations.first().copied(), violations }
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut was_settling = false;
        for (number, line) in (1..).zip(&self.lines) {
            if line.is_settling && !was_settling {
                text.push_str("     -- from here on without faults --\n");
                was_settling = true;
            }
            let _ = write!(text, "{number:4} {line}");
        }
        if let Some(violation) = self.violation {
            let _ = writeln!(text, "broken: {violation}\n        ({})", violation.rule_text());
        }
        text
    }

    /// As a Mermaid sequence diagram.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("sequenceDiagram\n    participant world\n");
        for line in &self.lines {
            match &line.arrow {
                Some((from, to)) => {
                    let _ = writeln!(text, "    {from}->>{to}: {}", plain(&line.title));
                }
                None => {
                    let _ = writeln!(text, "    Note over world: {}", plain(&line.title));
                }
            }
            for note in line.notes.iter().filter(|note| note.what.starts_with("tells")) {
                let who = note.who.replace(' ', "");
                let _ = writeln!(text, "    Note over {who}: {}", plain(&note.what));
            }
        }
        if let Some(violation) = self.violation {
            let _ =
                writeln!(text, "    Note over world: broken: {}", plain(&violation.to_string()));
        }
        text
    }
}

/// Mermaid ends a message at a semicolon, and a diagram's line at a number sign.
fn plain(text: &str) -> String {
    text.replace(';', ",").replace('#', "/")
}

fn settle(session: &Session, world: &World, lines: &mut Vec<Line>) {
    let mut run = Run::new(world);
    // A run that never settles is shown up to where it repeats itself to the eye.
    for _ in 0..60 {
        let Some(action) = run.next(&session.cx) else { return };
        let before = run.world.clone();
        let ((), notes) = record(|| run.take(&session.cx, action));
        lines.push(line(action, &before, &run.world, notes, true));
        if run.world.violation.is_some() {
            return;
        }
    }
}

fn line(
    action: Action,
    before: &World,
    after: &World,
    notes: Vec<Note>,
    is_settling: bool,
) -> Line {
    Line {
        title: title(action, before),
        arrow: arrow(action, before),
        notes,
        states: states(before, after),
        is_settling,
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for note in &self.notes {
            writeln!(f, "       {}: {}", note.who, note.what)?;
        }
        self.states.iter().try_for_each(|state| writeln!(f, "       = {state}"))
    }
}

/// One step from a world, and the world that it leads to, in full.
pub fn step(session: &Session, world: &World, action: Action) -> String {
    let mut after = world.clone();
    let ((), notes) = record(|| after.act(&session.cx, action));
    format!("{}\n{after:#?}", line(action, world, &after, notes, false))
}

/// What happens, with the frame that arrives.
pub fn title(action: Action, world: &World) -> String {
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
    let far = match wire.far {
        Far::Attach(a) => format!("attach{a}"),
        Far::Server(s) => format!("server{s}"),
        Far::Closed => "gone".to_owned(),
    };
    Some(if matches!(action, Action::ToHost(_)) { (client, far) } else { (far, client) })
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
