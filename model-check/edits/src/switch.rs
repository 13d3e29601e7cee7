//! All mutants in one text, and a switch that says which of them runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use crate::apply::{find, replace, unfit};
use crate::functions::{Function, functions};
use crate::{Edit, EditError, Mutant};

/// A function that mutants change begins with this, and with the bodies that they give it.
pub const SWITCH: &str = "{ match crate::mutant::running() {";
/// Stands before the body of the function as it ships, which runs if no such mutant is selected.
pub const BEFORE_SHIPPED: &str = "\n/* as it ships */ _ => ";
/// Stands behind that body.
pub const AFTER_SHIPPED: &str = "\n/* end of the switch */ } }";

/// The text of one file with all mutants in it. `mutants` has each one's number, from 1; those that
/// do not change this file do not matter.
///
/// A function that some mutants change gets one body for each of them, next to its own. So a change
/// can be whatever a body allows, and mutants that change the same lines do not meet.
///
/// # Errors
/// A change whose lines do not occur, occur more than once, or are not within one function's body;
/// two changes of a mutant to the same line. The message names the mutant.
pub fn switch(file: &str, text: &str, mutants: &[(usize, &Mutant)]) -> Result<String, EditError> {
    let functions = functions(text);
    let mut bodies: BTreeMap<usize, String> = BTreeMap::new();
    for (number, mutant) in mutants {
        let changed = changed(file, text, &functions, mutant);
        for (function, body) in changed.map_err(|error| error.of(&mutant.name))? {
            let bodies = bodies.entry(function).or_default();
            // A String takes all that is written.
            let _ = write!(bodies, "\n/* {} */ {number} => {body}", mutant.name);
        }
    }
    let (mut switched, mut done) = (String::new(), 0);
    for (function, bodies) in bodies {
        let Range { start, end } = functions[function].body;
        switched += &text[done..start];
        let shipped = &text[start..end];
        switched += &[SWITCH, &bodies, BEFORE_SHIPPED, shipped, AFTER_SHIPPED].concat();
        done = end;
    }
    Ok(switched + &text[done..])
}

/// The functions that a mutant changes, each with its changed body.
fn changed(
    file: &str,
    text: &str,
    functions: &[Function<'_>],
    mutant: &Mutant,
) -> Result<Vec<(usize, String)>, EditError> {
    let mut places: BTreeMap<usize, Vec<(Range<usize>, &Edit)>> = BTreeMap::new();
    for edit in mutant.edits.iter().filter(|edit| edit.file == file) {
        let place = find(text, functions, edit)?;
        let function = functions.iter().position(|function| function.holds(&place));
        let function = function.ok_or_else(|| unfit(edit, "is not within one function's body"))?;
        places.entry(function).or_default().push((place, edit));
    }
    let body = |(function, places): (usize, _)| {
        let body = functions[function].body.clone();
        Ok((function, replace(text, body, places)?))
    };
    places.into_iter().map(body).collect()
}

#[cfg(test)]
#[path = "switch_tests.rs"]
mod tests;
