//! Where the functions of a Rust source are. It reads tokens only, as far as that needs: comments,
//! strings and characters, in which a brace is none, and words.

use std::ops::Range;

/// A function with a body that stands in no other function's body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// With its braces.
    pub(crate) body: Range<usize>,
}

impl Function<'_> {
    pub(crate) fn holds(&self, place: &Range<usize>) -> bool {
        self.body.start < place.start && place.end < self.body.end
    }
}

/// All of a file's, in their order.
pub(crate) fn functions(text: &str) -> Vec<Function<'_>> {
    let mut tokens = Tokens { text, at: 0 };
    let mut functions = Vec::new();
    while let Some(token) = tokens.next() {
        if &text[token] != "fn" {
            continue;
        }
        // A type `fn(u8)` has no name.
        let Some(name) = tokens.next().map(|token| &text[token]).filter(|name| *name != "(") else {
            continue;
        };
        if let Some(body) = tokens.body() {
            functions.push(Function { name, body });
        }
    }
    functions
}

/// Words and single signs. Comments, strings, characters and lifetimes are left out.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl Tokens<'_> {
    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let rest = &self.text[self.at..];
            let first = rest.chars().next()?;
            let start = self.at;
            let skipped = skipped(rest);
            if skipped > 0 {
                self.at += skipped;
                continue;
            }
            let word = rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
            self.at += word.max(first.len_utf8());
            if !first.is_whitespace() {
                return Some(start..self.at);
            }
        }
    }

    /// The block that begins before any semicolon outside of brackets, from brace to brace.
    fn body(&mut self) -> Option<Range<usize>> {
        let (mut start, mut depth) = (None, 0_usize);
        while let Some(token) = self.next() {
            match &self.text[token.clone()] {
                ";" if depth == 0 => return None,
                "{" if depth == 0 => {
                    start = Some(token.start);
                    depth = 1;
                }
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if let Some(start) = start.filter(|_| depth == 0) {
                return Some(start..token.end);
            }
        }
        None
    }
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// How long the comment, the string, the character or the lifetime is that a text begins with.
fn skipped(text: &str) -> usize {
    let line = || text.find('\n').unwrap_or(text.len());
    match text.as_bytes() {
        [b'/', b'/', ..] => line(),
        [b'/', b'*', ..] => comment(text),
        [b'"', ..] => quoted(text, '"'),
        [b'b' | b'c', b'"', ..] => 1 + quoted(&text[1..], '"'),
        [b'b', b'\'', ..] => 1 + quoted(&text[1..], '\''),
        [b'r', b'"' | b'#', ..] => raw(text, 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] => raw(text, 2),
        [b'\'', b'\\', ..] => quoted(text, '\''),
        [b'\'', ..] => {
            let mut letters = text.chars().skip(1);
            let (letter, next) = (letters.next(), letters.next());
            // A lifetime is left to the next call: its quote is a sign, its name a word.
            letter.filter(|_| next == Some('\'')).map_or(0, |letter| 2 + letter.len_utf8())
        }
        _ => 0,
    }
}

/// Block comments are nested.
fn comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let step = if rest.starts_with("/*") {
            depth += 1;
            2
        } else if rest.starts_with("*/") {
            depth -= 1;
            2
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            return at + 1;
        }
        if letter == '\\' {
            letters.next();
        }
    }
    text.len()
}

/// A raw string whose prefix has this length; nothing for a raw identifier.
fn raw(text: &str, prefix: usize) -> usize {
    let rest = &text[prefix..];
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    if !rest[hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let inner = prefix + hashes + 1;
    text[inner..].find(&end).map_or(text.len(), |at| inner + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[track_caller]
    fn assert_functions(text: &str, expected: &[(&str, &str)]) {
        let found = functions(text);
        let found: Vec<_> = found.iter().map(|f| (f.name, &text[f.body.clone()])).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn finds_bodies_in_items_and_impls() {
        let text = "fn a(x: [u8; 2]) -> u8 { x[0] } impl B { pub(crate) fn b() { fn c() {} } }";
        assert_functions(text, &[("a", "{ x[0] }"), ("b", "{ fn c() {} }")]);
    }

    #[test]
    fn passes_over_functions_without_a_body_and_function_types() {
        let text = "trait T { fn a(&self); fn b(&self) {} } type F = fn(u8) -> u8; fn c() {}";
        assert_functions(text, &[("b", "{}"), ("c", "{}")]);
    }

    #[test]
    fn braces_in_strings_characters_and_comments_are_none() {
        let bodies = [
            r#"{ "}\"}"; }"#,
            r##"{ r#"}"}"#; b"}"; br"}"; }"##,
            r"{ '}'; b'}'; '\''; '\\'; '\u{7d}'; }",
            "{ /* } /* } */ } */ // }\n }",
            "{ let r#fn = 1; let bar = r; }",
            "{ 'outer: loop { break 'outer; } }",
        ];
        for body in bodies {
            assert_functions(
                &format!("fn a<'a>(x: &'a u8) {body} fn b() {{}}"),
                &[("a", body), ("b", "{}")],
            );
        }
    }

    #[test]
    fn a_word_that_holds_fn_is_no_function() {
        assert_functions(
            "struct fnord { a: u8 } fn é() { 'é'; \"é\" }",
            &[("é", "{ 'é'; \"é\" }")],
        );
    }
}
