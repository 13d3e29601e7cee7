//! The helper of [`rejoin_ssh::report_host_key`], for applications whose own program cannot be it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // Succeeds even if the report failed: ssh would fail otherwise, and must check the key.
    let _ = rejoin_ssh::report_host_key(&arguments);
    ExitCode::SUCCESS
}
