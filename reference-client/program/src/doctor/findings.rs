//! What the doctor has found, in words and as JSON.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::terminal::quote::shown;
use crate::timeline::{Timeline, table};
use rejoin_client::servers::VERSION;

/// How one of the checks went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As it should be.
    Works,
    /// rejoin works, and something is worth knowing.
    Note,
    /// rejoin does not work.
    Fails,
}

/// One of the checks, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) text: String,
}

/// All that was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    pub(crate) works: bool,
    pub(crate) checks: Vec<Finding>,
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

/// What the host's server program says of the host.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    version: String,
    program: String,
    host: String,
    persistence: String,
    persistence_advice: Option<String>,
    registry: Registry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Registry {
    folder: String,
    error: Option<String>,
    living: usize,
    dead: usize,
}

impl Findings {
    pub(crate) fn add(&mut self, check: &'static str, verdict: Verdict, text: impl Into<String>) {
        self.checks.push(Finding { check, verdict, text: text.into() });
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.checks.iter().any(|finding| finding.verdict == Verdict::Fails)
    }

    /// What follows from the host's own words, which are shown without control characters.
    pub(crate) fn add_report(&mut self, report: &Report, destination: &str) {
        let (version, program) = (shown(&report.version), shown(&report.program));
        let server = format!("rejoin-server {version} on {}: {program}", shown(&report.host));
        if report.version == VERSION {
            self.add("server", Verdict::Works, server);
        } else {
            self.add("server", Verdict::Note, format!("{server}; this rejoin is {VERSION}"));
        }
        self.add_persistence(report);
        self.add_registry(&report.registry, destination);
    }

    fn add_persistence(&mut self, report: &Report) {
        let advice = report.persistence_advice.as_deref().unwrap_or("processes end with the login");
        let (verdict, text) = match report.persistence.as_str() {
            "stays" => (Verdict::Works, "a process outlives the login that started it".to_owned()),
            "in_scope" => (
                Verdict::Works,
                "this host ends processes at logout; they are kept by systemd-run --user"
                    .to_owned(),
            ),
            "ends" => (Verdict::Fails, shown(advice)),
            _ => {
                (Verdict::Note, "it cannot be told whether processes outlive the login".to_owned())
            }
        };
        self.add("logout", verdict, text);
    }

    fn add_registry(&mut self, registry: &Registry, destination: &str) {
        let folder = shown(&registry.folder);
        match &registry.error {
            Some(error) => return self.add("registry", Verdict::Fails, shown(error)),
            None => self.add("registry", Verdict::Works, format!("sessions are kept in {folder}")),
        }
        let (living, dead) = (registry.living, registry.dead);
        if dead > 0 {
            let all = living.saturating_add(dead);
            let text = format!(
                "{dead} of {all} sessions are dead: rejoin prune {destination} removes what is left"
            );
            self.add("leftovers", Verdict::Note, text);
        } else {
            self.add("leftovers", Verdict::Works, format!("none; {living} sessions live there"));
        }
    }

    /// For people: a line for each check, then the outcome.
    pub(crate) fn text(&self, destination: &str) -> String {
        let mut text = String::new();
        for Finding { check, verdict, text: found } in &self.checks {
            let verdict = match verdict {
                Verdict::Works => "ok",
                Verdict::Note => "note",
                Verdict::Fails => "FAILS",
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

    fn report(text: &str) -> Findings {
        let report: Report = serde_json::from_str(text).unwrap();
        let mut findings = Findings::default();
        findings.add_report(&report, "h");
        findings
    }

    fn verdict(findings: &Findings, check: &str) -> (Verdict, String) {
        let found = findings.checks.iter().find(|finding| finding.check == check).unwrap();
        (found.verdict, found.text.clone())
    }

    #[test]
    fn a_host_that_ends_processes_at_logout_fails_with_what_to_do() {
        let found = report(
            r#"{"persistence": "ends", "persistence_advice": "run\u061c\u200b\u2066\u00ad\u180e\udb40\udc41\ufff9\u009b loginctl\u001b"}"#,
        );
        assert_eq!(verdict(&found, "logout"), (Verdict::Fails, "run loginctl".to_owned()));
        assert!(found.has_failed());
        let found = report(r#"{"persistence": "in_scope"}"#);
        assert_eq!(verdict(&found, "logout").0, Verdict::Works);
        assert_eq!(verdict(&report("{}"), "logout").0, Verdict::Note);
    }

    #[test]
    fn a_registry_that_cannot_be_used_fails_and_dead_sessions_are_told() {
        let found = report(r#"{"registry": {"error": "it is on NFS"}}"#);
        assert_eq!(verdict(&found, "registry"), (Verdict::Fails, "it is on NFS".to_owned()));
        let found = report(r#"{"registry": {"folder": "/r", "living": 2, "dead": 1}}"#);
        let (leftovers, text) = verdict(&found, "leftovers");
        assert_eq!(leftovers, Verdict::Note);
        assert!(text.starts_with("1 of 3 sessions") && text.contains("rejoin prune h"), "{text}");
    }

    #[test]
    fn a_report_that_makes_no_sense_is_told_as_it_stands() {
        let most = usize::MAX;
        let found = report(&format!(r#"{{"registry": {{"living": {most}, "dead": {most}}}}}"#));
        assert_eq!(verdict(&found, "leftovers").0, Verdict::Note);
        let found = report(r#"{"persistence": "ends"}"#);
        let told = (Verdict::Fails, "processes end with the login".to_owned());
        assert_eq!(verdict(&found, "logout"), told);
    }

    #[test]
    fn another_version_is_told() {
        let found = report(r#"{"version": "99.0"}"#);
        assert_eq!(verdict(&found, "server").0, Verdict::Note);
        let same = format!(r#"{{"version": "{VERSION}"}}"#);
        assert_eq!(verdict(&report(&same), "server").0, Verdict::Works);
    }

    #[test]
    fn the_text_has_a_line_for_each_check_and_one_for_the_outcome() {
        let mut findings = Findings::default();
        findings.add("ssh", Verdict::Works, "logged in");
        findings.add("server", Verdict::Fails, "no place for it");
        let text = findings.text("h");
        let expected = "ssh        ok     logged in\nserver     FAILS  no place for it\n\n\
                        h: rejoin does not work there\n";
        assert_eq!(text, expected);
    }
}
