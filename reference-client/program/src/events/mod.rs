//! Events as lines of JSON, for a program that runs rejoin as its child.

pub(crate) mod file;

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use sendfd::SendWithFd as _;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::terminal::output;

/// How long the last lines may take to be written.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where events are written: on a thread of its own, so that a reader who does not read holds up
/// nothing.
#[derive(Debug)]
pub(crate) struct EventLog {
    lines: mpsc::Sender<String>,
    done: mpsc::Receiver<()>,
}

impl EventLog {
    /// Opens a file to append to, or a descriptor by its path.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let (lines, waiting) = mpsc::channel::<String>();
        let (finished, done) = mpsc::channel();
        std::thread::Builder::new().name("events".to_owned()).spawn(move || {
            if let Err(error) = write_all(&file, &waiting) {
                tracing::warn!(%error, "events cannot be written");
            }
            drop(finished);
        })?;
        Ok(Self { lines, done })
    }

    /// Writes an event, soon.
    #[expect(clippy::disallowed_methods, reason = "it is read, and decides nothing")]
    pub(crate) fn write(&self, event: &impl Serialize) {
        if let Some(line) = line(event, SystemTime::now()) {
            // An application that closed its end does not care any more.
            let _ = self.lines.send(line);
        }
    }

    /// Waits until everything is written, for a while.
    pub(crate) fn finish(self) {
        drop(self.lines);
        let _ = self.done.recv_timeout(FAREWELL);
    }
}

fn write_all(file: &File, lines: &mpsc::Receiver<String>) -> io::Result<()> {
    // A line is written at once: files need no flush, and readers get it whole.
    lines.iter().try_for_each(|line| output::write_fully(file, line.as_bytes()))
}

fn open(path: &Path) -> io::Result<File> {
    let opened = file::open(path);
    // What is no file, as a socket that a parent process hands down, cannot be opened by its path.
    opened.or_else(|error| duplicate(path).ok_or(error))
}

/// The descriptor that this program was started with, as one of its own: it sends the descriptor to itself.
/// `pidfd_getfd` would be shorter, and is refused in containers with Docker's usual profile.
fn duplicate(path: &Path) -> Option<File> {
    let number = path.strip_prefix("/dev/fd").ok()?.to_str()?.parse().ok()?;
    let (near, far) = UnixStream::pair().ok()?;
    near.send_with_fd(&[0], &[number]).ok()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    recvmsg(&far, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    received.map(File::from)
}

/// `{"event":...,"at":...,...}` and the end of the line.
fn line(event: &impl Serialize, at: SystemTime) -> Option<String> {
    #[derive(Serialize)]
    struct Line {
        event: Value,
        at: String,
        #[serde(flatten)]
        rest: Map<String, Value>,
    }
    let Ok(Value::Object(mut rest)) = serde_json::to_value(event) else { return None };
    let event = rest.remove("event")?;
    let at = humantime::format_rfc3339_millis(at).to_string();
    let line = serde_json::to_string(&Line { event, at, rest }).ok()?;
    Some(line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_client::Event;

    fn at() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_007)
    }

    #[test]
    fn a_line_has_the_event_its_time_and_what_belongs_to_it() {
        assert_eq!(
            line(&Event::Connecting, at()).unwrap(),
            "{\"event\":\"connecting\",\"at\":\"2023-11-14T22:13:20.007Z\"}\n"
        );
        let event = Event::Reconnecting {
            attempt: 2,
            delay_millis: 50,
            reason: "reset\n\"x\"".to_owned(),
            needs_user: false,
        };
        assert_eq!(
            line(&event, at()).unwrap(),
            "{\"event\":\"reconnecting\",\"at\":\"2023-11-14T22:13:20.007Z\",\"attempt\":2,\
             \"delay_millis\":50,\"needs_user\":false,\"reason\":\"reset\\n\\\"x\\\"\"}\n"
        );
    }

    #[test]
    fn a_file_is_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        for _ in 0..2 {
            let log = EventLog::open(&path).unwrap();
            log.write(&Event::Connecting);
            log.write(&Event::Closed { ended: 0 });
            log.finish();
        }
        let written = std::fs::read_to_string(&path).unwrap();
        let names: Vec<Value> = written
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone())
            .collect();
        assert_eq!(names, ["connecting", "closed", "connecting", "closed"]);
    }

    #[test]
    fn a_descriptor_may_be_a_socket() {
        use std::io::Read as _;
        use std::os::fd::AsRawFd as _;
        let (near, mut far) = UnixStream::pair().unwrap();
        let path = format!("/dev/fd/{}", near.as_raw_fd());
        let log = EventLog::open(Path::new(&path)).unwrap();
        log.write(&Event::Connecting);
        log.finish();
        drop(near);
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("{\"event\":\"connecting\""), "{text}");
    }

    #[test]
    fn what_cannot_be_opened_is_told() {
        assert!(EventLog::open(Path::new("/no/such/folder/events")).is_err());
        assert!(EventLog::open(Path::new("/dev/fd/987654")).is_err());
        assert!(EventLog::open(Path::new("/dev/fd/x")).is_err());
    }
}
