//! The escapes that a person types, as ssh has them.

/// What a person asks of rejoin itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// `~.`, and `~d` while disconnected: end rejoin and leave the process running.
    Leave,
    /// `~r` while disconnected: reconnect now.
    Retry,
    /// `~^Z`: stop rejoin as a job of the shell.
    Suspend,
    /// `~?`: list the escapes.
    Help,
}

impl Request {
    /// Whether rejoin gives the terminal to the local shell. What was typed behind such a request was
    /// meant for the process, and must reach neither.
    pub(crate) fn gives_terminal_away(self) -> bool {
        matches!(self, Self::Leave | Self::Suspend)
    }
}

/// What `~?` lists, with this escape character.
pub(crate) fn help(character: u8) -> Vec<String> {
    let key = name(character);
    vec![
        "Escapes, at the start of a line:".to_owned(),
        format!("  {key}.   leave; the process keeps running"),
        format!("  {key}^Z  suspend rejoin; the process keeps running"),
        format!("  {key}?   this text"),
        format!("  {key}{key}   the character itself"),
        "and without a connection also:".to_owned(),
        format!("  {key}r   reconnect now"),
        format!("  {key}d   leave; the process keeps running"),
    ]
}

/// How a key is written: `~`, `^]`.
pub(crate) fn name(character: u8) -> String {
    match character {
        0..=0x1f => format!("^{}", char::from(character + 0x40)),
        _ => char::from(character).to_string(),
    }
}

/// Finds escapes in what is typed.
#[derive(Debug)]
pub(crate) struct Escapes {
    character: Option<u8>,
    is_at_line_start: bool,
    is_pending: bool,
}

/// What was typed.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Typed {
    /// For the process.
    pub(crate) keys: Vec<u8>,
    /// For rejoin, behind the keys.
    pub(crate) request: Option<Request>,
    /// How much was looked at: the rest comes after the request.
    pub(crate) length: usize,
}

impl Escapes {
    /// With this escape character, or with none.
    pub(crate) fn new(character: Option<u8>) -> Self {
        Self { character, is_at_line_start: true, is_pending: false }
    }

    /// Looks at what was typed, up to the first request. `is_away` while there is no connection and
    /// the person was told: only then `~r` and `~d` are escapes. Every escape needs a line's start,
    /// during an outage, too: what is typed then is text for the process, as ever.
    pub(crate) fn feed(&mut self, typed: &[u8], is_away: bool) -> Typed {
        let mut keys = Vec::with_capacity(typed.len() + 1);
        for (at, &key) in typed.iter().enumerate() {
            if let Some(request) = self.key(key, is_away, &mut keys) {
                return Typed { keys, request: Some(request), length: at + 1 };
            }
        }
        Typed { keys, request: None, length: typed.len() }
    }

    fn key(&mut self, key: u8, is_away: bool, keys: &mut Vec<u8>) -> Option<Request> {
        let Some(character) = self.character else {
            keys.push(key);
            return None;
        };
        if std::mem::take(&mut self.is_pending) {
            if let Some(request) = request(key, is_away) {
                return Some(request);
            }
            keys.push(character);
            if key != character {
                keys.push(key);
            }
            self.is_at_line_start = is_line_end(key);
        } else if key == character && self.is_at_line_start {
            self.is_pending = true;
        } else {
            keys.push(key);
            self.is_at_line_start = is_line_end(key);
        }
        None
    }
}

/// Letters count only while there is no connection: `~dave/` is a folder.
fn request(key: u8, is_away: bool) -> Option<Request> {
    match key {
        b'.' => Some(Request::Leave),
        b'?' => Some(Request::Help),
        0x1a => Some(Request::Suspend),
        b'd' if is_away => Some(Request::Leave),
        b'r' if is_away => Some(Request::Retry),
        _ => None,
    }
}

fn is_line_end(key: u8) -> bool {
    matches!(key, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything fed byte by byte, as a person types it.
    fn typed(escapes: &mut Escapes, text: &[u8], is_away: bool) -> (Vec<u8>, Vec<Request>) {
        let (mut keys, mut requests) = (Vec::new(), Vec::new());
        for byte in text {
            let typed = escapes.feed(&[*byte], is_away);
            keys.extend(typed.keys);
            requests.extend(typed.request);
        }
        (keys, requests)
    }

    #[track_caller]
    fn assert_typed(text: &[u8], is_away: bool, keys: &[u8], requests: &[Request]) {
        let tilde = || Escapes::new(Some(b'~'));
        assert_eq!(typed(&mut tilde(), text, is_away), (keys.to_vec(), requests.to_vec()));
        // The same at once.
        let (mut escapes, mut rest) = (tilde(), text);
        let (mut all, mut found) = (Vec::new(), Vec::new());
        while !rest.is_empty() {
            let typed = escapes.feed(rest, is_away);
            all.extend(typed.keys);
            found.extend(typed.request);
            rest = &rest[typed.length..];
        }
        assert_eq!((all, found), (keys.to_vec(), requests.to_vec()));
    }

    #[test]
    fn an_escape_counts_at_the_start_of_a_line_only() {
        assert_typed(b"~.", false, b"", &[Request::Leave]);
        assert_typed(b"ls\r~.", false, b"ls\r", &[Request::Leave]);
        assert_typed(b"ls\n~?", false, b"ls\n", &[Request::Help]);
        assert_typed(b"a~.", false, b"a~.", &[]);
        assert_typed(b"\r~\x1a", false, b"\r", &[Request::Suspend]);
    }

    #[test]
    fn what_is_no_escape_passes_whole() {
        assert_typed(b"~~.", false, b"~.", &[]);
        assert_typed(b"~a", false, b"~a", &[]);
        assert_typed(b"~/bin\r", false, b"~/bin\r", &[]);
        assert_typed(b"~\r~.", false, b"~\r", &[Request::Leave]);
        assert_typed(b"~dave/ ~root/", false, b"~dave/ ~root/", &[]);
        assert_typed(b"\r~rm", false, b"\r~rm", &[]);
    }

    #[test]
    fn letters_count_while_there_is_no_connection() {
        assert_typed(b"~r~r~d", true, b"", &[Request::Retry, Request::Retry, Request::Leave]);
        assert_typed(b"~x", true, b"~x", &[]);
    }

    #[test]
    fn an_outage_makes_no_line_start() {
        assert_typed(b"cp x ~dave/; touch F\r", true, b"cp x ~dave/; touch F\r", &[]);
        assert_typed(b"a/~/b ~x ~~r ~. ~?", true, b"a/~/b ~x ~~r ~. ~?", &[]);
        let mut escapes = Escapes::new(Some(b'~'));
        assert_eq!(escapes.feed(b"half a li", false).keys, b"half a li");
        assert_eq!(escapes.feed(b"n~r\r", true).keys, b"n~r\r");
        assert_eq!(escapes.feed(b"~r", true).request, Some(Request::Retry));
        assert_eq!(escapes.feed(b"e~.", false).keys, b"e~.");
    }

    #[test]
    fn help_names_the_character_in_use() {
        assert!(help(b'%').contains(&"  %.   leave; the process keeps running".to_owned()));
        assert!(help(0x1d).contains(&"  ^]r   reconnect now".to_owned()));
    }

    #[test]
    fn without_an_escape_character_everything_passes() {
        assert_eq!(Escapes::new(None).feed(b"\r~.~~", true).keys, b"\r~.~~");
        assert_eq!(Escapes::new(Some(0x1d)).feed(b"\x1d.", false).request, Some(Request::Leave));
    }
}
