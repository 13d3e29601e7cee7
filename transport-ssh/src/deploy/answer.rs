//! What the script says, behind whatever else is printed on the way.

use std::io;

use rejoin_text::printable_bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::script::{MOST_FOLDERS, Mark};
use super::server::Platform;
use crate::link::error::printable;

/// The most that is skipped before the script's first word, and between any two of them.
pub(super) const MAX_NOISE: usize = 64 * 1024;
/// How much of it is kept, for the message where no word follows.
const MAX_KEPT: usize = 400;
/// The longest line of the script's that is understood.
const MAX_LINE: usize = 8 * 1024;

/// What the script says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// From the next byte on, the server speaks.
    Ready { place: Place, platform: Platform },
    /// No such server is there.
    Need { platform: Platform, has_sum: bool, has_gzip: bool },
    /// This folder is to take it: the upload may come.
    Send { folder: String },
    /// So many bytes of it have been written.
    At(u64),
    /// This folder will not do, for this reason.
    No { what: String },
    /// What arrived is whole, and does not run.
    Broken { why: String },
    /// No folder will do.
    NoFolder,
    /// No more files than this may be open.
    Few(u64),
    /// It can read nothing: its stdin is not the link.
    Deaf,
}

/// Where a server was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the candidate folder with this number.
    Folder(usize),
    /// In `PATH`.
    Path,
}

/// The stream from the host, until the server speaks.
pub(super) struct Answers<R> {
    reader: R,
    start_of_line: Vec<u8>,
    buffer: Vec<u8>,
    skipped: usize,
    noise: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Answers<R> {
    pub(super) fn new(reader: R, mark: &Mark) -> Self {
        let start_of_line = mark.start_of_line();
        let buffer = Vec::with_capacity(MAX_LINE);
        Self { reader, start_of_line, buffer, skipped: 0, noise: Vec::new() }
    }

    /// The next answer; none at the end of the stream. Cancel-safe.
    ///
    /// # Errors
    /// The stream failed; or, as [`io::ErrorKind::InvalidData`], there was more noise than is skipped.
    pub(super) async fn next(&mut self) -> io::Result<Option<Answer>> {
        loop {
            while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                match self.understand(&line) {
                    Some(answer) => {
                        self.skipped = 0;
                        return Ok(Some(answer));
                    }
                    None => self.skip(&line)?,
                }
            }
            if self.buffer.len() > MAX_LINE {
                // Whatever its end is: no line of the script's is so long.
                let line = std::mem::take(&mut self.buffer);
                self.skip(&line)?;
            }
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                let rest = std::mem::take(&mut self.buffer);
                self.skip(&rest)?;
                return Ok(None);
            }
        }
    }

    fn skip(&mut self, line: &[u8]) -> io::Result<()> {
        self.noise.extend_from_slice(&line[..line.len().min(MAX_KEPT - self.noise.len())]);
        self.skipped += line.len();
        if self.skipped > MAX_NOISE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    fn understand(&self, line: &[u8]) -> Option<Answer> {
        let words = line.strip_prefix(&self.start_of_line[..])?;
        parse(&printable_bytes(words, MAX_LINE))
    }

    /// Whether anything was printed that is no answer.
    pub(super) fn is_noisy(&self) -> bool {
        !self.noise.is_empty() || !self.buffer.is_empty()
    }

    /// What was printed that is no answer, for a message.
    pub(super) fn noise(&self) -> String {
        let text = String::from_utf8_lossy(&self.noise);
        let lines: Vec<_> = text.lines().map(printable).filter(|line| !line.is_empty()).collect();
        lines.join(" / ")
    }

    /// The stream itself, and what was read of it already behind the last answer.
    pub(super) fn into_parts(self) -> (Vec<u8>, R) {
        (self.buffer, self.reader)
    }
}

fn parse(text: &str) -> Option<Answer> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some(match word {
        "ready" => {
            let (place, platform) = rest.split_once(' ')?;
            Answer::Ready { place: parse_place(place)?, platform: Platform::parse(platform)? }
        }
        "need" => {
            let (tools, platform) = rest.split_once(' ')?;
            let has = |tool| tools.split('+').any(|word| word == tool);
            let platform = Platform::parse(platform)?;
            Answer::Need { platform, has_sum: has("sum"), has_gzip: has("gzip") }
        }
        "send" => Answer::Send { folder: rest.to_owned() },
        "at" => Answer::At(rest.trim().parse().ok()?),
        "no" => Answer::No { what: rest.to_owned() },
        "broken" => Answer::Broken { why: rest.to_owned() },
        "none" => Answer::NoFolder,
        "few" => Answer::Few(rest.trim().parse().ok()?),
        "deaf" => Answer::Deaf,
        _ => return None,
    })
}

fn parse_place(word: &str) -> Option<Place> {
    if word == "path" {
        return Some(Place::Path);
    }
    word.parse().ok().filter(|&number| number < MOST_FOLDERS).map(Place::Folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linux() -> Platform {
        Platform::new("Linux", "x86_64").unwrap()
    }

    async fn answers(
        mark: &Mark,
        bytes: Vec<u8>,
    ) -> (Vec<Answer>, Answers<std::io::Cursor<Vec<u8>>>) {
        let mut answers = Answers::new(std::io::Cursor::new(bytes), mark);
        let mut heard = Vec::new();
        while let Ok(Some(answer)) = answers.next().await {
            let is_last = matches!(answer, Answer::Ready { .. });
            heard.push(answer);
            if is_last {
                break;
            }
        }
        (heard, answers)
    }

    fn said(mark: &Mark, words: &str) -> Vec<u8> {
        [b"\n".to_vec(), mark.start_of_line(), words.as_bytes().to_vec(), b"\n".to_vec()].concat()
    }

    #[tokio::test]
    async fn answers_are_found_between_noise_and_nothing_behind_the_last_is_lost() {
        let mark = Mark::new().unwrap();
        let bytes = [
            b"Welcome\x1b[2J to\nrejoin-0123456789abcdef ready 0 Linux x86_64\nno end".to_vec(),
            said(&mark, "need +sum+gzip Linux x86_64"),
            b"\xff\x00more".to_vec(),
            said(&mark, "at  77"),
            said(&mark, "dance"),
            said(&mark, "ready 2 Linux x86_64"),
            b"\nrejoin\n server's own".to_vec(),
        ];
        let (heard, answers) = answers(&mark, bytes.concat()).await;
        let need = Answer::Need { platform: linux(), has_sum: true, has_gzip: true };
        let ready = Answer::Ready { place: Place::Folder(2), platform: linux() };
        assert_eq!(heard, [need, Answer::At(77), ready]);
        assert!(answers.noise().starts_with("Welcome[2J to / rejoin-0123"), "{}", answers.noise());
        let (mut rest, mut reader) = answers.into_parts();
        reader.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"\nrejoin\n server's own");
    }

    #[tokio::test]
    async fn what_never_ends_is_given_up_in_bounded_memory() {
        let mark = Mark::new().unwrap();
        for endless in [vec![b'x'; 1 << 20], b"x\n".repeat(1 << 19)] {
            let mut answers = Answers::new(std::io::Cursor::new(endless), &mark);
            assert!(answers.next().await.is_err());
            assert!(answers.noise.len() <= MAX_KEPT && answers.buffer.capacity() < 1 << 18);
        }
    }

    #[tokio::test]
    async fn what_a_host_answers_is_printable() {
        let mark = Mark::new().unwrap();
        let evil = "\u{1b}\u{9b}\u{61c}\u{200b}\u{2066}\u{ad}\u{180e}\u{e0041}\u{fff9}";
        let noise = format!("no{evil}ise\n").into_bytes();
        let no = said(&mark, &format!("no /x{evil}: full{evil}"));
        let broken = said(&mark, &format!("broken it{evil} died"));
        let (heard, answers) = answers(&mark, [noise, no, broken].concat()).await;
        let no = Answer::No { what: "/x: full".to_owned() };
        assert_eq!(heard, [no, Answer::Broken { why: "it died".to_owned() }]);
        assert_eq!(answers.noise(), "noise");
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_none() {
        for bad in ["", "ready", "ready 6 Linux x86_64", "ready 0 Linux $(x)", "need Linux", "at x"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
