//! Words for shells: the host's login shell, whatever it is, and the reader of a message.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// The command that a link runs: the server program with its words, which need no quotes. The login
/// shell waits for it.
pub(crate) fn server_command(server: &OsStr, words: &[&str]) -> OsString {
    let mut command = program(server);
    for word in words {
        command.push(" ");
        command.push(word);
    }
    command.push(rejoin_ssh::THEN_EXIT);
    command
}

/// A program's path as one word, in which a leading `~` still means a home folder.
fn program(path: &OsStr) -> OsString {
    let bytes = path.as_bytes();
    let home = match bytes.iter().position(|&byte| byte == b'/') {
        Some(slash) if bytes[0] == b'~' && bytes[1..slash].iter().copied().all(is_plain) => {
            slash + 1
        }
        _ => 0,
    };
    let mut quoted = OsStr::from_bytes(&bytes[..home]).to_owned();
    if home < bytes.len() || home == 0 {
        quoted.push(word(OsStr::from_bytes(&bytes[home..])));
    }
    quoted
}

/// One word. Single quotes mean the same to sh, bash, zsh, fish and csh.
pub(crate) fn word(text: &OsStr) -> OsString {
    let bytes = text.as_bytes();
    if !bytes.is_empty() && bytes.iter().copied().all(is_plain) {
        return text.to_owned();
    }
    let mut quoted = vec![b'\''];
    for &byte in bytes {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&byte)
}

/// Words joined by spaces, as ssh makes a command of its arguments.
pub(crate) fn joined(words: &[OsString]) -> Vec<u8> {
    words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&b' ')
}

/// The longest line that is printed of what a peer or a file wrote, in bytes.
const MAX_LINE: usize = 2000;

/// What a peer or a file wrote, as one line that is safe on a terminal.
pub(crate) fn shown(text: &str) -> String {
    rejoin_text::printable(text, MAX_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(server: &str) -> String {
        let command = server_command(server.as_ref(), &["attach"]).into_string().unwrap();
        command.strip_suffix("; exit").unwrap().to_owned()
    }

    #[test]
    fn plain_paths_stay_as_they_are() {
        assert_eq!(command("rejoin-server"), "rejoin-server attach");
        assert_eq!(
            command("/opt/rejoin/0.1/rejoin-server"),
            "/opt/rejoin/0.1/rejoin-server attach"
        );
    }

    #[test]
    fn a_leading_tilde_still_means_home_and_the_rest_is_quoted() {
        assert_eq!(command("~/bin/rejoin-server"), "~/bin/rejoin-server attach");
        assert_eq!(command("~bob/my bin/s"), "~bob/'my bin/s' attach");
        assert_eq!(command("~$(x)/s"), "'~$(x)/s' attach");
        assert_eq!(command("~"), "'~' attach");
        assert_eq!(command("~/"), "~/ attach");
    }

    #[test]
    fn nothing_in_a_path_means_anything_to_a_shell() {
        assert_eq!(command("a b;c"), "'a b;c' attach");
        assert_eq!(command("it's"), r"'it'\''s' attach");
        assert_eq!(command(""), "'' attach");
    }

    #[test]
    fn words_of_a_command_are_joined_as_by_ssh() {
        assert_eq!(joined(&["echo".into(), "a  b".into(), "$HOME".into()]), b"echo a  b $HOME");
        assert_eq!(joined(&[]), b"");
    }

    #[test]
    fn what_a_peer_wrote_cannot_steer_the_terminal() {
        assert_eq!(shown("a\x1b[2Jb\nc\u{9b}\u{200b}d"), "a[2Jb cd");
        assert_eq!(shown(&"x".repeat(MAX_LINE + 1)).len(), MAX_LINE);
    }
}
