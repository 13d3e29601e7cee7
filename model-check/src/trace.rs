//! Runs for people: one line a step, frames in full, states in short; and the same as a Mermaid
//! sequence diagram.

use std::fmt::Write as _;

use crate::model::SessionModel;
use crate::notes::record;
use crate::probes;
use crate::rules::Violation;
use crate::settle::SettlingRun;
use crate::step_text::{StepText, describe};
use crate::world::{Action, World};

/// What a copy of a machine was brought, if it broke a rule by that.
fn probed(session: &SessionModel, world: &World) -> Option<StepText> {
    probes::forget();
    let (probed, mut notes) = record(|| probes::probe(&session.cx, world));
    probed.err()?;
    // What came last is what broke the rule; one more step may have led to it.
    let notes = notes.split_off(notes.len().saturating_sub(4));
    let title = "a copy of a machine is brought what nobody sends".to_owned();
    Some(StepText { title, arrow: None, notes, states: Vec::new(), is_settling: false })
}

/// A run, step by step, and how it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The steps.
    pub lines: Vec<StepText>,
    /// The rule that it breaks first, if it breaks any.
    pub violation: Option<Violation>,
    /// Everything that is wrong with its last world.
    pub violations: Vec<Violation>,
}

impl Trace {
    /// Replays a run; what cannot happen in it any more is passed over. If it breaks no rule by itself, it is left to settle: that is what rule 15
    /// is about.
    pub fn of(session: &SessionModel, actions: &[Action]) -> Self {
        let mut lines = Vec::new();
        let mut world = session.beginning();
        for action in actions {
            if !session.can(&world, *action) {
                lines.push(StepText::impossible(*action));
                continue;
            }
            let before = world.clone();
            let ((), notes) = record(|| world.act(&session.cx, *action));
            lines.push(describe(*action, &before, &world, notes, false));
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

fn settle(session: &SessionModel, world: &World, lines: &mut Vec<StepText>) {
    let mut run = SettlingRun::new(world);
    // A run that never settles is shown up to where it repeats itself to the eye.
    for _ in 0..60 {
        let Some(action) = run.next(&session.cx) else { return };
        let before = run.world.clone();
        let ((), notes) = record(|| run.take(&session.cx, action));
        lines.push(describe(action, &before, &run.world, notes, true));
        if run.world.violation.is_some() {
            return;
        }
    }
}
