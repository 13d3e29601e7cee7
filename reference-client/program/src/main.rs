//! `rejoin`: a remote process that outlives its connection.
#![forbid(unsafe_code)]

mod args;
#[cfg(feature = "embedded-server")]
mod demo;
mod descriptors;
mod doctor;
mod ending;
mod events;
mod host;
mod messages;
mod session;
mod sessions;
mod terminal;
mod timeline;
mod volume;
mod wait;

use std::future::Future;
use std::process::ExitCode;

use args::usage::{self, Slip};
use args::{Action, Cli, Run};
use ending::{Ending, FAILED};
use host::ssh_program;
use session::background::{self, Background};
use session::start;
use terminal::output;

fn main() -> ExitCode {
    let mut words: Vec<_> = std::env::args_os().skip(1).collect();
    if words == [host::FD_PASS] {
        // Its ssh says that nothing came; there is nobody else to tell.
        return rejoin_ssh::pass_fd().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    if ssh_program::is_started_by_itself(&words) {
        output::say(format_args!("rejoin: {}\n", ssh_program::LOOP));
        return ExitCode::from(FAILED);
    }
    let mut background = None;
    if words.first().is_some_and(|word| word == background::WORD) {
        words.remove(0);
        background = Background::of_stdin().ok();
    }
    match args::parse(words) {
        Ok(cli) => act(cli, background),
        Err(error) if error.use_stderr() => told(usage::ending(&error)),
        Err(help) => {
            // To a closed stdout nothing can be said.
            let _ = help.print();
            ExitCode::SUCCESS
        }
    }
}

fn act(cli: Cli, background: Option<Background>) -> ExitCode {
    let ending = match cli.action {
        None => open(&cli.run, background),
        Some(Action::Ls(list)) => end_of(sessions::ls(list)),
        Some(Action::Attach(attach)) => end_of(sessions::attach(attach)),
        Some(Action::Kill(kill)) => end_of(sessions::kill::kill(kill)),
        Some(Action::Prune(prune)) => end_of(sessions::prune(prune)),
        Some(Action::Doctor(doctor)) => end_of(doctor::doctor(doctor)),
        #[cfg(feature = "embedded-server")]
        Some(Action::Demo) => return demo::run(),
        Some(Action::Completions { shell }) => args::completions::completions(shell),
        Some(Action::Man) => args::completions::man(),
        #[cfg(feature = "embedded-server")]
        Some(Action::Server { words }) => return rejoin_server::run(words, &["__server"]),
    };
    told(ending)
}

fn told(ending: Ending) -> ExitCode {
    if let Some(line) = ending.line {
        output::say(format_args!("rejoin: {line}\n"));
    }
    ExitCode::from(ending.code)
}

fn open(run: &Run, background: Option<Background>) -> Ending {
    let options = &run.link.ssh_options;
    if options.is_left_to_ssh() {
        return start::leave_to_ssh(run);
    }
    if options.is_forking() && background.is_none() {
        return background::start(std::env::args_os().skip(1));
    }
    let outcome = block_on(start::run(run, background));
    let ended = |ending| match Slip::of(run) {
        Some(slip) => slip.corrected(ending),
        None => ending,
    };
    match outcome {
        Ok(start::Outcome::Ended(ending)) | Err(ending) => ended(ending),
        Ok(start::Outcome::LeftToSsh) => start::leave_to_ssh(run),
        Ok(start::Outcome::Background) => background::start(std::env::args_os().skip(1)),
    }
}

fn end_of(work: impl Future<Output = Ending>) -> Ending {
    block_on(work).unwrap_or_else(|failed| failed)
}

/// One thread is enough: what may block has threads of its own.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Ending> {
    if let Err(too_few) = descriptors::make_room() {
        return Err(Ending::failed(too_few));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let ending = runtime.block_on(work);
            // Whatever still waits, as a write to a pipe that nobody reads, is not waited for.
            runtime.shutdown_background();
            Ok(ending)
        }
        Err(error) => Err(Ending::failed(format!("the runtime cannot be started: {error}"))),
    }
}
