//! What the doctor has found, in words and as JSON.

use std::fmt::Write as _;

use rejoin_client::Timeline;
use rejoin_client::admin::{self, Finding, HostReport, Severity};
use rejoin_client::servers::VERSION;
use serde::Serialize;

use crate::timeline::table;

/// One of the checks, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Outcome {
    pub(crate) check: &'static str,
    pub(crate) verdict: Severity,
    pub(crate) text: String,
}

/// All that was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    pub(crate) works: bool,
    pub(crate) checks: Vec<Outcome>,
    /// From the start of a connection to an attached session.
    pub(crate) connect_millis: Option<u64>,
    /// For one byte to a process and back.
    pub(crate) round_trip_micros: Option<u64>,
    /// From a cut to the first byte that followed it.
    pub(crate) reconnect_millis: Option<u64>,
    /// Where the time went when the session was started, and when it was come back to.
    pub(crate) connect: Option<Timeline>,
    pub(crate) reconnect: Option<Timeline>,
}

impl Findings {
    pub(crate) fn add(&mut self, check: &'static str, verdict: Severity, text: impl Into<String>) {
        self.checks.push(Outcome { check, verdict, text: text.into() });
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.checks.iter().any(|check| check.verdict == Severity::Fails)
    }

    /// What follows from the report of a host, with the command that helps.
    pub(crate) fn add_report(&mut self, report: &HostReport, destination: &str) {
        for finding in admin::findings(report, VERSION) {
            let text = match finding {
                Finding::DeadSessions { .. } => {
                    format!("{finding}: rejoin prune {destination} removes what is left")
                }
                _ => finding.to_string(),
            };
            self.add(finding.check(), finding.severity(), text);
        }
    }

    /// For people: a line for each check, then the outcome.
    pub(crate) fn text(&self, destination: &str) -> String {
        let mut text = String::new();
        for Outcome { check, verdict, text: found } in &self.checks {
            let verdict = match verdict {
                Severity::Works => "ok",
                Severity::Note => "note",
                Severity::Fails => "FAILS",
            };
            let _ = writeln!(text, "{check:<10} {verdict:<6} {found}");
        }
        let ways = [("connect", &self.connect), ("reconnect", &self.reconnect)];
        let ways: Vec<_> =
            ways.into_iter().filter_map(|(name, way)| Some((name, way.as_ref()?))).collect();
        if !ways.is_empty() {
            let _ = write!(text, "\n{}", table(&ways));
        }
        let outcome = if self.works { "rejoin works there" } else { "rejoin does not work there" };
        let _ = writeln!(text, "\n{destination}: {outcome}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_shown_with_its_severities_and_the_command_that_helps() {
        let report = format!(
            r#"{{"version":"{VERSION}","host":"box","program":"/opt/s","persistence":"ends",
            "persistence_advice":"run\u001b loginctl","registry":{{"folder":"/r","living":2,"dead":1}}}}"#
        );
        let mut findings = Findings::default();
        findings.add_report(&serde_json::from_str(&report).unwrap(), "h");
        assert!(findings.has_failed());
        let expected = format!(
            "server     ok     rejoin-server {VERSION} on box: /opt/s\n\
             logout     FAILS  run loginctl\n\
             registry   ok     sessions are kept in /r\n\
             leftovers  note   1 of 3 sessions are dead: rejoin prune h removes what is left\n"
        );
        assert!(findings.text("h").starts_with(&expected), "{}", findings.text("h"));
    }

    #[test]
    fn the_text_has_a_line_for_each_check_and_one_for_the_outcome() {
        let mut findings = Findings::default();
        findings.add("ssh", Severity::Works, "logged in");
        findings.add("server", Severity::Fails, "no place for it");
        let text = findings.text("h");
        let expected = "ssh        ok     logged in\nserver     FAILS  no place for it\n\n\
                        h: rejoin does not work there\n";
        assert_eq!(text, expected);
    }
}
