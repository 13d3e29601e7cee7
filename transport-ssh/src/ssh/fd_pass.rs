//! Passes a connection to an ssh that waits for it.
//!
//! ssh receives a connection from its `ProxyCommand` (`ProxyUseFdpass`), which is a small helper. The
//! helper inherits the stderr of its ssh, which is a socket of this process. The socket has no name, so
//! nobody else can connect to it, and it closes when this process ends.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::unix::OwnedWriteHalf;
use tokio::time::timeout;

/// How long sending may take. The socket's buffer is empty, so there is room at once.
const ROOM: Duration = Duration::from_secs(1);

/// The whole work of the helper: receives a connection on stderr, and passes it to stdout. Call this first
/// in the program that [`SshConnect::fd_pass_program`](crate::SshConnect::fd_pass_program) names, which
/// ssh runs as a proxy. The program must write nothing to stdout.
///
/// # Errors
/// No connection arrives, ssh has exited, or ssh did not start this program.
pub fn pass_fd() -> io::Result<()> {
    pass_on(rustix::stdio::stderr(), rustix::stdio::stdout())
}

fn pass_on(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut awaited = [PollFd::new(&from, PollFlags::IN), PollFd::new(&to, PollFlags::empty())];
    retry_on_intr(|| poll(&mut awaited, None))?;
    if !awaited[1].revents().is_empty() {
        return Err(io::Error::new(io::ErrorKind::BrokenPipe, "ssh has ended"));
    }
    let connection = receive(from)?;
    send(to, connection.as_fd())
}

/// Receives one descriptor, with the one byte that must accompany it.
fn receive(from: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    retry_on_intr(|| {
        let mut bytes = [IoSliceMut::new(&mut byte)];
        recvmsg(from, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    descriptors.flatten().next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn send(to: BorrowedFd<'_>, connection: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [connection];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    retry_on_intr(|| sendmsg(to, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// This end of the socket. Dropping it tells the helper that no connection will arrive.
pub(crate) struct FdSender(OwnedWriteHalf);

impl FdSender {
    pub(crate) fn new(socket: OwnedWriteHalf) -> Self {
        Self(socket)
    }

    /// Sends the connection. An error means that the helper is gone.
    pub(crate) async fn send_connection(self, connection: &TcpStream) -> io::Result<()> {
        let socket = self.0.as_ref();
        let sent = socket.async_io(Interest::WRITABLE, || send(socket.as_fd(), connection.as_fd()));
        timeout(ROOM, sent).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The value of `ProxyCommand` that runs these words, which ssh expands and a shell parses. `None` if the words
/// cannot be quoted safely.
pub(crate) fn proxy_command(words: &[OsString]) -> Option<String> {
    let quoted = words.iter().map(|word| word.to_str().and_then(quoted));
    quoted.collect::<Option<Vec<_>>>().map(|words| words.join(" "))
}

fn quoted(word: &str) -> Option<String> {
    let is_plain =
        |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || " /._-+,@:=~%()".contains(c);
    let is_plain = !word.is_empty() && word.chars().all(is_plain);
    is_plain.then(|| format!("'{}'", word.replace('%', "%%")))
}

/// Whether ssh can receive a connection: the program is ssh, and a log file (`-E`) does not replace its stderr.
pub(crate) fn is_possible(program: &OsStr, options: &[OsString]) -> bool {
    let is_ssh = Path::new(program).file_name() == Some("ssh".as_ref());
    is_ssh && !options.iter().any(|option| has_log_file(option))
}

/// Whether this word contains `-E`, alone or after flags without values.
fn has_log_file(option: &OsStr) -> bool {
    const FLAGS: &[u8] = b"1246AaCfGgKkMNnqsTtVvXxYy";
    let letters = option.as_encoded_bytes().strip_prefix(b"-").unwrap_or_default();
    letters.iter().find(|letter| !FLAGS.contains(letter)) == Some(&b'E')
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_connection_arrives_with_one_byte_and_carries_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let (ours, stderr) = UnixStream::pair().unwrap();
        let (stdout, ssh) = UnixStream::pair().unwrap();
        let helper = std::thread::spawn(move || pass_on(stderr.as_fd(), stdout.as_fd()));
        ours.set_nonblocking(true).unwrap();
        let (_reader, writer) = tokio::net::UnixStream::from_std(ours).unwrap().into_split();
        FdSender::new(writer).send_connection(&stream).await.unwrap();
        drop(stream);
        let mut received = TcpStream::from(receive(ssh.as_fd()).unwrap());
        helper.join().unwrap().unwrap();
        far.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        received.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[test]
    fn the_helper_ends_when_nobody_has_a_connection_for_it_or_wants_one() {
        let (ours, stderr) = UnixStream::pair().unwrap();
        let (stdout, ssh) = UnixStream::pair().unwrap();
        drop(ours);
        let error = pass_on(stderr.as_fd(), stdout.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let (_ours, stderr) = UnixStream::pair().unwrap();
        drop(ssh);
        let error = pass_on(stderr.as_fd(), stdout.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_program_is_named_in_quotes_or_not_at_all() {
        let command =
            |words: &[&str]| proxy_command(&words.iter().map(OsString::from).collect::<Vec<_>>());
        let named = command(&["/opt/100% mine/rejoin", "__hand-over"]);
        assert_eq!(named.as_deref(), Some("'/opt/100%% mine/rejoin' '__hand-over'"));
        for odd in ["/it's", "/a\\b", "/a!b", "/a\nb", "/a#b", "/$HOME", ""] {
            assert_eq!(command(&[odd]), None, "{odd}");
        }
    }

    #[test]
    fn only_an_ssh_that_keeps_its_stderr_is_given_a_connection() {
        let is_possible = |program: &str, options: &[&str]| {
            let options: Vec<_> = options.iter().map(OsString::from).collect();
            is_possible(program.as_ref(), &options)
        };
        assert!(is_possible("ssh", &["-o", "EscapeChar=none", "-vvv", "-F", "/etc/E", "-oX=E"]));
        assert!(is_possible("/usr/bin/ssh", &[]));
        assert!(!is_possible("kubectl", &[]));
        for log in [&["-E", "log"][..], &["-Elog"], &["-v", "-4vE", "log"]] {
            assert!(!is_possible("ssh", log), "{log:?}");
        }
    }
}
