//! The values of options: durations, sizes, variables, the escape character.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::Duration;

use rejoin_client::spec::ProcessSpec;

/// `90s`, `15m`, `12h`, `7d`, and sums of them.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}, such as 90s, 15m, 12h or 7d"))
}

/// A number of bytes: `512K`, `4M`, or plain.
pub(crate) fn window(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        _ => return Err("a size is a number of bytes, such as 65600, 512K or 4M".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "a size begins with a number".to_owned())?;
    let (min, max) = (ProcessSpec::MIN_WINDOW, ProcessSpec::MAX_WINDOW);
    number
        .checked_mul(unit)
        .filter(|size| (min..=max).contains(size))
        .ok_or_else(|| format!("the window is {min} bytes at least and {max} at most"))
}

/// A variable for the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// `NAME=VALUE`, or `NAME` for the value that it has here: a command line can be read by every
/// user of a machine, an environment cannot.
pub(crate) fn variable(text: &OsStr) -> Result<Variable, &'static str> {
    let bytes = text.as_bytes();
    let (name, value) = match bytes.iter().position(|&byte| byte == b'=') {
        Some(at) => (&bytes[..at], bytes[at + 1..].to_vec()),
        None if bytes.is_empty() => (bytes, Vec::new()),
        None => {
            let value = std::env::var_os(text).ok_or("no variable of this name is set here")?;
            (bytes, value.into_vec())
        }
    };
    if name.is_empty() {
        return Err("a variable is given as NAME=VALUE, or as NAME for its value here");
    }
    Ok(Variable { name: name.to_vec(), value })
}

/// The escape character: one character, `^` and a letter, or `none`.
pub(crate) fn escape(text: Option<&OsStr>) -> Result<Option<u8>, &'static str> {
    match text.map(OsStr::as_bytes) {
        None => Ok(Some(b'~')),
        Some(b"none") => Ok(None),
        Some(&[character]) => Ok(Some(character)),
        Some(&[b'^', letter @ b'?'..=b'~']) => Ok(Some(letter & 0x1f)),
        Some(_) => Err("the escape character is one character, such as ~ or ^], or none"),
    }
}

/// The same as ssh tells it in its configuration, where vis(3) has made it visible: `\^]`, `\\\\`, `\040`.
pub(crate) fn told_escape(text: &str) -> Result<Option<u8>, &'static str> {
    let Some(code) = text.strip_prefix('\\') else { return escape(Some(text.as_ref())) };
    let of_bits = |meta: u8, code: &[u8]| match *code {
        [b'^', letter] => Some(meta | (letter ^ 0x40) & 0x7f),
        _ => None,
    };
    let character = match code.as_bytes() {
        [b'\\'] => Some(b'\\'),
        [b'M', b'-', letter] => Some(0x80 | letter),
        [b'M', code @ ..] => of_bits(0x80, code),
        [_, _, _] => u8::from_str_radix(code, 8).ok(),
        code => of_bits(0, code),
    };
    character.map(Some).ok_or("ssh's configuration has an escape character that rejoin cannot read")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> &OsStr {
        text.as_ref()
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(duration("12h"), Ok(Duration::from_hours(12)));
        assert_eq!(duration("7d"), Ok(Duration::from_hours(168)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_mins(90)));
        assert!(duration("90").is_err());
        assert!(duration("").is_err());
        assert!(duration("-1s").is_err());
    }

    #[test]
    fn windows_have_bounds() {
        assert_eq!(window("65600"), Ok(65_600));
        assert_eq!(window("512K"), Ok(512 * 1024));
        assert_eq!(window("4MiB"), Ok(4 << 20));
        assert_eq!(window("64m"), Ok(64 << 20));
        for bad in ["", "M", "1", "64K", "65m", "4G", "-1", "99999999999999999999", "4 M", "é"] {
            assert!(window(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_have_names() {
        let parsed =
            |name: &[u8], value: &[u8]| Ok(Variable { name: name.to_vec(), value: value.to_vec() });
        assert_eq!(variable(text("A=b")), parsed(b"A", b"b"));
        assert_eq!(variable(text("A=")), parsed(b"A", b""));
        assert_eq!(variable(text("A=b=c")), parsed(b"A", b"b=c"));
        assert!(variable(text("=b")).is_err());
        assert!(variable(text("")).is_err());
        let home = std::env::var_os("HOME").unwrap().into_vec();
        assert_eq!(variable(text("HOME")), parsed(b"HOME", &home));
        assert!(variable(text("REJOIN_HAS_NO_SUCH_VARIABLE")).is_err());
    }

    #[test]
    fn escapes_are_written_as_ssh_writes_them() {
        let parsed = |given| escape(Some(text(given)));
        assert_eq!(escape(None), Ok(Some(b'~')));
        assert_eq!(parsed("none"), Ok(None));
        assert_eq!(parsed("%"), Ok(Some(b'%')));
        assert_eq!(parsed("^]"), Ok(Some(0x1d)));
        assert_eq!(parsed("^b"), Ok(Some(0x02)));
        assert_eq!(parsed("^"), Ok(Some(b'^')));
        assert!(parsed("").is_err());
        assert!(parsed("ab").is_err());
    }

    #[test]
    fn escapes_are_read_as_ssh_tells_them() {
        for (told, character) in [
            ("~", b'~'),
            ("%", b'%'),
            ("\\^]", 0x1d),
            ("\\^?", 0x7f),
            ("\\\\", b'\\'),
            ("\\040", b' '),
            ("\\M-i", 0xe9),
            ("\\M^A", 0x81),
        ] {
            assert_eq!(told_escape(told), Ok(Some(character)), "{told}");
        }
        assert_eq!(told_escape("none"), Ok(None));
        assert!(told_escape("\\xyz").is_err());
    }
}
