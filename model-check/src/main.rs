//! The program: `check`, `mutants`, `explore`, `simulate`, `replay`.

mod cli;
mod hunt;

fn main() -> std::process::ExitCode {
    cli::run()
}
