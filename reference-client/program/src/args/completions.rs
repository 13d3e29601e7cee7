//! What is printed rather than done: completions and the manual page.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::ending::Ending;

/// `rejoin completions SHELL`.
pub(crate) fn completions(shell: Shell) -> Ending {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rejoin", &mut script);
    print(&script)
}

/// `rejoin man`.
pub(crate) fn man() -> Ending {
    let mut page = Vec::new();
    match clap_mangen::Man::new(Cli::command()).render(&mut page) {
        Ok(()) => print(&page),
        Err(error) => Ending::failed(format!("the page cannot be written: {error}")),
    }
}

fn print(text: &[u8]) -> Ending {
    match std::io::stdout().write_all(text) {
        Ok(()) => Ending::silent(0),
        Err(error) => Ending::failed(format!("stdout cannot be written: {error}")),
    }
}
