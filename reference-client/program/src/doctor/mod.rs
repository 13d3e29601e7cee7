//! `rejoin doctor`: whether rejoin works on a host, tried out for real.

mod cutting;
mod findings;
mod trial;

use std::time::{Duration, Instant};

use rejoin_ssh::{LinkError, LinkErrorKind};

use findings::{Findings, Report, Verdict};

use crate::args::{Question, SessionOptions, WhichLane};
use crate::host::listing;
use crate::host::query::HostQuery;
use crate::host::sessions::{answer, misunderstood, print};
use crate::session::messages::{Ending, FAILED};
use crate::session::start;
use crate::terminal::quote::shown;
use crate::timeline::Timelines;

/// `rejoin doctor`.
pub(crate) async fn doctor(question: Question) -> Ending {
    let Question { link, json, destination } = question;
    let name = shown(&destination.to_string_lossy());
    let mut query = HostQuery::new(&link, &destination);
    let mut findings = Findings::default();
    match ask(&mut query).await {
        Ok((report, took)) => {
            let text = format!("logged in, and the server program ran, in {}", millis(took));
            findings.add("ssh", Verdict::Works, text);
            findings.add_report(&report, &name);
            if !findings.has_failed() {
                query = query.followed(|_| true);
                try_out(&mut query, &mut findings).await;
                check_lane(&mut query, &mut findings).await;
            }
        }
        Err(error) => findings.add(check_of(error.kind), Verdict::Fails, shown(&error.message)),
    }
    findings.works = !findings.has_failed();
    let text = match serde_json::to_string(&findings) {
        Ok(text) if json => text + "\n",
        _ => findings.text(&name),
    };
    match print(&text) {
        Ending { code: 0, .. } if !findings.works => Ending::silent(FAILED),
        ending => ending,
    }
}

/// What the host's server program reports, and how long it took to hear that.
async fn ask(query: &mut HostQuery) -> Result<(Report, Duration), LinkError> {
    let other = |message: String| LinkError::new(LinkErrorKind::Other, message);
    let connect = query.asking("doctor");
    let began = Instant::now();
    let answered = query.while_waiting(answer(&*connect)).await;
    let (text, error) = answered.map_err(|ending| other(ending.line.unwrap_or_default()))?;
    match listing::parse(&text) {
        Some(report) => Ok((report, began.elapsed())),
        None if error.kind == LinkErrorKind::Closed => Err(other(misunderstood(&text, &error))),
        None => Err(error),
    }
}

/// Which part of the way a connection did not get over.
fn check_of(kind: LinkErrorKind) -> &'static str {
    match kind {
        LinkErrorKind::ServerMissing | LinkErrorKind::Undeployable | LinkErrorKind::Other => {
            "server"
        }
        _ => "ssh",
    }
}

async fn try_out(query: &mut HostQuery, findings: &mut Findings) {
    let options = start::options(&SessionOptions {
        events: None,
        standby: false,
        lane: WhichLane::Ssh,
        give_up: None,
    });
    let mut timelines = Timelines::collected();
    let connect = query.attach();
    match query.while_waiting(trial::run(connect, options)).await {
        Ok(trial) => {
            let [connect, reconnect] = [trial.connect, trial.reconnect].map(millis);
            let round_trip = trial.round_trip.as_micros();
            let (whole, hundredths) = (round_trip / 1000, round_trip % 1000 / 10);
            let round_trip = format!("{whole}.{hundredths:02} ms to a process and back");
            let text = format!("attached after {connect}; {round_trip}");
            findings.add("session", Verdict::Works, text);
            let text = format!("connection cut, and back after {reconnect} with nothing lost");
            findings.add("resume", Verdict::Works, text);
            let count = |time: Duration| u64::try_from(time.as_millis()).ok();
            findings.connect_millis = count(trial.connect);
            findings.reconnect_millis = count(trial.reconnect);
            findings.round_trip_micros = u64::try_from(trial.round_trip.as_micros()).ok();
            findings.connect = timelines.ready();
            findings.reconnect = timelines.ready().filter(|timeline| timeline.is_resumed);
        }
        Err(trial::Failure(why)) => findings.add("session", Verdict::Fails, shown(&why)),
    }
}

/// Whether this host is come back to faster than ssh can. It works without.
async fn check_lane(query: &mut HostQuery, findings: &mut Findings) {
    match query.check_fast_lane().await {
        Ok(()) => findings.add("lane", Verdict::Works, "there is a fast lane beside ssh"),
        Err(why) => findings.add("lane", Verdict::Note, shown(&format!("ssh alone: {why}"))),
    }
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
