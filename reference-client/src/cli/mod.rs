//! The program: its command line, its terminal, its words.

mod args;
#[cfg(test)]
mod args_tests;
mod aside;
mod cause;
#[cfg(feature = "embedded-server")]
mod demo;
mod deploying;
mod digests;
mod doctor;
mod elf;
mod escape;
mod events;
mod events_file;
mod host;
mod input;
mod job;
mod keyboard;
mod kill;
mod listing;
mod output;
mod pages;
mod painter;
mod quote;
mod remote;
mod run;
mod screen;
mod servers;
mod setting;
mod signals;
mod ssh_options;
mod standard;
mod status;
mod stdin;
mod terminal;
mod timeline;
mod trust;
mod values;
mod words;

use std::future::Future;
use std::process::ExitCode;

use args::{Action, Cli, Run};
use words::{Ending, FAILED};

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if words == [host::HAND_OVER] {
        // Its ssh says that nothing came; there is nobody else to tell.
        return rejoin_ssh::hand_over().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    if words.first().is_some_and(|word| word == host::HOST_KEY) {
        // Whatever became of the report: ssh, which would end with this, is to judge the key.
        let _ = rejoin_ssh::report_host_key(&words);
        return ExitCode::SUCCESS;
    }
    match args::parse(words) {
        Ok(cli) => act(cli),
        Err(error) => {
            // To closed streams nothing can be said.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
        }
    }
}

fn act(cli: Cli) -> ExitCode {
    let ending = match cli.action {
        None => start(cli.run),
        Some(Action::Ls(list)) => block_on(remote::ls(list)),
        Some(Action::Attach(attach)) => block_on(remote::attach(attach)),
        Some(Action::Kill(kill)) => block_on(kill::kill(kill)),
        Some(Action::Prune(prune)) => block_on(remote::prune(prune)),
        Some(Action::Doctor(doctor)) => block_on(doctor::doctor(doctor)),
        #[cfg(feature = "embedded-server")]
        Some(Action::Demo) => return demo::run(),
        Some(Action::Completions { shell }) => pages::completions(shell),
        Some(Action::Man) => pages::man(),
        #[cfg(feature = "embedded-server")]
        Some(Action::Server { words }) => return rejoin_server::run(words, &["__server"]),
    };
    if let Some(line) = ending.line {
        output::say(format_args!("rejoin: {line}\n"));
    }
    ExitCode::from(ending.code)
}

fn start(run: Run) -> Ending {
    let options = &run.link.ssh_options;
    if options.is_left_to_ssh() {
        return run::leave_to_ssh(&run);
    }
    if options.is_forking() {
        return Ending::failed(
            "-f is not for processes that are kept: run rejoin -n ... & in the shell",
        );
    }
    block_on(run::run(run))
}

/// One thread is enough: what may block has threads of its own.
fn block_on(work: impl Future<Output = Ending>) -> Ending {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let ending = runtime.block_on(work);
            // Whatever still waits, as a write to a pipe that nobody reads, is not waited for.
            runtime.shutdown_background();
            ending
        }
        Err(error) => Ending::failed(format!("the runtime cannot be started: {error}")),
    }
}
