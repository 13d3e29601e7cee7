//! What the driver makes of events that no test can cause from outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rejoin_protocol::client::{Notice, Patience};
use rejoin_protocol::codec::SERVER_MAGIC;
use rejoin_protocol::frame::{Greeting, How, Welcome};
use rejoin_protocol::spec::{Command, ProcessSpec};
use rejoin_protocol::{AttachNumber, Capabilities, Epoch, Incarnation, Seq, Tenure, Version};
use rejoin_ssh::{MemoryListener, memory};
use tokio::io::AsyncWriteExt as _;

use rejoin_protocol::{Frame, HostId, Link};
use rejoin_ssh::LinkError;
use tokio::time::Instant;

use super::*;
use crate::attachment::LinkLane;
use crate::link::Report;
use crate::options::{Timing, new_session_id};
use crate::output::Outputs;

/// A server's answer for a process that has said nothing and was told nothing.
pub(super) fn welcome(attach: AttachNumber, version: Version, how: How) -> Welcome {
    Welcome {
        attach,
        version,
        capabilities: Capabilities(0),
        epoch: Epoch::from_bytes([3; 16]),
        incarnation: Incarnation(0),
        tenure: Tenure(0),
        accepted: Seq(0),
        handed_over: Seq(0),
        buffered: 0,
        first_output: Seq(0),
        next_output: Seq(0),
        window: 65536,
        how,
    }
}

/// A driver whose first attempt is under way, with what it tells and where its links arrive.
pub(super) struct Stage {
    pub(super) driver: Driver,
    reported: mpsc::Receiver<(Link, Report)>,
    told: mpsc::UnboundedReceiver<Event>,
    pub(super) outputs: Outputs,
    pub(super) taken: watch::Receiver<Taken>,
    listener: MemoryListener,
}

impl Stage {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Options)) -> Self {
        let (connect, listener) = memory();
        let (output, outputs, taken) = Outputs::pair();
        let (event, told) = mpsc::unbounded_channel();
        let mut options = Options { may_ask: false, ..Options::default() };
        change(&mut options);
        let spec = ProcessSpec::new(Command::Shell(b"true".to_vec()));
        let config = options.config(new_session_id().unwrap(), Some(&spec)).unwrap();
        let machine = Client::open(&config);
        let told_to =
            Told { output, event, state: watch::Sender::new(None), end: watch::Sender::new(None) };
        let connect: Arc<dyn Connect> = Arc::new(connect);
        let (links, reported) = Links::new(Arc::clone(&connect));
        let mut driver = Driver::new(connect, links, config, machine, &options, told_to);
        driver.begin(false);
        Self { driver, reported, told, outputs, taken, listener }
    }

    /// Waits for the next report, and has the driver act on it.
    pub(super) async fn report(&mut self) {
        let (link, report) = self.reported.recv().await.unwrap();
        self.driver.arrived(link, report);
    }

    /// Has the driver do for this long what it would do.
    pub(super) async fn passes(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            let Self { driver, reported, .. } = self;
            tokio::select! {
                Some((link, report)) = reported.recv() => driver.arrived(link, report),
                timer = driver.timers.next() => driver.timer(timer),
                happened = driver.paths.next() => driver.happened(happened),
                () = tokio::time::sleep_until(end) => {}
            }
        }
    }

    /// The same until something is so.
    pub(super) async fn until(&mut self, is_so: impl Fn(&Driver) -> bool) {
        while !is_so(&self.driver) {
            let Self { driver, reported, .. } = self;
            tokio::select! {
                Some((link, report)) = reported.recv() => driver.arrived(link, report),
                timer = driver.timers.next() => driver.timer(timer),
                happened = driver.paths.next() => driver.happened(happened),
            }
        }
    }

    pub(super) fn told(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }

    fn has_given_up(&mut self) -> bool {
        self.told().iter().any(|event| matches!(event, Event::GaveUp { .. }))
    }

    /// How many links there are beside the one that is used.
    fn beside(&self) -> usize {
        self.driver.paths.machine().links().count() - usize::from(self.driver.link.is_some())
    }

    fn wakes(&mut self, wake: Wake) {
        self.driver.happened(Happened::Woken(wake));
    }
}

#[tokio::test]
async fn a_first_attempt_from_before_a_sleep_is_made_again() {
    let mut stage = Stage::new();
    let _first = stage.listener.accept().await.unwrap();
    stage.report().await;
    assert!(stage.driver.link.is_some());
    stage.wakes(Wake::Slept);
    assert!(!stage.has_given_up());
    stage.listener.accept().await.unwrap();
}

#[tokio::test]
async fn a_first_attempt_that_was_not_open_before_a_sleep_is_made_again() {
    let mut stage = Stage::new();
    stage.wakes(Wake::Slept);
    assert!(!stage.has_given_up());
    stage.listener.accept().await.unwrap();
}

#[tokio::test]
async fn a_first_attempt_that_fails_while_awake_is_the_end() {
    let mut stage = Stage::new();
    drop(stage.listener.accept().await.unwrap());
    stage.report().await;
    stage.report().await;
    assert!(stage.has_given_up());
}

#[tokio::test]
async fn another_host_is_told_with_both_names_and_at_last_with_how_often_it_answered() {
    use rejoin_protocol::Reason;
    let mut stage = Stage::new();
    stage.driver.words.session_host = Some("mine".to_owned());
    let host = HostId { machine: [0xab; 16], boot: [0; 16] };
    let evil = "\u{1b}\u{9b}\u{61c}\u{200b}\u{2066}\u{ad}\u{180e}\u{e0041}\u{fff9}";
    stage.driver.greeted(&format!("ot{evil}her[2J"), host);
    let reason = Reason::DifferentHost { host };
    stage.told();
    for _ in 0..3 {
        stage.driver.hindered(&reason);
    }
    let told = stage.told();
    let [Event::Notice { message }, _, _] = &told[..] else { panic!("{told:?}") };
    assert!(message.ends_with(
        "leads to a different host: other[2J (machine abababab), while the session is on mine"
    ));
    stage.driver.notice(Notice::GaveUp(Patience::Hindrance));
    let told = stage.told();
    let [Event::GaveUp { reason, message }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(reason, "different_host");
    assert!(message.ends_with("on mine (so it was in 3 attempts within 60 s)"), "{message}");
}

/// Has much to do before a link is there.
struct Slow(rejoin_ssh::MemoryConnect);

impl Connect for Slow {
    fn connect(
        &self,
        attempt: rejoin_ssh::Attempt,
    ) -> BoxFuture<'_, Result<rejoin_ssh::Link, LinkError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_mins(20)).await;
            self.0.connect(attempt).await
        })
    }

    fn destination(&self) -> String {
        self.0.destination()
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_long_to_open_is_waited_for_and_then_its_first_word() {
    let (connect, mut listener) = memory();
    let spec = ProcessSpec::new(Command::Shell(b"true".to_vec()));
    let began = Instant::now();
    let options = Options::default();
    let asking = options.timing.asking;
    let mut session =
        crate::Session::open(Arc::new(Slow(connect)), new_session_id().unwrap(), &spec, options)
            .unwrap();
    let _silent = listener.accept().await.unwrap();
    while !matches!(session.events.recv().await, Some(Event::GaveUp { .. })) {}
    assert!(began.elapsed() >= Duration::from_mins(20) + asking);
}

/// The host's end of a link.
pub(super) struct Far {
    writer: rejoin_ssh::LinkWriter,
    _reader: rejoin_ssh::LinkReader,
}

impl Far {
    /// The other end of a link from a memory connector.
    pub(super) fn of(link: rejoin_ssh::Link) -> Self {
        let (reader, writer, _) = link.into_parts();
        Self { writer, _reader: reader }
    }

    pub(super) async fn say(&mut self, start: &[u8], frame: Frame) {
        let encoded = rejoin_protocol::codec::encode(&frame).unwrap();
        self.write(&[start, &encoded.head, &encoded.payload].concat()).await.unwrap();
    }

    /// Writes bytes; whether the client still reads.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(bytes).await
    }

    pub(super) async fn greet(&mut self) {
        let host = HostId { machine: [1; 16], boot: [2; 16] };
        let versions = rejoin_protocol::VersionRange::SUPPORTED;
        let greeting = Greeting { versions, host, host_name: "host".to_owned() };
        self.say(&SERVER_MAGIC, Frame::Greeting(greeting)).await;
    }

    /// Answers to the Resume of this number.
    async fn resume(&mut self, attach: u64) {
        let welcome = welcome(AttachNumber(attach), Version::CURRENT, How::Resumed);
        self.say(b"", Frame::Welcome(welcome)).await;
    }

    pub(super) async fn welcome(&mut self) {
        let welcome = welcome(AttachNumber(1), Version::CURRENT, How::Opened);
        self.say(b"", Frame::Welcome(welcome)).await;
    }
}

impl Stage {
    /// The host's end of the link that was opened last.
    pub(super) async fn far(&mut self) -> Far {
        Far::of(self.listener.accept().await.unwrap())
    }

    pub(super) async fn attached() -> (Self, Far) {
        Self::attached_with(|_| {}).await
    }

    async fn attached_with(change: impl FnOnce(&mut Options)) -> (Self, Far) {
        let mut stage = Self::with(change);
        let mut far = stage.far().await;
        far.greet().await;
        while !stage.driver.machine.has_asked() {
            stage.report().await;
        }
        far.welcome().await;
        while !stage.driver.machine.is_attached() {
            stage.report().await;
        }
        (stage, far)
    }
}

/// Answers what it is asked for this long, as a server does.
async fn answers(stage: &mut Stage, far: &mut Far, time: Duration) {
    let end = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < end {
        stage.passes(Duration::from_millis(400)).await;
        far.say(b"", Frame::Pong { token: 0 }).await;
        stage.report().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_link_stands_by_only_if_it_is_wanted_and_only_while_the_session_is_used() {
    let (mut stage, mut far) = Stage::attached().await;
    answers(&mut stage, &mut far, Duration::from_mins(1)).await;
    assert_eq!(stage.beside(), 0, "nobody asked for one");
    let (mut stage, mut far) = Stage::attached_with(|options| options.standby = true).await;
    answers(&mut stage, &mut far, Duration::from_secs(5)).await;
    let mut standby = stage.far().await;
    standby.greet().await;
    answers(&mut stage, &mut far, Duration::from_mins(14)).await;
    assert_eq!(stage.beside(), 1);
    answers(&mut stage, &mut far, Duration::from_mins(2)).await;
    assert_eq!(stage.beside(), 0, "the session was idle");
    stage.driver.step(MachineEvent::Input(Item::Input(Bytes::from_static(b"x"))));
    answers(&mut stage, &mut far, Duration::from_secs(1)).await;
    assert_eq!(stage.beside(), 1, "it is used again");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_heard_again_in_time_costs_nothing_but_a_login() {
    let (mut stage, mut far) = Stage::attached().await;
    stage.passes(Timing::default().doubt + Duration::from_millis(100)).await;
    let mut second = stage.far().await;
    assert_eq!(stage.beside(), 1);
    far.say(b"", Frame::Pong { token: 0 }).await;
    stage.passes(Duration::from_millis(10)).await;
    assert_eq!(stage.beside(), 1, "a login that is under way is not cut off");
    second.greet().await;
    stage.passes(Duration::from_millis(10)).await;
    assert!(stage.beside() == 0 && stage.driver.machine.is_attached());
    assert_eq!(stage.driver.link.as_ref().map(|live| live.link), Some(Link(1)));
}

#[tokio::test(start_paused = true)]
async fn a_second_link_that_is_greeted_first_takes_the_place_of_a_silent_one_and_nothing_is_lost() {
    let (mut stage, _far) = Stage::attached().await;
    stage.told();
    stage.passes(Timing::default().doubt + Duration::from_millis(100)).await;
    let mut second = stage.far().await;
    second.greet().await;
    stage.until(|driver| driver.machine.name() == "Attaching").await;
    assert_eq!(stage.driver.link.as_ref().map(|live| live.link), Some(Link(2)));
    second.resume(2).await;
    stage.until(|driver| driver.machine.is_attached()).await;
    let mut told = stage.told();
    told.retain(|event| !matches!(event, Event::Timeline(_)));
    assert!(matches!(told[..], [Event::Moved { lane: LinkLane::Ssh, .. }]), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_second_link_that_is_greeted_just_after_the_first_was_lost_is_the_next() {
    let (mut stage, far) = Stage::attached().await;
    stage.passes(Timing::default().doubt + Duration::from_millis(100)).await;
    let mut second = stage.far().await;
    drop(far);
    stage.until(|driver| driver.link.as_ref().is_none_or(|live| live.link != Link(1))).await;
    second.greet().await;
    stage.until(|driver| driver.link.as_ref().is_some_and(|live| live.link == Link(2))).await;
    let told = stage.told();
    let is_loss = |event: &Event| matches!(event, Event::Detached { .. });
    assert_eq!(told.iter().filter(|event| is_loss(event)).count(), 1, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_network_leaves_a_silent_link_less_time() {
    let (mut stage, _far) = Stage::attached().await;
    stage.wakes(Wake::NetworkChanged);
    assert_eq!(stage.beside(), 0, "it has some time to answer");
    stage.passes(Duration::from_millis(510)).await;
    assert_eq!(stage.beside(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_link_on_which_nothing_typed_is_answered_is_asked_and_then_doubted() {
    let (mut stage, mut far) = Stage::attached().await;
    stage.driver.step(MachineEvent::Input(Item::Input(Bytes::from_static(b"x"))));
    stage.passes(Duration::from_millis(510)).await;
    assert_eq!(stage.beside(), 0);
    stage.passes(Timing::default().unanswered).await;
    assert_eq!(stage.beside(), 1);
    // Each direction of a way heals in its own time.
    far.say(b"", Frame::Ping { token: 1 }).await;
    stage.report().await;
    stage.passes(Duration::from_millis(10)).await;
    assert!(stage.driver.paths.machine().is_doubted(), "what was said is not answered yet");
    far.say(b"", Frame::Pong { token: 1 }).await;
    stage.passes(Duration::from_millis(10)).await;
    assert!(!stage.driver.paths.machine().is_doubted() && stage.driver.machine.is_attached());
}
