//! Parses the messages of the script among other output.

use std::io;

use rejoin_text::printable_bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::script::{MOST_FOLDERS, ReplyMarker};
use super::server_file::Platform;
use crate::link::error::printable;

/// The most that is skipped before the script's first word, and between any two of them.
pub(super) const MAX_NOISE: usize = 64 * 1024;
/// How much of it is kept, for the message where no word follows.
const MAX_KEPT: usize = 400;
/// The longest line of the script's that is understood.
const MAX_LINE: usize = 8 * 1024;

/// A message of the script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ScriptReply {
    /// The server's output follows.
    Ready { place: ServerPlace, platform: Platform },
    /// The host has no such server.
    Need { platform: Platform, has_sum: bool, has_gzip: bool },
    /// The upload for this folder can start.
    Send { folder: String },
    /// This many bytes have been written.
    At(u64),
    /// This folder is not suitable, for this reason.
    No { what: String },
    /// The upload is complete, but does not run.
    Broken { why: String },
    /// No folder is suitable.
    NoFolder,
    /// The limit of open files is too low.
    Few(u64),
    /// The script cannot read its input: its stdin is not the link.
    Deaf,
}

/// Where a server was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerPlace {
    /// In the candidate folder with this number.
    Folder(usize),
    /// In `PATH`.
    Path,
}

/// The stream from the host, until the server speaks.
pub(super) struct ReplyReader<R> {
    reader: R,
    start_of_line: Vec<u8>,
    buffer: Vec<u8>,
    skipped: usize,
    noise: Vec<u8>,
}

impl<R: AsyncRead + Unpin> ReplyReader<R> {
    pub(super) fn new(reader: R, mark: &ReplyMarker) -> Self {
        let start_of_line = mark.start_of_line();
        let buffer = Vec::with_capacity(MAX_LINE);
        Self { reader, start_of_line, buffer, skipped: 0, noise: Vec::new() }
    }

    /// The next answer; none at the end of the stream. Cancel-safe.
    ///
    /// # Errors
    /// The stream failed; or, as [`io::ErrorKind::InvalidData`], there was more noise than is skipped.
    pub(super) async fn next(&mut self) -> io::Result<Option<ScriptReply>> {
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

    fn understand(&self, line: &[u8]) -> Option<ScriptReply> {
        let words = line.strip_prefix(&self.start_of_line[..])?;
        parse(&printable_bytes(words, MAX_LINE))
    }

    /// Whether there was other output.
    pub(super) fn is_noisy(&self) -> bool {
        !self.noise.is_empty() || !self.buffer.is_empty()
    }

    /// The other output, for a message.
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

fn parse(text: &str) -> Option<ScriptReply> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some(match word {
        "ready" => {
            let (place, platform) = rest.split_once(' ')?;
            ScriptReply::Ready { place: parse_place(place)?, platform: Platform::parse(platform)? }
        }
        "need" => {
            let (tools, platform) = rest.split_once(' ')?;
            let has = |tool| tools.split('+').any(|word| word == tool);
            let platform = Platform::parse(platform)?;
            ScriptReply::Need { platform, has_sum: has("sum"), has_gzip: has("gzip") }
        }
        "send" => ScriptReply::Send { folder: rest.to_owned() },
        "at" => ScriptReply::At(rest.trim().parse().ok()?),
        "no" => ScriptReply::No { what: rest.to_owned() },
        "broken" => ScriptReply::Broken { why: rest.to_owned() },
        "none" => ScriptReply::NoFolder,
        "few" => ScriptReply::Few(rest.trim().parse().ok()?),
        "deaf" => ScriptReply::Deaf,
        _ => return None,
    })
}

fn parse_place(word: &str) -> Option<ServerPlace> {
    if word == "path" {
        return Some(ServerPlace::Path);
    }
    word.parse().ok().filter(|&number| number < MOST_FOLDERS).map(ServerPlace::Folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linux() -> Platform {
        Platform::new("Linux", "x86_64").unwrap()
    }

    async fn answers(
        mark: &ReplyMarker,
        bytes: Vec<u8>,
    ) -> (Vec<ScriptReply>, ReplyReader<std::io::Cursor<Vec<u8>>>) {
        let mut answers = ReplyReader::new(std::io::Cursor::new(bytes), mark);
        let mut heard = Vec::new();
        while let Ok(Some(answer)) = answers.next().await {
            let is_last = matches!(answer, ScriptReply::Ready { .. });
            heard.push(answer);
            if is_last {
                break;
            }
        }
        (heard, answers)
    }

    fn said(mark: &ReplyMarker, words: &str) -> Vec<u8> {
        [b"\n".to_vec(), mark.start_of_line(), words.as_bytes().to_vec(), b"\n".to_vec()].concat()
    }

    #[tokio::test]
    async fn answers_are_found_between_noise_and_nothing_behind_the_last_is_lost() {
        let mark = ReplyMarker::new().unwrap();
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
        let need = ScriptReply::Need { platform: linux(), has_sum: true, has_gzip: true };
        let ready = ScriptReply::Ready { place: ServerPlace::Folder(2), platform: linux() };
        assert_eq!(heard, [need, ScriptReply::At(77), ready]);
        assert!(answers.noise().starts_with("Welcome[2J to / rejoin-0123"), "{}", answers.noise());
        let (mut rest, mut reader) = answers.into_parts();
        reader.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"\nrejoin\n server's own");
    }

    #[tokio::test]
    async fn gives_up_endless_noise_in_bounded_memory() {
        let mark = ReplyMarker::new().unwrap();
        for endless in [vec![b'x'; 1 << 20], b"x\n".repeat(1 << 19)] {
            let mut answers = ReplyReader::new(std::io::Cursor::new(endless), &mark);
            assert!(answers.next().await.is_err());
            assert!(answers.noise.len() <= MAX_KEPT && answers.buffer.capacity() < 1 << 18);
        }
    }

    #[tokio::test]
    async fn what_a_host_answers_is_printable() {
        let mark = ReplyMarker::new().unwrap();
        let evil = "\u{1b}\u{9b}\u{61c}\u{200b}\u{2066}\u{ad}\u{180e}\u{e0041}\u{fff9}";
        let noise = format!("no{evil}ise\n").into_bytes();
        let no = said(&mark, &format!("no /x{evil}: full{evil}"));
        let broken = said(&mark, &format!("broken it{evil} died"));
        let (heard, answers) = answers(&mark, [noise, no, broken].concat()).await;
        let no = ScriptReply::No { what: "/x: full".to_owned() };
        assert_eq!(heard, [no, ScriptReply::Broken { why: "it died".to_owned() }]);
        assert_eq!(answers.noise(), "noise");
    }

    #[test]
    fn rejects_malformed_replies() {
        for bad in ["", "ready", "ready 6 Linux x86_64", "ready 0 Linux $(x)", "need Linux", "at x"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
