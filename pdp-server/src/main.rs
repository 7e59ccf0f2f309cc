//! The policy decision point.

use std::process::ExitCode;

fn main() -> ExitCode {
    pdp_server::cli::main()
}
