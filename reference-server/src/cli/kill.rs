//! `rejoin-server kill`.

use std::io::{self, Write};
use std::process::ExitCode;

use rejoin_protocol::admin::{EndProblem, EndedSession, KillReport};

use super::print_json;
use crate::admin;
use crate::attach::AttachContext;

pub(super) fn kill(place: &AttachContext, names: &[String], json: bool) -> io::Result<ExitCode> {
    let mut report = KillReport::default();
    for outcome in admin::end_each(place, names)? {
        if !json {
            print(&outcome);
        }
        match outcome {
            Ok(ended) => report.ended.push(ended),
            Err(problem) => report.problems.push(problem),
        }
    }
    if json {
        print_json(&report)?;
    }
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(outcome: &Result<EndedSession, EndProblem>) {
    match outcome {
        // A closed stdout is no reason to leave the others alive.
        Ok(EndedSession { session, processes }) => {
            let noun = if *processes == 1 { "process" } else { "processes" };
            drop(writeln!(io::stdout(), "{session} ended ({processes} {noun})"));
        }
        Err(EndProblem { error, .. }) => eprintln!("rejoin-server: {error}"),
    }
}
