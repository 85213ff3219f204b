//! The door: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = sriovctl::cli::Cli::parse();
    sriovctl::commands::run(&cli, &sriovctl::host::Host::new(&cli.root))
}
