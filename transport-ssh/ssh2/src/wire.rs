//! The data types of SSH (RFC 4251 section 5).

use crate::error::{Error, Violation};

/// The longest name in a list of names, in bytes. RFC 4251 says 64; some servers go beyond.
const MAX_NAME: usize = 128;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Self::Peer(Violation::Malformed)
    }
}

/// Takes one value after another off a message. No length is believed before it is checked against
/// what is there, and nothing is allocated but what a value takes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// `count` bytes, without a length in front.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.bytes(1)?[0])
    }

    /// A boolean: everything but 0 is true.
    pub fn boolean(&mut self) -> Result<bool, Malformed> {
        Ok(self.byte()? != 0)
    }

    /// A number of four bytes.
    pub fn uint32(&mut self) -> Result<u32, Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*taken))
    }

    /// The same as a count of bytes.
    pub fn size(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.uint32()?).map_err(|_| Malformed)
    }

    /// A string: bytes with their length in front.
    pub fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.size()?;
        self.bytes(length)
    }

    /// A string that has to be UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.string()?).map_err(|_| Malformed)
    }

    /// A number of any length that is not negative: its bytes without zeros in front.
    pub fn magnitude(&mut self) -> Result<&'a [u8], Malformed> {
        let number = self.string()?;
        match number {
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => Ok(rest),
            // Zeros that need not be there, and the sign bit.
            [0 | 0x80.., ..] => Err(Malformed),
            _ => Ok(number),
        }
    }

    /// A list of names, each of printable ASCII.
    pub fn names(&mut self) -> Result<Vec<String>, Malformed> {
        let list = self.text()?;
        list.split(',').filter(|name| !name.is_empty()).map(checked_name).collect()
    }

    /// Fails if anything is left.
    pub fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

fn checked_name(name: &str) -> Result<String, Malformed> {
    let is_name = name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name { Ok(name.to_owned()) } else { Err(Malformed) }
}

/// Puts one value after another.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A message of this kind.
    pub fn message(kind: u8) -> Self {
        Self(vec![kind])
    }

    /// Bytes as they are, without a length in front.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// One byte.
    pub fn byte(self, byte: u8) -> Self {
        self.bytes(&[byte])
    }

    /// A boolean.
    pub fn boolean(self, value: bool) -> Self {
        self.byte(value.into())
    }

    /// A number of four bytes.
    pub fn uint32(self, number: u32) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// A string: bytes with their length in front. No string is longer than a packet, which is bounded
    /// far below what the length can say.
    pub fn string(self, string: impl AsRef<[u8]>) -> Self {
        let string = string.as_ref();
        #[allow(clippy::cast_possible_truncation)]
        self.uint32(string.len() as u32).bytes(string)
    }

    /// A number of any length that is not negative, from its bytes, the most significant one first.
    pub fn magnitude(self, bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let bytes = &bytes[zeros..];
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            // It would be read as negative.
            let length = bytes.len() + 1;
            #[allow(clippy::cast_possible_truncation)]
            return self.uint32(length as u32).byte(0).bytes(bytes);
        }
        self.string(bytes)
    }

    /// A list of names.
    pub fn names(self, names: &[impl AsRef<str>]) -> Self {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        self.string(names.join(","))
    }

    /// The written bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_are_as_in_the_examples_of_rfc_4251() {
        let written = |bytes: &[u8]| Writer::new().magnitude(bytes).finish();
        assert_eq!(written(&[0, 0]), [0, 0, 0, 0]);
        assert_eq!(
            written(&[0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7]),
            [0, 0, 0, 8, 0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7]
        );
        assert_eq!(written(&[0, 0x80]), [0, 0, 0, 2, 0, 0x80]);
        assert_eq!(Reader::new(&written(&[0x80])).magnitude(), Ok(&[0x80][..]));
    }

    #[test]
    fn a_negative_or_padded_number_is_refused() {
        for number in [&[0x80][..], &[0], &[0, 1]] {
            let written = Writer::new().string(number).finish();
            assert_eq!(Reader::new(&written).magnitude(), Err(Malformed), "{number:?}");
        }
    }

    #[test]
    fn a_length_that_is_not_there_is_refused() {
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 1]).string(), Err(Malformed));
        assert_eq!(Reader::new(&[0, 0, 0]).uint32(), Err(Malformed));
        assert_eq!(Reader::new(&[1]).end(), Err(Malformed));
    }

    #[test]
    fn names_are_printable_ascii() {
        let read = |list: &str| Reader::new(&Writer::new().string(list).finish()).names();
        assert_eq!(read("a,b@c"), Ok(vec!["a".to_owned(), "b@c".to_owned()]));
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("a,\x1b[2J"), Err(Malformed));
        assert_eq!(read(&"x".repeat(MAX_NAME + 1)), Err(Malformed));
    }
}
