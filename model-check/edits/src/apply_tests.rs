use crate::{apply, edits};

const TEXT: &str = "\
fn first() {
    one();
    two();
}

fn second() {
    one();
    three();
}
";

fn applied(list: &str) -> Result<String, String> {
    let edits = edits(list).map_err(|error| error.to_string())?;
    apply(TEXT, &edits.iter().collect::<Vec<_>>()).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_refused(list: &str, why: &str) {
    let refused = applied(list).expect_err("no text comes of it");
    assert!(refused.contains(why), "{refused}");
}

#[test]
fn replaces_lines_and_keeps_all_others() {
    let list = "Prose.\n@@ a.rs\n one();\n-two();\n+  zwei();\n+  drei();\n\nMore prose.\n\
                @@ a.rs\n-three();\n";
    let expected = TEXT
        .replace("    one();\n    two();", "one();\n  zwei();\n  drei();")
        .replace("    three();", "");
    assert_eq!(applied(list), Ok(expected));
}

#[test]
fn refuses_text_that_is_not_there() {
    assert_refused("@@ a.rs\n-four();", "a.rs: this text is not there:\nfour();");
    assert_refused("@@ a.rs\n one();\n-three;", "is not there");
}

#[test]
fn refuses_text_that_is_there_twice_unless_its_function_is_named() {
    assert_refused("@@ a.rs\n-one();", "a.rs: this text is there 2 times:\none();");
    let second = TEXT.rfind("    one();").expect("it is there twice");
    let expected = [&TEXT[..second], "1();", &TEXT[second + 10..]].concat();
    assert_eq!(applied("@@ a.rs fn second\n-one();\n+1();"), Ok(expected));
    assert_refused("@@ a.rs fn second\n-two();", "a.rs fn second: this text is not there");
}

#[test]
fn refuses_two_changes_to_one_line() {
    assert_refused("@@ a.rs\n-two();\n@@ a.rs\n-two();\n+2", "two edits of a.rs change the same");
}

#[test]
fn refuses_lines_that_make_no_sense_by_their_number() {
    assert_refused("@@ a.rs\n-two();\n\n-three();", "line 4: no \"@@ FILE\"");
    assert_refused("@@ a.rs somewhere\n-two();", "line 1: \"@@ FILE\" or");
    assert_refused("@@ a.rs\n+four();", "names no line that stands there");
    assert_refused("@@ a.rs\n two();", "an edit of a.rs changes nothing");
    assert_refused("mutant a breaks rule 1\nFault.\n@@ a.rs\n-two();", "the mutant a has no place");
}
