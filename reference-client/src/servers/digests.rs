//! The digests of the server programs that are released with this client.
//!
//! `REJOIN_SERVER_DIGESTS` lists them when the client is built. Without it, as in a developer's build,
//! there are none.

/// How many hexadecimal digits a SHA-256 has.
const LENGTH: usize = 64;

const LISTED: Option<&str> = option_env!("REJOIN_SERVER_DIGESTS");

const _: () = assert!(
    match LISTED {
        Some(text) => is_list(text.as_bytes()),
        None => true,
    },
    "REJOIN_SERVER_DIGESTS must list SHA-256 digests of 64 lower-case hexadecimal digits each, with \
     one space between them, or not be set"
);

/// The digests, in lower-case hexadecimal digits.
pub(super) fn released() -> Vec<String> {
    LISTED.into_iter().flat_map(|text| text.split(' ')).map(str::to_owned).collect()
}

/// Whether it is a list of digests, of which there is at least one.
const fn is_list(text: &[u8]) -> bool {
    // Two of them and the space between them: one less, with one more space.
    if text.len() % (LENGTH + 1) != LENGTH {
        return false;
    }
    let mut at = 0;
    while at < text.len() {
        let is_right = if at % (LENGTH + 1) == LENGTH {
            text[at] == b' '
        } else {
            matches!(text[at], b'0'..=b'9' | b'a'..=b'f')
        };
        if !is_right {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_whole_digests_with_one_space_between_them() {
        let (one, other) = ("0123456789abcdef".repeat(4), "f".repeat(64));
        let good = [one.clone(), format!("{one} {other}"), format!("{one} {other} {one}")];
        for text in good {
            assert!(is_list(text.as_bytes()), "{text}");
        }
        let bad = [
            String::new(),
            " ".to_owned(),
            format!("{one} "),
            format!(" {one}"),
            format!("{one}{other}"),
            format!("{one}  {other}"),
            format!("{one},{other}"),
            format!("{one}\n{other}"),
            one[1..].to_owned(),
            one.to_uppercase(),
            one.replace('0', "g"),
            one.replace('0', " "),
        ];
        for text in bad {
            assert!(!is_list(text.as_bytes()), "{text}");
        }
    }
}
