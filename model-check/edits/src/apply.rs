//! Changes that are made for good.

use std::ops::Range;

use crate::functions::{Function, functions};
use crate::{Edit, EditError};

/// Makes changes to the text of one file. Every change is looked for in the text as it was before.
///
/// # Errors
/// A change whose lines do not occur, or occur more than once; two changes to one line.
pub fn apply(text: &str, edits: &[&Edit]) -> Result<String, EditError> {
    let functions = functions(text);
    let places = edits.iter().map(|edit| Ok((find(text, &functions, edit)?, *edit)));
    let places = places.collect::<Result<Vec<_>, EditError>>()?;
    replace(text, 0..text.len(), places)
}

/// The part `within` of a text, with changes made at places that lie in it.
pub(crate) fn replace(
    text: &str,
    within: Range<usize>,
    mut places: Vec<(Range<usize>, &Edit)>,
) -> Result<String, EditError> {
    places.sort_by_key(|(place, _)| place.start);
    let (mut new, mut done) = (String::new(), within.start);
    for (place, edit) in places {
        if place.start < done {
            return Err(EditError(format!("two edits of {} change the same line", edit.file)));
        }
        new += &text[done..place.start];
        new += &edit.after.join("\n");
        done = place.end;
    }
    Ok(new + &text[done..within.end])
}

/// Where the lines of a change stand, from the first one's start to the last one's end.
pub(crate) fn find(
    text: &str,
    functions: &[Function<'_>],
    edit: &Edit,
) -> Result<Range<usize>, EditError> {
    let lines = lines(text);
    let is_here = |at: &[Range<usize>]| {
        at.iter().zip(&edit.before).all(|(line, before)| text[line.clone()].trim() == before.trim())
    };
    let is_in_function = |place: &Range<usize>| {
        edit.function.as_deref().is_none_or(|name| {
            functions.iter().any(|function| function.name == name && function.holds(place))
        })
    };
    // `read` refuses an edit without lines.
    let windows = lines.windows(edit.before.len().max(1)).filter(|at| is_here(at));
    let mut places = windows.map(|at| at[0].start..at[at.len() - 1].end).filter(is_in_function);
    match (places.next(), places.count()) {
        (Some(place), 0) => Ok(place),
        (None, _) => Err(unfit(edit, "is not there")),
        (Some(_), more) => Err(unfit(edit, &format!("is there {} times", more + 1))),
    }
}

pub(crate) fn unfit(edit: &Edit, how: &str) -> EditError {
    let function = edit.function.as_ref().map(|name| format!(" fn {name}")).unwrap_or_default();
    EditError(format!("{}{function}: this text {how}:\n{}", edit.file, edit.before.join("\n")))
}

/// Each line without its end.
fn lines(text: &str) -> Vec<Range<usize>> {
    let mut start = 0;
    let line = |line: &str| {
        let range = start..start + line.trim_end_matches(['\n', '\r']).len();
        start += line.len();
        range
    };
    text.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
