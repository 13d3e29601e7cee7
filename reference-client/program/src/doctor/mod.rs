//! `rejoin doctor`: whether rejoin works on a host, tried out for real.

mod cutting;
mod findings;
mod trial;

use std::time::{Duration, Instant};

use rejoin_client::How;
use rejoin_client::admin::{self, AdminError, HostReport, Severity, words};
use rejoin_ssh::LinkErrorKind;

use findings::Findings;

use crate::args::{Question, SessionOptions, WhichLane};
use crate::ending::{Ending, FAILED};
use crate::host::query::HostQuery;
use crate::session::start;
use crate::sessions::{described, print};
use crate::terminal::quote::shown;

/// `rejoin doctor`.
pub(crate) async fn doctor(question: Question) -> Ending {
    let Question { link, json, destination } = question;
    let name = shown(&destination.to_string_lossy());
    let mut query = HostQuery::new(&link, &destination);
    let mut findings = Findings::default();
    match ask(&mut query).await {
        Ok((report, took)) => {
            let text = format!("logged in, and the server program ran, in {}", millis(took));
            findings.add("ssh", Severity::Works, text);
            findings.add_report(&report, &name);
            if !findings.has_failed() {
                query = query.followed(|_| true);
                try_out(&mut query, &mut findings).await;
                check_lane(&mut query, &mut findings).await;
            }
        }
        Err(error) => findings.add(check_of(&error), Severity::Fails, described(&error)),
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

/// What the host's server program reports, and how long that took.
async fn ask(query: &mut HostQuery) -> Result<(HostReport, Duration), AdminError> {
    let connect = query.asking(words::REPORT);
    let began = Instant::now();
    let report = query.while_waiting(admin::host_report(&*connect)).await?;
    Ok((report, began.elapsed()))
}

/// Which part of the way to the server program failed.
fn check_of(error: &AdminError) -> &'static str {
    match error {
        AdminError::NoAnswer(end) => match end.kind {
            LinkErrorKind::ServerMissing
            | LinkErrorKind::Undeployable
            | LinkErrorKind::Closed
            | LinkErrorKind::Other => "server",
            _ => "ssh",
        },
        _ => "server",
    }
}

async fn try_out(query: &mut HostQuery, findings: &mut Findings) {
    let options = start::options(&SessionOptions {
        events: None,
        standby: false,
        lane: WhichLane::Ssh,
        give_up: None,
    });
    let connect = query.attach();
    match query.while_waiting(trial::run(connect, options)).await {
        Ok(trial) => {
            let [connect, reconnect] = [trial.connect, trial.reconnect].map(millis);
            let round_trip = trial.round_trip.as_micros();
            let (whole, hundredths) = (round_trip / 1000, round_trip % 1000 / 10);
            let round_trip = format!("{whole}.{hundredths:02} ms to a process and back");
            let text = format!("attached after {connect}; {round_trip}");
            findings.add("session", Severity::Works, text);
            let text = format!("connection cut, and back after {reconnect} with nothing lost");
            findings.add("resume", Severity::Works, text);
            let count = |time: Duration| u64::try_from(time.as_millis()).ok();
            findings.connect_millis = count(trial.connect);
            findings.reconnect_millis = count(trial.reconnect);
            findings.round_trip_micros = u64::try_from(trial.round_trip.as_micros()).ok();
            let mut timelines = trial.timelines.into_iter();
            findings.connect = timelines.next();
            findings.reconnect = timelines.find(|timeline| timeline.how == How::Resumed);
        }
        Err(trial::Failure(why)) => findings.add("session", Severity::Fails, shown(&why)),
    }
}

/// Whether this host is come back to faster than ssh can. It works without.
async fn check_lane(query: &mut HostQuery, findings: &mut Findings) {
    match query.check_fast_lane().await {
        Ok(()) => findings.add("lane", Severity::Works, "there is a fast lane beside ssh"),
        Err(why) => findings.add("lane", Severity::Note, shown(&format!("ssh alone: {why}"))),
    }
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
