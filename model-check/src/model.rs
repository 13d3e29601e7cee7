//! The world as a model that Stateright can search.

use std::sync::Arc;

use stateright::{Model, Property};

use crate::budget::Budget;
use crate::probes;
use crate::profile::Profile;
use crate::rules::{NAMES, Violation};
use crate::settle;
use crate::step_text;
use crate::world::{Action, Cx, World};

/// The world within the bounds of a profile. Cheap to copy: the copies share what they have seen.
#[derive(Clone, Debug)]
pub struct SessionModel {
    /// The bounds, and what was seen within them.
    pub cx: Arc<Cx>,
}

impl SessionModel {
    /// A model of this world.
    pub fn new(cx: Cx) -> Self {
        Self { cx: Arc::new(cx) }
    }

    /// The first world.
    pub fn beginning(&self) -> World {
        let Cx { profile, driver_mutant, .. } = &*self.cx;
        // What has happened before is not looked at step by step, and uses nothing up.
        let before = Profile { is_stepwise: false, budget: Budget::of(&[]), ..*profile };
        let cx = Cx::new(before, *driver_mutant);
        let mut world = World::new(&self.cx);
        world.budget = before.budget;
        for action in profile.prefix {
            world.act(&cx, *action);
        }
        world.budget = self.cx.profile.budget;
        world
    }

    /// Whether something can happen in a world.
    pub fn can(&self, world: &World, action: Action) -> bool {
        let mut actions = Vec::new();
        self.actions(world, &mut actions);
        actions.contains(&action)
    }

    /// The rule that is broken in a world, or once it is left to settle.
    pub fn violation(&self, world: &World) -> Option<Violation> {
        self.violations(world).next()
    }

    /// All that are found: of what happened, of what would happen next, and of what would happen in the end.
    pub fn violations<'a>(&'a self, world: &'a World) -> impl Iterator<Item = Violation> + 'a {
        let looks: [fn(&Cx, &World) -> Option<Violation>; 4] = [
            |_, world| world.violation,
            |_, world| world.suspicion,
            |cx, world| probes::probe(cx, world).err(),
            |cx, world| settle::settle(cx, world).err(),
        ];
        looks.into_iter().filter_map(|look| look(&self.cx, world))
    }
}

impl Model for SessionModel {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.beginning()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(&self.cx, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(&self.cx, action);
        Some(next)
    }

    fn format_action(&self, action: &Action) -> String {
        action.to_string()
    }

    fn format_step(&self, world: &World, action: Action) -> Option<String> {
        Some(step_text::step(&self.cx, world, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties().to_vec()
    }
}

macro_rules! rule {
    ($number:literal) => {
        Property::always(NAMES[$number - 1], |_: &SessionModel, world: &World| {
            world.violation.or(world.suspicion).is_none_or(|it| it.rule != $number)
        })
    };
}

/// One property for each rule. What the fair schedule of rule 15 ends in may break another rule:
/// it counts as broken by rule 15 here, and is told by its own name in the trace.
fn properties() -> [Property<SessionModel>; 18] {
    [
        rule!(1),
        rule!(2),
        rule!(3),
        rule!(4),
        rule!(5),
        rule!(6),
        rule!(7),
        rule!(8),
        rule!(9),
        rule!(10),
        rule!(11),
        rule!(12),
        rule!(13),
        rule!(14),
        Property::always(NAMES[14], |session: &SessionModel, world: &World| {
            world.violation.or(world.suspicion).is_some() || session.violation(world).is_none()
        }),
        rule!(16),
        rule!(17),
        rule!(18),
    ]
}
