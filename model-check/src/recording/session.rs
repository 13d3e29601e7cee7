//! What must hold of all recordings of a session together.

use std::collections::BTreeMap;

use rejoin_protocol::{ClientInstance, Epoch, Item, Seq};

use super::client_side::{self, ClientView};
use super::server_side::{self, ServerView};
use super::{RecordedRun, Recording, RecordingViolation, Report};
use crate::properties::{BrokenProperty, PropertyResult, client, server};

/// Checks recordings, each by itself and all of one session against each other. What a program
/// did whose recording is not among them, or was cut before, is not known and not missed.
///
/// # Errors
/// The first [`RecordingViolation`].
pub fn check(recordings: &[Recording]) -> Result<Report, RecordingViolation> {
    let mut report = Report::default();
    let (mut clients, mut servers) = (Vec::new(), Vec::new());
    for recording in recordings {
        report += Report::of(recording);
        match &recording.run {
            RecordedRun::Client(track) => clients.push(client_side::walk(recording, track)?),
            RecordedRun::Server(track) => servers.push(server_side::walk(recording, track, false)?),
            RecordedRun::Attach(track) => drop(server_side::walk(recording, track, true)?),
        }
    }
    started_once(&servers)?;
    let by_epoch: BTreeMap<Epoch, &ServerView<'_>> =
        servers.iter().filter_map(|server| Some((server.epoch?, server))).collect();
    for client in &clients {
        delivered_was_written(client, &by_epoch)?;
    }
    let by_instance = clients.iter().map(|client| (client.instance, client)).collect();
    for (epoch, server) in by_epoch {
        handed_over_was_put_in(epoch, server, &by_instance)?;
    }
    Ok(report)
}

/// What was found about a step of this recording, compared with another's.
fn judged(
    held: PropertyResult,
    recording: &Recording,
    step: usize,
    other: &str,
) -> Result<(), RecordingViolation> {
    held.map_err(|BrokenProperty { property, what }| RecordingViolation {
        recording: recording.name.clone(),
        step: Some(step),
        event: None,
        property,
        what: format!("{what} ({other})"),
    })
}

fn started_once(servers: &[ServerView<'_>]) -> Result<(), RecordingViolation> {
    let mut started = BTreeMap::new();
    for server in servers {
        let Some((step, incarnation)) = server.start else { continue };
        let name = &server.recording.name;
        let before = started.insert((server.session, incarnation), name);
        let held = server::started(incarnation, before.is_none());
        judged(held, server.recording, step, before.unwrap_or(name))?;
    }
    Ok(())
}

/// Gaps stand for what was dropped, as the session asked for.
fn delivered_was_written(
    client: &ClientView<'_>,
    servers: &BTreeMap<Epoch, &ServerView<'_>>,
) -> Result<(), RecordingViolation> {
    for (epoch, items) in &client.delivered {
        let Some(server) = servers.get(epoch) else { continue };
        for (seq, (step, item)) in items {
            let written = at(&server.written, *seq);
            if written.is_none() && server.recording.is_cut {
                continue;
            }
            let held = client::arrived(*seq, item, written);
            judged(held, client.recording, *step, &server.recording.name)?;
        }
    }
    Ok(())
}

fn handed_over_was_put_in(
    epoch: Epoch,
    server: &ServerView<'_>,
    clients: &BTreeMap<ClientInstance, &ClientView<'_>>,
) -> Result<(), RecordingViolation> {
    for (index, (step, instance, item)) in server.handed_over.iter().enumerate() {
        let Some(client) = instance.and_then(|instance| clients.get(&instance)) else { continue };
        let seq = Seq(index as u64);
        let put_in = client.put_in.find(epoch, seq);
        if put_in.is_none() && client.recording.is_cut {
            continue;
        }
        let held = client::arrived(seq, item, put_in);
        judged(held, server.recording, *step, &client.recording.name)?;
    }
    Ok(())
}

fn at(items: &[Item], seq: Seq) -> Option<&Item> {
    usize::try_from(seq.0).ok().and_then(|at| items.get(at))
}
