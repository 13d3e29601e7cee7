//! Handles every line of a process exactly once, although this application may die at any time.
//! Its position is in a file. Usage: `cargo run --example restart user@host FILE [MOST_ITEMS]`

use std::error::Error;
use std::fs;

use rejoin_client::spec::{Command, ProcessSpec};
use rejoin_client::{Output, Remote, SessionState};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(destination), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: restart user@host FILE [MOST_ITEMS]".into());
    };
    let most = arguments.next().map_or(Ok(usize::MAX), |most| most.parse())?;
    let remote = Remote::ssh(destination);
    let mut session = if let Ok(saved) = fs::read(&file) {
        remote.resume(&serde_json::from_slice(&saved)?)?
    } else {
        let line = b"for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.1; done; sleep 1".to_vec();
        remote.open(&ProcessSpec::new(Command::Shell(line)))?
    };
    let mut items = 0;
    while let Some(output) = session.output.recv().await {
        let Output::Data { seq, data, .. } = output else { continue };
        print!("{}", String::from_utf8_lossy(&data));
        // The position is saved before the item is acknowledged: the host still has what is not saved.
        let state = session.control.state().ok_or("not attached")?;
        let state = SessionState { next_output: seq.next(), ..state };
        fs::write(&file, serde_json::to_vec(&state)?)?;
        session.output.take();
        items += 1;
        if items == most {
            return Ok(()); // It could as well be killed here.
        }
    }
    Ok(())
}
