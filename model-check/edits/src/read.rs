//! The format of the lists.

use crate::{Edit, EditError, Mutant};

/// Reads a list of changes. Lines that belong to no change are prose.
///
/// # Errors
/// The first line that makes no sense, by its number.
pub fn edits(text: &str) -> Result<Vec<Edit>, EditError> {
    let Reader { loose, mutants, .. } = Reader::of(text)?;
    match &mutants[..] {
        [] => Ok(loose),
        [mutant, ..] => {
            Err(EditError(format!("the mutant {} has no place in this list", mutant.name)))
        }
    }
}

/// Reads a list of mutants. Lines before the first mutant are prose.
///
/// # Errors
/// The first line that makes no sense, by its number; or the first mutant that is not complete.
pub fn mutants(text: &str) -> Result<Vec<Mutant>, EditError> {
    let Reader { loose, mutants, .. } = Reader::of(text)?;
    if let [edit, ..] = &loose[..] {
        return Err(EditError(format!("a change to {} belongs to no mutant", edit.file)));
    }
    for mutant in &mutants {
        check(mutant).map_err(|error| error.of(&mutant.name))?;
    }
    Ok(mutants)
}

fn check(mutant: &Mutant) -> Result<(), EditError> {
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    if !mutant.name.split('-').all(|word| !word.is_empty() && word.chars().all(is_word)) {
        return Err(EditError(
            "a name has lower case letters, digits and single hyphens".to_owned(),
        ));
    }
    if !mutant.fault.ends_with('.') {
        return Err(EditError("a sentence has to say what is wrong".to_owned()));
    }
    if mutant.edits.is_empty() {
        return Err(EditError("it changes nothing".to_owned()));
    }
    Ok(())
}

#[derive(Default)]
struct Reader {
    /// Changes before the first mutant.
    loose: Vec<Edit>,
    mutants: Vec<Mutant>,
    /// Whether the line before belongs to a change.
    is_in_edit: bool,
}

impl Reader {
    fn of(text: &str) -> Result<Self, EditError> {
        let mut reader = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            reader.line(line).map_err(|error| error.of(format_args!("line {number}")))?;
        }
        let all = reader.mutants.iter().flat_map(|mutant| &mutant.edits);
        for edit in reader.loose.iter().chain(all) {
            check_edit(edit)?;
        }
        Ok(reader)
    }

    fn line(&mut self, line: &str) -> Result<(), EditError> {
        if line.is_empty() {
            self.is_in_edit = false;
            return Ok(());
        }
        if let Some(place) = line.strip_prefix("@@ ") {
            let edit = new_edit(place)?;
            self.edits().push(edit);
            self.is_in_edit = true;
            return Ok(());
        }
        if let Some(title) = line.strip_prefix("mutant ") {
            self.mutants.push(new_mutant(title)?);
            self.is_in_edit = false;
            return Ok(());
        }
        if line.starts_with(['-', '+', ' ']) {
            return self.edit_line(line);
        }
        self.prose(line)
    }

    fn edits(&mut self) -> &mut Vec<Edit> {
        match self.mutants.last_mut() {
            Some(mutant) => &mut mutant.edits,
            None => &mut self.loose,
        }
    }

    fn edit_line(&mut self, line: &str) -> Result<(), EditError> {
        let edit = if self.is_in_edit { self.edits().last_mut() } else { None };
        let Some(edit) = edit else {
            return Err(EditError("no \"@@ FILE\" says what this line changes".to_owned()));
        };
        // The first character is ASCII: `line` judged it.
        let (kind, rest) = line.split_at(1);
        if kind != "+" {
            edit.before.push(rest.to_owned());
        }
        if kind != "-" {
            edit.after.push(rest.to_owned());
        }
        Ok(())
    }

    fn prose(&mut self, line: &str) -> Result<(), EditError> {
        let Some(mutant) = self.mutants.last_mut() else { return Ok(()) };
        if !mutant.edits.is_empty() {
            return Err(EditError(format!("this is no line of a change: {line}")));
        }
        match line.strip_prefix("unseen: ") {
            Some(reason) => mutant.unseen = Some(reason.to_owned()),
            None if mutant.fault.is_empty() => line.clone_into(&mut mutant.fault),
            None => return Err(EditError("one sentence has to say what is wrong".to_owned())),
        }
        Ok(())
    }
}

/// `FILE` or `FILE fn NAME`.
fn new_edit(place: &str) -> Result<Edit, EditError> {
    let words: Vec<&str> = place.split_whitespace().collect();
    let (file, function) = match words[..] {
        [file] => (file, None),
        [file, "fn", name] => (file, Some(name.to_owned())),
        _ => {
            return Err(EditError("\"@@ FILE\" or \"@@ FILE fn NAME\" begins a change".to_owned()));
        }
    };
    Ok(Edit { file: file.to_owned(), function, before: Vec::new(), after: Vec::new() })
}

/// `NAME breaks rule N`.
fn new_mutant(title: &str) -> Result<Mutant, EditError> {
    let words: Vec<&str> = title.split_whitespace().collect();
    let parsed = match words[..] {
        [name, "breaks", "rule", rule] => rule.parse().ok().map(|rule| (name.to_owned(), rule)),
        _ => None,
    };
    let (name, rule) = parsed.ok_or_else(|| {
        EditError("\"mutant NAME breaks rule NUMBER\" begins a mutant".to_owned())
    })?;
    Ok(Mutant { name, rule, fault: String::new(), unseen: None, edits: Vec::new() })
}

fn check_edit(edit: &Edit) -> Result<(), EditError> {
    let what = if edit.before.is_empty() {
        "names no line that stands there"
    } else if edit.before == edit.after {
        "changes nothing"
    } else {
        return Ok(());
    };
    Err(EditError(format!("an edit of {} {what}", edit.file)))
}
