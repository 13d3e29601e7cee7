//! Two lanes to a host, each of which does what a test says, on a clock that jumps.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use rejoin_protocol::codec::{Decoder, SERVER_MAGIC, WriteQueue};
use rejoin_protocol::frame::{Greeting, How, Wish};
use rejoin_protocol::spec::{Command as Line, ProcessSpec};
use rejoin_protocol::{Frame, HostId, Link, SessionId, VersionRange};
use rejoin_ssh::{Attempt, LinkError, LinkErrorKind, memory};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::tests::welcome;
use super::*;
use crate::link::Report;
use crate::options::Lane;

/// What becomes of one link.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is never open.
    Endless,
    Fails(LinkErrorKind),
    /// The host is not reached, for so long.
    FailsAfter(Duration),
    /// It is open, and nothing follows.
    Silent,
    /// The host greets after this long, and says nothing more.
    Greets(Duration),
    /// The host greets after this long, and answers to everything.
    Serves(Duration),
    /// It ends this long after it was attached.
    ServesFor(Duration),
    /// It stalls this long after it was attached.
    StallsAfter(Duration),
}

/// Both lanes, and the way that each link of theirs goes.
struct Ways {
    ssh: fn(usize) -> Fate,
    fast: fn(usize) -> Fate,
    /// When which of them was taken.
    taken: Mutex<Vec<(Instant, bool)>>,
    learnt: Mutex<Vec<Instant>>,
    attaches: Arc<AtomicUsize>,
}

impl Ways {
    fn count(&self, is_fast: bool) -> usize {
        self.times(is_fast).len()
    }

    fn times(&self, is_fast: bool) -> Vec<Instant> {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|(_, fast)| *fast == is_fast).map(|(at, _)| *at).collect()
    }

    async fn open(&self, is_fast: bool) -> Result<rejoin_ssh::Link, LinkError> {
        let number = self.count(is_fast);
        self.taken.lock().unwrap().push((Instant::now(), is_fast));
        let fate = if is_fast { (self.fast)(number) } else { (self.ssh)(number) };
        match fate {
            Fate::Endless => std::future::pending().await,
            Fate::Fails(kind) => Err(LinkError::new(kind, "as the test says")),
            Fate::FailsAfter(time) => {
                sleep(time).await;
                Err(LinkError::new(LinkErrorKind::Unreachable, "as the test says"))
            }
            _ => {
                let (connect, mut listener) = memory();
                let near = connect.connect(Attempt::Reconnect).await?;
                let far = listener.accept().await.unwrap();
                tokio::spawn(host(far, fate, Arc::clone(&self.attaches)));
                Ok(near)
            }
        }
    }
}

impl Connect for Ways {
    fn connect(&self, _: Attempt) -> BoxFuture<'_, Result<rejoin_ssh::Link, LinkError>> {
        Box::pin(self.open(false))
    }

    fn fast(&self) -> Option<BoxFuture<'_, Result<rejoin_ssh::Link, LinkError>>> {
        Some(Box::pin(self.open(true)))
    }

    fn learn(&self) {
        self.learnt.lock().unwrap().push(Instant::now());
    }

    fn destination(&self) -> String {
        "host".to_owned()
    }
}

/// The other end of a link: a server that grants everything, and whose process says nothing.
async fn host(link: rejoin_ssh::Link, fate: Fate, attaches: Arc<AtomicUsize>) {
    let (mut reader, mut writer, _guard) = link.into_parts();
    let (delay, is_serving, life) = match fate {
        Fate::Greets(delay) => (delay, false, None),
        Fate::Serves(delay) => (delay, true, None),
        Fate::ServesFor(life) | Fate::StallsAfter(life) => (ms(500), true, Some(life)),
        Fate::Silent | Fate::Endless | Fate::Fails(_) | Fate::FailsAfter(_) => {
            return std::future::pending().await;
        }
    };
    sleep(delay).await;
    let greeting = Greeting {
        versions: VersionRange::SUPPORTED,
        host: HostId { machine: [1; 16], boot: [2; 16] },
        host_name: "host".to_owned(),
    };
    let mut queue = WriteQueue::starting_with(SERVER_MAGIC);
    queue.push(&Frame::Greeting(greeting)).unwrap();
    let (mut decoder, mut buffer) = (Decoder::of_client(), BytesMut::new());
    let mut ends = Instant::now() + Duration::from_hours(10_000);
    loop {
        if writer.write_all_buf(&mut queue).await.is_err() {
            break;
        }
        match timeout(ends.duration_since(Instant::now()), reader.read_buf(&mut buffer)).await {
            Ok(Ok(1..)) => {}
            _ => break,
        }
        while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
            match frame {
                Frame::Hello(hello) if is_serving => {
                    attaches.fetch_add(1, Ordering::Relaxed);
                    let is_opened = matches!(hello.wish, Wish::Open { .. });
                    let how = if is_opened { How::Opened } else { How::Resumed };
                    let welcome = welcome(hello.attach, hello.version, how);
                    queue.push(&Frame::Welcome(welcome)).unwrap();
                    ends = life.map_or(ends, |life| Instant::now() + life);
                }
                Frame::Ping { token } if is_serving => {
                    queue.push(&Frame::Pong { token }).unwrap();
                }
                _ => {}
            }
        }
    }
    if matches!(fate, Fate::StallsAfter(_)) {
        std::future::pending::<()>().await;
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn min(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

/// A session that was attached over ssh for long enough, and whose host it is known how to come back to.
struct Stage {
    driver: Driver,
    ways: Arc<Ways>,
    reported: mpsc::Receiver<(Link, Report)>,
    told: mpsc::UnboundedReceiver<Event>,
    /// What was told since it was looked last, and when.
    events: Vec<(Instant, Event)>,
}

impl Stage {
    async fn attached(lane: Lane, ssh: fn(usize) -> Fate, fast: fn(usize) -> Fate) -> Self {
        let ways = Ways {
            ssh,
            fast,
            taken: Mutex::default(),
            learnt: Mutex::default(),
            attaches: Arc::default(),
        };
        let ways = Arc::new(ways);
        let (output, _) = mpsc::unbounded_channel();
        let (event, told) = mpsc::unbounded_channel();
        let mut options = Options::default();
        (options.may_ask, options.lane) = (false, lane);
        let spec = ProcessSpec::new(Line::Shell(b"true".to_vec()));
        let config = options.config(SessionId::from_bytes([0x80; 16]), Some(&spec)).unwrap();
        let machine = Client::open(&config);
        let told_to =
            Told { output, event, state: watch::Sender::new(None), end: watch::Sender::new(None) };
        let (links, reported) = Links::new(ways.clone());
        let driver = Driver::new(ways.clone(), links, config, machine, &options, told_to);
        let mut stage = Self { driver, ways, reported, told, events: Vec::new() };
        stage.driver.begin(false);
        stage.passes(min(1)).await;
        assert!(stage.driver.machine.is_attached());
        stage
    }

    /// Has the driver do for this long what it would do.
    async fn passes(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let Self { driver, reported, told, .. } = self;
            tokio::select! {
                Some((link, report)) = reported.recv() => driver.arrived(link, report),
                timer = driver.timers.next() => driver.timer(timer),
                happened = driver.paths.next() => driver.happened(happened),
                () = sleep_until(end) => {}
            }
            let now = Instant::now();
            self.events.extend(std::iter::from_fn(|| told.try_recv().ok()).map(|told| (now, told)));
        }
    }

    /// Cuts the link that is used; from now on the clock and the story count.
    fn cut(&mut self) -> Instant {
        self.events.clear();
        let link = self.driver.link.as_ref().unwrap().link;
        self.driver.arrived(link, Report::Lost(LinkError::new(LinkErrorKind::Closed, "cut")));
        Instant::now()
    }

    /// How long after this the session was attached, each time.
    fn returns(&self, since: Instant) -> Vec<Duration> {
        let attached = self
            .events
            .iter()
            .filter(|it| matches!(it.1, Event::Attached { .. } | Event::Moved { .. }));
        attached.map(|(at, _)| at.duration_since(since)).collect()
    }

    fn notices(&self) -> Vec<&str> {
        let notices = self.events.iter().filter_map(|(_, told)| match told {
            Event::Notice { message } => Some(message.as_str()),
            _ => None,
        });
        notices.collect()
    }

    fn ssh_since(&self, since: Instant) -> Vec<Duration> {
        let times = self.ways.times(false).into_iter();
        times.filter(|at| *at >= since).map(|at| at.duration_since(since)).collect()
    }

    fn is_over_ssh(&self) -> bool {
        self.driver.machine.is_attached() && !self.driver.paths.is_on_fast_lane()
    }
}

/// ssh takes 600 ms.
fn ssh(_: usize) -> Fate {
    Fate::Serves(ms(600))
}

/// Only the first attempt of ssh's, before the session is cut, leads anywhere.
fn first_or(number: usize, fate: Fate) -> Fate {
    if number == 0 { Fate::Serves(ms(600)) } else { fate }
}

fn fast(_: usize) -> Fate {
    Fate::Serves(ms(150))
}

#[tokio::test(start_paused = true)]
async fn a_session_is_back_over_the_fast_lane_and_then_moves_to_ssh() {
    let mut stage = Stage::attached(Lane::Auto, ssh, fast).await;
    let cut = stage.cut();
    stage.passes(min(5)).await;
    let returns = stage.returns(cut);
    assert_eq!(returns.len(), 2, "{returns:?}");
    assert!(returns[0] < ms(200) && returns[1] < ms(700), "{returns:?}");
    assert!(
        stage.events.iter().filter(|(_, told)| matches!(told, Event::Moved { .. })).count() == 1
    );
    assert!(stage.is_over_ssh());
    assert_eq!((stage.ways.count(true), stage.ways.count(false)), (1, 2));
}

fn unreachable_at(at: usize, number: usize, fate: Fate) -> Fate {
    if number == at { Fate::Fails(LinkErrorKind::Unreachable) } else { fate }
}

/// Where both paths fail once, ssh may be used before the fast link is ready, which then takes its place.
#[tokio::test(start_paused = true)]
async fn a_lost_session_is_attached_again_whichever_link_takes_the_place_of_another() {
    let is_back = |told: &&Event| matches!(told, Event::Attached { .. } | Event::Moved { .. });
    for _ in 0..30 {
        let ssh = |number| unreachable_at(1, number, ssh(number));
        let fast = |number| unreachable_at(0, number, fast(number));
        let mut stage = Stage::attached(Lane::Auto, ssh, fast).await;
        stage.cut();
        stage.passes(min(1)).await;
        let back: Vec<_> = stage.events.iter().map(|(_, told)| told).filter(is_back).collect();
        assert!(matches!(back[..], [Event::Attached { .. }, ..]), "{back:?}");
        assert!(back[1..].iter().all(|told| matches!(told, Event::Moved { .. })), "{back:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ssh_starts_a_moment_later_or_when_the_fast_link_is_attached_or_has_failed() {
    let mut stage = Stage::attached(Lane::Auto, ssh, fast).await;
    let cut = stage.cut();
    stage.passes(min(1)).await;
    assert_eq!(stage.ssh_since(cut).len(), 1);
    assert!((ms(40)..ms(50)).contains(&stage.ssh_since(cut)[0]), "{:?}", stage.ssh_since(cut));
    for quick in [|_| Fate::Serves(ms(5)), |_| Fate::Fails(LinkErrorKind::Other)] {
        let mut stage = Stage::attached(Lane::Auto, ssh, quick).await;
        let cut = stage.cut();
        stage.passes(min(1)).await;
        let ssh = stage.ssh_since(cut);
        assert!(ssh.len() == 1 && ssh[0] < ms(20), "{ssh:?}");
        assert!(stage.is_over_ssh());
    }
}

#[tokio::test(start_paused = true)]
async fn a_fast_link_that_stalls_anywhere_does_not_hold_up_ssh() {
    let stalls: [fn(usize) -> Fate; 4] =
        [|_| Fate::Endless, |_| Fate::Silent, |_| Fate::Greets(ms(100)), |_| Fate::Greets(ms(630))];
    for stall in stalls {
        let mut stage = Stage::attached(Lane::Auto, ssh, stall).await;
        let cut = stage.cut();
        stage.passes(min(1)).await;
        let returns = stage.returns(cut);
        assert_eq!(returns.len(), 1, "{returns:?}");
        assert!(returns[0] <= ms(650), "{returns:?}");
        assert!(stage.is_over_ssh());
        assert_eq!(stage.ssh_since(cut).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fast_link_that_stalls_gets_ssh_beside_it_also_where_only_the_fast_lane_is_wanted() {
    let stalls: [fn(usize) -> Fate; 3] =
        [|_| Fate::Endless, |_| Fate::Silent, |_| Fate::Greets(ms(100))];
    for stall in stalls {
        let mut stage = Stage::attached(Lane::Fast, ssh, stall).await;
        let cut = stage.cut();
        stage.passes(min(10)).await;
        let returns = stage.returns(cut);
        assert!(returns.len() == 1 && returns[0] < ms(1800), "{returns:?}");
        assert!(stage.is_over_ssh(), "it stays there");
        assert_eq!(stage.ssh_since(cut).len(), 1);
    }
}

/// The first link of ssh's falls silent, after a while.
fn first_stalls(number: usize) -> Fate {
    if number == 0 { Fate::StallsAfter(min(2)) } else { ssh(number) }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_falls_silent_is_replaced_over_the_fast_lane_and_then_over_ssh() {
    for lane in [Lane::Auto, Lane::Fast] {
        let mut stage = Stage::attached(lane, first_stalls, fast).await;
        let since = Instant::now();
        stage.events.clear();
        stage.passes(min(3)).await;
        let returns = stage.returns(since);
        assert!(returns[0] < min(1) + Duration::from_secs(6), "{returns:?}");
        assert_eq!(stage.ways.count(true), 1);
        let is_moved = lane == Lane::Auto;
        assert_eq!((returns.len(), stage.is_over_ssh()), (1 + usize::from(is_moved), is_moved));
        if let [first, then] = returns[..] {
            let later = then.saturating_sub(first);
            assert!((ms(400)..ms(500)).contains(&later), "both were dialled at once: {later:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fast_lane_that_leads_nowhere_does_not_hold_up_the_other_spare() {
    let fates: [fn(usize) -> Fate; 3] =
        [|_| Fate::Endless, |_| Fate::Silent, |_| Fate::Fails(LinkErrorKind::Other)];
    let mut returns = Vec::new();
    for fate in fates {
        let mut stage = Stage::attached(Lane::Auto, first_stalls, fate).await;
        let since = Instant::now();
        stage.events.clear();
        stage.passes(min(3)).await;
        assert_eq!((stage.ways.count(true), stage.returns(since).len()), (1, 1));
        assert!(stage.is_over_ssh());
        returns.extend(stage.returns(since));
    }
    let mut left = Stage::attached(Lane::Ssh, first_stalls, fast).await;
    let since = Instant::now();
    left.events.clear();
    left.passes(min(3)).await;
    assert_eq!(left.ways.count(true), 0);
    let alone = left.returns(since)[0];
    assert!(returns.iter().all(|it| *it <= alone), "{returns:?}, {alone:?}");
}

#[tokio::test(start_paused = true)]
async fn where_only_the_fast_lane_is_wanted_it_is_all_that_there_is_and_ssh_where_it_fails() {
    let mut stage = Stage::attached(Lane::Fast, ssh, fast).await;
    let cut = stage.cut();
    stage.passes(min(5)).await;
    assert!(stage.driver.machine.is_attached() && stage.driver.paths.is_on_fast_lane());
    assert!(stage.ssh_since(cut).is_empty());
    let mut stage =
        Stage::attached(Lane::Fast, ssh, |_| Fate::Fails(LinkErrorKind::Unreachable)).await;
    let cut = stage.cut();
    stage.passes(min(5)).await;
    assert!(stage.is_over_ssh());
    assert!(stage.returns(cut)[0] < ms(700), "{:?}", stage.returns(cut));
}

/// Both dial for as long as the host is away, and are not put off by each other.
#[tokio::test(start_paused = true)]
async fn after_an_outage_of_any_length_the_fast_lane_is_there_first() {
    fn away(number: usize) -> Fate {
        if number < 4 { Fate::FailsAfter(Duration::from_secs(10)) } else { fast(number) }
    }
    fn ssh_away(number: usize) -> Fate {
        if number == 0 { ssh(0) } else { Fate::FailsAfter(Duration::from_secs(10)) }
    }
    let mut stage = Stage::attached(Lane::Auto, ssh_away, away).await;
    let cut = stage.cut();
    stage.passes(min(2)).await;
    let returns = stage.returns(cut);
    let expected = Duration::from_secs(40);
    assert!((expected..expected + ms(500)).contains(&returns[0]), "{returns:?}");
    assert!(stage.driver.paths.is_on_fast_lane());
}

/// ssh is there while the next attempt is waited for.
#[tokio::test(start_paused = true)]
async fn an_ssh_that_is_ready_is_used_at_once_also_where_an_attempt_is_put_off() {
    let fails = |_| Fate::FailsAfter(ms(60));
    let mut stage = Stage::attached(Lane::Auto, ssh, fails).await;
    let cut = stage.cut();
    stage.passes(min(1)).await;
    let returns = stage.returns(cut);
    assert!(returns[0] <= ms(650), "{returns:?}");
    assert!(stage.is_over_ssh());
}

#[tokio::test(start_paused = true)]
async fn an_ssh_that_never_answers_is_tried_less_and_less_and_given_more_time() {
    let silent = |number| first_or(number, Fate::Silent);
    let mut stage = Stage::attached(Lane::Auto, silent, fast).await;
    let cut = stage.cut();
    stage.passes(min(10)).await;
    assert_eq!(stage.returns(cut).len(), 1);
    let tries = stage.ssh_since(cut).len();
    assert!((4..=12).contains(&tries), "{:?}", stage.ssh_since(cut));
    // A login of half a minute, where the last one took less than a second.
    let slow = |number| first_or(number, Fate::Serves(Duration::from_secs(30)));
    let mut stage = Stage::attached(Lane::Auto, slow, fast).await;
    stage.cut();
    stage.passes(min(10)).await;
    assert!(stage.is_over_ssh(), "it is waited for at last");
}

#[tokio::test(start_paused = true)]
async fn an_ssh_that_wants_a_person_is_told_once_and_seldom_tried() {
    for (kind, words) in [
        (LinkErrorKind::NeedsUser, "host needs you: unlock the key"),
        (LinkErrorKind::Refused, "host needs you: the account may not run the server"),
    ] {
        let ssh: fn(usize) -> Fate = match kind {
            LinkErrorKind::Refused => {
                |number| first_or(number, Fate::Fails(LinkErrorKind::Refused))
            }
            _ => |number| first_or(number, Fate::Fails(LinkErrorKind::NeedsUser)),
        };
        let fast: fn(usize) -> Fate = match kind {
            // Attached before or after ssh has failed.
            LinkErrorKind::Refused => |_| Fate::Serves(ms(10)),
            _ => |_| Fate::Serves(ms(150)),
        };
        let mut stage = Stage::attached(Lane::Auto, ssh, fast).await;
        let cut = stage.cut();
        stage.passes(ms(500)).await;
        let is_last = matches!(stage.events.last(), Some((_, Event::Notice { .. })));
        assert!(is_last, "told when it is back: {:?}", stage.events);
        stage.passes(min(10)).await;
        // A host that bans bears four in ten minutes.
        assert_eq!(stage.ssh_since(cut).len(), 3, "{:?}", stage.ssh_since(cut));
        stage.passes(min(600)).await;
        assert!(stage.ssh_since(cut).len() < 18, "{:?}", stage.ssh_since(cut));
        let notices = stage.notices();
        assert!(notices.len() == 1 && notices[0].starts_with(words), "{notices:?}");
        assert_eq!(stage.returns(cut).len(), 1, "the session is not disturbed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_back_is_no_occasion_to_try_an_ssh_that_wants_a_person() {
    let ssh = |number| first_or(number, Fate::Fails(LinkErrorKind::NeedsUser));
    let mut stage = Stage::attached(Lane::Auto, ssh, |_| Fate::ServesFor(min(1))).await;
    let cut = stage.cut();
    stage.passes(min(10)).await;
    assert!(stage.returns(cut).len() >= 9);
    assert!(stage.ssh_since(cut).len() <= 4, "{:?}", stage.ssh_since(cut));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_fast_link_is_no_occasion_to_try_an_ssh_that_wants_a_person() {
    let ssh = |number| first_or(number, Fate::Fails(LinkErrorKind::NeedsUser));
    let stalls = |number| match number {
        0 => Fate::StallsAfter(Duration::from_secs(5)),
        _ => Fate::Serves(ms(150)),
    };
    let mut stage = Stage::attached(Lane::Auto, ssh, stalls).await;
    let cut = stage.cut();
    stage.passes(min(1)).await;
    assert_eq!((stage.returns(cut).len(), stage.ssh_since(cut).len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_ssh_does_not_trust_is_left_at_once() {
    let ssh = |number| first_or(number, Fate::Fails(LinkErrorKind::HostKey));
    let mut stage = Stage::attached(Lane::Auto, ssh, |_| Fate::Serves(ms(10))).await;
    let cut = stage.cut();
    stage.passes(ms(30)).await;
    assert!(stage.events.iter().any(|(_, told)| matches!(told, Event::Detached { .. })));
    assert!(stage.notices()[0].starts_with("host needs you: look at the host's key"));
    assert_eq!(stage.ssh_since(cut).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_ssh_link_that_does_not_hold_is_moved_to_less_and_less_often() {
    let ssh = |number| first_or(number, Fate::ServesFor(Duration::from_secs(1)));
    let mut stage = Stage::attached(Lane::Auto, ssh, fast).await;
    let cut = stage.cut();
    stage.passes(min(10)).await;
    let logins = stage.ways.count(false) + stage.ways.count(true);
    assert!(logins <= 36, "{logins}");
    assert!(stage.ssh_since(cut).len() >= 8, "it is not given up");
    let moves = stage
        .events
        .iter()
        .filter(|(_, told)| matches!(told, Event::Moved { .. }))
        .map(|(at, _)| *at);
    let moves: Vec<_> = moves.collect();
    let last = moves[moves.len() - 1].duration_since(moves[moves.len() - 2]);
    assert!(last >= min(1), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn after_an_ssh_link_that_held_the_next_one_is_moved_to_at_once() {
    let ssh = |number| match number {
        1 | 2 => Fate::ServesFor(Duration::from_secs(1)),
        _ => Fate::Serves(ms(600)),
    };
    let mut stage = Stage::attached(Lane::Auto, ssh, fast).await;
    stage.cut();
    stage.passes(min(1)).await;
    assert!(stage.is_over_ssh());
    stage.passes(min(1)).await;
    let cut = stage.cut();
    stage.passes(min(1)).await;
    assert!(stage.returns(cut)[1] < ms(700), "{:?}", stage.returns(cut));
}

#[tokio::test(start_paused = true)]
async fn a_host_is_learnt_when_a_session_was_calm_for_a_time_of_its_own() {
    for (lane, is_over_fast) in [(Lane::Auto, false), (Lane::Fast, true)] {
        let mut stage = Stage::attached(lane, ssh, fast).await;
        stage.ways.learnt.lock().unwrap().clear();
        let cut = stage.cut();
        stage.passes(min(1)).await;
        assert_eq!(stage.driver.paths.is_on_fast_lane(), is_over_fast);
        let attached = *stage.returns(cut).last().unwrap();
        let learnt = stage.ways.learnt.lock().unwrap().clone();
        let [learnt] = learnt[..] else { panic!("{learnt:?}") };
        let calm = learnt.duration_since(cut).saturating_sub(attached);
        assert!((ms(7490)..ms(7530)).contains(&calm), "half of what sessions differ in: {calm:?}");
    }
}
