//! The door: by name and environment it is decided who comes in.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use sriovctl::{cli, cni, commands, host};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let name = args.first().and_then(|name| Path::new(name).file_name()?.to_str());
    // Before anything else: a runtime waits for this a hundred times when a node starts.
    match name {
        Some("sriov") => return plugin(),
        Some("fixipam") => return fixipam(),
        _ if args.len() <= 1 && std::env::var_os("CNI_COMMAND").is_some() => return plugin(),
        _ => {}
    }
    match cli::Cli::try_parse() {
        Ok(cli) if commands::serves(&cli) => plugin(),
        Ok(cli) => commands::run(&cli, &host::Host::new(&cli.root)),
        Err(error) => commands::usage(&error, std::env::args_os()),
    }
}

fn plugin() -> ExitCode {
    let host = host::Host::new(Path::new("/"));
    cni::run(&env, &mut std::io::stdin().lock(), &mut std::io::stdout().lock(), &host)
}

fn fixipam() -> ExitCode {
    cni::run_fixipam(&env, &mut std::io::stdin().lock(), &mut std::io::stdout().lock())
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
