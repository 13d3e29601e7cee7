//! How many files this program may have open: a link takes about ten.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a session needs with a second link beside the first.
const NEEDED: u64 = 48;

/// Makes room for what a session needs, as far as the hard limit allows it. Asked before anything is
/// connected: later, a reconnect would be the first to fail.
///
/// # Errors
/// There is too little room, in words.
pub(crate) fn make_room() -> Result<(), String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(limit) = current.filter(|&limit| limit < NEEDED) else { return Ok(()) };
    let raised = maximum.map_or(NEEDED, |maximum| maximum.min(NEEDED));
    if raised == NEEDED
        && setrlimit(Resource::Nofile, Rlimit { current: Some(NEEDED), maximum }).is_ok()
    {
        return Ok(());
    }
    Err(format!(
        "only {limit} files may be open at once, and rejoin needs {NEEDED}: raise ulimit -n"
    ))
}
