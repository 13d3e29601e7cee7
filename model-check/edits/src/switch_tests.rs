use crate::{Mutant, mutants, switch};

const TEXT: &str = "\
const ONE: u8 = 1;
fn first() -> u8 {
    let one = ONE;
    one + 1
}
fn second() -> u8 { 2 }
";

const LIST: &str = "\
Prose.

mutant one-more breaks rule 3
It counts one more.
@@ a.rs
 let one = ONE;
-one + 1
+one + 2

mutant one-less breaks rule 4
It counts one less.
unseen: nobody counts.
@@ a.rs fn first
-let one = ONE;
+let one = 0;
";

fn switched(list: &str) -> Result<String, String> {
    let mutants = mutants(list).map_err(|error| error.to_string())?;
    let numbered: Vec<_> = (1..).zip(&mutants).collect();
    switch("a.rs", TEXT, &numbered).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_refused(list: &str, why: &str) {
    let refused = switched(list).expect_err("no text comes of it");
    assert!(refused.contains(why), "{refused}");
}

#[test]
fn gives_a_function_one_body_for_each_mutant_and_its_own() {
    let expected = "\
const ONE: u8 = 1;
fn first() -> u8 { match crate::mutant::running() {
/* one-more */ 1 => {
let one = ONE;
one + 2
}
/* one-less */ 2 => {
let one = 0;
    one + 1
}
/* as it ships */ _ => {
    let one = ONE;
    one + 1
}
/* end of the switch */ } }
fn second() -> u8 { 2 }
";
    assert_eq!(switched(LIST).as_deref(), Ok(expected));
}

#[test]
fn leaves_a_file_that_no_mutant_changes_as_it_is() {
    assert_eq!(switched(&LIST.replace("@@ a.rs", "@@ b.rs")).as_deref(), Ok(TEXT));
}

#[test]
fn a_mutant_may_change_one_function_in_two_places() {
    let list = LIST.to_owned() + "@@ a.rs\n-one + 1\n+one\n";
    let text = switched(&list).expect("both changes fit");
    assert!(text.contains("/* one-less */ 2 => {\nlet one = 0;\none\n}"), "{text}");
}

#[test]
fn names_the_mutant_whose_text_does_not_fit() {
    let change = |from: &str, to: &str| LIST.replace(from, to);
    assert_refused(&change("-one + 1", "-one + 3"), "one-more: a.rs: this text is not there:\nlet");
    assert_refused(&change("fn first", "fn second"), "one-less: a.rs fn second: this text is not");
    let outside = change(" let one = ONE;\n-one + 1", "-const ONE: u8 = 1;");
    assert_refused(&outside, "one-more: a.rs: this text is not within one function's body:\nconst");
    let across = change(" let one = ONE;\n-one + 1", " one + 1\n }\n-fn second() -> u8 { 2 }");
    assert_refused(&across, "one-more: a.rs: this text is not within one function's body");
    let twice = LIST.to_owned() + "@@ a.rs\n let one = ONE;\n-one + 1\n";
    assert_refused(&twice, "one-less: two edits of a.rs change the same line");
}

#[test]
fn refuses_a_mutant_that_is_not_complete() {
    assert_refused("mutant a breaks 1", "line 1: \"mutant NAME breaks rule NUMBER\"");
    assert_refused("mutant a breaks rule 1\n@@ a.rs\n-x", "a: a sentence has to say what is wrong");
    assert_refused("mutant a breaks rule 1\nFault.\n", "a: it changes nothing");
    assert_refused("mutant A breaks rule 1\nFault.\n@@ a.rs\n-x", "A: a name has lower case");
    assert_refused("@@ a.rs\n-x", "a change to a.rs belongs to no mutant");
    let prose = "mutant a breaks rule 1\nFault.\n@@ a.rs\n-x\nOops.";
    assert_refused(prose, "line 5: this is no line of a change: Oops.");
}

#[test]
fn reads_what_a_mutant_says_of_itself() {
    let read: Vec<Mutant> = mutants(LIST).expect("the list is right");
    let said: Vec<_> =
        read.iter().map(|m| (&*m.name, m.rule, &*m.fault, m.unseen.as_deref())).collect();
    assert_eq!(
        said,
        [
            ("one-more", 3, "It counts one more.", None),
            ("one-less", 4, "It counts one less.", Some("nobody counts.")),
        ]
    );
}
