//! The door: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use sriovctl::{cli, commands, host};

fn main() -> ExitCode {
    match cli::Cli::try_parse() {
        Ok(cli) => commands::run(&cli, &host::Host::new(&cli.root)),
        Err(error) => commands::usage(&error, std::env::args_os()),
    }
}
