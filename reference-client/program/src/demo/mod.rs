//! `rejoin demo`: what happens to a process when its connection is cut, again and again, and then
//! its server is killed. Everything is real but the network: processes, servers, links, signals.
//! What is shown is verified, byte by byte.

mod gate;
mod house;
mod script;
mod stage;
mod story;

use std::process::ExitCode;

use crate::session::signals::{Signals, Told};
use gate::Gate;
use house::House;
use stage::Stage;
use story::Story;

/// Why the demo did not come to its end.
struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    fn of(message: String) -> Self {
        Self { status: 1, message }
    }
}

/// Plays the demo. Its exit status says whether everything was as it should be.
pub(crate) fn run() -> ExitCode {
    let mut stage = Stage::new();
    match set_up(&mut stage) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, message }) => {
            stage.failed(&message);
            ExitCode::from(status)
        }
    }
}

fn set_up(stage: &mut Stage) -> Result<(), Failure> {
    // Dropped after the runtime: when it ends the servers, nothing starts another one.
    let house;
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = built.map_err(|error| Failure::of(error.to_string()))?;
    let entered = runtime.enter();
    // From here on, no signal ends the demo before it has cleaned up.
    let mut signals = Signals::listen().map_err(|error| Failure::of(error.to_string()))?;
    drop(entered);
    house = House::new()
        .map_err(|error| Failure::of(format!("cannot make a temporary folder: {error}")))?;
    runtime.block_on(async {
        tokio::select! {
            played = play(stage, &house) => played.map_err(Failure::of),
            failure = stopped(&mut signals) => Err(failure),
        }
    })
}

async fn play(stage: &mut Stage, house: &House) -> Result<(), String> {
    let gate = Gate::open(&house.gate(), house.registry().dir())
        .map_err(|error| format!("no link: {error}"))?;
    Story::new(stage, &gate, house.registry())?.play().await
}

/// Waits for a signal that ends the demo.
async fn stopped(signals: &mut Signals) -> Failure {
    loop {
        let number = match signals.next().await {
            Told::Interrupt => 2,
            Told::End(number) => number,
            Told::Resized | Told::Continued => continue,
        };
        let message = format!("stopped by signal {number}");
        return Failure { status: number.saturating_add(128), message };
    }
}
