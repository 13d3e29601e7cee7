//! Command lines that cannot be understood, and names that look like a slip.

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::{Cli, Run};
use crate::ending::{Ending, FAILED};
use crate::terminal::quote;

/// So many letters may be wrong in the name of a subcommand or an option.
const MOST_SLIPS: usize = 2;

/// What is said of a command line that cannot be understood: one line, as all others of rejoin's.
pub(crate) fn ending(error: &clap::Error) -> Ending {
    Ending::failed(format!("{}: see rejoin --help", message(error)))
}

fn message(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match (error.kind(), text(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(word)) if word.starts_with('-') => {
            let is_slip = |meant: &&str| strsim::damerau_levenshtein(word, meant) <= MOST_SLIPS;
            let meant = text(ContextKind::SuggestedArg).filter(is_slip);
            let meant = meant.map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
            format!("unknown option {word}{meant}")
        }
        (ErrorKind::UnknownArgument, Some(word)) => format!("unexpected argument {word}"),
        _ => first_paragraph(&error.render().to_string()),
    }
}

/// What clap says in front of its tips and its usage.
fn first_paragraph(text: &str) -> String {
    let lines = text.strip_prefix("error: ").unwrap_or(text).lines().map(str::trim);
    let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// What was probably meant where the destination of a run is no host, and nearly a subcommand.
pub(crate) struct Slip {
    destination: String,
    meant: String,
}

impl Slip {
    /// None if the destination is like no subcommand.
    pub(crate) fn of(run: &Run) -> Option<Self> {
        let destination = run.destination.as_ref()?.to_str()?.to_owned();
        let name = similar_subcommand(&destination)?;
        let options = run.link.ssh_options.handed_on();
        let words = ["rejoin".into(), name.into()].into_iter().chain(options);
        let words = words.chain(run.command.iter().cloned());
        let words: Vec<OsString> = words.map(|word| quote::word(&word)).collect();
        let meant = words.join(" ".as_ref()).to_string_lossy().into_owned();
        Some(Self { destination, meant })
    }

    /// The end of that run, with what was probably meant if there is no such host.
    pub(crate) fn corrected(self, ending: Ending) -> Ending {
        let Self { destination, meant } = self;
        let unknown = format!("could not resolve hostname {}", destination.to_lowercase());
        let is_unknown = |line: &String| line.to_lowercase().contains(&unknown);
        if ending.code == FAILED && ending.line.as_ref().is_some_and(is_unknown) {
            return Ending::failed(format!(
                "no such host '{destination}'; did you mean '{meant}'?"
            ));
        }
        ending
    }
}

fn similar_subcommand(word: &str) -> Option<String> {
    let command = Cli::command();
    let names = command.get_subcommands().filter(|command| !command.is_hide_set());
    let slips = |name: &str| strsim::damerau_levenshtein(word, name);
    let nearest =
        names.map(|command| command.get_name().to_owned()).min_by_key(|name| slips(name))?;
    // Of a short name, as ls, two letters are all.
    let most = MOST_SLIPS.min(nearest.len() / 2);
    (slips(&nearest) <= most).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    fn words(line: &[&str]) -> Vec<OsString> {
        line.iter().map(OsString::from).collect()
    }

    #[test]
    fn tells_what_is_wrong_with_a_command_line_in_one_line() {
        let told = |line: &[&str]| ending(&args::parse(words(line)).unwrap_err()).line.unwrap();
        let help = "see rejoin --help";
        assert_eq!(told(&["--nonsense", "h"]), format!("unknown option --nonsense: {help}"));
        assert_eq!(told(&["-Z", "h"]), format!("unknown option -Z: {help}"));
        // clap suggests --version.
        assert_eq!(told(&["--verbose", "h"]), format!("unknown option --verbose: {help}"));
        let meant = "(did you mean --server?)";
        assert_eq!(told(&["--sever", "x", "h"]), format!("unknown option --sever {meant}: {help}"));
        assert_eq!(told(&["ls", "h", "more"]), format!("unexpected argument more: {help}"));
        assert_eq!(
            told(&["--lane", "x", "h"]),
            format!(
                "invalid value 'x' for '--lane <LANE>' [possible values: auto, ssh, fast]: {help}"
            )
        );
        let missing = "the following required arguments were not provided: <DESTINATION>";
        assert_eq!(told(&["attach"]), format!("{missing}: {help}"));
    }

    #[test]
    fn suggests_a_subcommand_for_a_host_that_does_not_exist() {
        let slip = |line: &[&str]| Slip::of(&args::parse(words(line)).unwrap().run);
        let unknown = |host: &str| {
            Ending::failed(format!(
                "ssh: Could not resolve hostname {host}: Name or service not known"
            ))
        };
        let slipped = slip(&["-p", "22", "atach", "lab", "2"]).unwrap();
        let corrected = slipped.corrected(unknown("atach"));
        let told = "no such host 'atach'; did you mean 'rejoin attach -p 22 lab 2'?";
        assert_eq!(corrected, Ending::failed(told));
        let other = unknown("gate");
        assert_eq!(slip(&["atach", "lab"]).unwrap().corrected(other.clone()), other);
        for line in [&["lab"][..], &["build"], &["me@atach"]] {
            assert!(slip(line).is_none(), "{line:?}");
        }
        assert!(slip(&["dmeo"]).is_some() && slip(&["sl", "lab"]).is_some());
    }
}
