//! Bytes that may not be cost their link, with a reason, and nothing else.

use rejoin_protocol::codec::{MAX_HELLO, MAX_ITEM};
use rejoin_protocol::error::{Divergence, FrameError, Misbehaviour};
use rejoin_protocol::frame::{Bye, From, How, Welcome};
use rejoin_protocol::{
    AttachNumber, Capabilities, ClientName, Epoch, ExitStatus, Frame, Incarnation, Item, Reason,
    Seq, Stream, Tenure, VersionRange,
};

use crate::support::{EVIL, Host, Raw, Wishes, frame_bytes, is_alive, is_steering};

/// A session whose links may be lost.
struct Victim<'a> {
    host: &'a Host,
    wishes: Wishes,
    welcome: Welcome,
    pid: i32,
    input: Seq,
    output: Seq,
}

impl<'a> Victim<'a> {
    fn new(host: &'a Host) -> Self {
        let mut wishes = Wishes::new();
        let (mut link, welcome) = wishes.opened(host, "echo $$; exec cat");
        let (seq, text) = output(&mut link);
        let pid = text.trim().parse().unwrap();
        Self { host, wishes, welcome, pid, input: Seq(0), output: seq.next() }
    }

    fn attach(&mut self) -> Raw {
        let mut link = Raw::begin(self.host);
        link.greeting();
        link.say(&self.wishes.resume(&self.welcome, self.output));
        assert_eq!(link.welcome().how, How::Resumed);
        link
    }

    /// A new link brings a word to the same process and back.
    #[track_caller]
    fn is_well(&mut self) {
        let mut link = self.attach();
        link.say(&Frame::Item { seq: self.input, item: Item::Input("hello".into()) });
        let (seq, text) = output(&mut link);
        assert_eq!((seq, text.as_str()), (self.output, "hello"));
        (self.input, self.output) = (self.input.next(), seq.next());
        link.say(&Frame::Ack { next: self.output });
        link.say(&Frame::Detach);
        assert!(is_alive(self.pid));
    }

    /// Sends bytes on an attached link, and returns how that is answered.
    #[track_caller]
    fn answer_to(&mut self, bytes: &[u8]) -> Frame {
        let mut link = self.attach();
        link.send(bytes);
        let last = link.rest().pop();
        self.is_well();
        last.unwrap_or_else(|| panic!("no answer to {bytes:02x?}"))
    }

    #[track_caller]
    fn is_told(&mut self, what: Misbehaviour, bytes: &[u8]) {
        assert_eq!(self.answer_to(bytes), Frame::Bye(Bye::Misbehaved(what)), "{bytes:02x?}");
    }
}

#[track_caller]
fn output(link: &mut Raw) -> (Seq, String) {
    link.hear_until(|frame| match frame {
        Frame::Item { seq, item: Item::Output { data, .. } } => {
            Some((*seq, String::from_utf8_lossy(data).into_owned()))
        }
        _ => None,
    })
}

/// The kind byte of a frame.
fn kind(frame: &Frame) -> u8 {
    frame_bytes(frame)[4]
}

fn ack() -> Frame {
    Frame::Ack { next: Seq(0) }
}

#[test]
fn bytes_that_are_no_frame_cost_the_link_only() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut victim = Victim::new(&host);
    let mut is_told = |error, bytes: &[u8]| victim.is_told(Misbehaviour::Frame(error), bytes);
    is_told(FrameError::Empty, &[0; 4]);
    is_told(FrameError::UnknownKind(0x7f), &[0, 0, 0, 1, 0x7f]);
    let ack = kind(&ack());
    is_told(FrameError::BadHeader(ack), &[0, 0, 0, 2, ack, 0xff]);
    is_told(FrameError::UnexpectedPayload(ack), &[0, 0, 0, 4, ack, 0, 1, 2]);
    let item = kind(&Frame::Item { seq: Seq(0), item: Item::InputEnd });
    is_told(FrameError::BadHeader(item), &[0, 0, 0, 3, item, 0, 0x7f]);
    is_told(FrameError::BadPayload(item), &[0, 0, 0, 4, item, 0, 4, 0]);
    let too_long = u32::try_from(Item::MAX_PAYLOAD + 1).unwrap();
    let head = [&(3 + too_long).to_be_bytes()[..], &[item, 0, 0]].concat();
    is_told(FrameError::BadPayload(item), &[head, vec![b'x'; Item::MAX_PAYLOAD + 1]].concat());
    host.end_sessions();
}

#[test]
fn oversized_frames_are_refused_by_their_first_bytes() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut victim = Victim::new(&host);
    let item = kind(&Frame::Item { seq: Seq(0), item: Item::InputEnd });
    for (kind, length, limit) in [
        (item, MAX_ITEM + 1, MAX_ITEM),
        (item, u32::MAX, MAX_HELLO),
        (0, 0x5353_482d, MAX_HELLO), // "SSH-"
    ] {
        let error = FrameError::TooLong { kind, length, limit };
        let bytes = [&length.to_be_bytes()[..], &[kind]].concat();
        victim.is_told(Misbehaviour::Frame(error), &bytes);
    }
    host.end_sessions();
}

#[test]
fn kinds_that_may_be_ignored_are() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut victim = Victim::new(&host);
    let mut link = victim.attach();
    link.send(&[0, 0, 0, 5, 0xf0, 1, 2, 3, 4]);
    link.say(&Frame::Ping { token: 7 });
    link.hear_until(|frame| (*frame == Frame::Pong { token: 7 }).then_some(()));
    drop(link);
    victim.is_well();
    host.end_sessions();
}

#[test]
fn frames_of_the_other_side_cost_the_link_only() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut victim = Victim::new(&host);
    let welcome = Welcome {
        attach: AttachNumber(1),
        version: VersionRange::SUPPORTED.max,
        capabilities: Capabilities::default(),
        epoch: Epoch::from_bytes([0; 16]),
        incarnation: Incarnation(0),
        tenure: Tenure(0),
        accepted: Seq(0),
        handed_over: Seq(0),
        buffered: 0,
        first_output: Seq(0),
        next_output: Seq(0),
        window: 0,
        how: How::Opened,
    };
    let item = |item| Frame::Item { seq: Seq(0), item };
    let frames = [
        Frame::Welcome(welcome),
        item(Item::Output { stream: Stream::Stdout, data: "x".into() }),
        item(Item::Exit(ExitStatus::Code(0))),
        item(Item::Gap { next: Seq(9) }),
        Frame::Superseded { by: Tenure(9), name: ClientName::new("me") },
        Frame::Closed { attach: AttachNumber(1), ended: 0 },
    ];
    for frame in frames {
        victim.is_told(Misbehaviour::WrongSide, &frame_bytes(&frame));
    }
    host.end_sessions();
}

#[test]
fn items_out_of_order_cost_the_link_and_repeated_ones_nothing() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut victim = Victim::new(&host);
    let item = |seq, text: &'static str| Frame::Item { seq, item: Item::Input(text.into()) };
    let ahead = frame_bytes(&item(Seq(3), "too early"));
    victim.is_told(Misbehaviour::SkippedItems, &ahead);
    let mut link = victim.attach();
    // Numbered behind what `is_well` has sent.
    let (next, after) = (victim.input, victim.input.next());
    for frame in [item(next, "once"), item(next, "twice"), item(Seq(0), "x"), item(after, "!")] {
        link.say(&frame);
    }
    let mut heard = String::new();
    while heard.len() < "once!".len() {
        let (seq, text) = output(&mut link);
        heard.push_str(&text);
        victim.output = seq.next();
    }
    assert_eq!(heard, "once!");
    drop(link);
    victim.input = after.next();
    victim.is_well();
    host.end_sessions();
}

#[test]
fn acknowledging_what_was_never_sent_is_told_as_that() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut victim = Victim::new(&host);
    let answer = victim.answer_to(&frame_bytes(&Frame::Ack { next: Seq(1_000_000) }));
    let Frame::Refused(refused) = answer else { panic!("{answer:?}") };
    assert_eq!(refused.reason, Reason::Diverged(Divergence::OutputAhead));
    host.end_sessions();
}

#[test]
fn more_than_the_window_costs_the_link_only() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut wishes = Wishes::new();
    let (mut link, welcome) = wishes.opened(&host, "until [ -e ~/go ]; do sleep 0.01; done; wc -c");
    let full = usize::try_from(welcome.window).unwrap() / Item::MAX_PAYLOAD + 2;
    let data = vec![b'x'; Item::MAX_PAYLOAD];
    for seq in (0..).map(Seq).take(full) {
        link.say(&Frame::Item { seq, item: Item::Input(data.clone().into()) });
    }
    let last = link.rest().pop();
    assert_eq!(last, Some(Frame::Bye(Bye::Misbehaved(Misbehaviour::WindowExceeded))));
    let mut link = Raw::begin(&host);
    link.greeting();
    link.say(&wishes.resume(&welcome, Seq(0)));
    let accepted = link.welcome().accepted;
    std::fs::write(host.home().join("go"), "").unwrap();
    link.say(&Frame::Item { seq: accepted, item: Item::InputEnd });
    let counted: u64 = output(&mut link).1.trim().parse().unwrap();
    assert_eq!(counted, accepted.0 * data.len() as u64);
    link.say(&wishes.close());
    let is_closed = |frame: &Frame| matches!(frame, Frame::Closed { attach, .. } if attach.0 == 3);
    assert!(link.rest().iter().any(is_closed));
}

#[test]
fn a_frame_that_breaks_off_is_a_lost_link() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut victim = Victim::new(&host);
    let whole = frame_bytes(&Frame::Item { seq: Seq(0), item: Item::Input("never".into()) });
    for length in 0..whole.len() {
        let mut link = victim.attach();
        link.send(&whole[..length]);
        link.hang_up();
        link.rest();
    }
    victim.is_well();
    host.end_sessions();
}

#[test]
fn what_comes_in_place_of_a_hello_starts_nothing() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let openings: [&[u8]; 4] =
        [b"GET / HTTP/1.0\r\n\r\n", b"SSH-2.0-x\r\n", &[0; 64], &[0xc1, b'r', b'e', 0, 0, 0, 0, 0]];
    for opening in openings {
        let mut link = Raw::silent(&host);
        link.greeting();
        link.send(opening);
        link.rest();
    }
    for bytes in [&[0, 0, 0, 0][..], &[0xff; 8], &[0, 0, 0, 2, 0x02, 0xff]] {
        let mut link = Raw::begin(&host);
        link.greeting();
        link.send(bytes);
        link.rest();
    }
    assert!(!host.registry().exists());
}

#[test]
fn random_bytes_never_end_a_session() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut victim = Victim::new(&host);
    let mut random = rejoin_testing::Random::from_env();
    for _ in 0..20 {
        let mut link = victim.attach();
        let length = random.below(200);
        // Short lengths, known kinds: more than the first check is reached.
        let bytes = (0..length).flat_map(|_| {
            let body = random.below(12);
            let kind = random.below(16);
            let rest: Vec<_> = (0..body).map(|_| random.below(256)).collect();
            [vec![0, 0, 0, body + 1, kind], rest].concat()
        });
        // Not the two that are meant to end it, nor input, which would be echoed.
        let bytes: Vec<u8> = bytes.map(|byte| u8::try_from(byte).unwrap()).collect();
        link.send(&harmless(&bytes));
        link.hang_up();
        link.rest();
    }
    let mut link = Raw::begin(&host);
    link.greeting();
    link.say(&victim.wishes.claim(None, From::Latest));
    assert_eq!(link.welcome().epoch, victim.welcome.epoch);
    assert!(is_alive(victim.pid));
    drop(link);
    host.end_sessions();
}

/// Without the frames that end a session on purpose.
fn harmless(bytes: &[u8]) -> Vec<u8> {
    let close = frame_bytes(&Frame::Close);
    let at = bytes.windows(close.len()).position(|window| window == close);
    bytes[..at.unwrap_or(bytes.len())].to_vec()
}

/// The bytes with others of the same length in the place of some.
fn replaced(mut bytes: Vec<u8>, these: &[u8], others: &[u8]) -> Vec<u8> {
    let at = bytes.windows(these.len()).position(|window| window == these).unwrap();
    bytes[at..at + these.len()].copy_from_slice(others);
    bytes
}

#[test]
fn terminal_escapes_in_names_and_messages_are_stripped() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut first = host.plan().run("cat");
    let mut wishes = Wishes::new();
    wishes.session = first.session().parse().unwrap();
    let mut link = Raw::begin(&host);
    link.greeting();
    // Names are cleaned when they are made and when they are read: a hostile client sends its own bytes.
    let hostile = format!("evil{EVIL}[2J\u{202e}\u{7}");
    let harmless = "e".repeat(hostile.len());
    let steer = |frame: Frame| {
        let Frame::Hello(hello) = frame else { panic!("{frame:?} is no Hello") };
        let name = ClientName::new(&harmless);
        let bytes = frame_bytes(&Frame::Hello(rejoin_protocol::frame::Hello { name, ..hello }));
        replaced(bytes, harmless.as_bytes(), hostile.as_bytes())
    };
    let claim = wishes.claim(None, From::Latest);
    link.send(&steer(claim));
    let Reason::Held { by, .. } = link.refusal() else { panic!("somebody has it") };
    let claim = wishes.claim(Some(by), From::Latest);
    link.send(&steer(claim));
    link.welcome();
    assert_eq!(first.status(), 255);
    let told = first.stderr();
    assert!(told.starts_with("rejoin: evil[2J took"), "{told:?}");
    assert!(!told.contains(is_steering), "{told:?}");
    drop(link);
    host.end_sessions();
}
