//! A session that the doctor starts, cuts and ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rejoin_client::spec::{Command, ProcessSpec};
use rejoin_client::{Event, OpenError, Options, Output, Session, Timeline, new_session_id};
use rejoin_ssh::Connect;

use super::cutting::Cutting;

/// How long any part of the trial may take.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long the process may stay if the doctor does not come to end it.
const RETENTION: Duration = Duration::from_mins(2);
/// How long its end may take.
const ENDING: Duration = Duration::from_secs(20);
const ECHOES: usize = 9;

/// How the trial went.
#[derive(Debug)]
pub(super) struct Trial {
    /// From the start to an attached session.
    pub(super) connect: Duration,
    /// For one byte to the process and back, in the middle of several.
    pub(super) round_trip: Duration,
    /// From the cut to the first byte behind it.
    pub(super) reconnect: Duration,
    /// How long each part of the connections took.
    pub(super) timelines: Vec<Timeline>,
}

/// Why it did not go well; a sentence.
pub(super) struct Failure(pub(super) String);

struct Running {
    session: Session,
    expected: Vec<u8>,
    read: Vec<u8>,
    timelines: Vec<Timeline>,
}

/// Starts a process that sends back what it gets, measures, cuts the connection, sends on, and looks
/// whether every byte comes back once and in order; then ends it.
pub(super) async fn run(connect: Arc<dyn Connect>, mut options: Options) -> Result<Trial, Failure> {
    options.timing.give_up = Some(PATIENCE);
    let spec = ProcessSpec {
        retention: RETENTION.as_secs(),
        ..ProcessSpec::new(Command::Exec(vec![b"cat".to_vec()]))
    };
    let cutting = Cutting::new(connect);
    let began = Instant::now();
    let session = new_session_id()
        .map_err(OpenError::from)
        .and_then(|id| Session::open(Arc::clone(&cutting) as _, id, &spec, options))
        .map_err(|error| Failure(error.to_string()))?;
    let mut running =
        Running { session, expected: Vec::new(), read: Vec::new(), timelines: Vec::new() };
    let tried = running.measure(&cutting, began).await;
    // Whatever went wrong, the process is not left behind if it can be helped.
    let ended = running.end().await;
    tried.and_then(|trial| ended.map(|()| trial))
}

impl Running {
    async fn measure(&mut self, cutting: &Cutting, began: Instant) -> Result<Trial, Failure> {
        self.until_attached().await?;
        let connect = began.elapsed();
        let mut echoes = Vec::new();
        for _ in 0..ECHOES {
            echoes.push(self.echo().await?);
        }
        echoes.sort_unstable();
        let cut = Instant::now();
        cutting.cut();
        self.echo().await?;
        let reconnect = cut.elapsed();
        self.until_timelines(2).await?;
        let timelines = std::mem::take(&mut self.timelines);
        Ok(Trial { connect, round_trip: echoes[ECHOES / 2], reconnect, timelines })
    }

    async fn until_attached(&mut self) -> Result<(), Failure> {
        self.until(|event| matches!(event, Event::Attached { .. })).await
    }

    /// They are complete a second after the attachment at the latest.
    async fn until_timelines(&mut self, count: usize) -> Result<(), Failure> {
        while self.timelines.len() < count {
            self.until(|event| matches!(event, Event::Timeline(_))).await?;
        }
        Ok(())
    }

    async fn until(&mut self, is_it: impl Fn(&Event) -> bool) -> Result<(), Failure> {
        let Self { session, timelines, .. } = self;
        let wait = async {
            while let Some(event) = session.events.recv().await {
                note(&event, timelines)?;
                if is_it(&event) {
                    return Ok(());
                }
            }
            Err(Failure("the session ended without a word".to_owned()))
        };
        in_time(wait).await
    }

    /// Sends a byte that tells its place, and waits until it comes back.
    async fn echo(&mut self) -> Result<Duration, Failure> {
        let byte = b'a' + u8::try_from(self.expected.len() % 26).unwrap_or_default();
        self.expected.push(byte);
        let began = Instant::now();
        let sent = self.session.input.send(vec![byte].into()).await;
        sent.map_err(|ended| Failure(ended.to_string()))?;
        let Self { session, expected, read, timelines } = self;
        let wait = async {
            while read.len() < expected.len() {
                tokio::select! {
                    output = session.output.recv() => match output {
                        Some(Output::Data { data, .. }) => read.extend_from_slice(&data),
                        Some(Output::Replaced(replaced)) => {
                            check(&Event::Replaced(replaced))?;
                        }
                        Some(_) => {}
                        None => return Err(Failure("the session ended too early".to_owned())),
                    },
                    Some(event) = session.events.recv() => note(&event, timelines)?,
                }
            }
            Ok(())
        };
        in_time(wait).await?;
        if self.read != self.expected {
            return Err(Failure("bytes were lost, repeated or changed".to_owned()));
        }
        Ok(began.elapsed())
    }

    async fn end(&mut self) -> Result<(), Failure> {
        self.session.control.close();
        match tokio::time::timeout(
            ENDING,
            self.until(|event| matches!(event, Event::Closed { .. })),
        )
        .await
        {
            Ok(ended) => ended,
            Err(_) => Err(Failure("the process could not be ended in time".to_owned())),
        }
    }
}

fn note(event: &Event, timelines: &mut Vec<Timeline>) -> Result<(), Failure> {
    if let Event::Timeline(timeline) = event {
        timelines.push(timeline.clone());
    }
    check(event)
}

/// What no session should be told while all is well.
fn check(event: &Event) -> Result<(), Failure> {
    let message = match event {
        Event::Lost { message, .. }
        | Event::Refused { message, .. }
        | Event::GaveUp { message, .. } => message.clone(),
        Event::Superseded { by } => format!("{by} took the session over"),
        Event::Replaced(_) => "the process was lost".to_owned(),
        _ => return Ok(()),
    };
    Err(Failure(message))
}

async fn in_time<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(Failure(format!("nothing happened for {} s", PATIENCE.as_secs()))),
    }
}
