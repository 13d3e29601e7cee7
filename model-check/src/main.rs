//! The program: `check`, `mutants`, `explore`, `simulate`, `replay`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
